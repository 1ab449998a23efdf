package xks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// doerFunc is a Doer.
type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func newTestClient(t testing.TB, do doerFunc) *Client {
	t.Helper()
	c, err := NewClient(goodClientConfig(do))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The request is what the specification shows, and signs host and date as KMS does.
func TestRequestForm(t *testing.T) {
	var r *http.Request
	var body []byte
	cfg := goodClientConfig(doerFunc(func(req *http.Request) (*http.Response, error) {
		r = req
		body, _ = io.ReadAll(req.Body)
		return nil, errors.New("enough")
	}))
	cfg.URIEndpoint += ":443"
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("Hello World!"), RequestMetadata: testMetadata})
	if !errors.Is(err, ErrUnreachable) {
		t.Fatalf("%v", err)
	}
	if r.Method != "POST" || r.URL.String() != "https://xks.example.com"+testPrefix+"/keys/"+externalKey+"/encrypt" || r.Host != "xks.example.com" {
		t.Errorf("%s %s at %s", r.Method, r.URL, r.Host)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %s", got)
	}
	want := regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=` + testKeyID + `/20260304/` + testRegion +
		`/kms-xks-proxy/aws4_request, SignedHeaders=host;x-amz-date, Signature=[0-9a-f]{64}$`)
	if got := r.Header.Get("Authorization"); !want.MatchString(got) || r.Header.Get("X-Amz-Date") != "20260304T050607Z" {
		t.Errorf("%s", got)
	}
	var sent, expected any
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}
	err = json.Unmarshal([]byte(`{"requestMetadata":{"awsPrincipalArn":"arn:aws:iam::123456789012:user/Alice",
		"kmsKeyArn":"arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab","kmsOperation":"BulkEncrypt",
		"kmsRequestId":"4112f4d6-db54-4af4-ae30-c55a22a8dfae","kmsViaService":"ebs"},"plaintext":"SGVsbG8gV29ybGQh",
		"encryptionAlgorithm":"AES_GCM","ciphertextDataIntegrityValueAlgorithm":"SHA_256"}`), &expected)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sent) != fmt.Sprint(expected) {
		t.Errorf("sent %v", sent)
	}
	var wire bytes.Buffer
	r.Body = http.NoBody
	if err := r.Write(&wire); err != nil || strings.Contains(wire.String(), "Idempotency") {
		t.Errorf("%s, %v", &wire, err)
	}
}

func TestInvalidRequests(t *testing.T) {
	c := newTestClient(t, func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, errors.New("no")
	})
	one := []byte{1}
	encrypt := func(keyID string, r EncryptRequest) error {
		_, err := c.Encrypt(t.Context(), keyID, r)
		return err
	}
	decrypt := func(r DecryptRequest) error {
		r.RequestMetadata = testMetadata
		_, err := c.Decrypt(t.Context(), externalKey, r)
		return err
	}
	without := func(change func(*RequestMetadata)) RequestMetadata { m := testMetadata; change(&m); return m }
	describe := func(m RequestMetadata) error { _, err := c.KeyMetadata(t.Context(), externalKey, m); return err }
	long := strings.Repeat("x", maxField+1)
	for name, err := range map[string]error{
		"no plaintext":        encrypt(externalKey, EncryptRequest{RequestMetadata: testMetadata}),
		"long plaintext":      encrypt(externalKey, EncryptRequest{Plaintext: make([]byte, MaxPlaintext+1), RequestMetadata: testMetadata}),
		"long AAD":            encrypt(externalKey, EncryptRequest{Plaintext: one, AAD: make([]byte, MaxAAD+1), RequestMetadata: testMetadata}),
		"no key":              encrypt("", EncryptRequest{Plaintext: one, RequestMetadata: testMetadata}),
		"key with a path":     encrypt("../health", EncryptRequest{Plaintext: one, RequestMetadata: testMetadata}),
		"key with a query":    encrypt("a?b", EncryptRequest{Plaintext: one, RequestMetadata: testMetadata}),
		"no metadata":         encrypt(externalKey, EncryptRequest{Plaintext: one}),
		"no key ARN":          encrypt(externalKey, EncryptRequest{Plaintext: one, RequestMetadata: without(func(m *RequestMetadata) { m.KMSKeyARN = "" })}),
		"no ciphertext":       decrypt(DecryptRequest{}),
		"empty ciphertext":    decrypt(DecryptRequest{Ciphertext: &Ciphertext{}}),
		"long AAD to decrypt": decrypt(DecryptRequest{Ciphertext: someCiphertext(), AAD: make([]byte, MaxAAD+1)}),
		"no principal":        describe(without(func(m *RequestMetadata) { m.AWSPrincipalARN = "" })),
		"no operation":        describe(without(func(m *RequestMetadata) { m.KMSOperation = "" })),
		"no request ID":       describe(without(func(m *RequestMetadata) { m.KMSRequestID = "" })),
		"long principal":      describe(without(func(m *RequestMetadata) { m.AWSPrincipalARN = long })),
		"long service":        describe(without(func(m *RequestMetadata) { m.KMSViaService = long })),
		"not UTF-8":           describe(without(func(m *RequestMetadata) { m.AWSSourceVPC = "\xff" })),
		"long URI": func() error {
			cfg := goodClientConfig(c.cfg.HTTP)
			cfg.URIPath = "/" + strings.Repeat("p", 116) + apiPath
			c, err := NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.KeyMetadata(t.Context(), strings.Repeat("k", 128), testMetadata)
			return err
		}(),
	} {
		if !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientConfig(t *testing.T) {
	for name, change := range map[string]func(*ClientConfig){
		"endpoint":       func(c *ClientConfig) { c.URIEndpoint = "http://xks.example.com" },
		"path":           func(c *ClientConfig) { c.URIPath = "/" },
		"credential":     func(c *ClientConfig) { c.SecretAccessKey = "short" },
		"no region":      func(c *ClientConfig) { c.Region = "" },
		"region":         func(c *ClientConfig) { c.Region = "eu/central" },
		"no HTTP":        func(c *ClientConfig) { c.HTTP = nil },
		"no Now":         func(c *ClientConfig) { c.Now = nil },
		"timeout":        func(c *ClientConfig) { c.Timeout = -1 },
		"longer timeout": func(c *ClientConfig) { c.Timeout = MaxTimeout + 1 },
	} {
		cfg := goodClientConfig(http.DefaultClient)
		change(&cfg)
		if c, err := NewClient(cfg); err == nil || c != nil || strings.Contains(err.Error(), cfg.SecretAccessKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	cfg := goodClientConfig(http.DefaultClient)
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := EncryptRequest{Plaintext: []byte("squeamish ossifrage")}
	logged := &recorder{}
	logged.logger().Info("x", slog.Any("config", cfg), slog.Any("client", c), slog.Any("request", r))
	text := logged.String()
	for _, v := range []any{cfg, &cfg, c, *c, r, &r, []any{cfg, c, r}} {
		text += fmt.Sprintf("%v %+v %#v %s %q %x\n", v, v, v, v, v, v)
	}
	for _, secret := range []string{testSecret, "squeamish", fmt.Sprintf("%x", testSecret), fmt.Sprintf("%x", "squeamish"), fmt.Sprint([]byte("squeamish")[:4]), "c3F1ZWFtaXNo"} {
		if strings.Contains(text, strings.Trim(secret, "[]")) {
			t.Errorf("%s is in:\n%s", secret, text)
		}
	}
}

// A request that gets no answer is sent twice and takes two timeouts; then it is over.
func TestRetryOnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := newTestClient(t, func(r *http.Request) (*http.Response, error) {
			if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 {
				t.Errorf("the body is %q, %v", b, err)
			}
			sent++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		_, err := c.Health(t.Context(), testMetadata)
		if took := time.Since(start); !errors.Is(err, ErrTimeout) || sent != 2 || took != 2*DefaultTimeout {
			t.Errorf("%v after %v and %d requests", err, took, sent)
		}
	})
}

func TestRetrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := newTestClient(t, func(r *http.Request) (*http.Response, error) {
			if sent++; sent == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return reply(200, healthJSON), nil
		})
		if h, err := c.Health(t.Context(), testMetadata); err != nil || sent != 2 || h.Vendor != "Acme Corp" {
			t.Errorf("%+v, %v after %d requests", h, err, sent)
		}
	})
}

// A body that stops arriving counts against the same time.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := newTestClient(t, func(r *http.Request) (*http.Response, error) {
			sent++
			resp := reply(200, "")
			resp.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { <-r.Context().Done(); return 0, r.Context().Err() }))
			return resp, nil
		})
		start := time.Now()
		_, err := c.Health(t.Context(), testMetadata)
		if took := time.Since(start); !errors.Is(err, ErrTimeout) || sent != 2 || took != 2*DefaultTimeout {
			t.Errorf("%v after %v and %d requests", err, took, sent)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Everything but a timeout is the answer; a caller that is in a hurry, or gone, gets no second attempt.
func TestNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name string
			ctx  func() (context.Context, context.CancelFunc)
			do   doerFunc
			want error
		}{
			{"refused", nil, func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
			}, ErrUnreachable},
			{"throttled", nil, func(*http.Request) (*http.Response, error) {
				return reply(429, `{"errorName":"ThrottlingException"}`), nil
			}, &Error{Name: ThrottlingException}},
			{"internal", nil, func(*http.Request) (*http.Response, error) {
				return reply(500, `{"errorName":"InternalException"}`), nil
			}, &Error{Name: InternalException}},
			{"garbage", nil, func(*http.Request) (*http.Response, error) { return reply(200, `{`), nil }, ErrInvalidResponse},
			{"deadline", func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), time.Millisecond)
			},
				func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, ErrTimeout},
			{"cancelled", func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Millisecond, cancel)
				return ctx, cancel
			}, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }, context.Canceled},
		} {
			sent := 0
			c := newTestClient(t, func(r *http.Request) (*http.Response, error) { sent++; return tt.do(r) })
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if tt.ctx != nil {
				ctx, cancel = tt.ctx()
			}
			_, err := c.Health(ctx, testMetadata)
			cancel()
			if !errors.Is(err, tt.want) || sent != 1 {
				t.Errorf("%s: %v after %d requests", tt.name, err, sent)
			}
			if tt.name == "cancelled" && errors.Is(err, ErrTimeout) {
				t.Error("a cancelled call timed out")
			}
		}
	})
}
