package record

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "make the file of encoded records if there is none")

const recordsFile = "testdata/records.json"

// encoded is a record as an earlier version stored it.
type encoded struct {
	Key   string `json:"storeKey"`
	Value string `json:"value"` // base64
}

// TestCompatibility decodes what schema 1 stored, in the order of samples. Entries are only ever added: a record that no longer
// decodes is somebody's key.
func TestCompatibility(t *testing.T) {
	text, err := os.ReadFile(recordsFile)
	if errors.Is(err, os.ErrNotExist) && *update {
		text = writeRecords(t)
	} else if err != nil {
		t.Fatal(err)
	}
	var list []encoded
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	want := samples(t)
	if len(list) < len(want) {
		t.Fatalf("%d records, want %d", len(list), len(want))
	}
	for i, w := range want {
		value, err := base64.StdEncoding.DecodeString(list[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		if value[0] != 1 {
			t.Errorf("%s: schema %d", list[i].Key, value[0])
		}
		got, err := Decode(list[i].Key, value)
		if err != nil {
			t.Errorf("%s does not decode any more: %v", list[i].Key, err)
			continue
		}
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s decodes to another record", list[i].Key)
		}
		if m, ok := got.(*Material); ok {
			if err := m.Open(); err != nil {
				t.Errorf("%s does not open: %v", list[i].Key, err)
			}
		}
	}
}

func writeRecords(t *testing.T) []byte {
	t.Helper()
	var list []encoded
	for _, r := range samples(t) {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, encoded{r.StoreKey(), base64.StdEncoding.EncodeToString(b)})
	}
	text, err := json.Marshal(list, jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordsFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestHostileRecords decodes records that this package never writes: whatever comes out must be safe to use.
func TestHostileRecords(t *testing.T) {
	tests := map[string]string{
		"key without an ID":        `{"by":{"v":1,"ev":"e"},"account":"111122223333","region":"eu-central-1","id":"","manager":"CUSTOMER"}`,
		"material without a key":   `{"account":"111122223333","region":"eu-central-1","key":"","id":""}`,
		"alias without a name":     `{"account":"111122223333","region":"eu-central-1","name":""}`,
		"tombstone without a key":  `{"account":"111122223333","region":"eu-central-1","key":""}`,
		"date far before the year": `{"account":"111122223333","region":"eu-central-1","key":"","deleted":"0001-01-01T00:00:00Z"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic: %v", v)
				}
			}()
			for _, key := range []string{"k/111122223333/eu-central-1/", "m/111122223333/eu-central-1//", "a/111122223333/eu-central-1/", "t/111122223333/eu-central-1/"} {
				r, err := Decode(key, append([]byte{schema}, text...))
				if err != nil {
					continue
				}
				r.Indexes()
				r.Counters()
				if m, ok := r.(*Material); ok && m.Open() == nil {
					t.Error("a material without a secret opened")
				}
			}
		})
	}
}
