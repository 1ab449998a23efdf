package xks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	keyPath = testPrefix + "/keys/" + externalKey
	// meta is the requestMetadata of a request, made as the specification shows it.
	meta = `"requestMetadata":{"awsPrincipalArn":"arn:aws:iam::123456789012:user/Alice","kmsKeyArn":"arn:aws:kms:us-east-2:123456789012:/key/1",` +
		`"kmsOperation":"Encrypt","kmsRequestId":"4112f4d6"}`
	goodEncrypt = `{` + meta + `,"additionalAuthenticatedData":"cHJvamVjdD1uaWxl","plaintext":"SGVsbG8gV29ybGQh","encryptionAlgorithm":"AES_GCM"}`
	goodDecrypt = `{` + meta + `,"ciphertext":"ghxkK1txeDNn3q8Y","initializationVector":"HMrlRw85cAJUd5Ax","authenticationTag":"vBxN2ncH1oEkR8WVXpmyYQ==",` +
		`"encryptionAlgorithm":"AES_GCM","ciphertextMetadata":"a2V5X3ZlcnNpb249MQ=="}`
	goodDescribe = `{` + meta + `}`
	goodCheck    = `{"requestMetadata":{"kmsRequestId":"1","kmsOperation":"KmsHealthCheck"}}`
)

func TestRequests(t *testing.T) {
	h := testHandler(t, newBackend(), nil)
	replace := strings.Replace
	const other = keyPath + "/decrypt"
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"health", testPrefix + "/health", goodCheck, 200, ""},
		{"metadata", keyPath + "/metadata", goodDescribe, 200, ""},
		{"metadata for CreateKey", keyPath + "/metadata", replace(goodDescribe, "kmsKeyArn", "x", 1), 200, ""},
		{"encrypt", keyPath + "/encrypt", goodEncrypt, 200, ""},
		{"more than is known", keyPath + "/encrypt", replace(goodEncrypt, "{", `{"tags":{"a":[1]},`, 1), 200, ""},
		{"more metadata than is known", keyPath + "/encrypt", replace(goodEncrypt, "Metadata\":{", `Metadata":{"sourceIdentity":"x",`, 1), 200, ""},
		{"null for absent", keyPath + "/encrypt", replace(goodEncrypt, `"cHJvamVjdD1uaWxl"`, "null", 1), 200, ""},
		{"empty AAD", keyPath + "/encrypt", replace(goodEncrypt, `"cHJvamVjdD1uaWxl"`, `""`, 1), 200, ""},
		{"escaped slash", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", `\/\/\/\/`, 1), 200, ""},
		{"CDIV", keyPath + "/encrypt", replace(goodEncrypt, "{", `{"ciphertextDataIntegrityValueAlgorithm":"SHA_256",`, 1), 200, ""},
		{"strange ciphertext", other, goodDecrypt, 400, InvalidCiphertextException},

		{"empty body", testPrefix + "/health", "", 400, ValidationException},
		{"no metadata", testPrefix + "/health", "{}", 400, ValidationException},
		{"empty metadata", testPrefix + "/health", `{"requestMetadata":{}}`, 400, ValidationException},
		{"null metadata", testPrefix + "/health", `{"requestMetadata":null}`, 400, ValidationException},
		{"no request ID", testPrefix + "/health", `{"requestMetadata":{"kmsOperation":"x"}}`, 400, ValidationException},
		{"no metadata for a key", keyPath + "/metadata", "{}", 400, ValidationException},
		{"empty metadata for a key", keyPath + "/metadata", `{"requestMetadata":{}}`, 400, ValidationException},
		{"no principal", keyPath + "/metadata", replace(goodDescribe, "awsPrincipalArn", "x", 1), 400, ValidationException},
		{"no key ARN", keyPath + "/encrypt", replace(goodEncrypt, "kmsKeyArn", "x", 1), 400, ValidationException},
		{"long field", testPrefix + "/health", replace(goodCheck, `"1"`, `"`+strings.Repeat("x", 2049)+`"`, 1), 400, ValidationException},
		{"longest field", testPrefix + "/health", replace(goodCheck, `"1"`, `"`+strings.Repeat("x", 2048)+`"`, 1), 200, ""},

		{"no JSON", keyPath + "/encrypt", "plaintext=x", 400, ValidationException},
		{"null", keyPath + "/encrypt", "null", 400, ValidationException},
		{"array", keyPath + "/encrypt", "[" + goodEncrypt + "]", 400, ValidationException},
		{"two documents", keyPath + "/encrypt", goodEncrypt + goodEncrypt, 400, ValidationException},
		{"truncated", keyPath + "/encrypt", goodEncrypt[:len(goodEncrypt)-1], 400, ValidationException},
		{"duplicate member", keyPath + "/encrypt", replace(goodEncrypt, "{", `{"plaintext":"AAAA",`, 1), 400, ValidationException},
		{"other case", keyPath + "/encrypt", replace(goodEncrypt, `"plaintext"`, `"Plaintext"`, 1), 400, ValidationException},
		{"invalid UTF-8", testPrefix + "/health", replace(goodCheck, `"1"`, "\"\xff\"", 1), 400, ValidationException},
		{"number for text", testPrefix + "/health", replace(goodCheck, `"1"`, "1", 1), 400, ValidationException},
		{"number for bytes", keyPath + "/encrypt", replace(goodEncrypt, `"SGVsbG8gV29ybGQh"`, "1", 1), 400, ValidationException},
		{"array for bytes", keyPath + "/encrypt", replace(goodEncrypt, `"SGVsbG8gV29ybGQh"`, "[1]", 1), 400, ValidationException},
		{"URL base64", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", "____", 1), 400, ValidationException},
		{"no padding", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", "SGVsbG8", 1), 400, ValidationException},
		{"bits after the end", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", "SGVsbG9=", 1), 400, ValidationException},
		{"line break in base64", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8g", `SGVs\nbG8g`, 1), 400, ValidationException},

		{"no plaintext", keyPath + "/encrypt", replace(goodEncrypt, `"plaintext"`, `"x"`, 1), 400, ValidationException},
		{"empty plaintext", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", "", 1), 400, ValidationException},
		{"long plaintext", keyPath + "/encrypt", replace(goodEncrypt, "SGVsbG8gV29ybGQh", strings.Repeat("AAAA", 1434), 1), 501, UnsupportedOperationException},
		{"long AAD", keyPath + "/encrypt", replace(goodEncrypt, "cHJvamVjdD1uaWxl", strings.Repeat("AAAA", 2731), 1), 501, UnsupportedOperationException},
		{"no algorithm", keyPath + "/encrypt", replace(goodEncrypt, "encryptionAlgorithm", "x", 1), 400, ValidationException},
		{"other algorithm", keyPath + "/encrypt", replace(goodEncrypt, "AES_GCM", "AES_CBC", 1), 400, ValidationException},
		{"other CDIV", keyPath + "/encrypt", replace(goodEncrypt, "{", `{"ciphertextDataIntegrityValueAlgorithm":"SHA_1",`, 1), 400, ValidationException},
		{"no ciphertext", other, replace(goodDecrypt, `"ciphertext"`, `"x"`, 1), 400, ValidationException},
		{"no IV", other, replace(goodDecrypt, "initializationVector", "x", 1), 400, ValidationException},
		{"no tag", other, replace(goodDecrypt, "authenticationTag", "x", 1), 400, ValidationException},
		{"decrypt by another algorithm", other, replace(goodDecrypt, "AES_GCM", "RSA", 1), 400, ValidationException},
		{"empty ciphertext", other, replace(goodDecrypt, "ghxkK1txeDNn3q8Y", "", 1), 400, InvalidCiphertextException},
		{"short IV", other, replace(goodDecrypt, "HMrlRw85cAJUd5Ax", "HMrl", 1), 400, InvalidCiphertextException},
		{"short tag", other, replace(goodDecrypt, "vBxN2ncH1oEkR8WVXpmyYQ==", "vBxN", 1), 400, InvalidCiphertextException},
		{"long metadata", other, replace(goodDecrypt, "a2V5X3ZlcnNpb249MQ==", strings.Repeat("AAAA", 7), 1), 400, ValidationException},
		{"long ciphertext", other, replace(goodDecrypt, "ghxkK1txeDNn3q8Y", strings.Repeat("AAAA", 1434), 1), 501, UnsupportedOperationException},
		{"long AAD to decrypt", other, replace(goodDecrypt, "{", `{"additionalAuthenticatedData":"`+strings.Repeat("AAAA", 2731)+`",`, 1), 501, UnsupportedOperationException},
		{"huge", keyPath + "/encrypt", goodEncrypt + strings.Repeat(" ", maxRequest), 400, ValidationException},

		{"unknown key", testPrefix + "/keys/non_existing_key/encrypt", goodEncrypt, 404, KeyNotFoundException},
		{"bad key", testPrefix + "/keys/a~b/encrypt", goodEncrypt, 404, KeyNotFoundException},
		// Signatures are verified over the path without these, and this signer has signed it with them.
		{"no key", testPrefix + "/keys//encrypt", goodEncrypt, 401, AuthenticationFailedException},
		{"dots", testPrefix + "/keys/../encrypt", goodEncrypt, 401, AuthenticationFailedException},
		{"long key", testPrefix + "/keys/" + strings.Repeat("k", 129) + "/encrypt", goodEncrypt, 404, KeyNotFoundException},
		{"query", keyPath + "/encrypt?a=b", goodEncrypt, 400, ValidationException},

		{"root", "/", goodCheck, 404, InvalidURIPathException},
		{"other prefix", "/kms/xks/v1/health", goodCheck, 404, InvalidURIPathException},
		{"longer prefix", "/invalid" + testPrefix + "/health", goodCheck, 404, InvalidURIPathException},
		{"no operation", testPrefix, goodCheck, 404, InvalidURIPathException},
		{"unknown operation", keyPath + "/sign", goodCheck, 404, InvalidURIPathException},
		{"key only", keyPath, goodCheck, 404, InvalidURIPathException},
		{"trailing slash", testPrefix + "/health/", goodCheck, 404, InvalidURIPathException},
		{"doubled slash", testPrefix + "//health", goodCheck, 404, InvalidURIPathException},
		{"escaped", testPrefix + "/keys/%61/encrypt", goodEncrypt, 404, InvalidURIPathException},
		{"escaped slash in the path", testPrefix + "/keys%2fa/encrypt", goodEncrypt, 404, InvalidURIPathException},
	} {
		status, name := answerOf(t, h, signedRequest(t, tt.path, tt.body, nil))
		if status != tt.status || name != tt.want {
			t.Errorf("%s: %d %s", tt.name, status, name)
		}
	}
}

func TestMethods(t *testing.T) {
	h := testHandler(t, newBackend(), nil)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, testPrefix+"/health", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" || w.Body.Len() != 0 {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

func TestContentTypes(t *testing.T) {
	h := testHandler(t, newBackend(), nil)
	for contentType, want := range map[string]int{
		"application/json":                  200,
		"application/json; charset=utf-8":   200,
		"Application/JSON":                  200,
		"":                                  400,
		"text/plain":                        400,
		"application/x-amz-json-1.1":        400,
		"application/x-www-form-urlencoded": 400,
		"application/json; =":               400,
	} {
		r := signedRequest(t, testPrefix+"/health", goodCheck, nil)
		// Not signed again: curl --aws-sigv4 and KMS itself sign host and date alone.
		r = unsignedHeader(t, r, contentType)
		if status, _ := answerOf(t, h, r); status != want {
			t.Errorf("%q: %d", contentType, status)
		}
	}
}

// unsignedHeader signs host and date only, then sets the content type.
func unsignedHeader(t *testing.T, r *http.Request, contentType string) *http.Request {
	t.Helper()
	c, err := NewClient(goodClientConfig(http.DefaultClient))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.request(t.Context(), r.URL.String(), []byte(goodCheck))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = signed.Header
	r.Header.Set("Content-Type", contentType)
	return r
}

func TestAuthentication(t *testing.T) {
	var refused []string
	b := newBackend()
	h := testHandler(t, b, func(cfg *Config) {
		cfg.Refused = func(_ *http.Request, reason string) { refused = append(refused, reason) }
	})
	for _, tt := range []struct {
		name   string
		change func(cred *aws.Credentials, now *time.Time, service, region *string)
		after  func(*http.Request)
		status int
		want   string
	}{
		{"good", nil, nil, 200, ""},
		{"next credential", func(c *aws.Credentials, _ *time.Time, _, _ *string) {
			c.AccessKeyID, c.SecretAccessKey = nextKeyID, nextSecret
		}, nil, 200, ""},
		{"other region", func(_ *aws.Credentials, _ *time.Time, _, r *string) { *r = "us-east-1" }, nil, 200, ""},
		{"skewed a little", func(_ *aws.Credentials, n *time.Time, _, _ *string) { *n = n.Add(-299 * time.Second) }, nil, 200, ""},

		{"wrong secret", func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.SecretAccessKey = "x" + c.SecretAccessKey }, nil, 401, AuthenticationFailedException},
		{"unknown key ID", func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.AccessKeyID = "Invalid" + c.AccessKeyID }, nil, 401, AuthenticationFailedException},
		{"swapped", func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.AccessKeyID = nextKeyID }, nil, 401, AuthenticationFailedException},
		{"session token", func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.SessionToken = "token" }, nil, 401, AuthenticationFailedException},
		{"wrong region", func(_ *aws.Credentials, _ *time.Time, _, r *string) { *r = "eu-west-9" }, nil, 401, AuthenticationFailedException},
		{"wrong service", func(_ *aws.Credentials, _ *time.Time, s, _ *string) { *s = "kms" }, nil, 401, AuthenticationFailedException},
		{"too old", func(_ *aws.Credentials, n *time.Time, _, _ *string) { *n = n.Add(-301 * time.Second) }, nil, 401, AuthenticationFailedException},
		{"too new", func(_ *aws.Credentials, n *time.Time, _, _ *string) { *n = n.Add(301 * time.Second) }, nil, 401, AuthenticationFailedException},
		{"unsigned", nil, func(r *http.Request) { r.Header.Del("Authorization") }, 401, AuthenticationFailedException},
		{"not SigV4", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, AuthenticationFailedException},
		{"other path", nil, func(r *http.Request) { r.URL.Path = keyPath + "/decrypt" }, 401, AuthenticationFailedException},
		{"other host", nil, func(r *http.Request) { r.Host = "elsewhere.example.com" }, 401, AuthenticationFailedException},
		{"other body", nil, func(r *http.Request) { r.Body = http.NoBody }, 401, AuthenticationFailedException},
		{"broken lookup", func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.AccessKeyID = "BROKEN" }, nil, 500, InternalException},
	} {
		b.calls, refused = nil, nil
		r := signedRequest(t, keyPath+"/metadata", goodDescribe, tt.change)
		if tt.after != nil {
			tt.after(r)
		}
		status, name := answerOf(t, h, r)
		if status != tt.status || name != tt.want {
			t.Errorf("%s: %d %s", tt.name, status, name)
		}
		if tt.status != 200 && len(b.calls) > 0 {
			t.Errorf("%s: the backend was asked", tt.name)
		}
		if (len(refused) == 1) != (tt.status == 401) {
			t.Errorf("%s: refused %q", tt.name, refused)
		}
	}
}

// Why it was refused is not told: neither which access keys there are.
func TestRefusalsLookAlike(t *testing.T) {
	h := testHandler(t, newBackend(), nil)
	answers := map[string]bool{}
	for _, change := range []func(*aws.Credentials, *time.Time, *string, *string){
		func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.SecretAccessKey = nextSecret },
		func(c *aws.Credentials, _ *time.Time, _, _ *string) { c.AccessKeyID = "NOBODY" },
		func(_ *aws.Credentials, _ *time.Time, _, r *string) { *r = "nowhere" },
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(t, keyPath+"/metadata", goodDescribe, change))
		answers[w.Body.String()] = true
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers: %v", len(answers), answers)
	}
}

// A handler that has been told nothing lets nobody in.
func TestDenyByDefault(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Lookup = nil },
		func(c *Config) { c.Regions = nil },
	} {
		h := testHandler(t, newBackend(), change)
		if status, name := answerOf(t, h, signedRequest(t, testPrefix+"/health", goodCheck, nil)); status != 401 || name != AuthenticationFailedException {
			t.Errorf("%d %s", status, name)
		}
	}
	for _, cfg := range []Config{
		{},
		{Prefix: testPrefix, Now: fixedNow},
		{Prefix: testPrefix, Backend: newBackend()},
		{Prefix: "/", Backend: newBackend(), Now: fixedNow},
	} {
		if _, err := NewHandler(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestMaxInFlight(t *testing.T) {
	b := newBackend()
	working, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.onCall = func(context.Context) { once.Do(func() { close(working); <-finish }) }
	h := testHandler(t, b, func(cfg *Config) { cfg.MaxInFlight = 1 })
	first := signedRequest(t, testPrefix+"/health", goodCheck, nil)
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, first)
		done <- w.Code
	}()
	<-working
	if status, name := answerOf(t, h, signedRequest(t, testPrefix+"/health", goodCheck, nil)); status != 429 || name != ThrottlingException {
		t.Errorf("%d %s", status, name)
	}
	// A stranger neither takes a place nor learns that there is none.
	unsigned := httptest.NewRequest("POST", testPrefix+"/health", strings.NewReader(goodCheck))
	if status, name := answerOf(t, h, unsigned); status != 401 || name != AuthenticationFailedException {
		t.Errorf("%d %s", status, name)
	}
	close(finish)
	if status := <-done; status != 200 {
		t.Errorf("%d", status)
	}
	if status, _ := answerOf(t, h, signedRequest(t, testPrefix+"/health", goodCheck, nil)); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// hasty returns a handler that waits for bodies no longer than that.
func hasty(t *testing.T, b Backend, bodyTime time.Duration) http.Handler {
	t.Helper()
	h := testHandler(t, b, nil)
	h.(*handler).bodyTime = bodyTime
	return h
}

// A body that does not arrive is not waited for.
func TestSlowRequest(t *testing.T) {
	s := tlsServer(t, hasty(t, newBackend(), 50*time.Millisecond))
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test server
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	if _, err := io.WriteString(conn, "POST "+testPrefix+"/health HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 400 || !bytes.Contains(b, []byte(ValidationException)) || !resp.Close {
		t.Errorf("%d %s, %v", resp.StatusCode, b, err)
	}
}

// The time for the body is not the time for the answer.
func TestSlowBackend(t *testing.T) {
	const bodyTime = 30 * time.Millisecond
	b := newBackend()
	b.onCall = func(ctx context.Context) {
		select {
		case <-ctx.Done():
			t.Error("the request was given up")
		case <-time.After(3 * bodyTime):
		}
	}
	plain := httptest.NewUnstartedServer(hasty(t, b, bodyTime)) // HTTP/1.1
	plain.StartTLS()
	defer plain.Close()
	for _, s := range []*httptest.Server{plain, tlsServer(t, hasty(t, b, bodyTime))} {
		if err := ask(t, clientOf(t, s, nil), opMetadata); err != nil {
			t.Error(err)
		}
	}
}

// The integrity value is there if it was asked for, and only then.
func TestIntegrityValueOnRequest(t *testing.T) {
	b := newBackend()
	h := testHandler(t, b, nil)
	for _, tt := range []struct {
		body string
		want bool
	}{{goodEncrypt, false}, {strings.Replace(goodEncrypt, "{", `{"ciphertextDataIntegrityValueAlgorithm":"SHA_256",`, 1), true}} {
		b.calls = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(t, keyPath+"/encrypt", tt.body, nil))
		var reply map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
			t.Fatal(err)
		}
		if _, ok := reply["ciphertextDataIntegrityValue"]; ok != tt.want || strings.Contains(b.called(), "Decrypt") != tt.want {
			t.Errorf("asked for %v: %s, after %s", tt.want, w.Body, b.called())
		}
	}
}

// FuzzHandler sends any path and any body under a good signature. The answer is always one of the specification.
func FuzzHandler(f *testing.F) {
	for _, s := range [][2]string{
		{"/health", goodCheck}, {"/keys/" + externalKey + "/metadata", goodDescribe}, {"/keys/" + externalKey + "/encrypt", goodEncrypt},
		{"/keys/" + externalKey + "/decrypt", goodDecrypt}, {"/keys/../health", `{"requestMetadata":null}`},
	} {
		f.Add(s[0], []byte(s[1]))
	}
	b := newBackend()
	h := testHandler(f, b, nil)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if !only(path, func(c byte) bool { return c > ' ' && c < 0x7f && c != '%' && c != '?' && c != '#' }) {
			return
		}
		if path = "/" + strings.TrimPrefix(path, "/"); strings.Contains(path, "//") || strings.Contains(path, "/.") {
			return // the signer and the verifier have different paths
		}
		b.calls = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(t, testPrefix+path, string(body), nil))
		if w.Code == 200 {
			if b.called() == "" {
				t.Fatalf("success without the backend: %s", w.Body)
			}
			return
		}
		var e errorReply
		if err := decode(w.Body.Bytes(), &e); err != nil || errorCodes[e.Name] != w.Code || e.Message != printableMessage(e.Message) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if e.Name == InternalException || e.Name == AuthenticationFailedException {
			t.Fatalf("%s %q: %s", path, body, w.Body)
		}
		if len(body) > 8 && bytes.Contains(w.Body.Bytes(), body) {
			t.Fatalf("the answer repeats the request: %s", w.Body)
		}
	})
}
