package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// auditRecord is what the test looks at in a line of the audit log.
type auditRecord struct {
	Keyturn struct {
		Node string `json:"node"`
		Seq  uint64 `json:"seq"`
	} `json:"keyturn"`
	UserIdentity struct {
		InvokedBy string `json:"invokedBy"`
	} `json:"userIdentity"`
	EventTime         time.Time `json:"eventTime"`
	EventName         string    `json:"eventName"`
	EventType         string    `json:"eventType"`
	EventID           string    `json:"eventID"`
	RequestID         string    `json:"requestID"`
	ErrorCode         string    `json:"errorCode"`
	RequestParameters struct {
		KeyID string `json:"keyId"`
	} `json:"requestParameters"`
	ResponseElements struct {
		KeyMetadata struct {
			KeyID      string `json:"keyId"`
			ARN        string `json:"arn"`
			MaterialID string `json:"currentKeyMaterialId"`
		} `json:"keyMetadata"`
	} `json:"responseElements"`
	Details struct {
		KeyID        string `json:"keyId"`
		RotationType string `json:"rotationType"`
		Previous     string `json:"previousKeyMaterialId"`
		Current      string `json:"currentKeyMaterialId"`
	} `json:"serviceEventDetails"`
}

// auditLog is how far the log has been read.
type auditLog struct {
	segment  string
	offset   int64
	seq      uint64
	events   map[string]bool // event IDs seen
	requests map[string]bool // request IDs seen
}

// next returns the whole lines that were not read yet.
func (l *auditLog) next(dir string) ([][]byte, error) {
	segments, err := filepath.Glob(filepath.Join(dir, "audit", "audit-*.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(segments)
	var lines [][]byte
	for _, name := range segments {
		if name < l.segment {
			continue
		}
		if name > l.segment {
			l.segment, l.offset = name, 0
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.NewSectionReader(f, l.offset, 1<<40))
		info, serr := f.Stat()
		f.Close()
		if err != nil || serr != nil {
			return nil, fmt.Errorf("%v, %v", err, serr)
		}
		if info.Size() < l.offset {
			return nil, fmt.Errorf("%s lost lines: it has %d bytes and had %d", name, info.Size(), l.offset)
		}
		for {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				break
			}
			lines = append(lines, b[:i])
			l.offset += int64(i) + 1
			b = b[i+1:]
		}
	}
	return lines, nil
}

// readAudit takes in what the log has got since the last time. It is called right after a start, when everything that was
// committed before must be there. The world is locked.
func (w *world) readAudit() {
	lines, err := w.log.next(w.dir)
	if err != nil {
		w.fault("reading the audit log: %v", err)
		return
	}
	w.stats.lines += len(lines)
	onDemand := make(map[*key][]*call) // rotations whose RotateKey event is yet to come; it is in the same commit
	for _, line := range lines {
		r := new(auditRecord)
		if err := json.Unmarshal(line, r); err != nil {
			w.fault("audit line after %d is not valid: %v", w.log.seq, err)
			continue
		}
		if r.Keyturn.Seq != w.log.seq+1 {
			w.fault("audit line %d follows line %d", r.Keyturn.Seq, w.log.seq)
		}
		w.log.seq = r.Keyturn.Seq
		if w.log.events[r.EventID] || r.EventID == "" {
			w.fault("audit line %d: event ID %q of %s is there twice", r.Keyturn.Seq, r.EventID, r.EventName)
		}
		w.log.events[r.EventID] = true
		switch {
		case r.EventType == "AwsServiceEvent":
			w.readServiceEvent(r, onDemand)
		case r.UserIdentity.InvokedBy == "":
			w.readCall(r, line, onDemand)
		}
	}
	for k, list := range onDemand {
		if len(list) > 0 {
			w.fault("key %s: %d recorded RotateKeyOnDemand calls without a RotateKey event", k.id, len(list))
		}
	}
	for id, c := range w.calls {
		w.fault("%v was answered (request %s) and is not in the audit log", c, id)
	}
	clear(w.calls)
	w.checkAdvances()
	w.readTick = w.ticks.Add(1)
	for _, k := range w.live {
		for _, m := range k.chain {
			if !m.logged {
				w.fault("key %s: rotation to %s, seen before the last crash, has no RotateKey event", k.id, m.id)
				m.logged = true
			}
		}
		for previous, m := range k.waiting {
			w.fault("key %s: RotateKey event to %s says that it follows %s, which was never current, or not then", k.id, m.id, previous)
		}
		clear(k.waiting)
		if k.gone && !k.goneLogged {
			w.fault("key %s was gone before the last crash and has no DeleteKey event", k.id)
			k.goneLogged = true
		}
	}
	w.live = slices.DeleteFunc(w.live, func(k *key) bool { return k.gone })
}

// readCall finds the call that a record is of. If it is one in doubt, the record decides: the call happened.
func (w *world) readCall(r *auditRecord, line []byte, onDemand map[*key][]*call) {
	if w.log.requests[r.RequestID] {
		w.fault("audit line %d: request %s (%s) is there twice", r.Keyturn.Seq, r.RequestID, r.EventName)
		return
	}
	w.log.requests[r.RequestID] = true
	c := w.calls[r.RequestID]
	if c != nil {
		delete(w.calls, r.RequestID)
		if c.name != r.EventName || c.code != r.ErrorCode {
			w.fault("audit line %d says %s %q of the call %v, which ended %q", r.Keyturn.Seq, r.EventName, r.ErrorCode, c, c.code)
		}
	} else {
		for _, d := range w.doubts {
			if d.matches(r, line) {
				c = d
				break
			}
		}
		if c == nil {
			w.fault("audit line %d is of a call that nobody made, or made once only: %s", r.Keyturn.Seq, line)
			return
		}
		c.seen = true
		if r.ErrorCode != "" {
			if !c.allows(r.ErrorCode) {
				w.fault("%v, under way at the crash, was refused with %s", c, r.ErrorCode)
			}
			return
		}
		w.stats.happened++
		if c.apply != nil {
			c.apply(r)
			w.note(c, "had happened at the crash")
		}
	}
	if c.name == "RotateKeyOnDemand" && r.ErrorCode == "" {
		onDemand[c.key] = append(onDemand[c.key], c)
	}
}

// readServiceEvent takes in a rotation or deletion.
func (w *world) readServiceEvent(r *auditRecord, onDemand map[*key][]*call) {
	if t := r.EventTime.Add(time.Second); t.After(w.horizon) { // the log has whole seconds
		w.horizon = t
	}
	k := w.keys[r.Details.KeyID]
	if k == nil {
		w.fault("audit line %d: %s of unknown key %s", r.Keyturn.Seq, r.EventName, r.Details.KeyID)
		return
	}
	k.touched = true
	switch r.EventName {
	case "RotateKey":
		w.stats.rotations++
		m := &material{id: r.Details.Current, automatic: r.Details.RotationType == "AUTOMATIC", logged: true, logDate: r.EventTime, from: w.readTick, to: w.ticks.Add(1)}
		if !m.automatic {
			if len(onDemand[k]) == 0 {
				w.fault("audit line %d: RotateKey ON_DEMAND of key %s that nobody asked for", r.Keyturn.Seq, k.id)
			} else {
				c := onDemand[k][0]
				onDemand[k] = onDemand[k][1:]
				m.from, m.to = c.from, c.to
			}
		} else if c := w.advanceTo(m.id); c != nil {
			m.from, m.to = c.from, c.to
		}
		w.appendMaterial(k, m, r)
	case "DeleteKey":
		w.stats.deletions++
		if k.goneLogged || k.state != "PendingDeletion" {
			w.fault("audit line %d: DeleteKey of key %s, which is %s, recorded before: %t", r.Keyturn.Seq, k.id, k.state, k.goneLogged)
		}
		if !k.deletion.IsZero() && r.EventTime.Before(k.deletion.Truncate(time.Second)) {
			w.fault("key %s was deleted at %v, before its date %v", k.id, r.EventTime, k.deletion)
		}
		k.gone, k.goneLogged = true, true
	case "SweepKey":
		if !k.goneLogged {
			w.fault("audit line %d: SweepKey of key %s, which is not deleted", r.Keyturn.Seq, k.id)
		}
	default:
		w.fault("audit line %d: unknown event %s", r.Keyturn.Seq, r.EventName)
	}
}

// appendMaterial takes in a RotateKey event: the key's materials must form one chain, and the log must have it in order.
func (w *world) appendMaterial(k *key, m *material, r *auditRecord) {
	for i, have := range k.chain {
		if have.id != m.id {
			continue
		}
		if have.logged || i == 0 || k.chain[i-1].id != r.Details.Previous || have.automatic != m.automatic {
			w.fault("key %s: RotateKey event (audit line %d) %s -> %s, but the rotation to it is %d of %d, recorded before: %t",
				k.id, r.Keyturn.Seq, r.Details.Previous, m.id, i, len(k.chain)-1, have.logged)
		}
		have.logged, have.logDate = true, m.logDate
		return
	}
	if last := k.chain[len(k.chain)-1]; last.id != r.Details.Previous {
		if k.waiting == nil {
			k.waiting = make(map[string]*material)
		}
		k.waiting[r.Details.Previous] = m
		w.stats.swapped++
		return
	}
	for m != nil {
		k.chain = append(k.chain, m)
		m = k.waiting[m.id]
		delete(k.waiting, k.chain[len(k.chain)-1].id)
	}
}

// advanceTo returns the answered AdvanceClock call of this round that made a material, or nil.
func (w *world) advanceTo(materialID string) *call {
	for _, c := range w.advances {
		if c.events != nil {
			for _, e := range c.events.Events {
				if e.KeyMaterialID == materialID {
					return c
				}
			}
		}
	}
	return nil
}

// checkAdvances: what an answered AdvanceClock said to have happened must have.
func (w *world) checkAdvances() {
	for _, c := range w.advances {
		if c.events == nil {
			if c.seen { // it had happened at the crash: the clock may be there
				if t := c.floor.Add(time.Duration(c.seconds) * time.Second); t.After(w.horizon) {
					w.horizon = t
				}
			}
			continue
		}
		if n := len(c.events.Events); n < 1000 && n != c.events.EventCount {
			w.fault("AdvanceClock answered %d events and says %d", n, c.events.EventCount)
		}
		for _, e := range c.events.Events {
			_, id, _ := strings.Cut(e.KeyArn, ":key/")
			k := w.keys[id]
			if k == nil {
				w.fault("AdvanceClock answered an event of the unknown key %s", e.KeyArn)
				continue
			}
			i := slices.IndexFunc(k.chain, func(m *material) bool { return m.id == e.KeyMaterialID })
			switch {
			case e.Event == "DeleteKey" && !k.goneLogged:
				w.fault("AdvanceClock answered that key %s was deleted, and the audit log does not know", id)
			case e.Event == "RotateKey" && i < 0:
				w.fault("AdvanceClock answered that key %s turned to %s, and the audit log does not know", id, e.KeyMaterialID)
			case e.Event == "RotateKey":
				k.chain[i].date = e.Date.Time
			}
		}
	}
	w.advances = nil
}
