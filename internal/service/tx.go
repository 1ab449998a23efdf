package service

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// Tx is what a plan reads and writes through. For Read and Crypto operations it reads through the cache: what it returns is
// shared and must not be changed. For the others it reads the store and remembers every revision it saw: what it returns
// belongs to the plan, and the commit succeeds only if nothing of it has changed meanwhile.
type Tx struct {
	Call      *Call
	Operation string // its name
	DryRun    bool
	Now       time.Time
	// Targets is what Resolve returned, for conditions that depend on more than one of them.
	Targets []Target
	// Ciphertext is what Resolve parsed, kept for Plan.
	Ciphertext keys.Ciphertext

	ctx   context.Context
	p     *Pipeline
	fresh bool
	extra *audit.Params
	used  [2]used // no operation uses more keys
	usedN int
	// failed is what Fail was told first.
	failed error
	// authorization is the question that is being asked about a target.
	authorization Authorization

	// Only with fresh.
	reads    map[string]*read
	writes   map[string]record.Record // nil deletes
	counters map[string]int64         // read by Counter
	events   []*audit.Record
	removals []string // store keys, see Remove
	mends    []store.Write
	after    []func()
}

// Keyring returns the keyring.
func (tx *Tx) Keyring() Keyring { return tx.p.keyring }

// Context is that of the request.
func (tx *Tx) Context() context.Context { return tx.ctx }

// read is a record as it was when the Tx first saw it.
type read struct {
	rev      store.Rev
	record   record.Record // nil if absent; the plan may change it
	version  uint64        // its own, 0 if absent
	indexes  []string
	counters []string
	secret   [sha256.Size]byte // record.SecretDigest, from before the plan changed the record
	class    KeyClass          // of a key
}

func (p *Pipeline) begin(ctx context.Context, call *Call, kind Kind) *Tx {
	tx := &Tx{Call: call, Now: call.Now, ctx: ctx, p: p}
	if kind == Change || kind == Internal || kind == Control {
		tx.fresh = true
		tx.reads = make(map[string]*read, 4)
		tx.writes = make(map[string]record.Record, 4)
		tx.counters = make(map[string]int64)
	}
	return tx
}

// Lookup returns the record at a store key, the zero T if there is none.
func Lookup[T record.Record](tx *Tx, storeKey string) (T, error) {
	var zero T
	r, err := tx.lookup(storeKey)
	if err != nil || r == nil {
		return zero, err
	}
	t, ok := r.(T)
	if !ok {
		return zero, fmt.Errorf("%w: %s holds a record of another kind", record.ErrDecode, storeKey)
	}
	return t, nil
}

func (tx *Tx) lookup(storeKey string) (record.Record, error) {
	if !tx.fresh {
		return tx.p.cached(tx.ctx, storeKey)
	}
	if r, ok := tx.writes[storeKey]; ok {
		return r, nil
	}
	rd, ok := tx.reads[storeKey]
	if !ok {
		entries, err := tx.p.store.Get(tx.ctx, storeKey)
		if err != nil {
			return nil, err
		}
		rd = &read{rev: entries[0].Rev}
		if rd.rev != 0 {
			if rd.record, err = tx.p.decode(storeKey, entries[0].Value); err != nil {
				return nil, err
			}
			rd.indexes, rd.counters, rd.class = rd.record.Indexes(), rd.record.Counters(), classOf(rd.record)
			rd.version = rd.record.Provenance().Version
			if record.HoldsSecret(storeKey) {
				rd.secret = record.SecretDigest(rd.record)
			}
		}
		tx.reads[storeKey] = rd
	}
	return rd.record, nil
}

// LookupAll returns the records at several store keys, uncached, each hundred at one revision; absent ones are left out. Nothing
// guards them: use it for lists.
func LookupAll[T record.Record](tx *Tx, storeKeys []string) ([]T, error) {
	var out []T
	for chunk := range slices.Chunk(storeKeys, 100) {
		entries, err := tx.p.store.Get(tx.ctx, chunk...)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Rev == 0 {
				continue
			}
			r, err := tx.p.decode(e.Key, e.Value)
			if err != nil {
				return nil, err
			}
			t, ok := r.(T)
			if !ok {
				return nil, fmt.Errorf("%w: %s holds a record of another kind", record.ErrDecode, e.Key)
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// Scan returns up to limit store entries with the prefix, after a key. Nothing guards what it returns.
func (tx *Tx) Scan(prefix, after string, limit int) ([]store.Entry, error) {
	return tx.p.store.Scan(tx.ctx, prefix, after, limit)
}

// Decode reads a record from a scanned entry.
func (tx *Tx) Decode(e store.Entry) (record.Record, error) { return tx.p.decode(e.Key, e.Value) }

// Put writes a record at the commit. It must have been looked up in this Tx, there or absent.
func (tx *Tx) Put(r record.Record) { tx.writes[r.StoreKey()] = r }

// Delete removes a record that was looked up in this Tx.
func (tx *Tx) Delete(r record.Record) { tx.writes[r.StoreKey()] = nil }

// Remove removes whatever stands at store keys at the commit, unread: what is damaged can be removed too. Indexes and counters of
// what stood there are the caller's to remove.
func (tx *Tx) Remove(storeKeys ...string) { tx.removals = append(tx.removals, storeKeys...) }

// Mend puts an index entry or a counter right at the commit, whatever stands there. Nothing else does: they follow from the records that are
// put and deleted. It is for a repair, while nothing else runs.
func (tx *Tx) Mend(w store.Write) error {
	if !record.Derived(w.Key) {
		return fmt.Errorf("service: %s is a record, which is not mended", w.Key)
	}
	tx.mends = append(tx.mends, w)
	return nil
}

// Once returns what f returned when the operation was first planned: for what is costly, or cannot be taken back, and must not be
// done again when a conflict makes the operation be planned anew. name tells several of one operation apart. An error is not kept.
func Once[T any](tx *Tx, name string, f func() (T, error)) (T, error) {
	if v, ok := tx.Call.once[name]; ok {
		return v.(T), nil
	}
	v, err := f()
	if err == nil {
		if tx.Call.once == nil {
			tx.Call.once = make(map[string]any)
		}
		tx.Call.once[name] = v
	}
	return v, err
}

// AfterCommit runs f once the commit has succeeded.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Counter returns a counter as of before this Tx; the commit succeeds only if it has not changed.
func (tx *Tx) Counter(name string) (int64, error) {
	if n, ok := tx.counters[name]; ok {
		return n, nil
	}
	entries, err := tx.p.store.Get(tx.ctx, name)
	if err != nil {
		return 0, err
	}
	return tx.noteCounter(entries[0])
}

func (tx *Tx) noteCounter(e store.Entry) (int64, error) {
	n, err := record.DecodeCounter(e.Value)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, e.Key)
	}
	tx.counters[e.Key] = n
	tx.reads[e.Key] = &read{rev: e.Rev}
	return n, nil
}

// Sum returns the sum of counters. Nothing guards it: concurrent changes may be missed.
func (tx *Tx) Sum(names []string) (int64, error) {
	entries, err := tx.p.store.Get(tx.ctx, names...)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		n, err := record.DecodeCounter(e.Value)
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, e.Key)
		}
		sum += n
	}
	return sum, nil
}

// Additional is what the operation's audit record says beside its parameters and result: CloudTrail's additionalEventData.
func (tx *Tx) Additional() *audit.Params {
	if tx.extra == nil {
		tx.extra = new(audit.Params)
	}
	return tx.extra
}

// Fail makes authorization refuse the call, whatever policies say: a condition's value could not be read, and its absence could make a
// statement that denies miss.
func (tx *Tx) Fail(err error) {
	if tx.failed == nil {
		tx.failed = err
	}
}

// Failed returns what Fail was told first, nil for nothing.
func (tx *Tx) Failed() error { return tx.failed }

// Event adds an audit record of the service's own to the commit, beside the operation's.
func (tx *Tx) Event(r *audit.Record) { tx.events = append(tx.events, r) }

// changed tells whether there is anything to commit.
func (tx *Tx) changed() bool { return len(tx.writes) > 0 || len(tx.removals) > 0 || len(tx.mends) > 0 }

// batch builds the commit: checks of all that was read; records with their index entries and counters; the audit records.
// eventID is that of the operation's audit record.
func (tx *Tx) batch(eventID string, outbox []store.Write) (store.Batch, error) {
	var b store.Batch
	deltas := make(map[string]int64)
	for _, key := range slices.Sorted(maps.Keys(tx.writes)) {
		r := tx.writes[key]
		rd := tx.reads[key]
		if rd == nil {
			return b, fmt.Errorf("service: %s is written but was not looked up", key)
		}
		var indexes []string
		if r == nil {
			b.Writes = append(b.Writes, store.Write{Key: key, Delete: true})
		} else {
			*r.Provenance() = record.Provenance{Version: rd.version + 1, Event: eventID}
			value, err := record.Encode(r)
			if err != nil {
				return b, err
			}
			b.Writes = append(b.Writes, store.Write{Key: key, Value: value})
			indexes = r.Indexes()
			for _, c := range r.Counters() {
				deltas[c]++
			}
		}
		for _, ix := range rd.indexes {
			if !slices.Contains(indexes, ix) {
				b.Writes = append(b.Writes, store.Write{Key: ix, Delete: true})
			}
		}
		for _, ix := range indexes {
			if !slices.Contains(rd.indexes, ix) {
				b.Writes = append(b.Writes, store.Write{Key: ix, Value: []byte{}})
			}
		}
		for _, c := range rd.counters {
			deltas[c]--
		}
	}
	maps.DeleteFunc(deltas, func(_ string, d int64) bool { return d == 0 })
	if err := tx.readCounters(deltas); err != nil {
		return b, err
	}
	for _, name := range slices.Sorted(maps.Keys(deltas)) {
		n := tx.counters[name] + deltas[name]
		b.Writes = append(b.Writes, store.Write{Key: name, Value: record.EncodeCounter(n), Delete: n == 0})
	}
	for _, key := range tx.removals {
		b.Writes = append(b.Writes, store.Write{Key: key, Delete: true})
	}
	b.Writes = append(b.Writes, tx.mends...)
	if tx.destroys() {
		value, err := record.Encode(&record.Destroyed{At: tx.p.realTime().UTC()})
		if err != nil {
			return b, err
		}
		b.Writes = append(b.Writes, store.Write{Key: record.DestroyedStoreKey, Value: value})
	}
	b.Writes = append(b.Writes, outbox...)
	for _, key := range slices.Sorted(maps.Keys(tx.reads)) {
		b.Checks = append(b.Checks, store.Check{Key: key, Rev: tx.reads[key].rev})
	}
	return b, nil
}

// wrote lists the records that the commit writes and removes, for the audit record: index entries and counters follow from them.
func (tx *Tx) wrote() []audit.Write {
	var list []audit.Write
	for _, key := range slices.Sorted(maps.Keys(tx.writes)) {
		var before uint64
		if rd := tx.reads[key]; rd != nil {
			before = rd.version
		}
		switch {
		case tx.writes[key] != nil:
			list = append(list, audit.Write{Record: key, Version: before + 1})
		case before > 0: // else it was not there either
			list = append(list, audit.Write{Record: key, Version: before, Removed: true})
		}
	}
	for _, key := range tx.removals {
		if !record.Derived(key) {
			list = append(list, audit.Write{Record: key, Removed: true})
		}
	}
	return list
}

// destroys tells whether a secret goes, or is replaced by another one. From then on there may be copies of it that nothing leads to, which
// the next scrub of the store overwrites.
func (tx *Tx) destroys() bool {
	for key, r := range tx.writes {
		if rd := tx.reads[key]; rd.secret != [sha256.Size]byte{} && (r == nil || record.SecretDigest(r) != rd.secret) {
			return true
		}
	}
	return slices.ContainsFunc(tx.removals, record.HoldsSecret)
}

// readCounters reads those that are about to change and were not read yet.
func (tx *Tx) readCounters(deltas map[string]int64) error {
	var unread []string
	for name := range deltas {
		if _, ok := tx.counters[name]; !ok {
			unread = append(unread, name)
		}
	}
	if len(unread) == 0 {
		return nil
	}
	entries, err := tx.p.store.Get(tx.ctx, unread...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := tx.noteCounter(e); err != nil {
			return err
		}
	}
	return nil
}
