package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Trace is told how a call goes through the pipeline. One goroutine uses it.
type Trace interface {
	// Step is called when a step begins, by a name of the pipeline's own; what it returns is called when the step ends.
	Step(name string) (end func())
}

// The steps that a Trace is told of, in their order. After a conflict all but the first come again.
const (
	StepAuthenticate = "authenticate" // by whoever calls Do
	StepResolve      = "resolve"
	StepAuthorize    = "authorize"
	StepPlan         = "plan"
	StepCommit       = "commit" // with the audit record
	StepAudit        = "audit"  // of a call that changed nothing
)

// Step tells the call's Trace, if it has one, that a step begins.
func (c *Call) Step(name string) (end func()) { return Step(c.Trace, name) }

// Step tells a Trace, nil for none, that a step begins.
func Step(t Trace, name string) (end func()) {
	if t == nil {
		return noStep
	}
	return t.Step(name)
}

func noStep() {}

// CacheStats are counts of the record cache since the start, and what is in it.
type CacheStats struct {
	Hits, Misses, Evictions uint64
	Entries                 int
	Weight, MaxWeight       uint64 // bytes, roughly
}

// CacheStats returns what the cache of records did.
func (p *Pipeline) CacheStats() CacheStats {
	p.cache.entries.CleanUp() // what is in it is weighed in the background
	s := p.cache.entries.Stats()
	return CacheStats{
		Hits: s.Hits, Misses: s.Misses, Evictions: s.Evictions,
		Entries: p.cache.entries.EstimatedSize(), Weight: p.cache.entries.WeightedSize(), MaxWeight: cacheWeight,
	}
}

// OutboxStats are the audit records of changes that are not in the log yet.
type OutboxStats struct {
	Waiting int64         // roughly
	Age     time.Duration // of the oldest, by the service's clock; 0 if none waits
}

// OutboxStats looks at the oldest entry, no further.
func (p *Pipeline) OutboxStats(ctx context.Context) (OutboxStats, error) {
	s := OutboxStats{Waiting: max(p.outbox.pending.Load(), 0)}
	entries, err := p.store.Scan(ctx, p.outbox.prefix, "", 1)
	if err != nil || len(entries) == 0 {
		return OutboxStats{}, err
	}
	s.Waiting = max(s.Waiting, 1)
	var event struct {
		Time time.Time `json:"eventTime"`
	}
	if len(entries[0].Value) < 8 {
		return s, fmt.Errorf("service: outbox entry %s is cut short", strings.TrimPrefix(entries[0].Key, p.outbox.prefix))
	}
	if err := json.Unmarshal(entries[0].Value[8:], &event, jsontext.AllowDuplicateNames(true)); err != nil {
		return s, fmt.Errorf("service: outbox entry without a time: %w", err)
	}
	// The time of an event has whole seconds.
	s.Age = max(p.clock.Now().Truncate(time.Second).Sub(event.Time), 0)
	return s, nil
}
