package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/wire"
)

// testServer is keyturn dev in this process, on a loopback port.
type testServer struct {
	URL  string
	app  *app
	stop func()
}

// regionsOf are regions of these names.
func regionsOf(t *testing.T, names []string) regions {
	t.Helper()
	r, err := newRegions(names)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// devConfig is what keyturn dev makes of its flags.
func devConfig(t *testing.T, dir string) appConfig {
	t.Helper()
	regions, err := newRegions(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	return appConfig{
		DataDir: dir, Dev: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Provider: func(bool) (seal.Provider, error) { return seal.NewKeyFile(key), nil },
		Guard:    wire.HostGuard{}.Check,
		Regions:  regions,
		Trust:    true,
	}
}

// startDev serves a keyturn dev over a data directory ("" for memory) until the test ends or stop is called.
func startDev(t *testing.T, dir string, change ...func(*appConfig)) *testServer {
	t.Helper()
	c := devConfig(t, dir)
	for _, f := range change {
		f(&c)
	}
	a, err := openApp(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.serve(ctx, l, wire.NewServer(a.Handler, c.Log)) }()
	stopped := false
	s := &testServer{URL: "http://" + l.Addr().String(), app: a}
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	}
	t.Cleanup(s.stop)
	return s
}

// kmsClient is the AWS SDK's client for an endpoint, with an access key ID; the secret does not matter to keyturn dev.
func kmsClient(url, accessKeyID, region string) *awskms.Client {
	return awskms.New(awskms.Options{
		BaseEndpoint: &url, Region: region, Credentials: credentials.NewStaticCredentialsProvider(accessKeyID, "secret-of-the-client", ""),
		RetryMaxAttempts: 1,
	})
}

// advance turns the clock of keyturn dev.
func (s *testServer) advance(t *testing.T, d time.Duration) *api.AdvanceClockResponse {
	t.Helper()
	q := api.AdvanceClockRequest{Seconds: api.Some(int64(d / time.Second))}
	status, body := s.post(t, "Keyturn.AdvanceClock", string(q.AppendJSON(nil)))
	var r api.AdvanceClockResponse
	if status != http.StatusOK || r.DecodeJSON([]byte(body)) != nil {
		t.Fatalf("AdvanceClock: %d %s", status, body)
	}
	return &r
}

// post sends an unsigned request.
func (s *testServer) post(t *testing.T, target, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	return do(t, req)
}
