package boltstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/keyturn/keyturn/internal/store"
)

func batch(key, value string) store.Batch {
	return store.Batch{Writes: []store.Write{{Key: key, Value: []byte(value)}}}
}

// gate is a failpoint that holds up the committer before each write until it is let through.
type gate struct {
	arrived, pass chan struct{}
	writes        atomic.Int32
}

func newGate() *gate { return &gate{arrived: make(chan struct{}), pass: make(chan struct{})} }

func (g *gate) wait(at stage) error {
	if at == beforeWrite {
		g.writes.Add(1)
		g.arrived <- struct{}{}
		<-g.pass
	}
	return nil
}

// TestGroupCommit: commits that come while another is written share one write, and each sees those before it.
func TestGroupCommit(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path, Options{Create: true}).Close()
	synctest.Test(t, func(t *testing.T) {
		const others = 100
		g := newGate()
		s := mustOpen(t, path, Options{failpoint: g.wait})
		revs := make([]store.Rev, others+1)
		errs := make([]error, others+1)
		commit := func(i int) {
			b := batch(fmt.Sprint("k", i), "v")
			b.Checks = []store.Check{{Key: fmt.Sprint("once", i/2)}}
			b.Writes = append(b.Writes, store.Write{Key: fmt.Sprint("once", i/2)})
			revs[i], errs[i] = s.Commit(t.Context(), b)
		}
		go commit(others)
		<-g.arrived
		for i := range others {
			go commit(i)
		}
		synctest.Wait() // all others wait for the committer
		g.pass <- struct{}{}
		<-g.arrived
		g.pass <- struct{}{}
		synctest.Wait()
		if n := g.writes.Load(); n != 2 {
			t.Errorf("%d commits took %d writes, want 2", others+1, n)
		}
		seen := make(map[store.Rev]bool)
		for i := 0; i < others; i += 2 {
			// Of two that guard the absence of one key, one must fail, alone.
			a, b := i, i+1
			if errs[a] != nil {
				a, b = b, a
			}
			if errs[a] != nil || !errors.Is(errs[b], store.ErrConflict) {
				t.Fatalf("pair %d: %v, %v", i/2, errs[i], errs[i+1])
			}
			e, err := s.Get(t.Context(), fmt.Sprint("k", a), fmt.Sprint("k", b))
			if err != nil || e[0].Rev != revs[a] || e[1].Rev != 0 || seen[revs[a]] {
				t.Errorf("pair %d: %v, %v, revision %d", i/2, e, err, revs[a])
			}
			seen[revs[a]] = true
		}
		if len(seen) != others/2 || s.head != others/2+1 {
			t.Errorf("%d revisions, head %d", len(seen), s.head)
		}
		s.Close()
	})
}

// TestCommitContext: a context that ends while the batch waits stops it, one that ends while it is written does not.
func TestCommitContext(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path, Options{Create: true}).Close()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := mustOpen(t, path, Options{failpoint: g.wait})
		ctx, cancel := context.WithCancel(t.Context())
		var writing, waiting error
		go func() { _, writing = s.Commit(ctx, batch("writing", "v")) }()
		<-g.arrived
		go func() { _, waiting = s.Commit(ctx, batch("waiting", "v")) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(waiting, context.Canceled) {
			t.Errorf("the one that waited: %v", waiting)
		}
		g.pass <- struct{}{}
		synctest.Wait()
		if writing != nil {
			t.Errorf("the one that was being written: %v", writing)
		}
		e, err := s.Get(t.Context(), "writing", "waiting")
		if err != nil || e[0].Rev != 1 || e[1].Rev != 0 {
			t.Errorf("Get = %v, %v", e, err)
		}
		s.Close()
	})
}

// TestCloseWaits: Close lets the write in progress end, and those that wait learn of it.
func TestCloseWaits(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path, Options{Create: true}).Close()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := mustOpen(t, path, Options{failpoint: g.wait})
		var writing, closing error
		closed := false
		go func() { _, writing = s.Commit(t.Context(), batch("k", "v")) }()
		<-g.arrived
		go func() { closing = s.Close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Error("Close did not wait")
		}
		if _, err := s.Commit(t.Context(), batch("late", "v")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Commit during Close: %v", err)
		}
		g.pass <- struct{}{}
		synctest.Wait()
		if writing != nil || closing != nil || !closed {
			t.Errorf("Commit: %v, Close: %v, %v", writing, closing, closed)
		}
	})
	if e, err := mustOpen(t, path, Options{}).Get(t.Context(), "k", "late"); err != nil || e[0].Rev != 1 || e[1].Rev != 0 {
		t.Errorf("Get = %v, %v", e, err)
	}
}

func TestFailedWrite(t *testing.T) {
	tests := []struct {
		name      string
		at        stage
		persisted bool
	}{
		{"not persisted", beforeWrite, false},
		{"persisted", afterWrite, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := newPath(t)
			var broken atomic.Bool
			s := mustOpen(t, path, Options{Create: true, failpoint: func(at stage) error {
				if broken.Load() && at == test.at {
					return syscall.EIO
				}
				return nil
			}})
			if _, err := s.Commit(t.Context(), batch("before", "v")); err != nil {
				t.Fatal(err)
			}
			watched := make(chan error)
			go func() {
				var last error
				for c, err := range s.Watch(t.Context(), "", 1) {
					if last = err; c.Key != "" {
						last = fmt.Errorf("a failed commit is watched: %v", c)
					}
				}
				watched <- last
			}()
			broken.Store(true)
			conflict := batch("x", "v")
			conflict.Checks = []store.Check{{Key: "before", Rev: 9}}
			if _, err := s.Commit(t.Context(), conflict); !errors.Is(err, store.ErrConflict) {
				t.Errorf("a conflict needs no disk: %v", err)
			}
			_, err := s.Commit(t.Context(), batch("lost", "v"))
			if !errors.Is(err, store.ErrUnknown) || !errors.Is(err, syscall.EIO) {
				t.Errorf("the commit that failed: %v", err)
			}
			broken.Store(false) // the disk works again, the engine must not
			_, err = s.Commit(t.Context(), batch("later", "v"))
			if !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), syscall.EIO.Error()) {
				t.Errorf("a later commit: %v", err)
			}
			if _, err := s.Get(t.Context(), "before"); !errors.Is(err, store.ErrClosed) {
				t.Errorf("a later Get: %v", err)
			}
			if _, err := s.Scan(t.Context(), "", "", 1); !errors.Is(err, store.ErrClosed) {
				t.Errorf("a later Scan: %v", err)
			}
			if err := <-watched; !errors.Is(err, store.ErrClosed) {
				t.Errorf("the watch: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			s = mustOpen(t, path, Options{})
			e, err := s.Get(t.Context(), "before", "lost", "later")
			if err != nil || e[0].Rev != 1 || (e[1].Rev == 2) != test.persisted || e[2].Rev != 0 {
				t.Errorf("after reopening: %v, %v", e, err)
			}
			want := store.Rev(2)
			if test.persisted {
				want = 3
			}
			if rev, err := s.Commit(t.Context(), batch("next", "v")); err != nil || rev != want {
				t.Errorf("the next commit is %d, %v, want %d", rev, err, want)
			}
		})
	}
}

// TestFailedGroup: everyone whose batch was in the failed write learns that the outcome is unknown.
func TestFailedGroup(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path, Options{Create: true}).Close()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := mustOpen(t, path, Options{failpoint: func(at stage) error {
			if err := g.wait(at); err != nil || g.writes.Load() < 2 {
				return err
			}
			return syscall.ENOSPC
		}})
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = s.Commit(t.Context(), batch(fmt.Sprint(i), "v")) })
			if i == 0 {
				<-g.arrived
			}
		}
		synctest.Wait()
		g.pass <- struct{}{}
		<-g.arrived
		g.pass <- struct{}{}
		wg.Wait()
		for i, err := range errs {
			if i == 0 && err != nil || i > 0 && !errors.Is(err, store.ErrUnknown) {
				t.Errorf("commit %d: %v", i, err)
			}
		}
		s.Close()
	})
}
