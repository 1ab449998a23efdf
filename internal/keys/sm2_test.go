package keys

import (
	"bytes"
	"crypto/fips140"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm3"
)

// sm2Vectors is testdata/sm2.json, which says where they come from.
type sm2Vectors struct {
	Standard struct {
		Private, Public, Signed, ZA, E, R, S string
		Plaintext, C1, C2, C3, X2            string
	}
	OpenSSL struct {
		PKCS8         string
		WithoutPublic string `json:"pkcs8_without_public"`
		Public        string
		Message       string
		Signature     string
		OfNothing     string `json:"signature_of_nothing"`
		Ciphertext    string
	}
}

var loadSM2 = sync.OnceValue(func() (v sm2Vectors) {
	b, err := os.ReadFile("testdata/sm2.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
})

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// skipInFIPS skips tests of what FIPS 140-only mode has not; see TestOutsideFIPSModule.
func skipInFIPS(t testing.TB) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("not in the Go FIPS 140-3 module")
	}
}

func testSM2Key(t testing.TB, material []byte) *sm2Key {
	t.Helper()
	skipInFIPS(t)
	k, err := SpecByName("SM2").Open(material)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*sm2Key)
}

// testStandardSM2Key is the key of the standard's examples.
func testStandardSM2Key(t testing.TB) *sm2Key {
	t.Helper()
	private, err := ecdh.P256().NewPrivateKey(fromHex(t, loadSM2().Standard.Private))
	if err != nil {
		t.Fatal(err)
	}
	return testSM2Key(t, marshalSM2(private))
}

// sm2ASN1 is the form of ciphertexts in GM/T 0009, written down here a second time.
type sm2ASN1 struct {
	X, Y   *big.Int
	C3, C2 []byte
}

func marshalASN1(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSM2Standard(t *testing.T) {
	v, k := loadSM2().Standard, testStandardSM2Key(t)
	if got := k.PublicKey(); !bytes.Equal(got[len(got)-65:], fromHex(t, v.Public)) {
		t.Errorf("public key %x", got)
	}
	if !bytes.Equal(k.za, fromHex(t, v.ZA)) {
		t.Errorf("Z_A %x", k.za)
	}
	e, err := k.digest("SM2DSA", Raw, []byte(v.Signed))
	if err != nil || !bytes.Equal(e, fromHex(t, v.E)) {
		t.Errorf("e %x, %v", e, err)
	}
	signature := marshalASN1(t, struct{ R, S *big.Int }{new(big.Int).SetBytes(fromHex(t, v.R)), new(big.Int).SetBytes(fromHex(t, v.S))})
	if err := k.Verify("SM2DSA", Raw, []byte(v.Signed), signature); err != nil {
		t.Error("message:", err)
	}
	if err := k.Verify("SM2DSA", Digest, e, signature); err != nil {
		t.Error("digest:", err)
	}
	c1 := fromHex(t, v.C1)
	ciphertext := marshalASN1(t, sm2ASN1{new(big.Int).SetBytes(c1[1:33]), new(big.Int).SetBytes(c1[33:]), fromHex(t, v.C3), fromHex(t, v.C2)})
	if got, err := k.Decrypt("SM2PKE", ciphertext); err != nil || string(got) != v.Plaintext {
		t.Errorf("decrypts to %q, %v", got, err)
	}
	// Encrypting is Diffie-Hellman with a fresh key inside: the standard gives that point's x coordinate too.
	if got, err := k.SharedSecret("ECDH", marshalECPublic(oidSM2, c1)); err != nil || !bytes.Equal(got, fromHex(t, v.X2)) {
		t.Errorf("shared secret %x, %v", got, err)
	}
}

func TestSM2OpenSSL(t *testing.T) {
	v := loadSM2().OpenSSL
	material := fromHex(t, v.PKCS8)
	k := testSM2Key(t, material)
	if pkcs8, err := k.PKCS8(); err != nil || !bytes.Equal(pkcs8, material) {
		t.Errorf("PKCS #8 %x, %v", pkcs8, err)
	}
	if !bytes.Equal(k.PublicKey(), fromHex(t, v.Public)) {
		t.Errorf("public key %x", k.PublicKey())
	}
	if err := k.Verify("SM2DSA", Raw, []byte(v.Message), fromHex(t, v.Signature)); err != nil {
		t.Error(err)
	}
	if err := k.Verify("SM2DSA", Raw, nil, fromHex(t, v.OfNothing)); err != nil {
		t.Error("empty message:", err)
	}
	if got, err := k.Decrypt("SM2PKE", fromHex(t, v.Ciphertext)); err != nil || string(got) != v.Message {
		t.Errorf("decrypts to %q, %v", got, err)
	}
	for name, encoded := range map[string]string{"as stored": v.PKCS8, "without public key": v.WithoutPublic} {
		if got, err := SpecByName("SM2").Import(fromHex(t, encoded)); err != nil || !bytes.Equal(got, material) {
			t.Errorf("import %s: %x, %v", name, got, err)
		}
	}
}

func TestSM2Material(t *testing.T) {
	skipInFIPS(t)
	s := SpecByName("SM2")
	if s.Rotates || s.Import == nil {
		t.Error("SM2 keys do not rotate, and can be imported")
	}
	a, err := s.NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) {
		t.Error("the same material twice")
	}
	// Whatever byte is changed, it is no key any more: the private key no longer fits the public one.
	for i := range a {
		c := bytes.Clone(a)
		c[i] ^= 1
		if _, err := s.Open(c); !errors.Is(err, ErrMaterial) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := s.Open(nil); !errors.Is(err, ErrMaterial) {
		t.Error(err)
	}
}

// testSM2Encodings gives a key in encodings that Import must refuse.
func testSM2Encodings(t testing.TB) map[string][]byte {
	material := fromHex(t, loadSM2().OpenSSL.PKCS8)
	scalar := bytes.Index(material, []byte("\x04\x20")) + 2
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(material)) }
	private := func(d []byte) []byte {
		return with(func(b []byte) []byte { copy(b[scalar:], d); return b })
	}
	curve := bytes.Index(material, []byte("\x2a\x81\x1c"))
	return map[string][]byte{
		"nothing":             {},
		"half":                material[:len(material)/2],
		"bytes after":         append(bytes.Clone(material), 0),
		"long":                append(bytes.Clone(material), make([]byte, 2000)...),
		"zero":                private(make([]byte, 32)),
		"order less one":      private(fromHex(t, "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122")),
		"order and more":      private(bytes.Repeat([]byte{0xff}, 32)),
		"another public key":  private(append(make([]byte, 31), 1)),
		"version 2":           with(func(b []byte) []byte { b[5] = 2; return b }),
		"inner version 2":     with(func(b []byte) []byte { b[scalar-3] = 2; return b }),
		"another curve":       with(func(b []byte) []byte { b[curve+7] ^= 1; return b }),
		"another algorithm":   with(func(b []byte) []byte { b[curve-3] ^= 2; return b }),
		"raw private scalar":  material[scalar : scalar+32],
		"length too long":     append([]byte{0x30, 0x82, 0x01}, material[2:]...),
		"a public key (SPKI)": fromHex(t, loadSM2().OpenSSL.Public),
	}
}

func TestSM2Import(t *testing.T) {
	skipInFIPS(t)
	for name, encoded := range testSM2Encodings(t) {
		if got, err := SpecByName("SM2").Import(encoded); !errors.Is(err, ErrMaterial) || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	// The ECPrivateKey may name its curve, the right one.
	material := fromHex(t, loadSM2().OpenSSL.PKCS8)
	for curve, want := range map[string]error{oidSM2.String(): nil, "1.2.840.10045.3.1.7": ErrMaterial} {
		oid := oidSM2
		if want != nil {
			oid = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
		}
		var info privateKeyInfo
		var inner ecPrivateKey
		if _, err := asn1.Unmarshal(material, &info); err != nil {
			t.Fatal(err)
		}
		if _, err := asn1.Unmarshal(info.PrivateKey, &inner); err != nil {
			t.Fatal(err)
		}
		inner.Curve = oid
		info.PrivateKey = marshalASN1(t, inner)
		got, err := SpecByName("SM2").Import(marshalASN1(t, info))
		if !errors.Is(err, want) || want == nil && !bytes.Equal(got, material) {
			t.Errorf("%s named inside: %x, %v", curve, got, err)
		}
	}
}

func TestSM2Encrypt(t *testing.T) {
	k := testStandardSM2Key(t)
	for _, size := range []int{2, 31, 32, 33, 1024} {
		plaintext := bytes.Repeat([]byte{0xa5}, size)
		ciphertext, err := k.Encrypt("SM2PKE", plaintext)
		if err != nil {
			t.Fatal(err)
		}
		var parts sm2ASN1
		if rest, err := asn1.Unmarshal(ciphertext, &parts); err != nil || len(rest) != 0 || len(parts.C2) != size || len(parts.C3) != 32 {
			t.Fatalf("%d bytes: %v, %d left, %+v", size, err, len(rest), parts)
		}
		if got, err := k.Decrypt("SM2PKE", ciphertext); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: %x, %v", size, got, err)
		}
		for _, i := range []int{0, 1, 10, 50, 80, len(ciphertext) - 1} {
			c := bytes.Clone(ciphertext)
			c[i] ^= 1
			if _, err := k.Decrypt("SM2PKE", c); !errors.Is(err, ErrCiphertext) {
				t.Errorf("%d bytes, byte %d changed: %v", size, i, err)
			}
		}
		// The form without ASN.1, C1 || C3 || C2, is for others.
		plain := slices.Concat([]byte{4}, parts.X.FillBytes(make([]byte, 32)), parts.Y.FillBytes(make([]byte, 32)), parts.C3, parts.C2)
		if _, err := k.Decrypt("SM2PKE", plain); !errors.Is(err, ErrCiphertext) {
			t.Errorf("%d bytes without ASN.1: %v", size, err)
		}
	}
	for _, size := range []int{0, 1025} {
		if _, err := k.Encrypt("SM2PKE", make([]byte, size)); !errors.Is(err, ErrPlaintextLength) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	for name, c := range map[string][]byte{"nothing": nil, "long": append([]byte{0x30}, make([]byte, sm2MaxCiphertext)...)} {
		if _, err := k.Decrypt("SM2PKE", c); !errors.Is(err, ErrCiphertext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSM2EncryptOneByte finds what happens when the key stream is all zeros: with one byte it is about four times in 1000 runs.
func TestSM2EncryptOneByte(t *testing.T) {
	k := testStandardSM2Key(t)
	for i := range 2000 {
		want := []byte{byte(i)}
		c, err := k.Encrypt("SM2PKE", want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Decrypt("SM2PKE", c); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("run %d: %x, %v", i, got, err)
		}
	}
}

func TestSM2Sign(t *testing.T) {
	k, message := testStandardSM2Key(t), []byte("a message")
	digest := sm3.Sum(append(bytes.Clone(k.za), message...))
	raw, err := k.Sign("SM2DSA", Raw, message)
	if err != nil {
		t.Fatal(err)
	}
	ofDigest, err := k.Sign("SM2DSA", Digest, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(raw, ofDigest) {
		t.Error("the same signature twice")
	}
	for _, signature := range [][]byte{raw, ofDigest} {
		if err := k.Verify("SM2DSA", Raw, message, signature); err != nil {
			t.Error(err)
		}
		if err := k.Verify("SM2DSA", Digest, digest[:], signature); err != nil {
			t.Error(err)
		}
		for i := range signature {
			s := bytes.Clone(signature)
			s[i] ^= 1
			if err := k.Verify("SM2DSA", Raw, message, s); !errors.Is(err, ErrSignature) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
	}
	for name, s := range map[string][]byte{
		"nothing": nil,
		"after":   append(bytes.Clone(raw), 0),
		"zero":    marshalASN1(t, struct{ R, S *big.Int }{new(big.Int), big.NewInt(1)}),
		"sum n": marshalASN1(t, struct{ R, S *big.Int }{big.NewInt(1),
			new(big.Int).SetBytes(fromHex(t, "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122"))}),
		"negative": marshalASN1(t, struct{ R, S *big.Int }{big.NewInt(-1), big.NewInt(1)}),
		"long":     make([]byte, 6144),
	} {
		if err := k.Verify("SM2DSA", Raw, message, s); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.Verify("SM2DSA", Raw, []byte("b message"), raw); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	for _, c := range []struct {
		t    MessageType
		size int
		want error
	}{
		{Digest, 0, ErrDigestLength}, {Digest, 31, ErrDigestLength}, {Digest, 64, ErrDigestLength},
		{ExternalMu, 64, ErrMessageType}, {"", 32, ErrMessageType},
	} {
		if _, err := k.Sign("SM2DSA", c.t, make([]byte, c.size)); !errors.Is(err, c.want) {
			t.Errorf("sign %s of %d bytes: %v", c.t, c.size, err)
		}
		if err := k.Verify("SM2DSA", c.t, make([]byte, c.size), raw); !errors.Is(err, c.want) {
			t.Errorf("verify %s of %d bytes: %v", c.t, c.size, err)
		}
	}
}

func TestSM2SharedSecret(t *testing.T) {
	skipInFIPS(t)
	material, err := SpecByName("SM2").NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	a, b := testSM2Key(t, material), testStandardSM2Key(t)
	ab, err := a.SharedSecret("ECDH", b.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	ba, err := b.SharedSecret("ECDH", a.PublicKey())
	if err != nil || !bytes.Equal(ab, ba) || len(ab) != 32 {
		t.Errorf("%x, %x, %v", ab, ba, err)
	}
	public := b.PublicKey()
	point := public[len(public)-65:]
	compressed := marshalECPublic(oidSM2, append([]byte{2 + point[64]&1}, point[1:33]...))
	p256 := marshalECPublic(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, point)
	encoded := func(first byte, rest []byte) []byte { return marshalECPublic(oidSM2, append([]byte{first}, rest...)) }
	offCurve := bytes.Clone(public)
	offCurve[len(offCurve)-1] ^= 1
	for name, peer := range map[string][]byte{
		"nothing": nil, "short": public[:90], "after": append(bytes.Clone(public), 0), "the point alone": point, "compressed": compressed,
		"off the curve": offCurve, "zeros": encoded(4, make([]byte, 64)), "P-256": p256,
		"infinity": encoded(0, nil), "not reduced": encoded(4, bytes.Repeat([]byte{0xff}, 64)),
		"hybrid": encoded(6+point[64]&1, point[1:]),
	} {
		if _, err := a.SharedSecret("ECDH", peer); !errors.Is(err, ErrPeer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSM2Concurrent is for the race detector: the library keeps things it has worked out of a key in caches.
func TestSM2Concurrent(t *testing.T) {
	k, message := testStandardSM2Key(t), []byte("message digest")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			signature, err := k.Sign("SM2DSA", Raw, message)
			if err != nil || k.Verify("SM2DSA", Raw, message, signature) != nil {
				t.Error("sign and verify:", err)
			}
			c, err := k.Encrypt("SM2PKE", message)
			if err != nil {
				t.Error(err)
			}
			if got, err := k.Decrypt("SM2PKE", c); err != nil || !bytes.Equal(got, message) {
				t.Error("decrypt:", err)
			}
			if _, err := k.SharedSecret("ECDH", k.PublicKey()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
