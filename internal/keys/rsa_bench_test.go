package keys

import (
	"crypto/fips140"
	"testing"
)

// BenchmarkSpecs measures what a cache fill costs (Open), and each operation on an opened key.
func BenchmarkSpecs(b *testing.B) {
	message := make([]byte, 64)
	for _, family := range [][]*Spec{rsaSpecs, eccSpecs, secp256k1Specs, ed25519Specs, hmacSpecs} {
		for _, spec := range family {
			b.Run(spec.Name, func(b *testing.B) {
				if spec.Name == "ECC_SECG_P256K1" && fips140.Enforced() {
					b.Skip("secp256k1 is not in the FIPS 140-3 module")
				}
				material, err := benchMaterial(b, spec)
				if err != nil {
					b.Fatal(err)
				}
				key, err := spec.Open(material)
				if err != nil {
					b.Fatal(err)
				}
				run := func(name string, f func() error) {
					b.Run(name, func(b *testing.B) {
						for b.Loop() {
							if err := f(); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
				run("Open", func() error { _, err := spec.Open(material); return err })
				if k, ok := key.(Signer); ok {
					algorithm := spec.SigningAlgorithms[len(spec.SigningAlgorithms)-1]
					sig, err := k.Sign(algorithm, Raw, message)
					if err != nil {
						b.Fatal(err)
					}
					run("Sign", func() error { _, err := k.Sign(algorithm, Raw, message); return err })
					run("Verify", func() error { return k.Verify(algorithm, Raw, message, sig) })
				}
				if k, ok := key.(Decrypter); ok {
					blob, err := k.Encrypt("RSAES_OAEP_SHA_256", message)
					if err != nil {
						b.Fatal(err)
					}
					run("Encrypt", func() error { _, err := k.Encrypt("RSAES_OAEP_SHA_256", message); return err })
					run("Decrypt", func() error { _, err := k.Decrypt("RSAES_OAEP_SHA_256", blob); return err })
				}
				if k, ok := key.(Agreer); ok {
					peer := key.(PublicKey).PublicKey()
					run("SharedSecret", func() error { _, err := k.SharedSecret("ECDH", peer); return err })
				}
				if k, ok := key.(MACer); ok {
					mac := k.MAC(spec.MACAlgorithms[0], message)
					run("MAC", func() error { k.MAC(spec.MACAlgorithms[0], message); return nil })
					run("VerifyMAC", func() error { return k.VerifyMAC(spec.MACAlgorithms[0], message, mac) })
				}
			})
		}
	}
}

// benchMaterial takes RSA keys from the vectors.
func benchMaterial(b *testing.B, spec *Spec) ([]byte, error) {
	for i, bits := range []int{2048, 3072, 4096} {
		if spec == rsaSpecs[i] {
			return testRSA[bits](b).PKCS8()
		}
	}
	return spec.NewMaterial()
}
