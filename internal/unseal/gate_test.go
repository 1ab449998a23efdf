package unseal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/awskms"
	"github.com/keyturn/keyturn/internal/seal/shamir"
)

var root = bytes.Repeat([]byte{9}, 32)

// testGate is a gate whose clock stands still unless told, with a store's opening behind it.
type testGate struct {
	*Gate
	log    *bytes.Buffer
	now    time.Time
	result chan error // of Unseal, once
}

func newGate(t *testing.T) *testGate {
	t.Helper()
	g := &testGate{log: new(bytes.Buffer), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), result: make(chan error, 1)}
	g.Gate = New(Config{Log: slog.New(slog.NewTextHandler(g.log, nil)), Now: func() time.Time { return g.now }, Process: "process-id-of-this-test"})
	return g
}

// unseal lets the gate wait until it is unsealed, or ctx ends.
func (g *testGate) unseal(t *testing.T, ctx context.Context, p seal.Provider, sealed []byte) {
	t.Helper()
	go func() {
		got, err := g.Provider(p).Unseal(ctx, sealed)
		if err == nil && !bytes.Equal(got, root) {
			err = errors.New("another root key came out")
		}
		g.result <- err
	}()
	<-g.Waiting()
}

func splitKey(t *testing.T, shares, threshold int) (sealed []byte, texts []string) {
	t.Helper()
	p, err := shamir.New(shares, threshold)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = p.Seal(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	return sealed, p.Handout()
}

func request(method, path, from, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = net.JoinHostPort(from, "1234")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", ContentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (g *testGate) do(t *testing.T, r *http.Request) (int, Status, *http.Response) {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var s Status
	if resp.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &s); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	} else {
		s.Text = string(body)
	}
	return resp.StatusCode, s, resp
}

// TestUnseal goes from sealed to open, with everything that can be given wrong on the way.
func TestUnseal(t *testing.T) {
	g := newGate(t)
	dir := t.TempDir()
	security, err := audit.OpenSecurity(filepath.Join(dir, "security"), audit.SecurityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.SetSecurity(security)
	if _, s, _ := g.do(t, request("GET", "/readyz", "192.0.2.1", "")); s.Text != "not ready: starting\n" {
		t.Errorf("at first: %q", s.Text)
	}
	sealed, texts := splitKey(t, 5, 3)
	_, foreign := splitKey(t, 5, 3)
	g.unseal(t, t.Context(), new(shamir.Provider), sealed)

	for _, step := range []struct {
		name   string
		r      *http.Request
		status int
		given  int
		says   string // in the answer
	}{
		{"alive", request("GET", "/healthz", "192.0.2.1", ""), 200, -1, "ok\n"},
		{"not ready", request("GET", "/readyz", "192.0.2.1", ""), 503, -1, "not ready: sealed: 0 of 3 shares given\n"},
		{"a call", request("POST", "/", "192.0.2.1", "{}", "Content-Type", "application/x-amz-json-1.1"), 503, -1, `"__type":"ServiceUnavailableException"`},
		{"a form", request("POST", "/", "192.0.2.1", "Action=X", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), 503, -1, "<Code>ServiceUnavailable</Code>"},
		{"a query", request("GET", "/?Action=GetCallerIdentity", "192.0.2.1", ""), 503, -1, "<Code>ServiceUnavailable</Code>"},
		{"the state", request("GET", Path, "192.0.2.1", ""), 200, 0, ""},
		{"the first", request("POST", Path, "192.0.2.1", texts[0]), 200, 1, ""},
		{"the first again", request("POST", Path, "192.0.2.2", texts[0]), 409, 1, "given already"},
		{"a foreign one", request("POST", Path, "192.0.2.3", foreign[1]), 422, 1, "another set"},
		{"mistyped", request("POST", Path, "192.0.2.4", texts[1][:90]), 422, 1, "not a share"},
		{"nothing", request("POST", Path, "192.0.2.5", ""), 422, 1, "not a share"},
		{"too long", request("POST", Path, "192.0.2.6", strings.Repeat("x", MaxBody+1)), 413, 0, "too long"},
		{"as JSON", request("POST", Path, "192.0.2.7", texts[1], "Content-Type", "application/json"), 415, 0, "content type"},
		{"as a form", request("POST", Path, "192.0.2.7", texts[1], "Content-Type", "text/plain"), 415, 0, "content type"},
		{"deleted", request("DELETE", Path, "192.0.2.7", ""), 405, 0, ""},
		{"preflight", request("OPTIONS", Path, "192.0.2.7", ""), 405, 0, ""},
		{"reset asked for the state", request("GET", ResetPath, "192.0.2.7", ""), 405, 0, ""},
		{"from a page", request("POST", Path, "192.0.2.7", texts[1], "Origin", "https://evil.example"), 403, 0, "browsers"},
		{"from a page of the same name", request("POST", Path, "192.0.2.7", texts[1], "Sec-Fetch-Site", "same-origin"), 403, 0, "browsers"},
		{"the state from a page", request("GET", Path, "192.0.2.7", "", "Sec-Fetch-Site", "cross-site"), 403, 0, "browsers"},
		{"a reset by a stranger", request("POST", ResetPath, "192.0.2.8", ""), 422, 1, "not a share"},
		{"a reset with a foreign share", request("POST", ResetPath, "192.0.2.9", foreign[0]), 422, 1, "another set"},
		{"a reset", request("POST", ResetPath, "192.0.2.7", texts[4]), 200, 0, ""},
		{"its own call", request("POST", "/", "192.0.2.7", "{}", awskms.ProcessHeader, "process-id-of-this-test"), 400, -1, awskms.OwnSealCode},
		{"the first once more", request("POST", Path, "192.0.2.7", texts[0]), 200, 1, ""},
		{"the second", request("POST", Path, "2001:db8::1", strings.ToLower(texts[4])), 200, 2, ""},
	} {
		status, s, resp := g.do(t, step.r)
		if status != step.status || step.given >= 0 && s.Given != step.given || !strings.Contains(s.Text+s.Error, step.says) {
			t.Errorf("%s: %d %+v, want %d with %d given, %q", step.name, status, s, step.status, step.given, step.says)
		}
		if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", step.name, resp.Header)
		}
		if status == 503 && step.says[0] != 'n' && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", step.name)
		}
	}
	status, s, _ := g.do(t, request("POST", Path, "192.0.2.7", texts[2]))
	if status != 200 || s.Text != "unsealed: opening the store" || !s.Sealed {
		t.Errorf("the last: %d %+v", status, s)
	}
	if err := <-g.result; err != nil {
		t.Fatal(err)
	}
	if status, s, _ := g.do(t, request("POST", Path, "192.0.2.7", texts[3])); status != 409 || !s.Sealed {
		t.Errorf("while the store opens: %d %+v", status, s)
	}
	// From now on the same handler serves the API, and nothing of a request is lost.
	g.Open(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	if status, s, _ := g.do(t, request("POST", "/", "192.0.2.7", "the call", "Content-Type", "application/x-amz-json-1.1")); status != 200 || s.Text != "the call" {
		t.Errorf("opened: %d %+v", status, s)
	}
	if status, s, _ := g.do(t, request("POST", Path, "192.0.2.7", texts[3])); status != 409 || s.Sealed {
		t.Errorf("given once open: %d %+v", status, s)
	}
	if _, s, _ := g.do(t, request("GET", Path, "192.0.2.7", "")); s.Sealed || s.Text != "not sealed" {
		t.Errorf("the state once open: %+v", s)
	}
	if status, _, _ := g.do(t, request("POST", "/", "192.0.2.7", "", awskms.ProcessHeader, "process-id-of-this-test")); status != 400 {
		t.Errorf("its own call once open: %d", status)
	}

	if err := security.Close(); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(dir, "security"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"UnsealTaken", "UnsealRefused", "UnsealGivenAlready", "UnsealReset\"", "UnsealResetRefused", "UnsealFromBrowser", "192.0.2.3", "2001:db8::1"} {
		if !strings.Contains(string(lines), want) {
			t.Errorf("the security log lacks %s:\n%s", want, lines)
		}
	}
	for _, text := range append(texts, foreign...) {
		for _, part := range []string{text[strings.LastIndexByte(text, ':')+1:][:16]} {
			if strings.Contains(string(lines)+g.log.String(), part) {
				t.Errorf("a share is in a log")
			}
		}
	}
}

// TestUnsealEnds: the server can be stopped while it is sealed, and does not wait for what no share can open.
func TestUnsealEnds(t *testing.T) {
	sealed, texts := splitKey(t, 3, 2)
	t.Run("stopped", func(t *testing.T) {
		g := newGate(t)
		ctx, cancel := context.WithCancel(t.Context())
		g.unseal(t, ctx, new(shamir.Provider), sealed)
		if status, s, _ := g.do(t, request("POST", Path, "192.0.2.1", texts[0])); status != 200 {
			t.Fatalf("%d %+v", status, s)
		}
		cancel()
		if err := <-g.result; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if status, _, _ := g.do(t, request("POST", Path, "192.0.2.1", texts[1])); status != 409 {
			t.Errorf("given after the stop: %d", status)
		}
	})
	t.Run("damaged before", func(t *testing.T) {
		g := newGate(t)
		if _, err := g.Provider(new(shamir.Provider)).Unseal(t.Context(), sealed[:20]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
	t.Run("damaged behind", func(t *testing.T) {
		g := newGate(t)
		altered := bytes.Clone(sealed)
		altered[len(altered)-1] ^= 1
		g.unseal(t, t.Context(), new(shamir.Provider), altered)
		for _, text := range texts[:2] {
			if status, s, _ := g.do(t, request("POST", Path, "192.0.2.1", text)); status != 200 {
				t.Fatalf("%d %+v", status, s)
			}
		}
		if err := <-g.result; !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%v", err)
		}
	})
}

// TestRunning: once the store is open, a root key that nobody can open is an error, never a wait.
func TestRunning(t *testing.T) {
	g := newGate(t)
	g.Open(http.NotFoundHandler())
	sealed, _ := splitKey(t, 3, 2)
	if _, err := g.Provider(new(shamir.Provider)).Unseal(t.Context(), sealed); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("shares: %v", err)
	}
	p := &flaky{KeyFile: seal.NewKeyFile(root), failures: 1}
	if _, err := g.Provider(p).Seal(t.Context(), root); !errors.Is(err, seal.ErrUnavailable) || p.calls != 1 {
		t.Errorf("a KMS that is away: %v after %d calls", err, p.calls)
	}
}

// flaky is a KMS that is away for some calls.
type flaky struct {
	*seal.KeyFile
	failures, calls int
	bound           string
}

func (f *flaky) fail() error {
	if f.calls++; f.calls <= f.failures {
		return seal.ErrUnavailable
	}
	return nil
}

func (f *flaky) Bind(deployment string) { f.bound = deployment }

func (f *flaky) Seal(ctx context.Context, root []byte) ([]byte, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.KeyFile.Seal(ctx, root)
}

func (f *flaky) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.KeyFile.Unseal(ctx, sealed)
}

// TestRetry: a KMS that does not answer is asked again, with longer and longer pauses.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		sealed, err := seal.NewKeyFile(root).Seal(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		p := &flaky{KeyFile: seal.NewKeyFile(root), failures: 8}
		g.Provider(p).(seal.Bound).Bind("a deployment")
		if p.bound != "a deployment" {
			t.Error("the gate does not tell which deployment it is")
		}
		began := time.Now()
		g.unseal(t, t.Context(), p, sealed)
		if _, s, _ := g.do(t, request("GET", "/readyz", "192.0.2.1", "")); s.Text != "not ready: sealed: waiting for the KMS that holds its key\n" {
			t.Errorf("%q", s.Text)
		}
		if status, s, _ := g.do(t, request("POST", Path, "192.0.2.1", "anything")); status != 409 || !s.Sealed {
			t.Errorf("given to a server that waits for a KMS: %d %+v", status, s)
		}
		if err := <-g.result; err != nil {
			t.Fatal(err)
		}
		// 1+2+4+8+16+32+60+60 seconds.
		if d := time.Since(began); d != 183*time.Second || p.calls != 9 {
			t.Errorf("it took %v and %d calls", d, p.calls)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		g = newGate(t)
		g.unseal(t, ctx, &flaky{KeyFile: seal.NewKeyFile(root), failures: 1 << 30}, sealed)
		if err := <-g.result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stopped while it waits: %v", err)
		}
		// What no waiting mends is told at once.
		wrong := &flaky{KeyFile: seal.NewKeyFile(bytes.Repeat([]byte{1}, 32))}
		if _, err := newGate(t).Provider(wrong).Unseal(t.Context(), sealed); !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("the wrong key: %v", err)
		}
	})
}
