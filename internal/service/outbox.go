package service

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/store"
)

// outbox brings the audit records of changes from the store, where each is part of its change's commit, to the log: once each, also
// after a crash. Entries stand at o/NODE/SEQUENCE-EVENTID. The sequence is drawn before the commit, so a change that has read
// another's result sorts after it, and a scan that sees it sees the other: the log has causes before effects. Calls that change nothing do not
// come this way: the record of one that found something done already may stand before that of the change that did it.
//
// The store is the queue. Nothing of it is kept in memory but how much is in it.
type outbox struct {
	p       *Pipeline
	prefix  string
	next    atomic.Uint64
	pending atomic.Int64 // entries committed by this run and not yet removed, roughly
	wake    chan struct{}
	done    chan struct{}

	moving  sync.Mutex // held while records are on their way from the store to the log
	mu      sync.Mutex
	changed *sync.Cond // of what follows
	wanted  uint64     // flushes asked for
	served  uint64     // flushes that a whole drain has served since
	err     error      // of the last drain
	closing bool

	// full: the store has no room for commits, or had none at the last try.
	full atomic.Bool

	// doubt: entries in the store may be in the log already. It lasts until the store has been seen empty. Owned by the drainer.
	doubt bool
}

const (
	outboxPage  = 500       // entries of one append
	outboxBytes = 512 << 10 // bytes of one append; well below what the log keeps in reserve
	outboxFull  = 20_000    // entries from which on changes wait
	outboxRetry = time.Second
)

func newOutbox(p *Pipeline, node string) *outbox {
	o := &outbox{p: p, prefix: "o/" + node + "/", wake: make(chan struct{}, 1), done: make(chan struct{}), doubt: true}
	o.next.Store(uint64(time.Now().UnixNano())) // later than anything an earlier run left, and that is drained first
	o.changed = sync.NewCond(&o.mu)
	return o
}

// auditRecord is an encoded audit record on its way.
type auditRecord struct {
	eventID string
	line    []byte
}

// writes returns the entries that a commit takes along.
func (o *outbox) writes(records []auditRecord) []store.Write {
	logged := o.p.sink.SafeSeq()
	writes := make([]store.Write, len(records))
	for i, r := range records {
		writes[i] = store.Write{
			Key: fmt.Sprintf("%s%016x-%s", o.prefix, o.next.Add(1), r.eventID),
			// Only lines of the log from there on can be a copy. Not its next line: a power cut may take lines that were not
			// synced, and then the copy comes to stand before that.
			Value: append(binary.BigEndian.AppendUint64(nil, logged), r.line...),
		}
	}
	return writes
}

// committed tells the drainer that there is more, or may be.
func (o *outbox) committed(n int) {
	o.pending.Add(int64(n))
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// noRoom makes changes fail until the store has room again, for which the drainer looks each second: a server that is not ready gets
// no changes by which it would find out.
func (o *outbox) noRoom() {
	o.full.Store(true)
	o.signal()
}

// admit makes changes wait while too many records are on their way, and refuses them while they cannot get into the log.
func (o *outbox) admit(ctx context.Context) error {
	if err := o.failure(); err != nil || o.pending.Load() < outboxFull {
		return err
	}
	return o.flush(ctx)
}

// failure returns why the last drain failed, nil if it did not.
func (o *outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// loop drains until close. What fails is tried again each second.
func (o *outbox) loop() {
	defer func() {
		close(o.done)
		o.mu.Lock()
		o.changed.Broadcast()
		o.mu.Unlock()
	}()
	retry := time.NewTimer(outboxRetry)
	defer retry.Stop()
	for {
		select {
		case <-o.wake:
		case <-retry.C:
		}
		o.mu.Lock()
		wanted, closing := o.wanted, o.closing
		o.mu.Unlock()
		err := o.drain(context.Background())
		if err != nil {
			o.p.log.Error("cannot bring audit records to the log", "error", err)
			retry.Reset(outboxRetry)
		}
		o.mu.Lock()
		o.err = err
		if err == nil {
			o.served = wanted
		}
		o.changed.Broadcast()
		o.mu.Unlock()
		if closing {
			return
		}
	}
}

// drain appends what is in the store to the log and removes it, until nothing is left.
func (o *outbox) drain(ctx context.Context) error {
	if o.full.Load() {
		if _, err := o.p.store.Commit(ctx, store.Batch{}); err != nil {
			return err
		}
		o.full.Store(false)
	}
	for {
		empty, err := o.drainPage(ctx)
		if empty || err != nil {
			return err
		}
	}
}

// drainPage drains as much as one append takes, and tells whether nothing was left.
func (o *outbox) drainPage(ctx context.Context) (empty bool, err error) {
	o.moving.Lock()
	defer o.moving.Unlock()
	entries, err := o.page(ctx)
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		o.doubt = false
		o.pending.Store(0) // but for what came this instant
		return true, nil
	}
	lines, err := o.unlogged(entries)
	if err != nil {
		return false, err
	}
	doubt := o.doubt
	o.doubt = true // until they are removed
	// Also if the log has them all: it may have them only until the power is gone, as after an fsync that failed.
	if _, err := o.p.sink.AppendSync(lines); err != nil {
		return false, err
	}
	if err := o.remove(ctx, entries); err != nil {
		return false, err
	}
	o.doubt = doubt // what was there before this page may be on the next
	o.pending.Add(-int64(len(entries)))
	return false, nil
}

// Still runs f at a moment at which no audit record of a change is on its way from the store to the log: each is in one of them, and none that
// f cannot see in the store comes into the log meanwhile. f should be short.
func (p *Pipeline) Still(f func() error) error {
	p.outbox.moving.Lock()
	defer p.outbox.moving.Unlock()
	return f()
}

// page returns the first entries, as many as one append takes.
func (o *outbox) page(ctx context.Context) ([]store.Entry, error) {
	entries, err := o.p.store.Scan(ctx, o.prefix, "", outboxPage)
	if err != nil {
		return nil, err
	}
	size := 0
	for i, e := range entries {
		if len(e.Value) < 8 {
			return nil, fmt.Errorf("outbox entry %s is cut short", e.Key)
		}
		if size += len(e.Value); size > outboxBytes && i > 0 {
			return entries[:i], nil
		}
	}
	return entries, nil
}

// unlogged returns the records of the entries that the log does not have yet.
func (o *outbox) unlogged(entries []store.Entry) ([][]byte, error) {
	logged := make(map[string]bool)
	if o.doubt {
		from := ^uint64(0)
		for _, e := range entries {
			from = min(from, binary.BigEndian.Uint64(e.Value))
		}
		for line, err := range o.p.sink.Since(from) {
			if err != nil {
				return nil, err
			}
			var event struct {
				ID string `json:"eventID"`
			}
			if err := json.Unmarshal(line.JSON, &event, jsontext.AllowDuplicateNames(true)); err != nil {
				return nil, fmt.Errorf("audit log line %d: %w", line.Seq, err)
			}
			logged[event.ID] = true
		}
	}
	var lines [][]byte
	for _, e := range entries {
		_, eventID, _ := strings.Cut(strings.TrimPrefix(e.Key, o.prefix), "-")
		if !logged[eventID] {
			lines = append(lines, e.Value[8:])
		}
	}
	return lines, nil
}

// remove removes entries, in several commits at once, which the engine combines.
func (o *outbox) remove(ctx context.Context, entries []store.Entry) error {
	var wg sync.WaitGroup
	errs := make([]error, (len(entries)+store.MaxWrites-1)/store.MaxWrites)
	for i := range errs {
		chunk := entries[i*store.MaxWrites : min((i+1)*store.MaxWrites, len(entries))]
		wg.Go(func() {
			var b store.Batch
			for _, e := range chunk {
				b.Writes = append(b.Writes, store.Write{Key: e.Key, Delete: true})
			}
			_, errs[i] = o.p.store.Commit(ctx, b)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		if errors.Is(err, store.ErrNoSpace) {
			o.full.Store(true)
		}
		return fmt.Errorf("removing what the log has: %w", err)
	}
	return nil
}

// flush waits until the records of all commits before it are in the log and gone from the store.
func (o *outbox) flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { o.mu.Lock(); defer o.mu.Unlock(); o.changed.Broadcast() })
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wanted++
	mine := o.wanted
	o.signal()
	for o.served < mine {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, o.err)
		}
		select {
		case <-o.done:
			return o.err
		default:
		}
		o.changed.Wait()
	}
	return nil
}

// close ends the drainer after one more drain and returns what that said.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closing = true
	o.mu.Unlock()
	o.signal()
	select {
	case <-o.done:
		return o.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}
