package boltstore

import (
	"errors"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/store"
)

// readers knows which transactions are being read, snapshots included: bbolt knows it too, but does not tell. Every read begins and
// ends here.
type readers struct {
	mu   sync.Mutex
	open map[int]int   // readers by the transaction whose state they see
	left chan struct{} // closed when one ends; nil if nobody waits for that
}

// begin opens a read of the newest committed state. store.ErrClosed.
func (r *readers) begin(db *bbolt.DB) (*bbolt.Tx, error) {
	// The lock is held while bbolt begins, so that no read is open that is not known. Who ends one gives up bbolt's locks first.
	r.mu.Lock()
	defer r.mu.Unlock()
	tx, err := db.Begin(false)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return nil, store.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	if r.open == nil {
		r.open = make(map[int]int)
	}
	r.open[tx.ID()]++
	return tx, nil
}

func (r *readers) end(tx *bbolt.Tx) {
	id := tx.ID()
	_ = tx.Rollback() // of a read there is nothing to roll back
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[id]--; r.open[id] == 0 {
		delete(r.open, id)
	}
	if r.left != nil {
		close(r.left)
		r.left = nil
	}
}

// before returns nil if nobody reads a state from before the transaction, otherwise what is closed when one read more has ended.
func (r *readers) before(tx int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.open {
		if id < tx {
			if r.left == nil {
				r.left = make(chan struct{})
			}
			return r.left
		}
	}
	return nil
}
