//go:build torture

package torture

import (
	"context"
	"encoding/json"
	"time"

	"github.com/keyturn/keyturn/internal/record"
)

// auditRecord is what is looked at in a line of the audit log.
type auditRecord struct {
	EventName        string `json:"eventName"`
	EventType        string `json:"eventType"`
	EventID          string `json:"eventID"`
	RequestID        string `json:"requestID"`
	ErrorCode        string `json:"errorCode"`
	ResponseElements struct {
		KeyMetadata struct {
			KeyID string `json:"keyId"`
		} `json:"keyMetadata"`
		GrantID string `json:"grantId"`
	} `json:"responseElements"`
	Details struct {
		KeyID string `json:"keyId"`
	} `json:"serviceEventDetails"`
	Resources []struct {
		ARN string
	} `json:"resources"`
}

// readAudit compares the audit log with the calls, and decides by it of those that nobody knows of whether they happened. It is
// called after a start, when the record of everything that was committed must be there.
func (w *world) readAudit() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.site.p.Flush(ctx); err != nil {
		w.fault("bringing the audit log up to date, with nothing wrong: %v", err)
		return
	}
	var next uint64 = 1
	events, records, deleted := make(map[string]bool), make(map[string][]*auditRecord), make(map[string]int)
	for line, err := range w.site.log.Since(1) {
		if err != nil {
			w.fault("reading the audit log: %v", err)
			return
		}
		w.stats.lines++
		if line.Seq != next {
			w.fault("audit line %d follows line %d", line.Seq, next-1)
		}
		next = line.Seq + 1
		r := new(auditRecord)
		if err := json.Unmarshal(line.JSON, r); err != nil {
			w.fault("audit line %d: %v", line.Seq, err)
			continue
		}
		if events[r.EventID] {
			w.fault("audit line %d: event %s (%s) is there twice", line.Seq, r.EventID, r.EventName)
		}
		events[r.EventID] = true
		if r.EventType != "AwsServiceEvent" {
			records[r.RequestID] = append(records[r.RequestID], r)
		} else if r.EventName == "DeleteKey" {
			deleted[r.Details.KeyID]++
		}
	}
	for _, o := range w.ops {
		list := records[o.request]
		delete(records, o.request)
		w.compare(o, list)
	}
	for request, list := range records {
		w.fault("the audit log has request %s (%s), which nobody made", request, list[0].EventName)
	}
	for _, k := range w.keys {
		w.settleDeletion(k, deleted[k.id])
	}
}

// compare looks at the records of one call.
func (w *world) compare(o *op, list []*auditRecord) {
	what := o.name + " " + o.request
	// A call that nobody knows of may have two: that it failed, and, if it happened all the same, that.
	if len(list) > 1 && !o.failed || len(list) > 2 {
		w.fault("%s has %d audit records", what, len(list))
		return
	}
	var happened *auditRecord
	for _, r := range list {
		if r.EventName != o.name {
			w.fault("%s is %s in the audit log", what, r.EventName)
		}
		if r.ErrorCode == "" {
			if happened != nil {
				w.fault("%s happened twice, says the audit log", what)
			}
			happened = r
		}
	}
	if o.lost {
		if len(list) > 0 {
			w.fault("%s was not in the audit log, and is there again", what)
		}
		return
	}
	if len(list) == 0 && o.outcome != unknown {
		if o.outcome == done && o.change || o.lasting {
			w.fault("%s was answered, and the audit log does not have it", what)
		}
		w.stats.lost++
		o.lost = true
		return
	}
	switch o.outcome {
	case done:
		if happened == nil {
			w.fault("%s was answered; the audit log says %s", what, list[0].ErrorCode)
		}
	case refused:
		if list[0].ErrorCode != o.code {
			w.fault("%s was refused with %s; the audit log says %q", what, o.code, list[0].ErrorCode)
		}
	case unknown:
		if o.settled || !o.change {
			break
		}
		o.settled = true
		if happened == nil {
			break
		}
		w.stats.happened++
		o.outcome = done
		if o.apply != nil {
			o.apply(happened)
		}
	}
	o.lasting = o.outcome != unknown // it has outlived a start, which syncs what it reads
}

// settleDeletion takes in whether a key whose deletion was due is gone.
func (w *world) settleDeletion(k *key, events int) {
	switch {
	case events > 1:
		w.fault("key %s has %d DeleteKey events", k.id, events)
	case events == 1 && !k.gone:
		if k.deletion.IsZero() || time.Now().Before(k.deletion) {
			w.fault("key %s was deleted, and that was not due", k.id)
		}
		k.gone = true
	case events == 0 && k.gone:
		w.fault("key %s is gone, and has no DeleteKey event", k.id)
	}
	if k.gone {
		k.state = record.PendingDeletion
	}
	k.doubt = false
}
