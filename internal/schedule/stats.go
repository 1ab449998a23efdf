package schedule

import (
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/record"
)

// runs counts how events of one kind ended.
type runs struct{ done, failed atomic.Uint64 }

// Stats are counts of due events since the start.
type Stats struct {
	Kind         record.DueKind
	Done, Failed uint64 // Failed: an event that fails again counts again
}

// Stats returns the counts of every kind of event, in any order.
func (r *Runner) Stats() []Stats {
	var all []Stats
	for kind, n := range r.runs {
		all = append(all, Stats{Kind: kind, Done: n.done.Load(), Failed: n.failed.Load()})
	}
	return all
}

// count counts an event of a kind that is run here.
func (r *Runner) count(kind record.DueKind, err error) {
	n := r.runs[kind]
	switch {
	case n == nil:
	case err != nil:
		n.failed.Add(1)
	default:
		n.done.Add(1)
	}
}
