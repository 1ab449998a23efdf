package service

import (
	"hash/maphash"
	"sync"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/keyturn/keyturn/internal/record"
)

// cache holds decoded records by store key, bounded by weight. What is in it is shared and never changed. A fill carries the
// generation of its stripe from before the store was read, and loses to any invalidation since.
type cache struct {
	entries *otter.Cache[string, record.Record]
	seed    maphash.Seed
	stripes [256]stripe
}

type stripe struct {
	mu         sync.Mutex
	generation uint64 // guarded by mu
}

const cacheWeight = 64 << 20 // bytes, roughly

func newCache() *cache {
	return &cache{
		entries: otter.Must(&otter.Options[string, record.Record]{
			MaximumWeight: cacheWeight,
			StatsRecorder: stats.NewCounter(),
			Weigher: func(key string, r record.Record) uint32 {
				w := 1024 + 2*len(key)
				return uint32(w + r.Weight())
			},
		}),
		seed: maphash.MakeSeed(),
	}
}

func (c *cache) stripe(key string) *stripe {
	return &c.stripes[maphash.String(c.seed, key)%uint64(len(c.stripes))]
}

func (c *cache) get(key string) (record.Record, bool) { return c.entries.GetIfPresent(key) }

// begin returns what fill needs; call it before reading the store.
func (c *cache) begin(key string) uint64 {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

func (c *cache) fill(key string, generation uint64, r record.Record) {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == generation {
		c.entries.Set(key, r)
	}
}

func (c *cache) invalidate(key string) {
	s := c.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	c.entries.Invalidate(key)
}

// drop empties the cache: after a commit whose outcome is unknown nothing in it can be trusted.
func (c *cache) drop() {
	for i := range c.stripes {
		s := &c.stripes[i]
		s.mu.Lock()
		s.generation++
		s.mu.Unlock()
	}
	c.entries.InvalidateAll()
}
