package crashtest

import (
	"context"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

const day = 24 * time.Hour

// verify compares the service, just started, with the model: what the last round touched, or everything.
func (w *world) verify(ctx context.Context, p *process, c *client, r *mrand.Rand, full bool) {
	w.readClock(ctx, p, c, true)
	w.mu.Lock()
	w.readAudit()
	if limit := w.horizon.Add(time.Since(w.clockRead) + 2*time.Second); w.clock.After(limit) {
		w.fault("the clock is at %v, and nothing explains more than %v", w.clock, limit)
	}
	w.doubts = nil
	w.mu.Unlock()
	if full {
		// Everything due happens now, so that the lists below have nothing left of what is gone.
		w.advanceClock(ctx, c, 0, 0)
		w.expireDue()
	}
	for _, region := range regions {
		w.checkKeyList(ctx, c, region)
	}
	w.checkAliases(ctx, c)
	var wg sync.WaitGroup
	wg.Go(func() { w.fetchParams(ctx, c) })
	list := w.toCheck(r, full)
	queue := make(chan *family)
	for range workers {
		wg.Go(func() {
			for f := range queue {
				w.checkFamily(ctx, c, f, full)
			}
		})
	}
	for _, f := range list {
		queue <- f
	}
	close(queue)
	wg.Wait()
	w.readClock(ctx, p, c, false)
	w.mu.Lock()
	w.horizon, w.clockRead = w.clock, time.Now()
	w.mu.Unlock()
}

// toCheck returns the families that were changed since the last check, half of those that were used only, and some others; or all.
func (w *world) toCheck(r *mrand.Rand, full bool) (list []*family) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.families {
		changed := slices.ContainsFunc(f.members, func(k *key) bool { return k.changed })
		used := slices.ContainsFunc(f.members, func(k *key) bool { return k.touched })
		if full && !f.buried || changed || used && r.IntN(2) == 0 || r.IntN(40) == 0 {
			list = append(list, f)
			w.stats.checks += len(f.members)
		}
	}
	return list
}

// expireDue takes in that all imported material whose time is over is gone.
func (w *world) expireDue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.families {
		for k, p := range f.now.at {
			for m, until := range p.held {
				if !until.IsZero() && !until.After(w.clock) {
					f.sawExpired(k, m)
				}
			}
		}
	}
}

// sawExpired takes in that material expired of which the audit log is yet to tell. The world is locked.
func (f *family) sawExpired(k *key, m *imported) {
	f.expired[holding{k, m}] = true
	f.now.remove(k, m)
	f.mirror()
}

// readClock checks that the service's time has not gone back.
func (w *world) readClock(ctx context.Context, p *process, c *client, first bool) {
	var reply *clockReply
	get := &call{name: "GetClock"}
	get.apply = func(*auditRecord) {
		if reply.Now.Before(w.clock) {
			w.fault("the clock went back from %v to %v", w.clock, reply.Now)
		}
		w.clock, w.clockAt = reply.Now.Time, time.Now()
		if first {
			w.runClock = w.clock.Add(-time.Since(p.started) - 5*time.Millisecond)
		}
	}
	w.do(ctx, get, func(ctx context.Context) error { //nolint:errcheck // filed by do
		reply = new(clockReply)
		return c.keyturn(ctx, regions[0], "GetClock", "{}", reply)
	})
}

// checkKeyList compares the keys that are listed in a region with those that must be there.
func (w *world) checkKeyList(ctx context.Context, c *client, region string) {
	listed := make(map[string]bool)
	pages := kms.NewListKeysPaginator(c.in[region], &kms.ListKeysInput{Limit: aws.Int32(1000)})
	for pages.HasMorePages() {
		var page *kms.ListKeysOutput
		if w.do(ctx, &call{name: "ListKeys"}, func(ctx context.Context) (err error) { page, err = pages.NextPage(ctx); return err }) != nil {
			return
		}
		for _, k := range page.Keys {
			listed[*k.KeyArn] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.live {
		if k.region == region && !listed[k.arn] && !deleting(k.state) {
			w.fault("key %s (%s) is not listed", k.arn, k.state)
		}
		delete(listed, k.arn)
	}
	for arn := range listed {
		w.fault("key %s is listed and must not be there", arn)
	}
}

// checkAliases compares the aliases that are listed with those that must be there.
func (w *world) checkAliases(ctx context.Context, c *client) {
	targets := make(map[string]string)
	pages := kms.NewListAliasesPaginator(c.in[regions[0]], &kms.ListAliasesInput{Limit: aws.Int32(100)})
	for pages.HasMorePages() {
		var page *kms.ListAliasesOutput
		if w.do(ctx, &call{name: "ListAliases"}, func(ctx context.Context) (err error) { page, err = pages.NextPage(ctx); return err }) != nil {
			return
		}
		for _, a := range page.Aliases {
			targets[*a.AliasName] = *a.TargetKeyId
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, k := range w.aliases {
		if to, ok := targets[name]; to != k.id && !k.gone && !deleting(k.state) {
			w.fault("%s must point at %s; listed: %t, at %q", name, k.id, ok, to)
		}
	}
	for name, to := range targets {
		if k := w.aliases[name]; k == nil || k.id != to {
			w.fault("%s is listed, at %s; it must be at %v", name, to, k)
		}
	}
	maps.DeleteFunc(w.aliases, func(name string, k *key) bool { return k.gone && targets[name] == "" })
}
