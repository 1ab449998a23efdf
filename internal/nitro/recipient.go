package nitro

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Sizes of the keys that are encrypted to, in bits, and their smallest public exponent (SP 800-56B, section 6.2): with an exponent
// of 1 the answer would be readable by all.
const (
	minExponent = 65537
)

// recipientKey returns the public key that answers are encrypted to, from a SubjectPublicKeyInfo in DER: what
// RSAES_OAEP_SHA_256, the only algorithm of RecipientInfo, can be used with.
func recipientKey(der []byte) (*rsa.PublicKey, error) {
	if der == nil {
		return nil, fmt.Errorf("%w: there is none", ErrPublicKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a SubjectPublicKeyInfo in DER", ErrPublicKey)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is not an RSA key", ErrPublicKey)
	}
	if bits := key.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
		return nil, fmt.Errorf("%w: it has %d bits, not 2048, 3072 or 4096", ErrPublicKey, bits)
	}
	if key.N.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: its modulus is even", ErrPublicKey)
	}
	if key.E < minExponent || key.E%2 == 0 {
		return nil, fmt.Errorf("%w: its exponent is even or below %d", ErrPublicKey, minExponent)
	}
	return key, nil
}
