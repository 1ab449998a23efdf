//go:build torture

package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/disk/disktest"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// TestCompaction ends, or fails, a compaction at each of its operations, and then cuts the power at each operation of the start after
// it: the one removes what the other has left, when it may not be durable yet which of the two files has the store's name.
func TestCompaction(t *testing.T) {
	for name, tt := range map[string]struct {
		end  disktest.Fault
		step int // between the operations of the start: the power cut before leaves little of what one after it could change
	}{
		"process": {disktest.Fault{End: disktest.Process}, 1}, "error": {disktest.Fault{Err: syscall.EIO}, 1},
		"done, and an error": {disktest.Fault{Err: syscall.EIO, Done: true}, 2}, "power": {disktest.Fault{End: disktest.Power}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			for at, more := 1, true; more; at++ {
				for start, again := 1, true; again; start += tt.step {
					var err error
					if more, again, err = compacted(t.TempDir(), tt.end, at, start); err != nil {
						t.Fatalf("%s at operation %d of the compaction, power cut at %d of the start: %v", name, at, start, err)
					}
				}
			}
		})
	}
}

// compacted reports whether the compaction, and the start, had as many operations.
func compacted(root string, end disktest.Fault, at, start int) (more, again bool, err error) {
	e := &engine{rand: rand.New(rand.NewPCG(uint64(at), uint64(start))), states: map[int]map[string]string{0: {}}}
	defer func() { e.disk.Forget() }()
	n := 0
	boot := func(power bool) error {
		e.disk.Forget()
		if !power {
			e.disk = e.disk.Restart()
			return nil
		}
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			e.disk, err = e.disk.PowerCut(dir)
		}
		return err
	}
	e.disk = disktest.New(root, e.rand)
	if e.store, err = e.open(); err != nil {
		return false, false, err
	}
	for range 4 {
		if !e.commit() {
			return false, false, errors.New("a commit fails, and nothing is wrong")
		}
	}
	if err := e.store.Close(); err != nil {
		return false, false, err
	}
	happened := e.until(at, end)
	_, err = boltstore.Compact(context.Background(), e.path(), boltstore.CompactOptions{FS: e.disk})
	if !happened() && err != nil {
		return false, false, fmt.Errorf("compacting: %w", err)
	}
	went := happened()
	if err := boot(e.disk.Ended() == disktest.Power); err != nil {
		return false, false, err
	}
	cut := e.until(start, disktest.Fault{End: disktest.Power})
	if e.store, err = e.open(); err == nil {
		_ = e.store.Close()
	} else if !cut() {
		return false, false, fmt.Errorf("opening: %w", err)
	}
	again = cut()
	if err := boot(true); err != nil {
		return false, false, err
	}
	if e.store, err = e.open(); err != nil {
		return false, false, fmt.Errorf("opening, and nothing is wrong: %w", err)
	}
	return went, again, errors.Join(e.compare(), e.store.Close())
}

// until lets a fault happen at one operation from here on, and returns what tells whether it has.
func (e *engine) until(at int, f disktest.Fault) (happened func() bool) {
	n := 0
	e.disk.Decide(func(disktest.Op) disktest.Fault {
		if n++; n == at {
			return f
		}
		return disktest.Fault{}
	})
	return func() bool { return n >= at }
}
