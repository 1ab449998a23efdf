// Package keys holds what a key is made of: key specs with their algorithms, identifiers of keys and key materials, and the
// versioned envelope of symmetric ciphertexts.
package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// KeyID is a key ID in binary: the 16 bytes of a UUID.
type KeyID [16]byte

// MaterialID names one key material: 32 bytes, printed as 64 hexadecimal characters (KeyMaterialId).
type MaterialID [32]byte

// NewKeyID returns a random UUID, version 4 (RFC 9562).
func NewKeyID() KeyID {
	var id KeyID
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ParseKeyID reads a UUID in its canonical lower-case form.
func ParseKeyID(s string) (KeyID, bool) {
	var id KeyID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	pos := 0
	for i := range id {
		if pos == 8 || pos == 13 || pos == 18 || pos == 23 {
			pos++
		}
		hi, ok1 := unhex(s[pos])
		lo, ok2 := unhex(s[pos+1])
		if !ok1 || !ok2 {
			return KeyID{}, false
		}
		id[i] = hi<<4 | lo
		pos += 2
	}
	return id, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// String returns the UUID in its canonical form.
func (id KeyID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// NewMaterialID derives the ID of a material from the material and its key's ID with HKDF-SHA-256 (RFC 5869). The same
// material under the same key always has the same ID, and an ID fits one material only.
func NewMaterialID(material []byte, id KeyID) (MaterialID, error) {
	out, err := hkdf.Key(sha256.New, material, nil, "keyturn key material ID v1 "+id.String(), sha256.Size)
	if err != nil {
		return MaterialID{}, fmt.Errorf("keys: deriving a material ID: %w", err)
	}
	return MaterialID(out), nil
}

// ParseMaterialID reads 64 lower-case hexadecimal characters.
func ParseMaterialID(s string) (MaterialID, bool) {
	var id MaterialID
	if len(s) != 2*len(id) {
		return id, false
	}
	for i := range id {
		hi, ok1 := unhex(s[2*i])
		lo, ok2 := unhex(s[2*i+1])
		if !ok1 || !ok2 {
			return MaterialID{}, false
		}
		id[i] = hi<<4 | lo
	}
	return id, true
}

// String returns 64 lower-case hexadecimal characters.
func (id MaterialID) String() string { return hex.EncodeToString(id[:]) }
