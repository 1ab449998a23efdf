package store

import (
	"errors"
	"sync/atomic"
	"time"
)

// Statser is an engine that tells what it did. It is no part of Store: what uses a store must not depend on it.
type Statser interface {
	// Stats must be cheap: it reads no data. The error is about Bytes.
	Stats() (Stats, error)
}

// Stats are counts since an engine was opened, and what it is like now.
type Stats struct {
	Commits   uint64 // written
	Conflicts uint64 // ErrConflict
	Failures  uint64 // every other error
	Latency   Latency
	Head      Rev
	Bytes     int64 // that the engine takes on the disk; 0 for none
}

// LatencyBounds are the upper bounds of Latency's buckets. A last bucket has none.
var LatencyBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Latency is a histogram of how long commits took that were written, from the call to its return.
type Latency struct {
	Buckets [len(LatencyBounds) + 1]uint64 // each without those below
	Sum     time.Duration
}

// Meter counts an engine's commits. The zero value is ready; it is safe for concurrent use.
type Meter struct {
	conflicts, failures atomic.Uint64
	buckets             [len(LatencyBounds) + 1]atomic.Uint64
	sum                 atomic.Int64
}

// Committed counts a call of Commit that began at start and returned err.
func (m *Meter) Committed(start time.Time, err error) {
	switch {
	case errors.Is(err, ErrConflict):
		m.conflicts.Add(1)
	case err != nil:
		m.failures.Add(1)
	default:
		took := time.Since(start)
		i := 0
		for i < len(LatencyBounds) && took > LatencyBounds[i] {
			i++
		}
		m.buckets[i].Add(1)
		m.sum.Add(int64(took))
	}
}

// Stats returns the counts.
func (m *Meter) Stats() Stats {
	s := Stats{Conflicts: m.conflicts.Load(), Failures: m.failures.Load()}
	for i := range m.buckets {
		s.Latency.Buckets[i] = m.buckets[i].Load()
		s.Commits += s.Latency.Buckets[i]
	}
	s.Latency.Sum = time.Duration(m.sum.Load())
	return s
}
