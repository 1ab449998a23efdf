package check

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A service that answers gets more calls at once, up to the bound; one that throttles gets fewer, down to one.
func TestLimiterAdapts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(32)
		bears := 5 // calls at once
		running, most, throttled := 0, 0, 0
		var mu sync.Mutex
		call := func() (struct{}, error) {
			mu.Lock()
			running++
			most = max(most, running)
			over := running > bears
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			running--
			if over {
				throttled++
				return struct{}{}, codeError("ThrottlingException")
			}
			return struct{}{}, nil
		}
		storm := func(calls int) (failed int) {
			var all sync.WaitGroup
			most, throttled = 0, 0
			for range calls {
				all.Go(func() {
					if _, err := do(t.Context(), l, call); err != nil {
						mu.Lock()
						failed++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			return failed
		}
		if failed := storm(500); failed > 0 {
			t.Errorf("%d calls failed", failed)
		}
		if most > 16 || throttled > 250 {
			t.Errorf("a service that bears %d: %d at once, throttled %d times of 500", bears, most, throttled)
		}
		bears = 1000
		if storm(2000); most != 32 {
			t.Errorf("a service that bears everything: %d at once", most)
		}
	})
}

// Whoever waits for a place leaves with the context and takes no place along.
func TestLimiterCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		round, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { _, err := l.acquire(ctx); ended <- err }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.release(round, false)
		if _, err := l.acquire(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := l.acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("after its end: %v", err)
		}
	})
}

// A call is given up after so many throttled attempts; other errors are nobody's to repeat.
func TestLimiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		_, err := do(t.Context(), NewLimiter(4), func() (int, error) { n++; return 0, codeError("TooManyRequestsException") })
		if !IsThrottle(err) || n != maxThrottled {
			t.Errorf("%d attempts, %v", n, err)
		}
		n = 0
		if _, err := do(t.Context(), NewLimiter(4), func() (int, error) { n++; return 0, codeError("AccessDeniedException") }); n != 1 || err == nil {
			t.Errorf("%d attempts, %v", n, err)
		}
	})
}
