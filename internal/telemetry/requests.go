package telemetry

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	unknown = "unknown" // stands for every operation that the server does not have
	success = "OK"      // the code of a request without an error
	other   = "other"   // stands for error codes beyond maxCodes

	// maxCodes bounds the error codes of one operation. They are all the program's own; no operation has half as many.
	maxCodes = 64
)

// durations are the bounds of the buckets of request latency, in seconds: a symmetric operation takes tens of microseconds, a new RSA
// key seconds.
var durations = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}

// Requests counts requests by operation and error code. It is a prometheus.Collector.
type Requests struct {
	inFlight prometheus.Gauge
	total    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	ops     sync.Map // *service.Op -> *opSeries; operations are the program's, so there are never many
	unknown *opSeries
}

// opSeries are the series of one operation. Those that most requests change are looked up once.
type opSeries struct {
	service, operation string
	ok                 prometheus.Counter
	seconds            prometheus.Observer
	errors             sync.Map // api.ErrorCode -> prometheus.Counter
	codes              atomic.Int32
}

// NewRequests returns counts at 0.
func NewRequests() *Requests {
	r := &Requests{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keyturn_requests_in_flight", Help: "Requests to the API that are being served.",
		}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_requests_total", Help: "Requests answered, by operation and error code; code OK is success.",
		}, []string{"service", "operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keyturn_request_duration_seconds", Buckets: durations,
			Help: "Time from a request's header to its answer, the caller's sending of the body included.",
		}, []string{"service", "operation"}),
	}
	r.unknown = r.series(unknown, unknown)
	return r
}

func (r *Requests) series(service, operation string) *opSeries {
	return &opSeries{
		service: service, operation: operation,
		ok: r.total.WithLabelValues(service, operation, success), seconds: r.seconds.WithLabelValues(service, operation),
	}
}

// Observe counts one request; op is nil for an operation that the server does not have, code "" for success.
func (r *Requests) Observe(op *service.Op, code api.ErrorCode, took time.Duration) {
	s := r.unknown
	if op != nil {
		if v, ok := r.ops.Load(op); ok {
			s = v.(*opSeries)
		} else {
			v, _ := r.ops.LoadOrStore(op, r.series(op.Service, op.Name))
			s = v.(*opSeries)
		}
	}
	s.seconds.Observe(took.Seconds())
	if code == "" {
		s.ok.Inc()
		return
	}
	r.failed(s, code).Inc()
}

// ObserveLocal is a service.Config.Local: it counts calls of adapters, whose errors are the pipeline's.
func (r *Requests) ObserveLocal(op *service.Op, _ *service.Call, err error, took time.Duration) {
	code := api.ErrorCode("")
	if e := (*api.Error)(nil); errors.As(err, &e) {
		code = e.Code
	} else if err != nil {
		code = api.KMSInternalException
	}
	r.Observe(op, code, took)
}

func (r *Requests) failed(s *opSeries, code api.ErrorCode) prometheus.Counter {
	if c, ok := s.errors.Load(code); ok {
		return c.(prometheus.Counter)
	}
	if s.codes.Load() >= maxCodes {
		return r.total.WithLabelValues(s.service, s.operation, other)
	}
	c, loaded := s.errors.LoadOrStore(code, r.total.WithLabelValues(s.service, s.operation, string(code)))
	if !loaded {
		s.codes.Add(1)
	}
	return c.(prometheus.Counter)
}

func codeName(c api.ErrorCode) string {
	if c == "" {
		return success
	}
	return string(c)
}

// Describe implements prometheus.Collector.
func (r *Requests) Describe(ch chan<- *prometheus.Desc) {
	r.inFlight.Describe(ch)
	r.total.Describe(ch)
	r.seconds.Describe(ch)
}

// Collect implements prometheus.Collector.
func (r *Requests) Collect(ch chan<- prometheus.Metric) {
	r.inFlight.Collect(ch)
	r.total.Collect(ch)
	r.seconds.Collect(ch)
}
