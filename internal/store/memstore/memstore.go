// Package memstore is the store engine that keeps everything in memory: for tests, and for a service that may forget.
package memstore

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// scanCheck is how many entries Scan copies between two looks at its context.
const scanCheck = 1024

// Store implements store.Store. It starts no goroutine and keeps no clock of its own.
type Store struct {
	mu      sync.RWMutex
	data    skiplist
	head    store.Rev
	closed  bool
	history *store.History
	meter   store.Meter
}

var _ store.Store = (*Store)(nil)

// New returns an empty store at revision 0.
func New() *Store {
	return &Store{history: store.NewHistory(0)}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	entries := make([]store.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
		if n := s.data.get(key); n != nil {
			entries[i] = n.entry()
		}
	}
	return entries, nil
}

// Scan implements store.Store. A limit below 1 is an error.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("store: scan limit %d, must be at least 1", limit)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	n, _ := s.data.seek(max(prefix, after))
	if n != nil && after != "" && n.key == after {
		n = n.next[0]
	}
	var entries []store.Entry
	for ; n != nil && len(entries) < limit && strings.HasPrefix(n.key, prefix); n = n.next[0] {
		if len(entries)%scanCheck == scanCheck-1 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		entries = append(entries, n.entry())
	}
	return entries, nil
}

// Commit implements store.Store; durable means for the life of the process.
func (s *Store) Commit(ctx context.Context, b store.Batch) (_ store.Rev, err error) {
	defer func(start time.Time) { s.meter.Committed(start, err) }(time.Now())
	if err := b.Validate(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	for _, c := range b.Checks {
		var rev store.Rev
		if n := s.data.get(c.Key); n != nil {
			rev = n.rev
		}
		if rev != c.Rev {
			return 0, fmt.Errorf("%w: key %q is at revision %d, not %d", store.ErrConflict, c.Key, rev, c.Rev)
		}
	}
	s.head++
	changes := make([]store.Change, 0, len(b.Writes))
	for _, w := range b.Writes {
		switch {
		case !w.Delete:
			value := copyOf(w.Value)
			s.data.set(w.Key, value, s.head)
			changes = append(changes, store.Change{Key: w.Key, Value: value, Rev: s.head})
		case s.data.remove(w.Key):
			changes = append(changes, store.Change{Key: w.Key, Rev: s.head, Deleted: true})
		}
	}
	s.history.Append(s.head, changes)
	return s.head, nil
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, from store.Rev) iter.Seq2[store.Change, error] {
	return s.history.Watch(ctx, prefix, from)
}

// Close implements store.Store and drops everything. A second Close returns ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.closed = true
	s.data = skiplist{}
	s.history.Close(store.ErrClosed)
	return nil
}

func (n *node) entry() store.Entry {
	return store.Entry{Key: n.key, Value: copyOf(n.value), Rev: n.rev}
}

// copyOf never returns nil: an empty value is a value, nil is none.
func copyOf(b []byte) []byte {
	return append(make([]byte, 0, len(b)), b...)
}
