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
	liveKeys      = 110                        // created up to here
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
	if r.IntN(12) == 0 {
		delay, operation := time.Duration(r.IntN(60))*time.Millisecond, []string{"RotateKeyring", "RotateRootKey"}[r.IntN(2)]
		wg.Go(func() { w.rotateSeal(ctx, c, delay, operation) })
	}
	if r.IntN(6) == 0 {
		delay := time.Duration(r.IntN(60)) * time.Millisecond
		wg.Go(func() { w.compactStore(ctx, c, delay) })
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
	ended := time.Now()
	wg.Wait()
	w.mu.Lock()
	w.ended(ended, true)
	w.onAck = nil
	if hot != nil {
		hot.family.hot = false
	}
	w.mu.Unlock()
	w.killing.Store(false)
}

// hotKey picks a key that all workers use at once in this round.
func (w *world) hotKey() *key {
	for _, k := range slices.Backward(w.live) {
		if k.state == enabled && !k.gone && k.onDemand == 0 && !k.imported && k.symmetric() && k == k.primary() {
			k.family.hot = true
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
		w.clock, w.clockAt = reply.Now.Time, time.Now()
		if w.clock.After(w.horizon) {
			w.horizon = w.clock
		}
	}
	w.do(ctx, a, func(ctx context.Context) error { //nolint:errcheck // filed by do
		reply = new(clockReply)
		return c.keyturn(ctx, regions[0], "AdvanceClock", fmt.Sprintf(`{"Seconds":%d}`, seconds), reply)
	})
}

// rotateSeal gives the service new keys of its own: what it answered must be there after the crash, and what was sealed before must open.
func (w *world) rotateSeal(ctx context.Context, c *client, after time.Duration, operation string) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	var reply struct {
		Seal struct{ KeyringVersion int64 }
	}
	a := &call{name: operation}
	a.apply = func(r *auditRecord) {
		w.stats.seals++
		if r != nil {
			reply.Seal.KeyringVersion = r.ResponseElements.KeyringVersion
		}
		if v := reply.Seal.KeyringVersion; v <= w.keyring {
			w.fault("%s made version %d of the keyring after version %d", operation, v, w.keyring)
		} else {
			w.keyring = v
		}
	}
	w.do(ctx, a, func(ctx context.Context) error { //nolint:errcheck // filed by do
		return c.keyturn(ctx, regions[0], operation, "{}", &reply)
	})
}

// compactStore has what is not in use of the store overwritten, so that kills come in the middle of that, too.
func (w *world) compactStore(ctx context.Context, c *client, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	a := &call{name: "CompactStore", apply: func(*auditRecord) { w.stats.compactions++ }}
	w.do(ctx, a, func(ctx context.Context) error { //nolint:errcheck // filed by do
		var reply struct{}
		return c.keyturn(ctx, regions[0], "CompactStore", "{}", &reply)
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
		case n == 5:
			if k := w.pickNeedy(); k != nil {
				err = w.serve(ctx, k)
			}
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

// choice is something to do to a key, and how often.
type choice struct {
	weight int
	do     func(context.Context, *key) error
}

// change does one thing to one of the worker's keys.
func (w *worker) change(ctx context.Context) error {
	k := w.pick(enabled, disabled, pendingImport, pendingDeletion, pendingReplicaGone)
	if k == nil {
		return w.createKey(ctx)
	}
	w.mu.Lock()
	choices := w.choices(k)
	w.mu.Unlock()
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := w.rand.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.do(ctx, k)
		}
	}
	return nil
}

// choices are what can be done to a key in its state. The world is locked.
func (w *worker) choices(k *key) []choice {
	nothing := func(context.Context, *key) error { return nil }
	enable := func(ctx context.Context, k *key) error { return w.setState(ctx, k, enabled) }
	disable := func(ctx context.Context, k *key) error { return w.setState(ctx, k, disabled) }
	list := []choice{{3, w.tag}, {1, w.untag}, {1, w.describe}}
	if p := k.primary(); p != nil && p.state == pendingReplicaGone {
		list = append(list, choice{20, w.scheduleDeletion})
	}
	if k.imported {
		list = append(list, choice{2, w.deleteMaterial})
	}
	switch k.state {
	case pendingDeletion, pendingReplicaGone:
		list = []choice{{5, nothing}, {1, w.cancelDeletion}}
		if k.imported {
			list = append(list, choice{1, w.deleteMaterial})
		}
		return list
	case disabled:
		list = append(list, choice{15, enable}, choice{3, w.scheduleDeletion})
	case pendingImport:
		list = append(list, choice{25, w.importMaterial}, choice{1, w.scheduleDeletion})
	case enabled:
		list = append(list, choice{9, w.make}, choice{2, w.check}, choice{2, disable}, choice{2, w.scheduleDeletion})
		if k.imported {
			list = append(list, choice{9, w.importMaterial})
		}
		list = append(list, w.choicesEnabled(k)...)
	}
	return list
}

// choicesEnabled are what can be done to an enabled key for what it is.
func (w *worker) choicesEnabled(k *key) (list []choice) {
	isPrimary := k == k.primary()
	if k.symmetric() {
		list = append(list, choice{3, w.generateDataKey})
	}
	if k.symmetric() && isPrimary && !k.imported {
		list = append(list, choice{5, w.rotate}, choice{4, w.enableRotation}, choice{1, w.disableRotation})
	}
	if k.symmetric() && isPrimary && k.imported && k.now.ready() {
		list = append(list, choice{20, w.rotate})
	}
	if k.region == regions[0] {
		list = append(list, choice{3, w.createAlias}, choice{2, w.updateAlias}, choice{2, w.deleteAlias})
	}
	if k.multi && isPrimary {
		list = append(list, choice{10, w.replicate}, choice{4, w.promote})
	}
	if k.multi && !isPrimary {
		list = append(list, choice{3, w.scheduleDeletion})
	}
	return list
}

// useHot uses the key that others use at the same time, where it is enabled.
func (w *worker) useHot(ctx context.Context) error {
	w.mu.Lock()
	var list []*key
	for _, k := range w.hot.members {
		if !k.gone && k.state == enabled {
			list = append(list, k)
		}
	}
	k := list[w.rand.IntN(len(list))]
	w.mu.Unlock()
	switch n := w.rand.IntN(10); {
	case n < 3:
		return w.encrypt(ctx, k)
	case n < 5:
		return w.generateDataKey(ctx, k)
	case n < 8:
		return w.rotate(ctx, w.hot)
	}
	return w.tag(ctx, w.hot)
}
