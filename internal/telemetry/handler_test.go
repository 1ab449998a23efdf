package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// get asks a handler as if over the network.
func get(h http.Handler, method, path, host string, header http.Header) (int, string) {
	r := httptest.NewRequest(method, path, nil)
	r.Host, r.Header = host, header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestSources leaves out what cannot be read, says so, and shows the rest.
func TestSources(t *testing.T) {
	var log bytes.Buffer
	certificate := now
	s := Sources{
		Ready: func() error { return errors.Join(errors.New("damage"), audit.ErrStopped) },
		Store: func() (store.Stats, error) { return store.Stats{}, errors.New("no such file") },
		Keys: func() (map[service.KeyClass]int64, bool) {
			return map[service.KeyClass]int64{{State: "Enabled", Spec: "RSA_2048"}: 1}, false
		},
		AuditLog: func() audit.Stats { return audit.Stats{LastSeq: 12, Unsynced: 3, Bytes: 4567, Segments: 2} },
		Outbox: func(ctx context.Context) (service.OutboxStats, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the scrape has no deadline")
			}
			return service.OutboxStats{Waiting: 7, Age: 90 * time.Second}, nil
		},
		Seal: func() Seal {
			return Seal{KeyringVersion: 3, KeyringCreated: now, Resealing: true, Resealed: 10, ResealTotal: 100}
		},
		Backup: func(context.Context) (*record.LastBackup, error) {
			return &record.LastBackup{At: now, Bytes: 12345}, nil
		},
		Clock:       func() Clock { return Clock{Jump: -90 * time.Second} },
		Certificate: func() time.Time { return certificate },
		Log:         slog.New(slog.NewTextHandler(&log, nil)),
	}
	h := MetricsHandler(NewRequests(), s, nil)
	_, body := get(h, "GET", "/metrics", "localhost", nil)
	for _, line := range []string{
		"keyturn_ready 0", `keyturn_not_ready{reason="store"} 1`, `keyturn_not_ready{reason="audit_log"} 1`, `keyturn_not_ready{reason="audit_disk_full"} 0`,
		"keyturn_audit_log_lines_total 12", "keyturn_audit_log_unsynced_lines 3", "keyturn_audit_log_size_bytes 4567", "keyturn_audit_log_segments 2",
		"keyturn_audit_outbox_entries 7", "keyturn_audit_lag_seconds 90", "keyturn_keys_counted 0", "keyturn_sealed 0", "keyturn_seal_keyring_version 3",
		"keyturn_seal_resealing 1", "keyturn_seal_resealed_values 10", "keyturn_seal_reseal_values 100",
		"keyturn_backup_last_timestamp_seconds 1.772600767e+09", "keyturn_backup_last_size_bytes 12345",
		"keyturn_clock_trusted 0", "keyturn_clock_jump_seconds -90",
		"keyturn_certificate_not_after_timestamp_seconds 1.772600767e+09",
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	for _, name := range []string{"keyturn_store_", "keyturn_keys{", "keyturn_seal_root", "keyturn_seal_keyring_due", "keyturn_disk"} {
		if strings.Contains(body, "\n"+name) {
			t.Errorf("%s is there", name)
		}
	}
	certificate = time.Time{}
	_, body = get(h, "GET", "/metrics", "localhost", nil)
	if !strings.Contains(body, `keyturn_collect_errors_total{source="store"} `) || strings.Contains(body, `keyturn_collect_errors_total{source="store"} 0`) {
		t.Error("the error of the store is not counted")
	}
	if strings.Contains(body, "\nkeyturn_certificate") {
		t.Error("a date that is not known is shown")
	}
	if !strings.Contains(log.String(), "no such file") {
		t.Errorf("the log has %q", log.String())
	}
	if status, _ := get(h, "POST", "/metrics", "localhost", nil); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", status)
	}
}

func TestListeners(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	metrics := MetricsHandler(NewRequests(), Sources{Log: quiet}, nil)
	const token = "a-token-of-enough-characters"
	plain, secured, debug := MetricsServer(metrics, "", quiet), MetricsServer(metrics, token, quiet), DebugServer(quiet)
	bearer := func(s string) http.Header { return http.Header{"Authorization": {s}} }
	for _, test := range []struct {
		name, path, host string
		srv              *http.Server
		header           http.Header
		want             int
	}{
		{"metrics by address", "/metrics", "127.0.0.1:9464", plain, nil, 200},
		{"metrics by name", "/metrics", "localhost:9464", plain, nil, 200},
		{"metrics by a page's own name", "/metrics", "rebound.example.com:9464", plain, nil, 403},
		{"metrics from another site", "/metrics", "localhost:9464", plain, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"nothing else", "/", "localhost:9464", plain, nil, 404},
		{"no profiles", "/debug/pprof/", "localhost:9464", plain, nil, 404},
		{"with the token", "/metrics", "kms.example.com", secured, bearer("Bearer " + token), 200},
		{"without", "/metrics", "localhost", secured, nil, 401},
		{"without the scheme", "/metrics", "localhost", secured, bearer(token), 401},
		{"a part of it", "/metrics", "localhost", secured, bearer("Bearer " + token[1:]), 401},
		{"more than it", "/metrics", "localhost", secured, bearer("Bearer " + token + "x"), 401},
		{"an empty one", "/metrics", "localhost", secured, bearer("Bearer "), 401},
		{"profiles", "/debug/pprof/", "127.0.0.1:6060", debug, nil, 200},
		{"a profile", "/debug/pprof/goroutine?debug=1", "[::1]:6060", debug, nil, 200},
		{"profiles by a page's own name", "/debug/pprof/heap", "rebound.example.com:6060", debug, nil, 403},
		{"profiles from another site", "/debug/pprof/heap", "localhost:6060", debug, http.Header{"Origin": {"https://example.com"}}, 403},
		{"not the command line", "/debug/pprof/cmdline", "localhost:6060", debug, nil, 404},
		{"no metrics among profiles", "/metrics", "localhost:6060", debug, nil, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := get(test.srv.Handler, "GET", test.path, test.host, test.header)
			if status != test.want {
				t.Errorf("%d, want %d: %.200s", status, test.want, body)
			}
			if status != 200 && strings.Contains(body, "keyturn_") {
				t.Error("metrics are in a refusal")
			}
		})
	}
}
