package verify

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// pending is an audit record that is on its way to the log.
type pending struct {
	at     string // store key
	order  uint64 // among them
	from   uint64 // the log's next number when it was committed
	logged bool   // the log has it, too: a crash came before it was removed
	change audit.Change
}

// maxPending bounds how many are kept in mind. Changes wait when there are 20,000.
const maxPending = 200_000

// readOutbox reads the audit records that are not in the log yet: what they tell counts as if they were.
func (v *verifier) readOutbox(ctx context.Context) error {
	v.enter(PhaseStore)
	return v.scan(ctx, record.OutboxPrefix, func(e store.Entry) error {
		v.report.Entries++
		if v.Sealed {
			return nil
		}
		value, err := v.Snapshot.Open(e)
		if err != nil {
			v.find(ValueUnreadable, e.Key, "")
			return nil
		}
		// NODE/SEQUENCE-EVENTID; the value begins with the log's next number. Package service writes them.
		parts := strings.Split(strings.TrimPrefix(e.Key, record.OutboxPrefix), "/")
		if len(parts) != 2 || len(value) < 8 {
			v.find(OutboxMalformed, e.Key, "")
			return nil
		}
		_, eventID, _ := strings.Cut(parts[1], "-")
		change, err := audit.ParseChange(value[8:])
		id := v.hash.short(change.EventID)
		switch {
		case err != nil || change.EventID != eventID:
			v.find(OutboxMalformed, e.Key, "")
		case v.outbox[id] != nil:
			v.find(EventTwice, e.Key, "")
		case len(v.outbox) >= maxPending:
			v.find(OutboxMalformed, e.Key, "there are more than %d", maxPending)
		default:
			v.outbox[id] = &pending{at: e.Key, order: uint64(len(v.outbox)), from: binary.BigEndian.Uint64(value), change: change}
		}
		return nil
	})
}
