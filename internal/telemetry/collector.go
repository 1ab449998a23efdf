package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/wire"
)

// Sources are where the metrics of a server's state come from. All are asked at each scrape, from one goroutine at a time, and must be
// cheap. Nil: the server has nothing of the kind.
type Sources struct {
	Build       Build
	Ready       func() error
	Cache       func() service.CacheStats
	Keys        func() (counts map[service.KeyClass]int64, ok bool) // not ok: not counted yet
	Store       func() (store.Stats, error)
	Disk        func() (Disk, error) // of the data directory
	Outbox      func(context.Context) (service.OutboxStats, error)
	AuditLog    func() audit.Stats
	Events      func() []schedule.Stats
	Due         *Due
	Seal        func() Seal
	Clock       func() Clock                                      // nil where the clock is always believed
	Backup      func(context.Context) (*record.LastBackup, error) // nil: there was none
	Certificate func() time.Time                                  // when the certificate that is served ends
	Log         *slog.Logger
}

// Build is what the program was built from.
type Build struct{ Version, Revision, Go, FIPS140 string }

// Disk is the space of a file system, in bytes.
type Disk struct {
	Free uint64 // for this process
	Size uint64
}

// Clock is what a server thinks of its clock.
type Clock struct {
	Trusted bool
	Jump    time.Duration // how far it is from what is believed, if it is not trusted; negative: behind
}

// Seal is what protects the store.
type Seal struct {
	Sealed         bool      // the keyring is not open: the server serves nothing
	RootCreated    time.Time // zero: not known
	KeyringVersion uint32
	KeyringCreated time.Time // of its current version
	KeyringDue     time.Time // when its next version is due; zero: not known
	Resealing      bool      // old values are being sealed anew
	Resealed       int64     // values that have been looked at
	ResealTotal    int64     // 0: not known
}

// scrapeTimeout bounds the reads of one scrape.
const scrapeTimeout = 5 * time.Second

// collector asks the sources at each scrape.
type collector struct {
	s      Sources
	errors *prometheus.CounterVec
	mu     sync.Mutex // one scrape at a time
}

// scrape is one collection: metrics on their way.
type scrape struct {
	ctx context.Context
	ch  chan<- prometheus.Metric
}

func (s scrape) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s scrape) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// date is a gauge of a time, left out where that is not known.
func (s scrape) date(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(d, float64(t.UnixMilli())/1000, labels...)
	}
}

func (s scrape) flag(d *prometheus.Desc, is bool, labels ...string) {
	v := 0.0
	if is {
		v = 1
	}
	s.gauge(d, v, labels...)
}

func newCollector(s Sources) *collector {
	c := &collector{s: s, errors: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_collect_errors_total", Help: "Scrapes in which a source could not be read; its metrics were left out.",
	}, []string{"source"})}
	for _, source := range c.sources() {
		c.errors.WithLabelValues(source.name)
	}
	return c
}

// source is one group of metrics.
type source struct {
	name    string
	collect func(scrape) error
}

// sources returns those that the server has.
func (c *collector) sources() []source {
	list := []source{{"build", c.build}}
	add := func(has bool, name string, collect func(scrape) error) {
		if has {
			list = append(list, source{name, collect})
		}
	}
	add(c.s.Ready != nil, "ready", c.ready)
	add(c.s.Cache != nil, "cache", c.cache)
	add(c.s.Keys != nil, "keys", c.keys)
	add(c.s.Store != nil, "store", c.store)
	add(c.s.Disk != nil, "disk", c.disk)
	add(c.s.Outbox != nil, "outbox", c.outbox)
	add(c.s.AuditLog != nil, "audit_log", c.auditLog)
	add(c.s.Events != nil, "events", c.events)
	add(c.s.Due != nil, "due", c.due)
	add(c.s.Seal != nil, "seal", c.seal)
	add(c.s.Clock != nil, "clock", c.clock)
	add(c.s.Backup != nil, "backup", c.backup)
	add(c.s.Certificate != nil, "certificate", c.certificate)
	return list
}

// Describe implements prometheus.Collector. It says nothing: which metrics there are depends on the sources.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, source := range c.sources() {
		if err := source.collect(scrape{ctx, ch}); err != nil {
			c.errors.WithLabelValues(source.name).Inc()
			c.s.Log.Warn("metrics cannot be read", "source", source.name, "error", err)
		}
	}
}

func (c *collector) build(s scrape) error {
	b := c.s.Build
	s.gauge(buildInfo, 1, b.Version, b.Revision, b.Go, b.FIPS140)
	return nil
}

func (c *collector) ready(s scrape) error {
	reasons := wire.NotReady(c.s.Ready())
	s.flag(ready, len(reasons) == 0)
	now := make(map[string]bool)
	for _, r := range wire.Reasons() {
		now[r] = false
	}
	for _, r := range reasons {
		now[r.Reason] = true
	}
	for reason, is := range now {
		s.flag(notReady, is, reason)
	}
	return nil
}

func (c *collector) cache(s scrape) error {
	n := c.s.Cache()
	s.counter(cacheHits, float64(n.Hits))
	s.counter(cacheMisses, float64(n.Misses))
	s.counter(cacheEvictions, float64(n.Evictions))
	s.gauge(cacheEntries, float64(n.Entries))
	s.gauge(cacheWeight, float64(n.Weight))
	s.gauge(cacheLimit, float64(n.MaxWeight))
	return nil
}

func (c *collector) keys(s scrape) error {
	counts, ok := c.s.Keys()
	s.flag(keysCounted, ok)
	if !ok {
		return nil // a part of the keys would look like a loss of the rest
	}
	for class, n := range counts {
		s.gauge(keys, float64(n), string(class.State), class.Spec)
	}
	return nil
}
