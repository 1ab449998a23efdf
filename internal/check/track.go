package check

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Tracker remembers findings from run to run: what is open, since when, and what was resolved. Its methods are not safe for concurrent
// use. A run is Begin, Observe for each finding, End.
type Tracker struct {
	open     map[string]*Tracked
	resolved []*Tracked // the newest last
	full     bool       // there were more open findings than are kept

	now     time.Time
	seen    map[string]bool // open findings that this run has seen
	changes []Transition
}

// Tracked is a finding that is open (FAIL, MANUAL or ERROR and not accepted), or was.
type Tracked struct {
	Finding
	Resolved time.Time `json:"resolved,omitzero"`
}

// Transition is a change from one run to the next.
type Transition struct {
	Change  string  `json:"change"` // TransitionNew, TransitionChanged or TransitionResolved
	Finding Tracked `json:"finding"`
}

// What can happen to a finding.
const (
	TransitionNew      = "NEW"
	TransitionChanged  = "CHANGED" // another status, still open
	TransitionResolved = "RESOLVED"
)

// Bounds of a tracker.
const (
	maxOpen     = 100_000
	maxResolved = 1000
)

// NewTracker returns a Tracker that remembers nothing.
func NewTracker() *Tracker { return &Tracker{open: map[string]*Tracked{}} }

// Begin starts a run at a time of the service's.
func (t *Tracker) Begin(now time.Time) {
	t.now, t.seen, t.changes, t.full = now, make(map[string]bool, len(t.open)), nil, false
}

// Observe takes a finding of the run and sets its FirstSeen.
func (t *Tracker) Observe(f *Finding) {
	old := t.open[f.ID]
	f.FirstSeen = f.LastSeen
	if old != nil && old.Status == f.Status {
		f.FirstSeen = old.FirstSeen
	}
	isOpen := f.Accepted == nil && (f.Status == Fail || f.Status == Manual || f.Status == Error)
	switch {
	case !isOpen && old != nil:
		t.resolve(old)
	case !isOpen:
	case old != nil:
		t.seen[f.ID] = true
		changed := old.Status != f.Status
		old.Finding = *f
		if changed {
			t.changes = append(t.changes, Transition{TransitionChanged, *old})
		}
	case len(t.open) >= maxOpen:
		t.full = true
	default:
		n := &Tracked{Finding: *f}
		t.open[f.ID], t.seen[f.ID] = n, true
		t.changes = append(t.changes, Transition{TransitionNew, *n})
	}
}

func (t *Tracker) resolve(f *Tracked) {
	delete(t.open, f.ID)
	f.Resolved = t.now
	t.changes = append(t.changes, Transition{TransitionResolved, *f})
	t.resolved = append(t.resolved, f)
	t.resolved = t.resolved[max(0, len(t.resolved)-maxResolved):]
}

// End ends the run and returns what changed, by finding ID within each kind. scope is what a complete run was about: findings in it that
// the run has not seen are resolved, their keys are gone. A run that could not read everything has none, and what it has not seen stays
// as it was.
func (t *Tracker) End(scope *Run) []Transition {
	for _, id := range slices.Sorted(maps.Keys(t.open)) {
		if f := t.open[id]; !t.seen[id] && scope.covers(&f.Finding) {
			t.resolve(f)
		}
	}
	changes := t.changes
	t.changes, t.seen = nil, nil
	slices.SortStableFunc(changes, func(a, b Transition) int {
		return cmp.Or(cmp.Compare(a.Change, b.Change), cmp.Compare(a.Finding.ID, b.Finding.ID))
	})
	return changes
}

// covers tells whether a run would have seen a finding, were it still there.
func (r *Run) covers(f *Finding) bool {
	return r != nil && slices.Contains(r.Regions, f.Resource.Region) && slices.Contains(r.Checks, f.Check) && (r.Account == "" || r.Account == f.Resource.Account)
}

// Open returns the open findings, the worst first. full: there are more than are kept.
func (t *Tracker) Open() (list []Tracked, full bool) {
	list = make([]Tracked, 0, len(t.open))
	for _, f := range t.open {
		list = append(list, *f)
	}
	rank := func(f *Tracked) int { return slices.Index(Statuses(), f.Status) }
	slices.SortFunc(list, func(a, b Tracked) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(rank(&a), rank(&b)), cmp.Compare(a.Check, b.Check), cmp.Compare(a.ID, b.ID))
	})
	return list, t.full
}

// Resolved returns the findings that were resolved last, the newest first.
func (t *Tracker) Resolved() []Tracked {
	list := make([]Tracked, 0, len(t.resolved))
	for _, f := range slices.Backward(t.resolved) {
		list = append(list, *f)
	}
	return list
}

// restore takes up copies of what a report says was open and resolved.
func (t *Tracker) restore(r *Report) {
	for _, f := range r.Open {
		t.open[f.ID] = &f
	}
	for _, f := range slices.Backward(r.Resolved) {
		t.resolved = append(t.resolved, &f)
	}
	t.full = r.Full
}
