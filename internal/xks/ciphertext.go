package xks

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Ciphertext is what Encrypt returns and Decrypt needs.
type Ciphertext struct {
	Data     []byte // as long as the plaintext
	IV       []byte // 12 or 16 bytes
	Tag      []byte // 16 bytes
	Metadata []byte // at most 20 bytes of the proxy's own; nil and empty are the same
}

// ErrCiphertext: the bytes are not the encoding of a Ciphertext.
var ErrCiphertext = errors.New("xks: not an encoded ciphertext")

// The encoding of a Ciphertext, version 1:
//
//	offset size
//	     0    1  version, 1
//	     1    1  length m of the metadata, 0 to 20
//	     2    1  length n of the IV, 12 or 16
//	     3    m  metadata
//	   3+m    n  IV
//	 3+m+n   16  tag
//	19+m+n       data, 1 to MaxPlaintext bytes, up to the end
//
// A Ciphertext has one encoding only.
const (
	ciphertextV1     = 1
	ciphertextHeader = 3
)

// MaxEncoded is the length of the longest encoded Ciphertext; MaxOverhead is how much longer it is than the plaintext.
const (
	MaxOverhead = ciphertextHeader + MaxMetadata + 16 + TagSize
	MaxEncoded  = MaxOverhead + MaxPlaintext
)

// check returns what the specification does not allow in c.
func (c *Ciphertext) check() error {
	switch {
	case len(c.Data) == 0 || len(c.Data) > MaxPlaintext:
		return fmt.Errorf("a ciphertext of %d bytes, not 1 to %d", len(c.Data), MaxPlaintext)
	case len(c.IV) != 12 && len(c.IV) != 16:
		return fmt.Errorf("an initialization vector of %d bytes, not 12 or 16", len(c.IV))
	case len(c.Tag) != TagSize:
		return fmt.Errorf("an authentication tag of %d bytes, not %d", len(c.Tag), TagSize)
	case len(c.Metadata) > MaxMetadata:
		return fmt.Errorf("ciphertext metadata of %d bytes, more than %d", len(c.Metadata), MaxMetadata)
	}
	return nil
}

// Marshal returns c's encoding. The error is of a field whose length the specification does not allow.
func (c *Ciphertext) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCiphertext, err)
	}
	b := make([]byte, 0, ciphertextHeader+len(c.Metadata)+len(c.IV)+TagSize+len(c.Data))
	b = append(b, ciphertextV1, byte(len(c.Metadata)), byte(len(c.IV)))
	return append(append(append(append(b, c.Metadata...), c.IV...), c.Tag...), c.Data...), nil
}

// Unmarshal decodes b, all of it, and keeps no part of it. Whatever Marshal does not make is ErrCiphertext.
func Unmarshal(b []byte) (*Ciphertext, error) {
	if len(b) < ciphertextHeader || len(b) > MaxEncoded || b[0] != ciphertextV1 {
		return nil, ErrCiphertext
	}
	m, n := int(b[1]), int(b[2])
	rest := slices.Clone(b[ciphertextHeader:])
	if len(rest) < m+n+TagSize {
		return nil, ErrCiphertext
	}
	take := func(n int) []byte {
		p := rest[:n:n]
		rest = rest[n:]
		return p
	}
	c := &Ciphertext{Metadata: take(m), IV: take(n), Tag: take(TagSize), Data: rest}
	if c.check() != nil {
		return nil, ErrCiphertext
	}
	if m == 0 {
		c.Metadata = nil
	}
	return c, nil
}

// IntegrityValue returns the Ciphertext Data Integrity Value of c: SHA-256 of AAD, metadata, IV, data and tag one after the other
// (Appendix C of the specification). It finds accidents; against forgers the tag is there.
func (c *Ciphertext) IntegrityValue(aad []byte) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range [...][]byte{aad, c.Metadata, c.IV, c.Data, c.Tag} {
		h.Write(p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// AdditionalData is what a Backend gives to AES-GCM as additional data, as the specification recommends: the AAD with two bytes of
// length before it, big endian, and the ciphertext's metadata with one. So neither can pass for a part of the other. The error is
// of an AAD or metadata longer than MaxAAD and MaxMetadata.
func AdditionalData(aad, metadata []byte) ([]byte, error) {
	if len(aad) > MaxAAD || len(metadata) > MaxMetadata {
		return nil, errors.New("xks: the additional data is too long")
	}
	b := make([]byte, 0, 3+len(aad)+len(metadata))
	b = binary.BigEndian.AppendUint16(b, uint16(len(aad)))
	b = append(b, aad...)
	b = append(b, byte(len(metadata)))
	return append(b, metadata...), nil
}
