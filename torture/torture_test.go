//go:build torture

package torture

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/disk/disktest"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

var (
	schedulesFlag = flag.Int("schedules", 2000, "how many schedules to run")
	seedFlag      = flag.Uint64("seed", 0, "the first schedule's seed; each has one more than the one before. The default is a new one")
	reproduceFlag = flag.Int("reproduce", 20, "how many schedules to run twice, to see that nothing changes")
	traceFlag     = flag.Bool("trace", false, "print every disk operation")
	verboseFlag   = flag.Bool("lives", false, "print what happens in each life of each schedule")
)

// TestSchedules runs schedules until one finds a fault.
func TestSchedules(t *testing.T) {
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64() >> 32
	}
	var total stats
	begin := time.Now()
	for i := range uint64(*schedulesFlag) {
		seed := first + i
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { runSchedule(t, seed, &total) }) {
			t.Fatalf("repeat with: make torture SCHEDULES=1 SEED=%d", seed)
		}
	}
	t.Logf("seeds %d to %d in %v: %+v", first, first+uint64(*schedulesFlag)-1, time.Since(begin).Round(time.Second), total)
	if *schedulesFlag >= 1000 {
		total.check(t)
	}
}

// check fails if too little happened for a run to mean anything.
func (s *stats) check(t *testing.T) {
	for what, n := range map[string]int{
		"power cuts": s.powerCuts, "kills": s.kills, "failures": s.failed, "full disks": s.full, "unknown outcomes": s.unknown,
		"unknown outcomes that had happened": s.happened, "ciphertexts opened": s.blobs, "lost records of unsynced calls": s.lost,
		"seals rotated": s.sealed, "scrubs": s.scrubs,
		"disks that went on after a failure": s.goneOn, "services that stopped after a failure": s.stopped,
	} {
		if n < 20 {
			t.Errorf("there were only %d %s", n, what)
		}
	}
}

// A seed gives the same run again. Of schedules where calls come at the same time, or the store is scrubbed, or the scheduler does one thing after the other
// while their audit records are on their way, that is likely, not certain: which goroutine goes first is up to the runtime.
func TestReproduces(t *testing.T) {
	first := max(*seedFlag, 1)
	different := 0
	for i := range uint64(*reproduceFlag) {
		var traces [2]string
		loose := false
		for n := range traces {
			t.Run(fmt.Sprint(first+i), func(t *testing.T) { traces[n], loose = runSchedule(t, first+i, new(stats)) })
		}
		switch {
		case traces[0] == traces[1]:
		case loose:
			different++
		default:
			t.Errorf("seed %d: the disk sees other operations the second time", first+i)
		}
	}
	t.Logf("of %d schedules, %d went another way the second time, as they may", *reproduceFlag, different)
}

// runSchedule runs one schedule and returns the trace of its disk, and whether several goroutines had something to do at the same
// time: then another run may go another way.
func runSchedule(t *testing.T, seed uint64, total *stats) (trace string, loose bool) {
	cryptotest.SetGlobalRandom(t, seed)
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := &world{rand: r, open: make(map[string]*op)}
		s := &trial{t: t, world: w, root: root, layout: layout{segment: 4 << (10 + r.IntN(6)), reserve: 4 << (10 + r.IntN(4))}}
		s.run()
		if s.site != nil { // a fault was found in the middle
			_ = s.site.close()
		}
		for _, f := range w.faults {
			t.Error(f)
		}
		s.disk.Forget()
		n, hash := s.disk.Trace()
		loose = s.loose
		trace = fmt.Sprintf("%d %x", n, hash)
		total.add(&w.stats)
	})
	return trace, loose
}

// trial is one schedule under way: lives of the service, one after the other on the same disk.
type trial struct {
	t *testing.T
	*world
	root   string
	layout layout
	disk   *disktest.Disk
	boots  int

	concurrent bool // several callers at the same time, every now and then
	scrubbing  bool // the store is scrubbed every now and then
	loose      bool // goroutines have been at work at the same time, or something else that another run may do in another way
}

func (s *trial) log(format string, args ...any) {
	if *verboseFlag {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

func (s *trial) run() {
	dir, err := s.newRoot()
	if err != nil {
		s.t.Fatal(err)
	}
	s.disk = disktest.New(dir, s.rand)
	s.concurrent = s.rand.IntN(4) == 0
	s.scrubbing = s.rand.IntN(4) == 0
	imports := s.rand.IntN(40) == 0
	for life := range 2 + s.rand.IntN(3) {
		s.life(life, imports && life == 0)
		if len(s.faults) > 0 {
			return
		}
	}
	if s.start(nil) {
		s.verify()
		err := s.site.close()
		s.site = nil
		if err != nil {
			s.fault("ending in good order, with nothing wrong: %v", err)
		}
	}
}

func (s *trial) newRoot() (string, error) {
	s.boots++
	dir := filepath.Join(s.root, fmt.Sprint(s.boots))
	return dir, os.Mkdir(dir, 0o700)
}

// life starts the service, has it called while the disk does what a plan says, and ends it one way or the other.
func (s *trial) life(n int, imports bool) {
	s.stats.lives++
	p := drawPlan(s.rand)
	p.disk, p.trace = s.disk, *traceFlag
	s.log("life %d: %v", n, p)
	if !s.start(p) {
		return
	}
	s.calm(p, true)
	s.verify()
	if len(s.faults) > 0 {
		return
	}
	s.calm(p, false)
	if imports {
		s.importKey()
	}
	steps := 4 + s.rand.IntN(24)
	fullAt, fullFor := s.rand.IntN(steps), 2+s.rand.IntN(8)
	for i := range steps {
		if s.disk.Ended() != disktest.Nothing {
			break
		}
		if p.kind == "full" {
			switch i {
			case fullAt:
				p.hit = true
				s.stats.full++
				s.disk.SetRoom(p.room)
			case fullAt + fullFor:
				s.disk.SetRoom(-1)
			}
		}
		if s.concurrent && s.rand.IntN(3) == 0 {
			s.together()
		} else {
			s.step(s.rand, func(*key) bool { return true })
		}
		synctest.Wait()
		time.Sleep(time.Duration(1+s.rand.IntN(1_000_000)) * time.Nanosecond) // or timers would fall into one instant, where their order is random
		if s.rand.IntN(8) == 0 {
			s.pause()
		}
		if s.rand.IntN(24) == 0 {
			s.reseal()
		}
		if s.scrubbing && s.rand.IntN(8) == 0 {
			s.scrub()
		}
		if s.rand.IntN(60) == 0 && s.site.ready() == nil && s.disk.Ended() == disktest.Nothing {
			s.week()
		}
	}
	s.calm(p, true)
	s.disk.SetRoom(-1)
	if s.disk.Ended() == disktest.Nothing {
		s.afterwards(p)
	}
	s.end()
}

// calm ends the plan's faults, or lets them go on.
func (s *trial) calm(p *plan, off bool) {
	p.off = off
}

// together makes several calls at the same time, on different keys: so each key knows the order of its changes.
func (s *trial) together() {
	s.loose, s.parallel = true, true
	defer func() { s.parallel = false }()
	var wg sync.WaitGroup
	callers := 2 + s.rand.IntN(3)
	for i := range callers {
		r := rand.New(rand.NewPCG(s.rand.Uint64(), 0))
		wg.Go(func() {
			for range 1 + r.IntN(3) {
				s.step(r, func(k *key) bool { return int(k.id[len(k.id)-1])%callers == i })
			}
		})
	}
	wg.Wait()
}

// pause lets so much time go by that everything is written and synced, unless something is wrong.
func (s *trial) pause() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
	if s.disk.Ended() != disktest.Nothing || s.site.log.Healthy() != nil {
		return
	}
	for _, o := range s.ops {
		o.lasting = o.lasting || o.outcome != unknown && !o.lost
	}
}

// reseal rotates the keyring or the root key, seals everything anew, and destroys the versions that nothing is sealed by any more.
// What comes of it on a disk that fails is not asked: whatever it is, everything opens at the next start.
func (s *trial) reseal() {
	ctx, sealed := context.Background(), s.site.sealed
	rotate := sealed.RotateKeyring
	if s.rand.IntN(2) == 0 {
		rotate = sealed.RotateRoot
	}
	err := rotate(ctx, time.Now())
	if err == nil && s.rand.IntN(2) == 0 {
		err = sealed.Reseal(ctx, func(context.Context, time.Duration) error { return nil })
	}
	if err == nil && s.rand.IntN(2) == 0 && s.site.ready() == nil {
		time.Sleep(seal.TokenLife)
		synctest.Wait()
		_, err = sealed.DestroyRetired(ctx, time.Now())
	}
	if err == nil {
		s.stats.sealed++
	}
	synctest.Wait()
}

// scrub overwrites what is not in use of the store. On a disk that fails it may fail; whatever it has done, nothing else is gone.
func (s *trial) scrub() {
	s.loose = true // which pages bbolt leaves free is up to the order of a map
	if _, err := s.site.sealed.Scrub(context.Background(), store.ScrubOptions{}); err == nil {
		s.stats.scrubs++
	}
	synctest.Wait()
}

// week lets a week go by, and what is due happen.
func (s *trial) week() {
	time.Sleep(8 * 24 * time.Hour)
	synctest.Wait()
	for _, k := range s.keys {
		if !k.deletion.IsZero() && !k.gone {
			k.doubt = true // the audit log tells at the next start
			s.loose = true
		}
	}
	_ = s.site.runner.RunDue(context.Background()) // it fails with the disk
}

// afterwards is when nothing is wrong with the disk any more: the service goes on, or says what keeps it from that.
func (s *trial) afterwards(p *plan) {
	time.Sleep(3 * time.Second)
	synctest.Wait()
	ready := s.site.ready()
	if p.hit {
		s.stats.failed++
		if ready != nil {
			s.stats.stopped++
			s.log("stopped: %v", ready)
		} else {
			s.stats.goneOn++
		}
	} else if ready != nil {
		s.fault("nothing was wrong with the disk, and the service says: %v", ready)
	}
	if ready != nil {
		return
	}
	before := s.stats.unknown
	k := s.makeKey(false)
	if k == nil {
		if k = s.pick(s.rand, usable); k != nil {
			s.describe(k)
		}
	}
	if k != nil {
		s.encrypt(k)
	}
	if s.stats.unknown != before {
		s.fault("the service says that it is ready, and fails (%v)", s.site.ready())
	}
}

// start starts the service, again and again until it gets so far; false if it never does. With a plan, it may fail and even die
// on the way; without one, that is a fault.
func (s *trial) start(p *plan) bool {
	for try := range 3 {
		if p != nil && try < 2 {
			s.disk.Decide(p.decide)
		} else {
			s.disk.Decide(func(op disktest.Op) disktest.Fault {
				if *traceFlag {
					fmt.Fprintf(os.Stderr, "%d %s %s\n", op.N, op.Kind, op.Name)
				}
				return disktest.Fault{}
			})
		}
		s.stats.opens++
		site, err := open(s.disk, s.layout)
		if err == nil {
			s.site = site
			return true
		}
		s.log("start: %v", err)
		ended := s.disk.Ended() != disktest.Nothing
		if p == nil || try == 2 || !ended && !p.hit {
			s.fault("the service does not start, and nothing is wrong: %v", err)
			return false
		}
		if !ended && !strings.Contains(err.Error(), p.err.Error()) {
			s.fault("the service does not start after a failure of the disk, and says only: %v", err)
		}
		s.reboot()
	}
	return false
}

// end ends a life: in good order, or as process or machine do.
func (s *trial) end() {
	if s.disk.Ended() == disktest.Nothing {
		switch s.rand.IntN(4) {
		case 0, 1:
			s.disk.Stop(disktest.Power)
		case 2:
			s.disk.Stop(disktest.Process)
		}
	}
	err := s.site.close()
	s.site = nil
	if s.disk.Ended() == disktest.Nothing {
		s.log("closed: %v", err)
		if err == nil { // everything was synced
			for _, o := range s.ops {
				o.lasting = o.lasting || o.outcome != unknown && !o.lost
			}
		}
	}
	s.reboot()
}

// reboot is what comes between two lives. Nothing of the old one is running any more.
func (s *trial) reboot() {
	s.disk.Forget()
	power := s.disk.Ended() == disktest.Power
	if s.disk.Ended() == disktest.Nothing {
		power = s.rand.IntN(2) == 0
	}
	if !power {
		s.stats.kills++
		s.log("next process")
		s.disk = s.disk.Restart()
		return
	}
	s.stats.powerCuts++
	s.log("power cut")
	dir, err := s.newRoot()
	if err == nil {
		old := s.disk.Root()
		s.disk, err = s.disk.PowerCut(dir)
		err = errors.Join(err, os.RemoveAll(old))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// verify compares the service, just started, with what its callers know.
func (s *trial) verify() {
	synctest.Wait()
	if s.site.ready() != nil {
		time.Sleep(3 * time.Second) // the disk was full at the start: the log looks again each second
		if err := s.site.ready(); err != nil {
			s.fault("the service has started, nothing is wrong, and it is not ready: %v", err)
			return
		}
	}
	s.readAudit()
	if len(s.faults) > 0 {
		return
	}
	s.readStore()
	s.checkBlobs()
}
