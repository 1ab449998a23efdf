package unseal

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Everybody may try, so tries are bounded: in all, and by address. What is right without a doubt, a share, is not among them: see Gate.take.
const (
	allEvery    = 200 * time.Millisecond
	allBurst    = 50
	sourceEvery = 2 * time.Second
	sourceBurst = 20
	maxSources  = 4096
	maxBackOff  = time.Minute
	sweepEvery  = 10 * time.Second // so that strangers from everywhere do not make it look through all of them all the time
	// restFactor is how many times as long as looking at a wrong passphrase took nothing else is looked at, so that strangers get a fifth of one
	// processor at most, and so do those on this machine.
	restFactor = 4
)

// limiter decides who may try now.
type limiter struct {
	now func() time.Time

	mu          sync.Mutex // guards what follows
	here, there budget     // of this machine, and of everybody else
	local       *source    // this machine, whichever of its loopback addresses
	sources     map[netip.Prefix]*source
	others      *source // those that there is no more room for
	swept       time.Time
}

// budget bounds the tries of all that share it. Nobody elsewhere can use up that of the machine, where the operator is.
type budget struct {
	all  *rate.Limiter
	rest time.Time // nothing before that
}

func newBudget() budget { return budget{all: rate.NewLimiter(rate.Every(allEvery), allBurst)} }

// source is an address that tried.
type source struct {
	tries  *rate.Limiter
	wrong  int       // in a row
	until  time.Time // nothing before that
	latest time.Time
}

func newSource() *source {
	return &source{tries: rate.NewLimiter(rate.Every(sourceEvery), sourceBurst)}
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{
		now: now, here: newBudget(), there: newBudget(), local: newSource(), sources: map[netip.Prefix]*source{}, others: newSource(),
	}
}

func (l *limiter) budget(ip netip.Addr) *budget {
	if ip.Unmap().IsLoopback() {
		return &l.here
	}
	return &l.there
}

// allow returns 0 if an address may try now, else how long it has to wait.
func (l *limiter) allow(ip netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s, b := l.source(ip, now), l.budget(ip)
	if wait := max(s.until.Sub(now), b.rest.Sub(now)); wait > 0 {
		return wait
	}
	if !s.tries.AllowN(now, 1) {
		return sourceEvery
	}
	if !b.all.AllowN(now, 1) {
		return time.Second
	}
	return 0
}

// tried notes how a try went, and how long looking at it took.
func (l *limiter) tried(ip netip.Addr, wrong bool, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	s := l.source(ip, now)
	if !wrong {
		s.wrong = 0
		return
	}
	s.wrong++
	s.until = now.Add(min(time.Second<<min(s.wrong-1, 6), maxBackOff))
	l.budget(ip).rest = now.Add(restFactor * took)
}

// source finds an address's. An IPv6 network of 64 bits is one address: whoever has one address of it has them all.
func (l *limiter) source(ip netip.Addr, now time.Time) *source {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return l.local
	}
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the zero one for an address that is none
	s := l.sources[prefix]
	if s == nil {
		if len(l.sources) >= maxSources && now.Sub(l.swept) >= sweepEvery {
			l.swept = now
			l.forget(now)
		}
		if len(l.sources) >= maxSources {
			return l.others
		}
		s = newSource()
		l.sources[prefix] = s
	}
	s.latest = now
	return s
}

// forget drops the sources that have their whole burst again, and nothing to wait for.
func (l *limiter) forget(now time.Time) {
	for prefix, s := range l.sources {
		if now.Sub(s.latest) > sourceBurst*sourceEvery && now.After(s.until) {
			delete(l.sources, prefix)
		}
	}
}
