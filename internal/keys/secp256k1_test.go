package keys

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// Blinding changes nothing but the time: the results are the library's.
func TestBlinding(t *testing.T) {
	one := new(secp256k1.ModNScalar).SetInt(1)
	scalars := []secp256k1.ModNScalar{*one, *new(secp256k1.ModNScalar).SetInt(2), *new(secp256k1.ModNScalar).NegateVal(one)}
	for range 50 {
		scalars = append(scalars, randomScalar())
	}
	for _, k := range scalars {
		got := blindBaseMult(&k)
		var want secp256k1.JacobianPoint
		secp256k1.ScalarBaseMultNonConst(&k, &want)
		want.ToAffine()
		if !got.X.Equals(&want.X) || !got.Y.Equals(&want.Y) || !got.Z.Equals(&want.Z) {
			t.Errorf("%v times the base point is another point", k)
		}
		inv := blindInverse(&k)
		if !inv.Mul(&k).Equals(one) {
			t.Errorf("the inverse of %v is none", k)
		}
	}
	if a, b := randomScalar(), randomScalar(); a.Equals(&b) {
		t.Error("random scalars repeat")
	}
}

// Signatures are never the same twice, have the lower s, and verify with either.
func TestKoblitzSign(t *testing.T) {
	skipOutsideFIPS(t, "ECC_SECG_P256K1")
	key := newKey(t, secp256k1Specs[0]).(*koblitzKey)
	seen := map[string]bool{}
	for i := range 100 {
		message := []byte{byte(i % 2)}
		sig, err := key.Sign(koblitzSigning, Raw, message)
		if err != nil || seen[string(sig)] {
			t.Fatalf("a signature came twice, or %v", err)
		}
		seen[string(sig)] = true
		parsed, err := ecdsa.ParseDERSignature(sig)
		if err != nil {
			t.Fatal(err)
		}
		r, s := parsed.R(), parsed.S()
		if s.IsOverHalfOrder() {
			t.Error("s is above half the order")
		}
		digest := sha256.Sum256(message)
		if !parsed.Verify(digest[:], key.pub) {
			t.Error("the library does not verify the signature")
		}
		high := highS(&r, s.Negate())
		if err := key.Verify(koblitzSigning, Raw, message, high); err != nil {
			t.Errorf("the same signature with the higher s: %v", err)
		}
	}
}

// highS encodes a signature whose s the library would lower.
func highS(r, s *secp256k1.ModNScalar) []byte {
	integer := func(v *secp256k1.ModNScalar) []byte {
		b := v.Bytes()
		trimmed := bytes.TrimLeft(b[:], "\x00")
		if trimmed[0] >= 0x80 {
			trimmed = append([]byte{0}, trimmed...)
		}
		return append([]byte{2, byte(len(trimmed))}, trimmed...)
	}
	body := append(integer(r), integer(s)...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

// SEC 1 knows the base point: it is the public key of 1.
func TestKoblitzKnownKey(t *testing.T) {
	const base = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" +
		"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8" // SEC 2, 2.4.1
	if got := koblitzPoint(new(secp256k1.ModNScalar).SetInt(1)).SerializeUncompressed(); !bytes.Equal(got, unhexAll(t, base)) {
		t.Errorf("the public key of 1 is %x", got)
	}
}

func TestKoblitzFIPS(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("only in FIPS 140-only mode")
	}
	spec := secp256k1Specs[0]
	_, err1 := spec.NewMaterial()
	_, err2 := spec.Import(nil)
	_, err3 := spec.Open(nil)
	if !errors.Is(err1, ErrFIPS) || !errors.Is(err2, ErrFIPS) || !errors.Is(err3, ErrFIPS) {
		t.Errorf("%v, %v, %v", err1, err2, err3)
	}
}
