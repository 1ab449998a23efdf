package verify

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
)

// A mention is what the log, or the store, says of a record: a tuple of the hash of its store key, an order, a version with flags, and the hash of
// the event.
type mention struct {
	record  [16]byte
	order   uint64 // the line's number; of those on their way to the log, behind all lines; of what the store has, behind everything
	version uint64
	flags   byte
	event   [16]byte
}

const (
	removed   = 1 << iota // the record was removed
	certain               // the change is in the snapshot
	unread                // the version is not known
	versioned = 3         // bits of the flags below a version
)

const (
	storeOrder   = ^uint64(0)
	pendingOrder = uint64(1) << 62
)

func (m mention) tuple() (t tuple) {
	copy(t[:16], m.record[:])
	binary.BigEndian.PutUint64(t[16:], m.order)
	binary.BigEndian.PutUint64(t[24:], m.version<<versioned|uint64(m.flags))
	copy(t[32:], m.event[:])
	return t
}

func parseMention(t tuple) (m mention) {
	copy(m.record[:], t[:16])
	m.order = binary.BigEndian.Uint64(t[16:])
	version := binary.BigEndian.Uint64(t[24:])
	m.version, m.flags = version>>versioned, byte(version&(1<<versioned-1))
	copy(m.event[:], t[32:])
	return m
}

// maxVersion is what a tuple has room for.
const maxVersion = 1<<(64-versioned) - 1

// A reference is that an event is in the log, or that a record says it was made by it: a tuple of the event's hash, which of both, a number,
// and the record's hash.
type reference struct {
	event  [16]byte
	kind   byte
	order  uint64
	record [16]byte
}

const (
	inLog     = iota // the line lists what it wrote
	inLogOnly        // it lists nothing
	byRecord
)

func (r reference) tuple() (t tuple) {
	copy(t[:16], r.event[:])
	t[16] = r.kind
	binary.BigEndian.PutUint64(t[24:], r.order)
	copy(t[32:], r.record[:])
	return t
}

func parseReference(t tuple) (r reference) {
	copy(r.event[:], t[:16])
	r.kind, r.order = t[16], binary.BigEndian.Uint64(t[24:])
	copy(r.record[:], t[32:])
	return r
}

// note notes what the store has of a record; by is nil where that cannot be read.
func (v *verifier) note(storeKey string, by *record.Provenance) error {
	if v.Log == nil || record.Unlogged(storeKey) {
		return nil
	}
	m := mention{record: v.hash.short(storeKey), order: storeOrder, flags: unread}
	if by != nil {
		if by.Event == "" {
			v.find(RecordWithout, storeKey, "")
			return nil
		}
		m.flags, m.version, m.event = 0, min(by.Version, maxVersion), v.hash.short(by.Event)
	}
	return v.mentions.add(m.tuple())
}

// restEvery is how much of the log is read between two rests.
const restEvery = 1 << 20

// RestoreEvent is the name of the event with which a log tells that its store was restored from a backup.
const RestoreEvent = "RestoreBackup"

// restoration is where the log tells of one, and its event.
type restoration struct {
	order uint64
	event [16]byte
}

// readLog reads the audit log.
func (v *verifier) readLog(ctx context.Context) error {
	if v.Log == nil {
		return nil
	}
	v.enter(PhaseLog)
	h := &History{}
	v.report.History = h
	start, since := time.Now(), 0
	survey, err := v.Log.Lines(ctx, func(l audit.Line) error {
		v.progress(int64(len(l.JSON)) + 1)
		if since += len(l.JSON); since > restEvery {
			if err := v.rest(ctx, start); err != nil {
				return err
			}
			start, since = time.Now(), 0
		}
		return v.line(l)
	}, func(f audit.Flaw) error {
		v.flaw(f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	h.First, h.Last, h.Lines, h.Bytes, h.Segments, h.Nodes = survey.First, survey.Last, survey.Lines, survey.Bytes, survey.Segments, survey.Nodes
	if h.Lines == 0 && len(v.outbox) == 0 && v.report.Records > 0 && v.mentioned() {
		v.find(LogMissing, "audit log", "")
	} else if h.Last < v.durable {
		v.find(LogCut, "audit log", "it ends with line %d, and line %d was there", h.Last, v.durable)
	}
	if err := v.takePending(); err != nil {
		return err
	}
	v.checkRestored()
	return nil
}

// checkRestored compares the log's last restoration with the one that the store, which nobody can write without its seal, says it comes from. What
// is compared besides does not depend on either: a backup has its store's log up to the same moment, so a restored record is what the log's last
// change of it left, too.
func (v *verifier) checkRestored() {
	if r := v.restorer; r != nil && !v.Sealed && r.event != v.restoredBy {
		v.find(RestoreUnknown, "line "+line(r.order), "")
	}
}

// takePending takes in what is still on its way to the log.
func (v *verifier) takePending() error {
	list := make([][16]byte, 0, len(v.outbox))
	for id := range v.outbox {
		list = append(list, id)
	}
	slices.SortFunc(list, func(a, b [16]byte) int { return cmp.Compare(v.outbox[a].order, v.outbox[b].order) })
	for _, id := range list {
		if p := v.outbox[id]; !p.logged {
			v.restored(p.change, pendingOrder+p.order)
			if err := v.wrote(id, pendingOrder+p.order, certain, p.change.Writes); err != nil {
				return err
			}
		}
	}
	last := v.report.History.Last
	for _, id := range list {
		if p := v.outbox[id]; p.from > last+1 {
			v.find(OutboxAhead, p.at, "the log ended before number %d, and now before %d", p.from, last+1)
		}
	}
	return nil
}

// restored notes that the store was restored from a backup.
func (v *verifier) restored(c audit.Change, order uint64) {
	if c.Source != "keyturn" || c.Name != RestoreEvent {
		return
	}
	v.restorer = &restoration{order, v.hash.short(c.EventID)}
	if h := v.report.History; len(h.Restored) < 100 {
		h.Restored = append(h.Restored, c.Time)
	}
}

// mentioned tells whether the store has records that a log should know.
func (v *verifier) mentioned() bool { return len(v.mentions.chunk)+len(v.mentions.runs) > 0 }

func (v *verifier) line(l audit.Line) error {
	if id, ok := audit.FastChange(l.JSON); ok {
		return v.taken(v.hash.short(id), l.Seq, nil)
	}
	change, err := audit.ParseChange(l.JSON)
	if err != nil {
		v.find(LogLine, fmt.Sprintf("line %d", l.Seq), "it is no record of an event")
		return nil
	}
	v.restored(change, l.Seq)
	return v.taken(v.hash.short(change.EventID), l.Seq, change.Writes)
}

// taken takes in an event of the log, which may be one that is still on its way there.
func (v *verifier) taken(id [16]byte, seq uint64, writes []audit.Write) error {
	var flags byte
	if seq < v.Certain {
		flags = certain
	}
	if p := v.outbox[id]; p != nil {
		flags = certain
		if seq < p.from {
			v.find(OutboxTwice, p.at, "it is line %d, and the log already had %d lines when it was put here", seq, p.from-1)
		}
		p.logged = true
	}
	if writes == nil {
		return v.event(id, seq, inLogOnly)
	}
	return v.wrote(id, seq, flags, writes)
}

func (v *verifier) event(id [16]byte, order uint64, kind byte) error {
	return v.events.add(reference{event: id, kind: kind, order: order}.tuple())
}

// wrote takes in what an event says that it wrote.
func (v *verifier) wrote(id [16]byte, order uint64, flags byte, writes []audit.Write) error {
	if err := v.event(id, order, inLog); err != nil {
		return err
	}
	for _, w := range writes {
		if record.Unlogged(w.Record) {
			continue
		}
		m := mention{record: v.hash.short(w.Record), order: order, version: min(w.Version, maxVersion), flags: flags, event: id}
		if w.Removed {
			m.flags |= removed
		}
		if w.Version == 0 {
			m.flags |= unread
		}
		if err := v.mentions.add(m.tuple()); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) flaw(f audit.Flaw) {
	where := fmt.Sprintf("%s, byte %d", f.Segment, f.Offset)
	switch f.Kind {
	case audit.FlawTorn:
		v.report.History.Torn = true
	case audit.FlawGap:
		v.find(LogGap, where, "number %d stands where %d should: %s", f.Got, f.Want, f.Detail)
	case audit.FlawUnread:
		v.find(LogUnreadable, where, "%s", f.Detail)
	default:
		v.find(LogLine, where, "the line that should have number %d: %s", f.Want, f.Detail)
	}
}
