package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The suite in storetest covers watching as such; here is what needs a clock that obeys, or the exact bounds.

func TestHistoryMarksEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory(7)
		go func() {
			// Commits that the watcher does not care for must not keep the marks from it.
			for rev := Rev(8); ; rev++ {
				time.Sleep(90 * time.Millisecond)
				if rev > 100 {
					return
				}
				h.Append(rev, []Change{{Key: "other", Rev: rev, Deleted: true}})
			}
		}()
		last, n := time.Now(), 0
		for c, err := range h.Watch(t.Context(), "none", 7) {
			if err != nil || !c.Progress {
				t.Fatalf("got %v, %v", c, err)
			}
			if gap := time.Since(last); gap > time.Second {
				t.Fatalf("mark after %v", gap)
			}
			last = time.Now()
			if n++; n == 1 && c.Rev != 7 {
				t.Errorf("the first mark is at %d", c.Rev)
			}
			if c.Rev == 100 {
				break
			}
		}
		if n > 25 {
			t.Errorf("%d marks in 9 seconds", n)
		}
	})
}

func TestHistoryBounds(t *testing.T) {
	big := make([]byte, 1<<20)
	tests := []struct {
		name  string
		value []byte
		n     int
		floor Rev // highest revision that watching from fails below
	}{
		{"count, kept", nil, historyChanges, 0},
		{"count, one over", nil, historyChanges + 1, 1},
		{"count, far over", nil, 5*historyChanges + 3, 4*historyChanges + 3},
		{"bytes, kept", big, 15, 0},
		{"bytes, over", big, 16, 1},
		{"bytes, far over", big, 100, 85},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHistory(0)
			for i := range test.n {
				h.Append(Rev(i+1), []Change{{Key: "k", Value: test.value, Rev: Rev(i + 1)}})
			}
			want := test.floor + 1
			for c, err := range h.Watch(t.Context(), "", test.floor) {
				if c.Progress {
					break
				}
				if err != nil || c.Rev != want {
					t.Fatalf("got revision %d, %v, want %d", c.Rev, err, want)
				}
				want++
			}
			if want != Rev(test.n+1) {
				t.Errorf("the last revision was %d of %d", want-1, test.n)
			}
			if test.floor == 0 {
				return
			}
			for c, err := range h.Watch(t.Context(), "", test.floor-1) {
				if !errors.Is(err, ErrCompacted) {
					t.Errorf("below the floor: %v, %v", c.Rev, err)
				}
			}
			if len(h.ring) > 2*historyChanges+1 {
				t.Errorf("the ring holds %d", len(h.ring))
			}
		})
	}
}

// TestHistoryDropsWithinCommit: the oldest commit is only half kept, so watching from before it must fail.
func TestHistoryDropsWithinCommit(t *testing.T) {
	h := NewHistory(0)
	h.Append(1, []Change{{Key: "a", Rev: 1}, {Key: "b", Rev: 1}})
	for i := range historyChanges - 1 {
		h.Append(Rev(i+2), []Change{{Key: "k", Rev: Rev(i + 2)}})
	}
	for c, err := range h.Watch(t.Context(), "", 0) {
		if !errors.Is(err, ErrCompacted) {
			t.Errorf("got %v, %v", c, err)
		}
	}
	for c, err := range h.Watch(t.Context(), "", 1) {
		if err != nil || c.Rev != 2 {
			t.Errorf("got %v, %v", c, err)
		}
		break
	}
}

func TestHistoryEnds(t *testing.T) {
	why := fmt.Errorf("%w: because", ErrClosed)
	tests := []struct {
		name string
		end  func(h *History, cancel func())
		want error
	}{
		{"closed", func(h *History, _ func()) { h.Close(why); h.Close(errors.New("too late")) }, why},
		{"cancelled", func(_ *History, cancel func()) { cancel() }, context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHistory(0)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var last error
				go func() {
					for _, err := range h.Watch(ctx, "", 0) {
						last = err
					}
				}()
				synctest.Wait() // the watcher waits for something to happen
				begin := time.Now()
				test.end(h, cancel)
				synctest.Wait()
				if last != test.want || time.Since(begin) != 0 {
					t.Errorf("ended with %v after %v, want %v at once", last, time.Since(begin), test.want)
				}
			})
		})
	}
}
