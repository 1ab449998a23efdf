package verify

import (
	"bytes"
	"context"
	"fmt"
)

// suspect is a finding about something of which only a hash is known yet.
type suspect struct {
	kind   Kind
	detail string
}

// suspectOne keeps a finding until it has a name. What is more than is listed is counted only.
func (v *verifier) suspectOne(record [16]byte, kind Kind, format string, args ...any) {
	if v.kept >= v.Most {
		v.report.Counts[kind]++
		return
	}
	v.kept++
	v.suspects[record] = append(v.suspects[record], suspect{kind, fmt.Sprintf(format, args...)})
}

// compareHistory compares what the store has of each record with the log's last change of it.
func (v *verifier) compareHistory(ctx context.Context) error {
	if v.Log == nil {
		return nil
	}
	v.enter(PhaseCompare)
	h := &chain{v: v}
	err := v.mentions.sorted(ctx, func(t tuple) error {
		m := parseMention(t)
		if m.record != h.record {
			if err := h.end(); err != nil {
				return err
			}
			h.begin(m.record)
		}
		return h.next(m)
	})
	if err == nil {
		err = h.end()
	}
	if err != nil {
		return err
	}
	v.mentions.close()
	return v.compareEvents(ctx)
}

// chain is what the log says of one record, in its order.
type chain struct {
	v      *verifier
	record [16]byte

	last   *mention  // the one before
	fixed  *mention  // the last one whose change is certainly in the snapshot
	later  []mention // those after it, which may be
	stored *mention  // what the store has; nil: nothing
}

// maxLater bounds how many changes of one record are told apart that may have come while the snapshot was taken.
const maxLater = 10_000

func (c *chain) begin(record [16]byte) {
	*c = chain{v: c.v, record: record, later: c.later[:0]}
}

func (c *chain) next(m mention) error {
	if m.order == storeOrder {
		c.stored = &m
		return nil
	}
	c.follows(m)
	c.last = &m
	if m.flags&certain != 0 {
		c.fixed, c.later = &m, c.later[:0]
	} else if len(c.later) < maxLater {
		c.later = append(c.later, m)
	}
	return nil
}

// follows checks that a change is the next one after the last that is known.
func (c *chain) follows(m mention) {
	if c.last == nil || c.last.flags&unread != 0 || m.flags&unread != 0 {
		return
	}
	want := c.last.version + 1
	switch {
	case c.last.flags&removed != 0:
		want = 1
	case m.flags&removed != 0:
		want = c.last.version
	}
	if m.version != want {
		c.v.suspectOne(c.record, ChangeMissing, "line %s has version %d, after %d", line(m.order), m.version, c.last.version)
	}
}

func line(order uint64) string {
	if order >= pendingOrder {
		return "(on its way to the log)"
	}
	return fmt.Sprint(order)
}

// end judges a record.
func (c *chain) end() error {
	if c.record == ([16]byte{}) {
		return nil // before the first
	}
	if c.stored == nil {
		c.absent()
		return nil
	}
	s := c.stored
	for _, m := range append(c.later, c.fixedOnes()...) {
		if m.flags&removed == 0 && (s.flags&unread != 0 || m.version == s.version && m.event == s.event) {
			c.v.report.History.Vouched++
			return nil
		}
	}
	if c.fixed == nil {
		// Nothing is known of it from before the snapshot, but that the first change after it found a state.
		if s.flags&unread != 0 { // nor of what made it
			c.v.report.History.Unvouched++
			return nil
		}
		if len(c.later) == 0 || before(c.later[0]) == s.version {
			return c.v.events.add(reference{event: s.event, kind: byRecord, record: s.record}.tuple())
		}
	}
	known := c.last
	if c.fixed != nil {
		known = c.fixed
	}
	switch {
	case s.flags&unread != 0, known.flags&removed != 0 && (known.flags&unread != 0 || s.version <= known.version):
		c.v.suspectOne(c.record, RecordReturned, "line %s removed it", line(known.order))
	case s.version < known.version:
		c.v.suspectOne(c.record, RecordOld, "it has version %d, and line %s made %d of it", s.version, line(known.order), known.version)
	case s.version > c.last.version:
		c.v.suspectOne(c.record, RecordNew, "it has version %d, and the log's last is %d, in line %s", s.version, c.last.version, line(c.last.order))
	default:
		c.v.suspectOne(c.record, RecordOther, "version %d was made by line %s", s.version, line(known.order))
	}
	return nil
}

// before is the version that a change found, 0 for nothing.
func before(m mention) uint64 {
	if m.flags&removed != 0 {
		return m.version
	}
	return m.version - 1
}

func (c *chain) fixedOnes() []mention {
	if c.fixed == nil {
		return nil
	}
	return []mention{*c.fixed}
}

// absent judges a record that the store does not have.
func (c *chain) absent() {
	if c.v.pages { // it may stand where nothing can be read
		return
	}
	for _, m := range append(c.later, c.fixedOnes()...) {
		if m.flags&removed != 0 {
			return
		}
	}
	switch {
	case c.fixed != nil:
		c.v.suspectOne(c.record, RecordRemoved, "line %s made version %d of it", line(c.fixed.order), c.fixed.version)
	case len(c.later) > 0 && before(c.later[0]) > 0:
		c.v.suspectOne(c.record, RecordRemoved, "line %s changed it", line(c.later[0].order))
	}
}

// compareEvents finds events that the log has twice, and judges the records that no line lists, by the events that made them.
func (v *verifier) compareEvents(ctx context.Context) error {
	h := v.report.History
	var event [16]byte
	var lines int
	var first uint64
	var lists bool
	return v.events.sorted(ctx, func(t tuple) error {
		r := parseReference(t)
		if !bytes.Equal(r.event[:], event[:]) {
			event, lines, lists = r.event, 0, false
		}
		switch {
		case r.kind != byRecord:
			if lines++; lines == 1 {
				first = r.order
			} else if lines == 2 {
				v.find(EventTwice, "line "+line(r.order), "it is in line %s, too", line(first))
			}
			lists = lists || r.kind == inLog
		case lines > 0 && !lists:
			h.Unvouched++
		case lines > 0:
			v.suspectOne(r.record, RecordUnlogged, "line %s, which it names, did not write it", line(first))
		case h.First > 1:
			h.Uncovered++
		case h.Lines == 0 && len(v.outbox) == 0:
			// Told as a whole: the log is missing.
		default:
			v.suspectOne(r.record, RecordUnlogged, "")
		}
		return nil
	})
}
