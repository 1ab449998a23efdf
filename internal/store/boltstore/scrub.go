package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// Where copies of what is gone can be in the file, and what a scrub does about them:
//
// bbolt never writes to a page in use. A change writes new pages and lists the old ones as free, with all that they hold, until some
// later transaction takes them for something else, which may be never. Pages are written whole, with zeros behind what is in
// use, so there is nothing in those that are in use but what is stored. Behind the last page the file goes on, and a transaction that a
// crash cut off may have written there.
//
// Free pages are overwritten with zeros in place, and so is the rest of the file. That is as safe as bbolt's own next transaction, which
// may write to the same pages before it is complete: the committer does it, so that none of them is taken meanwhile; the newest state
// is on the disk before, so that no crash falls back to an older one, whose pages these were; and nobody reads an older state.
//
// Free pages are taken in the order of their numbers. One that is passed over because it is in use was written whole since it was free, or
// never was.
const (
	scrubPages = 256 // how many a step overwrites at most
	scrubTail  = 1 << 20
	// readersWait is how long commits wait for reads that began before the newest of them. A read takes microseconds; a snapshot, or
	// a long scan, is waited for without holding them up.
	readersWait = 10 * time.Millisecond
	walkPages   = 1024 // how many pages are read between two rests
)

// scrub is one under way.
type scrub struct {
	s      *Store
	o      store.ScrubOptions
	next   uint64 // the first page that is not done
	tail   int64  // where the rest of the file goes on that is not done; 0 as long as there are pages
	synced bool   // the newest state is on the disk
	did    store.Scrubbed
	buf    []byte
}

// Scrub implements store.Scrubber. Progress counts bytes of the file.
func (s *Store) Scrub(ctx context.Context, o store.ScrubOptions) (store.Scrubbed, error) {
	if s.db.IsReadOnly() {
		return store.Scrubbed{}, fmt.Errorf("store: scrubbing a file that is open for reading only: %w", errors.ErrUnsupported)
	}
	if !s.scrubbing.CompareAndSwap(false, true) {
		return store.Scrubbed{}, store.ErrScrubbing
	}
	defer s.scrubbing.Store(false)
	sc := &scrub{s: s, o: o, next: 2, buf: make([]byte, max(scrubPages*s.pageSize, scrubTail))}
	if sc.o.Rest == nil {
		sc.o.Rest = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	if sc.o.Progress == nil {
		sc.o.Progress = func(int64, int64) {}
	}
	if err := sc.check(ctx); err != nil {
		return store.Scrubbed{}, fmt.Errorf("store: before scrubbing: %w", err)
	}
	for done := false; !done; {
		start := time.Now()
		var wait <-chan struct{}
		err := s.onCommitter(ctx, func() (err error) {
			done, wait, err = sc.step()
			return err
		})
		if err != nil {
			return sc.did, fmt.Errorf("store: scrubbing: %w", err)
		}
		sc.o.Progress(max(int64(sc.next)*int64(s.pageSize), sc.tail), sc.did.File)
		if wait != nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return sc.did, ctx.Err()
			case <-s.done:
				return sc.did, s.err()
			}
		}
		if !done {
			if err := sc.o.Rest(ctx, time.Since(start)); err != nil {
				return sc.did, err
			}
		}
	}
	return sc.did, nil
}

// onCommitter has the committer call fn between two transactions, and waits for it.
func (s *Store) onCommitter(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.err(); err != nil {
		return err
	}
	reply := make(chan error, 1)
	select {
	case s.jobs <- func() { reply <- guarded(fn) }:
		return <-reply
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return s.err()
	}
}

// step overwrites some of the pages that are free, or of the rest of the file. done: there is nothing left. wait: somebody reads an older
// state, and nothing was done. The committer calls it.
func (sc *scrub) step() (done bool, wait <-chan struct{}, err error) {
	s := sc.s
	tx, err := s.readers.begin(s.db)
	if err != nil {
		return false, nil, err
	}
	defer s.readers.end(tx)
	if wait = s.drained(tx.ID()); wait != nil {
		return false, wait, nil
	}
	if !sc.synced {
		// What is newest may be in the memory of the system only, if the process that wrote it was killed before its fsync.
		if err := sc.sync(); err != nil {
			return false, nil, err
		}
		sc.synced = true
	}
	r, _ := newReader(s.file, tx, s.pageSize, s.pool)
	defer r.release()
	free, err := r.openFreelist(tx.ID())
	if err != nil {
		return false, nil, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return false, nil, err
	}
	end := int64(r.pages) * int64(s.pageSize)
	sc.did.File = info.Size()
	sc.did.Free = int64(free.n)*int64(s.pageSize) + max(info.Size()-end, 0)
	before := sc.did.Overwritten
	if sc.tail == 0 {
		err = sc.pages(free)
	} else {
		// The last page may have moved on since the step before: what is in use now was written since.
		sc.tail = max(sc.tail, end)
		n := min(scrubTail, info.Size()-sc.tail)
		if done = n <= 0; !done {
			err = sc.erase(sc.tail, n)
			sc.tail += n
		}
	}
	if err == nil && sc.did.Overwritten > before {
		err = sc.sync()
	}
	return done, nil, err
}

// pages is the part of a step that overwrites pages in free.
func (sc *scrub) pages(free freelist) error {
	ids, err := free.from(sc.next, scrubPages)
	if err != nil {
		return err
	}
	pageSize := int64(sc.s.pageSize)
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n] == ids[0]+uint64(n) {
			n++
		}
		if err := sc.erase(int64(ids[0])*pageSize, int64(n)*pageSize); err != nil {
			return err
		}
		sc.next = ids[0] + uint64(n)
		ids = ids[n:]
	}
	if past, err := free.from(sc.next, 1); err != nil || len(past) > 0 {
		return err
	}
	sc.tail = int64(free.r.pages) * pageSize
	return nil
}

// drained waits a moment for those who read a state from before the transaction. If there still are some, it returns what is closed once
// there are none.
func (s *Store) drained(tx int) <-chan struct{} {
	wait := s.readers.before(tx)
	if wait == nil {
		return nil
	}
	timer := time.NewTimer(readersWait)
	defer timer.Stop()
	select {
	case <-wait:
		return nil // who comes now reads the newest state
	case <-timer.C:
		return wait
	}
}

// erase makes a part of the file zero, unless it is. If it cannot be written, the page is free as before, and nothing is lost.
func (sc *scrub) erase(at, n int64) error {
	buf := sc.buf[:n]
	err := sc.s.failpoint(readFree)
	if err == nil {
		_, err = sc.s.file.ReadAt(buf, at)
	}
	switch {
	case err == io.EOF:
		return damaged("the file ends before %d", at+n)
	case err != nil: // nobody needs what was there, and a disk replaces a sector that it cannot read when that is written
	case zero(buf):
		return nil
	}
	clear(buf)
	if err := sc.s.failpoint(beforeErase); err != nil {
		return err
	}
	if _, err := sc.s.fs.File(sc.s.file).WriteAt(buf, at); err != nil {
		return err
	}
	sc.did.Overwritten += n
	return sc.s.failpoint(afterErase)
}

func zero(b []byte) bool {
	var zeros [4096]byte
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// sync makes what was written durable. What a failed fsync has lost is not known, so the engine stops, as after one of a commit.
func (sc *scrub) sync() error {
	err := sc.s.failpoint(syncErased)
	if err == nil {
		err = sc.s.fs.File(sc.s.file).Sync()
	}
	if err != nil {
		sc.s.fail(err)
		err = fmt.Errorf("%w: %w", store.ErrClosed, err)
	}
	return err
}

// check walks through all pages in use and compares them with the list of those that are free: a damaged list could name pages with keys
// in them, and a scrub would overwrite them all at once. A page that is neither could keep what it holds for ever.
func (sc *scrub) check(ctx context.Context) error {
	s := sc.s
	var w walk
	end := func() {}
	defer func() { end() }()
	// The list must be found before the next transaction: a meta page has the state of every other one.
	err := s.onCommitter(ctx, func() error {
		tx, err := s.readers.begin(s.db)
		if err != nil {
			return err
		}
		end = sync.OnceFunc(func() { _ = guarded(func() error { s.readers.end(tx); return nil }) })
		w.r, w.root = newReader(s.file, tx, s.pageSize, s.pool)
		w.free, err = w.r.openFreelist(tx.ID())
		return err
	})
	if err != nil {
		return err
	}
	return guarded(func() error {
		return w.run(func(took time.Duration) error {
			if err := s.err(); err != nil {
				return err
			}
			return sc.o.Rest(ctx, took)
		})
	})
}
