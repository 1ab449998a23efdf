package keywrap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// One key of each spec for all tests: RSA keys are slow to find.
var testKeys = map[string]func() (*Key, error){
	"RSA_2048": once("RSA_2048"), "RSA_3072": once("RSA_3072"), "RSA_4096": once("RSA_4096"), "SM2": once("SM2"),
}

func once(spec string) func() (*Key, error) {
	return sync.OnceValues(func() (*Key, error) { return New(spec) })
}

func testKey(t testing.TB, spec string) *Key {
	t.Helper()
	if spec == "SM2" && fips140.Enforced() {
		t.Skip("SM2 is not allowed in FIPS 140-only mode")
	}
	k, err := testKeys[spec]()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func skipNotApproved(t testing.TB, algorithm string) {
	t.Helper()
	if fips140.Enforced() && !strings.HasSuffix(algorithm, "SHA_256") {
		t.Skip(algorithm, "is not allowed in FIPS 140-only mode")
	}
}

// specOf is a wrapping key spec for an algorithm.
func specOf(algorithm string) string {
	if algorithm == SM2PKE {
		return "SM2"
	}
	return "RSA_2048"
}

// Every algorithm, with every wrapping key it goes with, up to the longest material, through the stored form of the key.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		algorithm, spec string
		longest         int
	}{
		{OAEPSHA1, "RSA_2048", 214}, {OAEPSHA1, "RSA_3072", 342}, {OAEPSHA1, "RSA_4096", 470},
		{OAEPSHA256, "RSA_2048", 190}, {OAEPSHA256, "RSA_3072", 318}, {OAEPSHA256, "RSA_4096", 446},
		{AESWrapSHA1, "RSA_2048", 6144 - 256 - 8}, {AESWrapSHA1, "RSA_3072", 6144 - 384 - 8}, {AESWrapSHA1, "RSA_4096", 6144 - 512 - 8},
		{AESWrapSHA256, "RSA_2048", 6144 - 256 - 8}, {AESWrapSHA256, "RSA_4096", 6144 - 512 - 8},
		{SM2PKE, "SM2", 6000},
	} {
		t.Run(c.algorithm+"/"+c.spec, func(t *testing.T) {
			skipNotApproved(t, c.algorithm)
			k := testKey(t, c.spec)
			der, err := k.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			stored, err := Parse(c.spec, der)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stored.PublicKey(), k.PublicKey()) || stored.Spec() != c.spec {
				t.Fatal("the stored key is another one")
			}
			for _, n := range []int{minSM2, 32, 33, 138, c.longest} {
				material := make([]byte, n)
				rand.Read(material)
				wrapped, err := Wrap(c.algorithm, k.PublicKey(), material)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				got, err := stored.Unwrap(c.algorithm, wrapped)
				if err != nil || !bytes.Equal(got, material) {
					t.Fatalf("%d bytes: unwrapped %d bytes, %v", n, len(got), err)
				}
			}
			for _, n := range []int{0, c.longest + 1, MaxWrapped} {
				if c.algorithm == SM2PKE && n == c.longest+1 {
					continue // the ASN.1 around SM2 varies by a few bytes
				}
				if _, err := Wrap(c.algorithm, k.PublicKey(), make([]byte, n)); !errors.Is(err, ErrMaterialLength) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
		})
	}
}

// The import token, 6144 bytes at most, has to hold a private key.
func TestMarshalSize(t *testing.T) {
	der, err := testKey(t, "RSA_4096").Marshal()
	if err != nil || len(der) > 2400 {
		t.Errorf("%d bytes, %v", len(der), err)
	}
}

func TestNotApproved(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("only in FIPS 140-only mode")
	}
	k := testKey(t, "RSA_2048")
	for _, a := range []string{OAEPSHA1, AESWrapSHA1, SM2PKE} {
		if _, err := Wrap(a, k.PublicKey(), make([]byte, 32)); !errors.Is(err, ErrNotApproved) {
			t.Errorf("wrapping, %s: %v", a, err)
		}
		if _, err := k.Unwrap(a, make([]byte, 256)); !errors.Is(err, ErrNotApproved) {
			t.Errorf("unwrapping, %s: %v", a, err)
		}
	}
	if _, err := New("SM2"); !errors.Is(err, ErrNotApproved) {
		t.Error(err)
	}
	if _, err := Parse("SM2", nil); !errors.Is(err, ErrNotApproved) {
		t.Error(err)
	}
}

// Whatever is wrong with the wrapped bytes, the answer is the very same.
func TestUnwrapRefuses(t *testing.T) {
	for _, algorithm := range []string{OAEPSHA1, OAEPSHA256, AESWrapSHA1, AESWrapSHA256, SM2PKE} {
		t.Run(algorithm, func(t *testing.T) {
			skipNotApproved(t, algorithm)
			k := testKey(t, specOf(algorithm))
			wrapped, err := Wrap(algorithm, k.PublicKey(), bytes.Repeat([]byte{3}, 32))
			if err != nil {
				t.Fatal(err)
			}
			bad := map[string][]byte{
				"nothing":          nil,
				"shorter":          wrapped[:len(wrapped)-1],
				"a block shorter":  wrapped[:len(wrapped)-8],
				"longer":           append(bytes.Clone(wrapped), 0),
				"a block longer":   append(bytes.Clone(wrapped), make([]byte, 8)...),
				"zero in front":    append([]byte{0}, wrapped...),
				"zeros":            make([]byte, len(wrapped)),
				"too long":         append(bytes.Clone(wrapped), make([]byte, MaxWrapped)...),
				"first half only":  wrapped[:len(wrapped)/2],
				"not below modulo": bytes.Repeat([]byte{0xff}, len(wrapped)),
			}
			for _, at := range []int{0, 1, 5, len(wrapped) / 3, len(wrapped) / 2, len(wrapped) - 9, len(wrapped) - 1} {
				b := bytes.Clone(wrapped)
				b[at] ^= 0x10
				bad[fmt.Sprintf("bit in byte %d", at)] = b
			}
			for name, b := range bad {
				if got, err := k.Unwrap(algorithm, b); err != ErrUnwrap || got != nil {
					t.Errorf("%s: %x, %v", name, got, err)
				}
			}
		})
	}
}

// An empty plaintext, and AES keys other than of 256 bits, are well-formed RSAES-OAEP, but nothing to import.
func TestUnwrapInnerLength(t *testing.T) {
	k := testKey(t, "RSA_2048")
	hash := algorithms[OAEPSHA256].hash
	empty, err := rsa.EncryptOAEP(hash.New(), rand.Reader, &k.rsa.PublicKey, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Unwrap(OAEPSHA256, empty); err != ErrUnwrap {
		t.Errorf("empty material: %v", err)
	}
	for _, n := range []int{0, 16, 24, 31, 33} {
		kek := make([]byte, n)
		head, err := rsa.EncryptOAEP(hash.New(), rand.Reader, &k.rsa.PublicKey, kek, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 40)
		if n == 16 || n == 24 {
			if body, err = kwpWrap(kek, make([]byte, 32)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.Unwrap(AESWrapSHA256, append(head, body...)); err != ErrUnwrap {
			t.Errorf("an AES key of %d bytes: %v", n, err)
		}
	}
}

func TestMisuse(t *testing.T) {
	k := testKey(t, "RSA_2048")
	for _, name := range []string{"", "RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_512", "SM4"} {
		if _, err := k.Unwrap(name, make([]byte, 256)); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("unwrapping, %q: %v", name, err)
		}
		if _, err := Wrap(name, k.PublicKey(), make([]byte, 32)); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("wrapping, %q: %v", name, err)
		}
	}
	for _, spec := range []string{"", "RSA_1024", "RSA_2048 ", "ECC_NIST_P256", "SYMMETRIC_DEFAULT"} {
		if _, err := New(spec); !errors.Is(err, ErrSpec) {
			t.Errorf("New(%q): %v", spec, err)
		}
		if _, err := Parse(spec, nil); !errors.Is(err, ErrSpec) {
			t.Errorf("Parse(%q): %v", spec, err)
		}
	}
	if fips140.Enforced() {
		return
	}
	other := testKey(t, "SM2")
	if _, err := k.Unwrap(SM2PKE, make([]byte, 200)); !errors.Is(err, ErrIncompatible) {
		t.Error(err)
	}
	if _, err := other.Unwrap(OAEPSHA256, make([]byte, 256)); !errors.Is(err, ErrIncompatible) {
		t.Error(err)
	}
	if _, err := Wrap(SM2PKE, k.PublicKey(), make([]byte, 32)); !errors.Is(err, ErrIncompatible) {
		t.Error(err)
	}
	if _, err := Wrap(AESWrapSHA256, other.PublicKey(), make([]byte, 32)); !errors.Is(err, ErrIncompatible) {
		t.Error(err)
	}
	if _, err := Wrap(SM2PKE, other.PublicKey(), make([]byte, minSM2-1)); !errors.Is(err, ErrMaterialLength) {
		t.Error(err)
	}
}

// Keys that are not what the spec says, in either direction, are refused, and errors do not quote them.
func TestParseRefuses(t *testing.T) {
	k := testKey(t, "RSA_2048")
	good, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	private := map[string][]byte{
		"nothing": nil, "longer": append(bytes.Clone(good), 0), "shorter": good[:len(good)-1], "PKCS #1": x509.MarshalPKCS1PrivateKey(k.rsa),
		"P-256": pkcs8(ec), "public": k.PublicKey(),
	}
	for name, der := range private {
		for _, spec := range []string{"RSA_2048", "SM2"} {
			if spec == "SM2" && fips140.Enforced() {
				continue
			}
			if _, err := Parse(spec, der); !errors.Is(err, ErrKey) {
				t.Errorf("%s as %s: %v", name, spec, err)
			}
		}
	}
	if _, err := Parse("RSA_3072", good); !errors.Is(err, ErrKey) {
		t.Errorf("RSA_2048 as RSA_3072: %v", err)
	}

	spki := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd := &rsa.PublicKey{N: new(big.Int).Lsh(k.rsa.N, 1), E: 65537}
	for name, der := range map[string][]byte{
		"nothing": nil, "longer": append(bytes.Clone(k.PublicKey()), 0), "P-256": spki(&ec.PublicKey), "Ed25519": spki(edKey),
		"2049 bits": spki(odd), "private": good, "huge": make([]byte, 1<<20),
	} {
		if _, err := Wrap(AESWrapSHA256, der, make([]byte, 32)); !errors.Is(err, ErrKey) {
			t.Errorf("public key, %s: %v", name, err)
		}
	}
}

func TestParseRefusesSM2(t *testing.T) {
	k := testKey(t, "SM2")
	private, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	scalar := len(private) - sm2ScalarSize
	for name, at := range map[string]int{"version": 4, "algorithm": 10, "curve": 24, "inner version": scalar - 3} {
		der := bytes.Clone(private)
		der[at] ^= 1
		if _, err := Parse("SM2", der); !errors.Is(err, ErrKey) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	for name, fill := range map[string]byte{"zero": 0, "above the order": 0xff} {
		der := append(bytes.Clone(private[:scalar]), bytes.Repeat([]byte{fill}, sm2ScalarSize)...)
		if _, err := Parse("SM2", der); !errors.Is(err, ErrKey) {
			t.Errorf("scalar %s: %v", name, err)
		}
	}
	public := bytes.Clone(k.PublicKey())
	public[len(public)-1] ^= 1
	if _, err := Wrap(SM2PKE, public, make([]byte, 32)); !errors.Is(err, ErrKey) {
		t.Errorf("a point off the curve: %v", err)
	}
}

// No verb prints a private key.
func TestPrinting(t *testing.T) {
	k := testKey(t, "RSA_2048")
	if got := fmt.Sprintf("%v %+v %s %#v", k, k, k, k); got != strings.Repeat("wrapping key RSA_2048 ", 3)+"wrapping key RSA_2048" {
		t.Error(got)
	}
}
