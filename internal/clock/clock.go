// Package clock is the service's own time: what rotation, deletion, expiry and every stored date go by. Signatures, sessions
// and TLS go by real time instead.
package clock

import (
	"sync/atomic"
	"time"
)

// Clock tells the service's time, in UTC and whole milliseconds, which is what the wire carries.
type Clock interface {
	Now() time.Time
}

// System is real time.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return Stamp(time.Now()) }

// Stamp brings a time to what clocks tell: UTC, whole milliseconds, no monotonic reading.
func Stamp(t time.Time) time.Time { return t.UTC().Round(0).Truncate(time.Millisecond) }

// Shifted is real time plus an offset that only grows. Only keyturn dev has one.
type Shifted struct {
	real   func() time.Time
	offset atomic.Int64 // nanoseconds
}

// NewShifted returns a clock that is ahead of real by offset.
func NewShifted(real func() time.Time, offset time.Duration) *Shifted {
	c := &Shifted{real: real}
	c.offset.Store(int64(offset))
	return c
}

// Now implements Clock.
func (c *Shifted) Now() time.Time { return Stamp(c.real().Add(c.Offset())) }

// Offset tells how far the clock is ahead of real time.
func (c *Shifted) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// OffsetAt returns the offset that would make it t now, at least the present one.
func (c *Shifted) OffsetAt(t time.Time) time.Duration {
	return max(t.Sub(c.real()), c.Offset())
}

// SetOffset moves the clock forward. A smaller offset than the present one is ignored: the clock never goes back.
func (c *Shifted) SetOffset(d time.Duration) {
	for {
		old := c.offset.Load()
		if int64(d) <= old || c.offset.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}
