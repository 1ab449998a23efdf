package backup

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

var scaleKeys = flag.Int("keys", 2000, "how many keys TestScale makes, backs up and restores")

// TestScale backs up and restores as many keys as it is told, each with material, alias and all that follows from them, in boltstore, and says
// what it took. Memory must not grow with the number of keys: that of a million (-keys 1000000) is bounded as that of a few.
func TestScale(t *testing.T) {
	needsAge(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	n := 0
	timed := func(what string, f func() error) {
		t.Helper()
		stop := watchHeap()
		start := time.Now()
		err := f()
		took, heap := time.Since(start), stop()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%-22s %8.2f s, heap at most %4d MiB", what, took.Seconds(), heap>>20)
		if heap > 512<<20 && what != "making" {
			t.Errorf("%s: the heap grew to %d MiB", what, heap>>20)
		}
	}
	var raw store.Store
	timed("making", func() (err error) {
		n, err = makeStore(t.Context(), path, *scaleKeys)
		if err == nil {
			raw, err = boltstore.Open(path, boltstore.Options{})
		}
		return err
	})
	defer raw.Close() //nolint:errcheck // of a test
	s, err := seal.Open(t.Context(), raw, seal.Options{Provider: testProvider(1), Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	to, id := keyPair(t)
	files := []string{filepath.Join(dir, "full"), filepath.Join(dir, "incremental")}
	var since *Position
	log := audit.NewMemory(1)
	if _, err := log.Append([]byte(`{"eventID":"e"}`)); err != nil {
		t.Fatal(err)
	}
	for i, name := range files {
		timed("backup "+filepath.Base(name), func() error {
			f, err := os.Create(name)
			if err != nil {
				return err
			}
			b, err := Take(t.Context(), Source{Seal: s, Log: SinkLog{log}, Now: func() time.Time { return testTime }}, Options{Recipients: to, Since: since, NoAudit: true})
			if err != nil {
				return err
			}
			defer b.Close()
			since = &b.Position
			_, err = b.Write(t.Context(), f)
			return err
		})
		if i > 0 {
			break
		}
		for range max(1, *scaleKeys/100/50) { // a hundredth of the keys changes
			if err := touch(t.Context(), s, 50); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := func() (*Chain, func()) {
		var list []io.Reader
		var opened []*os.File
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			list, opened = append(list, f), append(opened, f)
		}
		c, err := Open(list, id)
		if err != nil {
			t.Fatal(err)
		}
		return c, func() {
			for _, f := range opened {
				_ = f.Close() // it was only read
			}
		}
	}
	timed("verify both", func() error {
		c, closeAll := open()
		defer closeAll()
		v, err := Verify(t.Context(), c)
		if err == nil && v.Entries < int64(n) {
			err = fmt.Errorf("%d entries of %d", v.Entries, n)
		}
		return err
	})
	timed("restore both", func() error {
		c, closeAll := open()
		defer closeAll()
		_, err := Restore(t.Context(), c, Target{
			Load: func(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
				to := filepath.Join(dir, "restored.db")
				if err := boltstore.Load(ctx, disk.OS, to, head, entries); err != nil {
					return nil, err
				}
				return boltstore.Open(to, boltstore.Options{})
			},
			AuditDir: filepath.Join(dir, "audit"), Provider: testProvider(2), Node: func(d string) string { return d[:8] },
			Owner: record.Owner{Account: "111122223333"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		return err
	})
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size() >> 10
	}
	t.Logf("%d keys, %d entries: store %d KiB, full %d KiB, incremental %d KiB, restored %d KiB",
		*scaleKeys, n, size(path), size(files[0]), size(files[1]), size(filepath.Join(dir, "restored.db")))
}

// watchHeap looks at the heap until the returned function is called, which tells the most that was seen.
func watchHeap() func() uint64 {
	runtime.GC()
	var most atomic.Uint64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-stopped
		return most.Load()
	}
}

// scaleRecords are the records of the i-th key.
func scaleRecords(i int) ([]record.Record, error) {
	owner := record.Owner{Account: "111122223333", Region: "eu-central-1"}
	id := keys.NewKeyID()
	secret := bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(i >> 16), 7}, 8)
	material, err := keys.NewMaterialID(secret, id)
	if err != nil {
		return nil, err
	}
	k := &record.Key{
		Owner: owner, ID: id.String(), Created: testTime, Spec: "SYMMETRIC_DEFAULT", Usage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS", Manager: record.Customer,
		State: record.Enabled, Current: material.String(), Materials: 1, Rotation: record.Rotation{Enabled: true, Days: 365, Next: testTime.AddDate(1, 0, i%300)},
	}
	list := []record.Record{
		k, &record.Material{Owner: owner, KeyID: k.ID, ID: material.String(), Created: testTime, Secret: secret},
		&record.Alias{Owner: owner, Name: fmt.Sprintf("alias/key-%07d", i), KeyID: k.ID, Created: testTime, Updated: testTime},
	}
	for _, r := range list {
		*r.Provenance() = record.Provenance{Version: 1, Event: keys.NewKeyID().String()}
	}
	return list, nil
}

// makeStore writes a sealed store of n keys, and returns how many entries it has.
func makeStore(ctx context.Context, path string, n int) (int, error) {
	var plain []store.Entry
	counters := map[string]int64{}
	for i := range n {
		list, err := scaleRecords(i)
		if err != nil {
			return 0, err
		}
		for _, r := range list {
			value, err := record.Encode(r)
			if err != nil {
				return 0, err
			}
			plain = append(plain, store.Entry{Key: r.StoreKey(), Value: value})
			for _, x := range r.Indexes() {
				plain = append(plain, store.Entry{Key: x})
			}
			for _, c := range r.Counters() {
				counters[c]++
			}
		}
	}
	for c, v := range counters {
		plain = append(plain, store.Entry{Key: c, Value: record.EncodeCounter(v)})
	}
	slices.SortFunc(plain, func(a, b store.Entry) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
	sealer := new(catch)
	s, err := seal.Open(ctx, sealer, seal.Options{Provider: testProvider(1), Now: testTime})
	if err != nil {
		return 0, err
	}
	meta := sealer.last
	err = boltstore.Load(ctx, disk.OS, path, 1000, func(yield func(store.Entry, error) bool) {
		done := false
		for _, e := range plain {
			if !done && e.Key > meta.Key {
				done = true
				if !yield(store.Entry{Key: meta.Key, Value: meta.Value, Rev: 1}, nil) {
					return
				}
			}
			_, err := s.Commit(ctx, store.Batch{Writes: []store.Write{{Key: e.Key, Value: e.Value}}})
			if !yield(store.Entry{Key: e.Key, Value: sealer.last.Value, Rev: 2}, err) {
				return
			}
		}
		if !done {
			yield(store.Entry{Key: meta.Key, Value: meta.Value, Rev: 1}, nil)
		}
	})
	return len(plain), err
}

// catch is an engine that keeps nothing but the last write: the seal on it seals values for others.
type catch struct {
	store.Store
	last store.Write
}

func (*catch) Get(_ context.Context, names ...string) ([]store.Entry, error) {
	return make([]store.Entry, len(names)), nil
}

func (*catch) Scan(context.Context, string, string, int) ([]store.Entry, error) { return nil, nil }

func (c *catch) Commit(_ context.Context, b store.Batch) (store.Rev, error) {
	c.last = b.Writes[len(b.Writes)-1]
	return 1, nil
}

// touch makes n keys more, and changes as many.
func touch(ctx context.Context, s *seal.Store, n int) error {
	page, err := s.Scan(ctx, "k/", "k/111122223333/eu-central-1/"+keys.NewKeyID().String(), n)
	if err != nil {
		return err
	}
	var b store.Batch
	for _, e := range page {
		b.Writes = append(b.Writes, store.Write{Key: e.Key, Value: e.Value})
	}
	_, err = s.Commit(ctx, b)
	return err
}
