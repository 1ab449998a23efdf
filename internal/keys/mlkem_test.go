package keys

import (
	"bytes"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// mlkemVectors is testdata/mlkem.json, which says where they come from. Public is the SHA-256 of a public key.
type mlkemVectors struct {
	Keygen      []struct{ Set, Seed, Public string }
	Decapsulate []struct {
		Set, About, Seed, Public, Ciphertext, Secret string
		Valid                                        bool
	}
	Encoded []encodedVector
}

var loadMLKEM = sync.OnceValue(func() (v mlkemVectors) {
	b, err := os.ReadFile("testdata/mlkem.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
})

func testMLKEMKey(t testing.TB, set, seed string) *mlkemKey {
	t.Helper()
	if set == "512" {
		skipInFIPS(t)
	}
	k, err := SpecByName("ML_KEM_" + set).Open(fromHex(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return k.(*mlkemKey)
}

func TestMLKEMKeys(t *testing.T) {
	v := loadMLKEM()
	for _, c := range v.Keygen {
		t.Run(c.Set, func(t *testing.T) {
			if k := testMLKEMKey(t, c.Set, c.Seed); sha256Hex(k.kem.public) != c.Public {
				t.Errorf("seed %s: wrong public key", c.Seed)
			}
		})
	}
	for _, c := range v.Encoded {
		t.Run(c.Set, func(t *testing.T) { c.encodes(t, testMLKEMKey(t, c.Set, c.Seed)) })
	}
	if len(v.Keygen) != 18 || len(v.Encoded) != 3 {
		t.Errorf("%d and %d vectors", len(v.Keygen), len(v.Encoded))
	}
}

func TestMLKEMSpecs(t *testing.T) {
	for _, s := range mlkemSpecs {
		if !inFIPSModule(s) && fips140.Enforced() {
			continue
		}
		a, errA := s.NewMaterial()
		b, errB := s.NewMaterial()
		if errA != nil || errB != nil || len(a) != 64 || bytes.Equal(a, b) || s.Import != nil || s.Rotates {
			t.Errorf("%s: material %d bytes, %v, %v", s.Name, len(a), errA, errB)
		}
		for _, size := range []int{0, 32, 63, 65} {
			if _, err := s.Open(make([]byte, size)); !errors.Is(err, ErrMaterial) {
				t.Errorf("%s: seed of %d bytes: %v", s.Name, size, err)
			}
		}
		// The key keeps no part of the caller's material.
		want := bytes.Clone(a)
		k, err := s.Open(a)
		if err != nil {
			t.Fatal(err)
		}
		clear(a)
		if pkcs8, err := k.(*mlkemKey).PKCS8(); err != nil || !bytes.HasSuffix(pkcs8, want) || len(pkcs8) != 86 {
			t.Errorf("%s: %x, %v", s.Name, pkcs8, err)
		}
	}
}

func TestMLKEMDecapsulateVectors(t *testing.T) {
	v := loadMLKEM().Decapsulate
	for _, c := range v {
		t.Run(c.Set+" "+c.About, func(t *testing.T) {
			k := testMLKEMKey(t, c.Set, c.Seed)
			if c.Public != "" && sha256Hex(k.kem.public) != c.Public {
				t.Error("wrong public key")
			}
			secret, err := k.Decapsulate("ML_KEM", unbase64(t, c.Ciphertext))
			if c.Valid && (err != nil || !bytes.Equal(secret, fromHex(t, c.Secret))) {
				t.Errorf("%x, %v", secret, err)
			}
			if !c.Valid && !errors.Is(err, ErrCiphertext) {
				t.Errorf("%x, %v", secret, err)
			}
		})
	}
	if len(v) < 30 {
		t.Errorf("%d vectors", len(v))
	}
}

func TestMLKEMEncapsulate(t *testing.T) {
	for _, s := range mlkemSpecs {
		if !inFIPSModule(s) && fips140.Enforced() {
			continue
		}
		k := testMLKEMKey(t, s.Name[7:], loadMLKEM().Encoded[0].Seed)
		secret, ciphertext, err := k.Encapsulate("ML_KEM")
		if err != nil || len(secret) != 32 || len(ciphertext) != k.ciphertextSize {
			t.Fatalf("%s: %d and %d bytes, %v", s.Name, len(secret), len(ciphertext), err)
		}
		if got, err := k.Decapsulate("ML_KEM", ciphertext); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %x, want %x, %v", s.Name, got, secret, err)
		}
		if other, _, err := k.Encapsulate("ML_KEM"); err != nil || bytes.Equal(other, secret) {
			t.Errorf("%s: the same secret twice, %v", s.Name, err)
		}
		// Implicit rejection: another secret, the same each time.
		ciphertext[0] ^= 1
		first, err := k.Decapsulate("ML_KEM", ciphertext)
		if err != nil || bytes.Equal(first, secret) || len(first) != 32 {
			t.Errorf("%s, altered: %x, %v", s.Name, first, err)
		}
		if second, err := k.Decapsulate("ML_KEM", ciphertext); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s, altered: %x, then %x, %v", s.Name, first, second, err)
		}
		for _, size := range []int{0, 1, k.ciphertextSize - 1, k.ciphertextSize + 1, 6144} {
			if _, err := k.Decapsulate("ML_KEM", make([]byte, size)); !errors.Is(err, ErrCiphertext) {
				t.Errorf("%s, %d bytes: %v", s.Name, size, err)
			}
		}
	}
}

// FuzzMLKEMDecapsulate: the length alone decides whether there is a secret.
func FuzzMLKEMDecapsulate(f *testing.F) {
	var keys []*mlkemKey
	for i, s := range mlkemSpecs {
		if !inFIPSModule(s) && fips140.Enforced() {
			continue
		}
		k := testMLKEMKey(f, s.Name[7:], loadMLKEM().Encoded[0].Seed)
		_, ciphertext, err := k.Encapsulate("ML_KEM")
		if err != nil {
			f.Fatal(err)
		}
		keys = append(keys, k)
		f.Add(byte(i), ciphertext)
		f.Add(byte(i), ciphertext[1:])
	}
	f.Fuzz(func(t *testing.T, which byte, ciphertext []byte) {
		k := keys[int(which)%len(keys)]
		secret, err := k.Decapsulate("ML_KEM", ciphertext)
		if len(ciphertext) == k.ciphertextSize {
			if err != nil || len(secret) != 32 {
				t.Fatalf("%x, %v", secret, err)
			}
		} else if !errors.Is(err, ErrCiphertext) || secret != nil {
			t.Fatalf("%x, %v", secret, err)
		}
	})
}

// inFIPSModule tells which of the specs tested here, and in the files on SM2 and ML-DSA, are implemented in the Go FIPS 140-3 module.
func inFIPSModule(s *Spec) bool { return s.Name == "ML_KEM_768" || s.Name == "ML_KEM_1024" }

// TestOutsideFIPSModule: in FIPS 140-only mode, what the module does not have is refused before anything else is looked at.
func TestOutsideFIPSModule(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("GODEBUG=fips140=only is not set")
	}
	for _, family := range [][]*Spec{sm2Specs, mldsaSpecs, mlkemSpecs} {
		for _, s := range family {
			want := error(ErrFIPS)
			if inFIPSModule(s) {
				want = nil
			}
			if m, err := s.NewMaterial(); err != want || (m == nil) != (want != nil) {
				t.Errorf("%s: new material %v", s.Name, err)
			}
			size := 32
			if len(s.EncapsulationAlgorithms) > 0 {
				size = 64
			}
			if _, err := s.Open(make([]byte, size)); err != want {
				t.Errorf("%s: open %v", s.Name, err)
			}
			if s.Import != nil {
				if _, err := s.Import(nil); err != want {
					t.Errorf("%s: import %v", s.Name, err)
				}
			}
		}
	}
}

// TestCurveAndLatticeKeys: what all these keys have in common. They print nothing of themselves, give away copies only, come out as they
// went in, and refuse algorithms that are not theirs.
func TestCurveAndLatticeKeys(t *testing.T) {
	for _, family := range [][]*Spec{sm2Specs, mldsaSpecs, mlkemSpecs} {
		for _, s := range family {
			if SpecByName(s.Name) != s || !s.Asymmetric() {
				t.Errorf("%s is not in the table, or not asymmetric", s.Name)
			}
			if !inFIPSModule(s) && fips140.Enforced() {
				continue
			}
			material, err := s.NewMaterial()
			if err != nil {
				t.Fatal(err)
			}
			opened, err := s.Open(material)
			if err != nil {
				t.Fatal(err)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
				if got := fmt.Sprintf(verb, opened); got != "[key]" {
					t.Errorf("%s: %s prints %d bytes", s.Name, verb, len(got))
				}
			}
			key := opened.(PrivateKey)
			key.PublicKey()[0] = 0
			if key.PublicKey()[0] != 0x30 {
				t.Errorf("%s: the public key can be written to", s.Name)
			}
			pkcs8, err := key.PKCS8()
			if err != nil || !bytes.HasSuffix(pkcs8, material) {
				t.Errorf("%s: PKCS #8 without the material, %v", s.Name, err)
			}
			clear(pkcs8)
			if again, err := key.PKCS8(); err != nil || !bytes.HasSuffix(again, material) {
				t.Errorf("%s: PKCS #8 can be written to, %v", s.Name, err)
			}
			for _, usage := range s.Usages {
				var errs []error
				switch usage {
				case EncryptDecrypt:
					_, err1 := opened.(Decrypter).Encrypt("RSAES_OAEP_SHA_256", []byte("x"))
					_, err2 := opened.(Decrypter).Decrypt("", []byte("x"))
					errs = []error{err1, err2}
					if n := opened.(Decrypter).MaxPlaintext(s.EncryptionAlgorithms[0]); n != sm2MaxPlaintext {
						t.Errorf("%s: at most %d bytes", s.Name, n)
					}
				case SignVerify:
					_, err := opened.(Signer).Sign("ECDSA_SHA_256", Raw, nil)
					errs = []error{err, opened.(Signer).Verify("", Raw, nil, nil)}
				case KeyAgreement:
					_, err := opened.(Agreer).SharedSecret("", nil)
					errs = []error{err}
				case Encapsulate:
					_, _, err1 := opened.(Encapsulator).Encapsulate("")
					_, err2 := opened.(Encapsulator).Decapsulate("", nil)
					errs = []error{err1, err2}
				default:
					t.Errorf("%s: usage %s", s.Name, usage)
				}
				for _, err := range errs {
					if !errors.Is(err, errAlgorithm) {
						t.Errorf("%s, %s: %v", s.Name, usage, err)
					}
				}
			}
		}
	}
}
