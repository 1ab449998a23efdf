package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/verify"
)

// offlineDir is a data directory to be verified.
type offlineDir struct {
	dir string
	// provider opens it; nil: there is no seal. previous is the one before, nil if there is none.
	provider, previous func() (seal.Provider, error)
	dev                bool
	config             *serverConfig // nil: keyturn dev's, or none
}

func (f *verifyFlags) offlineDir() (*offlineDir, error) {
	if f.config != "" {
		c, err := loadConfig(f.config)
		if err != nil {
			return nil, err
		}
		d := &offlineDir{dir: c.DataDir, provider: func() (seal.Provider, error) { return c.provider(false) }, config: c}
		d.previous = c.askPrevious()
		return d, nil
	}
	d := &offlineDir{dir: f.dataDir, dev: true}
	key := filepath.Join(f.dataDir, sealKeyFile) // only keyturn dev keeps it there
	if _, err := os.Stat(key); err == nil {
		d.provider = func() (seal.Provider, error) { return seal.OpenKeyFile(key) }
	}
	return d, nil
}

// runOffline verifies a data directory and changes nothing in it: not even the log's torn last line, and not what waits to get into the log.
func (f *verifyFlags) runOffline(cmd *cobra.Command) (report *verify.Report, err error) {
	d, err := f.offlineDir()
	if err != nil {
		return nil, err
	}
	err = storeThere(d.dir)
	if errors.Is(err, store.ErrDamaged) {
		return verify.Refused(verify.StoreMissing, err), nil
	}
	if err != nil {
		return nil, err
	}
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	raw, err := openStoreFile(d.dir, boltstore.Options{ReadOnly: true})
	if errors.Is(err, store.ErrDamaged) {
		return verify.Refused(verify.StoreUnreadable, err), nil
	}
	if err != nil {
		return nil, inUse(err, "keyturn verify")
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	if d.provider == nil {
		return f.verifySealed(cmd, d, raw)
	}
	hardenProcess(slog.New(slog.DiscardHandler))
	sealed, err := d.unseal(cmd.Context(), raw, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
	if seal.IsDamage(err) { // the rest can be looked at without the seal
		return f.verifyDamaged(cmd, d, raw, err)
	}
	if err != nil {
		return nil, err
	}
	c := verify.Config{Log: verifyLog(d.dir), Scratch: f.scratch}
	snapshot, err := sealed.TakeSnapshot(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	c.Snapshot = snapshot
	return verifying(cmd.Context(), cmd.ErrOrStderr(), c, d.dir)
}

// verifySealed looks at what needs no keys.
func (f *verifyFlags) verifySealed(cmd *cobra.Command, d *offlineDir, raw store.Store) (*verify.Report, error) {
	snapshot, err := raw.Snapshot(cmd.Context())
	if errors.Is(err, store.ErrDamaged) {
		return verify.Refused(verify.StoreUnreadable, err), nil
	}
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	c := verify.Config{Log: verifyLog(d.dir), Scratch: f.scratch, Snapshot: verify.Raw(snapshot), Sealed: true}
	return verifying(cmd.Context(), cmd.ErrOrStderr(), c, d.dir)
}

// verifyDamaged is verifySealed for a store whose seal cannot be read, which is a finding of its own.
func (f *verifyFlags) verifyDamaged(cmd *cobra.Command, d *offlineDir, raw store.Store, damage error) (*verify.Report, error) {
	report, err := f.verifySealed(cmd, d, raw)
	if err != nil || report.Unopened {
		return report, err
	}
	kind := verify.ReservedMalformed
	if errors.Is(damage, store.ErrDamaged) {
		kind = verify.StoreUnreadable
	}
	report.Add(kind, seal.Reserved, damage.Error())
	return report, nil
}

// lock takes the data directory's lock. Where there is none, no server has ever run, and none is made.
func (d *offlineDir) lock() (unlock func() error, err error) {
	if _, err := os.Stat(filepath.Join(d.dir, lockFile)); errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	unlock, err = takeLock(d.dir, flock.SetFlag(os.O_RDONLY))
	return unlock, inUse(err, "keyturn verify")
}

// unseal opens the store, which must have a keyring: nothing may be made here.
func (d *offlineDir) unseal(ctx context.Context, raw store.Store, log *slog.Logger) (*seal.Store, error) {
	first, err := raw.Scan(ctx, "", "", 1)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, withHint(errors.New("the store is empty"), "there is nothing to verify before the first start of a server")
	}
	sealed, previous, err := openEither(ctx, raw, seal.Options{Dev: d.dev, Now: time.Now()}, d.provider, d.previous)
	if previous {
		log.Warn(stillPrevious)
	}
	return sealed, err
}

// maxRepairs bounds how often a repair begins anew: each round puts right some 200,000 index entries and counters.
const maxRepairs = 200

// runRepair puts index entries and counters right until none is wrong, and returns what is still found.
func (f *verifyFlags) runRepair(cmd *cobra.Command) (report *verify.Report, err error) {
	d, err := f.offlineDir()
	if err != nil {
		return nil, err
	}
	if d.provider == nil {
		return nil, withHint(errors.New("without the seal nothing can be repaired"), "name the server's configuration with --config")
	}
	if err := storeThere(d.dir); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hardenProcess(log)
	a, err := d.open(cmd.Context(), log)
	if errors.Is(err, store.ErrLocked) {
		err = withHint(err, "a repair wants the server stopped; while it runs, it can look: keyturn verify --endpoint URL")
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	if a.previous {
		log.Warn(stillPrevious)
	}
	sealed, ok := a.pipeline.Store().(*seal.Store)
	if !ok {
		return nil, errors.New("the store is not sealed")
	}
	mended := 0
	for range maxRepairs {
		if err := a.pipeline.Flush(cmd.Context()); err != nil {
			return nil, err
		}
		report, err = f.verifyOpen(cmd, sealed, d.dir)
		if err != nil || len(report.Mends) == 0 {
			break
		}
		if err := a.operator.Repair(cmd.Context(), a.pipeline, report.Mends); err != nil {
			return nil, fmt.Errorf("repairing: %w", err)
		}
		mended += len(report.Mends)
	}
	if err == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d index entries and counters put right; RepairStore events in the audit log say which.\n", mended)
	}
	return report, err
}

// verifyOpen verifies a store that this process has open.
func (f *verifyFlags) verifyOpen(cmd *cobra.Command, sealed *seal.Store, dir string) (*verify.Report, error) {
	snapshot, err := sealed.TakeSnapshot(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	return verifying(cmd.Context(), cmd.ErrOrStderr(), verify.Config{Snapshot: snapshot, Log: verifyLog(dir), Scratch: f.scratch}, dir)
}

// open opens the data directory as its server does, without serving.
func (d *offlineDir) open(ctx context.Context, log *slog.Logger) (*app, error) {
	c := appConfig{
		DataDir: d.dir, Dev: d.dev, Log: log, Now: time.Now, Init: true,
		Credentials: func() (map[string]identity.Configured, error) { return nil, nil },
		Previous:    d.previous, Stay: true,
		Provider: func(created bool) (seal.Provider, error) {
			if created {
				return nil, errNotInitialized
			}
			return d.provider()
		},
	}
	var names []string
	if d.config != nil {
		names, c.Management = d.config.Regions, d.config.ManagementAccount
	}
	regions, err := newRegions(names)
	if err != nil {
		return nil, err
	}
	c.Regions, c.KMS = regions, kms.Config{HasRegion: regions.has}
	return openApp(ctx, c)
}
