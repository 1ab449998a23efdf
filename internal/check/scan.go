package check

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Scan checks the keys of one account.
type Scan struct {
	Source   Source        // In makes it one of each region
	Account  AccountSource // nil without Settings.WithIAM
	Regions  []string
	Settings Settings
	Checks   []*Check                        // nil: those that Settings ask for
	Now      func(context.Context) time.Time // the service's time
	Limiter  *Limiter                        // nil: a new one
	Baseline *Baseline                       // nil: nothing is accepted
	Progress func(done int)                  // called after each key, from one goroutine; may be nil
}

const (
	maxErrors = 100     // that a summary lists
	maxPages  = 100_000 // of a list of keys
)

// Run reads every key of the regions and gives emit each finding, in the order of regions, keys and checks, whatever was read first.
// What could not be read is in the findings and the summary; the error is emit's own, or the end of ctx, and even then there is a
// summary of what was found until then.
func (s *Scan) Run(ctx context.Context, emit func(*Finding) error) (*Summary, error) {
	if s.Limiter == nil {
		s.Limiter = NewLimiter(0)
	}
	r := &run{Scan: s, checks: s.Checks, emit: emit, summary: newSummary()}
	if r.checks == nil {
		var err error
		if r.checks, err = s.Settings.Selected(); err != nil {
			return r.summary, err
		}
	}
	if slices.ContainsFunc(r.checks, func(c *Check) bool { return c.ID == "cost" }) {
		r.summary.Prices.Date = PriceTable().Date
	}
	r.counts = make([]CheckCount, len(r.checks))
	for i, c := range r.checks {
		r.counts[i] = CheckCount{Check: c.ID, Severity: c.Severity, Counts: map[Status]int{}}
	}
	var err error
	r.loadIAM(ctx)
	for _, region := range s.Regions {
		if err = r.region(ctx, region); err != nil {
			break
		}
	}
	r.summary.Checks = r.counts
	r.summary.Finished = s.Now(context.WithoutCancel(ctx))
	if s.Baseline != nil {
		r.summary.Expired = s.Baseline.Expired(r.summary.Finished)
	}
	return r.summary, err
}

func newSummary() *Summary {
	counts := make(map[Status]int)
	for _, s := range Statuses() {
		counts[s] = 0
	}
	return &Summary{Counts: counts, Errors: []RunError{}, Changes: []Change{}}
}

// run is a Scan under way. Only the goroutine of Run touches counts and summary.
type run struct {
	*Scan
	checks  []*Check
	counts  []CheckCount
	emit    func(*Finding) error
	summary *Summary
	iam     *IAMAccount
	iamErr  error
}

func (r *run) loadIAM(ctx context.Context) {
	if r.Account == nil || !r.wants(IAMPolicies) {
		return
	}
	r.iam, r.iamErr = r.Account.IAM(ctx)
	if r.iamErr != nil {
		r.fault("", "GetAccountAuthorizationDetails", r.iamErr)
	}
}

func (r *run) wants(call Call) bool {
	return slices.ContainsFunc(r.checks, func(c *Check) bool { return slices.Contains(c.Needs, call) })
}

// fault notes that something could not be read that belongs to no key.
func (r *run) fault(region, call string, err error) {
	if len(r.summary.Errors) < maxErrors {
		r.summary.Errors = append(r.summary.Errors, RunError{Region: region, Call: call, Code: ErrorCode(err), Detail: err.Error()})
	}
}

// job is a key on its way: judged closes when findings are there.
type job struct {
	ref      KeyRef
	findings []*Finding
	gone     bool // it was listed, and then not there
	judged   chan struct{}
}

// region checks the keys of one region. Keys are read side by side, judged findings wait for those of the keys before them: never more
// than a window of keys is in memory.
func (r *run) region(ctx context.Context, region string) error {
	src, err := r.Source.In(region)
	if err != nil {
		r.fault(region, "", err)
		return ctx.Err()
	}
	place := &place{run: r, region: region, src: limited{src, r.Limiter}, now: r.Now(ctx)}
	if r.Account != nil && r.wants(RotationEvents) {
		if place.events, place.eventsErr = r.Account.RotationEvents(ctx, region); place.eventsErr != nil {
			r.fault(region, "LookupEvents", place.eventsErr)
		}
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan *job, 4*r.Limiter.max)
	queue := make(chan *job)
	listed := make(chan error, 1)
	workers.Go(func() {
		defer close(jobs)
		defer close(queue)
		listed <- place.list(ctx, jobs, queue)
	})
	for range r.Limiter.max {
		workers.Go(func() {
			for j := range queue {
				j.findings, j.gone = place.judge(ctx, j.ref)
				close(j.judged)
			}
		})
	}
	for j := range jobs {
		select {
		case <-j.judged:
		case <-ctx.Done():
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err() // what was judged since is full of errors that say only this
		}
		r.summary.Keys++
		if j.gone {
			r.summary.Gone++
		}
		for _, f := range j.findings {
			if err := r.deliver(f); err != nil {
				return err
			}
		}
		if r.Progress != nil {
			r.Progress(r.summary.Keys)
		}
	}
	if err := <-listed; err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.fault(region, "ListKeys", err)
	}
	return nil
}

// list sends every key to both channels.
func (p *place) list(ctx context.Context, jobs, queue chan<- *job) error {
	seen := map[string]bool{}
	for marker := ""; len(seen) < maxPages; {
		page, err := p.src.Keys(ctx, marker)
		if err != nil {
			return err
		}
		for _, ref := range page.Keys {
			j := &job{ref: ref, judged: make(chan struct{})}
			for _, to := range []chan<- *job{jobs, queue} {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if page.Next == "" {
			return nil
		}
		if seen[page.Next] {
			return fmt.Errorf("ListKeys goes in circles: the same marker came twice")
		}
		seen[page.Next] = true
		marker = page.Next
	}
	return fmt.Errorf("ListKeys has more than %d pages", maxPages)
}

// deliver counts a finding and hands it on.
func (r *run) deliver(f *Finding) error {
	if r.Baseline != nil && f.Status == Fail {
		f.Accepted = r.Baseline.Accepts(f)
	}
	i := slices.IndexFunc(r.checks, func(c *Check) bool { return c.ID == f.Check })
	r.counts[i].Counts[f.Status]++
	r.summary.Counts[f.Status]++
	if f.Accepted != nil {
		r.counts[i].Accepted++
		r.summary.Accepted++
	}
	if f.Price != nil {
		r.summary.Prices.MonthlyCents += f.Price.MonthlyCents
		r.summary.Prices.RotationAddsCents += f.Price.RotationAddsCents
	}
	return r.emit(f)
}

// Selected returns the checks that the settings ask for.
func (s *Settings) Selected() ([]*Check, error) {
	for _, id := range s.Checks {
		if ByID(id) == nil {
			return nil, fmt.Errorf("there is no check %q", id)
		}
	}
	var list []*Check
	for _, c := range All() {
		beyond := slices.Contains(c.Needs, IAMPolicies) || slices.Contains(c.Needs, RotationEvents)
		named := slices.Contains(s.Checks, c.ID)
		switch {
		case len(s.Checks) > 0 && !named, beyond && !s.WithIAM && !named:
		case beyond && !s.WithIAM:
			return nil, fmt.Errorf("check %q reads IAM or CloudTrail too, which has to be asked for", c.ID)
		default:
			list = append(list, c)
		}
	}
	return list, nil
}

// Worst returns the highest severity among failures that count, 0 if there are none.
func (s *Summary) Worst() Severity {
	var worst Severity
	for _, c := range s.Checks {
		if c.Counts[Fail] > c.Accepted {
			worst = max(worst, c.Severity)
		}
	}
	return worst
}

// Unread tells whether anything could not be read or done.
func (s *Summary) Unread() bool {
	undone := func(c Change) bool { return !c.Done }
	return s.Counts[Error] > 0 || len(s.Errors) > 0 || slices.ContainsFunc(s.Changes, undone)
}
