package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// MonitorConfig is what a Monitor is made of.
type MonitorConfig struct {
	// Scan runs the check once.
	Scan func(ctx context.Context, emit func(*Finding) error) (Run, *Summary, error)
	Now  func(context.Context) time.Time // the service's time
	// After is told of each run, in the goroutine that ran it: what changed, how long it took, and what ended it early. May be nil.
	After func(ctx context.Context, r Report, changes []Transition, took time.Duration, err error)
}

// Monitor runs a check again and again and keeps what came of it. It is safe for concurrent use but for RunOnce, which one goroutine
// calls.
type Monitor struct {
	config MonitorConfig

	mu      sync.Mutex // guards what follows
	tracker *Tracker
	last    *Report
}

// Report is what the last run found.
type Report struct {
	Version  int       `json:"version"`
	Run      Run       `json:"run"`
	Summary  *Summary  `json:"summary"`
	Open     []Tracked `json:"open"`
	Full     bool      `json:"truncated,omitempty"` // there are more open findings than are kept
	Resolved []Tracked `json:"resolved"`            // the newest first
	// Undelivered are changes that somebody wants and has not got yet, see SetUndelivered.
	Undelivered []Transition `json:"undelivered,omitempty"`
}

const (
	reportVersion = 1
	maxStateSize  = 1 << 30 // bytes
)

// NewMonitor returns a Monitor. saved is what Save wrote, nil to begin anew.
func NewMonitor(c MonitorConfig, saved io.Reader) (*Monitor, error) {
	n := &Monitor{config: c, tracker: NewTracker()}
	if saved == nil {
		return n, nil
	}
	var r Report
	if err := json.NewDecoder(io.LimitReader(saved, maxStateSize)).Decode(&r); err != nil {
		return nil, fmt.Errorf("what earlier runs found is not understood: %w", err)
	}
	if r.Version != reportVersion {
		return nil, fmt.Errorf("what earlier runs found has version %d; this keyturn reads version %d", r.Version, reportVersion)
	}
	if r.Summary == nil {
		return nil, errors.New("what earlier runs found is not complete")
	}
	n.tracker.restore(&r)
	n.last = &r
	return n, nil
}

// Save writes the last report, if there is one, for NewMonitor.
func (m *Monitor) Save(w io.Writer) error {
	r := m.Report()
	if r == nil {
		return nil
	}
	return json.NewEncoder(w).Encode(r)
}

// Report returns what the last run found, nil before the first has ended.
func (m *Monitor) Report() *Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// SetUndelivered keeps changes in the report, so that Save has them until they are delivered.
func (m *Monitor) SetUndelivered(changes []Transition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last != nil {
		next := *m.last // readers have the old one
		next.Undelivered = slices.Clone(changes)
		m.last = &next
	}
}

// RunOnce runs the check. A run that ends early, or could not read everything, resolves no finding that it has not seen.
func (m *Monitor) RunOnce(ctx context.Context) {
	begin := time.Now()
	observe := func(f *Finding) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.tracker.Observe(f)
		return nil
	}
	now := m.config.Now(ctx)
	m.mu.Lock()
	m.tracker.Begin(now)
	m.mu.Unlock()
	run, summary, err := m.config.Scan(ctx, observe)
	m.mu.Lock()
	var scope *Run
	if err == nil && len(summary.Errors) == 0 {
		scope = &run
	}
	changes := m.tracker.End(scope)
	r := &Report{Version: reportVersion, Run: run, Summary: summary, Resolved: m.tracker.Resolved()}
	r.Open, r.Full = m.tracker.Open()
	m.last = r
	m.mu.Unlock()
	if m.config.After != nil {
		m.config.After(ctx, *r, changes, time.Since(begin), err)
	}
}

// Loop runs the check after a first wait, and then each time the interval has passed since the last run began; a run that takes longer
// is followed by the next at once. It returns when ctx ends.
func (m *Monitor) Loop(ctx context.Context, first, every time.Duration) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case begin := <-timer.C:
			m.RunOnce(ctx)
			timer.Reset(max(0, every-time.Since(begin)))
		case <-ctx.Done():
			return
		}
	}
}
