package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/xaes"
)

// forensics is somebody who has the files of a data directory and the seal, and looks for what was destroyed: not with keyturn, which
// finds only what its store leads to, but byte by byte.
type forensics struct {
	t        *testing.T
	files    map[string][]byte
	keyrings int // wrapped keyrings that open
	keys     map[uint32]map[string]bool
	values   [][]byte // what opens, from wherever it begins, with some bytes of nonsense behind
}

// maxOpened is how much of a value is opened: more than the values that matter have.
const maxOpened = 8 << 10

// investigate reads all files below dir and opens every keyring and every value in them that the seal opens; keyrings may come from
// another directory, as when somebody has copied values only.
func investigate(t *testing.T, dir, keyringsFrom string, p seal.Provider) *forensics {
	t.Helper()
	f := &forensics{t: t, files: readTree(t, dir), keys: make(map[uint32]map[string]bool)}
	from := f.files
	if keyringsFrom != dir {
		from = readTree(t, keyringsFrom)
	}
	for _, b := range from {
		f.openKeyrings(b, p)
	}
	for _, b := range f.files {
		f.openValues(b)
	}
	return f
}

func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files below %s, %v", len(files), dir, err)
	}
	return files
}

// openKeyrings finds each description of the store, of whatever time, unseals its root key and takes the keys of its keyring.
func (f *forensics) openKeyrings(b []byte, p seal.Provider) {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(`{"format":`))
		if i < 0 {
			return
		}
		at += i
		var meta struct {
			Format        int
			Deployment    string
			Dev           bool
			Provider      string
			Root, Keyring []byte
		}
		if json.NewDecoder(bytes.NewReader(b[at:])).Decode(&meta) != nil {
			continue // cut off
		}
		root, err := p.Unseal(f.t.Context(), meta.Root)
		if err != nil {
			continue
		}
		aead, err := xaes.New(root)
		if err != nil {
			f.t.Fatal(err)
		}
		binding := binary.BigEndian.AppendUint32([]byte("keyturn keyring"), uint32(meta.Format))
		binding = append(binding, map[bool]byte{true: 1}[meta.Dev])
		plain, err := aead.Open(nil, meta.Keyring, append(binding, meta.Deployment...))
		if err != nil {
			continue
		}
		var ring struct {
			Keys []struct {
				Version uint32
				Seal    []byte
			}
		}
		if err := json.Unmarshal(plain, &ring); err != nil {
			f.t.Fatal(err)
		}
		f.keyrings++
		for _, k := range ring.Keys {
			if len(k.Seal) == 0 {
				continue
			}
			if f.keys[k.Version] == nil {
				f.keys[k.Version] = make(map[string]bool)
			}
			f.keys[k.Version][string(k.Seal)] = true
		}
	}
}

// openValues decrypts whatever could be the beginning of a sealed value, without looking at its tag: nobody knows where it ends, and
// a torn copy is a copy.
func (f *forensics) openValues(b []byte) {
	const header = 5
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte{1, 0, 0, 0}) // the format, and the first three bytes of the version
		if i < 0 || at+i+header+24+aes.BlockSize > len(b) {
			return
		}
		at += i
		for key := range f.keys[binary.BigEndian.Uint32(b[at+1:])] {
			nonce, sealed := b[at+header:at+header+24], b[at+header+24:]
			stream := keystream(f.t, []byte(key), nonce)
			plain := make([]byte, min(len(sealed), maxOpened))
			stream.XORKeyStream(plain, sealed[:len(plain)])
			if bytes.HasPrefix(plain, []byte("\x01{\"by\":{")) { // schema 1 of records
				f.values = append(f.values, plain)
			}
		}
	}
}

// keystream is that of XAES-256-GCM (C2SP) behind the tag's block.
func keystream(t *testing.T, key, nonce []byte) cipher.Stream {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var k1 [aes.BlockSize]byte
	block.Encrypt(k1[:], k1[:])
	carry := k1[0] >> 7
	for i := range k1 {
		k1[i] <<= 1
		if i+1 < len(k1) {
			k1[i] |= k1[i+1] >> 7
		}
	}
	k1[15] ^= carry * 0x87
	derived := make([]byte, 32)
	for i := range 2 {
		m := append([]byte{0, byte(i + 1), 'X', 0}, nonce[:12]...)
		for j := range m {
			m[j] ^= k1[j]
		}
		block.Encrypt(derived[16*i:], m)
	}
	if block, err = aes.NewCipher(derived); err != nil {
		t.Fatal(err)
	}
	return cipher.NewCTR(block, append(slices.Clone(nonce[12:]), 0, 0, 0, 2))
}

// secrets returns the secrets in opened values that hold all the given texts, without repetition.
func (f *forensics) secrets(texts ...string) (found [][]byte) {
	seen := make(map[string]bool)
values:
	for _, v := range f.values {
		for _, text := range texts {
			if !bytes.Contains(v, []byte(text)) {
				continue values
			}
		}
		var r struct{ Secret string }
		if json.NewDecoder(bytes.NewReader(v[1:])).Decode(&r) != nil || r.Secret == "" || seen[r.Secret] {
			continue
		}
		seen[r.Secret] = true
		secret, err := base64.StdEncoding.DecodeString(r.Secret)
		if err != nil || !bytes.Contains(v, []byte(`"spec"`)) && !bytes.Contains(v, []byte(`"seq"`)) {
			secret = []byte(r.Secret) // a text
		}
		found = append(found, secret)
	}
	return found
}

// found counts the copies of a secret.
type found struct{ sealed, clear int }

// copies counts where each of some secrets is found: values that open and hold it, and any 32 bytes of it in the clear in any file, as they
// are; or all of it in hexadecimal or in base64.
func (f *forensics) copies(secrets map[string][]byte) map[string]found {
	counts := make(map[string]found)
	windows := make(map[[32]byte]string)
	var first [1 << 16]bool // the first two bytes of a window, which rule out most of a file
	for name, secret := range secrets {
		n := found{}
		encoded := base64.StdEncoding.EncodeToString(secret)
		for _, v := range f.values {
			if bytes.Contains(v, []byte(encoded)) || bytes.Contains(v, secret) {
				n.sealed++
			}
		}
		texts := []string{hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), strings.TrimRight(encoded, "=")}
		if len(secret) < 32 {
			texts = append(texts, string(secret))
		}
		for file, b := range f.files {
			for _, text := range texts {
				if bytes.Contains(b, []byte(text)) {
					n.clear++
					f.t.Logf("%s is encoded in %s", name, file)
				}
			}
		}
		counts[name] = n
		for i := 0; i+32 <= len(secret); i++ {
			windows[[32]byte(secret[i:])] = name
			first[binary.BigEndian.Uint16(secret[i:])] = true
		}
	}
	for file, b := range f.files {
		for i := 0; i+32 <= len(b); i++ {
			if !first[binary.BigEndian.Uint16(b[i:])] {
				continue
			}
			if name, ok := windows[[32]byte(b[i:])]; ok {
				n := counts[name]
				n.clear++
				counts[name] = n
				f.t.Logf("a part of %s is in %s at %d", name, file, i)
			}
		}
	}
	return counts
}

// TestForensics makes sure that the search finds what is there, however it is stored.
func TestForensics(t *testing.T) {
	dir := t.TempDir()
	secret := []byte("0123456789abcdef0123456789abcdef-and-more")
	for name, content := range map[string]string{
		"raw": "xx" + string(secret[5:40]) + "xx", "hex": hex.EncodeToString(secret), "base64": "x" + base64.StdEncoding.EncodeToString(secret),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := investigate(t, dir, dir, seal.NewKeyFile(make([]byte, 32)))
	if n := f.copies(map[string][]byte{"it": secret})["it"]; n.sealed != 0 || n.clear != 35-32+1+2 {
		t.Errorf("found %+v", n)
	}
	// The keystream is that of package xaes.
	key := bytes.Repeat([]byte{7}, 32)
	aead, err := xaes.New(key)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := aead.Seal(nil, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(secret))
	keystream(t, key, sealed[:24]).XORKeyStream(got, sealed[24:24+len(got)])
	if !bytes.Equal(got, secret) {
		t.Errorf("decrypted to %q", got)
	}
}
