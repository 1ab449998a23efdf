package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// short is how long a test waits for something that never comes.
const short = 100 * time.Millisecond

// serve starts a TLS server on loopback. Handlers may block on the request's context, which ends with the connection.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func rootsOf(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// client trusts the certificate of s, and may connect to loopback.
func client(t *testing.T, s *httptest.Server, cfg Config) *http.Client {
	t.Helper()
	if cfg.AllowPrivate == nil {
		cfg.AllowPrivate = loopback
	}
	if cfg.Roots == nil {
		cfg.Roots = rootsOf(s)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// get reads a whole response.
func get(c *http.Client, url string) (*http.Response, []byte, error) {
	resp, err := c.Get(url)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is read to its end or its error
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func TestExchange(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello over "+r.Proto) }) //nolint:errcheck // a test server
	resp, b, err := get(client(t, s, Config{}), s.URL)
	if err != nil || string(b) != "hello over HTTP/2.0" {
		t.Fatalf("%q, %v", b, err)
	}
	if resp.TLS == nil || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("TLS: %+v", resp.TLS)
	}
}

func TestPrivateAddressRefused(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	c, err := New(Config{Roots: rootsOf(s)})
	if err != nil {
		t.Fatal(err)
	}
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "169.254.169.254", "10.0.0.1"} {
		if _, _, err := get(c, "https://"+host+port); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestURLRefused(t *testing.T) {
	c, err := New(Config{AllowPrivate: loopback})
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()
	for _, u := range []string{plain.URL, "file:///etc/passwd", "https://user:pass@127.0.0.1/", "//127.0.0.1/"} {
		body := &closeRecorder{Reader: strings.NewReader("x")}
		r, err := http.NewRequest("POST", u, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Transport.RoundTrip(r); !errors.Is(err, ErrURL) {
			t.Errorf("%s: %v", u, err)
		}
		if !body.closed {
			t.Errorf("%s: the body was left open", u)
		}
	}
	if _, err := c.Transport.RoundTrip(&http.Request{}); !errors.Is(err, ErrURL) {
		t.Errorf("no URL: %v", err)
	}
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func TestNoProxyFromEnvironment(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if tr := c.Transport.(*transport).inner; tr.Proxy != nil {
		t.Error("the transport has a proxy")
	}
	if _, _, err := get(c, "https://10.0.0.1/"); !errors.Is(err, ErrAddress) {
		t.Errorf("%v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Errorf("the redirect was followed to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	resp, _, err := get(client(t, s, Config{}), s.URL)
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect {
		t.Fatalf("%v, %v", resp, err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	c := client(t, s, Config{Roots: x509.NewCertPool()})
	var bad *tls.CertificateVerificationError
	if _, _, err := get(c, s.URL); !errors.As(err, &bad) {
		t.Fatalf("%v", err)
	}
}

func TestOldTLSRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // what is to be refused
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, _, err := get(client(t, s, Config{}), s.URL); err == nil {
		t.Fatal("accepted")
	}
}

func TestTLS12(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12} //nolint:gosec // the oldest that is accepted
	s.StartTLS()
	defer s.Close()
	resp, _, err := get(client(t, s, Config{}), s.URL)
	if err != nil || resp.TLS.Version != tls.VersionTLS12 {
		t.Fatalf("%v, %v", resp, err)
	}
}

func TestResponseSize(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			w.Write(make([]byte, 1000)) //nolint:errcheck // a test server
		case "/announced":
			w.Header().Set("Content-Length", "1001")
			w.Write(make([]byte, 1001)) //nolint:errcheck // a test server
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 300)); err != nil {
					return
				}
			}
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 2*maxResponseHeader))
		}
	})
	c := client(t, s, Config{MaxResponse: 1000})
	if _, b, err := get(c, s.URL+"/fits"); err != nil || len(b) != 1000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, _, err := get(c, s.URL+"/announced"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("announced: %v", err)
	}
	if _, b, err := get(c, s.URL+"/endless"); !errors.Is(err, ErrTooLarge) || len(b) != 1000 {
		t.Errorf("endless: %d bytes, %v", len(b), err)
	}
	if _, _, err := get(c, s.URL+"/header"); err == nil {
		t.Error("a huge header was accepted")
	}
}

func TestLimitedBody(t *testing.T) {
	for _, tt := range []struct {
		body string
		want error
	}{{"", nil}, {"ab", nil}, {"abc", nil}, {"abcd", ErrTooLarge}, {"abcdefgh", ErrTooLarge}} {
		for _, size := range []int{1, 2, 3, 4, 100} {
			b := &limitedBody{ReadCloser: io.NopCloser(strings.NewReader(tt.body)), left: 3}
			var got []byte
			p := make([]byte, size)
			var err error
			for err == nil {
				var n int
				n, err = b.Read(p)
				got = append(got, p[:n]...)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if !errors.Is(err, tt.want) || string(got) != tt.body[:min(3, len(tt.body))] {
				t.Errorf("%q in reads of %d: %q, %v", tt.body, size, got, err)
			}
			if n, again := b.Read(p); err != nil && (n != 0 || !errors.Is(again, ErrTooLarge)) {
				t.Errorf("%q in reads of %d: then %d, %v", tt.body, size, n, again)
			}
		}
	}
}

// Nothing that a server does not do holds a request for longer than it was given.
func TestSlowServer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "a") //nolint:errcheck // a test server
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	for _, tt := range []struct {
		path string
		cfg  Config
	}{
		{"/header", Config{HeaderTimeout: short}},
		{"/header", Config{Timeout: short}},
		{"/body", Config{Timeout: short}},
	} {
		start := time.Now()
		_, _, err := get(client(t, s, tt.cfg), s.URL+tt.path)
		if !isTimeout(err) || time.Since(start) > DefaultDialTimeout {
			t.Errorf("%s: after %v: %v", tt.path, time.Since(start), err)
		}
	}
}

// A peer that accepts the connection and says nothing is not waited for in the handshake.
func TestSlowHandshake(t *testing.T) {
	l := listen(t)
	c, err := New(Config{AllowPrivate: loopback, TLSTimeout: short})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(c, "https://"+l.Addr().String()); !isTimeout(err) {
		t.Errorf("%v", err)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
