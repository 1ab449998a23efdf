package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	keyring  int64            // the newest version of it that was answered
	scrubbed int64            // number of the last compaction that the log tells of
	families []*family        // in order of creation
	keys     map[string]*key  // by ARN
	live     []*key           // those not gone, in order of creation
	aliases  map[string]*key  // by alias name
	calls    map[string]*call // answered and not seen in the audit log yet, by request ID
	doubts   []*call          // of this round: under way when the process was killed
	advances []*call          // AdvanceClock calls of this round, answered or not
	expired  map[string]bool  // ARN and ID of materials of which the audit log told since the last round that they expired
	readTick int64            // when the audit log was last read
	faults   []string
	log      auditLog

	clock     time.Time // the service's time was at least this
	clockAt   time.Time // real time when it was
	runClock  time.Time // the service's time when this run of it began
	clockRead time.Time // real time when the round's clock was read
	horizon   time.Time // the service's time can be explained up to here, and as much more as has passed since clockRead
	stats     *stats    // of all deployments
}

// stats tell whether enough happened for a pass to mean something.
type stats struct {
	starts, acked, refused int
	doubted, happened      int // under way at a kill; and of these, what turned out to have happened
	rotations, deletions   int
	replicas, promotions   int           // made; primaries changed
	imports, expiries      int           // of material
	turns                  int           // rotations to imported material
	waited                 int           // primaries whose waiting period began when the last replica was deleted
	synchronized           int           // changes that went from a primary to its replicas
	settled                int           // uses that had to be counted in spite of a crash
	lines, checks          int           // audit lines read, keys compared
	stores                 int           // stores read from end to end
	seals                  int           // new keys of the keyring, or root keys
	compactions            int           // of the store
	swapped                int           // RotateKey events logged before the one that they follow
	slowest                time.Duration // start
}

func (s stats) String() string {
	return fmt.Sprintf("%d starts (slowest %v), %d calls answered, %d refused, %d under way at a kill (%d had happened), %d rotations (%d to imported material), %d deletions (%d after all replicas), "+
		"%d replicas, %d primaries changed, %d synchronized, %d imports, %d expired, %d uses that must be counted, %d audit lines (%d out of order), %d keys compared, %d stores read, %d times sealed anew, %d times compacted",
		s.starts, s.slowest.Round(time.Millisecond), s.acked, s.refused, s.doubted, s.happened, s.rotations, s.turns, s.deletions, s.waited,
		s.replicas, s.promotions, s.synchronized, s.imports, s.expiries, s.settled, s.lines, s.swapped, s.checks, s.stores, s.seals, s.compactions)
}

// meager names what a long run should have met and did not.
func (s stats) meager() (missing []string) {
	for _, n := range []struct {
		name  string
		count int
	}{
		{"calls under way at a kill", s.doubted}, {"calls under way that had happened", s.happened}, {"rotations", s.rotations},
		{"deletions", s.deletions}, {"deletions after all replicas", s.waited}, {"replicas", s.replicas}, {"changes of the primary", s.promotions}, {"imports", s.imports},
		{"expiries", s.expiries}, {"rotations to imported material", s.turns}, {"synchronized keys", s.synchronized},
		{"uses that must be counted", s.settled}, {"stores read", s.stores}, {"new keys of the keyring", s.seals},
		{"compactions", s.compactions},
	} {
		if n.count == 0 {
			missing = append(missing, n.name)
		}
	}
	return missing
}

// key is a key in one region as it must be.
type key struct {
	*family
	arn, region string
	description string
	state       string // follows family.now
	tags        map[string]string
	deletion    time.Time // zero: not known yet
	params      *importParams
	uses        ledger
	fresh       bool // never compared yet
	touched     bool // used or changed since the last check
	changed     bool
	gone        bool
	goneLogged  bool
	again       bool // there was one before it in the region, which may be swept late
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

// output is what a key made of an input between two ticks: a ciphertext, a signature, or a MAC. It is good in every region.
type output struct {
	blob, input []byte
	context     map[string]string // ciphertexts only
	material    string            // "" until known, and but for ciphertexts
	from, to    int64
	checked     bool
}

// call is one request.
type call struct {
	name     string
	key      *key   // nil if it is about none, or the key is yet to be made
	mark     string // a text that only this call's audit record has; "" if there is none
	use      tally  // what it counts as if it succeeds
	from, to int64
	// apply changes the model as the call changes the service. Called once, with the world locked; record is nil for an answered call.
	apply func(r *auditRecord)
	// change is what the call changes of where the key's family stands. Called after apply, see standing.
	change func(s *standing)
	// allowed are the codes it may be refused with; one with a colon and a message, only with just that message.
	allowed []string
	code    string // refused with
	events  *clockReply
	floor   time.Time // AdvanceClock: the time when it began, at least
	seconds int64
	seen    bool // a doubt that has its record
}

func (c *call) String() string {
	arn := ""
	if c.key != nil {
		arn = " " + c.key.arn
	}
	return c.name + arn + " " + c.mark
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
		if !c.allows(c.code, refusal.ErrorMessage()) {
			w.fault("%v was refused: %v", c, refusal)
		}
	case w.killing.Load():
		w.stats.doubted++
		w.doubts = append(w.doubts, c)
		if c.key != nil {
			c.key.touched, c.key.changed = true, true
			c.key.uses.doubt(c.use)
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
	if c.change != nil {
		c.key.family.change(c.change)
	}
	if c.use != (tally{}) {
		c.key.touched = true
		c.key.uses.answered(c.use)
	}
	if w.onAck != nil {
		w.onAck()
	}
	return nil
}

func (c *call) allows(code, message string) bool {
	return slices.Contains(c.allowed, code) || slices.Contains(c.allowed, code+": "+message)
}

// note remembers what was done to a key, to be told with a fault.
func (w *world) note(c *call, how string) {
	if c.key == nil || c.mark == "" && c.apply == nil && c.change == nil {
		return
	}
	c.key.touched = true
	c.key.changed = c.key.changed || c.use == tally{}
	c.key.remember("round %d: %s in %s %s %s", w.round, c.name, c.key.region, c.mark, how)
}

// remember keeps the end of a family's history.
func (f *family) remember(format string, args ...any) {
	const most = 20
	f.history = append(f.history, fmt.Sprintf(format, args...))
	if n := len(f.history); n > most {
		f.history = f.history[n-most:]
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
	w.faultOf(k, format, args...)
}

// faultOf is keyFault in a world that is locked.
func (w *world) faultOf(k *key, format string, args ...any) {
	w.fault("key %s (%s): %s; before that:\n\t\t%s", k.arn, k.kind.spec, fmt.Sprintf(format, args...), strings.Join(k.history, "\n\t\t"))
}

// addKey takes in a key that was just made, with its family. The world is locked.
func (w *world) addKey(k *key, materialID string, from, to int64) {
	f := k.family
	f.now = &standing{primary: k.region, at: make(map[*key]*place)}
	f.now.join(k)
	f.mirror()
	if f.imported {
		f.logged = f.now.clone()
		f.expired = make(map[holding]bool)
	} else {
		f.chain = []*material{{id: materialID, logged: true, from: from, to: to}}
	}
	w.families = append(w.families, f)
	w.join(k)
}

// join takes in a key of a family, in place of one of the same region that was deleted before. The world is locked.
func (w *world) join(k *key) {
	k.fresh, k.touched, k.changed = true, true, true
	if old := k.in(k.region); old != nil {
		k.again = true
		k.uses.inherit(&old.uses)
		k.members[slices.Index(k.members, old)] = k
	} else {
		k.members = append(k.members, k)
	}
	w.keys[k.arn] = k
	w.live = append(w.live, k)
}

// addOutput keeps one to be checked after every crash; old ones make room at random, but never the first. The world is locked.
func (f *family) addOutput(o *output, r *rand.Rand) {
	const most = 10
	if len(f.outputs) < most {
		f.outputs = append(f.outputs, o)
		return
	}
	f.outputs[1+r.IntN(most-1)] = o
}

// matches tells whether an audit record can be that of the call.
func (c *call) matches(r *auditRecord, line []byte) bool {
	if c.seen || r.EventName != c.name || c.key != nil && r.Region != c.key.region {
		return false
	}
	if c.mark != "" {
		return bytes.Contains(line, []byte(`"`+c.mark+`"`))
	}
	return c.key == nil || r.RequestParameters.KeyID == c.key.id
}

// serviceTime is what the service's clock shows now, or a little less. The world is locked.
func (w *world) serviceTime() time.Time { return w.clock.Add(time.Since(w.clockAt)) }
