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
	Region            string    `json:"awsRegion"`
	EventType         string    `json:"eventType"`
	EventID           string    `json:"eventID"`
	RequestID         string    `json:"requestID"`
	ErrorCode         string    `json:"errorCode"`
	ErrorMessage      string    `json:"errorMessage"`
	RequestParameters struct {
		KeyID string `json:"keyId"`
	} `json:"requestParameters"`
	ResponseElements struct {
		KeyringVersion int64 `json:"keyringVersion"`
		KeyMetadata    struct {
			KeyID      string `json:"keyId"`
			ARN        string `json:"arn"`
			MaterialID string `json:"currentKeyMaterialId"`
			Relatives  struct {
				Type string `json:"multiRegionKeyType"`
			} `json:"multiRegionConfiguration"`
		} `json:"keyMetadata"`
		Replica struct {
			ARN string `json:"arn"`
		} `json:"replicaKeyMetadata"`
		KeyID      string `json:"keyId"`         // SynchronizeMultiRegionKey
		KeyState   string `json:"keyState"`      // ScheduleKeyDeletion
		MaterialID string `json:"keyMaterialId"` // ImportKeyMaterial
	} `json:"responseElements"`
	Details struct {
		Number       int64  `json:"number"`
		KeyID        string `json:"keyId"`
		RotationType string `json:"rotationType"`
		Previous     string `json:"previousKeyMaterialId"`
		Current      string `json:"currentKeyMaterialId"`
		MaterialID   string `json:"keyMaterialId"` // DeleteExpiredKeyMaterial
	} `json:"serviceEventDetails"`
	Writes    []struct{} `json:"keyturnWrites"`
	Resources []struct {
		ARN string
	} `json:"resources"`
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
	onDemand := make(map[*family][]*call) // rotations whose RotateKey event is yet to come; it is in the same commit
	replicas := make(map[string]string)   // the ARN by the ID of the ReplicateKey request, whose CreateKey is yet to come, from the same commit
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
		case r.EventName == "SynchronizeMultiRegionKey":
			w.readSynchronized(r)
		case r.EventName == "CreateKey" && r.ResponseElements.KeyMetadata.Relatives.Type == "REPLICA":
			if arn := r.ResponseElements.KeyMetadata.ARN; replicas[r.RequestID] != arn || !strings.Contains(arn, ":"+r.Region+":") {
				w.fault("audit line %d: CreateKey of the replica %s in %s, which was %q in ReplicateKey", r.Keyturn.Seq, arn, r.Region, replicas[r.RequestID])
			}
			delete(replicas, r.RequestID)
		case r.UserIdentity.InvokedBy == "":
			w.readCall(r, line, onDemand)
			if r.EventName == "ReplicateKey" && r.ErrorCode == "" {
				replicas[r.RequestID] = r.ResponseElements.Replica.ARN
			}
		}
	}
	for id, arn := range replicas {
		w.fault("the replica %s of request %s has no CreateKey record", arn, id)
	}
	for f, list := range onDemand {
		if len(list) > 0 {
			w.fault("key %s: %d recorded RotateKeyOnDemand calls without a RotateKey event", f.id, len(list))
		}
	}
	for id, c := range w.calls {
		w.fault("%v was answered (request %s) and is not in the audit log", c, id)
	}
	clear(w.calls)
	w.checkAdvances()
	w.readTick = w.ticks.Add(1)
	for _, f := range w.families {
		w.closeLog(f)
	}
	w.live = slices.DeleteFunc(w.live, func(k *key) bool { return k.gone })
}

// closeLog compares a family with what the audit log has told of it so far.
func (w *world) closeLog(f *family) {
	for _, m := range f.chain {
		if !m.logged {
			w.fault("key %s: rotation to %s, seen before the last crash, has no RotateKey event", f.id, m.id)
			m.logged = true
		}
	}
	for previous, m := range f.waiting {
		w.fault("key %s: RotateKey event to %s says that it follows %s, which was never current, or not then", f.id, m.id, previous)
	}
	clear(f.waiting)
	for _, k := range f.members {
		if k.gone && !k.goneLogged {
			w.fault("key %s was gone before the last crash and has no DeleteKey event", k.arn)
			k.goneLogged = true
		}
	}
	for h := range f.expired {
		w.fault("key %s: material %q expired before the last crash, and the audit log does not tell", h.key.arn, h.material.id)
	}
	clear(f.expired)
	if f.imported {
		f.now = f.logged.clone()
		f.mirror()
	}
}

// readCall finds the call that a record is of. If it is one in doubt, the record decides: the call happened.
func (w *world) readCall(r *auditRecord, line []byte, onDemand map[*family][]*call) {
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
			switch {
			case !d.matches(r, line):
			case c == nil:
				c = d
			default: // nothing tells which of the two it was
				c.from, c.to = min(c.from, d.from), max(c.to, d.to)
			}
		}
		if c == nil {
			w.fault("audit line %d is of a call that nobody made, or made once only: %s", r.Keyturn.Seq, line)
			return
		}
		c.seen = true
		if r.ErrorCode != "" {
			if !c.allows(r.ErrorCode, r.ErrorMessage) {
				w.fault("%v, under way at the crash, was refused with %s", c, r.ErrorCode)
			}
			return
		}
		w.stats.happened++
		if c.apply != nil {
			c.apply(r)
		}
		if c.change != nil {
			c.key.family.change(c.change)
		}
		w.note(c, "had happened at the crash")
	}
	if r.ErrorCode != "" {
		return
	}
	if c.name == "RotateKeyOnDemand" {
		onDemand[c.key.family] = append(onDemand[c.key.family], c)
		if c.key.imported && !c.key.logged.ready() {
			w.fault("audit line %d: key %s was rotated, and not all of its keys had the material to rotate to", r.Keyturn.Seq, c.key.arn)
		}
	}
	// A call that found nothing to change has a record that did not wait for those of the changes before, such as the expiry of the material
	// that it was to delete.
	if c.change != nil && c.key.imported && len(r.Writes) > 0 {
		c.change(c.key.logged)
	}
}
