package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

func testGetAndScan(t *testing.T, open Open) {
	s := open(t)
	if got := show([]store.Entry{mustGet(t, s, "a")}); got != "a@0" {
		t.Errorf("absent key: %s", got)
	}
	if got := mustScan(t, s, "", "", 10); len(got) != 0 {
		t.Errorf("scan of an empty store: %v", got)
	}
	mustCommit(t, s, put("b", "2"), put("a", "1"))
	mustCommit(t, s, put("b", "3"), put("c", "4"))
	mustCommit(t, s, del("c"), del("never"))

	entries, err := s.Get(t.Context(), "c", "b", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(entries), "c@0 b@2=3 a@1=1 b@2=3"; got != want {
		t.Errorf("Get = %s, want %s", got, want)
	}
	if entries, err := s.Get(t.Context()); err != nil || len(entries) != 0 {
		t.Errorf("Get of no keys = %v, %v", entries, err)
	}
	if got, want := show(mustScan(t, s, "", "", 10)), "a@1=1 b@2=3"; got != want {
		t.Errorf("Scan = %s, want %s", got, want)
	}
	long := strings.Repeat("k", store.MaxKeyBytes+1)
	if got := mustGet(t, s, long); got.Rev != 0 {
		t.Errorf("key longer than allowed is at revision %d", got.Rev)
	}
}

func testScanRanges(t *testing.T, open Open) {
	s := open(t)
	// In no order, and with bytes on both sides of every boundary.
	keys := []string{"k/b", "k/a", "k", "k/", "k0", "k/\xff", "k/\x00", "l", "\x00", "\xff\xff", "k/a/1", "k/aa", "K/a", "k/é"}
	for _, key := range keys {
		mustCommit(t, s, put(key, key))
	}
	slices.Sort(keys)
	prefixes := append([]string{"", "k/", "k/a", "k/z", "\xff", "\x00\x00", "zz", "j"}, keys...)
	afters := append([]string{"", "k/", "k/a\x00", "k/z", "\xff\xff\xff", "a", "z"}, keys...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			for _, limit := range []int{1, 2, 3, len(keys), 1 << 40} {
				var want []string
				for _, key := range keys {
					if strings.HasPrefix(key, prefix) && key > after && len(want) < limit {
						want = append(want, key)
					}
				}
				var got []string
				for _, e := range mustScan(t, s, prefix, after, limit) {
					got = append(got, e.Key)
					if string(e.Value) != e.Key || e.Rev == 0 {
						t.Fatalf("entry %q has value %q, revision %d", e.Key, e.Value, e.Rev)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("Scan(%q, %q, %d) = %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
	for _, limit := range []int{0, -1} {
		if _, err := s.Scan(t.Context(), "", "", limit); err == nil {
			t.Errorf("Scan with limit %d gave no error", limit)
		}
	}
}

// testScanWhileChanging pages through keys while others come and go between and around them.
func testScanWhileChanging(t *testing.T, open Open) {
	s := open(t)
	const stable = 300
	var want []string
	for i := range stable {
		want = append(want, fmt.Sprintf("p/%04d", i))
	}
	for part := range slices.Chunk(want, store.MaxWrites) {
		var writes []store.Write
		for _, key := range part {
			writes = append(writes, put(key, "stable"))
		}
		mustCommit(t, s, writes...)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("p/%04d/%d", rng.IntN(stable), w)
				write := put(key, strings.Repeat("x", rng.IntN(600)))
				if rng.IntN(2) == 0 {
					write = del(key)
				}
				if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{write}}); err != nil {
					t.Errorf("Commit: %v", err)
					return
				}
			}
		})
	}
	for round := range 20 {
		var got []string
		after, limit := "", 1+round*3
		for {
			page := mustScan(t, s, "p/", after, limit)
			for _, e := range page {
				if e.Key <= after {
					t.Errorf("%q comes after %q", e.Key, after)
				}
				after = e.Key
				if len(e.Key) == len("p/0000") {
					got = append(got, e.Key)
				}
			}
			if len(page) < limit {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %d of %d stable keys", round, len(got), len(want))
		}
	}
	close(stop)
	wg.Wait()
}

// testOwnership writes into every slice that was passed in or given out.
func testOwnership(t *testing.T, open Open) {
	s := open(t)
	spoil := func(b []byte) {
		for i := range b[:cap(b)] {
			b[:cap(b)][i] = '!'
		}
	}
	passed := make([]byte, 3, 64)
	copy(passed, "one")
	rev, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: "k", Value: passed}, put("l", "two")}})
	if err != nil {
		t.Fatal(err)
	}
	spoil(passed)
	check := func(after string) {
		t.Helper()
		for range 2 { // the second look finds what the first one's spoiling did
			entries, err := s.Get(t.Context(), "k", "l")
			if err != nil {
				t.Fatal(err)
			}
			if got, want := show(entries), fmt.Sprintf("k@%d=one l@%d=two", rev, rev); got != want {
				t.Fatalf("after spoiling %s: %s, want %s", after, got, want)
			}
			spoil(entries[0].Value)
			spoil(entries[1].Value)
		}
	}
	check("what was passed to Commit and given by Get")
	for _, e := range mustScan(t, s, "", "", 10) {
		spoil(e.Value)
	}
	check("what Scan gave")
	for range 2 {
		for _, c := range collect(t, s, "", 0, rev) {
			if v := string(c.Value); v != "one" && v != "two" {
				t.Fatalf("Watch gives %q", v)
			}
			spoil(c.Value)
		}
	}
	check("what Watch gave")
}

func testEmptyValue(t *testing.T, open Open) {
	s := open(t)
	rev := mustCommit(t, s, store.Write{Key: "nil"}, store.Write{Key: "empty", Value: []byte{}})
	for _, key := range []string{"nil", "empty"} {
		if e := mustGet(t, s, key); e.Rev != rev || e.Value == nil || len(e.Value) != 0 {
			t.Errorf("Get(%q) = %#v", key, e)
		}
	}
	for _, e := range mustScan(t, s, "", "", 10) {
		if e.Value == nil {
			t.Errorf("Scan gives a nil value for %q", e.Key)
		}
	}
	for _, c := range collect(t, s, "", 0, rev) {
		if c.Value == nil || c.Deleted {
			t.Errorf("Watch gives %#v", c)
		}
	}
}

// testSnapshot reads two keys that every commit writes alike.
func testSnapshot(t *testing.T, open Open) {
	s := open(t)
	mustCommit(t, s, put("x/1", "-"), put("x/2", "-"))
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 50 {
				v := fmt.Sprint(w, i)
				if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{put("x/1", v), put("x/2", v)}}); err != nil {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	for range 200 {
		got, err := s.Get(t.Context(), "x/1", "x/2")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range [][]store.Entry{got, mustScan(t, s, "x/", "", 10)} {
			if len(e) != 2 || e[0].Rev != e[1].Rev || string(e[0].Value) != string(e[1].Value) {
				t.Fatalf("torn read: %s", show(e))
			}
		}
	}
	wg.Wait()
}
