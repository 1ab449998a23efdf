package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// detailNames is about how many index entries and counters are looked at closely at once.
const detailNames = 200_000

// derivedState is what an index entry or counter should be, and is.
type derivedState struct {
	want, have int64
	there, bad bool   // bad: it is there and cannot be read
	of         string // store key of a record that it follows from
}

// details reads the store once more, if anything is wrong, to give it its names.
func (v *verifier) details(ctx context.Context) error {
	v.report.Indexes = !v.Sealed && !v.unreadable
	var bad []uint16
	if v.report.Indexes {
		bad = v.indexes.bad()
	}
	if len(bad) == 0 && len(v.suspects) == 0 {
		return nil
	}
	v.enter(PhaseNames)
	buckets := make(map[uint16]bool)
	each := max(1, v.report.Entries/sketchBuckets) // names in a sum
	most := int(min(int64(len(bad)), max(1, v.closely/each)))
	for _, b := range bad[:most] {
		buckets[b] = true
	}
	states := make(map[string]*derivedState)
	state := func(name string) *derivedState {
		if len(buckets) == 0 || !buckets[bucketOf(v.hash.sum(name))] {
			return nil
		}
		s := states[name]
		if s == nil {
			s = new(derivedState)
			states[name] = s
		}
		return s
	}
	for _, kind := range kinds {
		err := v.scan(ctx, kind, func(e store.Entry) error {
			switch {
			case isRecord(kind):
				v.name(e.Key)
				if len(buckets) == 0 {
					return nil
				}
				if r := v.decode(e, true); r != nil {
					v.derive(r, func(name string, n int64) {
						if s := state(name); s != nil {
							s.want, s.of = s.want+n, e.Key
						}
					})
				}
			case record.Derived(e.Key):
				if s := state(e.Key); s != nil {
					n, ok := v.derived(e)
					s.have, s.there, s.bad = n, true, !ok
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if v.unreadable { // what could be read the first time and not the second is missing in the counts, and a mend by those would make it worse
		v.report.Indexes = false
		return v.nameRemoved(ctx)
	}
	v.tellDerived(states)
	if len(bad) > most {
		v.find(IndexDifferent, record.IndexPrefix, "about %d places of 65,536 are looked at, of %d that differ", most, len(bad))
	}
	return v.nameRemoved(ctx)
}

// tellDerived tells which index entries and counters are wrong, and what would put them right.
func (v *verifier) tellDerived(states map[string]*derivedState) {
	for _, name := range slices.Sorted(maps.Keys(states)) {
		s := states[name]
		if s.want == s.have && !s.bad {
			continue
		}
		unreadable := ""
		if s.bad {
			unreadable = ", and what stands there does not open"
		}
		m := Mend{Key: name}
		switch {
		case strings.HasPrefix(name, record.CounterPrefix):
			is := fmt.Sprint(s.have)
			if s.bad {
				is = "unreadable"
			}
			v.find(CounterWrong, name, "it is %s, the records say %d", is, s.want)
			m.Counter, m.Value, m.Delete = true, record.EncodeCounter(s.want), s.want == 0
		case s.want > 0:
			v.find(IndexMissing, name, "of %s%s", s.of, unreadable)
			m.Value = []byte{}
		default:
			v.find(IndexExtra, name, "%s", strings.TrimPrefix(unreadable, ", and "))
			m.Delete = true
		}
		v.report.Mends = append(v.report.Mends, m)
	}
}

// name gives a record's suspects their name.
func (v *verifier) name(storeKey string) {
	if len(v.suspects) == 0 {
		return
	}
	id := v.hash.short(storeKey)
	for _, s := range v.suspects[id] {
		v.find(s.kind, storeKey, "%s", s.detail)
	}
	delete(v.suspects, id)
}

// nameRemoved finds the names of those that the store does not have, in the log.
func (v *verifier) nameRemoved(ctx context.Context) error {
	for _, p := range v.outbox {
		for _, w := range p.change.Writes {
			v.name(w.Record)
		}
	}
	if len(v.suspects) == 0 {
		return nil
	}
	_, err := v.Log.Lines(ctx, func(l audit.Line) error {
		if _, ok := audit.FastChange(l.JSON); ok {
			return nil
		}
		change, err := audit.ParseChange(l.JSON)
		if err != nil {
			return nil // told before
		}
		for _, w := range change.Writes {
			v.name(w.Record)
		}
		return nil
	}, func(audit.Flaw) error { return nil })
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	for _, list := range v.suspects { // the log has changed under us
		for _, s := range list {
			v.find(s.kind, "?", "%s", s.detail)
		}
	}
	return nil
}
