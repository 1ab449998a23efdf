package kms_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

func (m *machine) compareMetadata(r *rapid.T, k *modelKey, g *api.KeyMetadata) {
	r.Helper()
	rotating := k.rotation && k.state != record.PendingDeletion
	want := fmt.Sprintf("%s %s %s %v %s enabled=%v manager=%s current=%s rotating=%v deletion=%v",
		k.id, k.arn, k.state, k.created, k.description, k.state == record.Enabled, managerOf(k), k.current().id, rotating, deletionOf(k))
	got := fmt.Sprintf("%s %s %s %v %s enabled=%v manager=%s current=%s rotating=%v deletion=%v",
		g.KeyId.V, g.Arn.V, g.KeyState.V, g.CreationDate.V, g.Description.V, g.Enabled.V, g.KeyManager.V, g.CurrentKeyMaterialId.V,
		g.KeyRotationStatus.V == api.KeyRotationStatusTypeEnabled, g.DeletionDate)
	if got != want {
		r.Fatalf("metadata\n got %s\nwant %s", got, want)
	}
	if g.AWSAccountId.V != account || g.Origin.V != api.OriginTypeAwsKms || g.KeySpec.V != "SYMMETRIC_DEFAULT" || g.KeyUsage.V != "ENCRYPT_DECRYPT" || g.MultiRegion.V {
		r.Fatalf("metadata of another kind of key: %+v", g)
	}
}

func managerOf(k *modelKey) record.Manager {
	if k.managed {
		return record.AWS
	}
	return record.Customer
}

func deletionOf(k *modelKey) api.Opt[time.Time] {
	if k.state == record.PendingDeletion {
		return api.Some(k.deletion)
	}
	return api.Opt[time.Time]{}
}

func (m *machine) describe(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, true)
	if resp, ok := m.do(r, "DescribeKey", &api.DescribeKeyRequest{KeyId: api.Some(name)}, want); ok {
		m.compareMetadata(r, k, resp.(*api.DescribeKeyResponse).KeyMetadata)
	}
}

func (m *machine) status(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	resp, ok := m.do(r, "GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: api.Some(name)}, want)
	if !ok {
		return
	}
	expect := api.GetKeyRotationStatusResponse{KeyId: api.Some(k.arn), KeyRotationEnabled: api.Some(false)}
	if k.rotation && k.state != record.PendingDeletion {
		expect.KeyRotationEnabled = api.Some(true)
		expect.RotationPeriodInDays, expect.NextRotationDate = api.Some(k.period), api.Some(k.next)
	}
	if got := resp.(*api.GetKeyRotationStatusResponse); *got != expect {
		r.Fatalf("rotation status\n got %+v\nwant %+v", *got, expect)
	}
}

// pages follows a list to its end, with pages of a drawn size.
func pages(r *rapid.T, page func(limit int64, marker api.Opt[string]) (items []string, next api.Opt[string], truncated bool)) []string {
	limit := rapid.SampledFrom([]int64{1, 2, 3, 5, 1000}).Draw(r, "limit")
	var all []string
	var marker api.Opt[string]
	for {
		items, next, truncated := page(limit, marker)
		if int64(len(items)) > limit || truncated != next.Set || truncated && int64(len(items)) != limit {
			r.Fatalf("a page of %d has %d items, truncated %v, marker %v", limit, len(items), truncated, next.Set)
		}
		if all = append(all, items...); !truncated {
			return all
		}
		marker = next
	}
}

func compareLists(r *rapid.T, what string, got, want []string) {
	r.Helper()
	if !slices.Equal(got, want) {
		r.Fatalf("%s\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func (m *machine) listRotations(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	req := api.ListKeyRotationsRequest{KeyId: api.Some(name)}
	all := rapid.Bool().Draw(r, "all material")
	if all {
		req.IncludeKeyMaterial = api.Some(api.IncludeKeyMaterialAllKeyMaterial)
	} else if rapid.Bool().Draw(r, "say so") {
		req.IncludeKeyMaterial = api.Some(api.IncludeKeyMaterialRotationsOnly)
	}
	if want != nil {
		m.do(r, "ListKeyRotations", &req, want)
		return
	}
	got := pages(r, func(limit int64, marker api.Opt[string]) (items []string, next api.Opt[string], truncated bool) {
		q := req
		q.Limit, q.Marker = api.Some(limit), marker
		resp, _ := m.do(r, "ListKeyRotations", &q, nil)
		l := resp.(*api.ListKeyRotationsResponse)
		for _, e := range l.Rotations {
			line := fmt.Sprintf("%s %s %s", e.KeyId.V, e.KeyMaterialId.V, e.KeyMaterialState.V)
			if e.RotationDate.Set {
				line += fmt.Sprintf(" %s %s", e.RotationDate.V.Format(time.RFC3339Nano), e.RotationType.V)
			}
			items = append(items, line)
		}
		return items, l.NextMarker, l.Truncated.V
	})
	compareLists(r, "rotations of "+k.id, got, rotationsOf(k, all))
}

// list compares the lists of keys, of aliases and of a key's tags and aliases.
func (m *machine) list(r *rapid.T) {
	got := pages(r, func(limit int64, marker api.Opt[string]) (items []string, next api.Opt[string], truncated bool) {
		resp, _ := m.do(r, "ListKeys", &api.ListKeysRequest{Limit: api.Some(limit), Marker: marker}, nil)
		l := resp.(*api.ListKeysResponse)
		for _, k := range l.Keys {
			if k.KeyArn.V != keyARN(k.KeyId.V) {
				r.Fatalf("ListKeys: %s is %s", k.KeyId.V, k.KeyArn.V)
			}
			items = append(items, k.KeyId.V)
		}
		return items, l.NextMarker, l.Truncated.V
	})
	compareLists(r, "keys", got, slices.Sorted(maps.Keys(m.keys)))
	m.listAliases(r, nil)
	if len(m.keys) == 0 {
		return
	}
	there := slices.DeleteFunc(slices.Clone(m.order), func(id string) bool { return m.keys[id] == nil })
	k := m.keys[rapid.SampledFrom(there).Draw(r, "key")]
	m.listAliases(r, k)
	got = pages(r, func(limit int64, marker api.Opt[string]) (items []string, next api.Opt[string], truncated bool) {
		resp, _ := m.do(r, "ListResourceTags", &api.ListResourceTagsRequest{KeyId: api.Some(k.id), Limit: api.Some(limit), Marker: marker}, nil)
		l := resp.(*api.ListResourceTagsResponse)
		for _, t := range l.Tags {
			items = append(items, t.TagKey.V+"="+t.TagValue.V)
		}
		return items, l.NextMarker, l.Truncated.V
	})
	var want []string
	for _, t := range k.tags {
		want = append(want, t[0]+"="+t[1])
	}
	compareLists(r, "tags", got, want)
}

func (m *machine) listAliases(r *rapid.T, of *modelKey) {
	got := pages(r, func(limit int64, marker api.Opt[string]) (items []string, next api.Opt[string], truncated bool) {
		req := &api.ListAliasesRequest{Limit: api.Some(limit), Marker: marker}
		if of != nil {
			req.KeyId = api.Some(of.id)
		}
		resp, _ := m.do(r, "ListAliases", req, nil)
		l := resp.(*api.ListAliasesResponse)
		for _, a := range l.Aliases {
			items = append(items, fmt.Sprintf("%s %s %s %v %v", a.AliasName.V, a.AliasArn.V, a.TargetKeyId.V, a.CreationDate.V, a.LastUpdatedDate.V))
		}
		return items, l.NextMarker, l.Truncated.V
	})
	var want []string
	for _, name := range slices.Sorted(maps.Keys(m.aliases)) {
		if a := m.aliases[name]; of == nil || a.key == of.id {
			want = append(want, fmt.Sprintf("%s %s %s %v %v", name, aliasARN(name), a.key, a.created, a.updated))
		}
	}
	compareLists(r, "aliases", got, want)
}

// checkAlways runs after each step: what is cheap to compare.
func (m *machine) checkAlways(r *rapid.T) {
	if !m.b.now().Equal(m.now) {
		r.Fatalf("it is %v, want %v", m.b.now(), m.now)
	}
}

// checkAll compares everything the store holds with the model and with itself, and counts the audit records.
func (m *machine) checkAll(r *rapid.T) {
	if err := m.b.sealed.Damage(); err != nil {
		r.Fatalf("the store is damaged: %v", err)
	}
	names := map[string]int{}
	ids := map[string]bool{}
	requests := 0
	for _, e := range m.b.events(r) {
		if ids[e.EventID] {
			r.Fatalf("event %s (%s) is in the audit log twice", e.EventID, e.EventName)
		}
		ids[e.EventID] = true
		if e.EventType == "AwsServiceEvent" {
			names[e.EventName]++
		} else if e.EventName != "SweepKey" && !(e.EventName == "CreateKey" && e.Parameters["aliasName"] != nil) {
			requests++
		}
	}
	if names["RotateKey"] != m.rotations || names["DeleteKey"] != m.deletions || requests != m.calls {
		r.Fatalf("audit log: %d rotations, %d deletions, %d requests; want %d, %d, %d",
			names["RotateKey"], names["DeleteKey"], requests, m.rotations, m.deletions, m.calls)
	}
	counts := checkStore(r, m.b)
	materials := 0
	for _, k := range m.keys {
		materials += len(k.materials)
	}
	want := map[string]int{"k": len(m.keys), "m": materials, "a": len(m.aliases), "t": 0, "o": 0}
	for kind, n := range want {
		if counts[kind] != n {
			r.Fatalf("the store has %d of %q, want %d (%v)", counts[kind], kind, n, m)
		}
	}
}

// checkStore recomputes every index entry and counter from the records and compares. It returns how many entries there are
// of each kind.
func checkStore(t checker, b *bench) map[string]int {
	t.Helper()
	counts := map[string]int{}
	indexes, counters := map[string]bool{}, map[string]int64{}
	haveIndexes, haveCounters := map[string]bool{}, map[string]int64{}
	for _, kind := range []string{"k", "m", "a", "g", "t", "s", "u", "v", "d", "o", "i", "c"} {
		for after := ""; ; {
			page, err := b.sealed.Scan(context.Background(), kind+"/", after, 100)
			if err != nil {
				t.Fatalf("scanning %s/: %v", kind, err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				after = e.Key
				counts[kind]++
				switch kind {
				case "o":
				case "i":
					haveIndexes[e.Key] = true
					if len(e.Value) != 0 {
						t.Fatalf("index entry %s has a value", e.Key)
					}
				case "c":
					if haveCounters[e.Key], err = record.DecodeCounter(e.Value); err != nil {
						t.Fatalf("%s: %v", e.Key, err)
					}
				default:
					rec, err := record.Decode(e.Key, e.Value)
					if err != nil {
						t.Fatalf("%v", err)
					}
					for _, ix := range rec.Indexes() {
						indexes[ix] = true
					}
					for _, c := range rec.Counters() {
						counters[c]++
					}
					// What keys were used for is counted, not changed: no event stands for it.
					counted := kind == "u" || kind == "v" || e.Key == record.TrackingStoreKey
					if e.Key == record.DestroyedStoreKey { // a note that goes with commits, and no record of its own
						continue
					}
					if by := rec.Provenance(); by.Version == 0 || by.Event == "" && !counted {
						t.Errorf("%s does not say what made it: %+v", e.Key, *by)
					}
				}
			}
		}
	}
	if !maps.Equal(indexes, haveIndexes) {
		t.Fatalf("index entries\n got %v\nwant %v", slices.Sorted(maps.Keys(haveIndexes)), slices.Sorted(maps.Keys(indexes)))
	}
	if !maps.Equal(counters, haveCounters) {
		t.Fatalf("counters\n got %v\nwant %v", haveCounters, counters)
	}
	return counts
}
