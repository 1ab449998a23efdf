package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Exporter sends spans to a collector by OTLP over HTTP, in protobuf (OpenTelemetry Protocol 1.x, "OTLP/HTTP"). It is an otlptrace.Client:
// the one that comes with OpenTelemetry links a whole gRPC stack, and has rules of its own for proxies and redirects. What cannot be sent
// is dropped.
type Exporter struct {
	url    string
	token  string
	client *http.Client
	log    *slog.Logger
	failed atomic.Bool // the last one
	spans  *prometheus.CounterVec
}

var _ otlptrace.Client = (*Exporter)(nil)

const (
	exportTimeout = 10 * time.Second
	// maxReply is how much of a collector's reply is read; nothing in it is needed.
	maxReply = 64 << 10
)

// NewExporter returns an exporter to a collector's URL. client must bound times and follow no redirects; token, if there is one, is sent
// as a bearer token.
func NewExporter(url, token string, client *http.Client, log *slog.Logger) *Exporter {
	e := &Exporter{url: url, token: token, client: client, log: log, spans: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyturn_trace_spans_total", Help: "Spans by what became of them: sent to the collector, or failed and dropped.",
	}, []string{"result"})}
	e.spans.WithLabelValues("sent")
	e.spans.WithLabelValues("failed")
	return e
}

// Start and Stop implement otlptrace.Client. There is nothing to do.
func (e *Exporter) Start(context.Context) error { return nil }

// Stop closes idle connections.
func (e *Exporter) Stop(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It never returns an error, which would reach a logger of OpenTelemetry's own.
func (e *Exporter) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	n := 0
	for _, r := range spans {
		for _, s := range r.ScopeSpans {
			n += len(s.Spans)
		}
	}
	if err := e.upload(ctx, spans); err != nil {
		e.spans.WithLabelValues("failed").Add(float64(n))
		if !e.failed.Swap(true) { // one line, however long the collector is away
			e.log.Warn("traces cannot be sent and are dropped", "error", err)
		}
		return nil
	}
	e.spans.WithLabelValues("sent").Add(float64(n))
	if e.failed.Swap(false) {
		e.log.Info("traces are being sent again")
	}
	return nil
}

func (e *Exporter) upload(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	// TracesData has the encoding of ExportTraceServiceRequest, whose package links gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the collector's URL is not valid")
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply)); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %d", resp.StatusCode)
	}
	return nil
}
