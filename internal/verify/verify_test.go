package verify_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/verify"
)

// TestClean finds nothing where nothing is wrong, with and without the log and the seal.
func TestClean(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]verify.Config{
		"log": {Log: w.lines()}, "no log": {}, "no seal": {Log: w.lines(), Sealed: true}, "all uncertain": {Log: w.lines(), Certain: 1},
	} {
		r := w.with(c)
		if r.Total() != 0 {
			t.Errorf("%s: %v", name, told(r))
		}
		if r.Keys != 8 || r.Sealed != c.Sealed || r.Indexes == c.Sealed {
			t.Errorf("%s: %d keys, sealed %t, indexes compared %t", name, r.Keys, r.Sealed, r.Indexes)
		}
		if h := r.History; h != nil && (h.Vouched < 30 || h.Unvouched+h.Uncovered > 0) {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for _, kind := range []string{"k/", "m/", "a/", "g/", "t/", "u/", "v/", "p/", "pn/", "pp/", "pm/", "x/", "na/", "d/"} {
		if len(w.scan(kind)) == 0 && !(kind == "pm/" && fips140.Enforced()) {
			t.Errorf("nothing stands at %s", kind)
		}
	}
}

// told is what a report finds, kind by kind, each with where.
func told(r *verify.Report) []string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, string(f.Kind)+" "+f.Where+" ("+f.Detail+")")
	}
	return list
}

// kindsOf are the kinds of finding in a report, sorted.
func kindsOf(r *verify.Report) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(r.Counts)) {
		list = append(list, string(k))
	}
	return strings.Join(list, " ")
}

// A fault is something wrong, made in a world; log returns what there is of the audit log then, nil for all.
type fault struct {
	name  string
	make  func(w *world, l lines) lines
	want  []verify.Kind // all that is found
	where func(w *world) string
}

func inStore(f func(w *world)) func(*world, lines) lines {
	return func(w *world, l lines) lines { f(w); return l }
}

func at(where string) func(*world) string { return func(*world) string { return where } }

func keyAt(id func(*world) string) func(*world) string {
	return func(w *world) string { return record.KeyStoreKey(owner, id(w)) }
}

func firstKey(w *world) string { return record.KeyStoreKey(owner, w.key) }

func replica(w *world) string {
	return record.KeyStoreKey(record.Owner{Account: account, Region: west}, w.related)
}

// current is the store key of a key's current material.
func current(w *world, id string) string {
	k := w.load(record.KeyStoreKey(owner, id)).(*record.Key)
	return record.MaterialStoreKey(k.MaterialOwner(), k.ID, k.Current)
}

// pending is an audit record on its way to the log, as package service puts it there.
func pending(w *world, event string, from uint64, line string) {
	value := append(binary.BigEndian.AppendUint64(nil, from), line...)
	w.write(store.Write{Key: "o/n1/" + fmt.Sprintf("%016x-%s", 5, event), Value: value})
}

// foreign is a material of no key's making.
func foreign(w *world, o record.Owner, id string, seq int) *record.Material {
	secret := bytes.Repeat([]byte{9}, 32)
	keyID, _ := keys.ParseKeyID(id)
	material, err := keys.NewMaterialID(secret, keyID)
	if err != nil {
		w.t.Fatal(err)
	}
	m := &record.Material{Owner: o, KeyID: id, ID: material.String(), Seq: seq, Created: start, Secret: secret}
	return m
}

var faults = []fault{
	{"altered value", inStore(func(w *world) {
		at := current(w, w.key)
		value := w.raw.had[at][0]
		value[len(value)-1] ^= 1
		w.writeRaw(store.Write{Key: at, Value: value})
	}), []verify.Kind{verify.ValueUnreadable}, func(w *world) string { return current(w, w.key) }},
	{"value of another key", inStore(func(w *world) {
		w.writeRaw(store.Write{Key: w.alias, Value: w.raw.had[w.grant][0]})
	}), []verify.Kind{verify.ValueUnreadable}, func(w *world) string { return w.alias }},
	{"no record", inStore(func(w *world) {
		w.write(store.Write{Key: w.alias, Value: []byte("\x01{}")})
	}), []verify.Kind{verify.RecordMalformed}, func(w *world) string { return w.alias }},
	{"unknown kind", inStore(func(w *world) { w.write(store.Write{Key: "zz/1", Value: []byte("?")}) }), []verify.Kind{verify.EntryUnknown}, at("zz/1")},
	{"unknown kind at the beginning", inStore(func(w *world) { w.write(store.Write{Key: "Z", Value: []byte("?")}) }), []verify.Kind{verify.EntryUnknown}, at("Z")},
	{"key store key without a key", inStore(func(w *world) { w.write(store.Write{Key: "g/1", Value: []byte("?")}) }), []verify.Kind{verify.RecordMalformed}, at("g/1")},
	{"of the seal", inStore(func(w *world) { w.writeRaw(store.Write{Key: "sys/other", Value: []byte("?")}) }), []verify.Kind{verify.ReservedMalformed}, at("sys/other")},

	{"index entry gone", inStore(func(w *world) { w.write(gone(record.KeyAliasesPrefix(owner, w.key) + "alias/a")) }), []verify.Kind{verify.IndexMissing}, func(w *world) string {
		return record.KeyAliasesPrefix(owner, w.key) + "alias/a"
	}},
	{"due entry gone", inStore(func(w *world) { w.write(gone(w.only("i/due/"))) }), []verify.Kind{verify.IndexMissing}, at("i/due/")},
	{"index entry unreadable", inStore(func(w *world) { w.writeRaw(store.Write{Key: w.only("i/due/"), Value: []byte("?")}) }), []verify.Kind{verify.IndexMissing}, at("i/due/")},
	{"index entry with a value", inStore(func(w *world) { w.write(store.Write{Key: w.only("i/keys/"), Value: []byte("?")}) }), []verify.Kind{verify.IndexMissing}, at("i/keys/")},
	{"index entry of nothing", inStore(func(w *world) {
		w.write(store.Write{Key: record.Due{At: start, Kind: record.DueDeletion, Owner: owner, KeyID: w.key}.IndexKey(), Value: []byte{}})
	}), []verify.Kind{verify.IndexExtra}, at("i/due/")},
	{"unreadable index entry of nothing", inStore(func(w *world) { w.writeRaw(store.Write{Key: "i/due/1", Value: []byte("?")}) }), []verify.Kind{verify.IndexExtra}, at("i/due/1")},
	{"counter", inStore(func(w *world) {
		w.write(store.Write{Key: record.AliasCounter(owner, w.key), Value: record.EncodeCounter(2)})
	}), []verify.Kind{verify.CounterWrong}, func(w *world) string { return record.AliasCounter(owner, w.key) }},
	{"counter gone", inStore(func(w *world) { w.write(gone(record.GrantCounter(owner, w.key))) }), []verify.Kind{verify.CounterWrong}, func(w *world) string { return record.GrantCounter(owner, w.key) }},
	{"counter of nothing", inStore(func(w *world) { w.write(store.Write{Key: "c/keys/1", Value: record.EncodeCounter(-1)}) }), []verify.Kind{verify.CounterWrong}, at("c/keys/1")},
	{"counter unreadable", inStore(func(w *world) { w.write(store.Write{Key: record.GrantCounter(owner, w.key), Value: nil}) }), []verify.Kind{verify.CounterWrong}, func(w *world) string { return record.GrantCounter(owner, w.key) }},

	{"current material gone", inStore(func(w *world) { w.change(w.load(current(w, w.key)), nil) }), []verify.Kind{verify.MaterialMissing, verify.RecordRemoved}, firstKey},
	{"old material gone", inStore(func(w *world) {
		k := w.load(record.KeyStoreKey(owner, w.rotated)).(*record.Key)
		for _, m := range w.scan(record.MaterialStoreKey(owner, k.ID, "")) {
			if m != current(w, w.rotated) {
				w.change(w.load(m), nil)
			}
		}
	}), []verify.Kind{verify.MaterialMissing, verify.RecordRemoved}, keyAt(func(w *world) string { return w.rotated })},
	{"imported material gone", inStore(func(w *world) { w.change(w.load(current(w, w.imported)), nil) }),
		[]verify.Kind{verify.MaterialMissing, verify.RecordRemoved}, keyAt(func(w *world) string { return w.imported })},
	{"shared material gone", inStore(func(w *world) { w.change(w.load(current(w, w.related)), nil) }),
		[]verify.Kind{verify.MaterialMissing, verify.RecordRemoved}, keyAt(func(w *world) string { return w.related })},
	{"two materials of a number", inStore(func(w *world) {
		edit(w, current(w, w.rotated), func(m *record.Material) { m.Seq = 0 })
	}), []verify.Kind{verify.MaterialMismatch, verify.MaterialMissing}, keyAt(func(w *world) string { return w.rotated })},
	{"number of an imported material", inStore(func(w *world) {
		edit(w, current(w, w.imported), func(m *record.Material) { m.Seq = 3 })
	}), []verify.Kind{verify.MaterialMismatch}, func(w *world) string { return current(w, w.imported) }},
	{"key spec of another", inStore(func(w *world) {
		edit(w, firstKey(w), func(k *record.Key) { k.Spec = "HMAC_256" })
	}), []verify.Kind{verify.MaterialMismatch}, func(w *world) string { return current(w, w.key) }},
	{"current material is none that was imported", inStore(func(w *world) {
		edit(w, record.KeyStoreKey(owner, w.imported), func(k *record.Key) { k.Current = strings.Repeat("0", 64) })
	}), []verify.Kind{verify.MaterialMismatch}, keyAt(func(w *world) string { return w.imported })},
	{"material of no key's", inStore(func(w *world) { w.change(nil, foreign(w, owner, w.key, 1)) }), []verify.Kind{verify.MaterialUnknown, verify.RecordWithout}, at("m/")},
	{"material deleted, and there", inStore(func(w *world) {
		edit(w, record.KeyStoreKey(owner, w.imported), func(k *record.Key) { k.Imports[0].Present = false; k.State = record.PendingImport })
	}), []verify.Kind{verify.MaterialUnknown}, func(w *world) string { return current(w, w.imported) }},
	{"own material of a key that shares", inStore(func(w *world) { w.change(nil, foreign(w, owner, w.related, 0)) }), []verify.Kind{verify.MaterialUnknown, verify.RecordWithout}, at("m/")},

	{"state", inStore(func(w *world) { edit(w, firstKey(w), func(k *record.Key) { k.State = record.PendingImport }) }), []verify.Kind{verify.KeyStateWrong}, firstKey},
	{"no state", inStore(func(w *world) { edit(w, firstKey(w), func(k *record.Key) { k.State = record.Unavailable }) }), []verify.Kind{verify.KeyStateWrong}, firstKey},
	{"deletion without a date", inStore(func(w *world) { edit(w, firstKey(w), func(k *record.Key) { k.State = record.PendingDeletion }) }), []verify.Kind{verify.KeyStateWrong}, firstKey},
	{"waiting for replicas that it has not", inStore(func(w *world) { edit(w, firstKey(w), func(k *record.Key) { k.State = record.PendingReplicaDeletion }) }), []verify.Kind{verify.KeyStateWrong}, firstKey},
	{"key gone", inStore(func(w *world) { w.change(w.load(firstKey(w)), nil) }), []verify.Kind{verify.KeyMissing, verify.RecordRemoved}, at("")},
	{"tombstone gone", inStore(func(w *world) { w.change(w.load(record.TombstoneStoreKey(owner, w.deleted)), nil) }),
		[]verify.Kind{verify.KeyMissing, verify.RecordRemoved}, at("")},
	{"shared material of no key", inStore(func(w *world) {
		m := foreign(w, record.Owner{Account: account, Region: record.AllRegions}, keys.NewKeyID().String(), 0)
		w.change(nil, m)
	}), []verify.Kind{verify.KeyMissing, verify.RecordWithout}, at("m/" + account + "/*/")},
	{"key and tombstone", inStore(func(w *world) { w.change(nil, &record.Tombstone{Owner: owner, KeyID: w.key, Deleted: start}) }), []verify.Kind{verify.RecordWithout, verify.TombstoneWithKey}, firstKey},
	{"no key ID", inStore(func(w *world) {
		k := *w.load(firstKey(w)).(*record.Key)
		k.ID = "x"
		w.change(nil, &k)
	}), []verify.Kind{verify.RecordMalformed, verify.RecordUnlogged}, at("k/" + account + "/" + region + "/x")},
	{"custom key store gone", inStore(func(w *world) { edit(w, firstKey(w), func(k *record.Key) { k.KeyStore = "cks-1" }) }), []verify.Kind{verify.KeyStoreMissing}, firstKey},
	{"replica gone", inStore(func(w *world) { w.change(w.load(replica(w)), nil) }), []verify.Kind{verify.RecordRemoved, verify.RelatedMissing}, at("")},
	{"replica apart", inStore(func(w *world) { edit(w, replica(w), func(k *record.Key) { k.OnDemandCount = 5 }) }), []verify.Kind{verify.RelatedDisagree}, replica},
	{"replica unknown to itself", inStore(func(w *world) {
		edit(w, replica(w), func(k *record.Key) { k.MultiRegion.Replicas = []string{"eu-west-1"} })
	}), []verify.Kind{verify.RelatedDisagree}, replica},

	{"user gone", inStore(func(w *world) { w.change(w.load(annAt(w)), nil) }), []verify.Kind{verify.PrincipalMissing, verify.RecordRemoved}, at("")},
	{"name gone", inStore(func(w *world) { w.change(w.load(userName("ann")), nil) }), []verify.Kind{verify.NameMissing, verify.RecordRemoved}, at("p")},
	{"name of another", inStore(func(w *world) {
		bob := w.load(userName("bob")).(*record.Name).ID
		edit(w, userName("ann"), func(n *record.Name) { n.ID = bob })
	}), []verify.Kind{verify.NameMismatch}, at(userName("ann"))},
	{"policy gone", inStore(func(w *world) { w.change(w.load(w.only("pp/")), nil) }), []verify.Kind{verify.PolicyMissing, verify.RecordRemoved}, at("p")},
	{"use of an access key that is none", inStore(func(w *world) {
		w.change(nil, &record.AccessKeyUse{ID: "AKIANONE", At: start, Service: "kms", Region: region})
	}), []verify.Kind{verify.AccessKeyMissing}, at("xu/AKIANONE")},
	{"alias of no key", inStore(func(w *world) {
		edit(w, w.alias, func(a *record.Alias) { a.KeyID = keys.NewKeyID().String() })
	}), []verify.Kind{verify.KeyMissing}, func(w *world) string { return w.alias }},

	{"outbox without a record", inStore(func(w *world) { w.write(store.Write{Key: "o/n1/5-x", Value: []byte("12345678{}")}) }), []verify.Kind{verify.OutboxMalformed}, at("o/n1/5-x")},
	{"outbox of another event", inStore(func(w *world) { pending(w, "a", 1, `{"eventID":"b"}`) }), []verify.Kind{verify.OutboxMalformed}, at("o/n1/")},
	{"outbox logged long ago", func(w *world, l lines) lines {
		event := l.writing(firstKey(w))[0]
		pending(w, event, uint64(len(l)), `{"eventID":"`+event+`"}`)
		return l
	}, []verify.Kind{verify.OutboxTwice}, at("o/n1/")},
	{"outbox ahead", inStore(func(w *world) { pending(w, "a", 1e6, `{"eventID":"a"}`) }), []verify.Kind{verify.OutboxAhead}, at("o/n1/")},

	{"record put back", inStore(func(w *world) {
		w.writeRaw(store.Write{Key: firstKey(w), Value: w.raw.had[firstKey(w)][1]})
	}), []verify.Kind{verify.RecordOld}, firstKey},
	{"log cut short", func(w *world, l lines) lines {
		ids := l.writing(firstKey(w))
		return l.without(func(c audit.Change) bool { return c.EventID == ids[len(ids)-1] })
	}, []verify.Kind{verify.RecordNew}, firstKey},
	{"last change by another event", func(w *world, l lines) lines {
		ids := l.writing(firstKey(w))
		return replaced(l, ids[len(ids)-1], "another")
	}, []verify.Kind{verify.RecordOther}, firstKey},
	{"record removed", inStore(func(w *world) { w.change(w.load(w.grant), nil) }), []verify.Kind{verify.RecordRemoved}, func(w *world) string { return w.grant }},
	{"record returned", inStore(func(w *world) {
		at := record.KeyStoreKey(owner, w.deleted)
		w.writeRaw(store.Write{Key: at, Value: w.raw.had[at][len(w.raw.had[at])-1]})
		w.change(nil, w.load(at))
		w.change(w.load(record.TombstoneStoreKey(owner, w.deleted)), nil)
	}), []verify.Kind{verify.RecordRemoved, verify.RecordReturned}, at("")},
	{"record of no change in the log", func(w *world, l lines) lines {
		return l.without(func(c audit.Change) bool { return c.EventID == l.writing(w.alias)[0] })
	}, []verify.Kind{verify.RecordUnlogged}, func(w *world) string { return w.alias }},
	{"record that its change did not write", func(w *world, l lines) lines {
		a := *w.load(w.alias).(*record.Alias)
		a.Name = "alias/other"
		w.change(nil, &a)
		return l
	}, []verify.Kind{verify.RecordUnlogged}, func(*world) string { return record.AliasesPrefix(owner) + "alias/other" }},
	{"record without an event", inStore(func(w *world) {
		edit(w, w.alias, func(a *record.Alias) { *a.Provenance() = record.Provenance{Version: 1} })
	}), []verify.Kind{verify.RecordRemoved, verify.RecordWithout}, func(w *world) string { return w.alias }},
	{"change missing", func(w *world, l lines) lines {
		ids := l.writing(firstKey(w))
		return l.without(func(c audit.Change) bool { return c.EventID == ids[1] })
	}, []verify.Kind{verify.ChangeMissing}, firstKey},
	{"event twice", func(w *world, l lines) lines {
		again := l[2]
		again.Seq = l[len(l)-1].Seq + 1
		again.JSON = bytes.ReplaceAll(again.JSON, []byte("keyturnWrites"), []byte("nothing"))
		return append(l, again)
	}, []verify.Kind{verify.EventTwice}, at("line ")},
	{"no event in a line", func(w *world, l lines) lines {
		return append(l, audit.Line{Seq: l[len(l)-1].Seq + 1, JSON: []byte(`{"a":1}`)})
	}, []verify.Kind{verify.LogLine}, at("line ")},
	{"a restoration of nobody's", func(_ *world, l lines) lines {
		return append(l, audit.Line{Seq: l[len(l)-1].Seq + 1, JSON: []byte(restoredLine)})
	}, []verify.Kind{verify.RestoreUnknown}, at("line ")},
	{"log cut after its last change", func(w *world, l lines) lines {
		w.change(nil, &record.Mark{Time: start, Line: l[len(l)-1].Seq + 1})
		return l
	}, []verify.Kind{verify.LogCut}, at("audit log")},
	{"no log", func(*world, lines) lines { return lines{} }, []verify.Kind{verify.LogMissing}, at("")},
}

func userName(name string) string { return record.NameStoreKey(account, record.UserKind, name) }

// replaced gives a line's event another ID.
func replaced(l lines, id, by string) lines {
	l = slices.Clone(l)
	for i := range l {
		l[i].JSON = bytes.ReplaceAll(l[i].JSON, []byte(`"eventID":"`+id+`"`), []byte(`"eventID":"`+by+`"`))
	}
	return l
}

// TestFaults makes each fault in a world of its own: it is found, named, and nothing else is.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			where := f.where(w)
			r := w.verify(f.make(w, w.lines()))
			var want []string
			for _, k := range f.want {
				want = append(want, string(k))
			}
			slices.Sort(want)
			if got := kindsOf(r); got != strings.Join(want, " ") {
				t.Errorf("found %s, want %s\n%s", got, want, strings.Join(told(r), "\n"))
			}
			if !slices.ContainsFunc(r.Findings, func(fd verify.Finding) bool { return strings.HasPrefix(fd.Where, where) }) {
				t.Errorf("nothing is found at %s\n%s", where, strings.Join(told(r), "\n"))
			}
			for _, fd := range r.Findings {
				if fd.Where == "?" || fd.Title == "" || fd.Remedy == "" || fd.ID == "" {
					t.Errorf("%+v", fd)
				}
			}
		})
	}
}

// TestEveryKindIsShown makes sure that there is a fault for every kind of finding.
func TestEveryKindIsShown(t *testing.T) {
	shown := map[verify.Kind]bool{ // by tests of their own
		verify.StoreMissing: true, verify.StoreUnreadable: true, verify.LogGap: true, verify.LogUnreadable: true, verify.IndexDifferent: true,
	}
	for _, f := range faults {
		for _, k := range f.want {
			shown[k] = true
		}
	}
	for k := range verify.Kinds {
		if !shown[k] {
			t.Errorf("no test makes %s", k)
		}
	}
}

func TestDetailSaysNoSecret(t *testing.T) {
	w := newWorld(t)
	secret := w.load(w.only("x/")).(*record.AccessKey).Secret
	for _, f := range faults[:12] {
		f.make(w, nil)
	}
	r := w.verify(w.lines())
	if text := fmt.Sprint(told(r)); len(secret) < 14 || strings.Contains(text, secret) {
		t.Errorf("a finding has a secret: %s", text)
	}
}

// annAt is the store key of a user.
func annAt(w *world) string {
	return record.PrincipalStoreKey(account, record.UserKind, w.load(userName("ann")).(*record.Name).ID)
}
