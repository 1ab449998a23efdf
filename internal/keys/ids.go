// Package keys holds what a key is made of: key specs with their algorithms, identifiers of keys and key materials, and the
// versioned envelope of symmetric ciphertexts.
package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// KeyID is a key ID in binary: a UUID, or the "mrk-" form of a multi-Region key, which is 16 bytes without dashes.
type KeyID struct {
	kind byte // idUUID, idMultiRegion
	id   [16]byte
}

// MultiRegionPrefix is what the ID of every multi-Region key, and of no other, begins with.
const MultiRegionPrefix = "mrk-"

// MaterialID names one key material: 32 bytes, printed as 64 hexadecimal characters (KeyMaterialId).
type MaterialID [32]byte

// NewKeyID returns a random UUID, version 4 (RFC 9562).
func NewKeyID() KeyID {
	var id KeyID
	rand.Read(id.id[:])
	id.id[6] = id.id[6]&0x0f | 0x40
	id.id[8] = id.id[8]&0x3f | 0x80
	return id
}

// NewMultiRegionKeyID returns a random multi-Region key ID.
func NewMultiRegionKeyID() KeyID {
	id := NewKeyID()
	id.kind = idMultiRegion
	return id
}

// MultiRegion tells whether it is the ID of a multi-Region key.
func (id KeyID) MultiRegion() bool { return id.kind == idMultiRegion }

// ParseKeyID reads a UUID in its canonical lower-case form, or "mrk-" and 32 lower-case hexadecimal digits.
func ParseKeyID(s string) (KeyID, bool) {
	if digits, ok := strings.CutPrefix(s, MultiRegionPrefix); ok {
		return parseMultiRegion(digits)
	}
	var id KeyID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	pos := 0
	for i := range id.id {
		if pos == 8 || pos == 13 || pos == 18 || pos == 23 {
			pos++
		}
		hi, ok1 := unhex(s[pos])
		lo, ok2 := unhex(s[pos+1])
		if !ok1 || !ok2 {
			return KeyID{}, false
		}
		id.id[i] = hi<<4 | lo
		pos += 2
	}
	return id, true
}

func parseMultiRegion(s string) (KeyID, bool) {
	id := KeyID{kind: idMultiRegion}
	if len(s) != 2*len(id.id) {
		return KeyID{}, false
	}
	for i := range id.id {
		hi, ok1 := unhex(s[2*i])
		lo, ok2 := unhex(s[2*i+1])
		if !ok1 || !ok2 {
			return KeyID{}, false
		}
		id.id[i] = hi<<4 | lo
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

// String returns the ID as the API has it.
func (id KeyID) String() string {
	var b [36]byte
	if id.kind == idMultiRegion {
		copy(b[:], MultiRegionPrefix)
		hex.Encode(b[4:], id.id[:])
		return string(b[:])
	}
	hex.Encode(b[0:8], id.id[0:4])
	hex.Encode(b[9:13], id.id[4:6])
	hex.Encode(b[14:18], id.id[6:8])
	hex.Encode(b[19:23], id.id[8:10])
	hex.Encode(b[24:36], id.id[10:16])
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

// NewRandomMaterialID returns an ID for a material that nobody sees: one that never leaves its token.
func NewRandomMaterialID() MaterialID {
	var id MaterialID
	rand.Read(id[:])
	return id
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
