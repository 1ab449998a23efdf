package service_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// recount counts the keys of a store by reading all of them.
func (h *house) recount() map[service.KeyClass]int64 {
	h.t.Helper()
	entries, err := h.p.Store().Scan(context.Background(), "k/", "", 1<<20)
	if err != nil {
		h.t.Fatal(err)
	}
	counts := make(map[service.KeyClass]int64)
	for _, e := range entries {
		r, err := record.Decode(e.Key, e.Value)
		if err != nil {
			h.t.Fatal(err)
		}
		k := r.(*record.Key)
		counts[service.KeyClass{State: k.State, Spec: k.Spec}]++
	}
	return counts
}

// churn makes, disables, enables and deletes keys.
func (h *house) churn(random *rand.Rand, ids []string, rounds int) {
	for range rounds {
		id := ids[random.IntN(len(ids))]
		switch random.IntN(5) {
		case 0:
			h.newKey()
		case 1:
			h.must("CreateKey", &api.CreateKeyRequest{KeySpec: some(api.KeySpecHmac256), KeyUsage: some(api.KeyUsageTypeGenerateVerifyMac)})
		case 2: // refused where the key is about to be deleted, which is part of the game
			_, _ = h.do(h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)})
		case 3:
			_, _ = h.do(h.kmsOp("EnableKey"), &api.EnableKeyRequest{KeyId: some(id)})
		case 4:
			_, _ = h.do(h.kmsOp("ScheduleKeyDeletion"), &api.ScheduleKeyDeletionRequest{KeyId: some(id)})
		}
	}
}

// TestCensus counts a thousand keys while others change, and finds what a recount finds, also when it was stopped half way and went on
// in another process.
func TestCensus(t *testing.T) {
	h := newHouse(t, nil, nil)
	var ids []string
	for range 1600 {
		ids = append(ids, h.newKey())
	}
	// count counts while others work, until ctx ends or all is counted.
	count := func(ctx context.Context, seed uint64) {
		t.Helper()
		working, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for n := range uint64(4) {
			random := rand.New(rand.NewPCG(seed, n))
			wg.Go(func() {
				for working.Err() == nil {
					h.churn(random, ids, 5)
				}
			})
		}
		if err := h.p.Census().Run(ctx, 0); err != nil {
			t.Error(err)
		}
		stop()
		wg.Wait()
	}
	first, cancel := context.WithCancel(t.Context())
	h.store.onScan(func(prefix string) {
		if prefix == "k/" { // one page, and the census is told to stop
			cancel()
		}
	})
	count(first, 1)
	h.store.onScan(nil)
	if counts, ok := h.p.Census().Counts(); ok || len(counts) == 0 {
		t.Fatalf("after one page: complete %v, %v", ok, counts)
	}
	state, ok := h.p.Census().State()
	if !ok || state.Done || state.After == "" {
		t.Fatalf("state %+v, %v", state, ok)
	}
	h.close()

	h = newHouse(t, h.store, h.sink)
	defer h.close()
	h.p.Census().Resume(state)
	count(t.Context(), 2)
	h.churn(rand.New(rand.NewPCG(3, 0)), ids, 200)
	counts, ok := h.p.Census().Counts()
	if want := h.recount(); !ok || !maps.Equal(counts, want) {
		t.Errorf("counted %v, %v; want %v", counts, ok, want)
	}
}

// TestCensusWaits begins to count between a commit and its place in the count: the key must not be counted twice.
func TestCensusWaits(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	var scanned atomic.Bool
	h.store.onScan(func(prefix string) {
		if prefix == "k/" {
			scanned.Store(true)
		}
	})
	counted := make(chan error, 1)
	var once sync.Once
	h.store.set(nil, func(store.Batch) error {
		once.Do(func() {
			go func() { counted <- h.p.Census().Run(context.Background(), 0) }()
			for range 10_000 { // it would have scanned by then, were it not to wait
				if scanned.Load() {
					break
				}
				runtime.Gosched()
			}
		})
		return nil
	})
	h.newKey()
	if err := <-counted; err != nil {
		t.Fatal(err)
	}
	if counts, ok := h.p.Census().Counts(); !ok || !maps.Equal(counts, h.recount()) {
		t.Errorf("counted %v, %v; want one", counts, ok)
	}
}

// TestCensusDeletion counts a key that goes, and nothing of what its deletion leaves behind.
func TestCensusDeletion(t *testing.T) {
	c := &passing{at: now}
	h := newHouse(t, nil, nil, func(cfg *service.Config) { cfg.Clock = c })
	defer h.close()
	if err := h.p.Census().Run(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ids := []string{h.newKey(), h.newKey()}
	h.must("ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: some(ids[0])})
	at := func(state record.State, n int64) map[service.KeyClass]int64 {
		return map[service.KeyClass]int64{{State: record.Enabled, Spec: "SYMMETRIC_DEFAULT"}: 1, {State: state, Spec: "SYMMETRIC_DEFAULT"}: n}
	}
	if counts, ok := h.p.Census().Counts(); !ok || !maps.Equal(counts, at(record.PendingDeletion, 1)) {
		t.Errorf("one about to go: %v, %v", counts, ok)
	}
	c.pass(31 * 24 * time.Hour)
	owner := record.Owner{Account: account, Region: region}
	for _, op := range []*service.Op{h.kms.DeleteKey, h.kms.SweepKey} {
		if _, err := h.p.DoInternal(t.Context(), op, owner, c.Now(), 0, &kms.DueRequest{Owner: owner, KeyID: ids[0]}); err != nil {
			t.Fatal(err)
		}
	}
	want := map[service.KeyClass]int64{{State: record.Enabled, Spec: "SYMMETRIC_DEFAULT"}: 1}
	if counts, ok := h.p.Census().Counts(); !ok || !maps.Equal(counts, want) {
		t.Errorf("one gone: %v, %v", counts, ok)
	}
}

// TestCensusLost: after a commit of unknown outcome there is no count, and none to keep.
func TestCensusLost(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	if err := h.p.Census().Run(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.newKey()
	h.flush() // so that it is the key's commit that fails
	h.store.set(nil, func(store.Batch) error { return store.ErrUnknown })
	if _, err := h.do(h.kmsOp("CreateKey"), &api.CreateKeyRequest{}); err == nil {
		t.Fatal("a key was made")
	}
	h.store.set(nil, nil)
	if _, ok := h.p.Census().Counts(); ok {
		t.Error("the count is complete")
	}
	if _, ok := h.p.Census().State(); ok {
		t.Error("the count is worth keeping")
	}
}

// TestCensusKept: commits that wrote nothing leave the count as it is, for want of room too.
func TestCensusKept(t *testing.T) {
	for _, nothing := range []error{store.ErrNoSpace, store.ErrTooLarge} {
		h := newHouse(t, nil, nil)
		if err := h.p.Census().Run(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		h.newKey()
		h.flush()
		h.store.set(func(store.Batch) error { return nothing }, nil)
		if _, err := h.do(h.kmsOp("CreateKey"), &api.CreateKeyRequest{}); err == nil {
			t.Fatal("a key was made")
		}
		h.store.set(nil, nil)
		sum := int64(0)
		counts, ok := h.p.Census().Counts()
		for _, n := range counts {
			sum += n
		}
		if !ok || sum != 1 {
			t.Errorf("%v: %v, complete: %t", nothing, counts, ok)
		}
		h.close()
	}
}

// steps notes the steps of a call.
type steps struct{ names []string }

func (s *steps) Step(name string) func() {
	s.names = append(s.names, name)
	return func() { s.names = append(s.names, "/"+name) }
}

func TestTraceSteps(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	for _, test := range []struct {
		op   string
		req  api.Request
		want string
	}{
		{"DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)}, "resolve /resolve authorize /authorize plan /plan audit /audit"},
		{"DisableKey", &api.DisableKeyRequest{KeyId: some(id)}, "resolve /resolve authorize /authorize plan /plan commit /commit"},
		{"DescribeKey", &api.DescribeKeyRequest{KeyId: some("alias/none")}, "resolve /resolve authorize /authorize audit /audit"},
	} {
		s := &steps{}
		call := &service.Call{Caller: h.caller, Region: region, RequestID: keys.NewKeyID().String(), Trace: s}
		_, err := h.p.Do(t.Context(), h.kmsOp(test.op), call, test.req, nil)
		if got := strings.Join(s.names, " "); got != test.want {
			t.Errorf("%s: %v: steps %s, want %s", test.op, err, got, test.want)
		}
	}
}

// TestOutboxStats has a log that takes nothing, then one that does.
func TestOutboxStats(t *testing.T) {
	sink := &badSink{Memory: audit.NewMemory(100), held: make(chan struct{})}
	c := &passing{at: now}
	h := newHouse(t, nil, sink, func(cfg *service.Config) { cfg.Clock = c })
	h.newKey()
	c.pass(90 * time.Second)
	h.newKey()
	s, err := h.p.OutboxStats(t.Context())
	if err != nil || s != (service.OutboxStats{Waiting: 2, Age: 90 * time.Second}) {
		t.Errorf("two wait: %+v, %v", s, err)
	}
	close(sink.held)
	h.flush()
	if s, err := h.p.OutboxStats(t.Context()); err != nil || s != (service.OutboxStats{}) {
		t.Errorf("none waits: %+v, %v", s, err)
	}
	h.close()
}

// passing is a clock that a test turns.
type passing struct {
	mu sync.Mutex
	at time.Time
}

func (c *passing) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *passing) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestCacheStats(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	before := h.p.CacheStats()
	for range 3 {
		h.must("DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)})
	}
	after := h.p.CacheStats()
	if after.Misses-before.Misses < 1 || after.Hits-before.Hits < 2 || after.Weight == 0 || after.Weight > after.MaxWeight || after.Entries == 0 {
		t.Errorf("before %+v, after three reads of a key %+v", before, after)
	}
}

// TestLocal: calls of adapters are told of, the service's own reads are not.
func TestLocal(t *testing.T) {
	var told []string
	h := newHouse(t, nil, nil, func(c *service.Config) {
		c.Local = func(op *service.Op, _ *service.Call, err error, _ time.Duration) {
			told = append(told, op.Name)
			if err != nil {
				told = append(told, string(err.(*api.Error).Code))
			}
		}
	})
	defer h.close()
	call := func() *service.Call {
		return &service.Call{Caller: h.caller, Region: region, RequestID: keys.NewKeyID().String()}
	}
	fine := testOp(service.Read, func(*service.Tx) error { return nil })
	bad := testOp(service.Read, func(*service.Tx) error { return api.New(api.NotFoundException) })
	for _, op := range []*service.Op{fine, bad} {
		_, _ = h.p.DoLocal(t.Context(), op, call(), &api.ListKeysRequest{})
		_, _ = h.p.ReadOwn(t.Context(), op, record.Owner{Account: account, Region: region}, &api.ListKeysRequest{})
	}
	if got := strings.Join(told, " "); got != "Test Test NotFoundException" {
		t.Errorf("told of %s", got)
	}
}
