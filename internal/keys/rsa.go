package keys

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

// rsaExponent is the public exponent of every RSA key: F4, which FIPS 186-5 allows and everything takes.
const rsaExponent = 65537

// ErrFIPS: the program runs in FIPS 140-only mode (GODEBUG=fips140=only), which has no such algorithm.
var ErrFIPS = errors.New("keys: the algorithm is not allowed in FIPS 140-only mode")

// errAlgorithm: a caller's error, see [Spec].
var errAlgorithm = errors.New("keys: the key's spec does not list this algorithm")

// rsaSpecs are RSA_2048, RSA_3072 and RSA_4096. They open to an *rsaKey. Algorithms stand in the order of AWS's DescribeKey.
var rsaSpecs = []*Spec{rsaSpec(2048), rsaSpec(3072), rsaSpec(4096)}

func rsaSpec(bits int) *Spec {
	return &Spec{
		Name:                 "RSA_" + strconv.Itoa(bits),
		Usages:               []string{EncryptDecrypt, SignVerify},
		EncryptionAlgorithms: []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"},
		SigningAlgorithms: []string{
			"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
			"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
		},
		NewMaterial: func() ([]byte, error) { return newRSA(bits) },
		Import:      takingBER(func(plaintext []byte) ([]byte, error) { return importRSA(bits, plaintext) }),
		Open:        func(material []byte) (any, error) { return openRSA(bits, material) },
		Weight:      4 * bits,
	}
}

func newRSA(bits int) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("keys: generating an RSA key: %w", err)
	}
	return marshalRSA(key)
}

// importRSA takes PKCS #8 in DER. The key has two primes (FIPS 186-5, A.1.1: of the same length) and the exponent 65537.
func importRSA(bits int, plaintext []byte) ([]byte, error) {
	key, err := parseRSA(bits, plaintext)
	if err != nil {
		return nil, err
	}
	// Zero rounds leave the Baillie-PSW test. Who passes a composite number off as prime weakens a key of their own.
	if !key.Primes[0].ProbablyPrime(0) || !key.Primes[1].ProbablyPrime(0) {
		return nil, ErrMaterial
	}
	return marshalRSA(key)
}

// parseRSA reads and checks a private key: that all its numbers belong together, and the modulus is of the spec's length.
func parseRSA(bits int, der []byte) (*rsa.PrivateKey, error) {
	algorithm, inner, ok := parsePKCS8(der)
	if !ok || !algorithm.Algorithm.Equal(oidRSA) {
		return nil, ErrMaterial
	}
	// This validates. What is wrong is not told: the text might say something of the numbers.
	key, err := x509.ParsePKCS1PrivateKey(inner)
	if err != nil || key.N.BitLen() != bits || key.E != rsaExponent || len(key.Primes) != 2 {
		return nil, ErrMaterial
	}
	if key.Primes[0].BitLen() != bits/2 || key.Primes[1].BitLen() != bits/2 {
		return nil, ErrMaterial
	}
	return key, nil
}

// marshalRSA encodes the one form in which a key is stored: PKCS #8, the larger prime first, and of the many private exponents
// that fit the smallest, modulo lcm(p-1, q-1) (FIPS 186-5, A.1.1). Programs differ in both, and a material's ID must not.
func marshalRSA(key *rsa.PrivateKey) ([]byte, error) {
	p, q := key.Primes[0], key.Primes[1]
	if p.Cmp(q) < 0 {
		p, q = q, p
	}
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	lambda := new(big.Int).Mul(p1, q1)
	lambda.Div(lambda, new(big.Int).GCD(nil, nil, p1, q1))
	d := new(big.Int).ModInverse(big.NewInt(int64(key.E)), lambda)
	if d == nil {
		return nil, ErrMaterial
	}
	canonical := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: key.N, E: key.E}, D: d, Primes: []*big.Int{p, q}}
	canonical.Precompute()
	if err := canonical.Validate(); err != nil {
		return nil, ErrMaterial
	}
	der, err := x509.MarshalPKCS8PrivateKey(canonical)
	if err != nil {
		return nil, fmt.Errorf("keys: encoding an RSA key: %w", err)
	}
	return der, nil
}

func openRSA(bits int, material []byte) (*rsaKey, error) {
	key, err := parseRSA(bits, material)
	if err != nil {
		return nil, err
	}
	k := &rsaKey{priv: key}
	if again, err := k.PKCS8(); err != nil || !equalSecret(again, material) {
		return nil, ErrMaterial
	}
	if k.rsaPublic, err = newRSAPublic(&key.PublicKey); err != nil {
		return nil, err
	}
	return k, nil
}
