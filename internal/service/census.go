package service

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// KeyClass is what keys are counted by.
type KeyClass struct {
	State record.State `json:"state"`
	Spec  string       `json:"spec"`
}

// Census counts the keys of all accounts by state and spec. It goes through the store once, page by page and slowly, and from then on
// follows the commits of this process: a commit to a key that has been counted changes the count, one to a key further on does not,
// since that will be counted as it is then. While a page is read no commit is under way, so each is on one side of it.
//
// State and Resume carry the count over a restart: it holds as long as the store has the revision that the count was taken at. After a
// crash the keys are counted anew.
type Census struct {
	p *Pipeline

	// commits is held for reading from before a commit until it is in the count, and for writing while a page is read.
	commits sync.RWMutex

	mu     sync.Mutex // guards what follows
	counts map[KeyClass]int64
	after  string // the last key counted, a store key
	done   bool
	lost   bool // a commit of unknown outcome: the count is worth nothing any more
}

// CensusState is a count to be continued.
type CensusState struct {
	Counts []CensusCount `json:"counts"`
	After  string        `json:"after"`
	Done   bool          `json:"done"`
}

// CensusCount is a line of it.
type CensusCount struct {
	KeyClass
	Keys int64 `json:"keys"`
}

const (
	keysPrefix = "k/"
	censusPage = 500
	// CensusPause between pages is what counting leaves to requests: 2,000 keys a second, and commits wait a few hundredths of the time.
	CensusPause = 250 * time.Millisecond
)

func newCensus(p *Pipeline) *Census { return &Census{p: p, counts: make(map[KeyClass]int64)} }

// Census returns the count of keys.
func (p *Pipeline) Census() *Census { return p.census }

// Run counts until every key is, or ctx ends, with a pause between two pages. Commits keep the count true afterwards.
func (c *Census) Run(ctx context.Context, pause time.Duration) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		done, err := c.page(ctx)
		if done || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("counting keys: %w", err)
		}
		t.Reset(pause)
	}
}

// page counts some keys; done: there are no more.
func (c *Census) page(ctx context.Context) (done bool, err error) {
	c.commits.Lock()
	defer c.commits.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.lost {
		return true, nil
	}
	// By a snapshot: what it meets of damage is told to whoever reads it, and does not end the server's being ready.
	snapshot, err := c.p.store.Snapshot(ctx)
	if err != nil {
		return false, err
	}
	defer snapshot.Close()
	entries, err := snapshot.Scan(ctx, keysPrefix, c.after, censusPage)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		r, err := record.Decode(e.Key, e.Value)
		if err != nil {
			return false, err
		}
		if class := classOf(r); class != (KeyClass{}) {
			c.counts[class]++
		}
		c.after = e.Key
	}
	c.done = len(entries) < censusPage
	return c.done, nil
}

// Counts returns how many keys there are of each class. ok is false until all are counted.
func (c *Census) Counts() (counts map[KeyClass]int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts), c.done && !c.lost
}

// State returns the count, for Resume. No operation may run any more. ok is false for one that is worth nothing.
func (c *Census) State() (s CensusState, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.After, s.Done = c.after, c.done
	for class, n := range c.counts {
		s.Counts = append(s.Counts, CensusCount{class, n})
	}
	return s, !c.lost
}

// Resume goes on with a count, before anything runs. The store must be as it was when State was called.
func (c *Census) Resume(s CensusState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.counts)
	for _, l := range s.Counts {
		c.counts[l.KeyClass] = l.Keys
	}
	c.after, c.done = s.After, s.Done
}

// classOf returns the class of a key, the zero class of everything else.
func classOf(r record.Record) KeyClass {
	if k, ok := r.(*record.Key); ok && k != nil {
		return KeyClass{k.State, k.Spec}
	}
	return KeyClass{}
}

// commit carries out a commit and counts what it does to keys.
func (c *Census) commit(ctx context.Context, tx *Tx, b store.Batch) error {
	c.commits.RLock()
	defer c.commits.RUnlock()
	_, err := c.p.store.Commit(ctx, b)
	if err != nil {
		if !nothingWritten(err) {
			c.mu.Lock()
			c.lost = true
			c.mu.Unlock()
		}
		return err
	}
	for key, r := range tx.writes {
		before, after := tx.reads[key].class, classOf(r)
		if before == after {
			continue
		}
		c.mu.Lock()
		if c.done || key <= c.after {
			c.add(before, -1)
			c.add(after, 1)
		}
		c.mu.Unlock()
	}
	return nil
}

// add changes a count; nothing is kept of classes without keys.
func (c *Census) add(class KeyClass, by int64) {
	if class == (KeyClass{}) {
		return
	}
	if c.counts[class] += by; c.counts[class] == 0 {
		delete(c.counts, class)
	}
}
