package nitro

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

// testNow is the time of all tests with made documents.
var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// testPKI is the PKI that most tests share, testKey the key of their enclave.
var (
	testPKI = sync.OnceValue(func() *nitrotest.PKI {
		p, err := nitrotest.New(nitrotest.Config{Now: testNow})
		if err != nil {
			panic(err)
		}
		return p
	})
	testKey = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
)

func spki(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// testClaims are claims that verify at testNow.
func testClaims(t testing.TB) nitrotest.Claims {
	return nitrotest.Claims{
		Timestamp: testNow.Add(-time.Second),
		PublicKey: spki(t, &testKey().PublicKey),
		UserData:  []byte("user data"),
		Nonce:     []byte("nonce"),
	}
}

func testDocument(t testing.TB, p *nitrotest.PKI, c nitrotest.Claims) []byte {
	t.Helper()
	document, err := p.Document(c)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// testVerifier trusts the root of p alone.
func testVerifier(t testing.TB, p *nitrotest.PKI) *Verifier {
	t.Helper()
	v, err := New(Config{Roots: p.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustCBOR encodes what a test has made.
func mustCBOR(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reasons are all that a refusal may give.
var reasons = []error{ErrMalformed, ErrChain, ErrSignature, ErrStale, ErrPublicKey}

// wantRefusal checks that err is want and no other reason, and, if there is a text, that it is in the error.
func wantRefusal(t testing.TB, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !errors.Is(err, ErrDocument) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, other := range reasons {
		if other != want && errors.Is(err, other) {
			t.Errorf("%v is also %v", err, other)
		}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got %q, want it to say %q", err, text)
	}
}
