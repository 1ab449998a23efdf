package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

func testChecks(t *testing.T, open Open) {
	s := open(t)
	r1 := mustCommit(t, s, put("a", "1"))
	r2 := mustCommit(t, s, put("b", "2"))
	tests := []struct {
		name   string
		checks []store.Check
		ok     bool
	}{
		{"current", []store.Check{{Key: "a", Rev: r1}}, true},
		{"older", []store.Check{{Key: "b", Rev: r1}}, false},
		{"newer", []store.Check{{Key: "a", Rev: r2}}, false},
		{"absent", []store.Check{{Key: "c"}}, true},
		{"absent but there", []store.Check{{Key: "a"}}, false},
		{"there but absent", []store.Check{{Key: "c", Rev: r1}}, false},
		{"all", []store.Check{{Key: "a", Rev: r1}, {Key: "b", Rev: r2}, {Key: "c"}}, true},
		{"all but the last", []store.Check{{Key: "a", Rev: r1}, {Key: "b", Rev: r2}, {Key: "c", Rev: 7}}, false},
		{"the same twice", []store.Check{{Key: "a", Rev: r1}, {Key: "a", Rev: r1}}, true},
		{"contradiction", []store.Check{{Key: "a", Rev: r1}, {Key: "a"}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Commit(t.Context(), store.Batch{Checks: test.checks, Writes: []store.Write{put("out", test.name)}})
			if test.ok && err != nil {
				t.Errorf("Commit: %v", err)
			}
			if !test.ok {
				wantError(t, "Commit", err, store.ErrConflict)
			}
			if wrote := string(mustGet(t, s, "out").Value) == test.name; wrote != test.ok {
				t.Errorf("wrote = %v", wrote)
			}
		})
	}
	// A key that was deleted is absent, and one that came back is another.
	mustCommit(t, s, del("a"))
	guard := store.Batch{Checks: []store.Check{{Key: "a"}}, Writes: []store.Write{put("a", "back")}}
	if _, err := s.Commit(t.Context(), guard); err != nil {
		t.Errorf("creating what was deleted: %v", err)
	}
	_, err := s.Commit(t.Context(), guard)
	wantError(t, "creating it twice", err, store.ErrConflict)
	_, err = s.Commit(t.Context(), store.Batch{Checks: []store.Check{{Key: "a", Rev: r1}}, Writes: []store.Write{del("a")}})
	wantError(t, "guarding by the revision before the deletion", err, store.ErrConflict)
}

func testAtomic(t *testing.T, open Open) {
	s := open(t)
	r1 := mustCommit(t, s, put("a", "1"), put("b", "1"))
	before := show(mustScan(t, s, "", "", 100))
	_, err := s.Commit(t.Context(), store.Batch{
		Checks: []store.Check{{Key: "a", Rev: r1}, {Key: "b", Rev: r1 + 1}},
		Writes: []store.Write{put("a", "2"), del("b"), put("c", "2")},
	})
	wantError(t, "Commit", err, store.ErrConflict)
	if after := show(mustScan(t, s, "", "", 100)); after != before {
		t.Errorf("a refused batch turned %s into %s", before, after)
	}
	if rev := mustCommit(t, s, put("d", "3")); rev != r1+1 {
		t.Errorf("a refused batch used up a revision: %d after %d", rev, r1)
	}
	for _, c := range collect(t, s, "", r1, r1+1) {
		if c.Key != "d" {
			t.Errorf("a refused batch is watched: %v", c)
		}
	}
}

func testLimits(t *testing.T, open Open) {
	s := open(t)
	checks := func(n int) (out []store.Check) {
		for i := range n {
			out = append(out, store.Check{Key: fmt.Sprint("absent/", i)})
		}
		return out
	}
	writes := func(n int) (out []store.Write) {
		for i := range n {
			out = append(out, put(fmt.Sprint("w/", i), "v"))
		}
		return out
	}
	sized := func(total int) []store.Write {
		half := total / 2
		return []store.Write{
			{Key: "big/1", Value: bytes.Repeat([]byte("1"), half-len("big/1"))},
			{Key: "big/2", Value: bytes.Repeat([]byte("2"), total-half-len("big/2"))},
		}
	}
	long := strings.Repeat("k", store.MaxKeyBytes)
	tests := []struct {
		name  string
		batch store.Batch
		ok    bool
		is    error // nil: any error
	}{
		{"checks", store.Batch{Checks: checks(store.MaxChecks), Writes: writes(1)}, true, nil},
		{"checks+1", store.Batch{Checks: checks(store.MaxChecks + 1), Writes: writes(1)}, false, store.ErrTooLarge},
		{"writes", store.Batch{Writes: writes(store.MaxWrites)}, true, nil},
		{"writes+1", store.Batch{Writes: writes(store.MaxWrites + 1)}, false, store.ErrTooLarge},
		{"bytes", store.Batch{Writes: sized(store.MaxBatchBytes)}, true, nil},
		{"bytes+1", store.Batch{Writes: sized(store.MaxBatchBytes + 1)}, false, store.ErrTooLarge},
		{"one value", store.Batch{Writes: []store.Write{{Key: "v", Value: make([]byte, store.MaxBatchBytes-1)}}}, true, nil},
		{"key", store.Batch{Writes: []store.Write{put(long, "v")}}, true, nil},
		{"key+1", store.Batch{Writes: []store.Write{put(long+"k", "v")}}, false, nil},
		{"no key", store.Batch{Writes: []store.Write{put("", "v")}}, false, nil},
		{"twice", store.Batch{Writes: []store.Write{put("t", "1"), del("t")}}, false, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := mustCommit(t, s, put("mark", test.name))
			rev, err := s.Commit(t.Context(), test.batch)
			if !test.ok {
				if err == nil || (test.is != nil && !errors.Is(err, test.is)) {
					t.Errorf("got error %v, want %v", err, test.is)
				}
				if rev := mustCommit(t, s, put("mark", "after")); rev != before+1 {
					t.Errorf("a refused batch used up a revision")
				}
				return
			}
			if err != nil {
				t.Fatalf("Commit: %v", err)
			}
			for _, w := range test.batch.Writes {
				if e := mustGet(t, s, w.Key); e.Rev != rev || !bytes.Equal(e.Value, w.Value) {
					t.Errorf("a key of %d bytes has revision %d, %d bytes", len(w.Key), e.Rev, len(e.Value))
				}
			}
		})
	}
}

func testRevisions(t *testing.T, open Open) {
	s := open(t)
	for i := range 20 {
		want := store.Rev(i + 1)
		key := fmt.Sprint("k", i%3)
		var batch store.Batch
		switch i % 5 {
		case 3:
			batch.Writes = []store.Write{del(key)}
		case 4: // a batch that only checks, or deletes what is absent, is a commit too
			batch.Checks = []store.Check{{Key: "never"}}
		default:
			batch.Writes = []store.Write{put(key, "v"), put("last", "v")}
		}
		rev, err := s.Commit(t.Context(), batch)
		if err != nil || rev != want {
			t.Fatalf("commit %d has revision %d, %v", i+1, rev, err)
		}
		if i%5 < 3 {
			if a, b := mustGet(t, s, key), mustGet(t, s, "last"); a.Rev != rev || b.Rev != rev {
				t.Errorf("commit %d: keys at revisions %d and %d", rev, a.Rev, b.Rev)
			}
		}
	}
}

// testIncrements lets many writers count up the same number with compare-and-swap.
func testIncrements(t *testing.T, open Open) {
	s := open(t)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[store.Rev]bool)
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				e, err := s.Get(t.Context(), "n")
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				n, _ := strconv.Atoi(string(e[0].Value)) // absent counts as 0
				rev, err := s.Commit(t.Context(), store.Batch{
					Checks: []store.Check{{Key: "n", Rev: e[0].Rev}},
					Writes: []store.Write{put("n", strconv.Itoa(n+1))},
				})
				if errors.Is(err, store.ErrConflict) {
					continue
				}
				if err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
				mu.Lock()
				if seen[rev] {
					t.Errorf("revision %d was given twice", rev)
				}
				seen[rev] = true
				mu.Unlock()
				done++
			}
		})
	}
	wg.Wait()
	e := mustGet(t, s, "n")
	if string(e.Value) != strconv.Itoa(writers*each) || e.Rev != writers*each {
		t.Errorf("%s at revision %d, want %d", e.Value, e.Rev, writers*each)
	}
}

func testContext(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("a", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, "a")
	wantError(t, "Get", err, context.Canceled)
	_, err = s.Scan(ctx, "", "", 1)
	wantError(t, "Scan", err, context.Canceled)
	_, err = s.Commit(ctx, store.Batch{Writes: []store.Write{put("a", "2")}})
	wantError(t, "Commit", err, context.Canceled)
	for _, err := range s.Watch(ctx, "", 1) {
		wantError(t, "Watch", err, context.Canceled)
	}
	if e := mustGet(t, s, "a"); string(e.Value) != "1" {
		t.Errorf("a commit with an ended context wrote %q", e.Value)
	}
}

func wantClosed(t *testing.T, s store.Store) {
	t.Helper()
	_, err := s.Get(t.Context(), "a")
	wantError(t, "Get", err, store.ErrClosed)
	_, err = s.Scan(t.Context(), "", "", 1)
	wantError(t, "Scan", err, store.ErrClosed)
	_, err = s.Commit(t.Context(), store.Batch{Writes: []store.Write{put("a", "2")}})
	wantError(t, "Commit", err, store.ErrClosed)
	n := 0
	for _, err := range s.Watch(t.Context(), "", 0) {
		wantError(t, "Watch", err, store.ErrClosed)
		n++
	}
	if n != 1 {
		t.Errorf("Watch yielded %d times", n)
	}
	wantError(t, "Close", s.Close(), store.ErrClosed)
}

func testClosed(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	wantClosed(t, s)
}

// testCloseWhileBusy closes under load: every call ends, with success or ErrClosed.
func testCloseWhileBusy(t *testing.T, open Open) {
	s := open(t)
	var wg sync.WaitGroup
	begun := make(chan struct{}, 8)
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				var err error
				switch w % 4 {
				case 0:
					_, err = s.Get(t.Context(), "k")
				case 1:
					_, err = s.Scan(t.Context(), "", "", 10)
				default:
					_, err = s.Commit(t.Context(), store.Batch{Writes: []store.Write{put("k", fmt.Sprint(w, i))}})
				}
				if i == 3 {
					begun <- struct{}{}
				}
				if err != nil {
					wantError(t, "a call during Close", err, store.ErrClosed)
					return
				}
			}
		})
	}
	for range 8 {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	wantClosed(t, s)
}
