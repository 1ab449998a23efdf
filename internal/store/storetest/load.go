package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// Load is an engine's Load: it returns the new store and closes it at the end of the test.
type Load func(t *testing.T, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error)

// RunLoad runs the suite of an engine's Load.
func RunLoad(t *testing.T, load Load) {
	t.Run("Entries", func(t *testing.T) { testLoad(t, load) })
	t.Run("Empty", func(t *testing.T) { testLoadEmpty(t, load) })
	t.Run("Refused", func(t *testing.T) { testLoadRefused(t, load) })
}

func all(entries []store.Entry) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// testLoad: what was loaded is there with its revisions, and commits go on after the head.
func testLoad(t *testing.T, load Load) {
	const head = 1 << 40
	var want []store.Entry
	for i := range 5000 {
		value := strings.Repeat("v", i%700)
		want = append(want, store.Entry{Key: fmt.Sprintf("k/%05d", i), Value: []byte(value), Rev: store.Rev(1 + i*7%4999)})
	}
	want = append(want, store.Entry{Key: "z", Value: make([]byte, store.MaxBatchBytes-1), Rev: head})
	s, err := load(t, head, all(want))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Scan(t.Context(), "", "", len(want)+1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a, b store.Entry) bool { return a.Key == b.Key && a.Rev == b.Rev && bytes.Equal(a.Value, b.Value) }) {
		t.Fatalf("%d entries, which are others than the %d that were loaded", len(got), len(want))
	}
	sn, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sn.Rev() != head {
		t.Errorf("the store is at revision %d, want %d", sn.Rev(), head)
	}
	sn.Close()
	for _, err := range s.Watch(t.Context(), "", head-1) {
		wantError(t, "Watch from before the head", err, store.ErrCompacted)
		break
	}
	first := want[0]
	if _, err := s.Commit(t.Context(), store.Batch{Checks: []store.Check{{Key: first.Key, Rev: first.Rev + 1}}, Writes: []store.Write{del(first.Key)}}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a check of another revision than the one that was loaded gives %v", err)
	}
	rev, err := s.Commit(t.Context(), store.Batch{Checks: []store.Check{{Key: first.Key, Rev: first.Rev}}, Writes: []store.Write{put(first.Key, "new")}})
	if err != nil || rev != head+1 {
		t.Errorf("the first commit has revision %d, want %d (%v)", rev, head+1, err)
	}
	if e := mustGet(t, s, first.Key); string(e.Value) != "new" || e.Rev != head+1 {
		t.Errorf("after a commit: %s", show([]store.Entry{e}))
	}
}

func testLoadEmpty(t *testing.T, load Load) {
	s, err := load(t, 7, all(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustScan(t, s, "", "", 1); len(got) != 0 {
		t.Errorf("a store of nothing holds %s", show(got))
	}
	if rev := mustCommit(t, s, put("k", "v")); rev != 8 {
		t.Errorf("the first commit has revision %d, want 8", rev)
	}
}

// testLoadRefused: what no store may hold is refused, and what the entries end with is passed on.
func testLoadRefused(t *testing.T, load Load) {
	entry := func(key string, rev store.Rev) store.Entry {
		return store.Entry{Key: key, Rev: rev, Value: []byte("v")}
	}
	tests := map[string]struct {
		entries []store.Entry
		want    error
	}{
		"keys out of order":             {[]store.Entry{entry("b", 1), entry("a", 1)}, store.ErrDamaged},
		"a key twice":                   {[]store.Entry{entry("a", 1), entry("a", 1)}, store.ErrDamaged},
		"a revision of 0":               {[]store.Entry{entry("a", 0)}, store.ErrDamaged},
		"a revision after the head":     {[]store.Entry{entry("a", 6)}, store.ErrDamaged},
		"a value that is too large":     {[]store.Entry{{Key: "a", Rev: 1, Value: make([]byte, store.MaxBatchBytes)}}, store.ErrTooLarge},
		"no key":                        {[]store.Entry{entry("", 1)}, nil},
		"a key that is too long to get": {[]store.Entry{entry(strings.Repeat("k", store.MaxKeyBytes+1), 1)}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, 5, all(test.entries))
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want an error (%v)", err, test.want)
			}
		})
	}
	t.Run("an error of the source", func(t *testing.T) {
		_, err := load(t, 5, func(yield func(store.Entry, error) bool) {
			if yield(entry("a", 1), nil) {
				yield(store.Entry{}, context.DeadlineExceeded)
			}
		})
		wantError(t, "Load", err, context.DeadlineExceeded)
	})
}
