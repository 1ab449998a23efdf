// Package telemetry is what a server tells those who watch it: metrics in Prometheus' format, a log line for each request, and
// OpenTelemetry traces. It takes what it shows from small functions, keeps no state of the service, and writes nothing.
//
// Labels and attributes come from lists that are part of the program: operations, error codes, key specs, kinds of events. Nothing that a
// caller sends becomes one, and neither does an account, a key ID or an alias. docs/monitoring.md has every metric.
package telemetry

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

// Observer is a wire.Observer that counts, traces and logs requests.
type Observer struct {
	Requests *Requests
	Tracer   *Tracer      // nil: nothing is traced
	Log      *slog.Logger // nil: requests are not logged
}

var _ wire.Observer = (*Observer)(nil)

// Begin implements wire.Observer.
func (o *Observer) Begin(r *http.Request) service.Trace {
	o.Requests.inFlight.Inc()
	if o.Tracer == nil {
		return nil
	}
	if t := o.Tracer.begin(r); t != nil {
		return t
	}
	return nil // not a nil *callTrace in an interface
}

// End implements wire.Observer.
func (o *Observer) End(s *wire.Observation) {
	o.Requests.inFlight.Dec()
	o.Requests.Observe(s.Op, s.Code, s.Duration)
	if t, ok := s.Trace.(*callTrace); ok {
		t.end(s)
	}
	if o.Log != nil {
		logRequest(o.Log, s)
	}
}

// logRequest writes one line. Of the request itself there is nothing in it: the name of the operation is the program's, and who asked is
// there only once a signature has proved it.
func logRequest(log *slog.Logger, s *wire.Observation) {
	attrs := [...]slog.Attr{
		slog.String("requestID", s.RequestID), slog.String("service", unknown), slog.String("operation", unknown), slog.String("code", codeName(s.Code)),
		slog.Float64("seconds", s.Duration.Seconds()), {}, {}, {},
	}
	if s.Op != nil {
		attrs[1].Value, attrs[2].Value = slog.StringValue(s.Op.Service), slog.StringValue(s.Op.Name)
	}
	n := 5
	if s.Call != nil {
		attrs[5], attrs[6] = slog.String("region", s.Call.Region), slog.String("account", s.Call.Caller.Account)
		attrs[7] = slog.String("accessKeyID", s.Call.Caller.AccessKeyID)
		n = len(attrs)
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs[:n]...)
}
