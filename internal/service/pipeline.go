package service

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/throttle"
)

// Keyring authenticates ciphertexts. The unsealed keyring is one.
type Keyring interface {
	keys.MACKeys
	CurrentMAC() *keys.MACKey
	// SealToken seals what a caller is to keep and bring back; OpenToken opens it, for the same purpose only. TokenRetired is since when
	// nothing is sealed any more by what sealed the token; zero if things still are.
	SealToken(plaintext []byte, purpose string) ([]byte, error)
	OpenToken(token []byte, purpose string) ([]byte, error)
	TokenRetired(token []byte) time.Time
}

// Config is what a Pipeline is made of.
type Config struct {
	Store   store.Store // sealed
	Keyring Keyring
	Clock   clock.Clock
	Audit   audit.Sink
	NodeID  string // this server among those that share the store; names its part of the outbox
	Log     *slog.Logger
	// Authorize decides on one target. An *api.Error refuses; nil allows. The service's own calls are not asked about.
	Authorize func(*Authorization) error
	// RealTime is what sessions are dated by; the service's own time may be elsewhere. Nil: time.Now.
	RealTime func() time.Time
	// Quotas are how often each account may call; nil: as often as it likes.
	Quotas *throttle.Limiter
	// Exclusive makes Control operations possible: every request waits while one runs. Only keyturn dev sets it.
	Exclusive bool
	// Local is told of every call of DoLocal, with its error and how long it took. Nil: nobody is.
	Local func(op *Op, call *Call, err error, took time.Duration)
}

// Pipeline runs operations. It is safe for concurrent use.
type Pipeline struct {
	store     store.Store
	keyring   Keyring
	clock     clock.Clock
	sink      audit.Sink
	log       *slog.Logger
	authorize func(*Authorization) error
	realTime  func() time.Time
	quotas    *throttle.Limiter
	cache     *cache
	outbox    *outbox
	usage     *usage
	census    *Census
	local     func(op *Op, call *Call, err error, took time.Duration)
	exclusive bool
	gate      sync.RWMutex // only with exclusive: requests hold it for reading
	damage    atomic.Pointer[error]
	seed      maphash.Seed
	lanes     [64]sync.Mutex
	commits   atomic.Uint64
}

// maxAttempts bounds how often a change is planned anew after conflicts. Each attempt that fails lost to one that won.
const maxAttempts = 100

// New returns a Pipeline and appends to the audit log what an earlier run committed and did not get to append.
func New(ctx context.Context, c Config) (*Pipeline, error) {
	p := &Pipeline{
		store: c.Store, keyring: c.Keyring, clock: c.Clock, sink: c.Audit, log: c.Log, authorize: c.Authorize,
		realTime: c.RealTime, quotas: c.Quotas, cache: newCache(), exclusive: c.Exclusive, seed: maphash.MakeSeed(),
	}
	if p.realTime == nil {
		p.realTime = time.Now
	}
	p.local = c.Local
	p.outbox, p.usage, p.census = newOutbox(p, c.NodeID), newUsage(p), newCensus(p)
	if err := p.outbox.drain(ctx); err != nil {
		return nil, fmt.Errorf("bringing the audit log up to date: %w", err)
	}
	if err := p.startTracking(ctx); err != nil {
		return nil, err
	}
	go p.outbox.loop()
	go p.usage.loop()
	return p, nil
}

// startTracking writes down, once, since when uses of keys are.
func (p *Pipeline) startTracking(ctx context.Context) error {
	r := &record.Tracking{Since: p.clock.Now()}
	entries, err := p.store.Get(ctx, r.StoreKey())
	if err != nil || entries[0].Rev != 0 {
		return err
	}
	r.By.Version = 1
	value, err := record.Encode(r)
	if err != nil {
		return err
	}
	_, err = p.store.Commit(ctx, store.Batch{
		Checks: []store.Check{{Key: r.StoreKey()}}, Writes: []store.Write{{Key: r.StoreKey(), Value: value}},
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // another server of the store was faster
	}
	return err
}

// Close waits until every committed audit record is in the log, and what keys were used for in the store. No operation may run any
// more.
func (p *Pipeline) Close(ctx context.Context) error {
	return errors.Join(p.usage.close(ctx), p.outbox.close(ctx))
}

// Flush waits until the audit records of all commits so far are in the log, and what keys were used for in the store.
func (p *Pipeline) Flush(ctx context.Context) error {
	return errors.Join(p.usage.flush(ctx), p.outbox.flush(ctx))
}

// Keyring returns the keyring.
func (p *Pipeline) Keyring() Keyring { return p.keyring }

// Store returns the sealed store, for the scheduler.
func (p *Pipeline) Store() store.Store { return p.store }

// Clock returns the service's clock.
func (p *Pipeline) Clock() clock.Clock { return p.clock }

// Commits tells how many changes this pipeline has committed. Uses of keys, which are written down apart, are none.
func (p *Pipeline) Commits() uint64 { return p.commits.Load() }

// DurableLine returns the number of a line of the audit log that no power cut takes away any more, as are all before it; 0 if there is none.
func (p *Pipeline) DurableLine() uint64 { return p.sink.SafeSeq() - 1 }

// Healthy returns what keeps the server from being ready, joined by errors.Join, nil if nothing does: damaged records, or a log that
// cannot be written.
func (p *Pipeline) Healthy() error {
	err := p.Writable()
	if d := p.damage.Load(); d != nil {
		err = errors.Join(*d, err)
	}
	return err
}

// Writable returns what keeps changes from being made, nil if nothing does: an audit log that cannot be written.
func (p *Pipeline) Writable() error {
	if err := p.sink.Healthy(); err != nil {
		return err
	}
	return p.outbox.failure()
}

// Do runs an operation for a caller. The request has been decoded; decodeErr is what decoding said, so that a refused body is
// audited too. Every error is an *api.Error. A throttled call that nobody signed is not audited: everybody may have a token of a public identity
// provider, and could fill the log. It is for the caller of Do to report.
func (p *Pipeline) Do(ctx context.Context, op *Op, call *Call, req api.Request, decodeErr error) (resp api.Response, err error) {
	if p.exclusive {
		if op.Kind == Control {
			p.gate.Lock()
			defer p.gate.Unlock()
		} else {
			p.gate.RLock()
			defer p.gate.RUnlock()
		}
	}
	call.Now = p.clock.Now()
	if decodeErr == nil {
		decodeErr = req.Validate()
	}
	if decodeErr != nil {
		return nil, p.refuse(ctx, op, call, nil, decodeErr)
	}
	r, err := p.protect(ctx, op, call, req)
	if err != nil {
		return nil, err
	}
	return r.(api.Response), nil
}

// DoLocal runs an operation that is no part of an API for an adapter of this process, which has authenticated the caller and checked
// the request. Every error is an *api.Error.
func (p *Pipeline) DoLocal(ctx context.Context, op *Op, call *Call, req any) (any, error) {
	if p.exclusive {
		p.gate.RLock()
		defer p.gate.RUnlock()
	}
	call.Now = p.clock.Now()
	if p.local == nil || call.own {
		return p.protect(ctx, op, call, req)
	}
	start := time.Now()
	resp, err := p.protect(ctx, op, call, req)
	p.local(op, call, err, time.Since(start))
	return resp, err
}

// Shared keeps Control operations out until the returned function is called. The scheduler holds it while it works.
func (p *Pipeline) Shared() (release func()) {
	if !p.exclusive {
		return func() {}
	}
	p.gate.RLock()
	return p.gate.RUnlock
}

// DoInternal runs an Internal operation as the service, dated at. In keyturn dev, offset is the clock's offset to persist with
// it; 0 for none.
func (p *Pipeline) DoInternal(ctx context.Context, op *Op, owner record.Owner, at time.Time, offset time.Duration, req any) (any, error) {
	call := &Call{
		Caller: NewCaller(Caller{Account: owner.Account, Type: "AWSService", Service: true}), Region: owner.Region,
		RequestID: keys.NewKeyID().String(), SourceIP: ServiceName, UserAgent: ServiceName, Now: at, at: at, offset: int64(offset),
	}
	return p.protect(ctx, op, call, req)
}

// ReadOwn runs a Read operation as the service itself, for work of its own on an account's records: it may read everything, and since
// nobody called, nothing is audited.
func (p *Pipeline) ReadOwn(ctx context.Context, op *Op, owner record.Owner, req any) (any, error) {
	if op.Kind != Read {
		return nil, fmt.Errorf("service: %s does more than read", op.Name)
	}
	return p.DoLocal(ctx, op, &Call{
		Caller: NewCaller(Caller{Account: owner.Account, Type: "AWSService", Service: true}), Region: owner.Region,
		RequestID: keys.NewKeyID().String(), own: true,
	}, req)
}

// protect runs an operation, turns a panic into an internal error and every error into an *api.Error.
func (p *Pipeline) protect(ctx context.Context, op *Op, call *Call, req any) (resp any, err error) {
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("panic in an operation", "operation", op.Name, "requestID", call.RequestID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			resp, err = nil, p.refuse(ctx, op, call, nil, api.New(api.KMSInternalException))
		}
	}()
	if !op.Built {
		_, err := op.run(ctx, p, call, req)
		return nil, p.refuse(ctx, op, call, nil, err)
	}
	return op.run(ctx, p, call, req)
}

// ErrDryRun is the answer to a dry run that would have succeeded. A plan may return it early, ahead of what reaches out.
var ErrDryRun = api.Errorf(api.DryRunOperationException, "The request would have succeeded, but the DryRun option is set.")

// ErrTorn is what an operation returns that has read records which cannot be there together: one was read before a commit that changed both,
// the other after it. The operation starts over. If it comes to the same again and again, the store is broken.
var ErrTorn = errors.New("service: records that do not belong together")

// maxTorn is how often an operation starts over for ErrTorn.
const maxTorn = 8

// Provision is what Resolve returns, as its error beside the targets, when a target is made on first use: once the targets are
// allowed, Op is run with Req, then the operation starts over.
type Provision struct {
	Op  *Op
	Req any
}

func (*Provision) Error() string { return "service: target is yet to be made" }

// run takes one operation from resolving to the audit record. The error is an *api.Error.
func run[Q, R any](ctx context.Context, p *Pipeline, op *Op, d *Def[Q, R], call *Call, q *Q) (*R, error) {
	if d.Check != nil {
		if err := d.Check(q); err != nil {
			return nil, p.refuse(ctx, op, call, nil, err)
		}
	}
	if !p.withinQuota(op, call, q) {
		if op.Unsigned {
			return nil, throttled(op) // see Do
		}
		return nil, p.refuse(ctx, op, call, &outcome{req: q}, throttled(op))
	}
	counted := false
	// count takes what depends on the targets, the first time it is called. None are given for a call that is refused: throttled, it
	// tells no more of what exists.
	count := func(tx *Tx, targets []Target) *api.Error {
		if counted || p.targetsWithinQuota(tx, op, q, targets) {
			counted = true
			return nil
		}
		return p.refuse(ctx, op, call, &outcome{targets: targets, req: q}, throttled(op))
	}
	var lane *sync.Mutex
	defer func() {
		if lane != nil {
			lane.Unlock()
		}
	}()
	for attempt := range maxAttempts {
		if attempt > 0 && call.at.IsZero() && d.Kind != Control {
			// What won meanwhile may be dated later than the first attempt: dates must follow the order of the commits.
			call.Now = p.clock.Now()
		}
		tx := p.begin(ctx, call, d.Kind)
		tx.Operation, tx.DryRun = d.Name, d.DryRun != nil && d.DryRun(q)
		end := call.Step(StepResolve)
		targets, err := resolve(tx, d, q)
		end()
		tx.Targets = targets
		if pr := (*Provision)(nil); errors.As(err, &pr) {
			err := p.allow(tx, op, targets, d, q)
			if err == nil && d.DryRun != nil && d.DryRun(q) { // it would be made, and used
				err = ErrDryRun
			}
			if err != nil {
				if e := count(tx, nil); e != nil {
					return nil, e
				}
				return nil, p.refuse(ctx, op, call, &outcome{targets: targets, req: q, extra: tx.extra}, err)
			}
			if _, err := p.DoInternal(ctx, pr.Op, record.Owner{Account: call.Caller.Account, Region: call.Region}, call.Now, 0, pr.Req); err != nil {
				return nil, p.refuse(ctx, op, call, nil, err)
			}
			continue
		}
		if err == nil {
			end = call.Step(StepAuthorize)
			err = p.admit(tx, op, targets, d, q)
			end()
		}
		if err == nil && d.Tokens != nil {
			err = tx.checkGrantTokens(d.Tokens(q))
		}
		found := targets
		if err != nil {
			found = nil
		}
		if e := count(tx, found); e != nil {
			return nil, e
		}
		if err == nil && tx.fresh {
			// A plan may change what is no record, such as the seal: not while nothing of it could be recorded.
			err = p.sink.Healthy()
		}
		var resp *R
		if err == nil {
			end = call.Step(StepPlan)
			resp, err = d.Plan(tx, q, targets)
			end()
		}
		if err == nil && d.DryRun != nil && d.DryRun(q) {
			err = ErrDryRun
		}
		if errors.Is(err, ErrTorn) && attempt < maxTorn {
			continue
		}
		if err != nil {
			return nil, p.refuse(ctx, op, call, &outcome{targets: targets, req: q, extra: tx.extra}, err)
		}
		out := &outcome{targets: targets, req: q, extra: tx.extra}
		if d.Result != nil {
			out.result = func(params *audit.Params) { d.Result(resp, params) }
		}
		if !tx.fresh || (!tx.changed() && call.offset == 0) {
			if d.Kind == Internal {
				return resp, p.appendEvents(tx, op) // none if it found nothing to do
			}
			eventID, err := p.appendRecord(op, call, out)
			if err != nil {
				discard(resp)
				return nil, err
			}
			if tx.usedN > 0 {
				p.usage.note(op, call, tx.used[:tx.usedN], eventID)
			}
			p.usage.noteAccessKey(op, call)
			return resp, nil
		}
		end = call.Step(StepCommit)
		err = p.commit(ctx, tx, op, out)
		end()
		if errors.Is(err, store.ErrConflict) {
			if lane == nil && d.Kind == Change {
				// Those that have lost go one after the other from here on, instead of making each other lose.
				lane = p.lane(call, targets)
				lane.Lock()
			}
			continue
		}
		if err != nil {
			return nil, p.refuse(ctx, op, call, out, err)
		}
		p.usage.noteAccessKey(op, call)
		return resp, nil
	}
	return nil, p.refuse(ctx, op, call, &outcome{req: q}, api.Errorf(api.DependencyTimeoutException, "The system timed out while trying to fulfill the request. You can retry the request."))
}

// lane returns the lock of changes that meet in the same target.
func (p *Pipeline) lane(call *Call, targets []Target) *sync.Mutex {
	name := call.Caller.Account + call.Region
	if n := len(targets); n > 0 {
		name = targets[n-1].ARN + call.Caller.Account
	}
	return &p.lanes[maphash.String(p.seed, name)%uint64(len(p.lanes))]
}

func resolve[Q, R any](tx *Tx, d *Def[Q, R], q *Q) ([]Target, error) {
	if d.Resolve != nil {
		return d.Resolve(tx, q)
	}
	if len(d.Actions) == 0 {
		return nil, nil // what everybody may do
	}
	return []Target{{Action: d.Actions[0], Account: tx.Call.Caller.Account, ARN: "*"}}, nil
}

// Record returns a record through the cache, nil if there is none. It is shared: nobody may change it. As long as nothing has changed the
// record, and the cache has kept it, it is the same pointer.
func (p *Pipeline) Record(ctx context.Context, storeKey string) (record.Record, error) {
	return p.cached(ctx, storeKey)
}

// cached returns a record through the cache, nil if there is none. Absence is not cached.
func (p *Pipeline) cached(ctx context.Context, storeKey string) (record.Record, error) {
	if r, ok := p.cache.get(storeKey); ok {
		return r, nil
	}
	generation := p.cache.begin(storeKey)
	entries, err := p.store.Get(ctx, storeKey)
	if err != nil {
		return nil, err
	}
	if entries[0].Rev == 0 {
		return nil, nil
	}
	r, err := p.decode(storeKey, entries[0].Value)
	if err != nil {
		return nil, err
	}
	p.cache.fill(storeKey, generation, r)
	return r, nil
}

// decode reads a record; a material comes back opened.
func (p *Pipeline) decode(storeKey string, value []byte) (record.Record, error) {
	r, err := record.Decode(storeKey, value)
	if m, ok := r.(*record.Material); ok && err == nil {
		err = m.Open()
	}
	if err != nil {
		if !errors.Is(err, keys.ErrFIPS) { // whole, but not to be used in this mode
			p.damage.CompareAndSwap(nil, &err)
		}
		return nil, err
	}
	return r, nil
}
