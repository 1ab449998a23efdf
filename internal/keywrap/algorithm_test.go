package keywrap

import (
	"errors"
	"fmt"
	"testing"
)

// TestCompatible goes through every combination; what is not in the table is refused.
func TestCompatible(t *testing.T) {
	var (
		rsaWrapping = []string{"RSA_2048", "RSA_3072", "RSA_4096"}
		bare        = []string{"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"}
		rsaKeys     = []string{"RSA_2048", "RSA_3072", "RSA_4096"}
		smallECC    = []string{"ECC_NIST_P256", "ECC_NIST_P384", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"}
		lattice     = []string{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"}
	)
	allowed := map[string]bool{}
	allow := func(algorithms, wrapping []string, keySpecs ...[]string) {
		for _, a := range algorithms {
			for _, w := range wrapping {
				for _, specs := range keySpecs {
					for _, k := range specs {
						allowed[a+" "+w+" "+k] = true
					}
				}
			}
		}
	}
	oaep := []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
	allow(oaep, rsaWrapping, bare, smallECC, lattice, []string{"SM2"})
	allow(oaep, []string{"RSA_3072", "RSA_4096"}, []string{"ECC_NIST_P521"})
	allow([]string{"RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"}, rsaWrapping, rsaKeys, smallECC, []string{"ECC_NIST_P521"})
	allow([]string{"SM2PKE"}, []string{"SM2"}, rsaKeys, smallECC, []string{"ECC_NIST_P521", "SM2"})

	n := 0
	for a := range algorithms {
		for _, w := range append(rsaWrapping, "SM2") {
			for k := range families {
				n++
				err := Compatible(a, w, k)
				if want := allowed[fmt.Sprint(a, " ", w, " ", k)]; want != (err == nil) {
					t.Errorf("%s with %s for %s: %v; want success: %v", a, w, k, err, want)
				}
				if err != nil && !errors.Is(err, ErrIncompatible) {
					t.Errorf("%s with %s for %s: %v", a, w, k, err)
				}
			}
		}
	}
	if n != 5*4*20 {
		t.Errorf("%d combinations, want 400", n)
	}
}

func TestCompatibleNames(t *testing.T) {
	for _, c := range []struct {
		algorithm, wrapping, key string
		want                     error
	}{
		{"RSAES_PKCS1_V1_5", "RSA_2048", "SYMMETRIC_DEFAULT", ErrAlgorithm},
		{"", "RSA_2048", "SYMMETRIC_DEFAULT", ErrAlgorithm},
		{"rsaes_oaep_sha_256", "RSA_2048", "SYMMETRIC_DEFAULT", ErrAlgorithm},
		{"RSAES_OAEP_SHA_256", "RSA_1024", "SYMMETRIC_DEFAULT", ErrSpec},
		{"RSAES_OAEP_SHA_256", "ECC_NIST_P256", "SYMMETRIC_DEFAULT", ErrSpec},
		{"RSAES_OAEP_SHA_256", "RSA_2048", "AES_256", ErrSpec},
		{"SM2PKE", "SM2", "", ErrSpec},
	} {
		if err := Compatible(c.algorithm, c.wrapping, c.key); !errors.Is(err, c.want) {
			t.Errorf("%q, %q, %q: %v, want %v", c.algorithm, c.wrapping, c.key, err, c.want)
		}
	}
}
