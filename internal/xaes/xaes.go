// Package xaes implements XAES-256-GCM as specified by C2SP (https://c2sp.org/XAES-256-GCM): AES-256-GCM with a 192-bit
// random nonce, under a key derived for each message, so that one key may seal any number of messages.
//
// It stays inside the FIPS 140-3 rules of the standard library: the first 12 bytes of the nonce select the derived key (an
// SP 800-108r1 KDF in counter mode over CMAC-AES), and the remaining 12 are drawn by [cipher.NewGCMWithRandomNonce].
package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
)

const (
	KeySize   = 32
	NonceSize = 24
	Overhead  = NonceSize + 16 // what Seal adds to a plaintext: the nonce in front, the tag behind

	selectorSize = 12 // the part of the nonce that selects the derived key
)

// ErrOpen is returned for every ciphertext that was not sealed under this key with this additional data.
var ErrOpen = errors.New("xaes: message authentication failed")

// AEAD seals and opens under one key. It is safe for concurrent use.
type AEAD struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC (SP 800-38B)
}

// New returns the AEAD of a key of KeySize bytes. The key is not kept, its schedule is.
func New(key []byte) (*AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("xaes: key of %d bytes, want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("xaes: %w", err)
	}
	a := &AEAD{block: block}
	block.Encrypt(a.subkey[:], a.subkey[:])
	// Doubling in GF(2^128), without a branch on the secret top bit.
	var carry byte
	for i := aes.BlockSize - 1; i >= 0; i-- {
		next := a.subkey[i] >> 7
		a.subkey[i] = a.subkey[i]<<1 | carry
		carry = next
	}
	a.subkey[aes.BlockSize-1] ^= carry * 0x87
	return a, nil
}

// derive returns AES-256-GCM under the key that the first selectorSize bytes of a nonce select.
func (a *AEAD) derive(selector []byte) (cipher.AEAD, error) {
	var key [KeySize]byte
	for i := range 2 {
		half := key[i*aes.BlockSize:][:aes.BlockSize]
		half[1], half[2] = byte(i+1), 'X'
		copy(half[4:], selector[:selectorSize])
		for j := range half {
			half[j] ^= a.subkey[j]
		}
		a.block.Encrypt(half, half)
	}
	block, err := aes.NewCipher(key[:])
	clear(key[:])
	if err != nil {
		return nil, fmt.Errorf("xaes: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("xaes: %w", err)
	}
	return aead, nil
}

// Seal appends nonce, ciphertext and tag to dst: len(plaintext) + Overhead bytes.
func (a *AEAD) Seal(dst, plaintext, additionalData []byte) ([]byte, error) {
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	selector := dst[len(dst) : len(dst)+selectorSize]
	rand.Read(selector) // never fails: it ends the process instead
	aead, err := a.derive(selector)
	if err != nil {
		return nil, err
	}
	return aead.Seal(dst[:len(dst)+selectorSize], nil, plaintext, additionalData), nil
}

// Open appends the plaintext of what Seal made to dst, or returns ErrOpen.
func (a *AEAD) Open(dst, sealed, additionalData []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrOpen
	}
	aead, err := a.derive(sealed)
	if err != nil {
		return nil, err
	}
	out, err := aead.Open(dst, nil, sealed[selectorSize:], additionalData)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}
