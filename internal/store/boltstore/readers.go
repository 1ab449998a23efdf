package boltstore

import (
	"errors"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/store"
)

// readers knows which transactions are being read, snapshots included: bbolt knows it too, but does not tell. Every read begins and
// ends here.
type readers struct {
	mu    sync.Mutex
	open  map[int]int // readers by the transaction whose state they see
	waits []wait
}

// wait is for those who read a state from before a transaction.
type wait struct {
	tx   int
	over chan struct{}
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
	r.waits = slices.DeleteFunc(r.waits, func(w wait) bool {
		over := !r.older(w.tx)
		if over {
			close(w.over)
		}
		return over
	})
}

// older tells whether somebody reads a state from before the transaction. mu is held.
func (r *readers) older(tx int) bool {
	for id := range r.open {
		if id < tx {
			return true
		}
	}
	return false
}

// before returns nil if nobody reads a state from before the transaction, otherwise what is closed once nobody does.
func (r *readers) before(tx int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.older(tx) {
		return nil
	}
	w := wait{tx, make(chan struct{})}
	r.waits = append(r.waits, w)
	return w.over
}
