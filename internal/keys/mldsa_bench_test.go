package keys

import "testing"

// The benchmarks of SM2, ML-DSA and ML-KEM: opening a key, and each thing done with it. Verifying by μ is done here, by message
// in the library: the two belong side by side.

func BenchmarkSM2AndLatticeOpen(b *testing.B) {
	for _, family := range [][]*Spec{sm2Specs, mldsaSpecs, mlkemSpecs} {
		for _, s := range family {
			b.Run(s.Name, func(b *testing.B) {
				material, _ := benchKey(b, s)
				for b.Loop() {
					if _, err := s.Open(material); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkSM2AndLatticeSign(b *testing.B) {
	benchSigners(b, func(b *testing.B, k Signer, algorithm string, t MessageType, message []byte) {
		for b.Loop() {
			if _, err := k.Sign(algorithm, t, message); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSM2AndLatticeVerify(b *testing.B) {
	benchSigners(b, func(b *testing.B, k Signer, algorithm string, t MessageType, message []byte) {
		signature, err := k.Sign(algorithm, t, message)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := k.Verify(algorithm, t, message, signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSM2(b *testing.B) {
	_, k := benchKey(b, sm2Specs[0])
	key := k.(*sm2Key)
	ciphertext, err := key.Encrypt(sm2Encryption, make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	peer := key.PublicKey()
	for name, run := range map[string]func() error{
		"Encrypt":      func() error { _, err := key.Encrypt(sm2Encryption, make([]byte, 32)); return err },
		"Decrypt":      func() error { _, err := key.Decrypt(sm2Encryption, ciphertext); return err },
		"SharedSecret": func() error { _, err := key.SharedSecret(sm2Agreement, peer); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMLKEM(b *testing.B) {
	for _, s := range mlkemSpecs {
		b.Run("Encapsulate/"+s.Name, func(b *testing.B) {
			_, k := benchKey(b, s)
			for b.Loop() {
				if _, _, err := k.(Encapsulator).Encapsulate(mlkemAlgorithm); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Decapsulate/"+s.Name, func(b *testing.B) {
			_, k := benchKey(b, s)
			_, ciphertext, err := k.(Encapsulator).Encapsulate(mlkemAlgorithm)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := k.(Encapsulator).Decapsulate(mlkemAlgorithm, ciphertext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchSigners(b *testing.B, run func(b *testing.B, k Signer, algorithm string, t MessageType, message []byte)) {
	for _, family := range [][]*Spec{sm2Specs, mldsaSpecs} {
		for _, s := range family {
			_, k := benchKey(b, s)
			b.Run(s.Name+"/RAW", func(b *testing.B) { run(b, k.(Signer), s.SigningAlgorithms[0], Raw, make([]byte, 1024)) })
			if s.Name != "SM2" {
				b.Run(s.Name+"/EXTERNAL_MU", func(b *testing.B) { run(b, k.(Signer), s.SigningAlgorithms[0], ExternalMu, make([]byte, 64)) })
			}
		}
	}
}

func benchKey(b *testing.B, s *Spec) (material []byte, key any) {
	b.Helper()
	if !inFIPSModule(s) {
		skipInFIPS(b)
	}
	material, err := s.NewMaterial()
	if err != nil {
		b.Fatal(err)
	}
	key, err = s.Open(material)
	if err != nil {
		b.Fatal(err)
	}
	return material, key
}
