package keywrap

import (
	"crypto"
	"crypto/fips140"
	_ "crypto/sha1"   // for crypto.SHA1.New
	_ "crypto/sha256" // for crypto.SHA256.New
	"fmt"
	"slices"
)

// Wrapping algorithms, by the API's names (AlgorithmSpec). RSAES_PKCS1_V1_5 is not among them: AWS KMS stopped taking it on
// 10 October 2023.
const (
	OAEPSHA1      = "RSAES_OAEP_SHA_1"
	OAEPSHA256    = "RSAES_OAEP_SHA_256"
	AESWrapSHA1   = "RSA_AES_KEY_WRAP_SHA_1"
	AESWrapSHA256 = "RSA_AES_KEY_WRAP_SHA_256"
	SM2PKE        = "SM2PKE"
)

// family is a kind of key material, of which the wrapping algorithms make a difference.
type family int

const (
	symmetric family = iota + 1 // SYMMETRIC_DEFAULT and HMAC: the bare key
	rsaKey                      // PKCS #8 of more bytes than RSAES-OAEP can take
	eccKey
	sm2Key
	latticeKey // ML-DSA and ML-KEM: PKCS #8 of a seed
)

// families has the family of every key spec of the API.
var families = map[string]family{
	"SYMMETRIC_DEFAULT": symmetric,
	"HMAC_224":          symmetric, "HMAC_256": symmetric, "HMAC_384": symmetric, "HMAC_512": symmetric,
	"RSA_2048": rsaKey, "RSA_3072": rsaKey, "RSA_4096": rsaKey,
	"ECC_NIST_P256": eccKey, "ECC_NIST_P384": eccKey, "ECC_NIST_P521": eccKey,
	"ECC_SECG_P256K1": eccKey, "ECC_NIST_EDWARDS25519": eccKey,
	"SM2":       sm2Key,
	"ML_DSA_44": latticeKey, "ML_DSA_65": latticeKey, "ML_DSA_87": latticeKey,
	"ML_KEM_512": latticeKey, "ML_KEM_768": latticeKey, "ML_KEM_1024": latticeKey,
}

// algorithm is what a wrapping algorithm does.
type algorithm struct {
	hash     crypto.Hash // of RSAES-OAEP and its MGF1; 0 for SM2
	aes      bool        // RSAES-OAEP carries an AES key, which wraps the material
	families []family    // what it may wrap
}

// algorithms says what each may wrap in the words of GetParametersForImport's WrappingAlgorithm.
var algorithms = map[string]algorithm{
	OAEPSHA1:      {hash: crypto.SHA1, families: []family{symmetric, eccKey, sm2Key, latticeKey}}, // "except RSA key material"
	OAEPSHA256:    {hash: crypto.SHA256, families: []family{symmetric, eccKey, sm2Key, latticeKey}},
	AESWrapSHA1:   {hash: crypto.SHA1, aes: true, families: []family{rsaKey, eccKey}}, // "RSA and ECC key material"
	AESWrapSHA256: {hash: crypto.SHA256, aes: true, families: []family{rsaKey, eccKey}},
	SM2PKE:        {families: []family{rsaKey, eccKey, sm2Key}}, // "RSA, ECC, and SM2 key material"
}

// usable finds an algorithm that may be used in this process.
func usable(name string) (algorithm, error) {
	a, ok := algorithms[name]
	if !ok {
		return algorithm{}, fmt.Errorf("%w: %q", ErrAlgorithm, name)
	}
	if fips140.Enforced() && a.hash != crypto.SHA256 {
		return algorithm{}, fmt.Errorf("%w: %s", ErrNotApproved, name)
	}
	return a, nil
}

// Approved returns ErrNotApproved if FIPS 140-only mode forbids the algorithm, ErrAlgorithm if there is none of that name.
func Approved(algorithm string) error {
	_, err := usable(algorithm)
	return err
}

// Compatible tells whether AWS KMS lets key material for a key of keySpec be imported with this wrapping algorithm and a wrapping
// key of wrappingSpec (GetParametersForImport; Developer Guide, "Select a wrapping algorithm"). Whether a key of that spec can
// have imported material at all is not asked here, nor whether FIPS 140-only mode forbids the algorithm. The error is
// ErrAlgorithm, ErrSpec or ErrIncompatible.
func Compatible(algorithm, wrappingSpec, keySpec string) error {
	a, ok := algorithms[algorithm]
	if !ok {
		return fmt.Errorf("%w: %q", ErrAlgorithm, algorithm)
	}
	if _, ok := rsaBits[wrappingSpec]; !ok && wrappingSpec != specSM2 {
		return fmt.Errorf("%w: %q", ErrSpec, wrappingSpec)
	}
	material, ok := families[keySpec]
	if !ok {
		return fmt.Errorf("%w: %q", ErrSpec, keySpec)
	}
	if (a.hash == 0) != (wrappingSpec == specSM2) {
		return fmt.Errorf("%w: %s needs another kind of wrapping key than %s", ErrIncompatible, algorithm, wrappingSpec)
	}
	if !slices.Contains(a.families, material) {
		return fmt.Errorf("%w: %s cannot wrap %s key material", ErrIncompatible, algorithm, keySpec)
	}
	// A P-521 private key in PKCS #8 has 241 bytes; RSAES-OAEP under 2048 bits takes 214 (SHA-1) or 190 (SHA-256).
	if keySpec == "ECC_NIST_P521" && !a.aes && wrappingSpec == "RSA_2048" {
		return fmt.Errorf("%w: %s with %s cannot wrap %s key material", ErrIncompatible, algorithm, wrappingSpec, keySpec)
	}
	return nil
}
