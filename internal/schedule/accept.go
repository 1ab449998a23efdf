package schedule

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// acceptWithin is how far the date that a caller gives may be from the machine's clock.
const acceptWithin = 24 * time.Hour

// acceptClock believes the machine's clock, whatever the mark. The caller says which day it is: a clock that is wrong shall not be accepted by
// a command that somebody found in a manual.
func (r *Runner) acceptClock() *service.Op {
	return service.Def[api.AcceptClockRequest, api.AcceptClockResponse]{
		Name: "AcceptClock", Kind: service.Change,
		Actions: []string{"keyturn:AcceptClock"},
		Resolve: func(tx *service.Tx, _ *api.AcceptClockRequest) ([]service.Target, error) {
			if r.marks.guard == nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "The clock of 'keyturn dev' is believed always.")
			}
			return r.marks.deployment(tx, "keyturn:AcceptClock")
		},
		Audit: func(q *api.AcceptClockRequest, p *audit.Params) { p.Str("date", dateText(q.Date.V)) },
		Result: func(resp *api.AcceptClockResponse, p *audit.Params) {
			p.Str("now", dateText(resp.Now.V))
			p.Str("highWaterMark", dateText(resp.HighWaterMark.V))
		},
		Plan: func(tx *service.Tx, q *api.AcceptClockRequest, _ []service.Target) (*api.AcceptClockResponse, error) {
			guard := r.marks.guard
			s := guard.Check()
			if q.Date.V.Sub(s.Wall).Abs() > acceptWithin {
				return nil, api.Errorf(api.ValidationException, "The clock of the server says %s, which is more than 24 hours from the date given, %s.", dateText(s.Wall), dateText(q.Date.V))
			}
			m, err := service.Lookup[*record.Mark](tx, record.MarkStoreKey)
			if err != nil {
				return nil, err
			}
			if m == nil {
				m = new(record.Mark)
			}
			resp := &api.AcceptClockResponse{Now: api.Some(s.Wall), HighWaterMark: api.Some(s.Mark)}
			m.Time, m.Suspended, m.Restored = s.Wall, time.Time{}, false
			tx.Put(m)
			tx.AfterCommit(func() { guard.Accept(s.Wall) })
			return resp, nil
		},
	}.Op("keyturn")
}

func dateText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
