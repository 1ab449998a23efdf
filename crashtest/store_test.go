package crashtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/verify"
)

// readStore verifies the store that a run of the service left, with the log as it left that, as keyturn verify does: a crash leaves nothing to
// be found. It reads a copy of the store, so that the next run finds what the last one left.
func (w *world) readStore(t *testing.T, ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dir := t.TempDir()
	report, err := w.verifyCopy(ctx, dir)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		w.fault("verifying the store: %v", err)
		return
	}
	w.stats.stores++
	for _, f := range report.Findings {
		w.fault("verify: %s %s: %s (%s)", f.Kind, f.Where, f.Title, f.Detail)
	}
	if !report.Indexes || report.History == nil || report.Keys == 0 || report.History.Unvouched+report.History.Uncovered > 0 {
		w.fault("verify did not look at everything: %+v", report)
	}
}

func (w *world) verifyCopy(ctx context.Context, dir string) (*verify.Report, error) {
	path := filepath.Join(dir, "copy.db")
	b, err := os.ReadFile(filepath.Join(w.dir, "store.db"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	raw, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	provider, err := seal.OpenKeyFile(filepath.Join(w.dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	sealed, err := seal.Open(ctx, raw, seal.Options{Provider: provider, Dev: true, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	if v := int64(sealed.Status().Version); v < w.keyring {
		w.fault("the keyring is at version %d, and %d was answered", v, w.keyring)
	}
	snapshot, err := sealed.TakeSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	return verify.Run(ctx, verify.Config{Snapshot: snapshot, Log: verify.LogDir{Dir: filepath.Join(w.dir, "audit")}, Scratch: dir})
}
