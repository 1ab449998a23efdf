//go:build torture

package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/disk/disktest"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/verify"
)

const (
	restoredKeys = 3
	workFolder   = "restoring"
)

// TestRestore lets each operation of a restore fail, or be the last one; after a failure, the end may come while it cleans up. Whatever comes
// back is the whole deployment, or nothing that opens: and the whole one, if the restore said that it was done.
func TestRestore(t *testing.T) {
	file := backedUp(t)
	seeds := max(*schedulesFlag/4000, 1)
	total := 0
	synctest.Test(t, func(t *testing.T) {
		left, n, err := restored(t.TempDir(), file, nothingFails, rand.New(rand.NewPCG(1, 1)))
		if total = n; err != nil || left != "whole" {
			t.Fatalf("with nothing wrong: %s, %v", left, err)
		}
	})
	for name, f := range map[string]disktest.Fault{
		"process": {End: disktest.Process}, "power": {End: disktest.Power}, "error": {Err: syscall.EIO}, "done, and an error": {Err: syscall.EIO, Done: true},
		"full": {Err: syscall.ENOSPC, Keep: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			count := make(map[string]int)
			for at := 1; at <= total+1; at++ {
				again := seeds
				if at > total-publishes {
					again *= 16
				}
				for seed := range again {
					r := rand.New(rand.NewPCG(uint64(at), uint64(seed)))
					end, then := disktest.End(r.IntN(3)), at+1+r.IntN(cleansUp)
					synctest.Test(t, func(t *testing.T) {
						left, _, err := restored(t.TempDir(), file, func(n int) disktest.Fault {
							switch n {
							case at:
								return f
							case then:
								return disktest.Fault{End: end}
							}
							return disktest.Fault{}
						}, r)
						if err != nil {
							t.Fatalf("operation %d of %d, seed %d: %v", at, total, seed, err)
						}
						count[left]++
					})
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("of %d operations: %v", total, count)
			if count["whole"] == 0 || count["unfinished"] < 10 {
				t.Error("too little happened for this to mean anything")
			}
		})
	}
}

const (
	publishes = 8  // operations at the end of a restore, with which it takes its place
	cleansUp  = 12 // operations after a failure in which an end may come
)

func nothingFails(int) disktest.Fault { return disktest.Fault{} }

// backedUp makes a deployment, and a backup of it for its seal.
func backedUp(t *testing.T) []byte {
	d := disktest.New(t.TempDir(), rand.New(rand.NewPCG(1, 1)))
	s, err := open(d, layout{segment: 8 << 10, reserve: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range restoredKeys {
		if _, err := s.do("CreateKey", fmt.Sprint("request-", i), &api.CreateKeyRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	if err := errors.Join(s.p.Close(ctx), s.log.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := backup.Take(ctx, backup.Source{Seal: s.sealed, Log: backup.DirLog(auditDir(d)), Keyturn: "test", Now: time.Now}, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	_, err = b.Write(ctx, &file)
	b.Close()
	if err := errors.Join(err, s.raw.Close()); err != nil {
		t.Fatal(err)
	}
	d.Forget()
	return file.Bytes()
}

func sealKey(b byte) seal.Provider { return seal.NewKeyFile(bytes.Repeat([]byte{b}, 32)) }

// restored restores on a disk that fails as it is told, and looks at what the next start finds: a "whole" deployment, an "unfinished" one,
// which nobody opens, or "nothing". n is how many operations there were.
func restored(root string, file []byte, fails func(n int) disktest.Fault, r *rand.Rand) (left string, n int, err error) {
	begin, cut := filepath.Join(root, "1"), filepath.Join(root, "2")
	if err := errors.Join(os.Mkdir(begin, 0o700), os.Mkdir(cut, 0o700)); err != nil {
		return "", 0, err
	}
	d := disktest.New(begin, r)
	defer func() { d.Forget() }()
	if err := errors.Join(d.Mkdir(dataDir(d), 0o700), d.SyncDir(d.Root())); err != nil {
		return "", 0, err
	}
	failed := false
	d.Decide(func(disktest.Op) disktest.Fault {
		n++
		f := fails(n)
		failed = failed || f != disktest.Fault{}
		return f
	})
	answer := restore(d, file)
	if answer != nil && !failed {
		return "", 0, fmt.Errorf("restoring, with nothing wrong: %w", answer)
	}
	ended := d.Ended()
	d.Forget()
	if ended == disktest.Process || ended == disktest.Nothing && answer != nil && r.IntN(2) == 0 {
		d = d.Restart()
	} else if d, err = d.PowerCut(cut); err != nil {
		return "", 0, err
	}
	left, err = look(d)
	if err == nil && answer == nil && left != "whole" {
		err = fmt.Errorf("the restore said that it was done, and left %s", left)
	}
	return left, n, err
}

// restore is keyturn restore.
func restore(d *disktest.Disk, file []byte) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	defer func() {
		if ctx.Err() != nil {
			panic("the restore does not end")
		}
	}()
	chain, err := backup.Open([]io.Reader{bytes.NewReader(file)}, backup.NewSealIdentity(ctx, sealKey(0)))
	if err != nil {
		return err
	}
	dir, err := backup.BeginDir(d, dataDir(d), workFolder, "audit", "store.db")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	_, err = backup.Restore(ctx, chain, backup.Target{
		Load: func(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
			path := filepath.Join(dir.Work, "store.db")
			if err := boltstore.Load(ctx, d, path, head, entries); err != nil {
				return nil, err
			}
			return boltstore.Open(path, boltstore.Options{FS: d})
		},
		AuditDir: filepath.Join(dir.Work, "audit"), FS: d, Provider: sealKey(1), Node: func(deployment string) string { return deployment[:8] },
		Owner: record.Owner{Account: account, Region: region}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return dir.Publish()
}

// look tells what is in the data directory.
func look(d *disktest.Disk) (left string, err error) {
	entries, err := os.ReadDir(dataDir(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	switch {
	case slices.Contains(names, workFolder):
		return "unfinished", nil
	case len(names) == 0:
		return "nothing", nil
	}
	if !slices.Equal(names, []string{"audit", "store.db"}) {
		return "", fmt.Errorf("what opens has %q", names)
	}
	ctx := context.Background()
	raw, err := boltstore.Open(filepath.Join(dataDir(d), "store.db"), boltstore.Options{FS: d, ReadOnly: true})
	if err != nil {
		return "", err
	}
	defer raw.Close()
	sealed, err := seal.Open(ctx, raw, seal.Options{Provider: sealKey(1), Now: time.Now()})
	if err != nil {
		return "", err
	}
	snapshot, err := sealed.TakeSnapshot(ctx)
	if err != nil {
		return "", err
	}
	defer snapshot.Close()
	scratch := filepath.Join(d.Root(), "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return "", err
	}
	report, err := verify.Run(ctx, verify.Config{Snapshot: snapshot, Log: verify.LogDir{Dir: auditDir(d)}, Scratch: scratch})
	if err != nil {
		return "", err
	}
	if h := report.History; report.Total() != 0 || report.Keys != restoredKeys || h.Unvouched+h.Uncovered != 0 || len(h.Restored) != 1 {
		return "", fmt.Errorf("verifying: %v, %d keys, %+v", report.Findings, report.Keys, h)
	}
	return "whole", nil
}
