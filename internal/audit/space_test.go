package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fakeClock is a clock that a test moves.
type fakeClock struct{ nanos atomic.Int64 }

func (c *fakeClock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func TestFullDisk(t *testing.T) {
	var clock fakeClock
	f := &faults{dir: t.TempDir(), capacity: 3000}
	l := openLog(t, f.dir, Options{ReserveBytes: 1000, Now: clock.now, files: f.files()})
	var all [][]byte
	for n := 0; ; n++ {
		if _, err := l.Append(rec(n)); err != nil {
			if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
		all = append(all, rec(n))
	}
	if len(all) < 20 {
		t.Fatalf("only %d records fit", len(all))
	}
	if err := l.Healthy(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Healthy: %v", err)
	}

	// Committed records get in, in the reserve's place; others wait, even where they would fit.
	for n := range 3 {
		r := rec(1000 + n)
		if seq, err := l.AppendSync([][]byte{r}); seq != uint64(len(all)+1) || err != nil {
			t.Fatalf("AppendSync = %d, %v", seq, err)
		}
		all = append(all, r)
		clock.advance(2 * time.Second)
		if _, err := l.Append(rec(0)); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("Append: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, "reserve")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reserve: %v, want it gone, and no part of it left", err)
	}

	// There is room again, which is looked for once a second.
	f.set(func(f *faults) { f.capacity = 10_000 })
	if _, err := l.Append(rec(0)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Append within the second: %v", err)
	}
	clock.advance(time.Second)
	if err := l.Healthy(); err != nil {
		t.Errorf("Healthy: %v", err)
	}
	if info, err := os.Stat(filepath.Join(f.dir, "reserve")); err != nil || info.Size() != 1000 {
		t.Errorf("reserve: %v, %v", info, err)
	}
	if _, err := l.Append(rec(7)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, lines(t, Read(f.dir, 1)), 1, append(all, rec(7))...)
}

// Where only plain appends met the full disk, the reserve stays, and room for a second one lets them go on.
func TestFullDiskKeepsReserve(t *testing.T) {
	var clock fakeClock
	f := &faults{dir: t.TempDir(), capacity: 1030}
	l := openLog(t, f.dir, Options{ReserveBytes: 1000, Now: clock.now, files: f.files()})
	if _, err := l.Append(rec(1)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Append: %v", err)
	}
	f.set(func(f *faults) { f.capacity = 1900 })
	clock.advance(time.Second)
	if _, err := l.Append(rec(1)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Append with little room: %v", err)
	}
	f.set(func(f *faults) { f.capacity = 2500 })
	clock.advance(time.Second)
	if _, err := l.Append(rec(1)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v; want a segment and the reserve", entries, err)
	}
}

func TestOpenOnFullDisk(t *testing.T) {
	f := &faults{dir: t.TempDir(), capacity: 500}
	l := openLog(t, f.dir, Options{ReserveBytes: 1000, files: f.files()})
	if err := l.Healthy(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Healthy: %v", err)
	}
	if _, err := l.AppendSync([][]byte{rec(1)}); err != nil {
		t.Errorf("AppendSync: %v", err)
	}
	if _, err := l.Append(rec(2)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Append: %v", err)
	}
}

// Concurrent appends on a disk that fills: what was answered with a number is there, and nothing else is.
func TestFullDiskConcurrent(t *testing.T) {
	f := &faults{dir: t.TempDir(), capacity: 6000}
	l := openLog(t, f.dir, Options{SegmentBytes: 1500, ReserveBytes: 1000, files: f.files()})
	var mu sync.Mutex
	given := make(map[uint64]string)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 100 {
				r := rec(w*100 + i)
				var seq uint64
				var err error
				if i%7 == 0 {
					seq, err = l.AppendSync([][]byte{r})
				} else {
					seq, err = l.Append(r)
				}
				if err == nil {
					mu.Lock()
					given[seq] = string(r[1:])
					mu.Unlock()
				} else if !errors.Is(err, ErrNoSpace) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := lines(t, Read(f.dir, 1))
	if len(got) != len(given) || len(got) == 400 {
		t.Errorf("%d lines for %d numbers given", len(got), len(given))
	}
	for _, line := range got {
		if want := given[line.Seq]; want == "" || !strings.HasSuffix(string(line.JSON), ","+want) {
			t.Errorf("line %d is %s, want it to end in %q", line.Seq, line.JSON, want)
		}
	}
}
