package keywrap

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
)

const (
	// maxPublicKey bounds a public key in DER; one of RSA_4096 has 550 bytes.
	maxPublicKey = 1024
	// minSM2 is the shortest material that is wrapped with SM2, less than any key has. SM2 draws again when the keystream of the
	// message's length is all zeros, once in 256 times for one byte; the library (gmsm v0.44.1) then goes on with a wrong point,
	// and what it makes cannot be decrypted. With 16 bytes that does not happen.
	minSM2 = 16
)

// Wrap encrypts key material for ImportKeyMaterial under the public key that GetParametersForImport gave (a
// SubjectPublicKeyInfo in DER). The error is ErrAlgorithm, ErrNotApproved, ErrKey, ErrIncompatible or ErrMaterialLength.
func Wrap(algorithm string, publicKeyDER, material []byte) ([]byte, error) {
	a, err := usable(algorithm)
	if err != nil {
		return nil, err
	}
	if len(material) == 0 {
		return nil, ErrMaterialLength
	}
	public, err := parsePublic(publicKeyDER)
	if err != nil {
		return nil, err
	}
	var wrapped []byte
	switch public := public.(type) {
	case *rsa.PublicKey:
		if a.hash == 0 {
			return nil, fmt.Errorf("%w: %s with an RSA key", ErrIncompatible, algorithm)
		}
		wrapped, err = wrapRSA(a, public, material)
	case *ecdsa.PublicKey:
		if a.hash != 0 {
			return nil, fmt.Errorf("%w: %s with an SM2 key", ErrIncompatible, algorithm)
		}
		if len(material) < minSM2 {
			return nil, ErrMaterialLength
		}
		wrapped, err = sm2.EncryptASN1(rand.Reader, public, material)
	}
	if errors.Is(err, rsa.ErrMessageTooLong) || len(wrapped) > MaxWrapped {
		return nil, ErrMaterialLength
	}
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	return wrapped, nil
}

func wrapRSA(a algorithm, public *rsa.PublicKey, material []byte) ([]byte, error) {
	if !a.aes {
		return rsa.EncryptOAEP(a.hash.New(), rand.Reader, public, material, nil)
	}
	if len(material) > MaxWrapped {
		return nil, ErrMaterialLength
	}
	kek := make([]byte, kekSize)
	defer clear(kek)
	rand.Read(kek)
	wrapped, err := rsa.EncryptOAEP(a.hash.New(), rand.Reader, public, kek, nil)
	if err != nil {
		return nil, err
	}
	body, err := kwpWrap(kek, material)
	if err != nil {
		return nil, err
	}
	return append(wrapped, body...), nil
}

// parsePublic returns an *rsa.PublicKey, or an *ecdsa.PublicKey on the curve of SM2.
func parsePublic(der []byte) (any, error) {
	if len(der) > maxPublicKey {
		return nil, ErrKey
	}
	if public, err := parsePublicSM2(der); err == nil {
		return public, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, ErrKey
	}
	for _, bits := range rsaBits {
		if public.N.BitLen() == bits {
			return public, nil
		}
	}
	return nil, fmt.Errorf("%w: an RSA modulus of %d bits", ErrKey, public.N.BitLen())
}
