package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/store/storetest"
	"github.com/keyturn/keyturn/internal/xaes"
)

// sumOf tells MAC keys apart: a ciphertext made under one parses only under the same.
func sumOf(t testing.TB, ring *Keyring) string {
	t.Helper()
	// Ciphertexts are random, so compare through parsing a fixed body: the MAC of a blob whose other bytes are fixed.
	aead, err := xaes.New(testKey(3))
	if err != nil {
		t.Fatal(err)
	}
	fixed := keys.NewMACKey(1, bytes.Repeat([]byte{7}, 32))
	id, _ := keys.ParseKeyID("01000000-0000-0000-0000-000000000000")
	blob, err := keys.Seal(nil, []byte("x"), keys.XAES, id, keys.MaterialID{2}, aead, fixed, "111122223333", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ParseCiphertext(blob, ring); err == nil {
		return "fixed"
	}
	return ring.Deployment() // random: equal to no other
}

func TestValuesStayAtTheirKeys(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, s, "k/a", "one")
	put(t, s, "k/b", "two")
	a, _ := get(raw, "k/a")
	b, _ := get(raw, "k/b")
	put(t, raw, "k/a", b)
	put(t, raw, "k/b", a)
	if s.Damage() != nil {
		t.Fatal("damage before anything was read")
	}
	for _, key := range []string{"k/a", "k/b"} {
		if v, err := get(s, key); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s after a swap: %q, %v; want ErrDamaged", key, v, err)
		}
	}
	if _, err := s.Scan(t.Context(), "k/", "", 10); !errors.Is(err, ErrDamaged) {
		t.Errorf("Scan after a swap: %v, want ErrDamaged", err)
	}
	put(t, raw, "k/a", a)
	put(t, raw, "k/b", b)
	if v, err := get(s, "k/a"); err != nil || v != "one" {
		t.Errorf("put back: %q, %v", v, err)
	}
	if err := s.Damage(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "k/a") {
		t.Errorf("Damage() = %v, want the first one met, for good", err)
	}
}

func TestEveryByteOfAValue(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, s, "k/a", "a value")
	good, _ := get(raw, "k/a")
	for i := range len(good) {
		altered := []byte(good)
		altered[i] ^= 1
		put(t, raw, "k/a", string(altered))
		if v, err := get(s, "k/a"); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d altered: %q, %v", i, v, err)
		}
		put(t, raw, "k/a", good[:i])
		if v, err := get(s, "k/a"); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %q, %v", i, v, err)
		}
	}
	put(t, raw, "k/a", good+"x")
	if v, err := get(s, "k/a"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %q, %v", v, err)
	}
}

func TestReserved(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	before := contents(t, raw)
	for _, w := range []store.Write{{Key: metaKey, Value: []byte("x")}, {Key: metaKey, Delete: true}, {Key: "sys/other"}} {
		if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: "k/a"}, w}}); err == nil {
			t.Errorf("%s was written", w.Key)
		}
	}
	if after := contents(t, raw); len(after) != len(before) || after[metaKey] != before[metaKey] {
		t.Error("something was written")
	}
}

func TestWatch(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, s, "k/a", "one")
	if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: "k/a", Delete: true}, {Key: "k/b", Value: []byte{}}}}); err != nil {
		t.Fatal(err)
	}
	sealed, _ := get(raw, "k/b")
	put(t, raw, "k/c", sealed) // moved: damaged
	var got []string
	var end error
	for c, err := range s.Watch(t.Context(), "", 0) {
		if err != nil {
			end = err
			break
		}
		if !c.Progress && c.Key != metaKey {
			got = append(got, fmt.Sprintf("%s=%q deleted=%v", c.Key, c.Value, c.Deleted))
		}
	}
	want := `k/a="one" deleted=false; k/a="" deleted=true; k/b="" deleted=false`
	if strings.Join(got, "; ") != want || !errors.Is(end, ErrDamaged) {
		t.Errorf("watched %s, then %v; want %s, then ErrDamaged", strings.Join(got, "; "), end, want)
	}
	if s.Damage() == nil {
		t.Error("damage met while watching is not noted")
	}
}

// TestStoreSuite runs the suite of engines over the sealed store: sealing must be invisible but for the bytes it adds to a batch,
// which roomy makes up for.
func TestStoreSuite(t *testing.T) {
	data := &keyringData{Keys: []keyringKey{{Version: 1, Seal: testKey(1), MAC: testKey(2)}, {Version: 2, Seal: testKey(3), MAC: testKey(4)}}}
	ring, err := newRing(meta{Deployment: "test"}, nil, *data)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(t *testing.T) store.Store {
		// Without Open, so that revisions start at 0.
		s := plain{newStore(&roomy{Store: memstore.New()}, ring, nil)}
		t.Cleanup(func() { s.Close() })
		return s
	}, nil)
}

// plain refuses what is too large before it is sealed, as every engine would.
type plain struct{ store.Store }

func (p plain) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	if err := b.Validate(); err != nil {
		return 0, err
	}
	return p.Store.Commit(ctx, b)
}

// roomy keeps large values of a batch that would be too large beside the engine, by their hash, so that a full batch has room
// for what sealing adds.
type roomy struct {
	store.Store
	large sync.Map // hash to []byte
}

const largeValue = 4096

func (r *roomy) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	if b.Validate() == nil {
		return r.Store.Commit(ctx, b)
	}
	writes := make([]store.Write, len(b.Writes))
	for i, w := range b.Writes {
		if len(w.Value) > largeValue {
			hash := sha256.Sum256(w.Value)
			r.large.Store(hash, bytes.Clone(w.Value))
			w.Value = append([]byte("large"), hash[:]...)
		}
		writes[i] = w
	}
	return r.Store.Commit(ctx, store.Batch{Checks: b.Checks, Writes: writes})
}

func (r *roomy) restore(v []byte) []byte {
	if hash, ok := bytes.CutPrefix(v, []byte("large")); ok {
		if large, ok := r.large.Load([sha256.Size]byte(hash)); ok {
			return bytes.Clone(large.([]byte))
		}
	}
	return v
}

func (r *roomy) restoreAll(entries []store.Entry, err error) ([]store.Entry, error) {
	for i := range entries {
		entries[i].Value = r.restore(entries[i].Value)
	}
	return entries, err
}

func (r *roomy) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	return r.restoreAll(r.Store.Get(ctx, keys...))
}

func (r *roomy) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	return r.restoreAll(r.Store.Scan(ctx, prefix, after, limit))
}

func (r *roomy) Watch(ctx context.Context, prefix string, from store.Rev) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for c, err := range r.Store.Watch(ctx, prefix, from) {
			c.Value = r.restore(c.Value)
			if !yield(c, err) {
				return
			}
		}
	}
}

// TestKeyringVersions checks that a newer keyring opens what an older one sealed, and not the other way round.
func TestKeyringVersions(t *testing.T) {
	raw := memstore.New()
	first := keyringKey{Version: 1, Seal: testKey(1), MAC: testKey(2)}
	second := keyringKey{Version: 2, Seal: testKey(3), MAC: testKey(4)}
	open := func(list ...keyringKey) *Store {
		ring, err := newRing(meta{Deployment: "test"}, nil, keyringData{Keys: list})
		if err != nil {
			t.Fatal(err)
		}
		return newStore(raw, ring, nil)
	}
	old, young := open(first), open(first, second)
	put(t, old, "k/a", "old")
	put(t, young, "k/b", "young")
	if v, err := get(young, "k/a"); err != nil || v != "old" {
		t.Errorf("the newer keyring reads %q, %v", v, err)
	}
	if _, err := get(old, "k/b"); !errors.Is(err, ErrDamaged) {
		t.Errorf("the older keyring reads what the newer sealed: %v", err)
	}
	for name, list := range map[string][]keyringKey{
		"none": {}, "gap": {first, {Version: 3, Seal: testKey(1), MAC: testKey(2)}}, "zero": {{Seal: testKey(1), MAC: testKey(2)}},
		"short seal key": {{Version: 1, Seal: testKey(1)[:31], MAC: testKey(2)}}, "short MAC key": {{Version: 1, Seal: testKey(1), MAC: testKey(2)[:15]}},
		"current one destroyed": {first, {Version: 2, MAC: testKey(2), Destroyed: testTime}}, "no seal key": {{Version: 1, MAC: testKey(2)}, second},
	} {
		if _, err := newRing(meta{}, nil, keyringData{Keys: list}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

// TestConcurrency uses one sealed store from many goroutines; -race watches.
func TestConcurrency(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, raw, "k/bad", "not sealed")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("k/%d/%d", w, i)
				put(t, s, key, key)
				if v, err := get(s, key); err != nil || v != key {
					t.Errorf("%s: %q, %v", key, v, err)
				}
				if _, err := get(s, "k/bad"); !errors.Is(err, ErrDamaged) {
					t.Errorf("k/bad: %v", err)
				}
				if s.Damage() == nil {
					t.Error("damage was forgotten")
				}
			}
		})
	}
	wg.Wait()
}
