package backup

import (
	"bytes"
	"context"
	"crypto/fips140"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// needsAge skips a test where age cannot work.
func needsAge(t testing.TB) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("age uses ChaCha20-Poly1305, which FIPS 140-only mode refuses")
	}
}

var testTime = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func testProvider(b byte) seal.Provider { return seal.NewKeyFile(bytes.Repeat([]byte{b}, 32)) }

// deployment is a store with its log, as a server would leave them.
type deployment struct {
	t     testing.TB
	raw   store.Store
	store *seal.Store
	log   *audit.Memory
	rng   *rand.Rand
	n     int
	tag   string // of its events
}

func newDeployment(t testing.TB, seed uint64) *deployment {
	t.Helper()
	return openDeployment(t, seed, memstore.New())
}

func openDeployment(t testing.TB, seed uint64, raw store.Store) *deployment {
	t.Helper()
	s, err := seal.Open(t.Context(), raw, seal.Options{Provider: testProvider(1), Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &deployment{t: t, raw: raw, store: s, log: audit.NewMemory(10_000), rng: rand.New(rand.NewPCG(seed, 1))}
}

// account is the record of the i-th account.
func account(i int, name string) *record.Account {
	a := &record.Account{ID: fmt.Sprintf("%012d", i), Name: name, Created: testTime}
	a.By = record.Provenance{Version: 1, Event: "e"}
	return a
}

// change makes, changes and deletes accounts at random, with an index and a counter, and logs it.
func (d *deployment) change(steps int) {
	d.t.Helper()
	for range steps {
		i := d.rng.IntN(60)
		a := account(i, fmt.Sprint("name ", d.n))
		value, err := record.Encode(a)
		if err != nil {
			d.t.Fatal(err)
		}
		d.n++
		index := "i/test/" + a.ID
		b := store.Batch{Writes: []store.Write{{Key: a.StoreKey(), Value: value}, {Key: index}, {Key: "c/test", Value: record.EncodeCounter(int64(d.n))}}}
		if d.rng.IntN(4) == 0 {
			b.Writes[0], b.Writes[1] = store.Write{Key: a.StoreKey(), Delete: true}, store.Write{Key: index, Delete: true}
		}
		if _, err := d.store.Commit(d.t.Context(), b); err != nil {
			d.t.Fatal(err)
		}
		if _, err := d.log.Append(fmt.Appendf(nil, `{"eventID":"%s%d","eventName":"Change"}`, d.tag, d.n)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// entries are what a store holds, opened.
func entries(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	list, err := s.Scan(t.Context(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, e := range list {
		m[e.Key] = string(e.Value)
	}
	return m
}

func (d *deployment) take(o Options) *Backup {
	d.t.Helper()
	b, err := Take(d.t.Context(), d.source(), o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(b.Close)
	return b
}

func (d *deployment) source() Source {
	return Source{Seal: d.store, Log: SinkLog{d.log}, Keyturn: "test", Now: func() time.Time { return testTime }}
}

// backup makes one and returns the file.
func (d *deployment) backup(o Options) (*Backup, []byte) {
	d.t.Helper()
	b := d.take(o)
	var out bytes.Buffer
	if _, err := b.Write(d.t.Context(), &out); err != nil {
		d.t.Fatal(err)
	}
	return b, out.Bytes()
}

// keyPair is a recipient with its identity.
func keyPair(t testing.TB) (*Recipients, age.Identity) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r := new(Recipients)
	if err := r.Add(id.Recipient().String()); err != nil {
		t.Fatal(err)
	}
	return r, id
}

// chain opens files.
func chain(t testing.TB, id age.Identity, files ...[]byte) (*Chain, error) {
	t.Helper()
	var readers []io.Reader
	for _, f := range files {
		readers = append(readers, bytes.NewReader(f))
	}
	return Open(readers, id)
}

// restored is what a restore made.
type restored struct {
	*Restored
	raw      store.Store
	store    *seal.Store
	auditDir string
}

// notClosed keeps a store open that its user closes.
type notClosed struct{ store.Store }

func (notClosed) Close() error { return nil }

// restore restores files into memory, an hour after they were made.
func restore(t testing.TB, id age.Identity, files ...[]byte) (*restored, error) {
	t.Helper()
	return restoreAt(t, testTime.Add(time.Hour), id, files...)
}

func restoreAt(t testing.TB, now time.Time, id age.Identity, files ...[]byte) (*restored, error) {
	t.Helper()
	c, err := chain(t, id, files...)
	if err != nil {
		return nil, err
	}
	out := &restored{auditDir: filepath.Join(t.TempDir(), "audit")}
	out.Restored, err = Restore(t.Context(), c, Target{
		Load: func(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
			s, err := memstore.Load(ctx, head, entries)
			if err != nil {
				return nil, err
			}
			out.raw = s
			return notClosed{s}, nil
		},
		AuditDir: out.auditDir, Provider: testProvider(2), Node: func(d string) string { return d[:8] },
		Owner: record.Owner{Account: "111122223333", Region: "eu-central-1"},
		Now:   func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	out.store, err = seal.Open(t.Context(), out.raw, seal.Options{Provider: testProvider(2), Now: testTime})
	return out, err
}
