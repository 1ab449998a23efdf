package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

type fixedClock struct{}

func (fixedClock) Now() time.Time { return now }

// faults is a store that a test can make fail. after runs once a commit has been carried out, before runs ahead of it; either
// may return an error in place of the engine's answer. Set them before use, or with set.
type faults struct {
	store.Store
	mu            sync.Mutex
	before, after func(store.Batch) error // guarded by mu
	scanned       func(prefix string)     // guarded by mu; runs after a scan, before it returns
}

func (f *faults) set(before, after func(store.Batch) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) hooks() (before, after func(store.Batch) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before, f.after
}

func (f *faults) onScan(scanned func(prefix string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scanned = scanned
}

// Snapshot returns one whose scans are told of, too.
func (f *faults) Snapshot(ctx context.Context) (store.Snapshot, error) {
	sn, err := f.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &scannedSnapshot{sn, f}, nil
}

type scannedSnapshot struct {
	store.Snapshot
	f *faults
}

func (s *scannedSnapshot) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	entries, err := s.Snapshot.Scan(ctx, prefix, after, limit)
	s.f.told(prefix)
	return entries, err
}

func (f *faults) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	entries, err := f.Store.Scan(ctx, prefix, after, limit)
	f.told(prefix)
	return entries, err
}

func (f *faults) told(prefix string) {
	f.mu.Lock()
	scanned := f.scanned
	f.mu.Unlock()
	if scanned != nil {
		scanned(prefix)
	}
}

func (f *faults) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	before, after := f.hooks()
	if before != nil {
		if err := before(b); err != nil {
			return 0, err
		}
	}
	rev, err := f.Store.Commit(ctx, b)
	if err == nil && after != nil {
		if err := after(b); err != nil {
			return 0, err
		}
	}
	return rev, err
}

// badSink is a sink that a test can make fail.
type badSink struct {
	*audit.Memory
	mu     sync.Mutex
	append error // what Append and Healthy answer
	sync   error // what AppendSync answers
	torn   bool  // AppendSync fails after it has written
	failed int   // how often AppendSync has failed

	held chan struct{} // AppendSync waits until it is closed; nil for no wait. Set before the first call
}

func (s *badSink) fail(append, sync error, torn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append, s.sync, s.torn = append, sync, torn
}

func (s *badSink) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *badSink) Append(r []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.append != nil {
		return 0, s.append
	}
	return s.Memory.Append(r)
}

func (s *badSink) AppendSync(r [][]byte) (uint64, error) {
	if s.held != nil {
		<-s.held
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sync != nil {
		s.failed++
	}
	if s.sync != nil && !s.torn {
		return 0, s.sync
	}
	first, err := s.Memory.AppendSync(r)
	if s.sync != nil {
		return 0, s.sync
	}
	return first, err
}

func (s *badSink) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.append != nil {
		return s.append
	}
	return s.Memory.Healthy()
}

// house is a pipeline with the KMS operations, whose store and log can be made to fail.
type house struct {
	t      *testing.T
	store  *faults
	sink   *badSink
	p      *service.Pipeline
	ops    map[string]*service.Op
	kms    *kms.KMS
	caller *service.Caller
}

// newHouse opens a pipeline over a store; nil for a new one.
func newHouse(t *testing.T, f *faults, sink *badSink, change ...func(*service.Config)) *house {
	t.Helper()
	if f == nil {
		f = &faults{Store: memstore.New()}
	}
	if sink == nil {
		sink = &badSink{Memory: audit.NewMemory(10_000)}
	}
	h := &house{t: t, store: f, sink: sink, kms: kms.New(kms.Config{}), caller: service.RootCaller(account, "AKIAEXAMPLE")}
	sealed, err := seal.Open(t.Context(), f, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c := service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: fixedClock{}, Audit: sink, NodeID: "n1",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Authorize: ownAccount,
	}
	for _, f := range change {
		f(&c)
	}
	h.p, err = service.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	h.ops = service.Table(h.kms.Operations())
	return h
}

// close ends the pipeline; what it had to do must be possible by now.
func (h *house) close() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.p.Close(ctx); err != nil {
		h.t.Errorf("Close: %v", err)
	}
}

func (h *house) do(op *service.Op, req api.Request) (api.Response, *api.Error) {
	h.t.Helper()
	return h.doIn(context.Background(), op, req)
}

func (h *house) doIn(ctx context.Context, op *service.Op, req api.Request) (api.Response, *api.Error) {
	h.t.Helper()
	call := &service.Call{Caller: h.caller, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1"}
	resp, err := h.p.Do(ctx, op, call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		h.t.Errorf("%s: error of type %T: %v", op.Name, err, err)
		e = api.New(api.KMSInternalException)
	}
	return nil, e
}

func (h *house) kmsOp(name string) *service.Op { return h.ops["kms."+name] }

func (h *house) must(name string, req api.Request) api.Response {
	h.t.Helper()
	resp, err := h.do(h.kmsOp(name), req)
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	return resp
}

func (h *house) newKey() string {
	h.t.Helper()
	return h.must("CreateKey", &api.CreateKeyRequest{}).(*api.CreateKeyResponse).KeyMetadata.KeyId.V
}

func (h *house) flush() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.p.Flush(ctx); err != nil {
		h.t.Fatalf("Flush: %v", err)
	}
}

// line is what tests look at in an audit record.
type line struct {
	EventName    string           `json:"eventName"`
	EventID      string           `json:"eventID"`
	RequestID    string           `json:"requestID"`
	ErrorCode    string           `json:"errorCode"`
	ErrorMessage string           `json:"errorMessage"`
	Identity     map[string]any   `json:"userIdentity"`
	Parameters   map[string]any   `json:"requestParameters"`
	Response     map[string]any   `json:"responseElements"`
	Resources    []map[string]any `json:"resources"`
	ReadOnly     bool             `json:"readOnly"`
	text         string
}

func (h *house) log() []line {
	h.t.Helper()
	return readLog(h.t, h.sink)
}

func readLog(t testing.TB, sink audit.Sink) []line {
	t.Helper()
	var list []line
	ids := map[string]bool{}
	for l, err := range sink.Since(1) {
		if err != nil {
			t.Fatal(err)
		}
		var e line
		if err := json.Unmarshal(l.JSON, &e); err != nil {
			t.Fatalf("line %d: %v", l.Seq, err)
		}
		if ids[e.EventID] {
			t.Errorf("event %s (%s) is in the log twice", e.EventID, e.EventName)
		}
		ids[e.EventID] = true
		e.text = string(l.JSON)
		list = append(list, e)
	}
	return list
}

// contents returns all that a store holds.
func contents(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	entries, err := s.Scan(context.Background(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		m[e.Key] = string(e.Value)
	}
	return m
}

func sameContents(a, b map[string]string) bool { return maps.Equal(a, b) }

// testOp is an operation made for a test, on a request that is at hand.
func testOp(kind service.Kind, plan func(*service.Tx) error) *service.Op {
	return service.Def[api.ListKeysRequest, service.None]{
		Name: "Test", Kind: kind, Actions: []string{"kms:Test"},
		Audit: func(q *api.ListKeysRequest, p *audit.Params) { p.Str("marker", q.Marker.V) },
		Plan: func(tx *service.Tx, _ *api.ListKeysRequest, _ []service.Target) (*service.None, error) {
			return &service.None{}, plan(tx)
		},
	}.Op("kms")
}

func some[T any](v T) api.Opt[T] { return api.Some(v) }

// ownAccount lets everybody do everything in its own account, and nothing in others.
func ownAccount(a *service.Authorization) error {
	if a.Target.Account == a.Tx.Call.Caller.Account {
		return nil
	}
	return api.New(api.AccessDeniedException)
}
