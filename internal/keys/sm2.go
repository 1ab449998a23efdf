package keys

import (
	"crypto/fips140"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

const (
	sm2Encryption = "SM2PKE"
	sm2Signing    = "SM2DSA"
	sm2Agreement  = "ECDH"

	sm2Size = 32 // of the order and of a coordinate, in bytes

	// sm2MaxPlaintext is the longest plaintext Encrypt takes with SM2PKE, in bytes (AWS, API_Encrypt).
	sm2MaxPlaintext = 1024
	// sm2MaxCiphertext is the longest ciphertext that is looked at, in bytes: of the longest plaintext, with the headers of the
	// sequence and of C2 (4 each), two coordinates (35 each) and C3 (34). Others can encrypt more than Encrypt does.
	sm2MaxCiphertext = sm2MaxPlaintext + 4 + 4 + 2*35 + 34
	// sm2EncryptTries bounds how often Encrypt starts over; two in a row fail for a plaintext of one byte with probability 2^-16.
	sm2EncryptTries = 32
)

var oidSM2 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301} // sm2p256v1, GM/T 0006

// sm2Specs is SM2, the elliptic curve of GB/T 32918 (GM/T 0003) with its encryption, signature and key agreement. AWS has it in its
// China Regions only. It opens to a *sm2Key. FIPS has no such curve: in FIPS 140-only mode everything here gives ErrFIPS.
var sm2Specs = []*Spec{{
	Name:                   "SM2",
	Usages:                 []string{EncryptDecrypt, SignVerify, KeyAgreement},
	EncryptionAlgorithms:   []string{sm2Encryption},
	SigningAlgorithms:      []string{sm2Signing},
	KeyAgreementAlgorithms: []string{sm2Agreement},
	NewMaterial: func() ([]byte, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("keys: generating an SM2 key: %w", err)
		}
		return marshalSM2(k), nil
	},
	Import: takingBER(func(plaintext []byte) ([]byte, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		k, err := parseSM2(plaintext)
		if err != nil {
			return nil, err
		}
		return marshalSM2(k), nil
	}),
	Weight: 1 << 10,
	Open: func(material []byte) (any, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		return openSM2(material)
	},
}}

// sm2Key is an opened SM2 key: a PrivateKey, Decrypter, Signer and Agreer.
type sm2Key struct {
	redacted
	private   *sm2.PrivateKey
	agreement *ecdh.PrivateKey
	za        []byte // Z_A of the default distinguishing ID: GB/T 32918.2, section 5.5
}

// parseSM2 reads PKCS #8. A public key inside has to be the private key's.
func parseSM2(der []byte) (*ecdh.PrivateKey, error) {
	scalar, public, ok := parseEC(oidSM2, sm2Size, der)
	if !ok {
		return nil, ErrMaterial
	}
	k, err := ecdh.P256().NewPrivateKey(scalar) // refuses zero, and all from the order less one on, as GB/T 32918.1 has it
	if err != nil || public != nil && !samePoint(public, k.PublicKey().Bytes()) {
		return nil, ErrMaterial
	}
	return k, nil
}

func marshalSM2(k *ecdh.PrivateKey) []byte {
	return marshalEC(oidSM2, k.Bytes(), k.PublicKey().Bytes())
}

func openSM2(material []byte) (*sm2Key, error) {
	agreement, err := parseSM2(material)
	if err != nil {
		return nil, err
	}
	if !equalSecret(marshalSM2(agreement), material) {
		return nil, ErrMaterial
	}
	private, err := sm2.NewPrivateKey(agreement.Bytes())
	if err != nil {
		return nil, ErrMaterial
	}
	// A nil ID stands for the default, 1234567812345678 (GM/T 0009), the one AWS uses; the API has no way to choose another.
	za, err := sm2.CalculateZA(&private.PublicKey, nil)
	if err != nil {
		return nil, ErrMaterial
	}
	return &sm2Key{private: private, agreement: agreement, za: za}, nil
}

// PublicKey implements [PublicKey]. The algorithm is id-ecPublicKey, with the curve as its parameter; the point is uncompressed.
func (k *sm2Key) PublicKey() []byte { return marshalECPublic(oidSM2, k.agreement.PublicKey().Bytes()) }

// PKCS8 implements [PrivateKey].
func (k *sm2Key) PKCS8() ([]byte, error) { return marshalSM2(k.agreement), nil }

// MaxPlaintext implements [Decrypter].
func (k *sm2Key) MaxPlaintext(string) int { return sm2MaxPlaintext }

// Encrypt gives the ASN.1 form of the ciphertext (GM/T 0009, section 7.2): x and y of C1, then C3, then C2. The plaintext has 1 to 1024
// bytes, anything else is ErrPlaintextLength; the scheme does not encrypt nothing.
func (k *sm2Key) Encrypt(algorithm string, plaintext []byte) ([]byte, error) {
	if algorithm != sm2Encryption {
		return nil, errAlgorithm
	}
	if len(plaintext) == 0 || len(plaintext) > sm2MaxPlaintext {
		return nil, ErrPlaintextLength
	}
	// If the key stream happens to be all zeros, which for a plaintext of one byte is one time in 256, the scheme draws again. The
	// library (v0.44.1) then goes on with a wrong point, and the result cannot be decrypted by anyone. So each ciphertext is tried.
	for range sm2EncryptTries {
		ciphertext, err := sm2.EncryptASN1(rand.Reader, &k.private.PublicKey, plaintext)
		if err != nil {
			return nil, fmt.Errorf("keys: encrypting with SM2: %w", err)
		}
		if back, err := k.private.Decrypt(nil, ciphertext, sm2.ASN1DecrypterOpts); err == nil && equalSecret(back, plaintext) {
			return ciphertext, nil
		}
	}
	return nil, errors.New("keys: encrypting with SM2: what was encrypted does not decrypt")
}

// Decrypt takes the ASN.1 form only, as Encrypt gives it.
func (k *sm2Key) Decrypt(algorithm string, ciphertext []byte) ([]byte, error) {
	if algorithm != sm2Encryption {
		return nil, errAlgorithm
	}
	// The library also reads C1 || C3 || C2, told apart by the first byte; AWS asks for ASN.1.
	if len(ciphertext) == 0 || len(ciphertext) > sm2MaxCiphertext || ciphertext[0] != 0x30 {
		return nil, ErrCiphertext
	}
	plaintext, err := k.private.Decrypt(nil, ciphertext, sm2.ASN1DecrypterOpts)
	if err != nil || len(plaintext) == 0 {
		return nil, ErrCiphertext
	}
	return plaintext, nil
}

// digest gives what is signed: e = SM3(Z_A || message) for Raw; for Digest the message is e already, computed by the caller with a
// distinguishing ID of its choice.
func (k *sm2Key) digest(algorithm string, t MessageType, message []byte) ([]byte, error) {
	if algorithm != sm2Signing {
		return nil, errAlgorithm
	}
	switch t {
	case Raw:
		h := sm3.New()
		h.Write(k.za)
		h.Write(message)
		return h.Sum(nil), nil
	case Digest:
		if len(message) != sm3.Size {
			return nil, ErrDigestLength
		}
		return message, nil
	}
	return nil, ErrMessageType
}

// Sign gives the ASN.1 form of the signature, a SEQUENCE of r and s. The nonce comes from the key, the digest and fresh randomness.
func (k *sm2Key) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	e, err := k.digest(algorithm, t, message)
	if err != nil {
		return nil, err
	}
	return k.private.Sign(rand.Reader, e, nil)
}

// Verify checks a signature in the form that Sign gives.
func (k *sm2Key) Verify(algorithm string, t MessageType, message, signature []byte) error {
	e, err := k.digest(algorithm, t, message)
	if err != nil {
		return err
	}
	if !sm2.VerifyASN1(&k.private.PublicKey, e, signature) {
		return ErrSignature
	}
	return nil
}

// SharedSecret gives the x coordinate of the shared point, 32 bytes: plain cofactor Diffie-Hellman (NIST SP 800-56A, section 5.7.1.2),
// which is what AWS documents of DeriveSharedSecret for SM2 too, not the key exchange protocol of GB/T 32918.3.
func (k *sm2Key) SharedSecret(algorithm string, peer []byte) ([]byte, error) {
	if algorithm != sm2Agreement {
		return nil, errAlgorithm
	}
	point, ok := parseECPublic(oidSM2, peer)
	if !ok {
		return nil, ErrPeer
	}
	public, err := ecdh.P256().NewPublicKey(point) // checks that the point is uncompressed and on the curve
	if err != nil {
		return nil, ErrPeer
	}
	secret, err := k.agreement.ECDH(public)
	if err != nil {
		return nil, ErrPeer
	}
	return secret, nil
}
