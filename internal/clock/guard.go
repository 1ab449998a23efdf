package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what a Guard believes. Zero fields have the defaults.
type Limits struct {
	// Gap is how far beyond the high-water mark the clock may be when the server starts: the longest time that it may have been off.
	Gap time.Duration
	// Step is how far the clock may get ahead of the time that passes while the server runs. A step uses it up; time that passes gives it
	// back. The default covers machines that were paused for a night.
	Step time.Duration
	// Accepted is a time that an operator says it is: a clock that is within a day of it at the start is believed, whatever the mark.
	Accepted time.Time
}

const (
	defaultGap  = 30 * 24 * time.Hour
	defaultStep = 24 * time.Hour
	acceptedBy  = 24 * time.Hour // on both sides of Limits.Accepted
	// MaxBehind is how far the clock may be before the mark without anybody being told: NTP sets clocks back by seconds.
	MaxBehind = time.Minute
	// maxRaise is how far Now moves the floor by itself; more is for Check to judge.
	maxRaise = time.Minute
)

// Standing says what a Guard thinks of the clock.
type Standing uint8

const (
	Trusted Standing = iota
	Ahead            // it jumped forwards: what destroys waits until somebody says that the time is right
	// Held: the store was restored from a backup. What destroys waits until somebody has looked at it: a deletion that was cancelled after the
	// backup was made is not cancelled in what was restored.
	Held
	Behind // it is before a time that was told already: the service's time stands still until it has caught up
)

// String names the standing as the API does.
func (s Standing) String() string { return [...]string{"Trusted", "Ahead", "Held", "Behind"}[s] }

// Suspended tells whether what destroys has to wait for somebody.
func (s Standing) Suspended() bool { return s == Ahead || s == Held }

// Status is what a Guard found.
type Status struct {
	Standing Standing
	Wall     time.Time // what the machine's clock told, a stamp
	Mark     time.Time // the high-water mark: the last time that was believed; zero before the first
	Since    time.Time // with Ahead and Held: what the clock told when the jump was found, or the store restored
}

// Guard is real time that is not believed blindly. It is the clock of a server: what it tells never goes back, and Check says whether the
// machine's clock has jumped. A time that is not believed moves neither the mark nor what Now tells later.
//
// It is meant against accidents (a dead battery, a wrong time server, a restored machine). Whoever can set the clock in small steps between
// restarts gets past it.
type Guard struct {
	real    func() time.Time
	elapsed func() time.Duration
	floor   atomic.Int64 // milliseconds since 1970: Now tells nothing earlier

	mu        sync.Mutex
	limits    Limits
	started   bool          // a time has been believed since the start
	mark      time.Time     // zero: none is known
	at        time.Duration // elapsed, when mark was set
	allowance time.Duration // how far beyond mark, and the time that passed since, the clock is believed
	since     time.Time     // see Status
	held      bool
}

// NewGuard returns a Guard over the machine's clock. elapsed is the time that passed since any fixed moment, which nobody can set (see
// Elapsed). mark is the high-water mark of an earlier run, zero if there is none; since is not zero if that run had found a jump that nobody has
// accepted.
func NewGuard(real func() time.Time, elapsed func() time.Duration, limits Limits, mark, since time.Time) *Guard {
	if limits.Gap == 0 {
		limits.Gap = defaultGap
	}
	if limits.Step == 0 {
		limits.Step = defaultStep
	}
	g := &Guard{real: real, elapsed: elapsed, limits: limits, mark: mark, at: elapsed(), allowance: limits.Gap, since: since}
	if !since.IsZero() {
		g.allowance = limits.Step // otherwise a restart would do for being told
	}
	g.floor.Store(mark.UnixMilli())
	if wall := Stamp(real()); mark.IsZero() || !limits.Accepted.IsZero() && wall.Sub(limits.Accepted).Abs() <= acceptedBy {
		g.accept(wall)
	}
	return g
}

// Hold makes the guard wait until somebody accepts the clock, be it as right as it may: see Held. Limits.Accepted does for that at the
// start.
func (g *Guard) Hold(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.limits.Accepted.IsZero() && g.started {
		return
	}
	g.held, g.since, g.started = true, since, false
}

// Now implements Clock.
func (g *Guard) Now() time.Time {
	now := Stamp(g.real())
	ms := now.UnixMilli()
	for {
		floor := g.floor.Load()
		switch {
		case ms <= floor:
			return time.UnixMilli(floor).UTC()
		case ms-floor > maxRaise.Milliseconds(), g.floor.CompareAndSwap(floor, ms):
			return now
		}
	}
}

// Check judges the machine's clock, and moves the mark to it if it is believed. It is called about once a second.
func (g *Guard) Check() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	wall, elapsed := Stamp(g.real()), g.elapsed()
	if g.held {
		return g.status(wall)
	}
	if wall.Before(g.mark) {
		g.since = time.Time{} // whatever it was ahead by is gone
		s := g.status(wall)
		if g.mark.Sub(wall) > MaxBehind {
			s.Standing = Behind
		}
		return s
	}
	passed := max(elapsed-g.at, 0)
	ahead := wall.Sub(g.mark) - passed
	if ahead > g.allowance {
		if g.since.IsZero() {
			g.since = wall
		}
		return g.status(wall)
	}
	g.allowance = min(g.limits.Step, g.allowance-max(ahead, 0)+passed)
	if !g.started {
		g.started, g.allowance = true, g.limits.Step
	}
	g.mark, g.at, g.since = wall, elapsed, time.Time{}
	g.raise(wall)
	return g.status(wall)
}

// raise moves the floor forwards.
func (g *Guard) raise(to time.Time) {
	for ms := to.UnixMilli(); ; {
		floor := g.floor.Load()
		if ms <= floor || g.floor.CompareAndSwap(floor, ms) {
			return
		}
	}
}

// status is what the guard found last, of a clock that told wall.
func (g *Guard) status(wall time.Time) Status {
	s := Status{Wall: wall, Mark: g.mark, Since: g.since}
	switch {
	case g.held:
		s.Standing = Held
	case !g.since.IsZero():
		s.Standing = Ahead
	}
	return s
}

// Believed is the time that is believed: what the clock tells, but while it is ahead of, or behind, the mark. It is for what shall not happen
// because of a wrong clock.
func (g *Guard) Believed() time.Time { return g.Check().Mark }

// Wall is what the machine's clock tells, a stamp.
func (g *Guard) Wall() time.Time { return Stamp(g.real()) }

// Accept believes that it is now, also if that is before the mark: the only way in which Now goes back.
func (g *Guard) Accept(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accept(now)
}

func (g *Guard) accept(now time.Time) {
	g.mark, g.at, g.since, g.allowance, g.started, g.held = now, g.elapsed(), time.Time{}, g.limits.Step, true, false
	g.floor.Store(now.UnixMilli())
}
