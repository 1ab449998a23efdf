package keys

import "crypto/rand"

// Spec is a key spec: what kind of material a key has and what can be done with it. The names are the API's.
type Spec struct {
	Name                 string
	Usages               []string // the first is the default
	EncryptionAlgorithms []string
	// Rotates tells whether keys of this spec with material made by the service can rotate automatically and on demand.
	Rotates bool
	// NewMaterial draws fresh key material.
	NewMaterial func() []byte
}

// SpecByName returns the spec, or nil if this server has none of that name.
func SpecByName(name string) *Spec {
	for _, s := range specs {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// One line for each spec; a family of specs stands in a file of its own.
var specs = []*Spec{
	symmetricDefault,
}

// symmetricDefault is a 256-bit key for XAES-256-GCM.
var symmetricDefault = &Spec{
	Name:                 "SYMMETRIC_DEFAULT",
	Usages:               []string{"ENCRYPT_DECRYPT"},
	EncryptionAlgorithms: []string{"SYMMETRIC_DEFAULT"},
	Rotates:              true,
	NewMaterial: func() []byte {
		b := make([]byte, SymmetricMaterialSize)
		rand.Read(b)
		return b
	},
}

// SymmetricMaterialSize is the length of a SYMMETRIC_DEFAULT material in bytes.
const SymmetricMaterialSize = 32
