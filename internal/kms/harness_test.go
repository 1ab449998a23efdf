package kms_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/verify/verifytest"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// checker is what *testing.T, *testing.B and *rapid.T have in common.
type checker interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// bench is the whole service in one process: real operations over a sealed store in memory, with a clock that stands still
// until it is told to go on.
type bench struct {
	sealed *seal.Store
	clock  *clock.Shifted
	sink   *audit.Memory
	p      *service.Pipeline
	ops    map[string]*service.Op
	kms    *kms.KMS
	runner *schedule.Runner
	caller *service.Caller
	free   atomic.Bool // everything is allowed
	// damaged: the test has written to the store past the service, so that it is not verified at the end.
	damaged atomic.Bool

	mu    sync.Mutex
	real  time.Time                    // guarded by mu
	asked func(*service.Authorization) // guarded by mu; sees every question to the authorizer
}

func newBench(t checker, c kms.Config) *bench {
	t.Helper()
	b := &bench{real: start, sink: audit.NewMemory(50_000), caller: service.RootCaller(account, "AKIAEXAMPLE")}
	ctx := context.Background()
	var err error
	b.sealed, err = seal.Open(ctx, memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: true, Now: start})
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	b.clock = clock.NewShifted(b.realNow, 0)
	b.kms = kms.New(c)
	quiet := slog.New(slog.DiscardHandler)
	b.p, err = service.New(ctx, service.Config{
		Store: b.sealed, Keyring: b.sealed.Keyring(), Clock: b.clock, Audit: b.sink, NodeID: "n1", Log: quiet,
		Authorize: b.authorize, Exclusive: true,
	})
	if err != nil {
		t.Fatalf("making the pipeline: %v", err)
	}
	b.runner = schedule.New(b.p, b.kms, quiet)
	b.ops = service.Table(b.kms.Operations(), b.kms.Extensions(), b.runner.Operations(b.clock))
	return b
}

func (b *bench) close(t checker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.p.Close(ctx); err != nil {
		t.Errorf("closing the pipeline: %v", err)
	}
	if !b.damaged.Load() {
		verifytest.Clean(t, b.sealed, b.sink)
	}
}

// testBench is newBench for plain tests.
func testBench(t testing.TB) *bench {
	t.Helper()
	b := newBench(t, kms.Config{})
	t.Cleanup(func() { b.close(t) })
	return b
}

func (b *bench) authorize(a *service.Authorization) error {
	b.mu.Lock()
	asked := b.asked
	b.mu.Unlock()
	if asked != nil {
		asked(a)
	}
	if b.free.Load() {
		return nil
	}
	return b.kms.Authorize(a)
}

func (b *bench) onAsked(asked func(*service.Authorization)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = asked
}

func (b *bench) realNow() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.real
}

// pass lets real time go on; nothing that falls due runs by itself.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.real = b.real.Add(d)
}

func (b *bench) now() time.Time { return b.clock.Now() }

// as runs an operation for a caller. The error is nil or an *api.Error; anything else fails the test.
func (b *bench) as(t checker, caller *service.Caller, op string, req api.Request) (api.Response, *api.Error) {
	t.Helper()
	call := &service.Call{Caller: caller, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := b.p.Do(context.Background(), b.ops[op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("%s: error of type %T: %v", op, err, err)
	}
	return nil, e
}

func (b *bench) do(t checker, op string, req api.Request) (api.Response, *api.Error) {
	t.Helper()
	return b.as(t, b.caller, "kms."+op, req)
}

// must runs an operation that has to succeed.
func must[R any](t checker, b *bench, op string, req api.Request) *R {
	t.Helper()
	resp, err := b.do(t, op, req)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	r, ok := any(resp).(*R)
	if !ok {
		t.Fatalf("%s: response of type %T", op, resp)
	}
	return r
}

// run runs an operation without output that has to succeed.
func (b *bench) run(t checker, op string, req api.Request) {
	t.Helper()
	if _, err := b.do(t, op, req); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
}

// newKey makes a key and returns its ID and ARN.
func (b *bench) newKey(t checker, req *api.CreateKeyRequest) (id, arn string) {
	t.Helper()
	m := must[api.CreateKeyResponse](t, b, "CreateKey", req).KeyMetadata
	return m.KeyId.V, m.Arn.V
}

// advance turns the clock by way of the operation.
func (b *bench) advance(t checker, d time.Duration) *api.AdvanceClockResponse {
	t.Helper()
	resp, err := b.as(t, b.caller, "keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some(int64(d / time.Second))})
	if err != nil {
		t.Fatalf("AdvanceClock: %v", err)
	}
	return resp.(*api.AdvanceClockResponse)
}

// event is what tests look at in an audit record.
type event struct {
	EventName    string         `json:"eventName"`
	EventType    string         `json:"eventType"`
	EventID      string         `json:"eventID"`
	EventTime    time.Time      `json:"eventTime"`
	RequestID    string         `json:"requestID"`
	ErrorCode    string         `json:"errorCode"`
	ErrorMessage string         `json:"errorMessage"`
	Parameters   map[string]any `json:"requestParameters"`
	Details      map[string]any `json:"serviceEventDetails"`
	Additional   map[string]any `json:"additionalEventData"`
}

// events returns the audit log, after everything committed has got there.
func (b *bench) events(t checker) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.p.Flush(ctx); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	var list []event
	for line, err := range b.sink.Since(1) {
		if err != nil {
			t.Fatalf("reading the audit log: %v", err)
		}
		var e event
		if err := json.Unmarshal(line.JSON, &e); err != nil {
			t.Fatalf("audit record %d: %v", line.Seq, err)
		}
		list = append(list, e)
	}
	return list
}

func str[T ~string](s T) api.Opt[T] { return api.Some(s) }
