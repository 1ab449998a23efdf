package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/check/inside"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keystores"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/sts"
	"github.com/keyturn/keyturn/internal/throttle"
	"github.com/keyturn/keyturn/internal/wire"
)

// Names in the data directory.
const (
	lockFile        = "lock"
	storeFile       = "store.db"
	auditDir        = "audit"
	securityFile    = "security.jsonl"
	sealKeyFile     = "seal.key"
	credentialsFile = "credentials"
)

// memoryAuditLines is how much of the audit log is kept when there is no data directory.
const memoryAuditLines = 100_000

// appConfig is what dev and server make of their flags and configuration.
type appConfig struct {
	DataDir  string // "" keeps everything in memory
	Dev      bool
	Provider func(created bool) (seal.Provider, error) // created: the store is new, and so may the key be
	// Previous is the provider that the store may still be sealed by: then it is migrated. Nil: there is none.
	Previous func() (seal.Provider, error)
	// Stay opens a store that Previous still seals with that, and does not migrate it.
	Stay bool
	// Migrate returns the provider that the configuration names by now. Nil: there is no configuration.
	Migrate func(ctx context.Context) (seal.Provider, error)
	// Management is the account that manages the others where the store names none; "": nobody does.
	Management string
	// Destruction: what is zero is the default.
	Destruction operator.Destruction
	FixedMAC    []byte // see seal.Options
	KMS         kms.Config
	Stores      *keystores.Config // what custom key stores keep their keys in; nil: nothing
	// WebIdentity says where the keys of OpenID Connect providers come from; nil: from those at public addresses.
	WebIdentity *discovery.Config
	Checks      *serverChecks     // nil: keys are not checked
	Quotas      *throttle.Limiter // nil: everybody may call as often as they like
	Log         *slog.Logger
	Now         func() time.Time // real time
	Believed    clock.Limits     // how far the clock may jump; keyturn dev believes its own always
	// Security is given the security log before Provider is called. Nil: nobody wants it.
	Security func(*audit.SecurityLog)

	Regions regions
	// Credentials are access keys beside those in the store, asked for once the data directory is locked. Nil: none.
	Credentials func() (map[string]identity.Configured, error)
	// Trust takes credentials that nobody has made, too; only keyturn dev does.
	Trust bool
	// Init opens a store that has no access keys yet.
	Init  bool
	Guard func(r *http.Request) (int, string)
	// NewAuditLog begins another audit log where the store's own is lost.
	NewAuditLog bool
	// Extend returns the handler in the API's place, which may pass requests on to it. Nil: the API's.
	Extend func(*appParts) (http.Handler, error)
	// Prepare runs before anything is served or due.
	Prepare func(ctx context.Context, p *service.Pipeline, k *kms.KMS) error
	// Watch is what the server shows of itself; nil: metrics alone.
	Watch *watch
}

// management is the account that manages the others where the store names none: in keyturn dev there is one from the beginning.
func (c *appConfig) management() string {
	if c.Management == "" && c.Dev {
		return wire.DevAccount
	}
	return c.Management
}

// app is an opened keyturn: everything but the listener.
type app struct {
	Handler  http.Handler
	sealed   *seal.Store
	pipeline *service.Pipeline
	accounts *accounts.Accounts
	operator *operator.Operator
	runner   *schedule.Runner
	believed func() time.Time // real time, but not what a clock tells that has jumped
	checks   *serverChecks
	place    *place // nil: in memory
	log      *slog.Logger
	previous bool           // appConfig.Previous seals the store, and it was not migrated
	closers  []func() error // in the order of opening
}

// openApp opens or makes the data directory and puts the server together. If it fails, nothing stays open, and an existing store
// is as it was.
func openApp(ctx context.Context, c appConfig) (_ *app, err error) {
	a := &app{log: c.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	raw, created, err := a.openStore(c)
	if err != nil {
		return nil, err
	}
	opened := head(raw)
	if c.Watch == nil {
		c.Watch = newWatch(c.Log)
	}
	if !created {
		// A crash during the first start may have left a store with nothing in it: as good as none.
		first, err := raw.Scan(ctx, "", "", 1)
		if err != nil {
			return nil, err
		}
		created = len(first) == 0
	}
	if created {
		if err := noAuditLog(c.DataDir); err != nil {
			return nil, err
		}
	}
	if err := c.auditLogThere(ctx, raw); err != nil {
		return nil, err
	}
	var configured map[string]identity.Configured
	if c.Credentials != nil {
		if configured, err = c.Credentials(); err != nil {
			return nil, err
		}
	}
	if created && len(configured) == 0 && !c.Trust && !c.Init {
		return nil, errNoAccessKey
	}
	security, err := a.openSecurity(c)
	if err != nil {
		return nil, err
	}
	sealed, migrated, err := a.unseal(ctx, c, raw, created)
	if err != nil {
		return nil, err
	}
	a.sealed = sealed
	node := nodeOf(sealed.Keyring().Deployment())
	sink, err := a.openAudit(ctx, c, node)
	if err != nil {
		return nil, err
	}
	first := sink.NextSeq()
	var clk clock.Clock
	var shifted *clock.Shifted
	var guard *clock.Guard
	if !c.Dev {
		if guard, err = schedule.OpenGuard(ctx, sealed, c.Now, clock.Elapsed, c.Believed); err != nil {
			return nil, err
		}
		clk = guard
	} else {
		offset, err := schedule.LoadOffset(ctx, sealed)
		if err != nil {
			return nil, err
		}
		shifted = clock.NewShifted(c.Now, offset)
		clk = shifted
	}
	directory := identity.NewDirectory(identity.Config{Configured: configured, RealTime: c.Now})
	deployment := sealed.Keyring().Deployment()
	if c.DataDir != "" { // once the pipeline is closed
		a.closers = append(a.closers, func() error { a.saveCensus(c.DataDir, deployment, raw); return nil })
	}
	if c.Stores != nil {
		stores, err := a.openKeyStores(*c.Stores, c.Log)
		if err != nil {
			return nil, err
		}
		c.KMS.KeyStores = stores
	}
	c.KMS.Principals = identity.Known{Directory: directory}
	k := kms.New(c.KMS)
	mfa := identity.NewMFA(c.Now)
	identities := iam.New(iam.Config{Directory: directory, MFA: mfa, RealTime: c.Now})
	sessions := sts.New(sts.Config{Directory: directory, MFA: mfa, RealTime: c.Now})
	a.pipeline, err = service.New(ctx, service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clk, Audit: sink, NodeID: node, Log: c.Log,
		Authorize: authorizers{"iam": directory.Authorize, "sts": directory.Authorize}.or(k.Authorize),
		RealTime:  c.Now, Quotas: c.Quotas, Exclusive: c.Dev, Local: c.Watch.observer.Requests.ObserveLocal,
	})
	if err != nil {
		return nil, err
	}
	if c.DataDir != "" {
		a.resumeCensus(c.DataDir, deployment, opened)
	}
	a.closers = append(a.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return a.pipeline.Close(ctx)
	})
	k.Attach(a.pipeline)
	directory.Attach(a.pipeline)
	if len(configured) == 0 && !c.Trust && !c.Init {
		if err := initialized(ctx, a.pipeline); err != nil {
			return nil, err
		}
	}
	if !c.Init {
		if err := apart(ctx, a.pipeline, configured); err != nil {
			return nil, err
		}
	}
	a.runner = schedule.New(a.pipeline, k, c.Log)
	if c.Prepare != nil {
		// What an earlier run left half done goes first.
		if err := a.runner.RunDue(ctx); err != nil {
			return nil, err
		}
		if err := c.Prepare(ctx, a.pipeline, k); err != nil {
			return nil, err
		}
	}
	a.accounts = accounts.New(accounts.Config{Directory: directory, Management: c.management()})
	a.believed = c.Now
	if guard != nil {
		a.runner.Guard(guard, a.accounts.DeploymentTarget)
		a.believed = guard.Believed
	}
	if err := a.openOperator(ctx, c, sealed, sink, migrated); err != nil {
		return nil, err
	}
	if c.NewAuditLog {
		if err := a.operator.NewAuditLog(ctx, a.pipeline, first); err != nil {
			return nil, err
		}
	}
	onChecks := inside.Config{Regions: c.Regions.names}
	if c.Checks != nil {
		if err := c.Checks.open(c, a.pipeline, k.Operations()); err != nil {
			return nil, err
		}
		a.checks, onChecks.Report = c.Checks, c.Checks.report
	}
	bearer, err := a.openWebIdentity(c, a.pipeline)
	if err != nil {
		return nil, err
	}
	ready := func() error { return errors.Join(sealed.Damage(), a.pipeline.Healthy(), a.place.check()) }
	c.Watch.show(a.sources(c, raw, sealed, sink, guard, ready))
	var metrics http.Handler
	if c.Dev { // a server has a listener of its own for them
		metrics = http.HandlerFunc(c.Watch.serveMetrics)
	}
	a.Handler = wire.NewHandler(wire.Config{
		Pipeline: a.pipeline, KMS: jsonTargets(k.Operations(), slices.Concat(
			k.Extensions(), a.runner.Operations(shifted), inside.Operations(onChecks), a.accounts.Operations(), a.operator.Operations())),
		Query: map[string]*wire.QueryService{
			api.STSVersion: {Name: "sts", Namespace: api.STSNamespace, Operations: byName(sessions.Operations())},
			api.IAMVersion: {Name: "iam", Namespace: api.IAMNamespace, Operations: byName(identities.Operations())},
		},
		Authenticate: authenticate(c, directory), Bearer: bearer, Guard: c.Guard, Security: security, Log: c.Log,
		Ready: ready, Observer: c.Watch.observer, Metrics: metrics,
	})
	if c.Extend != nil {
		parts := &appParts{API: a.Handler, Pipeline: a.pipeline, KMS: k, Security: security, Log: c.Log}
		if a.Handler, err = c.Extend(parts); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// nodeOf names the server in its audit log and outbox.
func nodeOf(deployment string) string { return deployment[:min(len(deployment), 8)] }

// openStore locks the data directory and opens its engine. created: there was no store.
func (a *app) openStore(c appConfig) (_ store.Store, created bool, err error) {
	if c.DataDir == "" {
		return memstore.New(), true, nil
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, false, fmt.Errorf("making the data directory: %w", err)
	}
	// Its own name must survive a power cut, too, and those of all directories that were made for it.
	if err := disk.SyncAbove(disk.OS, c.DataDir); err != nil {
		return nil, false, fmt.Errorf("making the name of the data directory durable: %w", err)
	}
	if err := checkDataDir(c.DataDir); err != nil {
		return nil, false, err
	}
	unlock, err := lockDataDir(c.DataDir)
	if err != nil {
		return nil, false, err
	}
	a.closers = append(a.closers, unlock)
	if err := noRestore(c.DataDir); err != nil {
		return nil, false, err
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, storeFile)); errors.Is(err, os.ErrNotExist) {
		if err := noAuditLog(c.DataDir); err != nil {
			return nil, false, err
		}
		if err := c.somebody(); err != nil { // what was never used is not in the way of a restore
			return nil, false, err
		}
		created = true
	}
	st, err := openStoreFile(c.DataDir, boltstore.Options{Create: created})
	if err != nil {
		return nil, false, err
	}
	a.closers = append(a.closers, st.Close)
	a.place = newPlace(st.InPlace, c.Now, c.Log)
	return st, created, nil
}

// openStoreFile opens the store of a data directory. A file of which nothing is as bbolt writes it may be of another program; beside an audit log it
// is damage.
func openStoreFile(dataDir string, o boltstore.Options) (*boltstore.Store, error) {
	path := filepath.Join(dataDir, storeFile)
	st, err := boltstore.Open(path, o)
	if errors.Is(err, bolterrors.ErrInvalid) && noAuditLog(dataDir) != nil {
		err = fmt.Errorf("%w: %v", store.ErrDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return st, nil
}

// lockDataDir keeps every other keyturn out of a data directory until the returned function is called. store.ErrLocked.
func lockDataDir(dir string) (unlock func() error, err error) {
	return takeLock(dir, flock.SetPermissions(0o600))
}

func takeLock(dir string, o flock.Option) (unlock func() error, err error) {
	name := filepath.Join(dir, lockFile)
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // to open a pipe might take for ever
		return nil, fmt.Errorf("locking the data directory: %s is not a regular file", name)
	}
	lock := flock.New(name, o)
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: data directory %s", store.ErrLocked, dir)
	}
	return lock.Close, nil
}

// openSecurity opens the security log, which there is before the store is unsealed.
func (a *app) openSecurity(c appConfig) (*audit.SecurityLog, error) {
	if c.DataDir == "" {
		return nil, nil
	}
	security, err := audit.OpenSecurity(filepath.Join(c.DataDir, securityFile), audit.SecurityOptions{Now: c.Now})
	if err != nil {
		return nil, fmt.Errorf("opening the security log: %w", err)
	}
	a.closers = append(a.closers, security.Close)
	if c.Security != nil {
		c.Security(security)
	}
	return security, nil
}

// jsonTargets names operations as X-Amz-Target does.
func jsonTargets(kmsOps, keyturnOps []*service.Op) map[string]*service.Op {
	targets := make(map[string]*service.Op)
	byName := service.Table(kmsOps, keyturnOps)
	for _, m := range slices.Concat(api.KMSOperations(), api.KeyturnOperations()) {
		targets[m.Target] = byName[m.Service+"."+m.Name]
	}
	return targets
}

func byName(ops []*service.Op) map[string]*service.Op {
	m := make(map[string]*service.Op)
	for _, op := range ops {
		m[op.Name] = op
	}
	return m
}

// close closes everything in the reverse order of opening.
func (a *app) close() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}
