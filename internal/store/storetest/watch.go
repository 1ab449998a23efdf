package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// collect watches from a revision until everything up to another has been delivered, and checks that it comes in order.
func collect(t testing.TB, s store.Store, prefix string, from, upTo store.Rev) []store.Change {
	t.Helper()
	var out []store.Change
	last := from
	for c, err := range s.Watch(patient(t), prefix, from) {
		if err != nil {
			t.Fatalf("Watch(%q, %d): %v", prefix, from, err)
		}
		if c.Progress {
			if c.Rev < last || c.Key != "" || c.Value != nil || c.Deleted {
				t.Fatalf("mark %v after revision %d", c, last)
			}
			if last = c.Rev; c.Rev >= upTo {
				return out
			}
			continue
		}
		if c.Rev <= from || c.Rev < last || !strings.HasPrefix(c.Key, prefix) || (c.Deleted != (c.Value == nil)) {
			t.Fatalf("change %v after revision %d, watching %q from %d", c, last, prefix, from)
		}
		last = c.Rev
		out = append(out, c)
	}
	t.Fatal("the watch ended without an error")
	return nil
}

func showChanges(changes []store.Change) string {
	var parts []string
	for _, c := range changes {
		value := "=" + string(c.Value)
		if c.Deleted {
			value = "-"
		}
		parts = append(parts, fmt.Sprintf("%d:%s%s", c.Rev, c.Key, value))
	}
	return strings.Join(parts, " ")
}

func testWatchOrder(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("b", "1"))
	mustCommit(t, s, put("a", "2"))
	mustCommit(t, s, del("b"), put("c", "3"))
	mustCommit(t, s, del("b")) // is absent: nothing changes
	head := mustCommit(t, s, put("b", "5"))
	all := []string{"1:b=1", "2:a=2", "3:b- 3:c=3", "", "5:b=5"}
	for from := range store.Rev(len(all) + 1) {
		want := strings.Join(slices.DeleteFunc(slices.Clone(all[from:]), func(s string) bool { return s == "" }), " ")
		if got := showChanges(collect(t, s, "", from, head)); got != want {
			t.Errorf("from %d: %q, want %q", from, got, want)
		}
	}
}

func testWatchPrefix(t *testing.T, open Open) {
	s := open(t)
	for i, key := range []string{"a", "a/1", "b", "a/2", "a0", "b/1"} {
		mustCommit(t, s, put(key, fmt.Sprint(i)))
	}
	head := mustCommit(t, s, del("a/1"), del("b"))
	for prefix, want := range map[string]string{
		"a/": "2:a/1=1 4:a/2=3 7:a/1-",
		"b":  "3:b=2 6:b/1=5 7:b-",
		"c":  "",
	} {
		if got := showChanges(collect(t, s, prefix, 0, head)); got != want {
			t.Errorf("prefix %q: %q, want %q", prefix, got, want)
		}
	}
}

// testWatchProgress wants marks from a watch that nothing happens to, also while other keys change.
func testWatchProgress(t *testing.T, open Open) {
	s := open(t)
	head := mustCommit(t, s, put("a", "1"))
	marks, last := 0, time.Now()
	for c, err := range s.Watch(patient(t), "", head) {
		if err != nil || !c.Progress || c.Rev != head {
			t.Fatalf("idle watch yields %v, %v", c, err)
		}
		// Twice the promise, for a machine that is busy with other tests.
		if gap := time.Since(last); gap > 2*time.Second {
			t.Errorf("mark after %v", gap)
		}
		last = time.Now()
		if marks++; marks == 3 {
			break
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		// Not faster than that: a watch that cannot keep up is another test's.
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				mustCommitFrom(t, s, put("other", "x"))
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	var first store.Rev
	for c, err := range s.Watch(patient(t), "none/", head) {
		if err != nil || !c.Progress {
			t.Fatalf("watch of nothing yields %v, %v", c, err)
		}
		if first == 0 {
			first = c.Rev
		}
		if c.Rev > first {
			break
		}
	}
}

// mustCommitFrom is mustCommit for a goroutine that is not the test's own.
func mustCommitFrom(t *testing.T, s store.Store, writes ...store.Write) {
	if _, err := s.Commit(t.Context(), store.Batch{Writes: writes}); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

// testWatchCompacted wants a watch that does not keep up, and one that starts too early, to fail instead of missing
// changes or holding up commits. Engines keep some 16384 changes or 16 MiB.
func testWatchCompacted(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("a", "1"))
	overrun := func() {
		big := strings.Repeat("x", store.MaxBatchBytes-100)
		for range 40 {
			mustCommit(t, s, put("big", big))
		}
	}
	seen := store.Rev(0)
	var end error
	for c, err := range s.Watch(patient(t), "", 0) {
		if err != nil {
			end = err
			break
		}
		if !c.Progress && c.Rev != seen+1 {
			t.Fatalf("revision %d after %d", c.Rev, seen)
		}
		if seen == 0 {
			overrun() // while the watch is stuck here
		}
		seen = c.Rev
	}
	wantError(t, "slow watch", end, store.ErrCompacted)
	for c, err := range s.Watch(patient(t), "", 0) {
		wantError(t, fmt.Sprintf("watch from 0, which yields %v", c), err, store.ErrCompacted)
	}
	head := mustCommit(t, s, put("a", "2"))
	if got := collect(t, s, "", head-1, head); showChanges(got) != fmt.Sprintf("%d:a=2", head) {
		t.Errorf("watch from before the head: %s", showChanges(got))
	}
	for c, err := range s.Watch(patient(t), "", head+1) {
		wantError(t, fmt.Sprintf("watch from after the head, which yields %v", c), err, store.ErrCompacted)
	}
}

func testWatchEnds(t *testing.T, open Open) {
	ends := []struct {
		name string
		end  func(s store.Store, cancel func()) error
		want error
	}{
		{"cancel", func(_ store.Store, cancel func()) error { cancel(); return nil }, context.Canceled},
		{"close", func(s store.Store, _ func()) error { return s.Close() }, store.ErrClosed},
	}
	for _, test := range ends {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			caughtUp, ended := make(chan struct{}), make(chan error)
			go func() {
				var last error
				var once sync.Once
				for _, err := range s.Watch(ctx, "", 0) {
					once.Do(func() { close(caughtUp) })
					if last != nil {
						err = errors.New("it went on after an error")
					}
					last = err
				}
				ended <- last
			}()
			<-caughtUp
			if err := test.end(s, cancel); err != nil {
				t.Fatal(err)
			}
			wantError(t, "watch", <-ended, test.want)
		})
	}
	t.Run("break", func(t *testing.T) {
		s := open(t)
		mustCommit(t, s, put("a", "1"), put("b", "1"))
		n := 0
		for range s.Watch(patient(t), "", 0) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("yielded %d times", n)
		}
		mustCommit(t, s, put("a", "2")) // the engine goes on
	})
}

// testWatchConcurrent wants every watcher to see every commit of many writers once, in one order, and what it was told
// to be readable.
func testWatchConcurrent(t *testing.T, open Open) {
	s := open(t)
	const writers, each, watchers = 4, 30, 3
	results := make([]string, watchers)
	var wg sync.WaitGroup
	for i := range watchers {
		wg.Go(func() {
			var got []store.Change
			for c, err := range s.Watch(patient(t), "w/", 0) {
				if err != nil {
					t.Errorf("Watch: %v", err)
					return
				}
				if !c.Progress {
					e, err := s.Get(t.Context(), c.Key)
					if err != nil || e[0].Rev < c.Rev {
						t.Errorf("%q is at %v, %v, though the watch has told of revision %d", c.Key, e, err, c.Rev)
						return
					}
					got = append(got, c)
				}
				if c.Progress && c.Rev == writers*each {
					break
				}
			}
			if len(got) != writers*each {
				t.Errorf("watcher %d got %d changes", i, len(got))
			}
			results[i] = showChanges(got)
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				mustCommitFrom(t, s, put(fmt.Sprint("w/", w), fmt.Sprint(i)))
			}
		})
	}
	wg.Wait()
	for i := range watchers {
		if results[i] != results[0] {
			t.Errorf("watchers disagree:\n%s\n%s", results[0], results[i])
		}
	}
}
