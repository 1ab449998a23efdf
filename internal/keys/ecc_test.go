package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// verifier opens a public key of the vectors.
func verifier(t *testing.T, spec string, der []byte) interface {
	Verify(algorithm string, t MessageType, message, signature []byte) error
} {
	t.Helper()
	if spec == "ECC_SECG_P256K1" {
		point, ok := parseECPublic(oidSecp256k1, der)
		if !ok {
			t.Fatal("the public key does not parse")
		}
		pub, err := secp256k1.ParsePubKey(point)
		if err != nil {
			t.Fatal(err)
		}
		k := newKoblitzPublic(pub)
		return &k
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range nistCurves {
		if c.name == spec {
			k, err := c.newPublic(parsed.(*ecdsa.PublicKey))
			if err != nil {
				t.Fatal(err)
			}
			return &k
		}
	}
	t.Fatalf("no curve %s", spec)
	return nil
}

func TestECDSAVerifyVectors(t *testing.T) {
	count := map[string]int{}
	for _, g := range vectors[wycheproof](t, "wycheproof/ecdsa.json") {
		algorithm := SpecByName(g.Spec).SigningAlgorithms[0]
		key := verifier(t, g.Spec, g.PublicKey)
		for _, v := range g.Tests {
			var digest []byte
			switch algorithm {
			case "ECDSA_SHA_256":
				d := sha256.Sum256(v.Msg)
				digest = d[:]
			case "ECDSA_SHA_384":
				d := sha512.Sum384(v.Msg)
				digest = d[:]
			case "ECDSA_SHA_512":
				d := sha512.Sum512(v.Msg)
				digest = d[:]
			}
			var want error
			if v.Result != "valid" {
				want = ErrSignature
			}
			count[g.Spec+" "+v.Result]++
			raw, hashed := key.Verify(algorithm, Raw, v.Msg, v.Sig), key.Verify(algorithm, Digest, digest, v.Sig)
			if raw != want || hashed != want {
				t.Errorf("%s %d %s: %v, by digest %v; want %v", g.Source, v.ID, v.Comment, raw, hashed, want)
			}
		}
	}
	if len(count) != 8 {
		t.Errorf("not every curve has valid and invalid signatures: %v", count)
	}
}

func TestECDSASign(t *testing.T) {
	size := map[string]int{"ECDSA_SHA_256": 32, "ECDSA_SHA_384": 48, "ECDSA_SHA_512": 64}
	for _, spec := range append(eccSpecs[:len(eccSpecs):len(eccSpecs)], secp256k1Specs...) {
		t.Run(spec.Name, func(t *testing.T) {
			skipOutsideFIPS(t, spec.Name)
			checkSigner(t, spec, newKey(t, spec).(Signer), size)
		})
	}
}

// newKey opens fresh material.
func newKey(t testing.TB, spec *Spec) any {
	t.Helper()
	material, err := spec.NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	key, err := spec.Open(material)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Vectors that are "acceptable" have parameters spelled out, or lengths that are not DER's; all but compressed points are refused.
func TestECDHVectors(t *testing.T) {
	count := map[string]int{}
	for _, g := range vectors[wycheproof](t, "wycheproof/ecdh.json") {
		spec := SpecByName(g.Spec)
		for _, v := range g.Tests {
			material, err := spec.Import(marshalEC(curveOID(g.Spec), v.Private, nil))
			if err != nil {
				t.Fatalf("%s %d: %v", g.Source, v.ID, err)
			}
			key, err := spec.Open(material)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := key.(Agreer).SharedSecret("ECDH", v.Public)
			result := v.Result
			if result == "acceptable" {
				result = "invalid"
				if v.Comment == "compressed public key" {
					result = "valid"
				}
			}
			count[g.Spec+" "+v.Result]++
			if result == "valid" {
				if err != nil || !bytes.Equal(secret, v.Shared) {
					t.Errorf("%s %d %s: %v", g.Source, v.ID, v.Comment, err)
				}
			} else if err != ErrPeer || secret != nil {
				t.Errorf("%s %d %s: %v", g.Source, v.ID, v.Comment, err)
			}
		}
	}
	if len(count) != 9 {
		t.Errorf("not every curve has vectors of every result: %v", count)
	}
}

func TestECDH(t *testing.T) {
	for _, spec := range eccSpecs {
		a, b := newKey(t, spec).(Agreer), newKey(t, spec).(Agreer)
		pa, pb := a.(PublicKey).PublicKey(), b.(PublicKey).PublicKey()
		one, err1 := a.SharedSecret("ECDH", pb)
		two, err2 := b.SharedSecret("ECDH", pa)
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) || len(one) != a.(*nistKey).c.size {
			t.Errorf("%s: %v, %v", spec.Name, err1, err2)
		}
		for name, peer := range map[string][]byte{
			"nothing": nil, "cut": pb[:len(pb)-1], "trailing": append(bytes.Clone(pb), 0), "long": make([]byte, maxSPKI+1),
			"infinity": marshalECPublic(curveOID(spec.Name), []byte{0}), "no point": marshalECPublic(curveOID(spec.Name), nil),
			"altered": append(bytes.Clone(pb[:len(pb)-1]), pb[len(pb)-1]^1),
		} {
			if _, err := a.SharedSecret("ECDH", peer); err != ErrPeer {
				t.Errorf("%s: peer %s: %v", spec.Name, name, err)
			}
		}
		for _, other := range eccSpecs {
			if _, err := a.SharedSecret("ECDH", newKey(t, other).(PublicKey).PublicKey()); (err == nil) != (other == spec) {
				t.Errorf("%s with a peer on %s: %v", spec.Name, other.Name, err)
			}
		}
		if _, err := a.SharedSecret("X25519", pb); !errors.Is(err, errAlgorithm) {
			t.Errorf("agrees by X25519: %v", err)
		}
	}
}

func TestECCSpecs(t *testing.T) {
	for _, spec := range append(eccSpecs[:len(eccSpecs):len(eccSpecs)], append(secp256k1Specs[:1:1], ed25519Specs...)...) {
		agrees := len(spec.KeyAgreementAlgorithms) > 0
		if nist := strings.HasPrefix(spec.Name, "ECC_NIST_P"); agrees != nist || len(spec.Usages) != 1 && !nist {
			t.Errorf("%s: usages %v, agreement %v", spec.Name, spec.Usages, spec.KeyAgreementAlgorithms)
		}
		if spec.Rotates {
			t.Errorf("%s rotates", spec.Name)
		}
	}
}

func FuzzSharedSecret(f *testing.F) {
	for _, g := range vectors[wycheproof](f, "wycheproof/ecdh.json") {
		for _, v := range g.Tests {
			f.Add([]byte(v.Public))
		}
	}
	var keys []*nistKey
	for _, spec := range eccSpecs {
		keys = append(keys, newKey(f, spec).(*nistKey))
	}
	f.Fuzz(func(t *testing.T, peer []byte) {
		for _, k := range keys {
			secret, err := k.SharedSecret("ECDH", peer)
			if err != nil && err != ErrPeer || err == nil && len(secret) != k.c.size {
				t.Fatalf("%s: %d bytes, %v", k.c.name, len(secret), err)
			}
		}
	})
}
