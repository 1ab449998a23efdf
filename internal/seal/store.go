package seal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/store"
)

// Reserved is the prefix of the keys that belong to this package.
const Reserved = "sys/"

const reservedPrefix = Reserved

func reserved(key string) error {
	if strings.HasPrefix(key, reservedPrefix) {
		return fmt.Errorf("seal: store key %q is reserved", key)
	}
	return nil
}

// Store is a store.Store whose values are sealed. Keys that start with "sys/" belong to this package.
type Store struct {
	raw     store.Store
	ring    *Keyring
	damaged atomic.Pointer[error] // the first damage met

	changing sync.Mutex // held to change the seal, while its provider works; guards provider
	provider Provider
	admin    sync.Mutex // held to change the keyring; taken after changing
	// sealing is held for reading from the moment a value is sealed until it is committed; whoever takes it for writing knows that
	// nothing sealed by an earlier version is on its way any more.
	sealing sync.RWMutex
	wake    chan struct{} // tells Maintain that the keyring has changed
	passing progress
}

func newStore(raw store.Store, r *ring, p Provider) *Store {
	return &Store{raw: raw, ring: newKeyring(r), provider: p, wake: make(chan struct{}, 1)}
}

// Keyring returns the unsealed keyring.
func (s *Store) Keyring() *Keyring { return s.ring }

// Damage returns the first damage met, or why the engine stopped; nil if neither. The server is not ready from then on.
func (s *Store) Damage() error {
	if p := s.damaged.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) note(err error) error {
	if err != nil && (IsDamage(err) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrClosed)) {
		s.damaged.CompareAndSwap(nil, &err)
	}
	return err
}

// Get implements store.Store. A value that does not open is ErrDamaged.
func (s *Store) Get(ctx context.Context, ks ...string) ([]store.Entry, error) {
	for _, k := range ks {
		if err := reserved(k); err != nil {
			return nil, err
		}
	}
	return s.read(func() ([]store.Entry, error) { return s.raw.Get(ctx, ks...) })
}

// Scan implements store.Store. A value that does not open is ErrDamaged.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	return s.read(func() ([]store.Entry, error) { return scanUnreserved(ctx, s.raw, prefix, after, limit) })
}

// reservedKeys is how many keys there are at most that belong to this package.
const reservedKeys = 2

// scanUnreserved is Scan without the keys that are not for the caller.
func scanUnreserved(ctx context.Context, raw interface {
	Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error)
}, prefix, after string, limit int) ([]store.Entry, error) {
	if !strings.HasPrefix(reservedPrefix, prefix) || limit < 1 {
		return raw.Scan(ctx, prefix, after, limit)
	}
	entries, err := raw.Scan(ctx, prefix, after, limit+reservedKeys)
	entries = slices.DeleteFunc(entries, func(e store.Entry) bool { return reserved(e.Key) != nil })
	return entries[:min(len(entries), limit)], err
}

// read reads from the engine and opens what it read, with the keyring of before: a version that sealed something then may be destroyed by the time
// it is opened. If the keyring has changed meanwhile, what does not open is no damage yet: a version may be newer.
func (s *Store) read(from func() ([]store.Entry, error)) ([]store.Entry, error) {
	for {
		r := s.ring.now.Load()
		entries, err := from()
		if err != nil {
			return nil, s.note(err)
		}
		if err = r.openAll(entries); err == nil {
			return entries, nil
		}
		if s.ring.now.Load() == r {
			return nil, s.note(err)
		}
	}
}

// openAll opens values where they stand.
func (r *ring) openAll(entries []store.Entry) (err error) {
	for i := range entries {
		if e := &entries[i]; e.Rev != 0 {
			if e.Value, err = r.openValue(e.Key, e.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	r := s.ring.now.Load()
	writes := make([]store.Write, len(b.Writes))
	for i, w := range b.Writes {
		if err := reserved(w.Key); err != nil {
			return 0, err
		}
		if !w.Delete {
			sealed, err := r.sealValue(w.Key, w.Value)
			if err != nil {
				return 0, err
			}
			w.Value = sealed
		}
		writes[i] = w
	}
	rev, err := s.raw.Commit(ctx, store.Batch{Checks: b.Checks, Writes: writes})
	return rev, s.note(err)
}

// Watch implements store.Store. Re-sealing a value shows as a change. What a version sealed that is destroyed counts as compacted: it has been
// sealed anew since.
func (s *Store) Watch(ctx context.Context, prefix string, from store.Rev) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for c, err := range s.raw.Watch(ctx, prefix, from) {
			if err == nil && !c.Progress && reserved(c.Key) != nil {
				continue
			}
			if err == nil && !c.Progress && !c.Deleted {
				r := s.ring.now.Load()
				if version, _ := valueVersion(c.Key, c.Value); r.destroyed(version) {
					err = store.ErrCompacted
				} else {
					c.Value, err = r.openValue(c.Key, c.Value)
					err = s.note(err)
				}
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// Close closes the engine.
func (s *Store) Close() error { return s.raw.Close() }
