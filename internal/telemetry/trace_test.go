package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

// collectorServer is an OTLP/HTTP collector on loopback.
type collectorServer struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	auth   []string
	spans  []*tracepb.Span
	raw    []byte
}

func newCollectorServer(t *testing.T) *collectorServer {
	c := &collectorServer{status: http.StatusOK}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s of type %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		var data tracepb.TracesData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.auth = append(c.auth, r.Header.Get("Authorization"))
		for _, r := range data.ResourceSpans {
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
		c.raw = append(c.raw, body...)
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

// tracer returns a tracer to the collector.
func (c *collectorServer) tracer(t *testing.T, cfg TracerConfig, log io.Writer) *Tracer {
	t.Helper()
	if cfg.Export == nil {
		cfg.Export = NewExporter(c.URL+"/v1/traces", "a-token-of-enough-characters", c.Client(), slog.New(slog.NewTextHandler(log, nil)))
	}
	tr, err := NewTracer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// attributes are a span's, as text.
func attributes(s *tracepb.Span) string {
	var list []string
	for _, a := range s.Attributes {
		list = append(list, a.Key+"="+a.Value.GetStringValue())
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestTrace(t *testing.T) {
	c := newCollectorServer(t)
	tr := c.tracer(t, TracerConfig{Ratio: 1, Version: "v1.2.3"}, io.Discard)
	o := &Observer{Requests: NewRequests(), Tracer: tr}
	request := func(s wire.Observation, steps ...string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		s.Trace = o.Begin(r)
		for _, name := range steps {
			s.Trace.Step(name)()
		}
		o.End(&s)
	}
	call := &service.Call{Caller: service.RootCaller("111122223333", "AKIAIOSFODNN7EXAMPLE"), Region: "eu-central-1"}
	request(wire.Observation{RequestID: "r1", Op: encrypt, Call: call}, service.StepAuthenticate, service.StepPlan)
	request(wire.Observation{RequestID: "r2", Op: encrypt, Call: call, Code: api.KMSInternalException}, slices.Repeat([]string{service.StepCommit}, 10*maxSteps)...)
	request(wire.Observation{RequestID: "r3", Code: api.UnknownOperationException})
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	roots, children := map[string]*tracepb.Span{}, map[string]int{}
	for _, s := range c.spans {
		if s.Kind == tracepb.Span_SPAN_KIND_SERVER {
			roots[string(s.SpanId)] = s
			if len(s.ParentSpanId) > 0 || fmt.Sprintf("%x", s.TraceId) == "0af7651916cd43dd8448eb211c80319c" {
				t.Errorf("%s has the caller's trace, which is not configured", s.Name)
			}
		}
	}
	for _, s := range c.spans {
		if root := roots[string(s.ParentSpanId)]; s.Kind != tracepb.Span_SPAN_KIND_SERVER {
			if root == nil || !bytes.Equal(root.TraceId, s.TraceId) {
				t.Errorf("step %s is in no request", s.Name)
				continue
			}
			children[root.Name+" "+s.Name]++
		}
	}
	var got []string
	for _, s := range roots {
		got = append(got, fmt.Sprint(s.Name, ": ", attributes(s), " ", s.Status.GetCode()))
	}
	slices.Sort(got)
	want := []string{
		"kms.Encrypt: aws.request_id=r1 cloud.region=eu-central-1 keyturn.code=OK rpc.method=Encrypt rpc.service=kms rpc.system=aws-api STATUS_CODE_UNSET",
		"kms.Encrypt: aws.request_id=r2 cloud.region=eu-central-1 keyturn.code=KMSInternalException rpc.method=Encrypt rpc.service=kms rpc.system=aws-api STATUS_CODE_ERROR",
		"unknown: aws.request_id=r3 keyturn.code=UnknownOperationException rpc.method=unknown rpc.service=unknown rpc.system=aws-api STATUS_CODE_UNSET",
	}
	if !slices.Equal(got, want) {
		t.Errorf("requests\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := fmt.Sprint(children); n != fmt.Sprint(map[string]int{"kms.Encrypt authenticate": 1, "kms.Encrypt plan": 1, "kms.Encrypt commit": maxSteps}) {
		t.Errorf("steps %s", n)
	}
	for _, secret := range []string{"111122223333", "AKIAIOSFODNN7EXAMPLE"} {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("%s was sent", secret)
		}
	}
	if !bytes.Contains(c.raw, []byte("v1.2.3")) || c.auth[0] != "Bearer a-token-of-enough-characters" {
		t.Errorf("version or token is missing: %v", c.auth)
	}
}

// TestTraceparent: where it is accepted, callers decide, and what they say beside the trace is not passed on.
func TestTraceparent(t *testing.T) {
	c := newCollectorServer(t)
	tr := c.tracer(t, TracerConfig{Ratio: 1e-12, Accept: true}, io.Discard)
	begin := func(parents ...string) bool {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["Traceparent"] = parents
		r.Header.Set("Tracestate", "vendor=the-callers-secret")
		call := tr.begin(r)
		if call != nil {
			call.end(&wire.Observation{Op: encrypt})
		}
		return call != nil
	}
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, test := range []struct {
		name    string
		parents []string
		want    bool
	}{
		{"sampled", []string{"00-" + id + "-b7ad6b7169203331-01"}, true},
		{"not sampled", []string{"00-" + id + "-b7ad6b7169203331-00"}, false},
		{"none", nil, false},
		{"two", []string{"00-" + id + "-b7ad6b7169203331-01", "00-" + id + "-b7ad6b7169203331-01"}, false},
		{"no trace", []string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, false},
		{"nonsense", []string{strings.Repeat("0", 10_000)}, false},
	} {
		if got := begin(test.parents...); got != test.want {
			t.Errorf("%s: traced %v", test.name, got)
		}
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.spans) != 1 || fmt.Sprintf("%x", c.spans[0].TraceId) != id || fmt.Sprintf("%x", c.spans[0].ParentSpanId) != "b7ad6b7169203331" {
		t.Errorf("spans %v", c.spans)
	}
	if bytes.Contains(c.raw, []byte("the-callers-secret")) {
		t.Error("the caller's tracestate was sent")
	}
}

// TestCollectorAway: a collector that fails costs spans, a line of log, and nothing else.
func TestCollectorAway(t *testing.T) {
	c := newCollectorServer(t)
	var log bytes.Buffer
	exporter := NewExporter(c.URL+"/v1/traces", "", c.Client(), slog.New(slog.NewTextHandler(&log, nil)))
	send := func(status, n int) {
		t.Helper()
		c.mu.Lock()
		c.status = status
		c.mu.Unlock()
		tr := c.tracer(t, TracerConfig{Export: exporter, Ratio: 1}, io.Discard)
		for range n {
			tr.begin(httptest.NewRequest("POST", "/", nil)).end(&wire.Observation{Op: encrypt})
		}
		if err := tr.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	send(503, 3)
	send(302, 2)
	send(200, 4)
	c.Close()
	send(0, 1)
	if sent, failed := testutil.ToFloat64(exporter.spans.WithLabelValues("sent")), testutil.ToFloat64(exporter.spans.WithLabelValues("failed")); sent != 4 || failed != 6 {
		t.Errorf("%v sent, %v failed; want 4 and 6", sent, failed)
	}
	if n := strings.Count(log.String(), "traces cannot be sent"); n != 2 || strings.Count(log.String(), "sent again") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
}
