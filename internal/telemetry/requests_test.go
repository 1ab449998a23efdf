package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

var (
	encrypt = &service.Op{Service: "kms", Name: "Encrypt"}
	getRole = &service.Op{Service: "iam", Name: "GetRole"}
)

func TestRequests(t *testing.T) {
	r := NewRequests()
	o := &Observer{Requests: r}
	for _, s := range []wire.Observation{
		{Op: encrypt, Duration: 60 * time.Microsecond},
		{Op: encrypt, Duration: 2 * time.Millisecond},
		{Op: encrypt, Code: api.AccessDeniedException},
		{Op: getRole, Code: api.ThrottlingException},
		{Code: api.UnknownOperationException},
		{Code: api.MissingAuthenticationTokenException},
	} {
		o.Begin(nil)
		o.End(&s)
	}
	o.Begin(nil) // under way
	r.ObserveLocal(encrypt, nil, api.New(api.NotFoundException), 0)
	r.ObserveLocal(encrypt, nil, fmt.Errorf("of another kind"), 0)
	want := `
# HELP keyturn_requests_in_flight Requests to the API that are being served.
# TYPE keyturn_requests_in_flight gauge
keyturn_requests_in_flight 1
# HELP keyturn_requests_total Requests answered, by operation and error code; code OK is success.
# TYPE keyturn_requests_total counter
keyturn_requests_total{code="AccessDeniedException",operation="Encrypt",service="kms"} 1
keyturn_requests_total{code="KMSInternalException",operation="Encrypt",service="kms"} 1
keyturn_requests_total{code="MissingAuthenticationTokenException",operation="unknown",service="unknown"} 1
keyturn_requests_total{code="NotFoundException",operation="Encrypt",service="kms"} 1
keyturn_requests_total{code="OK",operation="Encrypt",service="kms"} 2
keyturn_requests_total{code="OK",operation="GetRole",service="iam"} 0
keyturn_requests_total{code="OK",operation="unknown",service="unknown"} 0
keyturn_requests_total{code="ThrottlingException",operation="GetRole",service="iam"} 1
keyturn_requests_total{code="UnknownOperationException",operation="unknown",service="unknown"} 1
`
	if err := testutil.CollectAndCompare(r, strings.NewReader(want), "keyturn_requests_total", "keyturn_requests_in_flight"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(r, "keyturn_request_duration_seconds"); n != 3 {
		t.Errorf("%d histograms, want 3", n)
	}
}

// TestCodesBounded: even a program with a bug that makes up error codes does not make up series.
func TestCodesBounded(t *testing.T) {
	r := NewRequests()
	for n := range 10 * maxCodes {
		r.Observe(encrypt, api.ErrorCode(fmt.Sprint("Code", n)), 0)
	}
	if n := testutil.CollectAndCount(r, "keyturn_requests_total"); n != maxCodes+3 { // OK of Encrypt and of unknown, and other
		t.Errorf("%d series", n)
	}
}

func TestRequestLog(t *testing.T) {
	var out bytes.Buffer
	o := &Observer{Requests: NewRequests(), Log: slog.New(slog.NewJSONHandler(&out, nil))}
	caller := service.RootCaller("111122223333", "AKIAIOSFODNN7EXAMPLE")
	for _, test := range []struct {
		name string
		o    wire.Observation
		want map[string]any
	}{
		{"answered", wire.Observation{RequestID: "r1", Op: encrypt, Call: &service.Call{Caller: caller, Region: "eu-central-1"}, Duration: 1500 * time.Microsecond},
			map[string]any{"requestID": "r1", "service": "kms", "operation": "Encrypt", "code": "OK", "seconds": 0.0015, "region": "eu-central-1",
				"account": "111122223333", "accessKeyID": "AKIAIOSFODNN7EXAMPLE"}},
		{"nobody known", wire.Observation{RequestID: "r2", Code: api.IncompleteSignatureException},
			map[string]any{"requestID": "r2", "service": "unknown", "operation": "unknown", "code": "IncompleteSignatureException", "seconds": 0.0}},
	} {
		out.Reset()
		o.End(&test.o)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		delete(got, "time")
		test.want["level"], test.want["msg"] = "INFO", "request"
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// hot is a request as most are.
func hot() (*Observer, *http.Request, *wire.Observation) {
	o := &Observer{Requests: NewRequests()}
	r := &http.Request{Header: http.Header{}}
	s := &wire.Observation{Op: encrypt, Duration: 50 * time.Microsecond}
	o.Begin(r)
	o.End(s)
	return o, r, s
}

func TestObserverAllocates(t *testing.T) {
	o, r, s := hot()
	if n := testing.AllocsPerRun(1000, func() { s.Trace = o.Begin(r); o.End(s) }); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

// BenchmarkObserver is what metrics add to a request, the two readings of the clock left out.
func BenchmarkObserver(b *testing.B) {
	o, r, s := hot()
	b.ReportAllocs()
	for b.Loop() {
		s.Trace = o.Begin(r)
		o.End(s)
	}
}
