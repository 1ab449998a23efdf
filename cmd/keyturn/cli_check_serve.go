package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/wire"
)

// checkMetrics are the metrics of keyturn check --watch.
type checkMetrics struct {
	registry *prometheus.Registry
	findings *prometheus.GaugeVec
	keys     prometheus.Gauge
	last     prometheus.Gauge
	took     prometheus.Gauge
	runs     *prometheus.CounterVec
	unread   prometheus.Gauge
	price    prometheus.Gauge
	posts    *prometheus.CounterVec
}

func newCheckMetrics() *checkMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "keyturn_check_" + name, Help: help})
	}
	m := &checkMetrics{
		registry: prometheus.NewRegistry(),
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyturn_check_findings", Help: "Findings of the last complete run, those that a baseline accepts left out.",
		}, []string{"check", "severity", "status"}),
		keys:   gauge("keys", "Keys that the last complete run looked at."),
		last:   gauge("last_run_timestamp_seconds", "When the last run ended, real time."),
		took:   gauge("run_duration_seconds", "How long the last run took."),
		unread: gauge("errors", "What the last run could not read beyond single keys."),
		price:  gauge("price_usd_per_month", "What AWS charges each month for the keys that the last complete run looked at."),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_check_runs_total", Help: "Runs by how they ended.",
		}, []string{"result"}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyturn_check_webhook_posts_total", Help: "Messages to the webhook by how they ended.",
		}, []string{"result"}),
	}
	m.registry.MustRegister(m.findings, m.keys, m.last, m.took, m.unread, m.price, m.runs, m.posts)
	return m
}

// ran takes the result of a run.
func (m *checkMetrics) ran(r check.Report, took time.Duration, err error) {
	result := "complete"
	if err != nil || len(r.Summary.Errors) > 0 {
		result = "incomplete"
	}
	m.runs.WithLabelValues(result).Inc()
	m.unread.Set(float64(len(r.Summary.Errors)))
	m.took.Set(took.Seconds())
	m.last.SetToCurrentTime()
	if result != "complete" {
		return // what it did not see has not gone away: an alert must not end because nobody could look
	}
	for _, c := range r.Summary.Checks {
		for _, status := range check.Statuses() {
			n := c.Counts[status]
			if status == check.Fail {
				n -= c.Accepted
			}
			m.findings.WithLabelValues(c.Check, c.Severity.String(), string(status)).Set(float64(n))
		}
	}
	m.keys.Set(float64(r.Summary.Keys))
	m.price.Set(float64(r.Summary.Prices.MonthlyCents) / 100)
}

// serveFindings serves the last report until ctx ends. With a token every caller but that of /healthz has to show it; without, only
// names of this machine are answered to, so that no web page can read it.
func serveFindings(ctx context.Context, l net.Listener, m *check.Monitor, metrics *checkMetrics, token string) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /findings", func(w http.ResponseWriter, _ *http.Request) {
		r := m.Report()
		if r == nil {
			http.Error(w, "the first run is under way", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(r) // what fails is the caller's connection
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	guard := wire.HostGuard{}
	want := sha256.Sum256([]byte(token))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if token == "" {
			if status, reason := guard.Check(r); status != 0 {
				http.Error(w, reason, status)
				return
			}
		} else if r.URL.Path != "/healthz" {
			shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			got := sha256.Sum256([]byte(shown))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(drain)
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
