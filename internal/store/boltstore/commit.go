package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// What one transaction takes at most, so that the first of a group does not wait for too many others.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
)

// request is one Commit on its way to the committer.
type request struct {
	batch store.Batch
	reply chan result // buffered: the committer never waits
}

type result struct {
	rev store.Rev
	err error
}

// Commit implements store.Store. A context that ends before the batch is taken up gives its error, and nothing is
// written; later it changes nothing: Commit waits for the outcome, which takes as long as the disk.
func (s *Store) Commit(ctx context.Context, b store.Batch) (_ store.Rev, err error) {
	defer func(start time.Time) { s.meter.Committed(start, err) }(time.Now())
	if err := b.Validate(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.err(); err != nil {
		return 0, err
	}
	r := &request{batch: b, reply: make(chan result, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.done:
		return 0, s.err()
	}
	out := <-r.reply
	return out.rev, out.err
}

// run is the committer: it writes what waits, in groups, until Close or until a write fails.
func (s *Store) run() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		case r := <-s.requests:
			if !s.commit(s.gather(r)) {
				return
			}
		case job := <-s.jobs:
			job()
			if s.failure.Load() != nil {
				return
			}
		}
	}
}

// gather returns first and whoever else is waiting now.
func (s *Store) gather(first *request) []*request {
	group := []*request{first}
	size := first.size()
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case r := <-s.requests:
			group = append(group, r)
			size += r.size()
		default:
			return group
		}
	}
	return group
}

func (r *request) size() int {
	n := 0
	for _, w := range r.batch.Writes {
		n += len(w.Key) + len(w.Value)
	}
	return n
}

// commit writes the group, tells each caller, and reports whether the engine can go on.
func (s *Store) commit(group []*request) bool {
	g := transaction{head: s.head, results: make([]result, len(group)), overlay: make(map[string]store.Rev)}
	err := s.transact(&g, group)
	if err == nil {
		s.head = g.head
		s.shown.Store(uint64(g.head))
		for _, c := range g.commits {
			s.history.Append(c.rev, c.changes)
		}
	} else if !errors.Is(err, store.ErrNoSpace) {
		if g.reached {
			err = fmt.Errorf("%w: %w", store.ErrUnknown, err)
		}
		s.fail(err)
	}
	for i, r := range group {
		out := g.results[i]
		if err != nil && out.err == nil {
			out = result{err: err}
		}
		r.reply <- out
	}
	return err == nil || errors.Is(err, store.ErrNoSpace)
}

// fail stops the engine. Only the committer calls it, and then ends.
func (s *Store) fail(cause error) {
	s.failure.Store(&cause)
	s.history.Close(s.err())
}

// transaction is what a group of batches becomes.
type transaction struct {
	head    store.Rev
	results []result // one for each batch
	commits []committed
	overlay map[string]store.Rev // keys written so far, 0 if deleted
	old     tree                 // the data before
	data    *bbolt.Bucket        // the data being written
	reached bool                 // the disk may have it
}

type committed struct {
	rev     store.Rev
	changes []store.Change
}

// transact applies the batches in order and writes them. A batch that cannot be applied has its error in the results and
// does not hinder the others. After an error from here the engine must stop, unless it is ErrNoSpace.
func (s *Store) transact(g *transaction, group []*request) error {
	var tx *bbolt.Tx
	err := guarded(func() (err error) {
		tx, err = s.db.Begin(true)
		if err != nil {
			return err
		}
		r, root := newReader(s.file, tx, s.pageSize, s.pool)
		defer r.release()
		if _, err := r.meta(root); err != nil {
			return err
		}
		if g.old, err = r.data(root); err != nil {
			return err
		}
		g.data = tx.Bucket([]byte(dataBucket))
		for i, r := range group {
			if err := g.apply(i, r.batch); err != nil {
				return err
			}
		}
		if len(g.commits) == 0 {
			return nil
		}
		head := binary.BigEndian.AppendUint64(nil, uint64(g.head))
		if err := tx.Bucket([]byte(metaBucket)).Put([]byte(headKey), head); err != nil {
			return err
		}
		if err := s.room(tx, group); err != nil {
			return err
		}
		g.reached = true
		if err := s.failpoint(beforeWrite); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		return s.failpoint(afterWrite)
	})
	if tx == nil {
		s.torn = err != nil
		return err
	}
	// After a Commit that returned this does nothing; after one that panicked it frees bbolt's locks, or panics again.
	if guarded(func() error { _ = tx.Rollback(); return nil }) != nil {
		s.torn = true
	}
	return err
}

// apply checks the batch and puts its writes. All lookups come first, so that a batch that fails has changed nothing.
func (g *transaction) apply(i int, b store.Batch) error {
	for _, c := range b.Checks {
		rev, err := g.rev(c.Key)
		if err == nil && rev != c.Rev {
			err = fmt.Errorf("%w: key %q is at revision %d, not %d", store.ErrConflict, c.Key, rev, c.Rev)
		}
		if err != nil {
			g.results[i].err = err
			return nil
		}
	}
	there := make([]bool, len(b.Writes))
	for j, w := range b.Writes {
		rev, err := g.rev(w.Key)
		if err != nil {
			g.results[i].err = err
			return nil
		}
		there[j] = rev != 0
	}
	g.head++
	c := committed{rev: g.head}
	for j, w := range b.Writes {
		var err error
		switch {
		case !w.Delete:
			stored := encode(g.head, w.Value)
			err = g.data.Put([]byte(w.Key), stored)
			g.overlay[w.Key] = g.head
			c.changes = append(c.changes, store.Change{Key: w.Key, Value: stored[revSize:], Rev: g.head})
		case there[j]:
			err = g.data.Delete([]byte(w.Key))
			g.overlay[w.Key] = 0
			c.changes = append(c.changes, store.Change{Key: w.Key, Rev: g.head, Deleted: true})
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", w.Key, err)
		}
	}
	g.commits = append(g.commits, c)
	g.results[i].rev = g.head
	return nil
}

// rev returns the revision of the key after the batches applied so far.
func (g *transaction) rev(key string) (store.Rev, error) {
	if rev, ok := g.overlay[key]; ok {
		return rev, nil
	}
	rev, _, err := g.old.lookup(key)
	if err != nil && !errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("key %q: %w", key, err)
	}
	return rev, err
}
