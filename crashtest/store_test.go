package crashtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// contents is what a store holds.
type contents struct {
	fault     func(format string, args ...any)
	records   map[string]record.Record // by store key
	indexes   map[string]bool          // entries, without those of audit records
	counters  map[string]int64
	keys      []*record.Key
	materials map[string]*record.Material // by store key
	families  map[string][]*record.Key    // multi-Region keys by ID
}

// readStore reads the store that a run of the service left, from end to end, and compares it with itself: index entries and counters
// are what the records say, related keys agree, and the state of a key follows from its materials. It reads a copy, so that the next run
// finds what the last one left.
func (w *world) readStore(ctx context.Context, dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.readContents(ctx, dir)
	if err != nil {
		w.fault("reading the store: %v", err)
		return
	}
	w.stats.stores++
	c.checkIndexes()
	for _, k := range c.keys {
		c.checkMaterialsOf(k)
		if k.MultiRegion != nil {
			c.families[k.ID] = append(c.families[k.ID], k)
		}
	}
	for _, list := range c.families {
		c.checkRelated(list)
	}
	c.checkOrphans()
}

func (w *world) readContents(ctx context.Context, dir string) (*contents, error) {
	path := filepath.Join(dir, "copy.db")
	b, err := os.ReadFile(filepath.Join(w.dir, "store.db"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	raw, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	provider, err := seal.OpenKeyFile(filepath.Join(w.dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	sealed, err := seal.Open(ctx, raw, seal.Options{Provider: provider, Dev: true, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	if v := int64(sealed.Status().Version); v < w.keyring {
		w.fault("the keyring is at version %d, and %d was answered", v, w.keyring)
	}
	c := &contents{
		fault: w.fault, records: make(map[string]record.Record), indexes: make(map[string]bool), counters: make(map[string]int64),
		materials: make(map[string]*record.Material), families: make(map[string][]*record.Key),
	}
	for _, kind := range []string{"k", "m", "a", "t", "s", "u", "v", "d", "i", "c"} {
		for after := ""; ; {
			page, err := sealed.Scan(ctx, kind+"/", after, 500)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if err := c.take(kind, e); err != nil {
					return nil, err
				}
				after = e.Key
			}
		}
	}
	return c, nil
}

// take takes in one entry.
func (c *contents) take(kind string, e store.Entry) (err error) {
	switch kind {
	case "i":
		c.indexes[e.Key] = true
		return nil
	case "c":
		c.counters[e.Key], err = record.DecodeCounter(e.Value)
		return err
	}
	r, err := record.Decode(e.Key, e.Value)
	if err != nil {
		return err
	}
	c.records[e.Key] = r
	switch r := r.(type) {
	case *record.Key:
		c.keys = append(c.keys, r)
	case *record.Material:
		c.materials[e.Key] = r
		return r.Open()
	}
	return nil
}

// checkIndexes computes all index entries and counters from the records and compares.
func (c *contents) checkIndexes() {
	indexes, counters := make(map[string]bool), make(map[string]int64)
	for _, r := range c.records {
		for _, ix := range r.Indexes() {
			indexes[ix] = true
		}
		for _, name := range r.Counters() {
			counters[name]++
		}
	}
	for _, ix := range slices.Sorted(maps.Keys(indexes)) {
		if !c.indexes[ix] {
			c.fault("the store lacks the index entry %s", ix)
		}
	}
	for _, ix := range slices.Sorted(maps.Keys(c.indexes)) {
		if !indexes[ix] {
			c.fault("the store has the index entry %s of nothing", ix)
		}
	}
	if !maps.Equal(counters, c.counters) {
		c.fault("the store's counters are %v, not %v", c.counters, counters)
	}
}

// checkMaterialsOf checks that a key has the materials that it should have, and is in the state that follows.
func (c *contents) checkMaterialsOf(k *record.Key) {
	prefix := record.MaterialStoreKey(k.MaterialOwner(), k.ID, "")
	has := func(id string) bool { return c.materials[record.MaterialStoreKey(k.MaterialOwner(), k.ID, id)] != nil }
	var list []*record.Material
	for at, m := range c.materials {
		if strings.HasPrefix(at, prefix) {
			list = append(list, m)
		}
	}
	if k.Origin != record.OriginImported {
		if len(list) != k.Materials {
			c.fault("the store has %d materials of %s, not %d", len(list), k.ARN(), k.Materials)
		}
		if !has(k.Current) {
			c.fault("the store lacks the current material of %s", k.ARN())
		}
		if k.State == record.PendingImport {
			c.fault("in the store %s is %s", k.ARN(), k.State)
		}
		return
	}
	for _, m := range list {
		if k.Import(m.ID) == nil {
			c.fault("the store has material %s of %s, and the key knows nothing of it", m.ID, k.ARN())
		}
	}
	missing := len(k.Imports) == 0
	for _, i := range k.Imports {
		if has(i.ID) != i.Present {
			c.fault("in the store imported material %s of %s is there: %t; the key says %t", i.ID, k.ARN(), has(i.ID), i.Present)
		}
		missing = missing || !i.Pending && !has(i.ID)
	}
	deleting := k.State == record.PendingDeletion || k.State == record.PendingReplicaDeletion
	if !deleting && missing != (k.State == record.PendingImport) {
		c.fault("in the store %s is %s; a material is missing: %t", k.ARN(), k.State, missing)
	}
	if len(k.Imports) > 0 && k.Import(k.Current) == nil {
		c.fault("in the store the current material of %s is none that was imported", k.ARN())
	}
}

// checkRelated checks that related keys agree with their primary.
func (c *contents) checkRelated(list []*record.Key) {
	var primary *record.Key
	var replicas []string
	for _, k := range list {
		if k.Primary() {
			primary = k
		} else {
			replicas = append(replicas, k.Region)
		}
	}
	if primary == nil {
		c.fault("in the store multi-Region key %s has no primary", list[0].ID)
		return
	}
	slices.Sort(replicas)
	if !slices.Equal(replicas, primary.MultiRegion.Replicas) {
		c.fault("in the store %s has replicas in %v, and they are in %v", primary.ARN(), primary.MultiRegion.Replicas, replicas)
	}
	if primary.State == record.PendingDeletion && len(replicas) > 0 || primary.State == record.PendingReplicaDeletion && len(replicas) == 0 {
		c.fault("in the store %s is %s with replicas in %v", primary.ARN(), primary.State, replicas)
	}
	for _, k := range list {
		if got, want := sharedBy(k), sharedBy(primary); got != want {
			c.fault("in the store %s has\n\t\t%s\n\tand its primary\n\t\t%s", k.ARN(), got, want)
		}
	}
}

// sharedBy is what related keys must have the same.
func sharedBy(k *record.Key) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s primary %s replicas %v rotation %+v on demand %d current %s since %v materials %d", k.Spec, k.Usage, k.Origin,
		k.MultiRegion.Primary, k.MultiRegion.Replicas, k.Rotation, k.OnDemandCount, k.Current, k.CurrentSince, k.Materials)
	for _, i := range k.Imports {
		fmt.Fprintf(&b, " [%s %d pending %t rotated %v %s]", i.ID, i.Seq, i.Pending, i.Rotated, i.How)
	}
	return b.String()
}

// checkOrphans checks that whatever belongs to a key belongs to one that is there, or is being swept.
func (c *contents) checkOrphans() {
	there := func(o record.Owner, keyID string) bool {
		if o.Region == record.AllRegions {
			if len(c.families[keyID]) > 0 {
				return true
			}
			for _, region := range regions {
				if c.records[record.TombstoneStoreKey(record.Owner{Account: o.Account, Region: region}, keyID)] != nil {
					return true
				}
			}
		}
		return c.records[record.KeyStoreKey(o, keyID)] != nil || c.records[record.TombstoneStoreKey(o, keyID)] != nil
	}
	for at, r := range c.records {
		var ok bool
		switch r := r.(type) {
		case *record.Material:
			ok = there(r.Owner, r.KeyID)
		case *record.Alias:
			ok = there(r.Owner, r.KeyID)
		case *record.KeyUsage:
			ok = there(r.Owner, r.KeyID)
		case *record.MaterialUsage:
			ok = there(r.Owner, r.KeyID)
		case *record.Tombstone:
			if c.records[record.KeyStoreKey(r.Owner, r.KeyID)] != nil {
				c.fault("the store has a key and a tombstone of %s in %s", r.KeyID, r.Region)
			}
			continue
		default:
			continue
		}
		if !ok {
			c.fault("the store has %s, and not the key that it belongs to", at)
		}
	}
}
