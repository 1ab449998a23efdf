package crashtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	roundsFlag = flag.Int("rounds", 0, "how often to crash; the default is KEYTURN_CRASH_ROUNDS, or 5")
	seedFlag   = flag.Uint64("seed", 0, "choose operations and moments as the run with this seed did; the default is a new one")
)

func rounds(t *testing.T) int {
	if *roundsFlag > 0 {
		return *roundsFlag
	}
	if s := os.Getenv("KEYTURN_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("KEYTURN_CRASH_ROUNDS is %q, not a number of rounds", s)
		}
		return n
	}
	return 5
}

func seed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()>>1 | 1
}

// deploymentRounds is how often one deployment crashes; then another one begins. What a round reads grows with what was done before: the audit
// log from end to end, every fourth time.
const deploymentRounds = 250

// TestCrash kills keyturn in the middle of a storm of calls, starts it again on what it left, and compares.
func TestCrash(t *testing.T) {
	path, total, first := binary(t), rounds(t), seed()
	var sum stats
	for done := 0; done < total; done += deploymentRounds {
		n, s := min(total-done, deploymentRounds), first+uint64(done/deploymentRounds)
		if !t.Run(fmt.Sprint(s), func(t *testing.T) { crash(t, path, s, n, &sum) }) {
			t.Fatalf("repeat with -seed=%d -rounds=%d", s, n)
		}
	}
	t.Logf("seeds from %d: %d crashes, %v", first, total, sum)
	if missing := sum.meager(); total >= 100 && len(missing) > 0 {
		t.Errorf("too little happened for this to mean anything: no %v", missing)
	}
}

// crash has one deployment crash so often.
func crash(t *testing.T, path string, seed uint64, total int, sum *stats) {
	w := newWorld(t, seed, sum)
	for w.round = 1; w.round <= total+2; w.round++ { // the last two end in good order
		w.oneRound(t, path, w.round > total)
		if len(w.faults) > 0 {
			w.fail(t)
		}
		if w.round%20 == 0 {
			t.Logf("round %d: %d keys, %v", w.round, len(w.live), w.stats)
		}
	}
}

func newWorld(t *testing.T, seed uint64, sum *stats) *world {
	return &world{
		seed: seed, stats: sum, dir: filepath.Join(t.TempDir(), "data"), keys: make(map[string]*key), aliases: make(map[string]*key),
		expired: make(map[string]bool), calls: make(map[string]*call), log: auditLog{events: make(map[string]bool), requests: make(map[string]bool)},
	}
}

// oneRound starts, verifies, and kills in a storm; or ends in good order, if it is the last.
func (w *world) oneRound(t *testing.T, path string, last bool) {
	r := rand.New(rand.NewPCG(w.seed, uint64(w.round)<<8|0xff))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for w.round > 1 && r.IntN(5) == 0 {
		crashStart(t, path, w.dir, r)
	}
	if w.round > 1 && (last || r.IntN(4) == 0) {
		w.readStore(t, ctx)
	}
	p, err := launch(path, w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if err := p.await(); err != nil {
		t.Fatalf("seed %d, round %d: start after a crash: %v", w.seed, w.round, err)
	}
	w.stats.starts++
	w.stats.slowest = max(w.stats.slowest, time.Since(p.started))
	c := newClient(p.endpoint)
	defer c.close()
	if w.round == 1 {
		w.clock, w.clockAt = time.Now().Add(-time.Minute), time.Now()
		w.horizon, w.clockRead = time.Now(), time.Now()
	}
	w.verify(ctx, p, c, r, last || w.round%20 == 0)
	if len(w.faults) == 0 {
		if last {
			c.close() // an end in good order waits five seconds for connections on which nothing came yet
			w.finish(t, ctx, p)
		} else {
			if w.round%200 == 20 {
				w.outlive(p)
			}
			w.storm(p, c, r)
		}
	}
	if log := p.stderr.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "panic") {
		w.faults = append(w.faults, "the server's log has errors")
	}
	if len(w.faults) > 0 {
		t.Logf("the server's log ends:\n%s", &p.stderr)
	}
}

// outlive has the process live until it must have written down what keys were used for. No crash comes that late by itself.
func (w *world) outlive(p *process) {
	timer := time.NewTimer(usageSettled)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.exited:
	}
}

// finish ends the process as an operator does, and reads the whole log once more.
func (w *world) finish(t *testing.T, ctx context.Context, p *process) {
	if err := p.stop(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended(time.Now(), false)
	w.readAudit()
	again := auditLog{}
	lines, err := again.next(w.dir)
	if err != nil || uint64(len(lines)) != w.log.seq {
		w.fault("the log has %d lines (%v) and had %d", len(lines), err, w.log.seq)
	}
}

// crashStart kills a start on its way.
func crashStart(t *testing.T, path, dir string, r *rand.Rand) {
	p, err := launch(path, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	timer := time.NewTimer(time.Duration(r.IntN(40_000)) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.exited:
		t.Errorf("keyturn ended by itself: %v\n%s", p.err, &p.stderr)
	}
}

func (w *world) fail(t *testing.T) {
	t.Helper()
	const most = 20
	for i, f := range w.faults {
		if i == most {
			t.Errorf("... and %d more", len(w.faults)-most)
			break
		}
		t.Errorf("round %d: %s", w.round, f)
	}
	// With -artifacts it stays.
	if err := os.CopyFS(filepath.Join(t.ArtifactDir(), "data"), os.DirFS(w.dir)); err != nil {
		t.Error(err)
	}
	t.FailNow()
}

// TestCrashWhileCreating kills the first start of all, which makes the store, its keys and the log. The next one must succeed.
func TestCrashWhileCreating(t *testing.T) {
	path, n := binary(t), rounds(t)
	s := seed()
	t.Logf("seed %d", s)
	r := rand.New(rand.NewPCG(s, 0))
	for i := range n {
		dir := filepath.Join(t.TempDir(), strconv.Itoa(i))
		crashStart(t, path, dir, r)
		p, err := launch(path, dir)
		if err == nil {
			err = p.await()
			p.kill()
		}
		if err != nil {
			t.Fatalf("seed %d, crash %d: %v", s, i, err)
		}
	}
}
