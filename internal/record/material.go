package record

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/xaes"
)

// RotationType says how a material came to be current, by the API's name; "" for the first one.
type RotationType string

const (
	Automatic RotationType = "AUTOMATIC"
	OnDemand  RotationType = "ON_DEMAND"
)

// Material is one key material. It never changes after it was made, but for Messages. One that was imported can be deleted, and
// imported again.
type Material struct {
	made     `json:",inline"`
	Owner    `json:",inline"`
	KeyID    string       `json:"key"`
	ID       string       `json:"id"`  // 64 hexadecimal characters
	Seq      int          `json:"seq"` // 0 for the first
	Created  time.Time    `json:"created"`
	Rotation RotationType `json:"rotation,omitempty"`
	Spec     string       `json:"spec,omitempty"` // the key's spec; "" is SYMMETRIC_DEFAULT
	// Secret is in the spec's stored form; absent if the material never leaves its token, and then the ID is random.
	Secret []byte `json:"secret,omitempty"`
	// Token: the material is in a token, and what there is of it here is its name.
	Token bool `json:"token,omitempty"`
	// Messages is how many messages may have been encrypted under a material in a token, which draws its IVs at random: they are
	// reserved, many at a time, before they are.
	Messages int64 `json:"messages,omitempty"`

	// Made by Open.
	key        any // what the spec opens to; nil if the material is in a token
	keyID      keys.KeyID
	materialID keys.MaterialID
}

// String keeps the secret out of whatever prints a Material.
func (m *Material) String() string { return "material " + m.ID }

// GoString does the same for %#v.
func (m *Material) GoString() string { return m.String() }

// Weight implements Record: what the opened material takes.
func (m *Material) Weight() int {
	if spec := keys.SpecByName(m.Spec); spec != nil {
		return spec.Weight + len(m.Secret)
	}
	return len(m.Secret)
}

// MaterialStoreKey is where a material stands.
func MaterialStoreKey(o Owner, keyID, id string) string { return o.path2("m", keyID, id) }

// StoreKey implements Record.
func (m *Material) StoreKey() string { return MaterialStoreKey(m.Owner, m.KeyID, m.ID) }

// MaterialsPrefix is the index of a key's materials in order; what follows it is SEQ/ID, see ParseMaterialIndex.
func MaterialsPrefix(o Owner, keyID string) string { return o.path2("i/materials", keyID, "") }

// MaterialIndex is the index entry of the material with a sequence number; it sorts by that.
func MaterialIndex(o Owner, keyID string, seq int, id string) string {
	return MaterialsPrefix(o, keyID) + fmt.Sprintf("%010d/%s", seq, id)
}

// Indexes implements Record.
func (m *Material) Indexes() []string {
	return []string{MaterialIndex(m.Owner, m.KeyID, m.Seq, m.ID)}
}

// Counters implements Record.
func (m *Material) Counters() []string { return nil }

// Open prepares the material for use and checks that it is the one its ID names. Call it once, before the record is shared.
func (m *Material) Open() error {
	keyID, ok1 := keys.ParseKeyID(m.KeyID)
	if m.Token {
		id, ok2 := keys.ParseMaterialID(m.ID)
		if !ok1 || !ok2 || m.Secret != nil {
			return fmt.Errorf("%w: token material %s", ErrDecode, m.ID)
		}
		m.keyID, m.materialID = keyID, id
		return nil
	}
	id, err := keys.NewMaterialID(m.Secret, keyID)
	if !ok1 || err != nil || id.String() != m.ID {
		return fmt.Errorf("%w: material %s is not what its ID names", ErrDecode, m.ID)
	}
	m.keyID, m.materialID = keyID, id
	spec := keys.SpecByName(cmp.Or(m.Spec, "SYMMETRIC_DEFAULT"))
	if spec == nil {
		return fmt.Errorf("%w: material %s is of an unknown spec", ErrDecode, m.ID)
	}
	if m.key, err = spec.Open(m.Secret); err != nil {
		if errors.Is(err, keys.ErrFIPS) {
			return fmt.Errorf("record: material %s: %w", m.ID, err)
		}
		return fmt.Errorf("%w: material %s does not open", ErrDecode, m.ID)
	}
	return nil
}

// Key returns the opened material: what it can do is told by the interfaces of package keys that it implements.
func (m *Material) Key() any { return m.key }

// AEAD returns the opened material of a symmetric key; nil if it is none, or in a token.
func (m *Material) AEAD() *xaes.AEAD {
	aead, _ := m.key.(*xaes.AEAD)
	return aead
}

// IDs returns the opened material's key ID and its own, in binary.
func (m *Material) IDs() (keys.KeyID, keys.MaterialID) { return m.keyID, m.materialID }
