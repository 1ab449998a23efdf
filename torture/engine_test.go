//go:build torture

package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/keyturn/keyturn/internal/disk/disktest"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// engine is a store by itself on a disk that fails. Each commit has a number, which it writes beside something else, so that the
// whole state follows from the number that is read.
type engine struct {
	rand   *rand.Rand
	disk   *disktest.Disk
	store  *boltstore.Store
	last   int // the number of the last try
	least  int // the newest commit that was acknowledged, or read after an Open
	states map[int]map[string]string
}

// TestEngine: a store that is opened has what was acknowledged, and what an Open before has shown, and no half of anything.
// Beyond what TestSchedules does, nothing commits by itself here: what one process only read must not be gone for the next.
func TestEngine(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	for seed := first; seed < first+uint64(max(*schedulesFlag/4, 1)); seed++ {
		e := &engine{rand: rand.New(rand.NewPCG(seed, 1)), states: map[int]map[string]string{0: {}}}
		root := t.TempDir()
		e.disk = disktest.New(filepath.Join(root, "0"), e.rand)
		err := os.Mkdir(e.disk.Root(), 0o700)
		for life := 1; err == nil && life < 3+e.rand.IntN(5); life++ {
			err = e.life(filepath.Join(root, strconv.Itoa(life)))
		}
		if err == nil {
			err = e.endWell()
		}
		e.disk.Forget()
		if err != nil {
			t.Fatalf("%v\nrepeat with: make torture SCHEDULES=1 SEED=%d", err, seed)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

// endWell compacts what is left with nothing wrong, which it refuses if a page has got lost.
func (e *engine) endWell() (err error) {
	for compacted := false; ; compacted = true {
		if e.store, err = e.open(); err != nil {
			return err
		}
		if err := errors.Join(e.compare(), e.store.Close()); err != nil || compacted {
			return err
		}
		if _, err := boltstore.Compact(context.Background(), e.path(), boltstore.CompactOptions{FS: e.disk}); err != nil {
			return fmt.Errorf("compacting, with nothing wrong: %w", err)
		}
	}
}

func (e *engine) path() string { return filepath.Join(e.disk.Root(), "store.db") }

// life opens the store, compares, commits while the disk does what a plan says, and cuts the power or ends the process.
func (e *engine) life(next string) error {
	p := drawPlan(e.rand)
	e.disk.Decide(p.decide)
	s, err := e.open()
	if err != nil && e.disk.Ended() == disktest.Nothing {
		p.off = true
		s, err = e.open()
	}
	if err != nil && e.disk.Ended() == disktest.Nothing {
		return fmt.Errorf("the store does not open, and nothing is wrong: %w", err)
	}
	if err == nil {
		e.store = s
		if err := e.compare(); err != nil {
			return errors.Join(err, s.Close())
		}
		scrub := e.rand.IntN(60)
		for i := range e.rand.IntN(30) {
			if !e.commit() {
				break
			}
			if i == scrub {
				_, _ = s.Scrub(context.Background(), store.ScrubOptions{}) // it fails with the disk
			}
		}
		if e.rand.IntN(3) > 0 {
			e.disk.Stop(disktest.End(1 + e.rand.IntN(2)))
		}
		_ = s.Close()
	}
	if e.disk.Ended() == disktest.Nothing && e.rand.IntN(3) == 0 {
		q := drawPlan(e.rand)
		q.at = 1 + q.at%64
		e.disk.Decide(q.decide)
		_, _ = boltstore.Compact(context.Background(), e.path(), boltstore.CompactOptions{FS: e.disk}) // likewise
	}
	e.disk.Forget()
	if e.disk.Ended() == disktest.Process || e.disk.Ended() == disktest.Nothing && e.rand.IntN(2) == 0 {
		e.disk = e.disk.Restart()
		return nil
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return err
	}
	e.disk, err = e.disk.PowerCut(next)
	return err
}

func (e *engine) open() (*boltstore.Store, error) {
	_, err := os.Stat(e.path())
	return boltstore.Open(e.path(), boltstore.Options{Create: err != nil, FS: e.disk})
}

// compare reads everything.
func (e *engine) compare() error {
	entries, err := e.store.Scan(context.Background(), "", "", 1000)
	if err != nil {
		return fmt.Errorf("reading, with nothing wrong: %w", err)
	}
	found, number := make(map[string]string), 0
	for _, entry := range entries {
		found[entry.Key] = string(entry.Value)
		if entry.Key == "number" {
			if number, err = strconv.Atoi(string(entry.Value)); err != nil {
				return err
			}
		}
	}
	if number < e.least {
		return fmt.Errorf("the store is at commit %d, and was at %d", number, e.least)
	}
	if !maps.Equal(found, e.states[number]) {
		return fmt.Errorf("after commit %d the store holds %v, and should hold %v", number, found, e.states[number])
	}
	e.least = number
	return nil
}

// commit tries one, and reports whether another may follow.
func (e *engine) commit() bool {
	e.last++
	state := maps.Clone(e.states[e.least])
	key := fmt.Sprintf("k%d", e.rand.IntN(20))
	b := store.Batch{Writes: []store.Write{{Key: "number", Value: []byte(strconv.Itoa(e.last))}}}
	if state[key] != "" && e.rand.IntN(3) == 0 {
		b.Writes = append(b.Writes, store.Write{Key: key, Delete: true})
		delete(state, key)
	} else {
		value := make([]byte, 1+e.rand.IntN(3000))
		value[0] = byte(e.last)
		b.Writes = append(b.Writes, store.Write{Key: key, Value: value})
		state[key] = string(value)
	}
	state["number"] = strconv.Itoa(e.last)
	e.states[e.last] = state
	_, err := e.store.Commit(context.Background(), b)
	if err == nil {
		e.least = e.last
	}
	return err == nil || errors.Is(err, store.ErrNoSpace)
}
