package keys

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/xaes"
)

var update = flag.Bool("update", false, "write golden files anew; never the ciphertexts that must open for ever")

// ring is a keyring of MAC keys for tests.
type ring map[uint32]*MACKey

func (r ring) MACKey(version uint32) *MACKey { return r[version] }

// fixture is a key with a material and a keyring.
type fixture struct {
	id       KeyID
	material MaterialID
	aead     *xaes.AEAD
	macs     ring
}

const testAccount = "111122223333"

func newFixture(t testing.TB) *fixture {
	t.Helper()
	secret := bytes.Repeat([]byte{5}, SymmetricMaterialSize)
	id, ok := ParseKeyID("1234abcd-12ab-44cd-96ef-1234567890ab")
	if !ok {
		t.Fatal("key ID does not parse")
	}
	material, err := NewMaterialID(secret, id)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := xaes.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{id: id, material: material, aead: aead, macs: ring{1: NewMACKey(1, bytes.Repeat([]byte{7}, 32)), 2: NewMACKey(2, bytes.Repeat([]byte{8}, 32))}}
}

func (f *fixture) seal(t testing.TB, plaintext []byte, context Context) []byte {
	t.Helper()
	blob, err := Seal(nil, plaintext, XAES, f.id, f.material, f.aead, f.macs[1], testAccount, context)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func (f *fixture) open(blob []byte, account string, context Context) ([]byte, error) {
	c, err := ParseCiphertext(blob, f.macs)
	if err != nil {
		return nil, err
	}
	return c.Open(nil, f.aead, account, context)
}

func TestRoundTrip(t *testing.T) {
	f := newFixture(t)
	for _, size := range []int{0, 1, 15, 16, 17, 255, 4096} {
		plaintext := bytes.Repeat([]byte{'p'}, size)
		blob := f.seal(t, plaintext, Context{"a": "b"})
		if len(blob) != size+Overhead {
			t.Errorf("%d bytes sealed are %d, want %d", size, len(blob), size+Overhead)
		}
		if size >= 15 && bytes.Contains(blob, plaintext) {
			t.Errorf("%d bytes stand in the clear", size)
		}
		c, err := ParseCiphertext(blob, f.macs)
		if err != nil || c.KeyID != f.id || c.MaterialID != f.material {
			t.Fatalf("%d bytes: parsed %v %v, %v", size, c.KeyID, c.MaterialID, err)
		}
		out, err := c.Open([]byte("prefix"), f.aead, testAccount, Context{"a": "b"})
		if err != nil || string(out) != "prefix"+string(plaintext) {
			t.Errorf("%d bytes do not come back after a prefix: %v", size, err)
		}
		if again := f.seal(t, plaintext, Context{"a": "b"}); bytes.Equal(again, blob) {
			t.Error("sealed twice, the bytes are the same")
		}
	}
	blob, err := Seal([]byte("prefix"), []byte("p"), XAES, f.id, f.material, f.aead, f.macs[2], testAccount, nil)
	if err != nil || string(blob[:6]) != "prefix" {
		t.Fatalf("Seal after a prefix: %v", err)
	}
	if out, err := f.open(blob[6:], testAccount, nil); err != nil || string(out) != "p" {
		t.Errorf("sealed after a prefix, by another version: %q, %v", out, err)
	}
}

// TestEveryByte alters every byte: all of them must be refused alike, before the material is asked.
func TestEveryByte(t *testing.T) {
	f := newFixture(t)
	for _, size := range []int{0, 1, 33, 4096} {
		blob := f.seal(t, bytes.Repeat([]byte{'p'}, size), nil)
		for i := range blob {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				altered := bytes.Clone(blob)
				altered[i] ^= flip
				if _, err := ParseCiphertext(altered, f.macs); err != ErrCiphertext {
					t.Fatalf("size %d, byte %d ^ %#x: %v, want ErrCiphertext", size, i, flip, err)
				}
			}
		}
		for n := 0; n < len(blob); n += 1 + n/200 {
			if _, err := ParseCiphertext(blob[:n], f.macs); err != ErrCiphertext {
				t.Fatalf("size %d, cut to %d: %v, want ErrCiphertext", size, n, err)
			}
		}
		for _, more := range []int{1, 16, 5000} {
			if _, err := ParseCiphertext(append(bytes.Clone(blob), make([]byte, more)...), f.macs); err != ErrCiphertext {
				t.Fatalf("size %d, %d bytes more: %v, want ErrCiphertext", size, more, err)
			}
		}
	}
}

func TestKeyringVersion(t *testing.T) {
	f := newFixture(t)
	blob := f.seal(t, []byte("p"), nil)
	if _, err := ParseCiphertext(blob, ring{}); err != ErrCiphertext {
		t.Errorf("unknown version: %v", err)
	}
	if _, err := ParseCiphertext(blob, ring{1: f.macs[2]}); err != ErrCiphertext {
		t.Errorf("another key of that version: %v", err)
	}
	// The version itself is under the MAC.
	same := bytes.Repeat([]byte{7}, 32)
	macs := ring{1: NewMACKey(1, same), 2: NewMACKey(2, same)}
	binary.BigEndian.PutUint32(blob[3:], 2)
	if _, err := ParseCiphertext(blob, macs); err != ErrCiphertext {
		t.Errorf("version changed between equal keys: %v", err)
	}
}

// TestBinding opens with another account, context or material than it was sealed with.
func TestBinding(t *testing.T) {
	f := newFixture(t)
	otherAEAD, err := xaes.New(bytes.Repeat([]byte{6}, 32))
	if err != nil {
		t.Fatal(err)
	}
	big := Context{}
	for i := range 40 {
		big[fmt.Sprint("name", i)] = strings.Repeat("v", i)
	}
	contexts := []Context{
		nil, {"": ""}, {"a": "bc"}, {"ab": "c"}, {"abc": ""}, {"": "abc"}, {"a": "b", "c": ""}, {"a": "b", "c": "d"}, {"a": "d", "c": "b"},
		{"a": "bc", "d": ""}, {"A": "bc"}, {"a": "bc\x00"}, {"é": "x"}, {"e\u0301": "x"}, big,
	}
	for i, sealed := range contexts {
		blob := f.seal(t, []byte("p"), sealed)
		for j, given := range contexts {
			_, err := f.open(blob, testAccount, given)
			if (err == nil) != (i == j) || err != nil && err != ErrCiphertext {
				t.Errorf("sealed with %q, opened with %q: %v", sealed, given, err)
			}
		}
		if _, err := f.open(blob, "111122223334", sealed); err != ErrCiphertext {
			t.Errorf("another account: %v", err)
		}
		if _, err := f.open(blob, "", sealed); err != ErrCiphertext {
			t.Errorf("no account: %v", err)
		}
		c, err := ParseCiphertext(blob, f.macs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(nil, otherAEAD, testAccount, sealed); err != ErrCiphertext {
			t.Errorf("another material: %v", err)
		}
	}
	if out, err := f.open(f.seal(t, []byte("p"), Context{}), testAccount, nil); err != nil || string(out) != "p" {
		t.Errorf("an empty context is not the same as none: %v", err)
	}
}

// TestContextOrder builds one context in different orders: map iteration must not show.
func TestContextOrder(t *testing.T) {
	f := newFixture(t)
	for n := range 30 {
		one, two := Context{}, Context{}
		for i := range n {
			one[fmt.Sprint(i)] = "v"
			two[fmt.Sprint(n-1-i)] = "v"
		}
		if _, err := f.open(f.seal(t, []byte("p"), one), testAccount, two); err != nil {
			t.Errorf("%d entries in another order: %v", n, err)
		}
	}
}

// TestHeaderIsBound takes a body under another header with a good MAC: the body must not open.
func TestHeaderIsBound(t *testing.T) {
	f := newFixture(t)
	blob := f.seal(t, []byte("p"), nil)
	other := NewKeyID()
	copy(blob[7:23], other.id[:])
	var sum [macSize]byte
	f.macs[1].sum(&sum, blob)
	copy(blob[macOffset:], sum[:])
	c, err := ParseCiphertext(blob, f.macs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(nil, f.aead, testAccount, nil); !errors.Is(err, ErrCiphertext) {
		t.Errorf("a body under the header of another key: %v", err)
	}
}

func FuzzParseCiphertext(f *testing.F) {
	fx := newFixture(f)
	blob := fx.seal(f, []byte("plaintext"), Context{"a": "b"})
	f.Add([]byte{}, uint16(0), byte(1))
	f.Add(blob, uint16(0), byte(1))
	f.Add(blob[:Overhead], uint16(70), byte(0x80))
	f.Add(bytes.Repeat([]byte{1}, MaxCiphertext+1), uint16(5000), byte(0xff))
	f.Fuzz(func(t *testing.T, data []byte, offset uint16, flip byte) {
		// Bytes made by nobody: only those that were sealed parse.
		if c, err := ParseCiphertext(data, fx.macs); err == nil {
			if len(data) > MaxCiphertext || !bytes.Equal(data[7:23], c.KeyID.id[:]) {
				t.Fatalf("parsed %x", data)
			}
			if _, err := c.Open(nil, fx.aead, testAccount, Context{"a": "b"}); err != nil && err != ErrCiphertext {
				t.Fatalf("Open: %v", err)
			}
		} else if err != ErrCiphertext {
			t.Fatalf("ParseCiphertext: %v", err)
		}
		// A sealed one opens, and no altered one does.
		if len(data) > 4096 {
			data = data[:4096]
		}
		sealed := fx.seal(t, data, Context{"a": "b"})
		out, err := fx.open(sealed, testAccount, Context{"a": "b"})
		if err != nil || !bytes.Equal(out, data) {
			t.Fatalf("round trip: %v", err)
		}
		if flip == 0 {
			sealed = sealed[:int(offset)%len(sealed)]
		} else {
			sealed[int(offset)%len(sealed)] ^= flip
		}
		if _, err := ParseCiphertext(sealed, fx.macs); err != ErrCiphertext {
			t.Fatalf("altered at %d by %#x: %v", offset, flip, err)
		}
	})
}

// corpusEntry is a ciphertext made by an earlier version, with all it takes to open it. Everything in it is test data.
type corpusEntry struct {
	Name       string            `json:"name"`
	Algorithm  Algorithm         `json:"algorithm,omitempty"` // absent: XAES
	Key        string            `json:"keyId"`
	Secret     string            `json:"material"` // hexadecimal, as what follows
	Version    uint32            `json:"keyringVersion"`
	MAC        string            `json:"macKey"`
	Account    string            `json:"account"`
	Context    map[string]string `json:"encryptionContext,omitempty"`
	Plaintext  string            `json:"plaintext"`
	Ciphertext string            `json:"ciphertext"`
}

const corpusFile = "testdata/ciphertexts.json"

// TestCompatibility opens what earlier versions made. Entries are only ever added: losing one is losing somebody's data.
func TestCompatibility(t *testing.T) {
	text, err := os.ReadFile(corpusFile)
	if err != nil {
		t.Fatal(err)
	}
	var corpus []corpusEntry
	if err := json.Unmarshal(text, &corpus); err != nil {
		t.Fatal(err)
	}
	if *update {
		corpus = writeCorpus(t, corpus)
	}
	if len(corpus) < 9 {
		t.Fatalf("%d ciphertexts, there were 9", len(corpus))
	}
	for _, e := range corpus {
		t.Run(e.Name, func(t *testing.T) {
			id, _ := ParseKeyID(e.Key)
			secret := unhexAll(t, e.Secret)
			material, err := NewMaterialID(secret, id)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseCiphertext(unhexAll(t, e.Ciphertext), ring{e.Version: NewMACKey(e.Version, unhexAll(t, e.MAC))})
			if err != nil || c.KeyID != id || c.MaterialID != material || c.Algorithm != max(e.Algorithm, XAES) {
				t.Fatalf("names key %v, material %v, %v; want %v, %v", c.KeyID, c.MaterialID, err, id, material)
			}
			aead, err := xaes.New(secret)
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.Open(nil, aead, e.Account, e.Context)
			if err != nil || hex.EncodeToString(out) != e.Plaintext {
				t.Errorf("opens to %x, %v", out, err)
			}
		})
	}
}

func unhexAll(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeCorpus adds to the file what is not in it yet. Bodies of other algorithms than XAES are others' affair: any stands for them.
func writeCorpus(t *testing.T, corpus []corpusEntry) []corpusEntry {
	t.Helper()
	for i, c := range []struct {
		name      string
		version   uint32
		context   Context
		plaintext string
	}{
		{"one byte, no context", 1, nil, "x"},
		{"context of one", 1, Context{"a": "bc"}, "plaintext"},
		{"context of many", 1, Context{"b": "2", "a": "1", "": "", "aws:x": "é", "long": strings.Repeat("v", 300)}, "plaintext"},
		{"more names than fit the small buffer", 1, Context{"1": "", "2": "", "3": "", "4": "", "5": "", "6": "", "7": "", "8": "", "9": "", "10": ""}, "p"},
		{"later keyring version", 70000, Context{"a": "b"}, "plaintext"},
		{"block", 2, nil, strings.Repeat("0123456789abcdef", 16)},
		{"multi-Region key", 1, Context{"a": "b"}, "plaintext"},
		{"in a token", 1, Context{"a": "b"}, "plaintext"},
		{"in an external key store", 1, Context{"a": "b"}, "plaintext"},
	} {
		if slices.ContainsFunc(corpus, func(e corpusEntry) bool { return e.Name == c.name }) {
			continue
		}
		algorithm := map[string]Algorithm{"in a token": Token, "in an external key store": External}[c.name]
		secret, mac := bytes.Repeat([]byte{byte(i + 1)}, 32), bytes.Repeat([]byte{byte(0x81 + i)}, 32)
		id := KeyID{id: [16]byte{0x12, 0x34, 0xab, 0xcd, 0x12, 0xab, 0x44, 0xcd, 0x96, 0xef, 1, 2, 3, 4, 5, byte(i)}}
		if c.name == "multi-Region key" {
			id.kind = idMultiRegion
		}
		material, err := NewMaterialID(secret, id)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := xaes.New(secret)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := Seal(nil, []byte(c.plaintext), max(algorithm, XAES), id, material, aead, NewMACKey(c.version, mac), testAccount, c.context)
		if err != nil {
			t.Fatal(err)
		}
		corpus = append(corpus, corpusEntry{
			Name: c.name, Algorithm: algorithm, Key: id.String(), Secret: hex.EncodeToString(secret), Version: c.version, MAC: hex.EncodeToString(mac), Account: testAccount,
			Context: c.context, Plaintext: hex.EncodeToString([]byte(c.plaintext)), Ciphertext: hex.EncodeToString(blob),
		})
	}
	text, err := json.Marshal(corpus, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(corpusFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return corpus
}
