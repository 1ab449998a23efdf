// Package cms makes and opens the CiphertextForRecipient of AWS KMS: what a request with a Recipient, the attestation document of
// an enclave, gets in place of the plaintext.
//
// It is an EnvelopedData of the Cryptographic Message Syntax (RFC 5652, section 6) for one recipient: RSAES-OAEP with SHA-256
// (RFC 8017) carries the key, AES-256 in CBC mode with the padding of section 6.3 the content. AWS names the recipient by a
// subjectKeyIdentifier that is the SHA-256 of its SubjectPublicKeyInfo, and writes BER: ContentInfo, EnvelopedData,
// EncryptedContentInfo and the content have indefinite lengths, the recipients are DER. Clients rely on that; the parser of
// aws-nitro-enclaves-sdk-c (source/cms.c) reads no definite lengths where AWS writes indefinite ones.
package cms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
)

const (
	// MaxPlaintext is the longest plaintext in bytes, as of the API's Plaintext.
	MaxPlaintext = 4096
	// MaxMessage is the longest message in bytes, as of the API's CiphertextForRecipient.
	MaxMessage = 6144

	keySize = 32 // of AES-256
)

var (
	// ErrRecipient: the recipient's key is not an RSA key of 2048, 3072 or 4096 bits.
	ErrRecipient = errors.New("cms: recipient is not an RSA key of 2048, 3072 or 4096 bits")
	// ErrPlaintextLength: the plaintext is longer than MaxPlaintext.
	ErrPlaintextLength = errors.New("cms: plaintext is too long")
	// ErrMessage: the bytes are not a message of the kind that Envelop makes. It is told from public bytes alone.
	ErrMessage = errors.New("cms: malformed message")
	// ErrOpen is all that is told of a message that does not open with the key.
	ErrOpen = errors.New("cms: message cannot be opened with this key")
)

// Envelop encrypts a plaintext of at most MaxPlaintext bytes to the recipient. The error is ErrRecipient or ErrPlaintextLength,
// unless the random source or the recipient's key is defective.
func Envelop(plaintext []byte, recipient *rsa.PublicKey) ([]byte, error) {
	if len(plaintext) > MaxPlaintext {
		return nil, ErrPlaintextLength
	}
	if err := checkRecipient(recipient); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(recipient)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	key := make([]byte, keySize)
	defer clear(key)
	rand.Read(key)
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)

	encryptedKey, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, recipient, key, nil)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	content, err := encryptCBC(key, iv, plaintext)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	return message{keyID: id[:], encryptedKey: encryptedKey, iv: iv, content: content}.encode(), nil
}

// Open decrypts a message to the recipient. It takes the BER of AWS KMS as well as DER, of at most MaxMessage bytes, and does not
// compare the subjectKeyIdentifier, which some make in another way. The error is ErrRecipient, ErrMessage or ErrOpen.
//
// The content is not authenticated: whoever can have altered messages opened and sees which open can find out plaintexts.
func Open(der []byte, key *rsa.PrivateKey) ([]byte, error) {
	if key == nil {
		return nil, ErrRecipient
	}
	if err := checkRecipient(&key.PublicKey); err != nil {
		return nil, err
	}
	m, err := parse(der)
	if err != nil {
		return nil, err
	}
	if len(m.encryptedKey) != key.Size() {
		return nil, ErrOpen
	}
	contentKey, err := rsa.DecryptOAEP(sha256.New(), nil, key, m.encryptedKey, nil)
	ok := err == nil && len(contentKey) == keySize
	if !ok {
		// As much work as with the right key, so that the time taken does not tell which of the two failed.
		contentKey = make([]byte, keySize)
		rand.Read(contentKey)
	}
	plaintext, err := decryptCBC(contentKey, m.iv, m.content)
	clear(contentKey)
	if !ok || err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func checkRecipient(key *rsa.PublicKey) error {
	if key == nil || key.N == nil {
		return ErrRecipient
	}
	switch key.N.BitLen() {
	case 2048, 3072, 4096:
		return nil
	}
	return ErrRecipient
}

// encryptCBC pads as RFC 5652, section 6.3 says: with 1 to 16 bytes that each say how many they are.
func encryptCBC(key, iv, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	padding := aes.BlockSize - len(plaintext)%aes.BlockSize
	out := make([]byte, len(plaintext)+padding)
	for i := copy(out, plaintext); i < len(out); i++ {
		out[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out, nil
}

// decryptCBC undoes encryptCBC for whole blocks, at least one. The padding is checked without a branch on any byte of it.
func decryptCBC(key, iv, content []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrOpen
	}
	out := make([]byte, len(content))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, content)

	padding := int(out[len(out)-1])
	ok := subtle.ConstantTimeLessOrEq(1, padding) & subtle.ConstantTimeLessOrEq(padding, aes.BlockSize)
	for i := 1; i <= aes.BlockSize; i++ {
		within := subtle.ConstantTimeLessOrEq(i, padding)
		ok &= subtle.ConstantTimeByteEq(out[len(out)-i], byte(padding)) | (1 ^ within)
	}
	if ok != 1 {
		clear(out)
		return nil, ErrOpen
	}
	return out[: len(out)-padding : len(out)-padding], nil
}
