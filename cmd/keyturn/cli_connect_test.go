package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestCheckEndpoint(t *testing.T) {
	for s, want := range map[string]error{
		"http://127.0.0.1:4599":        nil,
		"http://127.8.9.1":             nil,
		"http://[::1]:4599/":           nil,
		"http://localhost:4599":        nil,
		"http://LOCALHOST":             nil,
		"https://kms.example.com":      nil,
		"https://kms.example.com/base": nil,
		"http://kms.example.com":       errPlainHTTP,
		"http://10.0.0.1:4599":         errPlainHTTP,
		"http://127.0.0.1.example.com": errPlainHTTP,
		"http://localhost.example.com": errPlainHTTP,
		"http://0.0.0.0":               errPlainHTTP,
		"":                             errNotURL,
		"127.0.0.1:4599":               errNotURL,
		"localhost:4599":               errNotURL,
		"ftp://127.0.0.1":              errNotURL,
		"unix:///var/run/kms":          errNotURL,
		"http://":                      errNotURL,
		"http://:4599":                 errNotURL,
		"https://me:secret@kms":        errNotURL,
		"https://kms.example.com/?x=y": errNotURL,
		"https://kms.example.com/#x":   errNotURL,
		"http://127.0.0.1:port":        errNotURL,
	} {
		if got := checkEndpoint(s, false); !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	if err := checkEndpoint("http://10.0.0.1:4599", true); err != nil {
		t.Errorf("insecure: %v", err)
	}
}

func TestConnect(t *testing.T) {
	const profiles = `[profile remote]
region = eu-central-1
services = here
aws_access_key_id = REMOTE
aws_secret_access_key = remote-secret
[services here]
kms =
  endpoint_url = https://kms.example.com
`
	tests := []struct {
		name     string
		flags    clientFlags
		env      map[string]string
		fallback string

		endpoint, region, key string
		err, hint             string
		usage                 bool
	}{
		{
			name: "loopback needs nothing", flags: clientFlags{endpoint: devEndpoint},
			endpoint: devEndpoint, region: "us-east-1", key: "keyturn",
		},
		{
			name: "loopback uses what there is", flags: clientFlags{endpoint: devEndpoint, region: "eu-west-1"},
			env:      map[string]string{"AWS_ACCESS_KEY_ID": "111111111111", "AWS_SECRET_ACCESS_KEY": "long-enough", "AWS_REGION": "eu-west-2"},
			endpoint: devEndpoint, region: "eu-west-1", key: "111111111111",
		},
		{
			name: "service endpoint before general one", env: map[string]string{"AWS_ENDPOINT_URL_KMS": "http://localhost:1", "AWS_ENDPOINT_URL": "http://localhost:2"},
			endpoint: "http://localhost:1", region: "us-east-1", key: "keyturn",
		},
		{
			name: "general endpoint before fallback", env: map[string]string{"AWS_ENDPOINT_URL": "http://localhost:2"}, fallback: devEndpoint,
			endpoint: "http://localhost:2", region: "us-east-1", key: "keyturn",
		},
		{
			name: "flag before environment", flags: clientFlags{endpoint: "http://[::1]:3"}, env: map[string]string{"AWS_ENDPOINT_URL": "http://localhost:2"},
			endpoint: "http://[::1]:3", region: "us-east-1", key: "keyturn",
		},
		{name: "fallback", fallback: devEndpoint, endpoint: devEndpoint, region: "us-east-1", key: "keyturn"},
		{name: "profile", flags: clientFlags{profile: "remote"}, endpoint: "https://kms.example.com", region: "eu-central-1", key: "REMOTE"},
		{
			name: "AWS", env: map[string]string{"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "long-enough", "AWS_REGION": "eu-west-2"},
			endpoint: "", region: "eu-west-2", key: "A",
		},
		{name: "no region", err: "no region", hint: "--region"},
		{name: "no credentials", flags: clientFlags{region: "us-east-1"}, err: "no credentials", hint: "AWS_ACCESS_KEY_ID"},
		{name: "no profile", flags: clientFlags{profile: "nobody"}, err: "nobody", hint: "--profile"},
		{name: "no URL", flags: clientFlags{endpoint: "localhost:4599"}, err: "not an http", usage: true},
		{name: "password", flags: clientFlags{endpoint: "https://u:hunter2@kms"}, err: "not an http", usage: true},
		{name: "plain http", flags: clientFlags{endpoint: "http://kms.example.com"}, err: "neither secret", hint: "--insecure-http", usage: true},
		{name: "plain http in the environment", env: map[string]string{"AWS_ENDPOINT_URL": "http://kms.example.com"}, err: "neither secret", hint: "--insecure-http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withoutAWS(t)
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(profiles), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_CONFIG_FILE", file)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			c, err := tt.flags.connect(t.Context(), tt.fallback)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				var h hintError
				errors.As(err, &h)
				if !strings.Contains(h.hint, tt.hint) || errors.As(err, new(usageError)) != tt.usage {
					t.Errorf("hint %q, usage error %v", h.hint, errors.As(err, new(usageError)))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			creds, err := c.cfg.Credentials.Retrieve(t.Context())
			if c.endpoint != tt.endpoint || c.cfg.Region != tt.region || creds.AccessKeyID != tt.key || err != nil {
				t.Errorf("endpoint %q, region %q, key %q, %v", c.endpoint, c.cfg.Region, creds.AccessKeyID, err)
			}
		})
	}
}

// A loopback endpoint must not make the EC2 metadata service be asked, though the chain of credentials ends there.
func TestLoopbackAsksNoMetadataService(t *testing.T) {
	withoutAWS(t)
	var asked atomic.Int64
	imds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer imds.Close()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL)
	local := clientFlags{endpoint: devEndpoint}
	if _, err := local.connect(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	remote := clientFlags{endpoint: "https://kms.example.com", region: "us-east-1"}
	if _, err := remote.connect(t.Context(), ""); err == nil {
		t.Error("credentials came from nowhere")
	}
	if asked.Load() == 0 {
		t.Error("for a remote endpoint it was not asked")
	}
}

func TestRefusedConnection(t *testing.T) {
	withoutAWS(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	l.Close()
	for name, run := range map[string]func() error{
		"keys":  func() error { _, err := execute(t, newKeysCommand(), "list", "--endpoint", endpoint); return err },
		"clock": func() error { _, err := execute(t, newClockCommand(), "--endpoint", endpoint); return err },
	} {
		err := run()
		var h hintError
		if !errors.As(err, &h) || h.hint != "is the address right, and keyturn running there?" || !strings.Contains(err.Error(), "cannot reach "+endpoint) {
			t.Errorf("%s: %v, hint %q", name, err, h.hint)
		}
	}
	// Only where keyturn dev listens by itself does starting it help.
	var h hintError
	if err := explain(syscall.ECONNREFUSED, devEndpoint); !errors.As(err, &h) || !strings.Contains(h.hint, "keyturn dev") {
		t.Errorf("%s: %v, hint %q", devEndpoint, err, h.hint)
	}
}

// An answer without end is cut off, on both ways to call.
func TestEndlessAnswer(t *testing.T) {
	withoutAWS(t)
	endless := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"ListKeys": always(strings.Repeat(" ", maxAnswerSize+1)), "GetClock": always(strings.Repeat(" ", maxAnswerSize+1)),
	})
	if _, err := execute(t, newClockCommand(), "--endpoint", endless.url); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("clock: %v", err)
	}
	if _, err := execute(t, newKeysCommand(), "list", "--endpoint", endless.url); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("keys: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cancel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{explain(fmt.Errorf("Post: %w", ctx.Err()), devEndpoint), "interrupted"},
		{&afterError{"enough was given", ctx.Err()}, "enough was given: interrupted"},
		{errors.Join(ctx.Err(), nil), "interrupted"},
		{errors.New("context canceled, says somebody else"), "context canceled, says somebody else"},
	} {
		if got := message(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
