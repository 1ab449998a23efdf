package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// page is how many entries are read at once.
const page = 500

// kinds are the first parts of store keys, with their slash, sorted. Those of the keys' groups are read together, see groups.
var kinds = []string{
	"a/", "c/", "d/", "g/", "i/", "k/", "m/", "n/", "na/", "o/", "p/", "pm/", "pn/", "po/", "pp/", "s/", "t/", "u/", "v/", "x/", "xu/",
}

// isRecord tells whether records stand below a first part.
func isRecord(kind string) bool {
	return kind != record.IndexPrefix && kind != record.CounterPrefix && kind != record.OutboxPrefix
}

// isDamage tells whether an engine's error says that something cannot be read, and not that it is closed or busy.
func isDamage(err error) bool { return errors.Is(err, store.ErrDamaged) }

// scan yields all entries with a prefix, values sealed. Where pages of the store cannot be read, that is a finding, and it ends.
func (v *verifier) scan(ctx context.Context, prefix string, take func(store.Entry) error) error {
	for after := ""; ; {
		entries, err := v.next(ctx, prefix, after)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if err := take(e); err != nil {
				return err
			}
		}
		after = entries[len(entries)-1].Key
	}
}

// next returns a page; none at the end, or where the store cannot be read.
func (v *verifier) next(ctx context.Context, prefix, after string) ([]store.Entry, error) {
	start := time.Now()
	entries, err := v.Snapshot.ScanSealed(ctx, prefix, after, page)
	if isDamage(err) {
		v.unreadable, v.pages = true, true
		v.find(StoreUnreadable, cmp.Or(after, prefix), "what follows this place is not looked at, as far as it is of the same kind")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the store: %w", err)
	}
	var bytes int64
	for _, e := range entries {
		bytes += int64(len(e.Key) + len(e.Value))
	}
	v.progress(bytes)
	return entries, v.rest(ctx, start)
}

// readStore reads everything in the store once.
func (v *verifier) readStore(ctx context.Context) error {
	v.enter(PhaseStore)
	faulty, err := v.Snapshot.FaultyReserved(ctx)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	for _, key := range faulty {
		v.find(ReservedMalformed, key, "")
	}
	for _, step := range []func(context.Context) error{v.readUnknown, v.readRegions, v.groups, v.readRest, v.readDerived, v.flush} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readUnknown looks for entries between the known kinds.
func (v *verifier) readUnknown(ctx context.Context) error {
	after := ""
	for _, kind := range append(slices.Clone(kinds), "\xff\xff\xff\xff") {
		for {
			entries, err := v.next(ctx, "", after)
			if err != nil {
				return err
			}
			i := 0
			for ; i < len(entries) && entries[i].Key < kind; i++ {
				v.report.Entries++
				v.find(EntryUnknown, entries[i].Key, "")
			}
			if i < len(entries) || len(entries) == 0 {
				break
			}
			after = entries[i-1].Key
		}
		after = kind + "\xff\xff\xff\xff"
	}
	return nil
}

// readRegions finds out which regions accounts have keys in, by stepping over them.
func (v *verifier) readRegions(ctx context.Context) error {
	for _, kind := range []string{"k/", "t/"} {
		for after := ""; ; {
			entries, err := v.Snapshot.ScanSealed(ctx, kind, after, 1)
			if isDamage(err) {
				break // told where it is read
			}
			if err != nil {
				return fmt.Errorf("reading the store: %w", err)
			}
			if len(entries) == 0 {
				break
			}
			parts := strings.SplitN(entries[0].Key, "/", 4)
			if len(parts) < 4 {
				after = entries[0].Key
				continue
			}
			if !slices.Contains(v.regions[parts[1]], parts[2]) {
				v.regions[parts[1]] = append(v.regions[parts[1]], parts[2])
			}
			after = kind + parts[1] + "/" + parts[2] + "/\xff\xff\xff\xff"
		}
	}
	return nil
}

// take takes in a record: it opens, decodes, counts its index entries and counters, and notes its version for the comparison with the log. It
// returns nil for what cannot be read.
func (v *verifier) take(e store.Entry) (record.Record, error) {
	v.report.Entries++
	v.report.Records++
	r := v.decode(e, true)
	if r == nil {
		return nil, v.note(e.Key, nil)
	}
	v.derive(r, v.indexes.add)
	switch r := r.(type) {
	case *record.Restored:
		v.restoredBy = v.hash.short(r.Provenance().Event)
	case *record.Mark:
		v.durable = r.Line
	}
	return r, v.note(e.Key, r.Provenance())
}

// decode opens a value and reads its record, nil if that cannot be; tell makes that a finding.
func (v *verifier) decode(e store.Entry, tell bool) record.Record {
	if v.Sealed {
		return nil
	}
	value, err := v.Snapshot.Open(e)
	if err != nil {
		if tell {
			v.unreadable = true
			v.find(ValueUnreadable, e.Key, "")
		}
		return nil
	}
	defer clear(value)
	r, err := record.Decode(e.Key, value)
	if m, ok := r.(*record.Material); ok && err == nil && tell {
		if err = m.Open(); errors.Is(err, keys.ErrFIPS) {
			err = nil // whole, but not to be used in this mode
		}
	}
	if err != nil {
		if tell {
			v.unreadable = true
			v.find(RecordMalformed, e.Key, "")
		}
		return nil
	}
	return r
}

// derive tells add what follows from a record.
func (v *verifier) derive(r record.Record, add func(name string, n int64)) {
	for _, ix := range r.Indexes() {
		add(ix, 1)
	}
	for _, c := range r.Counters() {
		add(c, 1)
	}
}

// readRest reads the records that belong to no group of a key.
func (v *verifier) readRest(ctx context.Context) error {
	for _, kind := range kinds {
		if !isRecord(kind) || slices.Contains(groupKinds, kind) {
			continue
		}
		err := v.scan(ctx, kind, func(e store.Entry) error {
			r, err := v.take(e)
			if err != nil || r == nil {
				return err
			}
			return v.belongs(ctx, r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poison makes a sum wrong, whatever records say.
const poison = -1<<40 - 1

// readDerived reads index entries and counters.
func (v *verifier) readDerived(ctx context.Context) error {
	for _, kind := range []string{record.IndexPrefix, record.CounterPrefix} {
		err := v.scan(ctx, kind, func(e store.Entry) error {
			v.report.Entries++
			if v.Sealed {
				return nil
			}
			n, ok := v.derived(e)
			if !ok {
				n = poison
			}
			v.indexes.add(e.Key, -n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// derived is how often records should have an index entry or counter that is there; ok is false for one that is of no use to anybody.
func (v *verifier) derived(e store.Entry) (n int64, ok bool) {
	value, err := v.Snapshot.Open(e)
	if err != nil {
		return 0, false
	}
	if strings.HasPrefix(e.Key, record.CounterPrefix) {
		n, err = record.DecodeCounter(value)
		return n, err == nil
	}
	return 1, len(value) == 0
}

// question is something to be looked up by its store keys; answer gets the entries, values sealed.
type question struct {
	keys   []string
	answer func([]store.Entry)
}

// ask looks up store keys, many questions at a time.
func (v *verifier) ask(ctx context.Context, answer func([]store.Entry), keys ...string) error {
	v.asked = append(v.asked, question{keys, answer})
	v.askedKeys += len(keys)
	if v.askedKeys < page {
		return nil
	}
	return v.flush(ctx)
}

// flush answers what was asked.
func (v *verifier) flush(ctx context.Context) error {
	for len(v.asked) > 0 {
		asked := v.asked
		v.asked, v.askedKeys = nil, 0
		var names []string
		for _, q := range asked {
			names = append(names, q.keys...)
		}
		start := time.Now()
		entries, err := v.Snapshot.GetSealed(ctx, names...)
		if isDamage(err) {
			v.unreadable = true
			v.find(StoreUnreadable, names[0], "this or one of %d others that were looked up with it", len(names)-1)
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		for _, q := range asked {
			q.answer(entries[:len(q.keys)])
			entries = entries[len(q.keys):]
		}
		if err := v.rest(ctx, start); err != nil {
			return err
		}
	}
	return nil
}
