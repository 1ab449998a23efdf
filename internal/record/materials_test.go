package record

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/keys"
)

const materialsFile = "testdata/materials.json"

// storedMaterial is a material as an earlier version stored it, and something that only that material can say.
type storedMaterial struct {
	Spec  string `json:"spec"`
	Key   string `json:"storeKey"`
	Value string `json:"value"` // base64
	// Proof is the public key, the MAC of "keyturn", or the plaintext sealed in Sealed; hexadecimal.
	Proof  string `json:"proof"`
	Sealed string `json:"sealed,omitempty"`
}

func materialCorpus(t *testing.T) []storedMaterial {
	t.Helper()
	var list []storedMaterial
	text, err := os.ReadFile(materialsFile)
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil && !*update {
		t.Fatal(err)
	}
	if *update {
		for _, name := range keys.SpecNames() {
			if !slices.ContainsFunc(list, func(m storedMaterial) bool { return m.Spec == name }) {
				list = append(list, storeMaterial(t, keys.SpecByName(name)))
			}
		}
		text, err := json.Marshal(list, jsontext.WithIndent("  "))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(materialsFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestMaterialsOpen opens the materials of every spec as they were first stored: whatever was made with them is lost if one does not.
func TestMaterialsOpen(t *testing.T) {
	list := materialCorpus(t)
	for _, name := range keys.SpecNames() {
		if !slices.ContainsFunc(list, func(m storedMaterial) bool { return m.Spec == name }) {
			t.Errorf("%s has no stored material; add one with -update", name)
		}
	}
	for _, s := range list {
		t.Run(s.Spec, func(t *testing.T) {
			value, err := base64.StdEncoding.DecodeString(s.Value)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Decode(s.Key, value)
			if err != nil {
				t.Fatal(err)
			}
			m := r.(*Material)
			if err := m.Open(); err != nil {
				if errors.Is(err, keys.ErrFIPS) {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			if got := proof(t, m, s.Sealed); got != s.Proof {
				t.Errorf("the material is another one: %s, want %s", got, s.Proof)
			}
		})
	}
}

// proof returns what only this material can say.
func proof(t *testing.T, m *Material, sealed string) string {
	t.Helper()
	switch k := m.Key().(type) {
	case keys.PublicKey:
		return hex.EncodeToString(k.PublicKey())
	case keys.MACer:
		spec := keys.SpecByName(m.Spec)
		return hex.EncodeToString(k.MAC(spec.MACAlgorithms[0], []byte("keyturn")))
	}
	blob, err := hex.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := m.AEAD().Open(nil, blob, nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(plain)
}

// storeMaterial makes a material to be kept in the file.
func storeMaterial(t *testing.T, spec *keys.Spec) storedMaterial {
	t.Helper()
	secret, err := spec.NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	keyID := keys.NewKeyID()
	id, err := keys.NewMaterialID(secret, keyID)
	if err != nil {
		t.Fatal(err)
	}
	m := &Material{Owner: owner, KeyID: keyID.String(), ID: id.String(), Created: when, Spec: spec.Name, Secret: secret}
	value, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(); err != nil {
		t.Fatal(err)
	}
	s := storedMaterial{Spec: spec.Name, Key: m.StoreKey(), Value: base64.StdEncoding.EncodeToString(value)}
	if aead := m.AEAD(); aead != nil {
		blob, err := aead.Seal(nil, []byte("keyturn"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Sealed = hex.EncodeToString(blob)
	}
	s.Proof = proof(t, m, s.Sealed)
	return s
}
