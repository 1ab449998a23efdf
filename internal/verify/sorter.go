package verify

import (
	"bufio"
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// tupleSize is that of what a sorter sorts.
const tupleSize = 48

// tuple is fixed bytes that sort bytewise. It holds hashes of names and numbers: nothing secret reaches the disk.
type tuple [tupleSize]byte

// sorterChunk is how many tuples are kept in memory before they go to a file: 6 MiB.
const sorterChunk = 128 << 10

// sorterFan is how many files are merged at once at most, each through a small buffer.
const sorterFan = 256

// sorter sorts any number of tuples in bounded memory, through files that have no name any more once they are made, where the system can do
// that. A library would want each tuple as an object of its own, which is what takes the time here.
type sorter struct {
	dir   string
	room  func() (int64, error) // see Config.Room
	chunk []tuple
	limit int
	runs  []*os.File
	names []string // of files that could not be unlinked while open
}

func newSorter(dir string, room func() (int64, error)) *sorter {
	return &sorter{dir: dir, room: room, limit: sorterChunk}
}

// scratchWrite is how much is written at once, and the room looked at for.
const scratchWrite = 1 << 20

// scratch is a file as a sorter writes it.
type scratch struct {
	f    *os.File
	room func() (int64, error)
}

func (s scratch) Write(p []byte) (int, error) {
	if err := roomFor(s.room, int64(len(p))); err != nil {
		return 0, err
	}
	return s.f.Write(p)
}

// roomFor returns ErrSpace unless scratch files may take n bytes more.
func roomFor(room func() (int64, error), n int64) error {
	if room == nil {
		return nil
	}
	left, err := room()
	if err != nil {
		return fmt.Errorf("finding out how much room there is: %w", err)
	}
	if left < n {
		return fmt.Errorf("%w: %d bytes are to be written, and %d more may be", ErrSpace, n, max(left, 0))
	}
	return nil
}

func (s *sorter) add(t tuple) error {
	s.chunk = append(s.chunk, t)
	if len(s.chunk) < s.limit {
		return nil
	}
	return s.spill()
}

func (s *sorter) spill() error {
	slices.SortFunc(s.chunk, func(a, b tuple) int { return bytes.Compare(a[:], b[:]) })
	f, err := s.file()
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(scratch{f, s.room}, scratchWrite)
	for i := range s.chunk {
		if _, err := w.Write(s.chunk[i][:]); err != nil {
			return fmt.Errorf("verify: writing a scratch file: %w", err)
		}
	}
	s.chunk = s.chunk[:0]
	if err := w.Flush(); err != nil {
		return fmt.Errorf("verify: writing a scratch file: %w", err)
	}
	if len(s.runs) == sorterFan {
		return s.merge()
	}
	return nil
}

func (s *sorter) file() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "keyturn-verify-*")
	if err != nil {
		return nil, fmt.Errorf("verify: making a scratch file: %w", err)
	}
	s.runs = append(s.runs, f)
	if os.Remove(f.Name()) != nil {
		s.names = append(s.names, f.Name())
	}
	return f, nil
}

// merge makes one file of all.
func (s *sorter) merge() error {
	old := s.runs
	s.runs = nil
	f, err := s.file()
	if err != nil {
		s.runs = append(old, s.runs...)
		return err
	}
	w := bufio.NewWriterSize(scratch{f, s.room}, scratchWrite)
	err = mergeRuns(context.Background(), old, nil, func(t tuple) error {
		_, err := w.Write(t[:])
		return err
	})
	err = errors.Join(err, w.Flush())
	for _, r := range old {
		r.Close()
	}
	if err != nil {
		return fmt.Errorf("verify: writing a scratch file: %w", err)
	}
	return nil
}

// sorted calls yield with all tuples in order. Nothing can be added any more.
func (s *sorter) sorted(ctx context.Context, yield func(tuple) error) error {
	slices.SortFunc(s.chunk, func(a, b tuple) int { return bytes.Compare(a[:], b[:]) })
	return mergeRuns(ctx, s.runs, s.chunk, yield)
}

// close gives everything back.
func (s *sorter) close() {
	for _, f := range s.runs {
		f.Close()
	}
	for _, name := range s.names {
		os.Remove(name)
	}
	s.runs, s.names, s.chunk = nil, nil, nil
}

// source is a sorted run, or what is left of one.
type source struct {
	head tuple
	r    *bufio.Reader // nil: rest
	rest []tuple
}

func (s *source) next() (bool, error) {
	if s.r == nil {
		if len(s.rest) == 0 {
			return false, nil
		}
		s.head, s.rest = s.rest[0], s.rest[1:]
		return true, nil
	}
	_, err := io.ReadFull(s.r, s.head[:])
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("verify: reading a scratch file: %w", err)
	}
	return true, nil
}

type sources []*source

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return bytes.Compare(s[i].head[:], s[j].head[:]) < 0 }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(*source)) }
func (s *sources) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

func mergeRuns(ctx context.Context, runs []*os.File, chunk []tuple, yield func(tuple) error) error {
	list := sources{{rest: chunk}}
	for _, f := range runs {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("verify: reading a scratch file: %w", err)
		}
		list = append(list, &source{r: bufio.NewReaderSize(f, 64<<10)})
	}
	var open sources
	for _, s := range list {
		ok, err := s.next()
		if err != nil {
			return err
		}
		if ok {
			open = append(open, s)
		}
	}
	heap.Init(&open)
	for n := 0; len(open) > 0; n++ {
		if n%(64<<10) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := yield(open[0].head); err != nil {
			return err
		}
		ok, err := open[0].next()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
	return nil
}
