package check

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Changer mends keys. An error that the service answered has an ErrorCode.
type Changer interface {
	// EnableRotation switches automatic rotation on, or gives it another period.
	EnableRotation(ctx context.Context, region, keyARN string, days int) error
}

// fixable are the checks whose failures Plan mends.
var fixable = []string{"rotation-enabled", "rotation-period"}

// FixableChecks returns the checks whose failures can be mended.
func FixableChecks() []*Check {
	list := make([]*Check, len(fixable))
	for i, id := range fixable {
		list[i] = ByID(id)
	}
	return list
}

// Plan collects the changes that mend what failed. Nothing is ever deleted, disabled or cancelled by one.
type Plan struct {
	Days    int      // the rotation period to set
	CLI     []string // arguments that every command has after "aws": --profile, --endpoint-url
	Changes []Change

	planned map[string]bool // by the ARN to be changed: related keys share their rotation
}

// Add plans the change that mends a finding, if it can be mended and is not planned yet.
func (p *Plan) Add(f *Finding) {
	if !f.Failed() || !slices.Contains(fixable, f.Check) {
		return
	}
	c := Change{
		KeyARN: f.Resource.ARN, Region: f.Resource.Region, Finding: f.ID, Call: "EnableKeyRotation", Days: p.Days, Before: "rotation off",
	}
	if primary := f.Resource.Primary; primary != "" { // of related keys only this one can be changed
		c.KeyARN, c.Region = primary, regionOf(primary)
	}
	if p.planned[c.KeyARN] {
		return
	}
	if p.planned == nil {
		p.planned = map[string]bool{}
	}
	p.planned[c.KeyARN] = true
	c.Command = p.command(c, "enable-key-rotation", "--rotation-period-in-days", strconv.Itoa(p.Days))
	c.Undo = p.command(c, "disable-key-rotation")
	if t := f.Resource.Rotation; t != nil && t.Enabled {
		days := t.Days
		if days == 0 {
			days = 365
		}
		c.Before = fmt.Sprintf("rotation every %d days", days)
		c.Undo = p.command(c, "enable-key-rotation", "--rotation-period-in-days", strconv.Itoa(days))
	}
	p.Changes = append(p.Changes, c)
}

func (p *Plan) command(c Change, name string, args ...string) []string {
	list := append([]string{"aws", "kms", name, "--key-id", c.KeyARN}, args...)
	return append(append(list, "--region", c.Region), p.CLI...)
}

const notTried = "not tried"

// Apply makes the changes, several at once, and notes in each what became of it. It goes on after a change that fails; when ctx ends,
// the rest is not tried. progress may be nil.
func (p *Plan) Apply(ctx context.Context, ch Changer, l *Limiter, progress func(done int)) {
	for i := range p.Changes {
		p.Changes[i].Error = notTried
	}
	var (
		workers sync.WaitGroup
		mu      sync.Mutex // guards done and calls of progress
		done    int
	)
	next := make(chan *Change)
	for range min(l.max, len(p.Changes)) {
		workers.Go(func() {
			for c := range next {
				c.apply(ctx, ch, l)
				if progress != nil {
					mu.Lock()
					done++
					progress(done)
					mu.Unlock()
				}
			}
		})
	}
	for i := range p.Changes {
		if ctx.Err() != nil {
			break
		}
		next <- &p.Changes[i]
	}
	close(next)
	workers.Wait()
}

func (c *Change) apply(ctx context.Context, ch Changer, l *Limiter) {
	tried := false
	_, err := do(ctx, l, func() (struct{}, error) {
		tried = true
		return struct{}{}, ch.EnableRotation(ctx, c.Region, c.KeyARN, c.Days)
	})
	switch {
	case err == nil:
		c.Done, c.Error = true, ""
	case tried && ctx.Err() != nil:
		c.Error = "interrupted; it may have been done all the same"
	case tried:
		c.Error = err.Error()
	}
}
