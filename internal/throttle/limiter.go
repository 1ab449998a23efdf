package throttle

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is remembered: 16,384 scopes, of about half a kibibyte each.
const (
	shardCount    = 64
	shardCapacity = 256
	sampled       = 8 // scopes that are looked at, for some to forget, whenever one is added
)

// Limiter decides which calls are within their quota. It is safe for concurrent use. Calls of different scopes share nothing but the
// short lock of a map, and that with one in 64.
type Limiter struct {
	now       func() time.Duration
	regions   map[string]*limits // Regions that differ from the rest; not written after New
	elsewhere *limits
	seed      maphash.Seed
	shards    [shardCount]shard
}

type shard struct {
	mu      sync.RWMutex
	buckets map[Scope]*buckets // guarded by mu
	_       [64]byte           // so that neighbours do not share a cache line
}

// buckets are one scope's, a bucket for each class. A bucket is the moment at which it will be full (the generic cell rate algorithm,
// ITU-T I.371, annex A): taking a token moves it one interval on, and it may lie one window ahead. So a bucket is one number, needs no
// refilling, and is full and worth forgetting once its moment has passed.
type buckets struct {
	limits *limits
	full   [classes]atomic.Int64 // nanoseconds of the Limiter's time
}

func (l *Limiter) init() {
	l.seed = maphash.MakeSeed()
	for i := range l.shards {
		l.shards[i].buckets = make(map[Scope]*buckets)
	}
}

// Allow takes a token of a class, and tells whether there was one.
func (l *Limiter) Allow(s Scope, c Class) bool {
	now := int64(l.now())
	return l.of(s, now).take(c, 1, now)
}

// AllowAll takes all that a call costs, or nothing if something is missing.
func (l *Limiter) AllowAll(charges []Charge) bool {
	now := int64(l.now())
	for i := range charges {
		c := &charges[i]
		if l.of(c.Scope, now).take(c.Class, c.N, now) {
			continue
		}
		for j := range charges[:i] {
			l.of(charges[j].Scope, now).giveBack(charges[j].Class, charges[j].N)
		}
		return false
	}
	return true
}

// of returns the buckets of a scope, full ones if it has none yet.
func (l *Limiter) of(s Scope, now int64) *buckets {
	h := maphash.String(l.seed, s.Account) ^ bits.RotateLeft64(maphash.String(l.seed, s.Region), 1)
	if s.KeyStore != "" {
		h ^= bits.RotateLeft64(maphash.String(l.seed, s.KeyStore), 2)
	}
	sh := &l.shards[h%shardCount]
	sh.mu.RLock()
	b := sh.buckets[s]
	sh.mu.RUnlock()
	if b != nil {
		return b
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.buckets[s]; b != nil {
		return b
	}
	sh.makeRoom(now)
	b = &buckets{limits: l.elsewhere}
	if r := l.regions[s.Region]; r != nil {
		b.limits = r
	}
	// The names may be parts of a whole request, which must not be kept for them.
	sh.buckets[Scope{strings.Clone(s.Account), strings.Clone(s.Region), strings.Clone(s.KeyStore)}] = b
	return b
}

// makeRoom forgets scopes whose buckets are all full, since new ones are too, among a few that the map happens to give first. If none
// is and the shard is full, it forgets the one of them that comes nearest: who has ten thousand accounts to call with gains nothing
// by it, and nobody else is throttled for them. The caller holds mu.
func (sh *shard) makeRoom(now int64) {
	var nearest Scope
	nearestFull, seen := int64(0), 0
	for s, b := range sh.buckets {
		full := b.allFull()
		if full <= now {
			delete(sh.buckets, s)
		} else if nearestFull == 0 || full < nearestFull {
			nearest, nearestFull = s, full
		}
		if seen++; seen == sampled {
			break
		}
	}
	if len(sh.buckets) >= shardCapacity {
		delete(sh.buckets, nearest)
	}
}

// allFull returns the moment from which all buckets are full.
func (b *buckets) allFull() int64 {
	last := int64(0)
	for i := range b.full {
		last = max(last, b.full[i].Load())
	}
	return last
}

// take takes n tokens, or none and returns false. What costs more than a bucket holds passes when the bucket is full.
func (b *buckets) take(c Class, n int, now int64) bool {
	limit, full := b.limits[c], &b.full[c]
	cost := int64(n) * limit.interval
	for {
		old := full.Load()
		next := max(old, now) + cost
		if next-now > max(limit.window, cost) {
			return false
		}
		if full.CompareAndSwap(old, next) {
			return true
		}
	}
}

// giveBack undoes a take.
func (b *buckets) giveBack(c Class, n int) { b.full[c].Add(-int64(n) * b.limits[c].interval) }
