package check

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Changer mends keys. An error that the service answered has an ErrorCode.
type Changer interface {
	// EnableRotation switches automatic rotation on, or gives it another period.
	EnableRotation(ctx context.Context, region, keyARN string, days int) error
}

// fixable are the checks whose failures Plan mends.
var fixable = []string{"rotation-enabled", "rotation-period"}

// Fixable returns those checks whose failures can be mended.
func Fixable(checks []*Check) []*Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c *Check) bool { return !slices.Contains(fixable, c.ID) })
}

// Plan collects the changes that mend what failed. Nothing is ever deleted, disabled or cancelled by one.
type Plan struct {
	Days    int      // the rotation period to set
	Regions []string // where keys may be changed; of related keys only the primary can be
	CLI     []string // arguments that every command has after "aws": --profile, --endpoint-url
	Changes []Change
	// Elsewhere are the ARNs of primaries that would have to be changed in a region that is not among Regions.
	Elsewhere []string

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
	if p.planned[c.KeyARN] || !wellFormed(c.KeyARN, f.Resource.Account, c.Region) {
		return
	}
	if p.planned == nil {
		p.planned = map[string]bool{}
	}
	p.planned[c.KeyARN] = true
	if !slices.Contains(p.Regions, c.Region) {
		p.Elsewhere = append(p.Elsewhere, c.KeyARN)
		return
	}
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

// wellFormed tells whether an ARN is that of a key of an account and region. What an endpoint says ends up in a command line.
func wellFormed(arn, account, region string) bool {
	id, ok := strings.CutPrefix(part(arn, 5), "key/")
	if !ok || part(arn, 0) != "arn" || part(arn, 2) != "kms" || part(arn, 3) != region || part(arn, 4) != account || id == "" {
		return false
	}
	return strings.IndexFunc(arn, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(":/-_", r)
	}) < 0
}

func (p *Plan) command(c Change, name string, args ...string) []string {
	list := append([]string{"aws", "kms", name, "--key-id", c.KeyARN}, args...)
	return append(append(list, "--region", c.Region), p.CLI...)
}

const notTried = "not tried"

// Apply makes the changes, several at once, and notes in each what became of it. It goes on after a change that fails; when ctx ends,
// those under way are made and the rest is not tried. progress may be nil.
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

// applyTimeout bounds a change that was begun, so that an interruption does not have to guess what became of it.
const applyTimeout = 30 * time.Second

func (c *Change) apply(ctx context.Context, ch Changer, l *Limiter) {
	tried := false
	_, err := do(ctx, l, func() (struct{}, error) {
		tried = true
		whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
		defer cancel()
		return struct{}{}, ch.EnableRotation(whole, c.Region, c.KeyARN, c.Days)
	})
	switch {
	case err == nil:
		c.Done, c.Error = true, ""
	case tried && ErrorCode(err) == "":
		c.Error = fmt.Sprintf("it may have been done all the same: %v", err)
	case tried:
		c.Error = err.Error()
	}
}
