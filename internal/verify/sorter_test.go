package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// TestSorter sorts more than it keeps in memory, in more files than it merges at once.
func TestSorter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ limit, n int }{{10, 0}, {10, 9}, {10, 10}, {10, 10_007}, {1000, 20_000}} {
		dir := t.TempDir()
		s := newSorter(dir, nil)
		s.limit = c.limit
		var sum uint64
		for range c.n {
			var t1 tuple
			v := r.Uint64()
			binary.BigEndian.PutUint64(t1[:], v>>40)
			binary.BigEndian.PutUint64(t1[40:], v)
			sum += v
			if err := s.add(t1); err != nil {
				t.Fatal(err)
			}
		}
		var last tuple
		n := 0
		err := s.sorted(context.Background(), func(t1 tuple) error {
			if bytes.Compare(last[:], t1[:]) > 0 {
				t.Fatal("not in order")
			}
			last, n = t1, n+1
			sum -= binary.BigEndian.Uint64(t1[40:])
			return nil
		})
		if err != nil || n != c.n || sum != 0 {
			t.Errorf("%d of %d came back, sum off by %d: %v", n, c.n, sum, err)
		}
		s.close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("scratch files are left: %v %v", left, err)
		}
	}
}

func TestSorterWithoutADirectory(t *testing.T) {
	s := newSorter("/nonexistent", nil)
	s.limit = 1
	if err := s.add(tuple{}); err == nil {
		t.Error("scratch files were made nowhere")
	}
}

// TestSorterRoom: scratch files are written as long as there is room, also where some are merged.
func TestSorterRoom(t *testing.T) {
	dir := t.TempDir()
	room := int64(100 << 10)
	s := newSorter(dir, func() (int64, error) { return room, nil })
	s.limit = 1000
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		if n == 5000 {
			room = 1000
		}
		err = s.add(tuple{byte(n)})
	}
	if !errors.Is(err, ErrSpace) || n != 6000 {
		t.Errorf("%d tuples were taken: %v", n, err)
	}
	s.close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("scratch files are left: %v %v", left, err)
	}
	// What is merged is as much again.
	s = newSorter(t.TempDir(), nil)
	s.limit = 1
	defer s.close()
	for range sorterFan - 1 {
		if err := s.add(tuple{}); err != nil {
			t.Fatal(err)
		}
	}
	s.room = func() (int64, error) { return 2 * tupleSize, nil }
	if err := s.add(tuple{}); !errors.Is(err, ErrSpace) {
		t.Errorf("merged without room: %v", err)
	}
}

// TestSketch adds and takes away in another order, and each way of being wrong.
func TestSketch(t *testing.T) {
	s := sketch{hash: newHasher()}
	names := []string{"a", "b", "c", ""}
	for i, n := range names {
		s.add(n, int64(i)-1)
		s.add(n, 1<<40)
	}
	for i := len(names) - 1; i >= 0; i-- {
		s.add(names[i], -(int64(i) - 1 + 1<<40))
	}
	if bad := s.bad(); len(bad) > 0 {
		t.Errorf("%d sums differ", len(bad))
	}
	for _, wrong := range [][]int64{{1, 0}, {-1, 0}, {1, -1}, {poison, 1}, {1, 1}, {2, -1}} {
		s := sketch{hash: newHasher()}
		s.add("a", wrong[0])
		s.add("b", wrong[1])
		if len(s.bad()) == 0 {
			t.Errorf("%v is not seen", wrong)
		}
	}
}
