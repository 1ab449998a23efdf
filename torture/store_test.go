//go:build torture

package torture

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/record"
)

// contents is what a store holds.
type contents struct {
	records  map[string]record.Record
	indexes  map[string]bool
	counters map[string]int64
}

// readStore reads the store from end to end, compares it with what the callers know, and with itself.
func (w *world) readStore() {
	c := contents{records: make(map[string]record.Record), indexes: make(map[string]bool), counters: make(map[string]int64)}
	for after := ""; ; {
		page, err := w.site.sealed.Scan(context.Background(), "", after, 500)
		if err != nil {
			w.fault("reading the store: %v", err)
			return
		}
		for _, e := range page {
			after = e.Key
			kind, _, _ := strings.Cut(e.Key, "/")
			switch kind {
			case "i":
				c.indexes[e.Key] = true
				continue
			case "c":
				if c.counters[e.Key], err = record.DecodeCounter(e.Value); err != nil {
					w.fault("%s: %v", e.Key, err)
				}
				continue
			case "o":
				w.fault("an audit record has stayed behind: %s", e.Key)
				continue
			}
			r, err := record.Decode(e.Key, e.Value)
			if m, ok := r.(*record.Material); ok && err == nil {
				err = m.Open()
			}
			if err != nil {
				w.fault("%s: %v", e.Key, err)
				continue
			}
			c.records[e.Key] = r
		}
		if len(page) < 500 {
			break
		}
	}
	w.checkIndexes(&c)
	w.checkRecords(&c)
}

// checkIndexes computes all index entries and counters from the records and compares.
func (w *world) checkIndexes(c *contents) {
	indexes, counters := make(map[string]bool), make(map[string]int64)
	for _, r := range c.records {
		for _, ix := range r.Indexes() {
			indexes[ix] = true
		}
		for _, name := range r.Counters() {
			counters[name]++
		}
	}
	if !maps.Equal(indexes, c.indexes) {
		w.fault("the store's indexes are %v, not %v", slices.Sorted(maps.Keys(c.indexes)), slices.Sorted(maps.Keys(indexes)))
	}
	if !maps.Equal(counters, c.counters) {
		w.fault("the store's counters are %v, not %v", c.counters, counters)
	}
}

// checkRecords compares the records with what the callers know.
func (w *world) checkRecords(c *contents) {
	left := maps.Clone(c.records)
	for _, k := range w.keys {
		w.checkKey(c, left, k)
	}
	for at, r := range left {
		switch r := r.(type) {
		case *record.Tracking, *record.Destroyed:
		case *record.KeyUsage:
			if c.records[record.KeyStoreKey(r.Owner, r.KeyID)] == nil && c.records[record.TombstoneStoreKey(r.Owner, r.KeyID)] == nil {
				w.fault("the store has %s of a key that is not there", at)
			}
		case *record.MaterialUsage:
			if c.records[record.KeyStoreKey(r.Owner, r.KeyID)] == nil && c.records[record.TombstoneStoreKey(r.Owner, r.KeyID)] == nil {
				w.fault("the store has %s of a key that is not there", at)
			}
		default:
			w.fault("the store has %s, of which nobody knows", at)
		}
	}
}

// checkKey compares one key, and takes what belongs to it out of left.
func (w *world) checkKey(c *contents, left map[string]record.Record, k *key) {
	at := record.KeyStoreKey(owner, k.id)
	r, _ := c.records[at].(*record.Key)
	delete(left, at)
	if k.gone {
		w.checkGone(c, left, k, r)
		return
	}
	if r == nil {
		w.fault("key %s is lost", k.id)
		return
	}
	if r.State != k.state || r.Description != k.description || r.OnDemandCount != k.rotations {
		w.fault("key %s is %s %q with %d rotations, and should be %s %q with %d", k.id, r.State, r.Description, r.OnDemandCount, k.state, k.description, k.rotations)
	}
	tags := make(map[string]string)
	for _, t := range r.Tags {
		tags[t.Key] = t.Value
	}
	if !maps.Equal(tags, k.tags) {
		w.fault("key %s has tags %v, and should have %v", k.id, tags, k.tags)
	}
	materials := w.take(left, record.MaterialStoreKey(owner, k.id, ""))
	want := k.rotations + 1
	if k.imported && k.state == record.PendingImport {
		want = 0
	}
	if k.state != record.PendingDeletion && len(materials) != want || !k.imported && len(materials) != want {
		w.fault("key %s has %d materials, and should have %d", k.id, len(materials), want)
	}
	if len(materials) > 0 && !slices.Contains(materials, r.Current) {
		w.fault("key %s lacks its current material", k.id)
	}
	grants := w.take(left, record.GrantsPrefix(owner, k.id))
	if !slices.Equal(grants, slices.Sorted(maps.Keys(k.grants))) {
		w.fault("key %s has grants %v, and should have %v", k.id, grants, k.grants)
	}
	for name := range k.aliases {
		at := (&record.Alias{Owner: owner, Name: name}).StoreKey()
		if a, _ := left[at].(*record.Alias); a == nil || a.KeyID != k.id {
			w.fault("%s is lost", name)
		}
		delete(left, at)
	}
}

// checkGone checks that nothing is left of a deleted key but what its tombstone still has to sweep.
func (w *world) checkGone(c *contents, left map[string]record.Record, k *key, r *record.Key) {
	if r != nil {
		w.fault("key %s is there again after its deletion", k.id)
	}
	at := record.TombstoneStoreKey(owner, k.id)
	swept := left[at] == nil
	delete(left, at)
	rest := slices.Concat(w.take(left, record.MaterialStoreKey(owner, k.id, "")), w.take(left, record.GrantsPrefix(owner, k.id)))
	for name := range k.aliases {
		at := (&record.Alias{Owner: owner, Name: name}).StoreKey()
		if left[at] != nil {
			rest = append(rest, name)
		}
		delete(left, at)
	}
	if swept && len(rest) > 0 {
		w.fault("key %s is deleted and swept, and there are still %v", k.id, rest)
	}
}

// take takes what stands below a prefix out of left, and returns the rest of their keys.
func (w *world) take(left map[string]record.Record, prefix string) (rest []string) {
	for at := range left {
		if id, ok := strings.CutPrefix(at, prefix); ok {
			rest = append(rest, id)
			delete(left, at)
		}
	}
	slices.Sort(rest)
	return rest
}

// checkBlobs opens ciphertexts that were handed out: the last of each key, and some of the others.
func (w *world) checkBlobs() {
	for _, k := range w.keys {
		if k.gone || k.state != record.Enabled {
			continue
		}
		for n, b := range k.blobs {
			if n < len(k.blobs)-2 && w.rand.IntN(4) > 0 {
				continue
			}
			w.stats.blobs++
			if !w.decrypt(k, b) {
				w.fault("a ciphertext under key %s does not open any more", k.id)
			}
		}
	}
}
