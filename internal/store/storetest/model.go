package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyturn/keyturn/internal/store"
)

// model is what the store must hold: a plain map, and everything that was told of since the last reopening.
type model struct {
	entries map[string]store.Entry
	changes []store.Change
	head    store.Rev
	base    store.Rev // changes start after it
}

// apply does what Commit must do.
func (m *model) apply(b store.Batch) (store.Rev, error) {
	for _, c := range b.Checks {
		if m.entries[c.Key].Rev != c.Rev {
			return 0, store.ErrConflict
		}
	}
	m.head++
	for _, w := range b.Writes {
		_, there := m.entries[w.Key]
		switch {
		case !w.Delete:
			e := store.Entry{Key: w.Key, Value: append([]byte{}, w.Value...), Rev: m.head}
			m.entries[w.Key] = e
			m.changes = append(m.changes, store.Change{Key: w.Key, Value: e.Value, Rev: m.head})
		case there:
			delete(m.entries, w.Key)
			m.changes = append(m.changes, store.Change{Key: w.Key, Rev: m.head, Deleted: true})
		}
	}
	return m.head, nil
}

func (m *model) scan(prefix, after string, limit int) []store.Entry {
	var out []store.Entry
	for _, key := range slices.Sorted(maps.Keys(m.entries)) {
		if strings.HasPrefix(key, prefix) && key > after && len(out) < limit {
			out = append(out, m.entries[key])
		}
	}
	return out
}

// testModel compares the store with the model over random histories, all in one store, so that it also grows.
func testModel(t *testing.T, open Open, reopen Reopen) {
	s := open(t)
	m := &model{entries: make(map[string]store.Entry)}
	key := rapid.Custom(func(r *rapid.T) string {
		return rapid.SampledFrom([]string{"a", "a/", "b/", "\xff"}).Draw(r, "head") +
			rapid.StringOfN(rapid.RuneFrom([]rune("01/é\x00")), 0, 3, -1).Draw(r, "tail")
	})
	value := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 20),
		rapid.Map(rapid.IntRange(500, 9000), func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }),
	)
	rapid.Check(t, func(r *rapid.T) {
		actions := map[string]func(*rapid.T){
			"commit": func(r *rapid.T) {
				b := drawBatch(r, m, key, value)
				want, wantErr := m.apply(b)
				got, err := s.Commit(t.Context(), b)
				if got != want || !errors.Is(err, wantErr) {
					r.Fatalf("Commit = %d, %v, want %d, %v", got, err, want, wantErr)
				}
			},
			"get": func(r *rapid.T) {
				keys := rapid.SliceOfN(key, 0, 5).Draw(r, "keys")
				var want []store.Entry
				for _, k := range keys {
					e := m.entries[k]
					e.Key = k
					want = append(want, e)
				}
				got, err := s.Get(t.Context(), keys...)
				if err != nil || show(got) != show(want) {
					r.Fatalf("Get = %s, %v, want %s", show(got), err, show(want))
				}
			},
			"scan": func(r *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "a", "a/", "b/0", "\xff", "zz"}).Draw(r, "prefix")
				after := rapid.OneOf(rapid.Just(""), key).Draw(r, "after")
				limit := rapid.IntRange(1, 100).Draw(r, "limit")
				want := m.scan(prefix, after, limit)
				got, err := s.Scan(t.Context(), prefix, after, limit)
				if err != nil || show(got) != show(want) {
					r.Fatalf("Scan = %s, %v, want %s", show(got), err, show(want))
				}
			},
			"watch": func(r *rapid.T) {
				oldest := max(m.base, m.head-min(m.head, 50)) // recent enough to be kept by every engine
				from := store.Rev(rapid.Uint64Range(uint64(oldest), uint64(m.head)).Draw(r, "from"))
				var want []store.Change
				for _, c := range m.changes {
					if c.Rev > from && strings.HasPrefix(c.Key, "a") {
						want = append(want, c)
					}
				}
				if got := collect(t, s, "a", from, m.head); showChanges(got) != showChanges(want) {
					r.Fatalf("Watch from %d = %s, want %s", from, showChanges(got), showChanges(want))
				}
			},
		}
		if reopen != nil {
			actions["reopen"] = func(r *rapid.T) {
				if rapid.IntRange(0, 9).Draw(r, "seldom") == 0 {
					s = reopen(t, s)
					m.base, m.changes = m.head, nil
				}
			}
		}
		r.Repeat(actions)
	})
	if got, want := show(mustScan(t, s, "", "", 1<<20)), show(m.scan("", "", 1<<20)); got != want {
		t.Errorf("in the end the store holds %s, want %s", got, want)
	}
}

// drawBatch draws a batch whose checks hold more often than not.
func drawBatch(r *rapid.T, m *model, key *rapid.Generator[string], value *rapid.Generator[[]byte]) store.Batch {
	var b store.Batch
	for _, k := range rapid.SliceOfN(key, 0, 3).Draw(r, "checked") {
		rev := m.entries[k].Rev
		if rapid.IntRange(0, 5).Draw(r, "wrong") == 0 {
			rev = store.Rev(rapid.Uint64Range(0, uint64(m.head)+1).Draw(r, "rev"))
		}
		b.Checks = append(b.Checks, store.Check{Key: k, Rev: rev})
	}
	for _, k := range rapid.SliceOfNDistinct(key, 0, 8, rapid.ID[string]).Draw(r, "written") {
		w := store.Write{Key: k, Delete: rapid.IntRange(0, 2).Draw(r, "delete") == 0}
		if !w.Delete {
			w.Value = value.Draw(r, "value")
		}
		b.Writes = append(b.Writes, w)
	}
	return b
}

func testReopen(t *testing.T, open Open, reopen Reopen) {
	s := open(t)
	for i := range 30 {
		mustCommit(t, s, put(fmt.Sprintf("k/%02d", i), strings.Repeat("v", i*50)), put("last", fmt.Sprint(i)))
	}
	mustCommit(t, s, del("k/03"))
	head := mustCommit(t, s)
	before := show(mustScan(t, s, "", "", 1000))
	for round := range 3 {
		s = reopen(t, s)
		if after := show(mustScan(t, s, "", "", 1000)); after != before {
			t.Fatalf("round %d: %s became %s", round, before, after)
		}
		for c, err := range s.Watch(patient(t), "", head-1) {
			// An engine may remember, but not tell of anything wrong.
			if !errors.Is(err, store.ErrCompacted) && (err != nil || !c.Progress || c.Rev != head) {
				t.Errorf("watch from before the reopening yields %v, %v", c, err)
			}
			break
		}
		if got := collect(t, s, "", head, head); len(got) != 0 {
			t.Errorf("watch from the head: %s", showChanges(got))
		}
		if rev := mustCommit(t, s, del("absent")); rev != head+1 {
			t.Fatalf("the commit after %d is %d", head, rev)
		}
		head++
	}
}
