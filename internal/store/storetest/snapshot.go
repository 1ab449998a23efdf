package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// testSnapshotStays changes everything under a snapshot, over and over, and reads it.
func testSnapshotStays(t *testing.T, open Open) {
	s := open(t)
	const n = 300
	name := func(i int) string { return fmt.Sprintf("k/%04d", i) }
	var rev store.Rev
	for i := range n {
		rev = mustCommit(t, s, put(name(i), fmt.Sprint("first ", i)))
	}
	sn, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	if sn.Rev() != rev {
		t.Errorf("a snapshot after revision %d is of %d", rev, sn.Rev())
	}
	look := func() {
		t.Helper()
		seen, after := 0, ""
		for {
			entries, err := sn.Scan(t.Context(), "k/", after, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Key != name(seen) || string(e.Value) != fmt.Sprint("first ", seen) || e.Rev == 0 || e.Rev > rev {
					t.Fatalf("%s: %q at revision %d", e.Key, e.Value, e.Rev)
				}
				seen, after = seen+1, e.Key
			}
			if len(entries) < 64 {
				break
			}
		}
		if seen != n {
			t.Fatalf("%d keys, want %d", seen, n)
		}
		entries, err := sn.Get(t.Context(), name(7), "k/new", name(299))
		if err != nil {
			t.Fatal(err)
		}
		if string(entries[0].Value) != "first 7" || entries[1].Rev != 0 || entries[1].Key != "k/new" || string(entries[2].Value) != "first 299" {
			t.Fatalf("Get: %s", show(entries))
		}
	}
	look()
	var wg sync.WaitGroup
	wg.Go(func() {
		for round := range 3 {
			for i := range n {
				w := put(name(i), fmt.Sprint("round ", round, i))
				if i%3 == round%3 {
					w = del(name(i))
				}
				if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{w, put("k/new", "x")}}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	look()
	look()
	wg.Wait()
	look()
	entries, err := sn.Scan(t.Context(), "k/", "", 1)
	if err != nil || len(entries) != 1 {
		t.Fatal(err)
	}
	clear(entries[0].Value) // belongs to the caller
	look()
	if _, err := sn.Scan(t.Context(), "", "", 0); err == nil {
		t.Error("a limit of 0 is taken")
	}
}

// testSnapshotCloses: neither a closed snapshot nor one of a closed store can be read, and an open one does not keep a store from closing.
func testSnapshotCloses(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("k", "v"))
	take := func() store.Snapshot {
		t.Helper()
		sn, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sn
	}
	closed, left := take(), take()
	closed.Close()
	closed.Close()
	_, err := closed.Get(t.Context(), "k")
	wantError(t, "Get of a closed snapshot", err, store.ErrClosed)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = left.Scan(t.Context(), "", "", 10)
	wantError(t, "Scan of a snapshot of a closed store", err, store.ErrClosed)
	left.Close()
	_, err = s.Snapshot(t.Context())
	wantError(t, "Snapshot of a closed store", err, store.ErrClosed)
}
