package keys

import (
	"bytes"
	"strings"
	"testing"
)

func TestKeyID(t *testing.T) {
	const good = "1234abcd-12ab-34cd-56ef-1234567890ab"
	tests := map[string]bool{
		good: true, "00000000-0000-0000-0000-000000000000": true, "ffffffff-ffff-ffff-ffff-ffffffffffff": true,
		"": false, strings.ToUpper(good): false, good[:35]: false, good + "0": false, strings.ReplaceAll(good, "-", ""): false,
		"{" + good + "}": false, "1234abcd-12ab-34cd-56ef-1234567890ag": false, "1234abcd_12ab-34cd-56ef-1234567890ab": false,
		"1234abc-d12ab-34cd-56ef-1234567890ab": false, "mrk-1234abcd12ab34cd56ef1234567890ab": true, "mrk-" + good: false, "mrk-": false, "mrk-1234abcd12ab34cd56ef1234567890a": false,
		"mrk-1234abcd12ab34cd56ef1234567890abc": false, "mrk-1234ABCD12ab34cd56ef1234567890ab": false, "-234abcd-12ab-34cd-56ef-1234567890ab": false,
		"1234abcd-12ab-34cd-56ef-12345678\xff0ab": false, " " + good[1:]: false,
	}
	for text, ok := range tests {
		id, got := ParseKeyID(text)
		if got != ok {
			t.Errorf("%q parses: %v, want %v", text, got, ok)
		}
		if got && id.String() != text {
			t.Errorf("%q comes back as %q", text, id)
		}
		if !got && id != (KeyID{}) {
			t.Errorf("%q does not parse, but gives %v", text, id)
		}
	}
	for range 100 {
		id := NewMultiRegionKeyID()
		if back, ok := ParseKeyID(id.String()); !ok || back != id || !id.MultiRegion() || NewKeyID().MultiRegion() {
			t.Errorf("new multi-Region key ID %s", id)
		}
	}
	seen := map[KeyID]bool{}
	for range 100 {
		id := NewKeyID()
		text := id.String()
		if back, ok := ParseKeyID(text); !ok || back != id || text[14] != '4' || !strings.Contains("89ab", text[19:20]) || seen[id] {
			t.Errorf("new key ID %s", text)
		}
		seen[id] = true
	}
}

func TestMaterialID(t *testing.T) {
	good := strings.Repeat("0123456789abcdef", 4)
	for text, ok := range map[string]bool{
		good: true, "": false, good[:63]: false, good + "0": false, strings.ToUpper(good): false, "g" + good[1:]: false,
		good[:62] + "é": false,
	} {
		id, got := ParseMaterialID(text)
		if got != ok || got && id.String() != text || !got && id != (MaterialID{}) {
			t.Errorf("%q: %v, %v; want %v", text, id, got, ok)
		}
	}
	key, other := KeyID{id: [16]byte{1}}, KeyID{id: [16]byte{2}}
	secret := bytes.Repeat([]byte{1}, 32)
	make := func(secret []byte, key KeyID) MaterialID {
		id, err := NewMaterialID(secret, key)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	one := make(secret, key)
	if one != make(bytes.Clone(secret), key) {
		t.Error("one material under one key has two IDs")
	}
	if one == make(secret, other) || one == make(bytes.Repeat([]byte{2}, 32), key) {
		t.Error("two materials have one ID")
	}
	// For ever: an ID made once names that material in every ciphertext under it.
	if got := make(secret, key).String(); got != goldenMaterialID {
		t.Errorf("the ID has become %s, it was %s", got, goldenMaterialID)
	}
	if bytes.Contains(one[:], secret[:8]) {
		t.Error("the ID shows the material")
	}
}

const goldenMaterialID = "a01f29b13a8a2b61af4c8ddd126c231967522712acbdd4b18d2ba53f22640592"

func FuzzParseKeyID(f *testing.F) {
	f.Add("1234abcd-12ab-34cd-56ef-1234567890ab")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ParseKeyID(s); ok && id.String() != s {
			t.Fatalf("%q comes back as %q", s, id)
		}
	})
}

func FuzzParseMaterialID(f *testing.F) {
	f.Add(strings.Repeat("0123456789abcdef", 4))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ParseMaterialID(s); ok && id.String() != s {
			t.Fatalf("%q comes back as %q", s, id)
		}
	})
}

func TestSpecs(t *testing.T) {
	for _, s := range specs {
		if SpecByName(s.Name) != s || len(s.Usages) == 0 {
			t.Errorf("%s is not found, or has no usage", s.Name)
		}
	}
	s := SpecByName("SYMMETRIC_DEFAULT")
	one, err1 := s.NewMaterial()
	two, err2 := s.NewMaterial()
	if err1 != nil || err2 != nil || len(one) != SymmetricMaterialSize || bytes.Equal(one, two) {
		t.Errorf("SYMMETRIC_DEFAULT materials of %d and %d bytes: %v, %v", len(one), len(two), err1, err2)
	}
	if SpecByName("symmetric_default") != nil || SpecByName("") != nil {
		t.Error("a spec of another name was found")
	}
}
