package seal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keyturn/keyturn/internal/store/memstore"
)

func TestToken(t *testing.T) {
	open := func() *Keyring {
		return mustOpen(t, memstore.New(), Options{Provider: NewKeyFile(testKey(1)), Now: testTime}).Keyring()
	}
	ring, other := open(), open()
	token, err := ring.SealToken([]byte("wrapping key"), "import")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(token, []byte("wrapping")) {
		t.Error("the token is in the clear")
	}
	if plain, err := ring.OpenToken(token, "import"); err != nil || string(plain) != "wrapping key" {
		t.Errorf("%q, %v", plain, err)
	}
	if again, err := ring.SealToken([]byte("wrapping key"), "import"); err != nil || bytes.Equal(again, token) {
		t.Errorf("sealed twice, the token is the same: %v", err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return ring.OpenToken(token, "export") },
		"longer purpose":  func() ([]byte, error) { return ring.OpenToken(token, "import ") },
		"another keyring": func() ([]byte, error) { return other.OpenToken(token, "import") },
		"nothing":         func() ([]byte, error) { return ring.OpenToken(nil, "import") },
	} {
		if plain, err := open(); !errors.Is(err, ErrToken) || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
	for i := range token {
		altered := bytes.Clone(token)
		altered[i] ^= 1
		if _, err := ring.OpenToken(altered, "import"); !errors.Is(err, ErrToken) {
			t.Errorf("byte %d altered: %v", i, err)
		}
		if _, err := ring.OpenToken(token[:i], "import"); !errors.Is(err, ErrToken) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}
