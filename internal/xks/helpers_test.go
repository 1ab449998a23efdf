package xks

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyturn/keyturn/internal/egress"
	"github.com/keyturn/keyturn/internal/sigv4"
)

// Credentials and names of the tests. The secrets are made up.
const (
	testKeyID   = "AKIAI2SFODNN7EXAMPLE"
	testSecret  = "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"
	nextKeyID   = "BKIAI2SFODNN7EXAMPLE"
	nextSecret  = "GYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE"
	testRegion  = "eu-central-1"
	testPrefix  = "/keystores/4a0d79d6/kms/xks/v1"
	externalKey = "hsm-key_1.0"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func fixedNow() time.Time { return testNow }

var testMetadata = RequestMetadata{
	AWSPrincipalARN: "arn:aws:iam::123456789012:user/Alice",
	KMSKeyARN:       "arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab",
	KMSOperation:    "BulkEncrypt", // one that does not exist yet
	KMSRequestID:    "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
	KMSViaService:   "ebs",
}

// backend is a key manager with one AES-256 key.
type backend struct {
	mu        sync.Mutex
	calls     []string
	principal Principal
	metadata  RequestMetadata

	fail       error                 // returned by everything
	failing    string                // the one operation that fail is for; "" for all
	spoil      func(*Ciphertext)     // changes a new ciphertext
	reveal     func(p []byte) []byte // changes a decrypted plaintext
	health     *Health               // instead of a good one
	keyData    *KeyMetadata          // instead of a good one
	onCall     func(context.Context) // runs first
	ciphertext func() *Ciphertext    // instead of encrypting
	gcm        func() cipher.AEAD    // nil until used
	extra      []byte                // metadata of new ciphertexts
}

func newBackend() *backend {
	return &backend{extra: []byte("key_version=1"), gcm: sync.OnceValue(func() cipher.AEAD {
		block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
		if err != nil {
			panic(err)
		}
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err)
		}
		return gcm
	})}
}

func (b *backend) enter(ctx context.Context, name string, p Principal, keyID string, m RequestMetadata) error {
	b.mu.Lock()
	b.calls = append(b.calls, name)
	b.principal, b.metadata = p, m
	b.mu.Unlock()
	if b.onCall != nil {
		b.onCall(ctx)
	}
	if b.fail != nil && (b.failing == "" || b.failing == name) {
		return b.fail
	}
	if name != "Health" && keyID != externalKey {
		return &Error{Name: KeyNotFoundException}
	}
	return ctx.Err()
}

func (b *backend) called() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.calls, " ")
}

func goodHealth() Health {
	return Health{FleetSize: 2, Vendor: "Acme Corp", Model: "Acme XKS Proxy 1.0", KeyManager: "Acme", FleetDetails: []KeyManager{
		{"hsm-id-1", "Vault 5.0", HealthDegraded}, {"hsm-id-2", "Vault 5.1", HealthActive}}}
}

func goodKey() KeyMetadata {
	return KeyMetadata{Spec: KeySpecAES256, Usage: []string{"ENCRYPT", "DECRYPT", "WRAP"}, Status: KeyEnabled}
}

func (b *backend) Health(ctx context.Context, m RequestMetadata) (Health, error) {
	if b.health != nil {
		return *b.health, nil
	}
	return goodHealth(), b.enter(ctx, "Health", Principal{}, "", m)
}

func (b *backend) KeyMetadata(ctx context.Context, p Principal, keyID string, m RequestMetadata) (KeyMetadata, error) {
	if b.keyData != nil {
		return *b.keyData, nil
	}
	return goodKey(), b.enter(ctx, "KeyMetadata", p, keyID, m)
}

func (b *backend) Encrypt(ctx context.Context, p Principal, keyID string, plaintext, aad []byte, m RequestMetadata) (*Ciphertext, error) {
	if err := b.enter(ctx, "Encrypt", p, keyID, m); err != nil {
		return nil, err
	}
	if b.ciphertext != nil {
		return b.ciphertext(), nil
	}
	data, err := AdditionalData(aad, b.extra)
	if err != nil {
		return nil, err
	}
	sealed := b.gcm().Seal(nil, nil, plaintext, data)
	c := &Ciphertext{
		IV: sealed[:12], Data: sealed[12 : len(sealed)-TagSize], Tag: sealed[len(sealed)-TagSize:], Metadata: bytes.Clone(b.extra),
	}
	if b.spoil != nil {
		b.spoil(c)
	}
	return c, nil
}

func (b *backend) Decrypt(ctx context.Context, p Principal, keyID string, c *Ciphertext, aad []byte, m RequestMetadata) ([]byte, error) {
	if err := b.enter(ctx, "Decrypt", p, keyID, m); err != nil {
		return nil, err
	}
	data, err := AdditionalData(aad, c.Metadata)
	if err != nil {
		return nil, err
	}
	sealed := append(append(bytes.Clone(c.IV), c.Data...), c.Tag...)
	plaintext, err := b.gcm().Open(nil, nil, sealed, data)
	if err != nil {
		return nil, &Error{Name: InvalidCiphertextException, Message: "no"}
	}
	if b.reveal != nil {
		plaintext = b.reveal(plaintext)
	}
	return plaintext, nil
}

func testLookup(_ context.Context, id, _ string) (sigv4.Credential, error) {
	switch id {
	case testKeyID:
		return sigv4.Credential{SecretAccessKey: testSecret, Subject: "store 1"}, nil
	case nextKeyID:
		return sigv4.Credential{SecretAccessKey: nextSecret, Subject: "store 1"}, nil
	case "BROKEN":
		return sigv4.Credential{}, errors.New("disk on fire")
	}
	return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
}

func testHandler(t testing.TB, b Backend, change func(*Config)) http.Handler {
	t.Helper()
	cfg := Config{Backend: b, Prefix: testPrefix, Lookup: testLookup, Regions: []string{"us-east-1", testRegion}, Now: fixedNow}
	if change != nil {
		change(&cfg)
	}
	h, err := NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tlsServer serves h on loopback.
func tlsServer(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// clientOf asks the server s, and has time for a slow machine.
func clientOf(t *testing.T, s *httptest.Server, change func(*ClientConfig)) *Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	doer, err := egress.New(egress.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots, Timeout: MaxTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(doer.CloseIdleConnections)
	cfg := goodClientConfig(doer)
	cfg.URIEndpoint, cfg.Timeout = s.URL, 20*time.Second
	if change != nil {
		change(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func goodClientConfig(doer Doer) ClientConfig {
	return ClientConfig{
		URIEndpoint: "https://xks.example.com", URIPath: testPrefix, AccessKeyID: testKeyID, SecretAccessKey: testSecret,
		Region: testRegion, HTTP: doer, Now: fixedNow,
	}
}

// pair is a client and the proxy that it asks.
func pair(t *testing.T, b Backend, change func(*Config)) *Client {
	t.Helper()
	return clientOf(t, tlsServer(t, testHandler(t, b, change)), nil)
}

// all calls each operation once; Decrypt gets a ciphertext that nobody has made.
func all(t *testing.T, c *Client) map[string]error {
	t.Helper()
	errs := map[string]error{}
	_, errs["Health"] = c.Health(t.Context(), testMetadata)
	_, errs["KeyMetadata"] = c.KeyMetadata(t.Context(), externalKey, testMetadata)
	_, errs["Encrypt"] = c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("p"), RequestMetadata: testMetadata})
	_, errs["Decrypt"] = c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: someCiphertext(), RequestMetadata: testMetadata})
	return errs
}

func someCiphertext() *Ciphertext {
	return &Ciphertext{Data: []byte{1}, IV: make([]byte, 12), Tag: make([]byte, TagSize)}
}

// signedRequest is a request as a proxy receives it.
func signedRequest(t testing.TB, path, body string, change func(*aws.Credentials, *time.Time, *string, *string)) *http.Request {
	t.Helper()
	r := httptest.NewRequest("POST", "https://xks.example.com"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	cred := aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}
	now, service, region := testNow, Service, testRegion
	if change != nil {
		change(&cred, &now, &service, &region)
	}
	sum := sha256.Sum256([]byte(body))
	if err := signer.NewSigner().SignHTTP(t.Context(), cred, r, hex.EncodeToString(sum[:]), service, region, now); err != nil {
		t.Fatal(err)
	}
	return r
}

// answerOf serves r and returns the status and the error name.
func answerOf(t testing.TB, h http.Handler, r *http.Request) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", w.Header())
	}
	if w.Body.Len() == 0 {
		return w.Code, ""
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", w.Header())
	}
	var e errorReply
	if err := decode(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, e.Name
}

// recorder is a log in memory.
type recorder struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(r, nil)) }

// nameOf is the name of an *Error, "" for another error.
func nameOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
