package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever meets the wrong region, port or authority is told which.
func TestHintsAboutTheConnection(t *testing.T) {
	clientEnvironment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	t.Setenv("AWS_REGION", "eu-central-1")
	foreign := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid region."}`)) //nolint:errcheck // the client's business
	}
	secure, plain := httptest.NewUnstartedServer(http.HandlerFunc(foreign)), httptest.NewServer(http.HandlerFunc(foreign))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is full of handshakes that are to fail
	secure.StartTLS()
	defer secure.Close()
	defer plain.Close()
	dir := t.TempDir()
	ca, none := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "none.pem")
	for path, text := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), none: []byte("no certificate")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(dir, "backup")
	commands := [][]string{{"backup", "--to-seal", "--output", backup}, {"seal", "status"}, {"verify"}, {"compact"}, {"clock"}, {"keys", "list"}}
	for _, tt := range []struct {
		name         string
		flags        []string
		error_, hint string
	}{
		{"wrong region", []string{"--endpoint", secure.URL, "--ca-file", ca}, "valid region", "--region or AWS_REGION must be one of the server's regions"},
		{"unknown authority", []string{"--endpoint", secure.URL}, "certificate", "with --ca-file"},
		{"no authority", []string{"--endpoint", secure.URL, "--ca-file", none}, "holds no certificate in PEM", ""},
		{"in the clear", []string{"--endpoint", strings.Replace(secure.URL, "https:", "http:", 1)}, "speaks TLS, and was asked without", "begins with https://"},
		{"no TLS there", []string{"--endpoint", strings.Replace(plain.URL, "http:", "https:", 1)}, "", "speaks no TLS"},
	} {
		for _, command := range commands {
			_, _, err := printed(t, append(command[:len(command):len(command)], tt.flags...)...)
			if err == nil || !strings.Contains(err.Error(), tt.error_) || !strings.Contains(hintFor(err), tt.hint) {
				t.Errorf("%s: keyturn %s: %v, hint %q", tt.name, command[0], err, hintFor(err))
			}
		}
	}
	_, _, err := printed(t, "unseal", "--status", "--endpoint", strings.Replace(secure.URL, "https:", "http:", 1))
	if !strings.Contains(hintFor(err), "begins with https://") {
		t.Errorf("unseal: %v, hint %q", err, hintFor(err))
	}
}

func TestIsDevEndpoint(t *testing.T) {
	for endpoint, want := range map[string]bool{
		devEndpoint: true, "http://localhost:4599/": true, "https://127.0.0.1:4599": false, "http://127.0.0.1:4600": false, "http://kms.example.com:4599": false, "": false,
	} {
		if isDevEndpoint(endpoint) != want {
			t.Errorf("%q: %v", endpoint, !want)
		}
	}
}
