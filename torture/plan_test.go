//go:build torture

package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"

	"github.com/keyturn/keyturn/internal/disk/disktest"
)

// plan is what happens to the disk during one life of the service.
type plan struct {
	kind  string
	at    int // which operation it begins with, from the start of the life
	left  int // operations that it still hits, once it has begun
	rate  int // of a flaky disk: one of so many operations fails
	err   error
	only  disktest.Kind // "" for any
	room  int64
	count int
	hit   bool // something failed
	off   bool // nothing happens any more
	rand  *rand.Rand
	disk  *disktest.Disk
	trace bool
}

// drawPlan draws one. Early operations are as likely as late ones, whose number nobody knows.
func drawPlan(r *rand.Rand) *plan {
	p := &plan{rand: r, at: 1 + r.IntN(1<<(1+r.IntN(10))), err: syscall.EIO}
	if r.IntN(3) == 0 {
		p.err = syscall.ENOSPC
	}
	switch n := r.IntN(100); {
	case n < 35:
		p.kind = "power"
	case n < 50:
		p.kind = "kill"
	case n < 75:
		p.kind, p.left = "fail", 1
		if r.IntN(3) == 0 {
			p.left += r.IntN(6)
		}
		kinds := []disktest.Kind{"", "", disktest.Sync, disktest.Write, disktest.Truncate, disktest.SyncDir, disktest.Create, disktest.Allocate, disktest.Remove, disktest.Open}
		if p.only = kinds[r.IntN(len(kinds))]; p.only != "" && p.only != disktest.Write {
			p.at = 1 + r.IntN(1<<(1+r.IntN(6)))
		}
	case n < 85:
		p.kind, p.room = "full", int64(r.IntN(1<<(10+r.IntN(8))))
	case n < 93:
		p.kind, p.rate = "flaky", 20+r.IntN(200)
	default:
		p.kind = "calm"
	}
	return p
}

func (p *plan) String() string {
	s := fmt.Sprintf("%s at %d", p.kind, p.at)
	if p.kind == "fail" {
		s += fmt.Sprintf(", %d of %q, %v", p.left, p.only, p.err)
	}
	return s
}

// decide is the disk's.
func (p *plan) decide(op disktest.Op) (f disktest.Fault) {
	if p.trace {
		defer func() { fmt.Fprintf(os.Stderr, "%d %s %s %+v\n", op.N, op.Kind, op.Name, f) }()
	}
	if p.off {
		return f
	}
	if p.only == "" || p.only == op.Kind {
		p.count++
	}
	if p.rand.IntN(16) == 0 {
		f.Slow = 1 + p.rand.IntN(8)
	}
	switch {
	case p.count < p.at:
	case p.kind == "power":
		f.End = disktest.Power
	case p.kind == "kill":
		f.End = disktest.Process
	case p.kind == "fail" && p.left > 0 && (p.only == "" || p.only == op.Kind):
		p.left--
		p.fail(&f)
	case p.kind == "flaky" && p.rand.IntN(p.rate) == 0:
		p.fail(&f)
	}
	return f
}

func (p *plan) fail(f *disktest.Fault) {
	p.hit = true
	f.Err, f.Keep, f.Done, f.Drop = p.err, p.rand.Float64(), p.rand.IntN(4) == 0, p.rand.IntN(2) == 0
}
