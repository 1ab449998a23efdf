package keywrap

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
)

// kekSize is the length in bytes of the AES key inside RSA AES key wrap. PKCS #11 allows any AES key, AWS KMS asks for 256 bits.
const kekSize = 32

// Unwrap returns the key material from what was wrapped under k's public key, at least one byte. The error is ErrAlgorithm,
// ErrNotApproved, ErrIncompatible (k is not a key for the algorithm), or ErrUnwrap, whatever is wrong with the wrapped bytes.
func (k *Key) Unwrap(algorithm string, wrapped []byte) ([]byte, error) {
	a, err := usable(algorithm)
	if err != nil {
		return nil, err
	}
	if (a.hash == 0) != (k.sm2 != nil) {
		return nil, fmt.Errorf("%w: %s with a wrapping key %s", ErrIncompatible, algorithm, k.spec)
	}
	if len(wrapped) > MaxWrapped {
		return nil, ErrUnwrap
	}
	var material []byte
	switch {
	case k.sm2 != nil:
		material, err = k.unwrapSM2(wrapped)
	case a.aes:
		material, err = k.unwrapAES(a.hash, wrapped)
	default:
		material, err = k.unwrapOAEP(a.hash, wrapped)
	}
	if err != nil || len(material) == 0 {
		return nil, ErrUnwrap
	}
	return material, nil
}

func (k *Key) unwrapOAEP(hash crypto.Hash, wrapped []byte) ([]byte, error) {
	if len(wrapped) != k.rsa.Size() { // RFC 8017, section 7.1.2, step 1b: neither longer nor shorter
		return nil, ErrUnwrap
	}
	return rsa.DecryptOAEP(hash.New(), nil, k.rsa, wrapped, nil)
}

// unwrapAES does as much work on a wrapped AES key that does not decrypt as on one that does, so that the time taken does not
// tell which of the two halves is wrong.
func (k *Key) unwrapAES(hash crypto.Hash, wrapped []byte) ([]byte, error) {
	size := k.rsa.Size()
	if len(wrapped) < size {
		return nil, ErrUnwrap
	}
	kek, err := k.unwrapOAEP(hash, wrapped[:size])
	ok := err == nil && len(kek) == kekSize
	if !ok {
		kek = make([]byte, kekSize)
		rand.Read(kek)
	}
	material, err := kwpUnwrap(kek, wrapped[size:])
	clear(kek)
	if !ok || err != nil {
		return nil, ErrUnwrap
	}
	return material, nil
}

func (k *Key) unwrapSM2(wrapped []byte) ([]byte, error) {
	// The library also takes bare concatenations of the parts, of which there are two orders; AWS KMS takes ASN.1.
	if len(wrapped) == 0 || wrapped[0] != 0x30 {
		return nil, ErrUnwrap
	}
	return sm2.Decrypt(k.sm2, wrapped)
}
