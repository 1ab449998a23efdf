package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	workers       = 4                          // goroutines, each with a fourth of the keys
	liveKeys      = 160                        // created up to here
	maxOnDemand   = 25                         // on-demand rotations a key may have
	maxClockAhead = 200 * 365 * 24 * time.Hour // the clock is not turned any further; the service ends at 250 years
)

// storm sends everything at once until the process is killed: after a number of answers, or after a time.
func (w *world) storm(p *process, c *client, r *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	full := make(chan struct{})
	want := int64(-1)
	wait := time.Duration(1+r.IntN(150)) * time.Millisecond
	if r.IntN(2) == 0 {
		want, wait = int64(1+r.IntN(150)), 2*time.Second
	}
	w.mu.Lock()
	hot := w.hotKey()
	var acks int64
	w.onAck = func() { // called with the world locked
		if acks++; acks == want {
			close(full)
		}
	}
	w.mu.Unlock()
	var wg sync.WaitGroup
	for i := range workers {
		rs := rand.New(rand.NewPCG(w.seed, uint64(w.round)<<8|uint64(i)))
		wg.Go(func() { (&worker{world: w, client: c, index: i, rand: rs, hot: hot}).run(ctx) })
	}
	if r.IntN(3) == 0 && w.clock.Before(time.Now().Add(maxClockAhead)) {
		turn := time.Duration(r.IntN(60)) * time.Millisecond
		seconds := []int64{3600, 8 * 86400, 40 * 86400, 91 * 86400, 400 * 86400}[r.IntN(5)]
		wg.Go(func() { w.advanceClock(ctx, c, turn, seconds) })
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
	case <-p.exited:
		w.mu.Lock()
		w.fault("keyturn ended by itself: %v", p.err)
		w.mu.Unlock()
	}
	w.killing.Store(true)
	p.kill()
	wg.Wait()
	w.mu.Lock()
	w.onAck = nil
	if hot != nil {
		hot.hot = false
	}
	w.mu.Unlock()
	w.killing.Store(false)
}

// hotKey picks a key that all workers use at once in this round.
func (w *world) hotKey() *key {
	for _, k := range slices.Backward(w.live) {
		if k.state == "Enabled" && !k.gone && k.onDemand == 0 {
			k.hot = true
			return k
		}
	}
	return nil
}

func (w *world) advanceClock(ctx context.Context, c *client, after time.Duration, seconds int64) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	w.mu.Lock()
	a := &call{name: "AdvanceClock", seconds: seconds, floor: w.clock}
	w.advances = append(w.advances, a)
	w.mu.Unlock()
	var reply *clockReply
	a.apply = func(r *auditRecord) {
		if r != nil {
			return
		}
		a.events = reply
		w.clock = reply.Now.Time
		if w.clock.After(w.horizon) {
			w.horizon = w.clock
		}
	}
	w.do(ctx, a, func(ctx context.Context) (err error) { //nolint:errcheck // filed by do
		reply, err = c.keyturn(ctx, "AdvanceClock", fmt.Sprintf(`{"Seconds":%d}`, seconds))
		return err
	})
}

// worker changes its own keys, one call at a time, so that it knows what must come of each; and it uses the hot key.
type worker struct {
	*world
	client *client
	index  int
	rand   *rand.Rand
	hot    *key
	n      int
}

func (w *worker) run(ctx context.Context) {
	for !w.killing.Load() {
		w.n++
		var err error
		switch n := w.rand.IntN(20); {
		case n < 4 && w.hot != nil:
			err = w.useHot(ctx)
		case n == 4:
			err = w.createKey(ctx)
		default:
			err = w.change(ctx)
		}
		if err != nil && !errors.Is(err, errRefused) {
			return // killed, or a fault
		}
	}
}

// mark returns a text that no other call has.
func (w *worker) mark(kind string) string {
	return fmt.Sprintf("%s-%d-%d-%d", kind, w.round, w.index, w.n)
}

// pick returns one of the worker's own keys in one of the states.
func (w *worker) pick(states ...string) *key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var mine []*key
	for _, k := range w.live {
		if k.worker == w.index && !k.hot && !k.gone && slices.Contains(states, k.state) {
			mine = append(mine, k)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return mine[w.rand.IntN(len(mine))]
}

// change does one thing to one of the worker's keys.
func (w *worker) change(ctx context.Context) error {
	k := w.pick("Enabled", "Enabled", "Disabled", "PendingDeletion")
	if k == nil {
		return w.createKey(ctx)
	}
	switch k.state {
	case "PendingDeletion":
		if w.rand.IntN(3) == 0 {
			return w.cancelDeletion(ctx, k)
		}
		return nil
	case "Disabled":
		switch w.rand.IntN(8) {
		case 0:
			return w.scheduleDeletion(ctx, k)
		case 1:
			return w.tag(ctx, k)
		case 2:
			return w.describe(ctx, k)
		}
		return w.setState(ctx, k, "Enabled")
	}
	switch n := w.rand.IntN(40); {
	case n < 9:
		return w.encrypt(ctx, k)
	case n < 12:
		return w.generateDataKey(ctx, k)
	case n < 14:
		return w.decrypt(ctx, k)
	case n < 19:
		return w.rotate(ctx, k)
	case n < 23:
		return w.enableRotation(ctx, k)
	case n < 24:
		return w.disableRotation(ctx, k)
	case n < 27:
		return w.tag(ctx, k)
	case n < 28:
		return w.untag(ctx, k)
	case n < 29:
		return w.describe(ctx, k)
	case n < 32:
		return w.createAlias(ctx, k)
	case n < 34:
		return w.updateAlias(ctx, k)
	case n < 36:
		return w.deleteAlias(ctx, k)
	case n < 38:
		return w.setState(ctx, k, "Disabled")
	}
	return w.scheduleDeletion(ctx, k)
}

// useHot uses the key that others use at the same time.
func (w *worker) useHot(ctx context.Context) error {
	switch n := w.rand.IntN(10); {
	case n < 3:
		return w.encrypt(ctx, w.hot)
	case n < 5:
		return w.generateDataKey(ctx, w.hot)
	case n < 8:
		return w.rotate(ctx, w.hot)
	}
	return w.tag(ctx, w.hot)
}
