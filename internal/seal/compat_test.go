package seal

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

var update = flag.Bool("update", false, "add to the file of sealed stores what is not in it yet")

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
	if err != nil && !(errors.Is(err, os.ErrNotExist) && *update) {
		t.Fatal(err)
	}
	var list []sealedStore
	if err == nil {
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		list = addStores(t, list)
	}
	if len(list) < 5 {
		t.Fatalf("%d stores, there were 5", len(list))
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

// addStores adds the stores that are not there yet, as this version writes them.
func addStores(t *testing.T, list []sealedStore) []sealedStore {
	t.Helper()
	for _, c := range []sealedStore{
		{Name: "key file", Provider: "keyfile"}, {Name: "passphrase", Provider: "passphrase"}, {Name: "development", Provider: "keyfile", Dev: true},
		{Name: "format 2", Provider: "keyfile"}, {Name: "format 2, rotated", Provider: "keyfile"},
	} {
		if slices.ContainsFunc(list, func(s sealedStore) bool { return s.Name == c.Name }) {
			continue
		}
		raw := memstore.New()
		s := mustOpen(t, raw, Options{Provider: compatProvider(t, c.Provider), Dev: c.Dev, Now: testTime})
		for key, value := range compatValues {
			put(t, s, key, value)
		}
		if strings.HasSuffix(c.Name, "rotated") { // version 1 destroyed, 2 in part of the values, 3 current
			rotate(t, s, testTime.Add(time.Hour))
			reseal(t, s)
			if _, err := s.DestroyRetired(t.Context(), testTime.Add(time.Hour+TokenLife)); err != nil {
				t.Fatal(err)
			}
			rotate(t, s, testTime.Add(100*time.Hour))
			put(t, s, "k/empty", "")
		}
		c.Entries = map[string]string{}
		for key, e := range entries(t, raw) {
			c.Entries[key] = base64.StdEncoding.EncodeToString(e.Value)
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
	return list
}
