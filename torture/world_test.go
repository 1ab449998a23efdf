//go:build torture

package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// outcome is what the caller of an operation knows.
type outcome int

const (
	unknown outcome = iota // the server failed, or died: it happened or not
	done
	refused
)

// op is one call, from the side of its caller.
type op struct {
	name    string
	request string // its ID
	change  bool   // it changes records, so its audit record is part of the commit
	outcome outcome
	code    string // of a refusal
	key     *key   // nil for CreateKey

	apply   func(r *auditRecord) // takes into the model that it happened; r is nil if the caller knows
	lasting bool                 // its audit record must survive a power cut
	lost    bool                 // its audit record did not, and did not have to
	settled bool                 // the model has it
	failed  bool                 // it was unknown at first
}

// key is what the callers know of a key.
type key struct {
	id          string
	state       record.State
	description string
	tags        map[string]string
	aliases     map[string]bool
	grants      map[string]bool
	rotations   int
	imported    bool
	deletion    time.Time // when it is due
	gone        bool

	doubt bool // an operation on it ended unknown: nobody touches it until the next start tells
	blobs []blob
}

// blob is a ciphertext that was handed out.
type blob struct {
	ciphertext, plaintext []byte
	context               map[string]string
}

// world is what the callers of one schedule know.
type world struct {
	rand *rand.Rand
	site *site
	// parallel: other calls are under way. Else each call waits until what it has started in the background is done.
	parallel bool

	mu     sync.Mutex // guards what follows, in the moments in which several callers are at work
	serial int
	keys   []*key
	ops    []*op
	open   map[string]*op // whose records have not been seen to last, by request ID
	faults []string
	stats  stats
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// mark returns a text that nothing else in the schedule has.
func (w *world) mark(kind string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	return fmt.Sprintf("%s-%d", kind, w.serial)
}

// requestID returns an ID that tells which call it was. They are UUIDs, as everywhere.
func (w *world) requestID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", w.serial)
}

// call runs an operation and notes how it ended. apply is called at once if it succeeded, and at the next start if that is
// only known then.
func (w *world) call(o *op, req api.Request, result func(api.Response)) bool {
	o.request = w.requestID()
	w.mu.Lock()
	w.ops = append(w.ops, o)
	w.open[o.request] = o
	w.mu.Unlock()
	resp, err := w.site.do(o.name, o.request, req)
	if !w.parallel {
		synctest.Wait()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.calls++
	var e *api.Error
	switch {
	case err == nil:
		o.outcome, o.settled = done, true
		w.stats.done++
		if result != nil {
			result(resp)
		}
		if o.apply != nil {
			o.apply(nil)
		}
		return true
	case errors.As(err, &e) && e.Code != api.KMSInternalException && e.Code != api.DependencyTimeoutException:
		o.outcome, o.settled, o.code = refused, true, string(e.Code)
		w.stats.refused++
	default:
		o.failed = true
		w.stats.unknown++
		if o.change && o.key != nil {
			o.key.doubt = true
		}
	}
	return false
}

// stats is what happened in all schedules, to see that it was not too little.
type stats struct {
	calls, done, refused, unknown, happened, lives, powerCuts, kills, failed, full, opens, blobs, lines, lost, stopped, goneOn, sealed, scrubs int
}

func (s *stats) add(o *stats) {
	for _, p := range [][2]*int{
		{&s.calls, &o.calls}, {&s.done, &o.done}, {&s.refused, &o.refused}, {&s.unknown, &o.unknown}, {&s.happened, &o.happened},
		{&s.lives, &o.lives}, {&s.powerCuts, &o.powerCuts}, {&s.kills, &o.kills}, {&s.failed, &o.failed}, {&s.full, &o.full},
		{&s.opens, &o.opens}, {&s.blobs, &o.blobs}, {&s.lines, &o.lines}, {&s.lost, &o.lost}, {&s.stopped, &o.stopped}, {&s.goneOn, &o.goneOn}, {&s.sealed, &o.sealed}, {&s.scrubs, &o.scrubs},
	} {
		*p[0] += *p[1]
	}
}
