package audit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/disk/disktest"
)

// powerLog is a log on a disk that fails and loses power, and what it said it has.
type powerLog struct {
	t    *testing.T
	rand *rand.Rand
	disk *disktest.Disk
	log  *Log
	n    int
	sure map[int]uint64 // sequence numbers of the records that nothing can lose, by what is in them
}

// A log that is opened again has everything that was synced, and everything that an opening before has shown, whatever the
// disk did in between; the rest is not there, or whole and in its place.
func TestLogSurvivesDisk(t *testing.T) {
	schedules := 200
	if testing.Short() {
		schedules = 50
	}
	for seed := range uint64(schedules) {
		p := &powerLog{t: t, rand: rand.New(rand.NewPCG(seed, 0)), sure: make(map[int]uint64)}
		p.disk = disktest.New(t.TempDir(), p.rand)
		for range 2 + p.rand.IntN(4) {
			p.life()
		}
		p.start(false)
		if p.log != nil {
			_ = p.log.Close()
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// start opens the log, at times on a disk that fails already, and compares.
func (p *powerLog) start(faults bool) {
	segment := int64(4) << (10 + p.rand.IntN(4))
	open := func() (*Log, error) {
		return Open(filepath.Join(p.disk.Root(), "audit"), Options{NodeID: "n", ReserveBytes: 3000, SegmentBytes: segment, FS: p.disk})
	}
	for faults {
		p.disk.Decide(p.faulty(10))
		if l, err := open(); err == nil {
			p.log = l
			break
		}
		p.reboot()
		faults = p.rand.IntN(2) == 0
	}
	p.disk.Decide(nil)
	if p.log == nil {
		l, err := open()
		if err != nil {
			p.t.Error(err)
			return
		}
		p.log = l
	}
	found := make(map[int]uint64)
	var next uint64 = 1
	for line, err := range p.log.Since(1) {
		var n int
		if err == nil {
			_, err = fmt.Sscanf(string(line.JSON[strings.Index(string(line.JSON), `"a":`):]), `"a":%d`, &n)
		}
		if err != nil || line.Seq != next {
			p.t.Errorf("line %d after %d: %v", line.Seq, next-1, err)
			return
		}
		next++
		found[n] = line.Seq
	}
	for n, seq := range p.sure {
		if found[n] != seq {
			p.t.Errorf("record %d is at %d and was at %d", n, found[n], seq)
		}
	}
	p.sure = found // Open has made it durable
}

// faulty is a disk where one of so many operations fails, and one of three of these ends everything.
func (p *powerLog) faulty(rate int) func(disktest.Op) disktest.Fault {
	return func(disktest.Op) (f disktest.Fault) {
		switch p.rand.IntN(3 * rate) {
		case 0, 1:
			f.Err, f.Keep, f.Drop, f.Done = syscall.EIO, p.rand.Float64(), p.rand.IntN(2) == 0, p.rand.IntN(4) == 0
			if p.rand.IntN(3) == 0 {
				f.Err = syscall.ENOSPC
			}
		case 2:
			f.End = disktest.End(1 + p.rand.IntN(2))
		}
		return f
	}
}

func (p *powerLog) life() {
	p.start(p.rand.IntN(2) == 0)
	if p.log == nil {
		return
	}
	p.disk.Decide(p.faulty(5 + p.rand.IntN(100)))
	for range p.rand.IntN(40) {
		p.n++
		r := fmt.Appendf(nil, `{"a":%d,"b":%q}`, p.n, strings.Repeat("b", p.rand.IntN(1000)))
		if p.rand.IntN(3) > 0 {
			_, _ = p.log.Append(r) // a power cut may take it
			continue
		}
		if seq, err := p.log.AppendSync([][]byte{r}); err == nil {
			p.sure[p.n] = seq
		}
	}
	_ = p.log.Close()
	p.log = nil
	p.reboot()
}

func (p *powerLog) reboot() {
	p.disk.Forget()
	if p.disk.Ended() == disktest.Process || p.disk.Ended() == disktest.Nothing && p.rand.IntN(2) == 0 {
		p.disk = p.disk.Restart()
		return
	}
	next, err := p.disk.PowerCut(p.t.TempDir())
	if err != nil {
		p.t.Fatal(err)
	}
	p.disk = next
}

// measured counts what is written between two syncs, and the longest write.
type measured struct {
	file
	m *measure
}

type measure struct {
	mu                      sync.Mutex
	unsynced, most, longest int
}

func (f measured) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.unsynced += len(p)
	f.m.most, f.m.longest = max(f.m.most, f.m.unsynced), max(f.m.longest, len(p))
	return f.file.Write(p)
}

func (f measured) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.unsynced = 0
	return nil
}

// However much comes, a power cut finds no more than maxUnsynced that may be torn.
func TestLogBoundsWhatIsNotSynced(t *testing.T) {
	m := new(measure)
	fs := unsynced()
	fs.open = func(name string, flag int) (file, error) {
		f, err := osFiles().open(name, flag)
		return measured{f, m}, err
	}
	l := openLog(t, t.TempDir(), Options{ReserveBytes: -1, SyncInterval: 1 << 60, files: fs})
	record := []byte(`{"a":"` + strings.Repeat("a", 700_000) + `"}`)
	const appends = 40
	var started, done sync.WaitGroup
	started.Add(appends)
	l.wmu.Lock() // until all are waiting, or about to
	for range appends {
		done.Go(func() {
			started.Done()
			if _, err := l.Append(record); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	l.wmu.Unlock()
	done.Wait()
	if l.NextSeq() != appends+1 {
		t.Errorf("NextSeq = %d after %d appends", l.NextSeq(), appends)
	}
	if m.most > maxUnsynced || m.most < maxUnsynced/2 || m.longest > maxBatch+maxBatch/4 {
		t.Errorf("%d bytes waited for fsync, and one write had %d", m.most, m.longest)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(lastSegment(t, l.dir)); err != nil || info.Size() < appends*700_000 {
		t.Error(info, err)
	}
}

// What of a write was taken back, because the rest did not get in, can be on the disk all the same. It must not come up between
// the lines that were written later.
func TestPowerCutAfterTakingBack(t *testing.T) {
	for seed := range uint64(200) {
		p := &powerLog{t: t, rand: rand.New(rand.NewPCG(seed, 1)), sure: make(map[int]uint64)}
		p.disk = disktest.New(t.TempDir(), p.rand)
		p.start(false)
		fail := false
		p.disk.Decide(func(op disktest.Op) (f disktest.Fault) {
			if fail && op.Kind == disktest.Write {
				f.Err, f.Keep, fail = syscall.EIO, 0.9, false
			}
			return f
		})
		record := func(n, size int) []byte {
			return fmt.Appendf(nil, `{"a":%d,"b":"%s"}`, n, strings.Repeat(fmt.Sprint(n), size))
		}
		if seq, err := p.log.AppendSync([][]byte{record(1, 300)}); err == nil {
			p.sure[1] = seq
		}
		fail = true
		if _, err := p.log.Append(record(2, 3000)); err == nil {
			t.Fatal("a write that failed is acknowledged")
		}
		for n := 3; n < 8; n++ {
			if _, err := p.log.Append(record(n, 500)); err != nil {
				t.Fatal(err)
			}
		}
		p.disk.Stop(disktest.Power)
		_ = p.log.Close()
		p.log = nil
		p.reboot()
		p.start(false)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
		_ = p.log.Close()
	}
}

// SafeSeq follows what was synced, and after a power cut the log goes on no earlier.
func TestSafeSeq(t *testing.T) {
	for seed := range uint64(30) {
		p := &powerLog{t: t, rand: rand.New(rand.NewPCG(seed, 2)), sure: make(map[int]uint64)}
		p.disk = disktest.New(t.TempDir(), p.rand)
		p.start(false)
		if got := p.log.SafeSeq(); got != 1 {
			t.Errorf("SafeSeq of an empty log is %d", got)
		}
		if _, err := p.log.AppendSync([][]byte{[]byte(`{"a":1}`), []byte(`{"a":2}`)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := p.log.Append([]byte(`{"a":3}`)); err != nil {
				t.Fatal(err)
			}
		}
		if safe, next := p.log.SafeSeq(), p.log.NextSeq(); safe != 3 || next != 6 {
			t.Errorf("SafeSeq is %d and NextSeq %d, want 3 and 6", safe, next)
		}
		p.disk.Stop(disktest.Power)
		_ = p.log.Close()
		p.log = nil
		p.reboot()
		p.start(false)
		if next := p.log.NextSeq(); next < 3 || p.log.SafeSeq() != next {
			t.Errorf("after a power cut SafeSeq is %d and NextSeq %d", p.log.SafeSeq(), next)
		}
		_ = p.log.Close()
	}
}

// A segment that was made although its making failed is taken away again, or the log stops: else lines that go on in the one before
// would contradict it.
func TestSegmentMadeInSpiteOfAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		then  disktest.Kind // what fails, too
		stops bool
	}{
		"taken away":         {"", false},
		"cannot be removed":  {disktest.Remove, true},
		"removal not synced": {disktest.SyncDir, true},
	} {
		t.Run(name, func(t *testing.T) {
			disk := disktest.New(t.TempDir(), rand.New(rand.NewPCG(1, 3)))
			dir := filepath.Join(disk.Root(), "audit")
			opts := Options{NodeID: "n", ReserveBytes: -1, SegmentBytes: 200, FS: disk}
			l, err := Open(dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append([]byte(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			disk.Decide(func(op disktest.Op) (f disktest.Fault) {
				if op.Kind == disktest.Create {
					f.Err, f.Done = syscall.EIO, true
				} else if op.Kind == tt.then {
					f.Err = syscall.EIO
				}
				return f
			})
			long := fmt.Appendf(nil, `{"a":"%s"}`, strings.Repeat("a", 180))
			if _, err := l.Append(long); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrStopped) != tt.stops {
				t.Errorf("Append: %v, want it to stop the log: %t", err, tt.stops)
			}
			disk.Decide(nil)
			if seq, err := l.Append([]byte(`{"a":2}`)); (err == nil) == tt.stops || err == nil && seq != 2 {
				t.Errorf("Append = %d, %v", seq, err)
			}
			want := l.NextSeq() - 1
			_ = l.Close()
			if l, err = Open(dir, opts); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if got := lines(t, l.Since(1)); uint64(len(got)) != want {
				t.Errorf("%d lines, want %d", len(got), want)
			}
			if _, err := l.Append(long); err != nil {
				t.Error(err)
			}
		})
	}
}

// A segment that is there already is nobody's to remove.
func TestSegmentInTheWay(t *testing.T) {
	l := openLog(t, t.TempDir(), Options{SegmentBytes: 60})
	if _, err := l.Append(rec(1)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(l.dir, segmentName(2))
	if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(rec(2)); !errors.Is(err, ErrStopped) {
		t.Errorf("Append: %v", err)
	}
	if b, err := os.ReadFile(name); string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}
