package keys

import (
	"errors"
	"maps"
	"slices"
)

// Spec is a key spec: what kind of material a key has and what can be done with it. The names are the API's.
type Spec struct {
	Name string
	// Usages are what CreateKey's KeyUsage may be. Only SYMMETRIC_DEFAULT has a default; see DefaultUsage.
	Usages []string

	EncryptionAlgorithms    []string
	SigningAlgorithms       []string
	MACAlgorithms           []string
	KeyAgreementAlgorithms  []string
	EncapsulationAlgorithms []string

	// Rotates tells whether keys of this spec with material made by the service can rotate automatically and on demand.
	Rotates bool
	// NewMaterial draws fresh key material in its stored form: raw bytes for symmetric and HMAC keys, PKCS #8 (DER) for RSA and
	// elliptic curves, the seed for ML-DSA and ML-KEM.
	NewMaterial func() ([]byte, error)
	// Import checks imported material, as it comes unwrapped, and returns its stored form, which is the same for the same key
	// however it was encoded. The error is ErrMaterial. Nil: keys of this spec cannot have imported material.
	Import func(plaintext []byte) ([]byte, error)
	// Open prepares stored material for use. What the result implements of the interfaces below says what it can do. It is safe
	// for concurrent use.
	Open func(material []byte) (any, error)
	// Weight is about how many bytes an opened material takes in memory, beyond 1 KiB: what a cache must count.
	Weight int
}

// Asymmetric tells whether keys of this spec have a public half.
func (s *Spec) Asymmetric() bool { return !s.Rotates && len(s.MACAlgorithms) == 0 }

// MessageType says what Sign and Verify are given; the values are the API's.
type MessageType string

const (
	Raw        MessageType = "RAW"         // the message itself
	Digest     MessageType = "DIGEST"      // its digest, of the algorithm's hash
	ExternalMu MessageType = "EXTERNAL_MU" // ML-DSA's 64-byte representative (FIPS 204, section 6.2)
)

// What a Key method answers to bad input. Algorithms that the spec does not list are a programming error.
var (
	// ErrSignature: the signature is not one of this message by this key.
	ErrSignature = errors.New("keys: invalid signature")
	// ErrMAC: the MAC is not one of this message by this key.
	ErrMAC = errors.New("keys: invalid MAC")
	// ErrDigestLength: a digest or representative does not have the algorithm's length.
	ErrDigestLength = errors.New("keys: digest has the wrong length for the algorithm")
	// ErrMessageType: the algorithm does not take messages of this type.
	ErrMessageType = errors.New("keys: message type is not valid for the algorithm")
	// ErrPlaintextLength: the plaintext is longer than the algorithm can encrypt.
	ErrPlaintextLength = errors.New("keys: plaintext is too long for the algorithm")
	// ErrPeer: a peer's public key is malformed, or not on this key's curve.
	ErrPeer = errors.New("keys: invalid public key")
	// ErrMaterial: imported material is malformed, or not of the key's spec.
	ErrMaterial = errors.New("keys: invalid key material")
)

// PublicKey is an asymmetric key.
type PublicKey interface {
	// PublicKey returns the SubjectPublicKeyInfo (RFC 5280) in DER.
	PublicKey() []byte
}

// PrivateKey is an asymmetric key that GenerateDataKeyPair can give away.
type PrivateKey interface {
	PublicKey
	// PKCS8 returns the PrivateKeyInfo (RFC 5208, RFC 5958) in DER.
	PKCS8() ([]byte, error)
}

// Decrypter is an asymmetric key of usage ENCRYPT_DECRYPT.
type Decrypter interface {
	// MaxPlaintext is the longest plaintext that the algorithm takes, in bytes.
	MaxPlaintext(algorithm string) int
	// Encrypt fails with ErrPlaintextLength only, for input.
	Encrypt(algorithm string, plaintext []byte) ([]byte, error)
	// Decrypt fails with ErrCiphertext, whatever is wrong with the ciphertext.
	Decrypt(algorithm string, ciphertext []byte) ([]byte, error)
}

// Signer is a key of usage SIGN_VERIFY. Both methods may return ErrDigestLength and ErrMessageType.
type Signer interface {
	Sign(algorithm string, t MessageType, message []byte) ([]byte, error)
	// Verify fails with ErrSignature if everything else is right.
	Verify(algorithm string, t MessageType, message, signature []byte) error
}

// MACer is a key of usage GENERATE_VERIFY_MAC.
type MACer interface {
	MAC(algorithm string, message []byte) []byte
	// VerifyMAC compares in constant time; it fails with ErrMAC.
	VerifyMAC(algorithm string, message, mac []byte) error
}

// Agreer is a key of usage KEY_AGREEMENT.
type Agreer interface {
	// SharedSecret takes a peer's SubjectPublicKeyInfo; it fails with ErrPeer.
	SharedSecret(algorithm string, peer []byte) ([]byte, error)
}

// Encapsulator is a key of usage ENCAPSULATE_DECAPSULATE.
type Encapsulator interface {
	Encapsulate(algorithm string) (secret, ciphertext []byte, err error)
	// Decapsulate fails with ErrCiphertext if the ciphertext has the wrong length. Any other gives a secret (implicit rejection).
	Decapsulate(algorithm string, ciphertext []byte) ([]byte, error)
}

// Key usages, by the API's names.
const (
	EncryptDecrypt = "ENCRYPT_DECRYPT"
	SignVerify     = "SIGN_VERIFY"
	GenerateMAC    = "GENERATE_VERIFY_MAC"
	KeyAgreement   = "KEY_AGREEMENT"
	Encapsulate    = "ENCAPSULATE_DECAPSULATE"
)

// SpecByName returns the spec, or nil if there is none of that name.
func SpecByName(name string) *Spec { return specs[name] }

// SpecNames returns the names of all specs, sorted.
func SpecNames() []string { return slices.Sorted(maps.Keys(specs)) }

// specs has every spec by name; each family stands in a file of its own.
var specs = table(symmetricSpecs, rsaSpecs, eccSpecs, secp256k1Specs, ed25519Specs, hmacSpecs, sm2Specs, mldsaSpecs, mlkemSpecs)

func table(families ...[]*Spec) map[string]*Spec {
	t := make(map[string]*Spec)
	for _, family := range families {
		for _, s := range family {
			t[s.Name] = s
		}
	}
	return t
}
