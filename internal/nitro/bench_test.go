package nitro

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"testing"
)

// BenchmarkVerify has one P-384 verification as its yardstick: a document needs five, its own and one for each certificate but
// the root.
func BenchmarkVerify(b *testing.B) {
	v := testVerifier(b, testPKI())
	document := testDocument(b, testPKI(), testClaims(b))
	b.Run("document", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(document, testNow); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("yardstick", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		hash := sha512.Sum384(document)
		signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, hash[:], signature) {
				b.Fatal("not verified")
			}
		}
	})
}
