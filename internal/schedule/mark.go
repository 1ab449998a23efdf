package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	markEvery = time.Minute // at most so often the mark is written, and only if something was committed since
	markIdle  = time.Hour   // so often otherwise: a server that nobody uses was not off
	// heldWalk is how far back held events are looked through for what does not wait.
	heldWalk = 10 * time.Minute
	// toldEvery is how often the log says again that the clock is not believed.
	toldEvery = time.Hour
)

// OpenGuard returns the clock of a server, with the high-water mark of time that its store has. A store without one, new or older than
// marks, believes the first time that it is told.
func OpenGuard(ctx context.Context, st store.Store, real func() time.Time, elapsed func() time.Duration, limits clock.Limits) (*clock.Guard, error) {
	m, _, err := LoadMark(ctx, st)
	if err != nil {
		return nil, err
	}
	g := clock.NewGuard(real, elapsed, limits, m.Time, m.Suspended)
	if m.Restored {
		g.Hold(m.Suspended)
	}
	return g, nil
}

// LoadMark returns the mark that a server's store has, and its revision: 0, and the zero Mark, if there is none.
func LoadMark(ctx context.Context, st store.Store) (record.Mark, store.Rev, error) {
	entries, err := st.Get(ctx, record.MarkStoreKey)
	if err != nil || entries[0].Rev == 0 {
		return record.Mark{}, 0, err
	}
	r, err := record.Decode(record.MarkStoreKey, entries[0].Value)
	if err != nil {
		return record.Mark{}, 0, err
	}
	return *r.(*record.Mark), entries[0].Rev, nil
}

// marks keeps the high-water mark in the store. Only the goroutine of Run uses what is below deployment.
type marks struct {
	guard      *clock.Guard
	deployment Deployment
	stored     *record.Mark // as last read or written; nil: not looked at yet
	commits    uint64       // of the pipeline, when stored was written
	failed     time.Time    // when writing failed last
	told       clock.Standing
	toldAt     time.Time
	walked     string // while the clock is ahead: up to this store key all due events are held, and none of them needs to be looked at again
}

// Deployment returns the target of an operation on the deployment as a whole, to those who may manage it.
type Deployment func(tx *service.Tx, action string) ([]service.Target, error)

// Guard makes the runner hold back what the guard's clock makes due while it is not believed, and keep the mark. Call it before Run.
func (r *Runner) Guard(g *clock.Guard, deployment Deployment) {
	r.marks.guard, r.marks.deployment = g, deployment
}

// Clock says how the service's clock stands. Without a guard the clock is believed always.
func (r *Runner) Clock() clock.Status {
	if r.marks.guard == nil {
		now := r.p.Clock().Now()
		return clock.Status{Wall: now, Mark: now}
	}
	return r.marks.guard.Check()
}

// check judges the clock, tells what there is to tell, and writes the mark if it is time to.
func (r *Runner) check(ctx context.Context) clock.Status {
	m, s := &r.marks, r.marks.guard.Check()
	r.tell(s)
	if r.p.Writable() != nil || time.Since(m.failed) < markEvery {
		return s
	}
	if err := r.keepMark(ctx, s, markEvery); err != nil && ctx.Err() == nil {
		m.failed = time.Now()
		r.log.Error("cannot write the high-water mark of time; it is tried again", "error", err)
	}
	return s
}

// keepMark writes the mark if the stored one is older than every and the store has changed since, or if it is to say something else.
func (r *Runner) keepMark(ctx context.Context, s clock.Status, every time.Duration) error {
	m, commits := &r.marks, r.p.Commits()
	held := s.Standing == clock.Held
	if m.stored != nil && m.stored.Suspended.Equal(s.Since) && m.stored.Restored == held {
		moved := s.Mark.Sub(m.stored.Time).Abs()
		if moved < every || commits == m.commits && moved < markIdle {
			return nil
		}
	}
	old, rev, err := LoadMark(ctx, r.p.Store())
	if err != nil {
		return err
	}
	if m.stored == nil && rev != 0 || m.stored != nil && m.stored.By != old.By {
		m.stored = &old // it was read a while ago, or somebody has accepted the clock: what is to be written is decided anew
		return nil
	}
	next := record.Mark{Time: s.Mark, Suspended: s.Since, Restored: held, Line: max(r.p.DurableLine(), old.Line)}
	next.By.Version = old.By.Version + 1
	value, err := record.Encode(&next)
	if err != nil {
		return err
	}
	_, err = r.p.Store().Commit(ctx, store.Batch{
		Checks: []store.Check{{Key: record.MarkStoreKey, Rev: rev}}, Writes: []store.Write{{Key: record.MarkStoreKey, Value: value}},
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err == nil {
		m.stored, m.commits = &next, commits
	}
	return err
}

// lastMark writes the mark at the end, so that the next run knows all that was dated in this one.
func (r *Runner) lastMark() {
	if r.marks.guard == nil || r.p.Writable() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.keepMark(ctx, r.marks.guard.Check(), time.Millisecond); err != nil {
		r.log.Error("cannot write the high-water mark of time", "error", err)
	}
}

// tell writes to the log what the operator has to know: at once, and every hour.
func (r *Runner) tell(s clock.Status) {
	m := &r.marks
	if s.Standing == m.told && (s.Standing == clock.Trusted || time.Since(m.toldAt) < toldEvery) {
		return
	}
	m.told, m.toldAt = s.Standing, time.Now()
	switch s.Standing {
	case clock.Ahead:
		r.log.Error("the clock has jumped forwards: deletion of keys, expiry of key material and rotations are suspended",
			"clock", s.Wall, "highWaterMark", s.Mark, "since", s.Since,
			"hint", "if the server was off for so long: keyturn clock accept DATE; if not, set the clock, and they go on by themselves")
	case clock.Held:
		r.log.Error("the store was restored from a backup: deletion of keys, expiry of key material and rotations are suspended until somebody has looked at it",
			"restored", s.Since, "highWaterMark", s.Mark,
			"hint", "cancel the deletions that were cancelled after the backup was made, then: keyturn clock accept DATE")
	case clock.Behind:
		r.log.Warn("the clock is before a time that it told already: nothing becomes due until it has caught up",
			"clock", s.Wall, "highWaterMark", s.Mark, "hint", "set the clock; if it is right: keyturn clock accept DATE")
	default:
		r.log.Info("the clock is believed again", "clock", s.Wall)
	}
}

// connectHeld runs, of the events that wait for the clock to be believed, those that neither destroy nor date anything: connections to
// custom key stores. What is held is walked past once, and only its last minutes again: there may be as much as there are keys.
func (r *Runner) connectHeld(ctx context.Context, s clock.Status, apart bool) error {
	m := &r.marks
	m.walked = max(m.walked, record.Due{At: s.Mark}.IndexKey())
	for after := m.walked; ; {
		page, next, err := r.due(ctx, after, s.Wall)
		if err != nil || len(page) == 0 {
			m.walked = max(m.walked, record.Due{At: s.Wall.Add(-heldWalk)}.IndexKey())
			return err
		}
		after = next
		for _, d := range page {
			switch {
			case d.Kind != record.DueConnect || !r.retry(d, s.Wall):
			case apart:
				r.runBeside(ctx, d, s.Wall)
			default:
				r.try(ctx, d, s.Wall, s.Wall)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
