package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/telemetry"
	"github.com/keyturn/keyturn/internal/wire"
)

// watch is what a server shows to those who watch it: its observer, /metrics and the listeners beside the API's. The listeners answer
// before the app is open, too: a server that waits for its seal is one to be seen.
type watch struct {
	observer *telemetry.Observer
	exporter *telemetry.Exporter // nil: nothing is traced
	log      *slog.Logger
	metrics  atomic.Pointer[http.Handler]
	// sealed is to be set while the server waits for a person to unseal it.
	sealed      atomic.Bool
	certificate func() time.Time
	sides       []*side
}

// side is a listener beside the API's.
type side struct {
	name string
	l    net.Listener
	srv  *http.Server
	done chan struct{}
}

func newWatch(log *slog.Logger) *watch {
	w := &watch{log: log, observer: &telemetry.Observer{Requests: telemetry.NewRequests()}}
	w.show(telemetry.Sources{
		Ready: func() error { return errStarting }, Seal: func() telemetry.Seal { return telemetry.Seal{Sealed: w.sealed.Load()} },
	})
	return w
}

// startingError is what keeps a server from being ready until it is open.
type startingError struct{}

func (startingError) Error() string { return "the server has not started yet" }
func (startingError) NotReady() wire.Unready {
	return wire.Unready{Reason: "starting", Text: "the server has not started yet"}
}

var errStarting error = startingError{}

// watch returns what the configuration asks for, its listeners open.
func (c *serverConfig) watch(ctx context.Context, s *sections) (_ *watch, err error) {
	log, certs := s.log, s.certificates
	w := newWatch(log)
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if c.Log != nil && c.Log.Requests {
		w.observer.Log = log
	}
	if certs != nil {
		w.certificate = certs.end
	}
	if c.Tracing != nil {
		if err := w.trace(ctx, c.Tracing, s.collector); err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	if c.Metrics != nil {
		srv := telemetry.MetricsServer(http.HandlerFunc(w.serveMetrics), s.metricsToken, log)
		if !isLoopback(c.Metrics.Listen) {
			srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
		}
		if err := w.listen("metrics", c.Metrics.Listen, srv); err != nil {
			return nil, err
		}
	}
	if c.Debug != nil {
		if err := w.listen("debug", c.Debug.Listen, telemetry.DebugServer(log)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *watch) trace(ctx context.Context, c *tracingConfig, to *collector) (err error) {
	w.exporter = telemetry.NewExporter(to.url, to.token, to.client, w.log)
	w.observer.Tracer, err = telemetry.NewTracer(ctx, telemetry.TracerConfig{
		Export: w.exporter, Ratio: c.SampleRatio, Accept: c.AcceptTraceparent, Version: versionText(),
	})
	return err
}

// listen serves on an address until close.
func (w *watch) listen(name, address string, srv *http.Server) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return withHint(fmt.Errorf("%s.listen: %w", name, err), "another program may have the address: choose another port")
	}
	s := &side{name: name, l: l, srv: srv, done: make(chan struct{})}
	w.sides = append(w.sides, s)
	go func() {
		defer close(s.done)
		serve := func() error { return srv.Serve(l) }
		if srv.TLSConfig != nil {
			serve = func() error { return srv.ServeTLS(l, "", "") }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("a listener beside the API ended", "what", name, "error", err)
		}
	}()
	return nil
}

// announce logs what is served beside the API: once there is an API, since a start that fails serves nothing.
func (w *watch) announce() {
	for _, s := range w.sides {
		w.log.Info("serving beside the API", "what", s.name, "address", s.l.Addr().String())
	}
}

// show makes /metrics show these sources from now on.
func (w *watch) show(s telemetry.Sources) {
	info, _ := debug.ReadBuildInfo()
	v := readVersion(info)
	s.Build = telemetry.Build{Version: v.Version, Revision: v.Revision, Go: v.Go, FIPS140: v.FIPS140}
	s.Certificate, s.Log = w.certificate, w.log
	h := telemetry.MetricsHandler(w.observer.Requests, s, w.exporter)
	w.metrics.Store(&h)
}

func (w *watch) serveMetrics(rw http.ResponseWriter, r *http.Request) {
	(*w.metrics.Load()).ServeHTTP(rw, r)
}

// close ends the listeners and sends the spans that are left, in bounded time.
func (w *watch) close() {
	for _, s := range w.sides {
		if err := s.srv.Close(); err != nil {
			w.log.Warn("closing a listener", "what", s.name, "error", err)
		}
		<-s.done
	}
	if t := w.observer.Tracer; t != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := t.Close(ctx); err != nil {
			w.log.Warn("the last traces were not sent", "error", err)
		}
	}
}

// sources are where the metrics of an open app come from.
func (a *app) sources(c appConfig, engine store.Store, sealed *seal.Store, sink audit.Sink, guard *clock.Guard, ready func() error) telemetry.Sources {
	p := a.pipeline
	s := telemetry.Sources{
		Ready: ready, Cache: p.CacheStats, Keys: p.Census().Counts, Outbox: p.OutboxStats, Events: a.runner.Stats,
		Due:  &telemetry.Due{Scan: p.Store().Scan, Now: p.Clock().Now},
		Seal: func() telemetry.Seal { return sealMetrics(sealed.Status()) },
		Backup: func(ctx context.Context) (*record.LastBackup, error) {
			r, err := p.Record(ctx, record.LastBackupStoreKey)
			last, _ := r.(*record.LastBackup) // nil: there was none
			return last, err
		},
	}
	if e, ok := engine.(store.Statser); ok {
		s.Store = e.Stats
	}
	if l, ok := sink.(interface{ Stats() audit.Stats }); ok {
		s.AuditLog = l.Stats
	}
	if guard != nil {
		s.Clock = func() telemetry.Clock { return clockMetrics(guard.Check()) }
	}
	if c.DataDir != "" {
		s.Disk = func() (telemetry.Disk, error) { return diskSpace(c.DataDir) }
	}
	return s
}

func clockMetrics(st clock.Status) telemetry.Clock {
	if st.Standing == clock.Trusted {
		return telemetry.Clock{Trusted: true}
	}
	return telemetry.Clock{Jump: st.Wall.Sub(st.Mark)}
}

func sealMetrics(st seal.Status) telemetry.Seal {
	m := telemetry.Seal{RootCreated: st.RootCreated, KeyringVersion: st.Version, KeyringCreated: st.Created, KeyringDue: st.Rotation}
	if st.Progress != nil {
		m.Resealing, m.Resealed, m.ResealTotal = true, st.Progress.Done, st.Progress.Total
	}
	return m
}

// countKeys counts the keys for the metrics, in the background.
func (a *app) countKeys(ctx context.Context) {
	if err := a.pipeline.Census().Run(ctx, service.CensusPause); err != nil {
		a.log.Error("the number of keys is not shown in the metrics", "error", err)
	}
}

// end returns when the certificate that is served ends.
func (c *certificates) end() time.Time {
	pair, err := c.get(nil)
	if err != nil || pair == nil || pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}
