package boltstore

import (
	"context"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// snapshot is a read transaction that stays open. bbolt keeps the pages that it can see, so the file grows by what is written
// meanwhile.
type snapshot struct {
	s   *Store
	rev store.Rev

	mu sync.Mutex // guards tx, and that it is not closed while it is read
	tx *bbolt.Tx  // nil once closed
}

// Snapshot implements store.Store.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.snapshotsMu.Lock()
	defer s.snapshotsMu.Unlock()
	if err := s.err(); err != nil { // looked at under the lock: Close takes it to close what is open
		return nil, err
	}
	sn := &snapshot{s: s}
	err := guarded(func() (err error) {
		sn.tx, err = s.readers.begin(s.db)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = sn.view(ctx, func(r *reader, root uint64) (err error) {
		sn.rev, err = r.meta(root)
		return err
	})
	if err != nil {
		sn.release()
		return nil, err
	}
	s.snapshots[sn] = struct{}{}
	return sn, nil
}

// view is Store.view on the state of the snapshot. Several at once wait for each other.
func (sn *snapshot) view(ctx context.Context, fn func(r *reader, root uint64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.tx == nil {
		return store.ErrClosed
	}
	return guarded(func() error {
		r, root := newReader(sn.s.file, sn.tx, sn.s.pageSize, sn.s.pool)
		defer r.release()
		return fn(r, root)
	})
}

func (sn *snapshot) Rev() store.Rev { return sn.rev }

func (sn *snapshot) Get(ctx context.Context, keys ...string) (entries []store.Entry, err error) {
	err = sn.view(ctx, func(r *reader, root uint64) error {
		entries, err = get(r, root, keys)
		return err
	})
	return entries, err
}

func (sn *snapshot) Scan(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, err error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: scan limit %d, must be at least 1", limit)
	}
	err = sn.view(ctx, func(r *reader, root uint64) error {
		data, err := r.data(root)
		if err != nil {
			return err
		}
		entries, err = scan(ctx, data, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

func (sn *snapshot) Close() {
	sn.s.snapshotsMu.Lock()
	delete(sn.s.snapshots, sn)
	sn.s.snapshotsMu.Unlock()
	sn.release()
}

func (sn *snapshot) release() {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.tx != nil {
		_ = guarded(func() error { sn.s.readers.end(sn.tx); return nil })
		sn.tx = nil
	}
}

// closeSnapshots closes those that are open; there are no new ones once the store is closed.
func (s *Store) closeSnapshots() {
	s.snapshotsMu.Lock()
	defer s.snapshotsMu.Unlock()
	for sn := range s.snapshots {
		sn.release()
	}
	clear(s.snapshots)
}
