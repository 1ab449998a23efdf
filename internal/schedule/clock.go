package schedule

import (
	"context"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	maxEvents = 1000
	// maxOffset bounds how far the clock can be ahead of real time: dates stay within what every client can read.
	maxOffset = 250 * 365 * 24 * time.Hour
)

// Operations returns keyturn's own operations. shifted is the clock of keyturn dev, nil on any other server, whose clock
// cannot be changed.
func (r *Runner) Operations(shifted *clock.Shifted) []*service.Op {
	return []*service.Op{r.getClock(shifted), r.advanceClock(shifted), r.acceptClock()}
}

func (r *Runner) getClock(shifted *clock.Shifted) *service.Op {
	return service.Def[api.GetClockRequest, api.GetClockResponse]{
		Name: "GetClock", Kind: service.Read,
		Actions: []string{"keyturn:GetClock"},
		Plan: func(tx *service.Tx, _ *api.GetClockRequest, _ []service.Target) (*api.GetClockResponse, error) {
			resp := &api.GetClockResponse{Now: api.Some(tx.Now), Adjustable: api.Some(shifted != nil), OffsetSeconds: api.Some(int64(0))}
			if shifted != nil {
				resp.OffsetSeconds = api.Some(int64(shifted.Offset() / time.Second))
			}
			if r.marks.guard != nil {
				s := r.marks.guard.Check()
				resp.Standing, resp.MachineTime, resp.HighWaterMark = api.Some(api.ClockStandingType(s.Standing.String())), api.Some(s.Wall), api.Some(s.Mark)
				if s.Standing.Suspended() {
					resp.SuspendedSince = api.Some(s.Since)
				}
			}
			return resp, nil
		},
	}.Op("keyturn")
}

// advanceClock moves the clock forward. Everything due on the way happens first, in the order of its dates, each dated with
// its own: three years at a 90-day rotation are 12 rotations.
func (r *Runner) advanceClock(shifted *clock.Shifted) *service.Op {
	return service.Def[api.AdvanceClockRequest, api.AdvanceClockResponse]{
		Name: "AdvanceClock", Kind: service.Control,
		Actions: []string{"keyturn:AdvanceClock"},
		Audit:   func(q *api.AdvanceClockRequest, p *audit.Params) { p.Int("seconds", q.Seconds.V) },
		Result:  func(resp *api.AdvanceClockResponse, p *audit.Params) { p.Int("eventCount", resp.EventCount.V) },
		Plan: func(tx *service.Tx, q *api.AdvanceClockRequest, _ []service.Target) (*api.AdvanceClockResponse, error) {
			if shifted == nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "The clock can be advanced only in 'keyturn dev'.")
			}
			// Nothing else runs meanwhile, so the plan runs once and the offset is what the whole time passed adds to.
			by := time.Duration(q.Seconds.V) * time.Second
			if by > maxOffset-shifted.Offset() {
				return nil, api.Errorf(api.ValidationException, "The clock cannot be more than 250 years ahead of real time.")
			}
			target, offset := tx.Now.Add(by), shifted.Offset()+by
			resp := &api.AdvanceClockResponse{Now: api.Some(target), Events: []api.ClockEvent{}}
			count, err := r.runUntil(tx.Context(), shifted, tx.Now, target, func(e api.ClockEvent) {
				if len(resp.Events) < maxEvents {
					resp.Events = append(resp.Events, e)
				}
			})
			if err != nil {
				return nil, err
			}
			resp.EventCount = api.Some(count)
			c, err := service.Lookup[*record.Clock](tx, record.ClockStoreKey)
			if err != nil {
				return nil, err
			}
			if c == nil {
				c = new(record.Clock)
			}
			c.Offset = int64(offset)
			tx.Put(c)
			tx.AfterCommit(func() { shifted.SetOffset(offset) })
			return resp, nil
		},
	}.Op("keyturn")
}

// runUntil runs everything due up to a time, in order. Each event persists the clock's offset with its own commit, so that
// after a crash the clock is not before anything that has happened.
func (r *Runner) runUntil(ctx context.Context, shifted *clock.Shifted, now, until time.Time, report func(api.ClockEvent)) (count int64, err error) {
	for after := ""; ; {
		if err := ctx.Err(); err != nil {
			return count, err
		}
		page, _, err := r.due(ctx, after, until)
		if err != nil {
			return count, err
		}
		if len(page) == 0 {
			return count, nil
		}
		// One at a time: running it may make something due before the next one.
		d := page[0]
		if d.Kind == record.DueConnect { // reaches out in real time: Run's to do
			after = d.IndexKey()
			continue
		}
		at := d.At
		if at.Before(now) {
			at = now // overdue already
		}
		offset := shifted.OffsetAt(at)
		done, err := r.run(ctx, d, at, offset)
		if err != nil && (ctx.Err() != nil || r.p.Healthy() != nil) {
			return count, err
		}
		if err != nil { // one key's trouble must not stop everybody's clock: it stays due, and is tried again
			r.log.Error("due event failed", "event", d.Kind, "key", record.KeyARN(d.Owner, d.KeyID), "error", err)
			after = d.IndexKey()
			continue
		}
		shifted.SetOffset(offset)
		switch {
		case !done.Done: // its entry is still there, and would be met again for ever
			r.log.Error("event is due by its index but not by its record", "event", d.Kind, "key", record.KeyARN(d.Owner, d.KeyID))
			after = d.IndexKey()
		case d.Kind == record.DueRotation:
			count++
			report(api.ClockEvent{Date: api.Some(at), Event: api.Some(api.ClockEventTypeRotateKey), KeyArn: api.Some(done.KeyARN), KeyMaterialId: api.Some(done.MaterialID)})
		case d.Kind == record.DueExpiry:
			count++
			report(api.ClockEvent{Date: api.Some(at), Event: api.Some(api.ClockEventTypeDeleteExpiredKeyMaterial), KeyArn: api.Some(done.KeyARN), KeyMaterialId: api.Some(done.MaterialID)})
		case d.Kind == record.DueDeletion:
			count++
			report(api.ClockEvent{Date: api.Some(at), Event: api.Some(api.ClockEventTypeDeleteKey), KeyArn: api.Some(done.KeyARN)})
		}
	}
}

// LoadOffset returns how far the clock of a development store is ahead of real time.
func LoadOffset(ctx context.Context, st store.Store) (time.Duration, error) {
	entries, err := st.Get(ctx, record.ClockStoreKey)
	if err != nil || entries[0].Rev == 0 {
		return 0, err
	}
	r, err := record.Decode(record.ClockStoreKey, entries[0].Value)
	if err != nil {
		return 0, err
	}
	return time.Duration(r.(*record.Clock).Offset), nil
}
