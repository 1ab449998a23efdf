// Package oidctest is an OpenID Connect provider for tests: on loopback, over TLS, with keys that can be rotated.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is a provider. It has a key for each algorithm that is accepted, and serves its own metadata and keys.
type Issuer struct {
	URL string
	// Connections, Configurations and KeySets count what was asked for.
	Connections, Configurations, KeySets atomic.Int64
	// Handler answers in the provider's place where it returns true. Set it before anything is asked.
	Handler func(w http.ResponseWriter, r *http.Request) bool

	server *httptest.Server
	mu     sync.Mutex
	keys   map[string]crypto.Signer // by key ID; guarded by mu
}

// rsaKey is made once: it takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// New starts a provider with a path in its issuer URL, "" for none. Its keys have the IDs rsa, p256, p384 and p521.
func New(t testing.TB, path string) *Issuer {
	t.Helper()
	i := &Issuer{keys: map[string]crypto.Signer{
		"rsa": rsaKey(), "p256": newEC(t, elliptic.P256()), "p384": newEC(t, elliptic.P384()), "p521": newEC(t, elliptic.P521()),
	}}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			i.Connections.Add(1)
		}
	}
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL + path
	return i
}

func newEC(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Roots trusts the provider's certificate.
func (i *Issuer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	return pool
}

// CertificatePEM is the provider's certificate.
func (i *Issuer) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
}

// Rotate gives the P-256 key another ID, and a new key to it.
func (i *Issuer) Rotate(t testing.TB, from, to string) {
	t.Helper()
	k := newEC(t, elliptic.P256())
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, from)
	i.keys[to] = k
}

// Key returns a key.
func (i *Issuer) Key(id string) crypto.Signer {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[id]
}

// KeySet is the JSON Web Key Set that the provider serves.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for id, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: id, Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return text
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	configuration := r.URL.Path == trimmed(i.URL[len(i.server.URL):])+"/.well-known/openid-configuration"
	switch {
	case configuration:
		i.Configurations.Add(1)
	case r.URL.Path == "/keys":
		i.KeySets.Add(1)
	}
	if i.Handler != nil && i.Handler(w, r) {
		return
	}
	switch {
	case configuration:
		json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}) //nolint:errcheck // a test server
	case r.URL.Path == "/keys":
		w.Write(i.KeySet()) //nolint:errcheck // a test server
	default:
		http.NotFound(w, r)
	}
}

func trimmed(path string) string {
	if len(path) > 0 && path[len(path)-1] == '/' {
		return path[:len(path)-1]
	}
	return path
}

// Claims are those of a token that is good now for an audience; others are put over them, nil takes one away.
func (i *Issuer) Claims(now time.Time, audience string, others map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "sub": "system:serviceaccount:default:app", "aud": audience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	maps.Copy(c, others)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// Sign signs claims with the key of an ID.
func (i *Issuer) Sign(t testing.TB, algorithm, keyID string, claims map[string]any) string {
	t.Helper()
	return SignWith(t, i.Key(keyID), algorithm, map[string]any{"kid": keyID, "typ": "JWT"}, claims)
}

// SignWith signs claims with any key, under a header that has more than the algorithm.
func SignWith(t testing.TB, key any, algorithm string, header, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	opts := &jose.SignerOptions{}
	for name, v := range header {
		opts.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Raw puts a token together of a header, a payload and a signature as they are.
func Raw(header, payload string, signature []byte) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e(signature)
}
