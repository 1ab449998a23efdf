package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go"
)

// world is what the test knows: of every call how it ended, and what the service must therefore hold.
type world struct {
	seed uint64
	dir  string

	ticks   atomic.Int64 // orders the beginnings and ends of calls
	killing atomic.Bool  // a lost connection is no surprise
	onAck   func()       // called after each acknowledged call of a storm; nil outside

	mu       sync.Mutex
	round    int
	keys     map[string]*key   // by ID
	live     []*key            // those not gone, in order of creation
	aliases  map[string]string // alias name to key ID
	calls    map[string]*call  // answered and not seen in the audit log yet, by request ID
	doubts   []*call           // of this round: under way when the process was killed
	advances []*call           // AdvanceClock calls of this round, answered or not
	readTick int64             // when the audit log was last read
	faults   []string
	log      auditLog

	clock     time.Time // the service's time was at least this
	runClock  time.Time // the service's time when this run of it began
	clockRead time.Time // real time when the round's clock was read
	horizon   time.Time // the service's time can be explained up to here, and as much more as has passed since clockRead
	stats     stats
}

// stats tell whether enough happened for a pass to mean something.
type stats struct {
	starts, acked, refused int
	doubted, happened      int // under way at a kill; and of these, what turned out to have happened
	rotations, deletions   int
	lines, checks          int           // audit lines read, keys compared
	swapped                int           // RotateKey events logged before the one that they follow
	slowest                time.Duration // start
}

func (s stats) String() string {
	return fmt.Sprintf("%d starts (slowest %v), %d calls answered, %d refused, %d under way at a kill (%d had happened), %d rotations, %d deletions, %d audit lines (%d out of order), %d keys compared",
		s.starts, s.slowest.Round(time.Millisecond), s.acked, s.refused, s.doubted, s.happened, s.rotations, s.deletions, s.lines, s.swapped, s.checks)
}

// key is a key as it must be.
type key struct {
	id, arn     string
	worker      int // who may change it
	description string
	state       string
	tags        map[string]string
	rotation    int32     // period in days, 0: off
	next        time.Time // next rotation, zero: not known yet
	deletion    time.Time // zero: not known yet
	onDemand    int       // on-demand rotations asked for
	chain       []*material
	ciphertexts []*ciphertext
	waiting     map[string]*material // logged before the one that they follow
	touched     bool
	gone        bool
	goneLogged  bool
	hot         bool // used by all workers at once
	history     []string
}

// material is one key material; it became current after the tick from, and by the tick to.
type material struct {
	id        string
	automatic bool
	date      time.Time // zero until listed
	listed    bool
	logged    bool      // its RotateKey event was seen
	logDate   time.Time // by the log, whole seconds
	from, to  int64
}

// ciphertext was made between two ticks.
type ciphertext struct {
	blob, plaintext []byte
	context         map[string]string
	material        string // "" until known
	from, to        int64
	checked         bool
}

// call is one request.
type call struct {
	name     string
	key      *key   // nil if it is about none, or the key is yet to be made
	mark     string // a text that only this call's audit record has; "" if there is none
	from, to int64
	// apply changes the model as the call changes the service. Called with the world locked; record is nil for an answered call.
	apply func(r *auditRecord)
	// allowed are the codes it may be refused with.
	allowed []string
	code    string // refused with
	events  *clockReply
	floor   time.Time // AdvanceClock: the time when it began, at least
	seconds int64
	seen    bool // a doubt that has its record
}

func (c *call) String() string {
	id := ""
	if c.key != nil {
		id = " " + c.key.id
	}
	return c.name + id + " " + c.mark
}

var (
	errDoubt   = errors.New("killed meanwhile")
	errRefused = errors.New("refused")
)

// do runs a call and files how it ended: nil (answered: it must be there), errRefused, errDoubt, or a fault.
func (w *world) do(ctx context.Context, c *call, f func(ctx context.Context) error) error {
	var requestID string
	c.from = w.ticks.Add(1)
	err := f(context.WithValue(ctx, requestIDKey{}, &requestID))
	c.to = w.ticks.Add(1)
	var refusal smithy.APIError
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		c.code = refusal.ErrorCode()
		w.stats.refused++
		if !c.allows(c.code) {
			w.fault("%v was refused: %v", c, refusal)
		}
	case w.killing.Load():
		w.stats.doubted++
		w.doubts = append(w.doubts, c)
		if c.key != nil {
			c.key.touched = true
		}
		return errDoubt
	default:
		w.fault("%v failed without a crash: %v", c, err)
		return err
	}
	if requestID == "" {
		w.fault("%v was answered without a request ID", c)
	} else if w.calls[requestID] != nil || w.log.requests[requestID] {
		w.fault("%v was answered with request ID %s, which another call had", c, requestID)
	}
	w.calls[requestID] = c
	if c.code != "" {
		return errRefused
	}
	w.stats.acked++
	w.note(c, "answered")
	if c.apply != nil {
		c.apply(nil)
	}
	if w.onAck != nil {
		w.onAck()
	}
	return nil
}

func (c *call) allows(code string) bool {
	for _, a := range c.allowed {
		if a == code {
			return true
		}
	}
	return false
}

// note remembers what was done to a key, to be told with a fault.
func (w *world) note(c *call, how string) {
	if c.key == nil || c.mark == "" && c.apply == nil {
		return
	}
	c.key.touched = true
	c.key.history = append(c.key.history, fmt.Sprintf("round %d: %s %s %s", w.round, c.name, c.mark, how))
	if n := len(c.key.history); n > 12 {
		c.key.history = c.key.history[n-12:]
	}
}

// fault files what is wrong. The world is locked.
func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// keyFault files what is wrong with a key, with what was last done to it.
func (w *world) keyFault(k *key, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault("key %s: %s; before that:\n\t\t%s", k.id, fmt.Sprintf(format, args...), strings.Join(k.history, "\n\t\t"))
}

// addKey takes in a key that was just made. The world is locked.
func (w *world) addKey(k *key, materialID string, from, to int64) {
	k.state, k.touched = "Enabled", true
	k.chain = []*material{{id: materialID, logged: true, from: from, to: to}}
	w.keys[k.id] = k
	w.live = append(w.live, k)
}

// addCiphertext keeps one to be opened after every crash; old ones make room at random, but never the first. The world is locked.
func (k *key) addCiphertext(c *ciphertext, r *rand.Rand) {
	const most = 10
	if len(k.ciphertexts) < most {
		k.ciphertexts = append(k.ciphertexts, c)
		return
	}
	k.ciphertexts[1+r.IntN(most-1)] = c
}

// matches tells whether an audit record can be that of the call.
func (c *call) matches(r *auditRecord, line []byte) bool {
	if c.seen || r.EventName != c.name {
		return false
	}
	if c.mark != "" {
		return bytes.Contains(line, []byte(`"`+c.mark+`"`))
	}
	return c.key == nil || r.RequestParameters.KeyID == c.key.id
}
