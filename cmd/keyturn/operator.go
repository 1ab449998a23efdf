package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/verify"
	"github.com/keyturn/keyturn/internal/wire"
)

// unseal opens the sealed store as the configuration says.
func (a *app) unseal(ctx context.Context, c appConfig, raw store.Store, created bool) (sealed *seal.Store, migrated bool, err error) {
	if !c.Stay {
		p, err := c.Provider(created)
		if err != nil {
			return nil, false, err
		}
		return c.unseal(ctx, raw, p)
	}
	o := seal.Options{Dev: c.Dev, FixedMAC: c.FixedMAC, Now: c.Now()}
	sealed, a.previous, err = openEither(ctx, raw, o, func() (seal.Provider, error) { return c.Provider(created) }, c.Previous)
	return sealed, false, err
}

// unseal opens the store with its provider. One that the previous provider still seals is migrated first.
func (c *appConfig) unseal(ctx context.Context, raw store.Store, p seal.Provider) (_ *seal.Store, migrated bool, err error) {
	o := seal.Options{Provider: p, Dev: c.Dev, FixedMAC: c.FixedMAC, Now: c.Now()}
	sealed, err := seal.Open(ctx, raw, o)
	if c.Previous == nil || !errors.Is(err, seal.ErrWrongKey) {
		return sealed, false, err
	}
	if _, ok := p.(seal.Attended); ok {
		return nil, false, withHint(errors.New("the store is sealed by another provider, and a server that starts cannot hand out shares, or have a new passphrase typed"),
			"leave it stopped, and run: keyturn seal migrate --config FILE")
	}
	if o.Provider, err = c.Previous(); err != nil {
		return nil, false, fmt.Errorf("seal.previous: %w", err)
	}
	if sealed, err = seal.Open(ctx, raw, o); err != nil {
		return nil, false, fmt.Errorf("neither seal nor seal.previous opens the store: %w", err)
	}
	now, err := c.notBefore(ctx, sealed)
	if err != nil {
		return nil, false, err
	}
	err = sealed.Migrate(ctx, p, now)
	if errors.Is(err, seal.ErrTooMany) {
		return nil, false, withHint(fmt.Errorf("migrating the seal: %w", err), "the store is as it was: make seal.previous the seal again")
	}
	if err != nil {
		return nil, false, fmt.Errorf("migrating the seal: %w", err)
	}
	c.Log.Warn("the store has been migrated to another seal; take seal.previous out of the configuration", "from", o.Provider.Name(), "to", p.Name())
	return sealed, true, nil
}

// notBefore is what the clock tells, but nothing before the last time that was believed of it: for the dates of new keys, before there is a
// clock.Guard.
func (c *appConfig) notBefore(ctx context.Context, sealed *seal.Store) (time.Time, error) {
	now := c.Now()
	m, _, err := schedule.LoadMark(ctx, sealed)
	if err != nil {
		return now, err
	}
	if m.Time.After(now) {
		now = m.Time
	}
	return now, nil
}

// openOperator makes the operations of those who run the deployment.
func (a *app) openOperator(ctx context.Context, c appConfig, sealed *seal.Store, sink audit.Sink, migrated bool) error {
	management, err := a.managedBy(ctx)
	if err != nil && !errors.Is(err, errNotInitialized) {
		return err
	}
	a.operator = operator.New(operator.Config{
		Accounts: a.accounts, Seal: sealed, Verify: a.openVerify(c, sealed, sink), RealTime: c.Now, Believed: a.believed, Provider: c.Migrate, Log: c.Log,
		Destruction: c.Destruction,
		Owner:       record.Owner{Account: cmp.Or(management, c.management(), wire.DevAccount), Region: c.Regions.first},
		Pipeline:    a.pipeline, Audit: sink, Keyturn: programVersion(),
	})
	if !migrated {
		return nil
	}
	return a.operator.Migrated(ctx, a.pipeline)
}

// verifyReserve is what the scratch files of a verification leave free in the data directory, for changes and their audit records.
const verifyReserve = 512 << 20

// openVerify makes what verifies the store while the server runs.
func (a *app) openVerify(c appConfig, sealed *seal.Store, sink audit.Sink) *verify.Runner {
	rc := verify.RunnerConfig{
		Store: sealed, Sink: sink, Now: c.Now, Log: c.Log,
		Done: func(s verify.Status) {
			release := a.pipeline.Shared()
			defer release()
			if err := a.operator.Verified(context.Background(), a.pipeline, s); err != nil {
				c.Log.Error("the end of a verification is not in the audit log", "error", err)
			}
		},
	}
	if c.DataDir != "" {
		rc.LogDir, rc.Scratch = filepath.Join(c.DataDir, auditDir), c.DataDir
		rc.Room = func() (int64, error) {
			d, err := diskSpace(c.DataDir)
			return int64(d.Free) - verifyReserve, err
		}
		rc.StoreBytes = func() int64 { return fileBytes(filepath.Join(c.DataDir, storeFile)) }
		rc.LogBytes = func() int64 { return dirBytes(rc.LogDir) }
	}
	r := verify.NewRunner(rc)
	a.closers = append(a.closers, r.Close) // before pipeline and store
	return r
}

// fileBytes is how large a file is, 0 if that is not known.
func fileBytes(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// dirBytes is how large the files of a directory are together.
func dirBytes(dir string) (n int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		n += fileBytes(filepath.Join(dir, e.Name()))
	}
	return n
}
