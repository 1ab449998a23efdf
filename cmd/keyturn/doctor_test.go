package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestHealthcheck asks a server, whatever its certificate: its files may be in the middle of a renewal.
func TestHealthcheck(t *testing.T) {
	var status atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(int(status.Load()))
			fmt.Fprintln(w, "not ready: sealed")
		}
	})
	srv := httptest.NewTLSServer(handler)
	defer srv.Close()
	plain := httptest.NewServer(handler)
	defer plain.Close()
	own := filepath.Join(t.TempDir(), "tls.crt")
	if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.crt")
	if err := os.WriteFile(other, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("another")}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	secured := &serverConfig{Listen: "0.0.0.0:" + port, TLS: &tlsConfig{Certificate: own}}
	gone := httptest.NewServer(handler)
	gone.Close()
	tests := []struct {
		name   string
		c      *serverConfig
		path   string
		status int64
		err    string
	}{
		{"TLS, on all addresses", secured, "/healthz", 200, ""},
		{"ready", secured, "/readyz", 200, ""},
		{"not ready", secured, "/readyz", 503, "503 Service Unavailable: not ready: sealed"},
		{"plain HTTP", &serverConfig{Listen: plain.Listener.Addr().String(), PlainHTTP: true}, "/healthz", 200, ""},
		{"another certificate", &serverConfig{Listen: secured.Listen, TLS: &tlsConfig{Certificate: other}}, "/healthz", 200, ""},
		{"no certificate", &serverConfig{Listen: secured.Listen, TLS: &tlsConfig{Certificate: own + ".none"}}, "/healthz", 200, ""},
		{"no TLS", &serverConfig{Listen: plain.Listener.Addr().String(), TLS: &tlsConfig{Certificate: own}}, "/healthz", 200, "the server does not answer"},
		{"nobody listens", &serverConfig{Listen: gone.Listener.Addr().String(), PlainHTTP: true}, "/healthz", 200, "the server does not answer"},
	}
	for _, tt := range tests {
		status.Store(tt.status)
		err := askHealth(t.Context(), tt.c, tt.path)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
}

// TestNotify reads what a service manager is told.
func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "kt") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of the test
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagrams between processes here: %v", err)
	}
	defer conn.Close() //nolint:errcheck // of the test
	read := func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, cancel := context.WithCancel(t.Context())
	announce(ctx, slog.New(slog.DiscardHandler))
	if got := read(); got != "READY=1" {
		t.Errorf("at the start: %q", got)
	}
	cancel()
	if got := read(); got != "STOPPING=1" {
		t.Errorf("at the end: %q", got)
	}
	for name, ok := range map[string]bool{"": true, "vsock:2:1": false, path + ".none": false} {
		t.Setenv("NOTIFY_SOCKET", name)
		if err := notifySystemd("READY=1"); (err == nil) != ok {
			t.Errorf("NOTIFY_SOCKET=%q: %v", name, err)
		}
	}
}
