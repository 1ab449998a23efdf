package operator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// Destruction says how long copies of destroyed secrets may be left.
type Destruction struct {
	// ScrubWithin is how long a copy that opens may stand in the data directory after its secret was destroyed. The scrub that overwrites it
	// begins when half of that is over at the latest.
	ScrubWithin time.Duration
	// RotateKeyringWithin is how long the version of the keyring may be there that sealed a destroyed secret: what is left of the secret in
	// blocks of the disk that nothing overwrites opens until then, to whoever has data directory and seal. The keyring rotates so much
	// earlier that its old version can be destroyed in time.
	RotateKeyringWithin time.Duration
}

// Bounds and defaults of Destruction.
const (
	DefaultScrubWithin = 24 * time.Hour
	MinScrubWithin     = time.Hour
	MaxScrubWithin     = 30 * 24 * time.Hour

	DefaultRotateKeyringWithin = seal.KeyringPeriod + keyringLead
	// MinRotateKeyringWithin keeps the versions of a keyring few.
	MinRotateKeyringWithin = 10 * 24 * time.Hour
	// keyringLead is what a version lives after it was succeeded: until no token needs it any more, with a day for what else there is to do.
	keyringLead = seal.TokenLife + 24*time.Hour
)

const (
	// storeEvery is how often MaintainStore looks what is due.
	storeEvery = time.Minute
	// scrubRetry is how long after one that failed the next scrub begins by itself.
	scrubRetry = 15 * time.Minute
	// scrubRest is how long a scrub rests after each step, in multiples of what that took, one that was asked for askedRest; at most
	// maxScrubRest.
	scrubRest, askedRest = 9, 1
	maxScrubRest         = time.Second
)

// scrubs is what is known of scrubs beside the store's record. mu guards it.
type scrubs struct {
	mu        sync.Mutex
	completed int64 // number of the last one
	requested bool
	promised  int64 // number of the last one that was asked for
	running   bool
	failed    bool // the last one
	failedAt  time.Time
	done      int64
	total     int64
	wake      chan struct{} // tells MaintainStore of a request
}

// request asks for a scrub that begins after now, and returns its number.
func (s *scrubs) request() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requested, s.failed, s.promised = true, false, s.completed+1
	if s.running { // that one began before
		s.promised++
	}
	s.rouse()
	return s.promised
}

// rouse has MaintainStore look what is due. mu is held.
func (s *scrubs) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// asked tells whether one is to begin because somebody wants it: one that was asked for, or where the one that ran when it was asked for has failed
// and so has no number, another, so that the promised number comes. mu is held.
func (s *scrubs) asked() bool { return s.requested || s.promised > s.completed }

// debt is what the store says of destroyed secrets and scrubs.
type debt struct {
	destroyed store.Rev // of the note that a secret was destroyed, 0: none ever was
	at        time.Time // when that was
	keyring   store.Rev
	last      record.Scrubbed // zero if there was none
}

func (o *Operator) debt(ctx context.Context) (d debt, err error) {
	// The keyring first: one that changes meanwhile is one more reason for a scrub.
	d.keyring = o.config.Seal.KeyringRevision()
	entries, err := o.config.Seal.Get(ctx, record.DestroyedStoreKey, record.ScrubbedStoreKey)
	if err != nil {
		return d, err
	}
	for _, e := range entries {
		if e.Rev == 0 {
			continue
		}
		r, err := record.Decode(e.Key, e.Value)
		if err != nil {
			return d, err
		}
		switch r := r.(type) {
		case *record.Destroyed:
			d.destroyed, d.at = e.Rev, r.At
		case *record.Scrubbed:
			d.last = *r
		}
	}
	return d, nil
}

// owed tells whether there may be copies that no scrub has overwritten, of secrets or of former keyrings.
func (d debt) owed() bool {
	return uint64(d.destroyed) != d.last.Destroyed || uint64(d.keyring) != d.last.Keyring
}

// due is when the next scrub is, if one is owed. As one begins half a period after the last began, every copy is overwritten within a period
// of its coming to be, if a scrub takes less than the other half.
func (d debt) due(now time.Time, within time.Duration) time.Time {
	if d.last.Number == 0 || now.Before(d.last.Started) { // never, or by a clock that was wrong
		return now
	}
	return d.last.Started.Add(within / 2)
}

// keyringDue is when the keyring rotates because of destroyed secrets; zero if there is nothing that its current version sealed, or if its
// yearly rotation is early enough.
func (d debt) keyringDue(current time.Time, within time.Duration) time.Time {
	if d.destroyed == 0 || d.at.Before(current) || within >= DefaultRotateKeyringWithin {
		return time.Time{}
	}
	return current.Add(within - keyringLead)
}

// MaintainStore overwrites copies of what was destroyed, and rotates the keyring because of them, as Destruction says, until ctx ends.
func (o *Operator) MaintainStore(ctx context.Context, p *service.Pipeline) {
	if !o.config.Seal.Scrubs() {
		return
	}
	ticker := time.NewTicker(storeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-o.scrubs.wake:
		}
		if err := o.tend(ctx, p); err != nil && ctx.Err() == nil {
			o.config.Log.Error("copies of destroyed secrets are not overwritten; this is tried again", "error", err)
		}
	}
}

// tend does what is due now.
func (o *Operator) tend(ctx context.Context, p *service.Pipeline) error {
	d, err := o.debt(ctx)
	if err != nil {
		return err
	}
	now := o.config.RealTime()
	var rotating error // one thing that fails does not hold up the other
	if at := d.keyringDue(o.config.Seal.Status().Created, o.config.Destruction.RotateKeyringWithin); !at.IsZero() && !o.sure().Before(at) {
		_, rotating = p.DoInternal(context.WithoutCancel(ctx), o.rotated, o.config.Owner, p.Clock().Now(), 0, &struct{}{})
	}
	due := d.owed() && !now.Before(d.due(now, o.config.Destruction.ScrubWithin))
	s := &o.scrubs
	s.mu.Lock()
	s.completed = d.last.Number
	asked := s.asked()
	since := now.Sub(s.failedAt)
	if !asked && (!due || (s.failed && since >= 0 && since < scrubRetry)) {
		s.mu.Unlock()
		return rotating
	}
	s.requested, s.running, s.failed, s.done, s.total = false, true, false, 0, 0
	s.mu.Unlock()
	err = o.scrub(ctx, p, d, asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	if err != nil {
		s.failed, s.failedAt = true, now
		if !s.requested {
			s.promised = 0 // whoever asked is told that it failed
		}
		return errors.Join(rotating, err)
	}
	s.completed++
	if s.asked() {
		s.rouse()
	}
	return rotating
}

// scrub does it, and writes down that it is done and what it came after.
func (o *Operator) scrub(ctx context.Context, p *service.Pipeline, d debt, asked bool) error {
	factor := time.Duration(scrubRest)
	if asked {
		factor = askedRest
	}
	start := o.config.RealTime()
	did, err := o.config.Seal.Scrub(ctx, store.ScrubOptions{
		Rest: func(ctx context.Context, took time.Duration) error {
			t := time.NewTimer(min(took*factor, maxScrubRest))
			defer t.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
				return nil
			}
		},
		Progress: func(done, total int64) {
			o.scrubs.mu.Lock()
			o.scrubs.done, o.scrubs.total = done, total
			o.scrubs.mu.Unlock()
		},
	})
	if err != nil {
		return err
	}
	_, err = p.DoInternal(context.WithoutCancel(ctx), o.scrubbed, o.config.Owner, p.Clock().Now(), 0, &record.Scrubbed{
		Started: start.UTC(), Finished: o.config.RealTime().UTC(), Destroyed: uint64(d.destroyed), Keyring: uint64(d.keyring),
		File: did.File, Free: did.Free, Overwritten: did.Overwritten,
	})
	return err
}

// recordScrub is the Internal operation that ends a scrub.
func (o *Operator) recordScrub() *service.Op {
	return service.Def[record.Scrubbed, struct{}]{
		Name: "DestroyMaterialCopies", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *record.Scrubbed, _ []service.Target) (*struct{}, error) {
			last, err := service.Lookup[*record.Scrubbed](tx, record.ScrubbedStoreKey)
			if err != nil {
				return nil, err
			}
			next := *q
			next.Number = 1
			if last != nil {
				next.Number, next.By = last.Number+1, last.By
			}
			tx.Put(&next)
			e := service.OwnEvent(tx, "DestroyMaterialCopies", o.config.Owner)
			e.ServiceEventDetails.Int("number", next.Number)
			e.ServiceEventDetails.Str("startDate", next.Started.Format(time.RFC3339))
			e.ServiceEventDetails.Int("fileBytes", next.File)
			e.ServiceEventDetails.Int("freeBytes", next.Free)
			e.ServiceEventDetails.Int("overwrittenBytes", next.Overwritten)
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

// orDefault fills in what is zero.
func (d Destruction) orDefault() Destruction {
	if d.ScrubWithin == 0 {
		d.ScrubWithin = DefaultScrubWithin
	}
	if d.RotateKeyringWithin == 0 {
		d.RotateKeyringWithin = DefaultRotateKeyringWithin
	}
	return d
}
