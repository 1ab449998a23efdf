package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
)

const (
	edPure = "ED25519_SHA_512"    // Ed25519, RFC 8032, section 5.1
	edPH   = "ED25519_PH_SHA_512" // Ed25519ph, the same section, with an empty context
)

// ed25519Specs is ECC_NIST_EDWARDS25519. It opens to an *edKey. AWS KMS does not list it among the specs of imported material.
var ed25519Specs = []*Spec{{
	Name:              "ECC_NIST_EDWARDS25519",
	Usages:            []string{SignVerify},
	SigningAlgorithms: []string{edPH, edPure},
	NewMaterial: func() ([]byte, error) {
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("keys: generating an Ed25519 key: %w", err)
		}
		return x509.MarshalPKCS8PrivateKey(priv)
	},
	Open: func(material []byte) (any, error) { return openEd25519(material) },
}}

// edPublic is what can be done with the public key alone.
type edPublic struct {
	pub ed25519.PublicKey
	der []byte // SubjectPublicKeyInfo, RFC 8410
}

// edKey is an opened key.
type edKey struct {
	redacted
	edPublic
	priv ed25519.PrivateKey
}

var (
	_ PrivateKey = (*edKey)(nil)
	_ Signer     = (*edKey)(nil)
)

// openEd25519 reads PKCS #8 as of RFC 8410, without the public key: there the seed is everything.
func openEd25519(material []byte) (*edKey, error) {
	if len(material) > maxPKCS8 {
		return nil, ErrMaterial
	}
	parsed, err := x509.ParsePKCS8PrivateKey(material)
	if err != nil {
		return nil, ErrMaterial
	}
	priv, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, ErrMaterial
	}
	k := &edKey{priv: priv}
	if again, err := k.PKCS8(); err != nil || !equalSecret(again, material) {
		return nil, ErrMaterial
	}
	if k.edPublic, err = newEdPublic(priv.Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	return k, nil
}

func newEdPublic(pub ed25519.PublicKey) (edPublic, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return edPublic{}, fmt.Errorf("keys: encoding an Ed25519 public key: %w", err)
	}
	return edPublic{pub, der}, nil
}

// PublicKey implements [PublicKey].
func (k *edPublic) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey].
func (k *edKey) PKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.priv) }

// edOptions returns what the library wants for an algorithm. Each takes one type of message and no other (AWS KMS's key spec
// reference). DIGEST means that the caller has done Ed25519ph's hashing.
func edOptions(algorithm string, t MessageType, message []byte) (*ed25519.Options, error) {
	switch {
	case algorithm != edPure && algorithm != edPH:
		return nil, errAlgorithm
	case algorithm == edPure && t == Raw:
		return &ed25519.Options{}, nil
	case algorithm == edPH && t == Digest:
		if len(message) != sha512.Size {
			return nil, ErrDigestLength
		}
		return &ed25519.Options{Hash: crypto.SHA512}, nil
	}
	return nil, ErrMessageType
}

// Sign implements [Signer]. A signature has 64 bytes.
func (k *edKey) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	options, err := edOptions(algorithm, t, message)
	if err != nil {
		return nil, err
	}
	sig, err := k.priv.Sign(nil, message, options)
	if err != nil {
		return nil, fmt.Errorf("keys: Ed25519 signature: %w", err)
	}
	return sig, nil
}

// Verify implements [Signer].
func (k *edPublic) Verify(algorithm string, t MessageType, message, signature []byte) error {
	options, err := edOptions(algorithm, t, message)
	if err != nil {
		return err
	}
	if ed25519.VerifyWithOptions(k.pub, message, signature, options) != nil {
		return ErrSignature
	}
	return nil
}
