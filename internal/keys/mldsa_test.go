package keys

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
)

// mldsaVectors is testdata/mldsa.json, which says where they come from. Public is the SHA-256 of a public key, in Verify an index.
type mldsaVectors struct {
	Keygen []struct{ Set, Seed, Public string }
	Sign   []struct{ Set, About, Seed, Public, Message, Mu, Signature string }
	Verify []struct {
		Set, About         string
		Public             int
		Message, Signature string
		Valid              bool
	}
	Public  []string
	Encoded []encodedVector
}

// encodedVector is a key in DER: PKCS #8 in base64, and the SHA-256 of the SubjectPublicKeyInfo.
type encodedVector struct{ Set, Seed, PKCS8, SPKI string }

var loadMLDSA = sync.OnceValue(func() (v mldsaVectors) {
	b, err := os.ReadFile("testdata/mldsa.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
})

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sha256Hex(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func testMLDSAKey(t testing.TB, set, seed string) *mldsaKey {
	t.Helper()
	skipInFIPS(t)
	k, err := SpecByName("ML_DSA_" + set).Open(fromHex(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return k.(*mldsaKey)
}

// mldsaMu is the representative of a message with an empty context (FIPS 204, algorithm 7, line 6).
func mldsaMu(public, message []byte) []byte {
	tr := sha3.SumSHAKE256(public, 64)
	return sha3.SumSHAKE256(append(append(tr, 0, 0), message...), 64)
}

// encodes checks a key's encodings.
func (v encodedVector) encodes(t *testing.T, k PrivateKey) {
	t.Helper()
	if pkcs8, err := k.PKCS8(); err != nil || !bytes.Equal(pkcs8, unbase64(t, v.PKCS8)) {
		t.Errorf("%s: PKCS #8 %x, %v", v.Set, pkcs8, err)
	}
	if sha256Hex(k.PublicKey()) != v.SPKI {
		t.Errorf("%s: public key %x...", v.Set, k.PublicKey()[:32])
	}
}

func TestMLDSAKeys(t *testing.T) {
	v := loadMLDSA()
	for _, c := range v.Keygen {
		if k := testMLDSAKey(t, c.Set, c.Seed); sha256Hex(k.public.Bytes()) != c.Public {
			t.Errorf("%s, seed %s: wrong public key", c.Set, c.Seed)
		}
	}
	for _, c := range v.Encoded {
		c.encodes(t, testMLDSAKey(t, c.Set, c.Seed))
	}
	if len(v.Keygen) != 18 || len(v.Encoded) != 3 {
		t.Errorf("%d and %d vectors", len(v.Keygen), len(v.Encoded))
	}
}

func TestMLDSASpecs(t *testing.T) {
	skipInFIPS(t)
	for _, s := range mldsaSpecs {
		a, errA := s.NewMaterial()
		b, errB := s.NewMaterial()
		if errA != nil || errB != nil || len(a) != 32 || bytes.Equal(a, b) || s.Import != nil || s.Rotates {
			t.Errorf("%s: material %d bytes, %v, %v", s.Name, len(a), errA, errB)
		}
		for _, size := range []int{0, 31, 33, 64} {
			if _, err := s.Open(make([]byte, size)); !errors.Is(err, ErrMaterial) {
				t.Errorf("%s: seed of %d bytes: %v", s.Name, size, err)
			}
		}
	}
}

// TestMLDSASignVectors makes each vector's signature, as it is deterministic, then has it verified by message and by μ. It also checks
// that the two ways to verify agree on an altered one.
func TestMLDSASignVectors(t *testing.T) {
	byMessage := 0
	for _, c := range loadMLDSA().Sign {
		k, mu := testMLDSAKey(t, c.Set, c.Seed), fromHex(t, c.Mu)
		if sha256Hex(k.public.Bytes()) != c.Public {
			t.Fatalf("%s, %s: wrong public key", c.Set, c.About)
		}
		signature, err := k.private.SignDeterministic(mu, mldsacrypto.MLDSAMu)
		if err != nil || sha256Hex(signature) != c.Signature {
			t.Errorf("%s, %s: wrong signature, %v", c.Set, c.About, err)
			continue
		}
		altered := bytes.Clone(signature)
		altered[len(altered)/2] ^= 1
		if err := k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, signature); err != nil {
			t.Errorf("%s, %s: %v", c.Set, c.About, err)
		}
		if err := k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, altered); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, %s, altered: %v", c.Set, c.About, err)
		}
		if c.Message == "" {
			continue
		}
		byMessage++
		message := fromHex(t, c.Message)
		if !bytes.Equal(mu, mldsaMu(k.public.Bytes(), message)) {
			t.Errorf("%s, %s: wrong μ", c.Set, c.About)
		}
		if err := k.Verify("ML_DSA_SHAKE_256", Raw, message, signature); err != nil {
			t.Errorf("%s, %s: %v", c.Set, c.About, err)
		}
		if err := k.Verify("ML_DSA_SHAKE_256", Raw, message, altered); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, %s, altered: %v", c.Set, c.About, err)
		}
	}
	if byMessage < 60 {
		t.Errorf("%d vectors with messages", byMessage)
	}
}

// TestMLDSAVerifyVectors are signatures at the edges of the format, most of them forged. Both verifiers must give the known answer.
func TestMLDSAVerifyVectors(t *testing.T) {
	v := loadMLDSA()
	for _, c := range v.Verify {
		var params *mldsaParams
		var library mldsa.Parameters
		switch c.Set {
		case "44":
			params, library = &mldsaParams44, mldsa.MLDSA44()
		case "65":
			params, library = &mldsaParams65, mldsa.MLDSA65()
		case "87":
			params, library = &mldsaParams87, mldsa.MLDSA87()
		}
		public, message, signature := unbase64(t, v.Public[c.Public]), fromHex(t, c.Message), unbase64(t, c.Signature)
		if got := params.verifyMu(public, mldsaMu(public, message), signature); got != c.Valid {
			t.Errorf("%s, %s: by μ %t", c.Set, c.About, got)
		}
		key, err := mldsa.NewPublicKey(library, public)
		if err != nil {
			t.Fatal(err)
		}
		if err := mldsa.Verify(key, message, signature, nil); (err == nil) != c.Valid {
			t.Errorf("%s, %s: by message %v", c.Set, c.About, err)
		}
	}
	if len(v.Verify) < 35 {
		t.Errorf("%d vectors", len(v.Verify))
	}
}

func TestMLDSASign(t *testing.T) {
	message := []byte("a message")
	for _, s := range mldsaSpecs {
		k := testMLDSAKey(t, s.Name[7:], loadMLDSA().Encoded[0].Seed)
		mu := mldsaMu(k.public.Bytes(), message)
		raw, err := k.Sign("ML_DSA_SHAKE_256", Raw, message)
		if err != nil {
			t.Fatal(err)
		}
		byMu, err := k.Sign("ML_DSA_SHAKE_256", ExternalMu, mu)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(raw, byMu) {
			t.Errorf("%s: the same signature twice, so it is not hedged", s.Name)
		}
		for _, signature := range [][]byte{raw, byMu} {
			if err := k.Verify("ML_DSA_SHAKE_256", Raw, message, signature); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
			if err := k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, signature); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
			other := bytes.Clone(mu)
			other[0] ^= 1
			for _, got := range []error{
				k.Verify("ML_DSA_SHAKE_256", Raw, []byte("b message"), signature),
				k.Verify("ML_DSA_SHAKE_256", ExternalMu, other, signature),
				k.Verify("ML_DSA_SHAKE_256", Raw, message, signature[1:]),
				k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, signature[1:]),
				k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, append(bytes.Clone(signature), 0)),
				k.Verify("ML_DSA_SHAKE_256", ExternalMu, mu, nil),
			} {
				if !errors.Is(got, ErrSignature) {
					t.Errorf("%s: %v", s.Name, got)
				}
			}
		}
		for _, c := range []struct {
			t    MessageType
			size int
			want error
		}{
			{ExternalMu, 0, ErrDigestLength}, {ExternalMu, 63, ErrDigestLength}, {ExternalMu, 65, ErrDigestLength},
			{Digest, 64, ErrMessageType}, {"", 64, ErrMessageType},
		} {
			if _, err := k.Sign("ML_DSA_SHAKE_256", c.t, make([]byte, c.size)); !errors.Is(err, c.want) {
				t.Errorf("sign %s of %d bytes: %v", c.t, c.size, err)
			}
			if err := k.Verify("ML_DSA_SHAKE_256", c.t, make([]byte, c.size), raw); !errors.Is(err, c.want) {
				t.Errorf("verify %s of %d bytes: %v", c.t, c.size, err)
			}
		}
		if empty, err := k.Sign("ML_DSA_SHAKE_256", Raw, nil); err != nil || k.Verify("ML_DSA_SHAKE_256", Raw, nil, empty) != nil {
			t.Errorf("%s, empty message: %v", s.Name, err)
		}
	}
}

// TestMLDSAUseHint compares with definition and properties from FIPS 204, section 7.4, for every residue near an edge.
func TestMLDSAUseHint(t *testing.T) {
	for _, p := range []*mldsaParams{&mldsaParams44, &mldsaParams65} {
		m := (mldsaQ - 1) / (2 * p.gamma2)
		for r := range uint32(mldsaQ) {
			if edge := (r + p.gamma2) % (2 * p.gamma2); edge > 3 && edge < 2*p.gamma2-3 && r%(2*p.gamma2) > 3 && r < mldsaQ-3 {
				continue
			}
			// Decompose as it is written: r0 is the residue of r in (-γ2, γ2].
			r0 := int64(r) % int64(2*p.gamma2)
			if r0 > int64(p.gamma2) {
				r0 -= int64(2 * p.gamma2)
			}
			r1 := uint32((int64(r) - r0) / int64(2*p.gamma2))
			if int64(r)-r0 == mldsaQ-1 {
				r1, r0 = 0, r0-1
			}
			with := (r1 + m - 1) % m
			if r0 > 0 {
				with = (r1 + 1) % m
			}
			if got := p.useHint(false, r); got != r1 {
				t.Fatalf("high bits of %d: %d, want %d", r, got, r1)
			}
			if got := p.useHint(true, r); got != with {
				t.Fatalf("%d with hint: %d, want %d", r, got, with)
			}
		}
	}
}
