package seal

import (
	"context"
	"errors"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// between is an engine under which something happens before and after what one read sees.
type between struct {
	store.Store
	before, after func()
}

func (b *between) around(read func() ([]store.Entry, error)) ([]store.Entry, error) {
	before, after := b.before, b.after
	b.before, b.after = nil, nil
	if before != nil {
		before()
	}
	entries, err := read()
	if after != nil {
		after()
	}
	return entries, err
}

func (b *between) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	return b.around(func() ([]store.Entry, error) { return b.Store.Get(ctx, keys...) })
}

func (b *between) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	return b.around(func() ([]store.Entry, error) { return b.Store.Scan(ctx, prefix, after, limit) })
}

// TestReadMeanwhile: the version that sealed a value is destroyed, or made, while the value is read. Neither is damage.
func TestReadMeanwhile(t *testing.T) {
	reads := map[string]func(*Store) (string, error){
		"Get": func(s *Store) (string, error) { return get(s, "k/00001") },
		"Scan": func(s *Store) (string, error) {
			entries, err := s.Scan(context.Background(), "k/", "k/00000", 1)
			if err != nil {
				return "", err
			}
			return string(entries[0].Value), nil
		},
	}
	for name, read := range reads {
		raw := &between{Store: memstore.New()}
		s := mustOpen(t, raw, options(1))
		fillStore(t, s, 3)
		at := testTime
		renew := func() { // and destroys all but the newest
			rotate(t, s, at)
			reseal(t, s)
			at = at.Add(TokenLife)
			if gone, err := s.DestroyRetired(t.Context(), at); err != nil || len(gone) == 0 {
				t.Fatalf("destroyed %v, %v", gone, err)
			}
		}
		for when, set := range map[string]func(){
			"destroyed after the read": func() { raw.after = renew },
			"made before the read":     func() { raw.before = renew },
			"made and destroyed":       func() { raw.before, raw.after = renew, renew },
		} {
			set()
			if got, err := read(s); err != nil || got != "value 1" || s.Damage() != nil {
				t.Errorf("%s, %s: %q, %v; damage: %v", name, when, got, err, s.Damage())
			}
		}
		// What is damaged is told all the same.
		e := entries(t, raw)["k/00001"]
		e.Value[len(e.Value)-1] ^= 1
		put(t, raw.Store, "k/00001", string(e.Value))
		raw.after = func() { rotate(t, s, at) }
		if _, err := read(s); !errors.Is(err, ErrDamaged) || !errors.Is(s.Damage(), ErrDamaged) {
			t.Errorf("%s: %v; damage: %v", name, err, s.Damage())
		}
	}
}

// TestWatchDestroyed: a watcher that is so far behind that a version is gone starts over. It has seen no damage.
func TestWatchDestroyed(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	put(t, s, "k/a", "1")
	rotate(t, s, testTime)
	reseal(t, s)
	if _, err := s.DestroyRetired(t.Context(), testTime.Add(TokenLife)); err != nil {
		t.Fatal(err)
	}
	for c, err := range s.Watch(t.Context(), "k/", 1) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Errorf("%+v, %v; want ErrCompacted", c, err)
		}
		break
	}
	head := entries(t, raw)["k/a"].Rev
	for c, err := range s.Watch(t.Context(), "k/", head-1) {
		if err != nil || string(c.Value) != "1" {
			t.Errorf("from there on: %q, %v", c.Value, err)
		}
		break
	}
	if err := s.Damage(); err != nil {
		t.Errorf("damage: %v", err)
	}
}
