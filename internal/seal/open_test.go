package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func options(key byte) Options { return Options{Provider: NewKeyFile(testKey(key)), Now: testTime} }

func mustOpen(t testing.TB, raw store.Store, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), raw, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func put(t testing.TB, s store.Store, key, value string) {
	t.Helper()
	if _, err := s.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatalf("writing %s: %v", key, err)
	}
}

func get(s store.Store, key string) (string, error) {
	entries, err := s.Get(context.Background(), key)
	if err != nil {
		return "", err
	}
	return string(entries[0].Value), nil
}

// contents is all a store holds, revisions included: any write shows.
func contents(t testing.TB, raw store.Store) map[string]string {
	t.Helper()
	entries, err := raw.Scan(context.Background(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, e := range entries {
		m[e.Key] = fmt.Sprintf("%d %x", e.Rev, e.Value)
	}
	return m
}

func TestOpen(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, s, "k/a", "the secret")
	for key, value := range contents(t, raw) {
		if strings.Contains(value, fmt.Sprintf("%x", "the secret")) {
			t.Errorf("%s is in the clear", key)
		}
	}
	before := contents(t, raw)
	again := mustOpen(t, raw, options(1))
	if v, err := get(again, "k/a"); err != nil || v != "the secret" {
		t.Errorf("reopened: %q, %v", v, err)
	}
	if again.Keyring().Deployment() != s.Keyring().Deployment() || again.Keyring().Dev() {
		t.Error("reopened, the keyring is another")
	}
	if _, err := Open(t.Context(), raw, options(2)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another key: %v, want ErrWrongKey", err)
	}
	if _, err := Open(t.Context(), raw, Options{Provider: testPassphrase("correct horse battery")}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another provider: %v, want ErrWrongKey", err)
	}
	if !maps.Equal(before, contents(t, raw)) {
		t.Error("opening wrote something")
	}
	if other := mustOpen(t, memstore.New(), options(1)); other.Keyring().Deployment() == s.Keyring().Deployment() {
		t.Error("two stores have one deployment ID")
	}
}

// TestEveryByteOfMeta alters each byte of what describes the store. It must be refused with a known error, or else open as the
// very same; and nothing may be written.
func TestEveryByteOfMeta(t *testing.T) {
	for _, dev := range []bool{false, true} {
		raw := memstore.New()
		o := options(1)
		o.Dev = dev
		s := mustOpen(t, raw, o)
		put(t, s, "k/a", "v")
		good, err := get(raw, metaKey)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(good) {
			for _, flip := range []byte{0x01, 0x20, 0x80} {
				altered := []byte(good)
				altered[i] ^= flip
				put(t, raw, metaKey, string(altered))
				before := contents(t, raw)
				opened, err := Open(t.Context(), raw, o)
				if err == nil {
					// Bits of base64 that mean nothing: what it says is the same.
					if v, err := get(opened, "k/a"); v != "v" || err != nil || !reflect.DeepEqual(opened.ring.now.Load().data, s.ring.now.Load().data) {
						t.Errorf("dev %v: byte %d ^ %#x opens as something else: %q, %v", dev, i, flip, v, err)
					}
				} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrWrongKey) {
					t.Errorf("dev %v: byte %d (%q) ^ %#x: %v", dev, i, good[max(0, i-12):i+1], flip, err)
				}
				if !maps.Equal(before, contents(t, raw)) {
					t.Fatalf("byte %d: a refused store was written to", i)
				}
			}
		}
		for n := range len(good) {
			put(t, raw, metaKey, good[:n])
			if _, err := Open(t.Context(), raw, o); !errors.Is(err, ErrDamaged) {
				t.Errorf("cut to %d bytes: %v, want ErrDamaged", n, err)
			}
		}
		put(t, raw, metaKey, good)
		mustOpen(t, raw, o)
	}
}

func TestDevFlag(t *testing.T) {
	for _, dev := range []bool{false, true} {
		raw := memstore.New()
		o := options(1)
		o.Dev = dev
		mustOpen(t, raw, o)
		if o.Dev = !dev; true {
			if _, err := Open(t.Context(), raw, o); !errors.Is(err, ErrFormat) {
				t.Errorf("made with dev %v, opened with %v: %v, want ErrFormat", dev, !dev, err)
			}
		}
		// Saying otherwise in the description does not help: the keyring is bound to it.
		meta, err := get(raw, metaKey)
		if err != nil {
			t.Fatal(err)
		}
		put(t, raw, metaKey, strings.Replace(meta, fmt.Sprintf(`"dev":%v`, dev), fmt.Sprintf(`"dev":%v`, !dev), 1))
		if _, err := Open(t.Context(), raw, o); !errors.Is(err, ErrDamaged) {
			t.Errorf("flag turned to %v: %v, want ErrDamaged", !dev, err)
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		meta string // "" leaves it out
		want error
	}{
		{"newer format", `{"format":3,"shape":{"unknown":[1,2]}}`, ErrFormat},
		{"no format", `{}`, ErrFormat},
		{"no JSON", `store`, ErrDamaged},
		{"unknown member", `{"format":1,"more":1}`, ErrDamaged},
		{"data without a keyring", "", ErrDamaged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw := memstore.New()
			put(t, raw, "k/a", "data")
			if test.meta != "" {
				put(t, raw, metaKey, test.meta)
			}
			before := contents(t, raw)
			if _, err := Open(t.Context(), raw, options(1)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if !maps.Equal(before, contents(t, raw)) {
				t.Error("something was written")
			}
		})
	}
}

// TestRace makes two processes open one new store: the second must not make a keyring of its own.
func TestRace(t *testing.T) {
	raw := memstore.New()
	slow := racing{Store: raw, first: func() { mustOpen(t, raw, options(1)) }}
	if s, err := Open(t.Context(), &slow, options(1)); err == nil {
		if v, _ := get(raw, metaKey); !strings.Contains(v, s.Keyring().Deployment()) {
			t.Error("it goes on with a keyring that the store does not have")
		}
	} else if !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

type racing struct {
	store.Store
	first func() // runs before the first commit
}

func (r *racing) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	if r.first != nil {
		r.first()
		r.first = nil
	}
	return r.Store.Commit(ctx, b)
}

func TestFixedMAC(t *testing.T) {
	mac := bytes.Repeat([]byte{7}, 32)
	sum := func(dev bool, fixed []byte) string {
		o := options(1)
		o.Dev, o.FixedMAC = dev, fixed
		ring := mustOpen(t, memstore.New(), o).Keyring()
		return sumOf(t, ring)
	}
	for _, c := range []struct {
		dev   bool
		fixed []byte
		same  bool
	}{{true, mac, true}, {true, nil, false}, {false, mac, false}} {
		first := sum(c.dev, c.fixed)
		if second := sum(c.dev, c.fixed); (first == second) != c.same {
			t.Errorf("dev %v, fixed MAC key %v: two stores agree: %v, want %v", c.dev, c.fixed != nil, first == second, c.same)
		}
	}
}

func TestMACKeyVersions(t *testing.T) {
	ring := mustOpen(t, memstore.New(), options(1)).Keyring()
	if ring.MACKey(1) == nil || ring.MACKey(1) != ring.CurrentMAC() {
		t.Error("version 1 is not there")
	}
	for _, v := range []uint32{0, 2, 1<<32 - 1} {
		if ring.MACKey(v) != nil {
			t.Errorf("version %d is there", v)
		}
	}
}
