package keys

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"   // for crypto.SHA1, of RSAES_OAEP_SHA_1
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"fmt"
)

// rsaOAEP has the hash of each encryption algorithm. It serves OAEP and MGF1 alike, and the label is empty (AWS KMS's key spec
// reference; RFC 8017, section 7.1).
var rsaOAEP = map[string]crypto.Hash{
	"RSAES_OAEP_SHA_1":   crypto.SHA1,
	"RSAES_OAEP_SHA_256": crypto.SHA256,
}

// rsaScheme is a signing algorithm. The salt of PSS has the hash's length, in signing and in verifying (AWS KMS's key spec
// reference: "along with a 256-bit salt", and so on).
type rsaScheme struct {
	hash crypto.Hash
	pss  bool
}

var rsaSchemes = map[string]rsaScheme{
	"RSASSA_PSS_SHA_256":        {crypto.SHA256, true},
	"RSASSA_PSS_SHA_384":        {crypto.SHA384, true},
	"RSASSA_PSS_SHA_512":        {crypto.SHA512, true},
	"RSASSA_PKCS1_V1_5_SHA_256": {crypto.SHA256, false},
	"RSASSA_PKCS1_V1_5_SHA_384": {crypto.SHA384, false},
	"RSASSA_PKCS1_V1_5_SHA_512": {crypto.SHA512, false},
}

var pssOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

// rsaPublic is what can be done with the public key alone.
type rsaPublic struct {
	pub *rsa.PublicKey
	der []byte // SubjectPublicKeyInfo
}

// rsaKey is an opened key.
type rsaKey struct {
	redacted
	rsaPublic
	priv *rsa.PrivateKey
}

var (
	_ PrivateKey = (*rsaKey)(nil)
	_ Decrypter  = (*rsaKey)(nil)
	_ Signer     = (*rsaKey)(nil)
)

func newRSAPublic(pub *rsa.PublicKey) (rsaPublic, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return rsaPublic{}, fmt.Errorf("keys: encoding an RSA public key: %w", err)
	}
	return rsaPublic{pub, der}, nil
}

// PublicKey implements [PublicKey].
func (k *rsaPublic) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey].
func (k *rsaKey) PKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.priv) }

// oaepHash returns an algorithm's hash if it may be used.
func oaepHash(algorithm string) (crypto.Hash, error) {
	h, ok := rsaOAEP[algorithm]
	if !ok {
		return 0, errAlgorithm
	}
	if h == crypto.SHA1 && fips140.Enforced() {
		return 0, ErrFIPS // the hash itself would panic
	}
	return h, nil
}

// MaxPlaintext implements [Decrypter] (RFC 8017, section 7.1.1, step 1b).
func (k *rsaPublic) MaxPlaintext(algorithm string) int {
	h, ok := rsaOAEP[algorithm]
	if !ok {
		return 0
	}
	return k.pub.Size() - 2*h.Size() - 2
}

// Encrypt implements [Decrypter].
func (k *rsaPublic) Encrypt(algorithm string, plaintext []byte) ([]byte, error) {
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > k.MaxPlaintext(algorithm) {
		return nil, ErrPlaintextLength
	}
	out, err := rsa.EncryptOAEP(h.New(), rand.Reader, k.pub, plaintext, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: RSA encryption: %w", err)
	}
	return out, nil
}

// Decrypt implements [Decrypter].
func (k *rsaKey) Decrypt(algorithm string, ciphertext []byte) ([]byte, error) {
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) != k.pub.Size() { // RFC 8017, 7.1.2, step 1b; the library takes shorter ones
		return nil, ErrCiphertext
	}
	out, err := rsa.DecryptOAEP(h.New(), nil, k.priv, ciphertext, nil)
	if err != nil {
		return nil, ErrCiphertext
	}
	return out, nil
}

// Sign implements [Signer].
func (k *rsaKey) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	scheme, ok := rsaSchemes[algorithm]
	if !ok {
		return nil, errAlgorithm
	}
	digest, err := messageDigest(scheme.hash, t, message)
	if err != nil {
		return nil, err
	}
	var sig []byte
	if scheme.pss {
		sig, err = rsa.SignPSS(rand.Reader, k.priv, scheme.hash, digest, pssOptions)
	} else {
		sig, err = rsa.SignPKCS1v15(nil, k.priv, scheme.hash, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: RSA signature: %w", err)
	}
	return sig, nil
}

// Verify implements [Signer].
func (k *rsaPublic) Verify(algorithm string, t MessageType, message, signature []byte) error {
	scheme, ok := rsaSchemes[algorithm]
	if !ok {
		return errAlgorithm
	}
	digest, err := messageDigest(scheme.hash, t, message)
	if err != nil {
		return err
	}
	if scheme.pss {
		err = rsa.VerifyPSS(k.pub, scheme.hash, digest, signature, pssOptions)
	} else {
		err = rsa.VerifyPKCS1v15(k.pub, scheme.hash, digest, signature)
	}
	if err != nil {
		return ErrSignature
	}
	return nil
}

// messageDigest hashes a message, or takes it for the digest that it is said to be.
func messageDigest(h crypto.Hash, t MessageType, message []byte) ([]byte, error) {
	switch t {
	case Raw:
		d := h.New()
		d.Write(message)
		return d.Sum(nil), nil
	case Digest:
		if len(message) != h.Size() {
			return nil, ErrDigestLength
		}
		return message, nil
	}
	return nil, ErrMessageType
}
