package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/fips140"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// hexBytes is hexadecimal in a JSON file of vectors.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	*b = raw
	return err
}

// vectors reads a file under testdata.
func vectors[T any](t testing.TB, file string) []T {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var v []T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(v) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return v
}

// wycheproof is a group of vectors; which fields it has depends on the file.
type wycheproof struct {
	Source          string   `json:"source"`
	Algorithm       string   `json:"algorithm"`
	Spec            string   `json:"spec"`
	KeySize         int      `json:"keySize"`
	PublicKey       hexBytes `json:"publicKey"`
	PrivateKeyPKCS8 hexBytes `json:"privateKeyPkcs8"`
	Tests           []struct {
		ID      int      `json:"tcId"`
		Comment string   `json:"comment"`
		Msg     hexBytes `json:"msg"`
		Sig     hexBytes `json:"sig"`
		CT      hexBytes `json:"ct"`
		Key     hexBytes `json:"key"`
		Tag     hexBytes `json:"tag"`
		Public  hexBytes `json:"public"`
		Private hexBytes `json:"private"`
		Shared  hexBytes `json:"shared"`
		Result  string   `json:"result"`
	} `json:"tests"`
}

// opensslKey is a key that OpenSSL 3.0.19 made (genpkey) and wrote (pkcs8 -topk8, after ec -conv_form, -no_public or -param_enc for
// the kinds so called). On curves, "canonical" is also the form in which keyturn stores it.
type opensslKey struct {
	Spec      string   `json:"spec"`
	Kind      string   `json:"kind"`
	OK        bool     `json:"ok"`
	PKCS8     hexBytes `json:"pkcs8"`
	PublicKey hexBytes `json:"publicKey"`
}

// skipOutsideFIPS skips what FIPS 140-only mode forbids.
func skipOutsideFIPS(t testing.TB, spec string) {
	t.Helper()
	if spec == "ECC_SECG_P256K1" && fips140.Enforced() {
		t.Skip("secp256k1 is not in the FIPS 140-3 module")
	}
}

func TestImportFromOpenSSL(t *testing.T) {
	canonical := map[string][]byte{}
	for _, v := range vectors[opensslKey](t, "openssl_keys.json") {
		t.Run(v.Spec+" "+v.Kind, func(t *testing.T) {
			skipOutsideFIPS(t, v.Spec)
			spec := SpecByName(v.Spec)
			stored, err := spec.Import(v.PKCS8)
			if !v.OK {
				if !errors.Is(err, ErrMaterial) || stored != nil {
					t.Fatalf("imported: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.Kind == "canonical" {
				canonical[v.Spec] = stored
				if v.Spec != "RSA_2048" && !bytes.Equal(stored, v.PKCS8) {
					t.Error("the stored form is not what OpenSSL writes")
				}
			}
			if !bytes.Equal(stored, canonical[v.Spec]) {
				t.Error("one key has two stored forms")
			}
			key, err := spec.Open(stored)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(key.(PublicKey).PublicKey(), v.PublicKey) {
				t.Error("another public key than OpenSSL's")
			}
			for _, other := range specs {
				if other.Import == nil || other == spec || strings.HasPrefix(other.Name, "HMAC") || other.Name == "SYMMETRIC_DEFAULT" {
					continue
				}
				if _, err := other.Import(v.PKCS8); err == nil {
					t.Errorf("imported as %s", other.Name)
				}
			}
		})
	}
}

// Everything malformed is refused, by Import and Open alike, and what follows a key is not passed over.
func TestRefusesAlteredMaterial(t *testing.T) {
	for _, v := range vectors[opensslKey](t, "openssl_keys.json") {
		if v.Kind != "canonical" {
			continue
		}
		t.Run(v.Spec, func(t *testing.T) {
			skipOutsideFIPS(t, v.Spec)
			spec := SpecByName(v.Spec)
			stored, err := spec.Import(v.PKCS8)
			if err != nil {
				t.Fatal(err)
			}
			step := 1
			if v.Spec == "RSA_2048" {
				step = 37
			}
			for i := 0; i < len(stored); i += step {
				altered := bytes.Clone(stored)
				altered[i] ^= 0x10
				if _, err := spec.Open(altered); !errors.Is(err, ErrMaterial) {
					t.Fatalf("opens with byte %d altered: %v", i, err)
				}
				if again, err := spec.Import(altered); err == nil && bytes.Equal(again, stored) && i > 8 {
					t.Fatalf("imports as the same key with byte %d altered", i)
				}
			}
			for name, der := range map[string][]byte{
				"nothing": nil, "cut": stored[:len(stored)-1], "trailing": append(bytes.Clone(stored), 0), "long": make([]byte, maxPKCS8+1),
				"empty sequence": {0x30, 0},
			} {
				if _, err := spec.Import(der); !errors.Is(err, ErrMaterial) {
					t.Errorf("%s: imported: %v", name, err)
				}
				if _, err := spec.Open(der); !errors.Is(err, ErrMaterial) {
					t.Errorf("%s: opened: %v", name, err)
				}
			}
		})
	}
}

// The scalar 0 and the order are no private keys; leading zeros are left out or too many in files of some programs.
func TestImportScalars(t *testing.T) {
	orders := map[string][]byte{}
	for _, c := range nistCurves {
		orders[c.name] = c.curve.Params().N.Bytes()
	}
	orders["ECC_SECG_P256K1"] = unhexAll(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			skipOutsideFIPS(t, name)
			oid := curveOID(name)
			less := bytes.Clone(order)
			less[len(less)-1]--
			want := map[string]bool{
				"\x00": false, string(make([]byte, len(order))): false, string(order): false, string(less): true,
				"\x01": true, "\x00" + string(less): true, "\x01" + string(less): false, "": false,
			}
			for scalar, ok := range want {
				stored, err := SpecByName(name).Import(marshalEC(oid, []byte(scalar), nil))
				if ok != (err == nil) || err != nil && !errors.Is(err, ErrMaterial) {
					t.Errorf("scalar %x: %v", scalar, err)
				}
				if err == nil {
					if _, err := SpecByName(name).Open(stored); err != nil {
						t.Errorf("scalar %x is imported, but does not open: %v", scalar, err)
					}
				}
			}
			// A public key of another private one.
			stored, err := SpecByName(name).Import(marshalEC(oid, []byte{2}, nil))
			if err != nil {
				t.Fatal(err)
			}
			_, public, ok := parseEC(oid, len(order), stored)
			if !ok {
				t.Fatal("the stored form does not parse")
			}
			if _, err := SpecByName(name).Import(marshalEC(oid, []byte{3}, public)); !errors.Is(err, ErrMaterial) {
				t.Errorf("imported with a foreign public key: %v", err)
			}
		})
	}
}

func curveOID(spec string) asn1.ObjectIdentifier {
	for _, c := range nistCurves {
		if c.name == spec {
			return c.oid
		}
	}
	return oidSecp256k1
}

// What is written for NIST curves is what the standard library writes.
func TestMarshalLikeX509(t *testing.T) {
	for _, c := range nistCurves {
		material, err := c.newMaterial()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(material)
		if err != nil {
			t.Fatal(err)
		}
		priv := parsed.(*ecdsa.PrivateKey)
		again, err1 := x509.MarshalPKCS8PrivateKey(priv)
		public, err2 := x509.MarshalPKIXPublicKey(&priv.PublicKey)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		key, err := c.open(material)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, material) || !bytes.Equal(public, key.PublicKey()) {
			t.Errorf("%s: not what crypto/x509 writes", c.name)
		}
	}
}

// Fresh keys of every asymmetric spec in these files: they open, come out as they are stored, import as themselves, and print
// nothing of themselves. OpenSSL, where there is one, checks them and finds the same public key.
func TestNewMaterial(t *testing.T) {
	openssl, _ := exec.LookPath("openssl")
	for _, family := range [][]*Spec{rsaSpecs[:1], eccSpecs, secp256k1Specs, ed25519Specs} {
		for _, spec := range family {
			t.Run(spec.Name, func(t *testing.T) {
				skipOutsideFIPS(t, spec.Name)
				material, err := spec.NewMaterial()
				if err != nil {
					t.Fatal(err)
				}
				opened, err := spec.Open(material)
				if err != nil {
					t.Fatal(err)
				}
				key := opened.(PrivateKey)
				if der, err := key.PKCS8(); err != nil || !bytes.Equal(der, material) {
					t.Errorf("the key comes out in another form: %v", err)
				}
				if spec.Import != nil {
					if stored, err := spec.Import(material); err != nil || !bytes.Equal(stored, material) {
						t.Errorf("a key of keyturn's own comes in in another form: %v", err)
					}
				}
				key.PublicKey()[0] = 0
				if key.PublicKey()[0] != 0x30 {
					t.Error("the public key can be written to")
				}
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
					if got := fmt.Sprintf(verb, key); got != "[key]" {
						t.Errorf("%s prints %d bytes", verb, len(got))
					}
				}
				if openssl == "" {
					t.Skip("no openssl to compare with")
				}
				cmd := exec.Command(openssl, "pkey", "-inform", "DER", "-check", "-pubout", "-outform", "DER")
				if spec.Name == "ECC_NIST_EDWARDS25519" { // OpenSSL 3.0 has no check of these
					cmd = exec.Command(openssl, "pkey", "-inform", "DER", "-pubout", "-outform", "DER")
				}
				cmd.Stdin = bytes.NewReader(material)
				out, err := cmd.Output()
				if err != nil || !bytes.HasSuffix(out, key.PublicKey()) {
					t.Errorf("openssl: %v", err)
				}
			})
		}
	}
}

func FuzzImportPKCS8(f *testing.F) {
	for _, v := range vectors[opensslKey](f, "openssl_keys.json") {
		f.Add([]byte(v.PKCS8))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, family := range [][]*Spec{rsaSpecs, eccSpecs, secp256k1Specs} {
			for _, spec := range family {
				stored, err := spec.Import(der)
				if err != nil {
					if stored != nil || !errors.Is(err, ErrMaterial) && !errors.Is(err, ErrFIPS) {
						t.Fatalf("%s: %v with %d bytes", spec.Name, err, len(stored))
					}
					continue
				}
				if _, err := spec.Open(stored); err != nil {
					t.Fatalf("%s: imported, but does not open: %v", spec.Name, err)
				}
				if again, err := spec.Import(stored); err != nil || !bytes.Equal(again, stored) {
					t.Fatalf("%s: the stored form is imported as another: %v", spec.Name, err)
				}
			}
		}
	})
}

func FuzzOpenPKCS8(f *testing.F) {
	for _, v := range vectors[opensslKey](f, "openssl_keys.json") {
		f.Add([]byte(v.PKCS8))
	}
	ed, err := ed25519Specs[0].NewMaterial()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ed)
	f.Fuzz(func(t *testing.T, material []byte) {
		for _, family := range [][]*Spec{rsaSpecs, eccSpecs, secp256k1Specs, ed25519Specs} {
			for _, spec := range family {
				opened, err := spec.Open(material)
				if err != nil {
					continue
				}
				if der, err := opened.(PrivateKey).PKCS8(); err != nil || !bytes.Equal(der, material) {
					t.Fatalf("%s: opens, but comes out in another form: %v", spec.Name, err)
				}
			}
		}
	})
}

func FuzzParseECPublic(f *testing.F) {
	for _, v := range vectors[opensslKey](f, "openssl_keys.json") {
		f.Add([]byte(v.PublicKey))
	}
	for _, g := range vectors[wycheproof](f, "wycheproof/ecdh.json") {
		for _, v := range g.Tests {
			f.Add([]byte(v.Public))
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, oid := range []asn1.ObjectIdentifier{nistCurves[0].oid, nistCurves[1].oid, nistCurves[2].oid, oidSecp256k1} {
			if point, ok := parseECPublic(oid, der); ok && !bytes.Equal(marshalECPublic(oid, point), der) {
				t.Fatal("what was parsed is written otherwise")
			}
		}
	})
}
