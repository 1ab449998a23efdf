// Package schedule finds what is due (rotations, deletions) in the due index and runs it, as Internal operations of the
// pipeline. What it does costs as much as what is due, never as much as there are keys.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	pageSize = 100
	workers  = 8 // due events run at once; their commits are combined by the engine
	backOff  = time.Minute
)

// Runner runs due events.
type Runner struct {
	p    *service.Pipeline
	jobs map[record.DueKind]*service.Op
	log  *slog.Logger
	tick time.Duration

	mu     sync.Mutex
	failed map[record.Due]time.Time // events that failed, and when to try them again
	beside map[record.Due]bool      // events that run beside the others; guarded by mu

	besides sync.WaitGroup
	runs    map[record.DueKind]*runs // by what is in jobs; never changed

	marks marks
}

// maxBeside bounds the events that run beside the others.
const maxBeside = 64

// New returns a Runner; Run starts it.
func New(p *service.Pipeline, k *kms.KMS, log *slog.Logger) *Runner {
	r := &Runner{
		p: p, log: log, tick: time.Second, failed: make(map[record.Due]time.Time), beside: make(map[record.Due]bool),
		jobs: map[record.DueKind]*service.Op{
			record.DueRotation: k.RotateKey, record.DueDeletion: k.DeleteKey, record.DueSweep: k.SweepKey,
			record.DueExpiry: k.ExpireMaterial, record.DueConnect: k.ConnectKeyStore,
		},
		runs: make(map[record.DueKind]*runs),
	}
	for kind := range r.jobs {
		r.runs[kind] = new(runs)
	}
	return r
}

// Run runs what is due, once a second, until ctx ends. What reaches out to others, and so can take long, runs beside the rest.
func (r *Runner) Run(ctx context.Context) {
	defer r.lastMark()
	defer r.besides.Wait()
	t := time.NewTicker(r.tick)
	defer t.Stop()
	for {
		if err := r.runDue(ctx, true); err != nil && ctx.Err() == nil {
			r.log.Error("running due events", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// RunDue runs everything that is due by the service's clock, dated now: what is overdue happens once. An event that fails is
// logged and tried again after a minute; it holds nothing else up. With a guard it is what is due by the mark, and dated so: while the clock is
// not believed that stands still, so nothing is destroyed, nor does every key rotate at once.
func (r *Runner) RunDue(ctx context.Context) error { return r.runDue(ctx, false) }

func (r *Runner) runDue(ctx context.Context, apart bool) error {
	defer r.p.Shared()()
	var s clock.Status
	if r.marks.guard != nil {
		s = r.check(ctx)
	}
	if err := r.p.Writable(); err != nil {
		return nil // nothing can be done, and readiness says why
	}
	now := r.p.Clock().Now()
	r.forget(now)
	if r.marks.guard == nil {
		return r.runBy(ctx, now, now, apart)
	}
	err := r.runBy(ctx, s.Mark, now, apart)
	if s.Standing.Suspended() {
		return errors.Join(err, r.connectHeld(ctx, s, apart))
	}
	r.marks.walked = ""
	return err
}

// runBy runs everything that is due by a time, dated with it. now is what tells when to try again what failed.
func (r *Runner) runBy(ctx context.Context, by, now time.Time, apart bool) error {
	for after := ""; ; {
		page, next, err := r.due(ctx, after, by)
		if err != nil || len(page) == 0 {
			return err
		}
		after = next
		var wg sync.WaitGroup
		queue := make(chan record.Due)
		for range min(workers, len(page)) {
			wg.Go(func() {
				for d := range queue {
					if !r.retry(d, now) || r.p.Writable() != nil {
						continue
					}
					if apart && d.Kind == record.DueConnect {
						r.runBeside(ctx, d, now)
					} else {
						r.try(ctx, d, by, now)
					}
				}
			})
		}
		for _, d := range page {
			queue <- d
		}
		close(queue)
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// try runs an event, dated at; one that fails is tried again later.
func (r *Runner) try(ctx context.Context, d record.Due, at, now time.Time) {
	if _, err := r.run(ctx, d, at, 0); err != nil {
		r.note(d, now)
		r.log.Error("due event failed", "event", d.Kind, "key", record.KeyARN(d.Owner, d.KeyID), "error", err)
	}
}

// runBeside is try without waiting for it. An event that runs already, or is one too many, is left for a later tick.
func (r *Runner) runBeside(ctx context.Context, d record.Due, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beside[d] || len(r.beside) >= maxBeside {
		return
	}
	r.beside[d] = true
	r.besides.Go(func() { // without Shared: in keyturn dev, turning the clock must not wait for it
		r.try(ctx, d, now, now)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.beside, d)
	})
}

// forget drops events that were due for another try long ago: their keys are due for something else by now, or gone.
func (r *Runner) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.failed, func(_ record.Due, at time.Time) bool { return now.After(at.Add(backOff)) })
}

// retry tells whether an event may be tried now.
func (r *Runner) retry(d record.Due, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.failed[d]; ok && now.Before(at) {
		return false
	}
	delete(r.failed, d)
	return true
}

func (r *Runner) note(d record.Due, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[d] = now.Add(backOff)
}

// due returns the first entries after a store key that are due by a time, and the store key of the last.
func (r *Runner) due(ctx context.Context, after string, by time.Time) (page []record.Due, last string, err error) {
	limit := pageSize
	if after == "" {
		limit = 1 // most often nothing is due: look at one entry
	}
	entries, err := r.p.Store().Scan(ctx, record.DuePrefix, after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, e := range entries {
		d, err := record.ParseDue(e.Key)
		if err != nil {
			return nil, "", err
		}
		if d.At.After(by) {
			break
		}
		page, last = append(page, d), e.Key
	}
	return page, last, nil
}

// run runs one event to its end, dated at; in keyturn dev the clock's offset is persisted with it.
func (r *Runner) run(ctx context.Context, d record.Due, at time.Time, offset time.Duration) (_ *kms.DueResponse, err error) {
	defer func() { r.count(d.Kind, err) }()
	op := r.jobs[d.Kind]
	if op == nil {
		return nil, errors.New("unknown kind of due event")
	}
	for {
		resp, err := r.p.DoInternal(ctx, op, d.Owner, at, offset, &kms.DueRequest{Owner: d.Owner, KeyID: d.KeyID})
		if err != nil {
			return nil, err
		}
		done := resp.(*kms.DueResponse)
		if !done.More {
			return done, nil
		}
	}
}
