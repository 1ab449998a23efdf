package keys

import (
	"bytes"
	"crypto/rand"

	"github.com/keyturn/keyturn/internal/xaes"
)

// SymmetricMaterialSize is the length of a SYMMETRIC_DEFAULT material in bytes.
const SymmetricMaterialSize = 32

// symmetricSpecs is SYMMETRIC_DEFAULT, a 256-bit key for XAES-256-GCM. It opens to an *xaes.AEAD.
var symmetricSpecs = []*Spec{{
	Name:                 "SYMMETRIC_DEFAULT",
	Usages:               []string{EncryptDecrypt},
	EncryptionAlgorithms: []string{"SYMMETRIC_DEFAULT"},
	Rotates:              true,
	NewMaterial: func() ([]byte, error) {
		b := make([]byte, SymmetricMaterialSize)
		rand.Read(b)
		return b, nil
	},
	Import: func(plaintext []byte) ([]byte, error) {
		if len(plaintext) != SymmetricMaterialSize {
			return nil, ErrMaterial
		}
		return bytes.Clone(plaintext), nil
	},
	Open: func(material []byte) (any, error) { return xaes.New(material) },
}}
