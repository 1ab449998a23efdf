package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/store"
)

// A sealed value: 1 byte format version, 4 bytes keyring version, then XAES-256-GCM with the header and the store key as
// additional data, so that no value can be moved to another key.
const (
	valueV1    = 1
	headerSize = 5
)

// reservedPrefix is that of the keys that belong to this package.
const reservedPrefix = "sys/"

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
}

func newStore(raw store.Store, ring *Keyring) *Store { return &Store{raw: raw, ring: ring} }

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

func additionalData(header []byte, key string) []byte {
	b := make([]byte, 0, 24+headerSize+len(key))
	b = append(b, "keyturn value"...)
	b = append(b, header[:headerSize]...)
	return append(b, key...)
}

func (s *Store) seal(key string, value []byte) ([]byte, error) {
	version := uint32(len(s.ring.versions))
	header := binary.BigEndian.AppendUint32([]byte{valueV1}, version)
	return s.ring.versions[version-1].aead.Seal(header, value, additionalData(header, key))
}

func (s *Store) open(e *store.Entry) error {
	if e.Rev == 0 {
		return nil
	}
	plain, err := s.openValue(e.Key, e.Value)
	e.Value = plain
	return err
}

func (s *Store) openValue(key string, sealed []byte) ([]byte, error) {
	if len(sealed) < headerSize {
		return nil, s.note(fmt.Errorf("%w: value of %s is cut short", ErrDamaged, key))
	}
	if sealed[0] != valueV1 {
		return nil, s.note(fmt.Errorf("%w: value of %s has format %d", ErrDamaged, key, sealed[0]))
	}
	version := binary.BigEndian.Uint32(sealed[1:])
	if version == 0 || int64(version) > int64(len(s.ring.versions)) {
		return nil, s.note(fmt.Errorf("%w: value of %s is sealed by keyring version %d, which does not exist", ErrDamaged, key, version))
	}
	plain, err := s.ring.versions[version-1].aead.Open(make([]byte, 0, len(sealed)), sealed[headerSize:], additionalData(sealed, key))
	if err != nil {
		return nil, s.note(fmt.Errorf("%w: value of %s does not open", ErrDamaged, key))
	}
	return plain, nil
}

// Get implements store.Store. A value that does not open is ErrDamaged.
func (s *Store) Get(ctx context.Context, ks ...string) ([]store.Entry, error) {
	for _, k := range ks {
		if err := reserved(k); err != nil {
			return nil, err
		}
	}
	entries, err := s.raw.Get(ctx, ks...)
	return s.openAll(entries, err)
}

// Scan implements store.Store. A value that does not open is ErrDamaged.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if !strings.HasPrefix(reservedPrefix, prefix) || limit < 1 {
		entries, err := s.raw.Scan(ctx, prefix, after, limit)
		return s.openAll(entries, err)
	}
	// The page may meet the one key that is not for the caller.
	entries, err := s.raw.Scan(ctx, prefix, after, limit+1)
	entries = slices.DeleteFunc(entries, func(e store.Entry) bool { return reserved(e.Key) != nil })
	return s.openAll(entries[:min(len(entries), limit)], err)
}

func (s *Store) openAll(entries []store.Entry, err error) ([]store.Entry, error) {
	if err != nil {
		return nil, s.note(err)
	}
	for i := range entries {
		if err := s.open(&entries[i]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	writes := make([]store.Write, len(b.Writes))
	for i, w := range b.Writes {
		if err := reserved(w.Key); err != nil {
			return 0, err
		}
		if !w.Delete {
			sealed, err := s.seal(w.Key, w.Value)
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

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, from store.Rev) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for c, err := range s.raw.Watch(ctx, prefix, from) {
			if err == nil && !c.Progress && !c.Deleted && reserved(c.Key) == nil {
				c.Value, err = s.openValue(c.Key, c.Value)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// Close closes the engine.
func (s *Store) Close() error { return s.raw.Close() }
