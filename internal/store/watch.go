package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sort"
	"strings"
	"sync"
	"time"
)

// What a History keeps at most. A watcher that falls further behind than this starts over.
const (
	historyChanges = 16384
	historyBytes   = 16 << 20
)

// changeOverhead is what a kept Change costs beside its key and value.
const changeOverhead = 64

// progressEvery is the longest a caught-up watcher waits for a mark: half of what Store.Watch promises, so that a busy
// machine still keeps the promise.
const progressEvery = 500 * time.Millisecond

// watchChunk bounds how many changes a watcher takes while it holds the lock that commits need.
const watchChunk = 64

// History is the recent past of an engine that runs in one process: a bounded ring of changes, and the watchers on it.
// The engine appends each commit once it can be read; History never makes a commit wait for a watcher.
type History struct {
	mu    sync.Mutex
	ring  []Change // ring[start:] is what is kept; the part before is nil entries waiting to be cut off
	start int
	first uint64 // sequence number of ring[start]; every change ever appended has the next one
	bytes int    // of ring[start:]
	floor Rev    // every change after floor is kept
	head  Rev
	wake  chan struct{} // closed at the next Append or Close; nil while nobody waits
	err   error         // why it was closed
}

// NewHistory starts an empty history at head: what came before counts as compacted.
func NewHistory(head Rev) *History {
	return &History{head: head, floor: head}
}

// Append records the commit rev, which must be greater than every one before. It takes over the changes' values: nobody
// may write to them afterwards. A commit that changed nothing is recorded with no changes, so that marks move on.
func (h *History) Append(rev Rev, changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return
	}
	h.head = rev
	for _, c := range changes {
		h.ring = append(h.ring, c)
		h.bytes += changeSize(c)
	}
	for len(h.ring)-h.start > historyChanges || h.bytes > historyBytes {
		h.dropOldest()
	}
	h.rouse()
}

func (h *History) dropOldest() {
	old := h.ring[h.start]
	h.ring[h.start] = Change{} // let the value go before the slice is cut
	h.start++
	h.first++
	h.bytes -= changeSize(old)
	h.floor = old.Rev
	if h.start > len(h.ring)/2 {
		n := copy(h.ring, h.ring[h.start:])
		clear(h.ring[n:])
		h.ring, h.start = h.ring[:n], 0
	}
}

func changeSize(c Change) int { return len(c.Key) + len(c.Value) + changeOverhead }

// Close ends every watch with err, which should be or wrap ErrClosed. Only the first call counts.
func (h *History) Close(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		h.ring, h.start, h.bytes = nil, 0, 0
		h.rouse()
	}
}

// rouse wakes every waiting watcher. The caller holds mu.
func (h *History) rouse() {
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
}

// Watch does what Store.Watch promises. Beside the marks while idle it yields one each time the watcher has caught up, so
// also at its start. A revision after the head is one of another past, for example from before a backup was put back:
// it gives ErrCompacted too.
func (h *History) Watch(ctx context.Context, prefix string, from Rev) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		next, err := h.seek(from)
		if err != nil {
			yield(Change{}, err)
			return
		}
		timer := time.NewTimer(progressEvery)
		defer timer.Stop()
		mark := true // whether the next time we are caught up is worth a mark
		for {
			if err := ctx.Err(); err != nil {
				yield(Change{}, err)
				return
			}
			got, err := h.take(prefix, next)
			if err != nil {
				yield(Change{}, err)
				return
			}
			next = got.next
			for _, c := range got.changes {
				if c.Value != nil {
					c.Value = bytes.Clone(c.Value)
				}
				if !yield(c, nil) {
					return
				}
				mark = true
			}
			if got.wake == nil {
				continue // more is there already
			}
			if mark {
				if !yield(Change{Rev: got.head, Progress: true}, nil) {
					return
				}
				mark = false
				timer.Reset(progressEvery)
			}
			select {
			case <-ctx.Done():
			case <-got.wake:
			case <-timer.C:
				mark = true
			}
		}
	}
}

// seek returns the sequence number of the first change after the revision.
func (h *History) seek(from Rev) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return 0, h.err
	case from < h.floor:
		return 0, fmt.Errorf("%w: revision %d, kept are those after %d", ErrCompacted, from, h.floor)
	case from > h.head:
		return 0, fmt.Errorf("%w: revision %d is after the head %d", ErrCompacted, from, h.head)
	}
	kept := h.ring[h.start:]
	i := sort.Search(len(kept), func(i int) bool { return kept[i].Rev > from })
	return h.first + uint64(i), nil
}

// taken is what a watcher got in one go. wake is set if that was all there is; then head is fully delivered.
type taken struct {
	changes []Change
	next    uint64
	head    Rev
	wake    <-chan struct{}
}

func (h *History) take(prefix string, next uint64) (taken, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return taken{}, h.err
	}
	if next < h.first {
		return taken{}, fmt.Errorf("%w: the watcher was too slow", ErrCompacted)
	}
	t := taken{next: next}
	for _, c := range h.ring[h.start+int(next-h.first):] {
		if len(t.changes) == watchChunk {
			return t, nil
		}
		t.next++
		if strings.HasPrefix(c.Key, prefix) {
			t.changes = append(t.changes, c)
		}
	}
	t.head = h.head
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	t.wake = h.wake
	return t, nil
}
