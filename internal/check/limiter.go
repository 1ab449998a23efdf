package check

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Limiter lets as many calls run at once as the service bears: one more for each round of calls that it answers, half as many when it
// throttles. It is safe for concurrent use.
type Limiter struct {
	max int

	mu      sync.Mutex
	limit   float64 // calls that may run at once
	running int
	round   int // counts decreases: a call that began before one says nothing about the limit after it
	waiting []chan struct{}
}

// Bounds of a limiter.
const (
	DefaultConcurrency = 32
	firstLimit         = 8
	maxThrottled       = 10 // attempts of one call
	firstBackoff       = 200 * time.Millisecond
	maxBackoff         = 5 * time.Second
)

// NewLimiter returns a Limiter that never lets more than max calls run at once; 0 stands for DefaultConcurrency.
func NewLimiter(max int) *Limiter {
	if max <= 0 {
		max = DefaultConcurrency
	}
	return &Limiter{max: max, limit: float64(min(firstLimit, max))}
}

// throttles are the codes with which AWS services ask to be called less often.
var throttles = []string{
	"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded",
	"TooManyRequestsException", "SlowDown",
}

// IsThrottle tells whether the service asks to be called less often.
func IsThrottle(err error) bool { return slices.Contains(throttles, ErrorCode(err)) }

// do makes a call when the limiter lets it, and again, later, while it is throttled.
func do[T any](ctx context.Context, l *Limiter, call func() (T, error)) (T, error) {
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		round, err := l.acquire(ctx)
		if err != nil {
			var none T
			return none, err
		}
		v, err := call()
		throttled := IsThrottle(err)
		l.release(round, throttled)
		if !throttled || attempt == maxThrottled {
			return v, err
		}
		// Between half and all of the time, so that those who were throttled together do not come back together.
		timer := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return v, ctx.Err()
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// acquire waits until a call may run. Whoever gets no error releases.
func (l *Limiter) acquire(ctx context.Context) (round int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running < int(l.limit) {
		l.running++
		return l.round, nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
	}
	l.mu.Lock()
	if i := slices.Index(l.waiting, turn); i >= 0 { // nobody let it in: ctx ended first
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return 0, ctx.Err()
	}
	return l.round, nil
}

// release ends a call that began in a round.
func (l *Limiter) release(round int, throttled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	switch {
	case !throttled:
		l.limit = min(l.limit+1/l.limit, float64(l.max))
	case round == l.round:
		l.limit = max(l.limit/2, 1)
		l.round++
	}
	for len(l.waiting) > 0 && l.running < int(l.limit) {
		l.running++
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}
