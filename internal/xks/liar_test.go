package xks

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/egress"
)

const (
	healthJSON = `{"xksProxyFleetSize":2,"xksProxyVendor":"Acme Corp","xksProxyModel":"Acme XKS Proxy 1.0","ekmVendor":"Thales Group",` +
		`"ekmFleetDetails":[{"id":"hsm-id-1","model":"Luna 5.0","healthStatus":"DEGRADED"}]}`
	keyJSON = `{"keySpec":"AES_256","keyUsage":["ENCRYPT","DECRYPT"],"keyStatus":"ENABLED"}`
)

// encryptJSON is a reply to encrypting 12 bytes, with the right integrity value unless cdiv is given.
func encryptJSON(c *Ciphertext, cdiv string) string {
	b64 := base64.StdEncoding.EncodeToString
	if cdiv == "" {
		sum := c.IntegrityValue(nil)
		cdiv = b64(sum[:])
	}
	return fmt.Sprintf(`{"ciphertext":%q,"ciphertextMetadata":%q,"initializationVector":%q,"authenticationTag":%q,"ciphertextDataIntegrityValue":%q}`,
		b64(c.Data), b64(c.Metadata), b64(c.IV), b64(c.Tag), cdiv)
}

func twelve() *Ciphertext {
	return &Ciphertext{Data: make([]byte, 12), IV: make([]byte, 12), Tag: make([]byte, 16), Metadata: []byte("v1")}
}

// ask makes the call that a reply is for.
func ask(t testing.TB, c *Client, op operation) error {
	t.Helper()
	var err error
	switch op {
	case opHealth:
		_, err = c.Health(t.Context(), testMetadata)
	case opMetadata:
		_, err = c.KeyMetadata(t.Context(), externalKey, testMetadata)
	case opEncrypt:
		_, err = c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("Hello World!"), RequestMetadata: testMetadata})
	case opDecrypt:
		_, err = c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: twelve(), RequestMetadata: testMetadata})
	}
	return err
}

func TestLyingProxy(t *testing.T) {
	changed := func(change func(*Ciphertext)) string { c := twelve(); change(c); return encryptJSON(c, "") }
	for _, tt := range []struct {
		name   string
		op     operation
		status int
		body   string
		want   error // nil for success
	}{
		{"health", opHealth, 200, healthJSON, nil},
		{"more than is known", opHealth, 200, strings.Replace(healthJSON, "{", `{"x":[{}],`, 1), nil},
		{"key", opMetadata, 200, keyJSON, nil},
		{"ciphertext", opEncrypt, 200, encryptJSON(twelve(), ""), nil},
		{"no metadata", opEncrypt, 200, strings.Replace(changed(func(c *Ciphertext) { c.Metadata = nil }), `"ciphertextMetadata":"",`, "", 1), nil},
		{"IV of 16 bytes", opEncrypt, 200, changed(func(c *Ciphertext) { c.IV = make([]byte, 16) }), nil},
		{"plaintext", opDecrypt, 200, `{"plaintext":"SGVsbG8gV29ybGQh"}`, nil},

		{"nothing", opHealth, 200, "", ErrInvalidResponse},
		{"null", opHealth, 200, "null", ErrInvalidResponse},
		{"empty object", opHealth, 200, "{}", ErrInvalidResponse},
		{"HTML", opHealth, 200, "<html>", ErrInvalidResponse},
		{"array", opHealth, 200, "[]", ErrInvalidResponse},
		{"deep", opHealth, 200, `{"x":` + strings.Repeat("[", 60000), ErrInvalidResponse},
		{"huge", opHealth, 200, healthJSON + strings.Repeat(" ", maxReply), ErrInvalidResponse},
		{"twice", opHealth, 200, healthJSON + healthJSON, ErrInvalidResponse},
		{"duplicate member", opHealth, 200, strings.Replace(healthJSON, "{", `{"ekmVendor":"A",`, 1), ErrInvalidResponse},
		{"fleet of 0", opHealth, 200, strings.Replace(healthJSON, ":2,", ":0,", 1), ErrInvalidResponse},
		{"fleet of -1", opHealth, 200, strings.Replace(healthJSON, ":2,", ":-1,", 1), ErrInvalidResponse},
		{"fleet of 1.5", opHealth, 200, strings.Replace(healthJSON, ":2,", ":1.5,", 1), ErrInvalidResponse},
		{"fleet of too many", opHealth, 200, strings.Replace(healthJSON, ":2,", ":9999999999999999999,", 1), ErrInvalidResponse},
		{"fleet as text", opHealth, 200, strings.Replace(healthJSON, ":2,", `:"2",`, 1), ErrInvalidResponse},
		{"no vendor", opHealth, 200, strings.Replace(healthJSON, "Acme Corp", "", 1), ErrInvalidResponse},
		{"line break in a vendor", opHealth, 200, strings.Replace(healthJSON, "Acme Corp", `Acme\nCorp`, 1), ErrInvalidResponse},
		{"long vendor", opHealth, 200, strings.Replace(healthJSON, "Acme Corp", strings.Repeat("x", maxText+1), 1), ErrInvalidResponse},
		{"invalid UTF-8", opHealth, 200, strings.Replace(healthJSON, "Acme Corp", "\xff", 1), ErrInvalidResponse},
		{"unknown status", opHealth, 200, strings.Replace(healthJSON, "DEGRADED", "degraded", 1), ErrInvalidResponse},
		{"no key manager", opHealth, 200, healthJSON[:strings.Index(healthJSON, "[")] + "[]}", ErrInvalidResponse},
		{"11 key managers", opHealth, 200, strings.Replace(healthJSON, "]", strings.Repeat(`,{"id":"a","model":"b","healthStatus":"ACTIVE"}`, 10)+"]", 1), ErrInvalidResponse},
		{"no ID", opHealth, 200, strings.Replace(healthJSON, `"id"`, `"x"`, 1), ErrInvalidResponse},

		{"no keySpec", opMetadata, 200, strings.Replace(keyJSON, "keySpec", "x", 1), ErrInvalidResponse},
		{"no keyUsage", opMetadata, 200, strings.Replace(keyJSON, "keyUsage", "x", 1), ErrInvalidResponse},
		{"keyUsage as text", opMetadata, 200, strings.Replace(keyJSON, `["ENCRYPT","DECRYPT"]`, `"ENCRYPT"`, 1), ErrInvalidResponse},
		{"null in keyUsage", opMetadata, 200, strings.Replace(keyJSON, `["ENCRYPT"`, `[null`, 1), ErrInvalidResponse},
		{"11 usages", opMetadata, 200, strings.Replace(keyJSON, `["ENCRYPT"`, `[`+strings.Repeat(`"SIGN",`, 9)+`"ENCRYPT"`, 1), ErrInvalidResponse},
		{"no keyStatus", opMetadata, 200, strings.Replace(keyJSON, "keyStatus", "x", 1), ErrInvalidResponse},
		{"unknown keyStatus", opMetadata, 200, strings.Replace(keyJSON, "ENABLED", "RETIRED", 1), ErrInvalidResponse},

		{"wrong CDIV", opEncrypt, 200, encryptJSON(twelve(), base64.StdEncoding.EncodeToString(make([]byte, 32))), ErrInvalidResponse},
		{"short CDIV", opEncrypt, 200, encryptJSON(twelve(), "AAAA"), ErrInvalidResponse},
		{"no CDIV", opEncrypt, 200, strings.Replace(encryptJSON(twelve(), ""), "ciphertextDataIntegrityValue", "x", 1), ErrInvalidResponse},
		{"null CDIV", opEncrypt, 200, strings.Replace(encryptJSON(twelve(), "AAAA"), `"AAAA"`, "null", 1), ErrInvalidResponse},
		{"CDIV without metadata", opEncrypt, 200, strings.Replace(encryptJSON(twelve(), ""), "ciphertextMetadata", "x", 1), ErrInvalidResponse},
		{"IV of 11 bytes", opEncrypt, 200, changed(func(c *Ciphertext) { c.IV = make([]byte, 11) }), ErrInvalidResponse},
		{"IV of 13 bytes", opEncrypt, 200, changed(func(c *Ciphertext) { c.IV = make([]byte, 13) }), ErrInvalidResponse},
		{"no IV", opEncrypt, 200, changed(func(c *Ciphertext) { c.IV = nil }), ErrInvalidResponse},
		{"short tag", opEncrypt, 200, changed(func(c *Ciphertext) { c.Tag = make([]byte, 12) }), ErrInvalidResponse},
		{"long tag", opEncrypt, 200, changed(func(c *Ciphertext) { c.Tag = make([]byte, 32) }), ErrInvalidResponse},
		{"long metadata", opEncrypt, 200, changed(func(c *Ciphertext) { c.Metadata = make([]byte, 21) }), ErrInvalidResponse},
		{"short ciphertext", opEncrypt, 200, changed(func(c *Ciphertext) { c.Data = make([]byte, 11) }), ErrInvalidResponse},
		{"long ciphertext", opEncrypt, 200, changed(func(c *Ciphertext) { c.Data = make([]byte, 28) }), ErrInvalidResponse},
		{"bad base64", opEncrypt, 200, strings.Replace(encryptJSON(twelve(), ""), "AAAA", "A===", 1), ErrInvalidResponse},

		{"no plaintext", opDecrypt, 200, `{}`, ErrInvalidResponse},
		{"null plaintext", opDecrypt, 200, `{"plaintext":null}`, ErrInvalidResponse},
		{"short plaintext", opDecrypt, 200, `{"plaintext":"SGVsbG8="}`, ErrInvalidResponse},
		{"long plaintext", opDecrypt, 200, `{"plaintext":"SGVsbG8gV29ybGQhIQ=="}`, ErrInvalidResponse},
		{"error as success", opDecrypt, 200, `{"errorName":"KeyNotFoundException"}`, ErrInvalidResponse},

		{"error", opDecrypt, 404, `{"errorName":"KeyNotFoundException","errorMessage":"no"}`, &Error{Name: KeyNotFoundException}},
		{"error with another status", opDecrypt, 418, `{"errorName":"KeyNotFoundException"}`, &Error{Name: KeyNotFoundException}},
		{"status alone", opDecrypt, 500, "", ErrInvalidResponse},
		{"status with text", opDecrypt, 503, "Service Unavailable", ErrInvalidResponse},
		{"unknown error", opDecrypt, 400, `{"errorName":"OutOfCheeseException"}`, ErrInvalidResponse},
		{"no name", opDecrypt, 400, `{"errorMessage":"no"}`, ErrInvalidResponse},
		{"name as number", opDecrypt, 400, `{"errorName":1}`, ErrInvalidResponse},
		{"created", opDecrypt, 201, `{"plaintext":"SGVsbG8gV29ybGQh"}`, ErrInvalidResponse},
		{"redirect with an error", opDecrypt, 302, `{"errorName":"KeyNotFoundException"}`, ErrInvalidResponse},
	} {
		c := newTestClient(t, func(*http.Request) (*http.Response, error) { return reply(tt.status, tt.body), nil })
		if err := ask(t, c, tt.op); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What goes wrong below HTTP, over real connections.
func TestBrokenProxy(t *testing.T) {
	closing := func(after string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, after) //nolint:errcheck // it is closed anyway
			conn.Close()                //nolint:errcheck // that is the test
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		want error
	}{
		{"closes at once", closing(""), ErrUnreachable},
		{"closes in the header", closing("HTTP/1.1 200"), ErrUnreachable},
		{"closes before the body", closing(head + "Content-Length: 400\r\n\r\n"), ErrUnreachable},
		{"closes in the body", closing(head + "Content-Length: 400\r\n\r\n{"), ErrUnreachable},
		{"body without an end", closing(head + "Content-Length: 1\r\n\r\n{"), ErrInvalidResponse},
		{"not HTTP", closing("SSH-2.0-OpenSSH_9.9\r\n"), ErrUnreachable},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != testPrefix+"/health" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusPermanentRedirect)
		}, ErrInvalidResponse},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, ErrInvalidResponse},
		{"text", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, healthJSON) }, ErrInvalidResponse}, //nolint:errcheck // a test server
		{"nothing", func(http.ResponseWriter, *http.Request) {}, ErrInvalidResponse},
	} {
		s := httptest.NewUnstartedServer(tt.h)
		s.StartTLS() // HTTP/1.1, which can be hijacked
		c := clientOf(t, s, nil)
		if err := ask(t, c, opHealth); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		s.Close()
	}
}

func TestUnreachable(t *testing.T) {
	s := tlsServer(t, http.NotFoundHandler())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := "https://" + l.Addr().String()
	l.Close() //nolint:errcheck // so that nobody listens there
	if err := ask(t, clientOf(t, s, func(c *ClientConfig) { c.URIEndpoint = free }), opHealth); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	private := func(c *ClientConfig) { c.URIEndpoint = "https://10.0.0.1" }
	if err := ask(t, clientOf(t, s, private), opHealth); !errors.Is(err, ErrUnreachable) || !errors.Is(err, egress.ErrAddress) {
		t.Errorf("a private address: %v", err)
	}
}

func TestBadTLS(t *testing.T) {
	trusted := tlsServer(t, http.NotFoundHandler())
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // what is to be refused
	old.Config.ErrorLog = trusted.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	mutual := httptest.NewUnstartedServer(http.NotFoundHandler())
	mutual.TLS = &tls.Config{MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert} //nolint:gosec // 1.3 refuses after the handshake
	mutual.Config.ErrorLog = trusted.Config.ErrorLog
	mutual.StartTLS()
	defer mutual.Close()

	for name, endpoint := range map[string]string{
		"a certificate for another name": strings.Replace(trusted.URL, "127.0.0.1", "localhost", 1),
		"no TLS at all":                  strings.Replace(plain.URL, "http:", "https:", 1),
		"an old version":                 old.URL,
		"a client certificate wanted":    mutual.URL,
	} {
		c := clientOf(t, trusted, func(c *ClientConfig) { c.URIEndpoint = endpoint })
		if err := ask(t, c, opHealth); !errors.Is(err, ErrTLS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzResponse gives each reader any reply. What is accepted keeps to the specification; what is not has one of the client's errors.
func FuzzResponse(f *testing.F) {
	for _, body := range []string{healthJSON, keyJSON, encryptJSON(twelve(), ""), `{"plaintext":"SGVsbG8gV29ybGQh"}`, `{"errorName":"KeyNotFoundException","errorMessage":"x"}`} {
		for _, status := range []int{200, 404} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := newTestClient(t, func(*http.Request) (*http.Response, error) { return reply(status, string(body)), nil })
		h, err := c.Health(t.Context(), testMetadata)
		verify(t, status, body, err, func() error { return h.check() })
		m, err := c.KeyMetadata(t.Context(), externalKey, testMetadata)
		verify(t, status, body, err, func() error { return m.check() })
		ct, err := c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("Hello World!"), RequestMetadata: testMetadata})
		verify(t, status, body, err, func() error {
			b, err := ct.Marshal()
			if err == nil && len(ct.Data) != 12 {
				err = errors.New("not 12 bytes")
			}
			if again, _ := Unmarshal(b); err == nil && again.IntegrityValue(nil) != ct.IntegrityValue(nil) {
				err = errors.New("not the same after the encoding")
			}
			return err
		})
		p, err := c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: twelve(), RequestMetadata: testMetadata})
		verify(t, status, body, err, func() error {
			if len(p) != 12 || !bytes.Contains(body, []byte("plaintext")) && !bytes.Contains(body, []byte(`\`)) {
				return errors.New("not what was sent")
			}
			return nil
		})
	})
}

func verify(t *testing.T, status int, body []byte, err error, good func() error) {
	t.Helper()
	var e *Error
	switch {
	case err == nil:
		if status != 200 {
			t.Fatalf("accepted with status %d: %s", status, body)
		}
		if err := good(); err != nil {
			t.Fatalf("accepted, but %v: %s", err, body)
		}
	case errors.As(err, &e):
		if errorCodes[e.Name] == 0 || e.Status != status || status < 400 || e.Message != printableMessage(e.Message) {
			t.Fatalf("%+v of %d %s", e, status, body)
		}
	case !errors.Is(err, ErrInvalidResponse):
		t.Fatalf("%v", err)
	}
}
