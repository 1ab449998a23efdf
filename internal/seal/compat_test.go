package seal

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

var update = flag.Bool("update", false, "make the file of sealed stores if there is none")

const storesFile = "testdata/stores.json"

// sealedStore is all of a store as an earlier version wrote it.
type sealedStore struct {
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Dev      bool              `json:"dev"`
	Entries  map[string]string `json:"entries"` // base64
}

// compatValues are what each store of the file holds.
var compatValues = map[string]string{"k/one": "the first value", "k/empty": "", "i/index": ""}

func compatProvider(t *testing.T, name string) Provider {
	t.Helper()
	switch name {
	case "keyfile":
		return NewKeyFile(testKey(0x42))
	case "passphrase":
		return testPassphrase("a passphrase for the tests only")
	}
	t.Fatalf("no provider %q", name)
	return nil
}

// TestCompatibility opens stores that earlier versions sealed. Entries are only ever added: a store that no longer opens is
// somebody's data.
func TestCompatibility(t *testing.T) {
	text, err := os.ReadFile(storesFile)
	if errors.Is(err, os.ErrNotExist) && *update {
		text = writeStores(t)
	} else if err != nil {
		t.Fatal(err)
	}
	var list []sealedStore
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 3 {
		t.Fatalf("%d stores, there were 3", len(list))
	}
	for _, old := range list {
		t.Run(old.Name, func(t *testing.T) {
			raw := memstore.New()
			var b store.Batch
			for key, value := range old.Entries {
				v, err := base64.StdEncoding.DecodeString(value)
				if err != nil {
					t.Fatal(err)
				}
				b.Writes = append(b.Writes, store.Write{Key: key, Value: v})
			}
			if _, err := raw.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), raw, Options{Provider: compatProvider(t, old.Provider), Dev: old.Dev})
			if err != nil {
				t.Fatal(err)
			}
			for key, want := range compatValues {
				if got, err := get(s, key); err != nil || got != want {
					t.Errorf("%s: %q, %v; want %q", key, got, err, want)
				}
			}
		})
	}
}

func writeStores(t *testing.T) []byte {
	t.Helper()
	var list []sealedStore
	for _, c := range []sealedStore{
		{Name: "key file", Provider: "keyfile"}, {Name: "passphrase", Provider: "passphrase"}, {Name: "development", Provider: "keyfile", Dev: true},
	} {
		raw := memstore.New()
		s := mustOpen(t, raw, Options{Provider: compatProvider(t, c.Provider), Dev: c.Dev, Now: testTime})
		for key, value := range compatValues {
			put(t, s, key, value)
		}
		entries, err := raw.Scan(t.Context(), "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		c.Entries = map[string]string{}
		for _, e := range entries {
			c.Entries[e.Key] = base64.StdEncoding.EncodeToString(e.Value)
		}
		list = append(list, c)
	}
	text, err := json.Marshal(list, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(storesFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return text
}
