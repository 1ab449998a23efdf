package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyturn/keyturn/internal/store"
)

func (c *collector) store(s scrape) error {
	n, err := c.s.Store()
	if err != nil {
		return err
	}
	s.counter(storeCommits, float64(n.Commits), "written")
	s.counter(storeCommits, float64(n.Conflicts), "conflict")
	s.counter(storeCommits, float64(n.Failures), "failed")
	buckets, below := make(map[float64]uint64, len(store.LatencyBounds)), uint64(0)
	for i, bound := range store.LatencyBounds {
		below += n.Latency.Buckets[i]
		buckets[bound.Seconds()] = below
	}
	s.ch <- prometheus.MustNewConstHistogram(storeSeconds, n.Commits, n.Latency.Sum.Seconds(), buckets)
	s.gauge(storeHead, float64(n.Head))
	s.gauge(storeBytes, float64(n.Bytes))
	return nil
}

func (c *collector) disk(s scrape) error {
	d, err := c.s.Disk()
	if err != nil {
		return err
	}
	s.gauge(diskFree, float64(d.Free))
	s.gauge(diskSize, float64(d.Size))
	return nil
}

func (c *collector) outbox(s scrape) error {
	n, err := c.s.Outbox(s.ctx)
	if err != nil {
		return err
	}
	s.gauge(auditWaiting, float64(n.Waiting))
	s.gauge(auditLag, n.Age.Seconds())
	return nil
}

func (c *collector) auditLog(s scrape) error {
	n := c.s.AuditLog()
	s.counter(auditLines, float64(n.LastSeq))
	s.gauge(auditUnsynced, float64(n.Unsynced))
	s.gauge(auditBytes, float64(n.Bytes))
	s.gauge(auditSegments, float64(n.Segments))
	return nil
}

func (c *collector) events(s scrape) error {
	for _, n := range c.s.Events() {
		s.counter(dueEvents, float64(n.Done), string(n.Kind), "done")
		s.counter(dueEvents, float64(n.Failed), string(n.Kind), "failed")
	}
	return nil
}

func (c *collector) due(s scrape) error {
	lag, err := c.s.Due.Lag(s.ctx)
	if err != nil {
		return err
	}
	ahead, err := c.s.Due.Ahead(s.ctx)
	if err != nil {
		return err
	}
	s.gauge(schedulerLag, lag.Seconds())
	s.flag(dueComplete, ahead.Complete)
	for kind, counts := range ahead.Within {
		for i, n := range counts {
			s.gauge(dueWithin, float64(n), string(kind), windows[i].name)
		}
		s.date(dueNext, ahead.Next[kind], string(kind))
	}
	return nil
}

func (c *collector) seal(s scrape) error {
	n := c.s.Seal()
	s.flag(sealed, n.Sealed)
	if n.Sealed {
		return nil // nothing more is known
	}
	s.date(rootCreated, n.RootCreated)
	s.gauge(keyringVersion, float64(n.KeyringVersion))
	s.date(keyringCreated, n.KeyringCreated)
	s.date(keyringDue, n.KeyringDue)
	s.flag(resealing, n.Resealing)
	s.gauge(resealed, float64(n.Resealed))
	if n.ResealTotal > 0 {
		s.gauge(resealTotal, float64(n.ResealTotal))
	}
	return nil
}

func (c *collector) clock(s scrape) error {
	n := c.s.Clock()
	s.flag(clockTrusted, n.Trusted)
	s.gauge(clockJump, n.Jump.Seconds())
	return nil
}

func (c *collector) backup(s scrape) error {
	last, err := c.s.Backup(s.ctx)
	if err != nil || last == nil {
		return err
	}
	s.date(backupLast, last.At)
	s.gauge(backupBytes, float64(last.Bytes))
	return nil
}

func (c *collector) certificate(s scrape) error {
	s.date(certificateEnd, c.s.Certificate())
	return nil
}
