package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// Bounds of a look at what is due.
const (
	dueLimit = 10_000 // entries; about 50 ms of a processor
	duePage  = 500
	dueKeep  = time.Minute // how long a look is good
)

// windows are how far ahead events are counted.
var windows = []struct {
	name string
	span time.Duration
}{{"1h", time.Hour}, {"1d", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

// dueKinds are the events that are worth a look ahead. The others are the service's own work, due at once.
var dueKinds = []record.DueKind{record.DueRotation, record.DueDeletion, record.DueExpiry}

// Due looks at the beginning of the due index: at its first entry each time it is asked, at what comes after once a minute, and never
// at more than dueLimit entries.
type Due struct {
	Scan func(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error)
	Now  func() time.Time // the service's clock

	mu    sync.Mutex // guards what follows
	taken time.Time
	ahead DueAhead
}

// DueAhead is what is to come.
type DueAhead struct {
	Within map[record.DueKind][]int64   // by the windows' order, each with those before; overdue events count in all
	Next   map[record.DueKind]time.Time // the first of its kind, where it is among those looked at
	// Complete: everything within the longest window was seen. Otherwise the counts are at least that.
	Complete bool
}

// Lag returns how late the earliest event is, 0 if none is.
func (d *Due) Lag(ctx context.Context) (time.Duration, error) {
	entries, err := d.Scan(ctx, record.DuePrefix, "", 1)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	first, err := record.ParseDue(entries[0].Key)
	if err != nil {
		return 0, err
	}
	return max(d.Now().Sub(first.At), 0), nil
}

// Ahead returns what is to come, as it was at most a minute ago.
func (d *Due) Ahead(ctx context.Context) (DueAhead, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.Now()
	if !d.taken.IsZero() && now.Sub(d.taken) < dueKeep {
		return d.ahead, nil
	}
	ahead, err := d.look(ctx, now)
	if err != nil {
		return DueAhead{}, err
	}
	d.taken, d.ahead = now, ahead
	return ahead, nil
}

func (d *Due) look(ctx context.Context, now time.Time) (DueAhead, error) {
	a := DueAhead{Within: make(map[record.DueKind][]int64), Next: make(map[record.DueKind]time.Time)}
	for _, kind := range dueKinds {
		a.Within[kind] = make([]int64, len(windows))
	}
	far := now.Add(windows[len(windows)-1].span)
	seen := 0
	for after := ""; seen < dueLimit; {
		entries, err := d.Scan(ctx, record.DuePrefix, after, duePage)
		if err != nil {
			return a, err
		}
		for _, e := range entries {
			due, err := record.ParseDue(e.Key)
			if err != nil {
				return a, err
			}
			after = e.Key
			counts := a.Within[due.Kind]
			if counts == nil {
				continue
			}
			if _, ok := a.Next[due.Kind]; !ok {
				a.Next[due.Kind] = due.At
			}
			for i, w := range windows {
				if !due.At.After(now.Add(w.span)) {
					counts[i]++
				}
			}
			if due.At.After(far) {
				a.Complete = true
			}
		}
		seen += len(entries)
		if len(entries) < duePage {
			a.Complete = true
			break
		}
		if a.Complete && len(a.Next) == len(dueKinds) {
			break // nothing further on would change anything
		}
	}
	return a, nil
}
