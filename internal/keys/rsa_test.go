package keys

import (
	"bytes"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
)

// testRSA has a private key of each size, from the vectors, for generating takes seconds.
var testRSA = map[int]func(testing.TB) *rsaKey{2048: testRSAKey(2048), 3072: testRSAKey(3072), 4096: testRSAKey(4096)}

func testRSAKey(bits int) func(testing.TB) *rsaKey {
	var once sync.Once
	var key *rsaKey
	return func(t testing.TB) *rsaKey {
		once.Do(func() {
			for _, g := range vectors[wycheproof](t, "wycheproof/rsa_oaep.json") {
				if g.KeySize == bits {
					key = importAndOpen(t, bits, g.PrivateKeyPKCS8)
				}
			}
		})
		if key == nil {
			t.Fatal("no key")
		}
		return key
	}
}

func importAndOpen(t testing.TB, bits int, der []byte) *rsaKey {
	t.Helper()
	stored, err := importRSA(bits, der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := openRSA(bits, stored)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRSADecryptVectors(t *testing.T) {
	for _, g := range vectors[wycheproof](t, "wycheproof/rsa_oaep.json") {
		t.Run(g.Source, func(t *testing.T) {
			if g.Algorithm == "RSAES_OAEP_SHA_1" && fips140.Enforced() {
				t.Skip("SHA-1 is not allowed in FIPS 140-only mode")
			}
			key := importAndOpen(t, g.KeySize, g.PrivateKeyPKCS8)
			for _, v := range g.Tests {
				got, err := key.Decrypt(g.Algorithm, v.CT)
				if v.Result == "valid" {
					if err != nil || !bytes.Equal(got, v.Msg) {
						t.Errorf("%d %s: %v", v.ID, v.Comment, err)
					}
				} else if !errors.Is(err, ErrCiphertext) || got != nil {
					t.Errorf("%d %s: decrypted, %v", v.ID, v.Comment, err)
				}
			}
		})
	}
}

func TestRSAVerifyVectors(t *testing.T) {
	for _, file := range []string{"rsa_pss", "rsa_pkcs1"} {
		for _, g := range vectors[wycheproof](t, "wycheproof/"+file+".json") {
			t.Run(g.Source, func(t *testing.T) {
				parsed, err := x509.ParsePKIXPublicKey(g.PublicKey)
				if err != nil {
					t.Fatal(err)
				}
				if parsed.(*rsa.PublicKey).E != rsaExponent && fips140.Enforced() {
					t.Skip("an exponent that FIPS 186-5 does not allow")
				}
				key, err := newRSAPublic(parsed.(*rsa.PublicKey))
				if err != nil {
					t.Fatal(err)
				}
				digest := func(b []byte) []byte { d := sha256.Sum256(b); return d[:] }
				switch rsaSchemes[g.Algorithm].hash.Size() {
				case sha512.Size384:
					digest = func(b []byte) []byte { d := sha512.Sum384(b); return d[:] }
				case sha512.Size:
					digest = func(b []byte) []byte { d := sha512.Sum512(b); return d[:] }
				}
				for _, v := range g.Tests {
					raw := key.Verify(g.Algorithm, Raw, v.Msg, v.Sig)
					hashed := key.Verify(g.Algorithm, Digest, digest(v.Msg), v.Sig)
					var want error
					if v.Result != "valid" { // "acceptable" leaves the NULL of PKCS #1's DigestInfo out
						want = ErrSignature
					}
					if raw != want || hashed != want {
						t.Errorf("%d %s: %v, by digest %v; want %v", v.ID, v.Comment, raw, hashed, want)
					}
				}
			})
		}
	}
}

func TestRSAEncrypt(t *testing.T) {
	// AWS KMS's key spec reference prints these lengths.
	limits := map[int]map[string]int{
		2048: {"RSAES_OAEP_SHA_1": 214, "RSAES_OAEP_SHA_256": 190},
		3072: {"RSAES_OAEP_SHA_1": 342, "RSAES_OAEP_SHA_256": 318},
		4096: {"RSAES_OAEP_SHA_1": 470, "RSAES_OAEP_SHA_256": 446},
	}
	for bits, algorithms := range limits {
		key := testRSA[bits](t)
		for algorithm, limit := range algorithms {
			if got := key.MaxPlaintext(algorithm); got != limit {
				t.Errorf("%d %s takes %d bytes, want %d", bits, algorithm, got, limit)
			}
			if algorithm == "RSAES_OAEP_SHA_1" && fips140.Enforced() {
				if _, err := key.Encrypt(algorithm, []byte("x")); err != ErrFIPS {
					t.Errorf("encrypts with SHA-1 in FIPS 140-only mode: %v", err)
				}
				if _, err := key.Decrypt(algorithm, make([]byte, bits/8)); err != ErrFIPS {
					t.Errorf("decrypts with SHA-1 in FIPS 140-only mode: %v", err)
				}
				continue
			}
			for _, n := range []int{0, 1, limit} {
				plaintext := bytes.Repeat([]byte{7}, n)
				blob, err := key.Encrypt(algorithm, plaintext)
				if err != nil || len(blob) != bits/8 {
					t.Fatalf("%d %s: %d bytes: %v", bits, algorithm, n, err)
				}
				if got, err := key.Decrypt(algorithm, blob); err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("%d %s: %d bytes do not come back: %v", bits, algorithm, n, err)
				}
				for name, bad := range map[string][]byte{"short": blob[1:], "long": append([]byte{0}, blob...), "none": nil, "altered": append([]byte{blob[0] ^ 1}, blob[1:]...)} {
					if _, err := key.Decrypt(algorithm, bad); err != ErrCiphertext {
						t.Errorf("%d %s: %s ciphertext: %v", bits, algorithm, name, err)
					}
				}
			}
			if _, err := key.Encrypt(algorithm, make([]byte, limit+1)); err != ErrPlaintextLength {
				t.Errorf("%d %s: one byte too many: %v", bits, algorithm, err)
			}
		}
		if key.MaxPlaintext("SYMMETRIC_DEFAULT") != 0 {
			t.Error("a foreign algorithm takes plaintext")
		}
		if _, err := key.Encrypt("SYMMETRIC_DEFAULT", nil); err == nil {
			t.Error("encrypts with a foreign algorithm")
		}
		if _, err := key.Decrypt("SYMMETRIC_DEFAULT", make([]byte, bits/8)); err == nil {
			t.Error("decrypts with a foreign algorithm")
		}
	}
}

// checkSigner signs and verifies with every algorithm of a spec that hashes the message itself, and tries what must fail.
func checkSigner(t *testing.T, spec *Spec, key Signer, size map[string]int) {
	t.Helper()
	message := []byte("message")
	for _, algorithm := range spec.SigningAlgorithms {
		digest := map[int][]byte{}
		d256, d384, d512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
		digest[32], digest[48], digest[64] = d256[:], d384[:], d512[:]
		n := size[algorithm]
		for _, by := range []MessageType{Raw, Digest} {
			input := message
			if by == Digest {
				input = digest[n]
			}
			sig, err := key.Sign(algorithm, by, input)
			if err != nil {
				t.Fatalf("%s %s: %v", algorithm, by, err)
			}
			// What was signed as a message verifies by its digest, and the other way around.
			for name, err := range map[string]error{"raw": key.Verify(algorithm, Raw, message, sig), "digest": key.Verify(algorithm, Digest, digest[n], sig)} {
				if err != nil {
					t.Errorf("%s, signed as %s, verified as %s: %v", algorithm, by, name, err)
				}
			}
			for i := range sig {
				bad := bytes.Clone(sig)
				bad[i] ^= 1
				if err := key.Verify(algorithm, Raw, message, bad); err != ErrSignature {
					t.Fatalf("%s: byte %d altered: %v", algorithm, i, err)
				}
				if len(sig) > 100 && i > 8 {
					break
				}
			}
			for name, bad := range map[string][]byte{"none": nil, "cut": sig[:len(sig)-1], "longer": append(bytes.Clone(sig), 0), "zeros": make([]byte, len(sig))} {
				if err := key.Verify(algorithm, Raw, message, bad); err != ErrSignature {
					t.Errorf("%s: signature %s: %v", algorithm, name, err)
				}
			}
			if err := key.Verify(algorithm, Raw, []byte("massage"), sig); err != ErrSignature {
				t.Errorf("%s: another message: %v", algorithm, err)
			}
			for _, other := range spec.SigningAlgorithms {
				if other != algorithm && key.Verify(other, Raw, message, sig) != ErrSignature {
					t.Errorf("a signature by %s verifies by %s", algorithm, other)
				}
			}
		}
		for _, length := range []int{0, 1, n - 1, n + 1} {
			if _, err := key.Sign(algorithm, Digest, make([]byte, length)); err != ErrDigestLength {
				t.Errorf("%s: digest of %d bytes: %v", algorithm, length, err)
			}
			if err := key.Verify(algorithm, Digest, make([]byte, length), nil); err != ErrDigestLength {
				t.Errorf("%s: digest of %d bytes verified: %v", algorithm, length, err)
			}
		}
		for _, by := range []MessageType{ExternalMu, "", "raw"} {
			if _, err := key.Sign(algorithm, by, make([]byte, 64)); err != ErrMessageType {
				t.Errorf("%s: signs %q: %v", algorithm, by, err)
			}
			if err := key.Verify(algorithm, by, make([]byte, 64), nil); err != ErrMessageType {
				t.Errorf("%s: verifies %q: %v", algorithm, by, err)
			}
		}
	}
	for _, algorithm := range []string{"", "SM2DSA", "ecdsa_sha_256"} {
		if _, err := key.Sign(algorithm, Raw, message); err == nil {
			t.Errorf("signs with %q", algorithm)
		}
		if err := key.Verify(algorithm, Raw, message, nil); err == nil {
			t.Errorf("verifies with %q", algorithm)
		}
	}
}

func TestRSASign(t *testing.T) {
	size := map[string]int{}
	for name, scheme := range rsaSchemes {
		size[name] = scheme.hash.Size()
	}
	for _, bits := range []int{2048, 3072, 4096} {
		checkSigner(t, rsaSpecs[0], testRSA[bits](t), size)
	}
}
