package audit

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// sinks runs a test on every implementation of Sink.
func sinks(t *testing.T, test func(t *testing.T, s Sink)) {
	t.Run("Log", func(t *testing.T) { test(t, openLog(t, t.TempDir(), Options{})) })
	t.Run("Segments", func(t *testing.T) { test(t, openLog(t, t.TempDir(), Options{SegmentBytes: 100})) })
	t.Run("Memory", func(t *testing.T) { test(t, NewMemory(10_000)) })
}

// openLog opens a log for a test, with a small reserve, and closes it when the test ends.
func openLog(t *testing.T, dir string, opts Options) *Log {
	t.Helper()
	if opts.NodeID == "" {
		opts.NodeID = "n1"
	}
	if opts.ReserveBytes == 0 {
		opts.ReserveBytes = 1 << 10
	}
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// lines collects what a sequence yields.
func lines(t *testing.T, seq func(func(Line, error) bool)) []Line {
	t.Helper()
	var all []Line
	for l, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func rec(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

// wantLines checks that the lines are consecutive from first and, but for their frame, the records.
func wantLines(t *testing.T, got []Line, first uint64, records ...[]byte) {
	t.Helper()
	if len(got) != len(records) {
		t.Fatalf("%d lines, want %d", len(got), len(records))
	}
	for i, l := range got {
		want := appendLine(nil, l.Node, first+uint64(i), records[i])
		if l.Seq != first+uint64(i) || string(l.JSON)+"\n" != string(want) {
			t.Fatalf("line %d is %d %s, want %s", i, l.Seq, l.JSON, want)
		}
	}
}

func TestSinkOrder(t *testing.T) {
	sinks(t, func(t *testing.T, s Sink) {
		if s.NextSeq() != 1 {
			t.Errorf("NextSeq = %d at first", s.NextSeq())
		}
		if seq, err := s.Append(rec(1)); seq != 1 || err != nil {
			t.Fatalf("Append = %d, %v", seq, err)
		}
		if first, err := s.AppendSync([][]byte{rec(2), rec(3)}); first != 2 || err != nil {
			t.Fatalf("AppendSync = %d, %v", first, err)
		}
		if first, err := s.AppendSync(nil); first != 4 || err != nil {
			t.Fatalf("AppendSync(nil) = %d, %v", first, err)
		}
		if seq, err := s.Append([]byte(`{}`)); seq != 4 || err != nil {
			t.Fatalf("Append = %d, %v", seq, err)
		}
		if s.NextSeq() != 5 {
			t.Errorf("NextSeq = %d, want 5", s.NextSeq())
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
		wantLines(t, lines(t, s.Since(0)), 1, rec(1), rec(2), rec(3), []byte(`{}`))
		wantLines(t, lines(t, s.Since(3)), 3, rec(3), []byte(`{}`))
		wantLines(t, lines(t, s.Since(5)), 5)
		wantLines(t, lines(t, s.Since(1<<63)), 5)
		for l := range s.Since(2) {
			if l.Seq != 2 {
				t.Errorf("Since(2) begins with %d", l.Seq)
			}
			break
		}
	})
}

func TestSinkRefusesRecords(t *testing.T) {
	bad := map[string][]byte{
		"nil": nil, "empty": {}, "array": []byte(`[]`), "open": []byte(`{"a":1`), "two lines": []byte("{\"a\":\n1}"),
		"blank": []byte(`{ }`), "utf-8": []byte("{\"a\":\"\xff\"}"), "long": []byte(`{"a":"` + strings.Repeat("a", MaxRecordBytes) + `"}`),
	}
	sinks(t, func(t *testing.T, s Sink) {
		for name, r := range bad {
			if _, err := s.Append(r); !errors.Is(err, ErrRecord) {
				t.Errorf("Append of %s: %v", name, err)
			}
			if _, err := s.AppendSync([][]byte{rec(1), r}); !errors.Is(err, ErrRecord) {
				t.Errorf("AppendSync of %s: %v", name, err)
			}
		}
		if s.NextSeq() != 1 {
			t.Error("a refused record took a number")
		}
	})
}

func TestSinkClosed(t *testing.T) {
	sinks(t, func(t *testing.T, s Sink) {
		if _, err := s.Append(rec(1)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Append(rec(2)); !errors.Is(err, ErrClosed) {
			t.Errorf("Append: %v", err)
		}
		if _, err := s.AppendSync([][]byte{rec(2)}); !errors.Is(err, ErrClosed) {
			t.Errorf("AppendSync: %v", err)
		}
		if err := s.Healthy(); !errors.Is(err, ErrClosed) {
			t.Errorf("Healthy: %v", err)
		}
		wantLines(t, lines(t, s.Since(1)), 1, rec(1))
	})
}

// Concurrent appends, plain and synced, with readers among them: every number is given once, to the record that has it.
func TestSinkConcurrent(t *testing.T) {
	const workers, each = 8, 50
	sinks(t, func(t *testing.T, s Sink) {
		var mu sync.Mutex
		given := make(map[uint64]int)
		note := func(seq uint64, n int, err error) {
			mu.Lock()
			defer mu.Unlock()
			if _, twice := given[seq]; err != nil || twice {
				t.Errorf("record %d: number %d, error %v, given before: %t", n, seq, err, twice)
			}
			given[seq] = n
		}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					n := w*each + i
					switch {
					case i%10 == 0:
						seq, err := s.AppendSync([][]byte{rec(n)})
						note(seq, n, err)
					default:
						seq, err := s.Append(rec(n))
						note(seq, n, err)
					}
					if i == each/2 {
						for l, err := range s.Since(1) {
							if err != nil {
								t.Errorf("reading line %d: %v", l.Seq, err)
							}
						}
					}
				}
			})
		}
		wg.Wait()
		records := make([][]byte, workers*each)
		for seq, n := range given {
			records[seq-1] = rec(n)
		}
		wantLines(t, lines(t, s.Since(1)), 1, records...)
	})
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := NewMemory(2)
	for n := 1; n <= 5; n++ {
		if _, err := m.Append(rec(n)); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, lines(t, m.Since(0)), 4, rec(4), rec(5))
	wantLines(t, lines(t, m.Since(5)), 5, rec(5))
	// What goes while it is read is left out, and nothing newer gets in.
	var seqs []uint64
	for l := range m.Since(4) {
		seqs = append(seqs, l.Seq)
		_, _ = m.AppendSync([][]byte{rec(0), rec(0), rec(0)})
	}
	if len(seqs) != 1 || seqs[0] != 4 {
		t.Errorf("numbers %v, want 4 only", seqs)
	}
}
