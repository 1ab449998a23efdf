package telemetry

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

// TracerConfig is what a Tracer is made of.
type TracerConfig struct {
	Export  *Exporter
	Ratio   float64 // of the requests that are traced, 0 to 1
	Version string  // of this program
	// Accept takes the traceparent header of requests (W3C Trace Context): whoever sends one decides whether the request is traced.
	Accept bool
}

// Tracer makes a trace of a part of the requests: a span for the request, and one for each step in the pipeline.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	accept   bool
}

// maxSteps bounds the spans of one request: a change that meets conflicts runs its steps again and again.
const maxSteps = 32

// NewTracer returns a Tracer; Close ends it.
func NewTracer(ctx context.Context, c TracerConfig) (*Tracer, error) {
	exporter, err := otlptrace.New(ctx, c.Export)
	if err != nil {
		return nil, err
	}
	sampler := sdktrace.TraceIDRatioBased(c.Ratio)
	if c.Accept {
		sampler = sdktrace.ParentBased(sampler)
	}
	provider := sdktrace.NewTracerProvider(
		// What does not fit into the queue is dropped: no request ever waits for a collector.
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(4096), sdktrace.WithMaxExportBatchSize(512)),
		sdktrace.WithSampler(sampler),
		// Not resource.Default: it tells the host, the process and its command line.
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "keyturn"), attribute.String("service.version", c.Version))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/keyturn/keyturn"), accept: c.Accept}, nil
}

// Close sends what is left, as far as ctx lets it.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// callTrace is a service.Trace of one request.
type callTrace struct {
	tracer trace.Tracer
	ctx    context.Context // with span
	span   trace.Span
	steps  int
}

// begin returns the trace of a request, nil if it is not among those that are traced.
func (t *Tracer) begin(r *http.Request) *callTrace {
	ctx := context.Background()
	if t.accept && len(r.Header["Traceparent"]) == 1 {
		parent := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header)))
		// The caller's tracestate is text of any meaning, and is not passed on.
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent.WithTraceState(trace.TraceState{}))
	}
	ctx, span := t.tracer.Start(ctx, unknown, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return nil
	}
	return &callTrace{tracer: t.tracer, ctx: ctx, span: span}
}

var _ service.Trace = (*callTrace)(nil)

// Step implements service.Trace.
func (t *callTrace) Step(name string) (end func()) {
	if t.steps++; t.steps > maxSteps {
		return func() {}
	}
	_, span := t.tracer.Start(t.ctx, name)
	return func() { span.End() }
}

// end ends the trace with what is known now. The request ID leads to the audit log, which says who asked for what; the trace does not.
func (t *callTrace) end(s *wire.Observation) {
	service, operation := unknown, unknown
	if s.Op != nil {
		service, operation = s.Op.Service, s.Op.Name
		t.span.SetName(service + "." + operation)
	}
	t.span.SetAttributes(
		attribute.String("rpc.system", "aws-api"), attribute.String("rpc.service", service), attribute.String("rpc.method", operation),
		attribute.String("aws.request_id", s.RequestID), attribute.String("keyturn.code", codeName(s.Code)),
	)
	if s.Call != nil {
		t.span.SetAttributes(attribute.String("cloud.region", s.Call.Region))
	}
	if s.Code != "" && s.Code.Status() >= http.StatusInternalServerError {
		t.span.SetStatus(codes.Error, "")
	}
	t.span.End()
}
