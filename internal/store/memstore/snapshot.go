package memstore

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/store"
)

// snapshot is a list of what there was. Values are shared with the store, which replaces them but never writes to them.
type snapshot struct {
	of      *Store
	entries []store.Entry // by key
	rev     store.Rev
	closed  atomic.Bool
}

// Snapshot implements store.Store. It costs as much as there are keys.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	sn := &snapshot{of: s, rev: s.head}
	for n, _ := s.data.seek(""); n != nil; n = n.next[0] {
		sn.entries = append(sn.entries, store.Entry{Key: n.key, Value: n.value, Rev: n.rev})
	}
	return sn, nil
}

func (sn *snapshot) Rev() store.Rev { return sn.rev }

func (sn *snapshot) Close() { sn.closed.Store(true) }

func (sn *snapshot) err(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sn.of.mu.RLock()
	defer sn.of.mu.RUnlock()
	if sn.closed.Load() || sn.of.closed {
		return store.ErrClosed
	}
	return nil
}

// from returns the entries from a key on.
func (sn *snapshot) from(key string) []store.Entry {
	return sn.entries[sort.Search(len(sn.entries), func(i int) bool { return sn.entries[i].Key >= key }):]
}

func (sn *snapshot) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	if err := sn.err(ctx); err != nil {
		return nil, err
	}
	entries := make([]store.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
		if rest := sn.from(key); len(rest) > 0 && rest[0].Key == key {
			entries[i] = owned(rest[0])
		}
	}
	return entries, nil
}

func (sn *snapshot) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if err := sn.err(ctx); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("store: scan limit %d, must be at least 1", limit)
	}
	var entries []store.Entry
	for _, e := range sn.from(max(prefix, after)) {
		if len(entries) == limit || !strings.HasPrefix(e.Key, prefix) {
			break
		}
		if after == "" || e.Key != after {
			entries = append(entries, owned(e))
		}
	}
	return entries, nil
}

func owned(e store.Entry) store.Entry {
	e.Value = copyOf(e.Value)
	return e
}
