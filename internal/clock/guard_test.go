package clock_test

import (
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
)

const day = 24 * time.Hour

// machine is the clock of a machine and the time that passes on it, which a test moves apart.
type machine struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
}

func (m *machine) real() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wall
}

func (m *machine) passed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.elapsed
}

// pass lets time pass, and moves the clock beyond it.
func (m *machine) pass(elapsed, jump time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elapsed += elapsed
	m.wall = m.wall.Add(elapsed + jump)
}

func TestGuard(t *testing.T) {
	type step struct {
		passed, jump time.Duration
		accept       bool
		want         clock.Standing
	}
	tests := []struct {
		name   string
		limits clock.Limits
		mark   time.Duration // before the start; 0: none is known
		since  bool          // the run before had found a jump
		steps  []step
	}{
		{"no mark: believed", clock.Limits{}, 0, false, []step{{want: clock.Trusted}}},
		{"off for a month", clock.Limits{}, 30 * day, false, []step{{want: clock.Trusted}}},
		{"off for longer", clock.Limits{}, 31 * day, false, []step{{want: clock.Ahead}, {40 * day, 0, false, clock.Ahead}, {0, 0, true, clock.Trusted}}},
		{"off for longer, as configured", clock.Limits{Gap: 60 * day}, 31 * day, false, []step{{want: clock.Trusted}}},
		{"off for longer, as the configuration says today", clock.Limits{Accepted: start.Add(-23 * time.Hour)}, 31 * day, false, []step{{want: clock.Trusted}}},
		{"off for longer, the configuration says another day", clock.Limits{Accepted: start.Add(-25 * time.Hour)}, 31 * day, false, []step{{want: clock.Ahead}}},
		{"found ahead by the run before", clock.Limits{}, 3 * day, true, []step{{want: clock.Ahead}, {0, -2 * day, false, clock.Trusted}}},
		{"a gap is for the start only", clock.Limits{}, 20 * day, false, []step{{want: clock.Trusted}, {time.Second, 2 * day, false, clock.Ahead}}},
		{"steps of NTP", clock.Limits{}, 0, false, []step{
			{time.Second, 5 * time.Second, false, clock.Trusted}, {time.Second, -5 * time.Second, false, clock.Trusted},
			{time.Second, 3 * time.Minute, false, clock.Trusted}, {time.Second, time.Hour, false, clock.Trusted},
		}},
		{"a jump of years, set right again", clock.Limits{}, 0, false, []step{
			{time.Second, 10 * 365 * day, false, clock.Ahead}, {3 * day, 0, false, clock.Ahead}, {time.Second, -10 * 365 * day, false, clock.Trusted},
		}},
		{"a jump of years, accepted", clock.Limits{}, 0, false, []step{
			{time.Second, 10 * 365 * day, false, clock.Ahead}, {time.Second, 0, true, clock.Trusted}, {time.Second, 0, false, clock.Trusted},
		}},
		{"many steps that are small", clock.Limits{}, 0, false, []step{
			{time.Second, 20 * time.Hour, false, clock.Trusted}, {time.Second, 20 * time.Hour, false, clock.Ahead},
		}},
		{"paused every night", clock.Limits{}, 0, false, []step{
			{14 * time.Hour, 10 * time.Hour, false, clock.Trusted}, {14 * time.Hour, 10 * time.Hour, false, clock.Trusted},
			{14 * time.Hour, 10 * time.Hour, false, clock.Trusted}, {14 * time.Hour, 10 * time.Hour, false, clock.Trusted},
		}},
		{"suspended, seen by the clock that nobody sets", clock.Limits{}, 0, false, []step{{60 * day, 0, false, clock.Trusted}}},
		{"back by seconds", clock.Limits{}, 0, false, []step{{time.Second, -30 * time.Second, false, clock.Trusted}}},
		{"back by hours, until it has caught up", clock.Limits{}, 0, false, []step{
			{time.Second, -2 * time.Hour, false, clock.Behind}, {time.Hour, 0, false, clock.Behind}, {time.Hour, 0, false, clock.Trusted},
		}},
		{"back by hours, accepted", clock.Limits{}, 0, false, []step{{time.Second, -2 * time.Hour, false, clock.Behind}, {0, 0, true, clock.Trusted}}},
		{"back by years and forwards beyond", clock.Limits{}, 0, false, []step{
			{time.Second, -5 * 365 * day, false, clock.Behind}, {time.Second, 10 * 365 * day, false, clock.Ahead},
		}},
		{"at the start before the mark", clock.Limits{}, -200 * 365 * day, false, []step{{want: clock.Behind}}},
		{"at the start before the mark, as the configuration says", clock.Limits{Accepted: start}, -3 * day, false, []step{{want: clock.Trusted}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &machine{wall: start}
			var mark, since time.Time
			if tt.mark != 0 {
				mark = clock.Stamp(start.Add(-tt.mark))
			}
			if tt.since {
				since = clock.Stamp(start)
			}
			g := clock.NewGuard(m.real, m.passed, tt.limits, mark, since)
			for i, step := range tt.steps {
				m.pass(step.passed, step.jump)
				if step.accept {
					g.Accept(g.Wall())
				}
				before := g.Now()
				s := g.Check()
				if s.Standing != step.want {
					t.Fatalf("step %d: %v, want %v (%+v)", i, s.Standing, step.want, s)
				}
				wall := clock.Stamp(m.real())
				want := wall
				if s.Mark.After(wall) {
					want = s.Mark
				}
				if now := g.Now(); now != want || !now.Equal(before) {
					t.Errorf("step %d: it is %v, then %v, want %v", i, before, now, want)
				}
				if (s.Standing == clock.Ahead) == s.Since.IsZero() || s.Standing == clock.Trusted && s.Mark.Before(wall) || s.Wall != wall {
					t.Errorf("step %d: %+v at %v", i, s, wall)
				}
			}
		})
	}
}

// TestGuardHeld: after a restore nothing but somebody's word helps, neither the right time nor a restart.
func TestGuardHeld(t *testing.T) {
	restored := clock.Stamp(start)
	open := func(m *machine, limits clock.Limits, mark time.Time) *clock.Guard {
		g := clock.NewGuard(m.real, m.passed, limits, mark, restored)
		g.Hold(restored)
		return g
	}
	m := &machine{wall: start}
	mark := clock.Stamp(start.Add(-time.Hour))
	g := open(m, clock.Limits{}, mark)
	for range 3 {
		m.pass(time.Hour, 0)
		if s := g.Check(); s.Standing != clock.Held || !s.Standing.Suspended() || !s.Mark.Equal(mark) || !s.Since.Equal(restored) || !g.Believed().Equal(mark) {
			t.Fatalf("%+v", s)
		}
		if now := g.Now(); now != clock.Stamp(m.real()) {
			t.Errorf("it is %v", now)
		}
	}
	m.pass(time.Second, -10*time.Hour)
	if s := g.Check(); s.Standing != clock.Held {
		t.Errorf("set back: %+v", s)
	}
	g.Accept(g.Wall())
	if s := g.Check(); s.Standing != clock.Trusted || !s.Since.IsZero() {
		t.Errorf("accepted: %+v", s)
	}
	if s := open(m, clock.Limits{Accepted: m.real()}, mark).Check(); s.Standing != clock.Trusted {
		t.Errorf("accepted by the configuration: %+v", s)
	}
	if s := open(m, clock.Limits{Accepted: m.real().Add(-48 * time.Hour)}, mark).Check(); s.Standing != clock.Held {
		t.Errorf("another day in the configuration: %+v", s)
	}
}

// TestGuardAhead checks what a clock that is not believed leaves behind once it is right again: nothing, also if requests have asked for the time.
func TestGuardAhead(t *testing.T) {
	m := &machine{wall: start}
	g := clock.NewGuard(m.real, m.passed, clock.Limits{}, time.Time{}, time.Time{})
	g.Check()
	m.pass(time.Second, 10*365*day)
	if got, want := g.Now(), clock.Stamp(m.real()); got != want {
		t.Errorf("it is %v, want what the clock tells, %v", got, want)
	}
	g.Check()
	g.Now()
	m.pass(time.Second, -10*365*day)
	if got, want := g.Now(), clock.Stamp(start.Add(2*time.Second)); got != want {
		t.Errorf("afterwards it is %v, want %v", got, want)
	}
	if s := g.Check(); s.Standing != clock.Trusted || !s.Mark.Equal(g.Now()) {
		t.Errorf("%+v", s)
	}
}

// TestGuardNeverBack asks for the time from several places while the clock steps to and fro.
func TestGuardNeverBack(t *testing.T) {
	m := &machine{wall: start}
	g := clock.NewGuard(m.real, m.passed, clock.Limits{}, time.Time{}, time.Time{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := g.Now()
			for range 2000 {
				now := g.Now()
				if now.Before(last) {
					t.Errorf("%v after %v", now, last)
					return
				}
				last = now
			}
		})
	}
	for i := range 2000 {
		m.pass(time.Millisecond, time.Duration(i%7-3)*10*time.Second)
		g.Check()
	}
	wg.Wait()
}

func TestElapsed(t *testing.T) {
	if a, b := clock.Elapsed(), clock.Elapsed(); b < a {
		t.Errorf("%v after %v", b, a)
	}
}
