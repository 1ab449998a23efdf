package service

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
)

// outbox brings the audit records of changes from the store, where each is part of its change's commit, to the log: once
// each, in the order of the commits, also after a crash. Entries stand at o/NODE/SEQUENCE-EVENTID.
type outbox struct {
	p      *Pipeline
	prefix string
	wake   chan struct{}
	done   chan struct{}

	first string // no entry of this run sorts before it

	mu     sync.Mutex
	next   uint64 // sequence of the next entry; only orders entries of one revision
	queue  []outboxItem
	busy   int  // items taken from the queue and not yet gone from the store
	rescan bool // the store may hold entries that are not in the queue
	// recovered are the entries that the last rescan dealt with: one of them may be pushed only now.
	recovered map[string]bool
	closing   bool
	idle      *sync.Cond // signalled when busy or queue shrinks, or the drainer fails
	err       error      // of the last try
}

type outboxItem struct {
	rev  store.Rev
	key  string
	line []byte
}

const (
	outboxBatch = 50
	outboxRetry = time.Second
)

func newOutbox(p *Pipeline, node string) *outbox {
	o := &outbox{p: p, prefix: "o/" + node + "/", wake: make(chan struct{}, 1), done: make(chan struct{}), next: uint64(time.Now().UnixNano())}
	o.idle = sync.NewCond(&o.mu)
	o.first = fmt.Sprintf("%s%016x", o.prefix, o.next)
	return o
}

// auditRecord is an encoded audit record on its way.
type auditRecord struct {
	eventID string
	line    []byte
}

// pendingRecords are the outbox entries of one commit.
type pendingRecords struct {
	next  uint64 // the log's next sequence number
	items []outboxItem
}

func (o *outbox) reserve(records []auditRecord) pendingRecords {
	pending := pendingRecords{next: o.p.sink.NextSeq()}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range records {
		pending.items = append(pending.items, outboxItem{key: fmt.Sprintf("%s%016x-%s", o.prefix, o.next, r.eventID), line: r.line})
		o.next++
	}
	return pending
}

func (pr pendingRecords) writes() []store.Write {
	writes := make([]store.Write, len(pr.items))
	for i, it := range pr.items {
		writes[i] = store.Write{Key: it.key, Value: outboxValue(pr.next, it.line)}
	}
	return writes
}

// push hands the entries of a commit to the drainer.
func (o *outbox) push(rev store.Rev, pending pendingRecords) {
	o.mu.Lock()
	for _, it := range pending.items {
		it.rev = rev
		if !o.recovered[it.key] {
			o.queue = append(o.queue, it)
		}
		delete(o.recovered, it.key)
	}
	o.mu.Unlock()
	o.signal()
}

// rescanSoon is called when a commit's outcome is unknown: its entries may be in the store.
func (o *outbox) rescanSoon() {
	o.mu.Lock()
	o.rescan = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// loop drains until close. What fails is tried again each second.
func (o *outbox) loop() {
	defer close(o.done)
	retry := time.NewTimer(outboxRetry)
	defer retry.Stop()
	for {
		select {
		case <-o.wake:
		case <-retry.C:
		}
		err := o.drain(context.Background())
		if err != nil {
			o.p.log.Error("cannot bring audit records to the log", "error", err)
		}
		o.mu.Lock()
		o.err = err
		o.idle.Broadcast()
		stop := o.closing && (err != nil || len(o.queue) == 0)
		o.mu.Unlock()
		if stop {
			return
		}
		if err != nil {
			retry.Reset(outboxRetry)
		}
	}
}

// drain appends everything queued to the log and deletes it from the store.
func (o *outbox) drain(ctx context.Context) error {
	o.mu.Lock()
	rescan := o.rescan
	if rescan {
		o.rescan = false // one asked for from here on is another
		o.busy++
	}
	o.mu.Unlock()
	if rescan {
		err := o.recover(ctx)
		o.mu.Lock()
		o.busy--
		if err != nil {
			o.rescan = true
		}
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
	for {
		o.mu.Lock()
		// Commits are pushed after they return, so that neighbours may be out of order; revisions put them right.
		slices.SortStableFunc(o.queue, func(a, b outboxItem) int { return int(int64(a.rev) - int64(b.rev)) })
		batch := slices.Clone(o.queue[:min(len(o.queue), outboxBatch)])
		o.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		lines := make([][]byte, len(batch))
		for i, it := range batch {
			lines[i] = it.line
		}
		if _, err := o.p.sink.AppendSync(lines); err != nil {
			o.mu.Lock()
			o.rescan = true // they may be in the log
			o.mu.Unlock()
			return err
		}
		// From here on they are in the log: they must not be appended again, even if deleting fails.
		o.mu.Lock()
		taken := make(map[string]bool, len(batch))
		for _, it := range batch {
			taken[it.key] = true
		}
		o.queue = slices.DeleteFunc(o.queue, func(it outboxItem) bool { return taken[it.key] })
		o.busy += len(batch)
		o.mu.Unlock()
		err := o.remove(ctx, batch)
		o.mu.Lock()
		o.busy -= len(batch)
		if err != nil {
			o.rescan = true
		}
		o.idle.Broadcast()
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (o *outbox) remove(ctx context.Context, batch []outboxItem) error {
	var b store.Batch
	for _, it := range batch {
		b.Writes = append(b.Writes, store.Write{Key: it.key, Delete: true})
	}
	if _, err := o.p.store.Commit(ctx, b); err != nil {
		return fmt.Errorf("removing what the log has: %w", err)
	}
	return nil
}

// recover brings entries that an earlier run, or a commit of unknown outcome, left in the store to the log, unless the log has
// them already. Each entry says from which line on it can be there, so only that part of the log is read.
func (o *outbox) recover(ctx context.Context) error {
	var left []outboxItem
	from := ^uint64(0)
	for after := ""; ; {
		entries, err := o.p.store.Scan(ctx, o.prefix, after, outboxBatch)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if len(e.Value) < 8 {
				return fmt.Errorf("outbox entry %s is cut short", e.Key)
			}
			from = min(from, binary.BigEndian.Uint64(e.Value))
			left = append(left, outboxItem{rev: e.Rev, key: e.Key, line: e.Value[8:]})
			after = e.Key
		}
	}
	if len(left) == 0 {
		return nil
	}
	logged := make(map[string]bool)
	for line, err := range o.p.sink.Since(from) {
		if err != nil {
			return err
		}
		var event struct {
			ID string `json:"eventID"`
		}
		if err := json.Unmarshal(line.JSON, &event); err != nil {
			return fmt.Errorf("audit log line %d: %w", line.Seq, err)
		}
		logged[event.ID] = true
	}
	slices.SortStableFunc(left, func(a, b outboxItem) int { return int(int64(a.rev) - int64(b.rev)) })
	var lines [][]byte
	for _, it := range left {
		_, eventID, _ := strings.Cut(strings.TrimPrefix(it.key, o.prefix), "-")
		if !logged[eventID] {
			lines = append(lines, it.line)
		}
	}
	if len(lines) > 0 {
		if _, err := o.p.sink.AppendSync(lines); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(left, store.MaxWrites) {
		if err := o.remove(ctx, chunk); err != nil {
			return err
		}
	}
	// The queue may hold some of them too, or get them yet: commits of known outcome.
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.recovered == nil {
		o.recovered = make(map[string]bool, len(left))
	}
	for _, it := range left {
		if it.key >= o.first { // what an earlier run left is never pushed
			o.recovered[it.key] = true
		}
	}
	o.queue = slices.DeleteFunc(o.queue, func(it outboxItem) bool { return o.recovered[it.key] })
	return nil
}

// flush waits until all that was pushed so far is in the log.
func (o *outbox) flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { o.mu.Lock(); defer o.mu.Unlock(); o.idle.Broadcast() })
	defer stop()
	o.signal()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 || o.busy > 0 || o.rescan {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.closing && o.err != nil {
			return o.err
		}
		o.idle.Wait()
	}
	return nil
}

func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closing, o.err = true, nil
	o.mu.Unlock()
	err := o.flush(ctx)
	o.signal()
	select {
	case <-o.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return err
}
