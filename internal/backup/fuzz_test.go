package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/keyturn/keyturn/internal/seal"
)

// FuzzReader reads what somebody who can encrypt to the recipient may have put into a backup. What is taken is in order, within its bounds, and
// what its manifest says.
func FuzzReader(f *testing.F) {
	needsAge(f)
	text, err := os.ReadFile(corpusIdentity)
	if err != nil {
		f.Fatal(err)
	}
	ids, err := ParseIdentities(text, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range corpus[0].names {
		f.Add(decrypted(f, corpusFile(f, name), ids[0]))
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, plain []byte) {
		// A fuzzer cannot guess checksums: where the frames can be told, they are put right.
		tryReader(t, plain)
		if list, ok := cut(plain); ok {
			tryReader(t, join(list))
		}
	})
}

// cut is split for what may be no frames.
func cut(plain []byte) (list []rawFrame, ok bool) {
	if !bytes.HasPrefix(plain, []byte(magic)) {
		return nil, false
	}
	for rest := plain[len(magic):]; len(rest) > 0; {
		if len(rest) < frameHead+frameTail {
			return nil, false
		}
		n := int(rest[6])<<16 | int(rest[7])<<8 | int(rest[8])
		if n > len(rest)-frameHead-frameTail {
			return nil, false
		}
		list = append(list, rawFrame{frameKind(rest[0]), rest[frameHead : frameHead+n]})
		rest = rest[frameHead+n+frameTail:]
	}
	return list, true
}

func tryReader(t *testing.T, plain []byte) {
	r := &Reader{src: &source{}, found: Manifest{Kinds: map[string]int64{}}}
	if err := r.open(bytes.NewReader(plain)); err != nil {
		return
	}
	last, n := "", int64(0)
	for {
		it, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
		if it.Key <= last || it.Kept != (it.Rev == 0) || it.Rev > r.Header().Revision || len(it.Value) > maxFrame {
			t.Fatalf("taken after %q: %q at revision %d", last, it.Key, it.Rev)
		}
		last = it.Key
		n++
	}
	for {
		if _, err := r.Line(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return
		}
	}
	m, err := r.Finish()
	if err != nil {
		return
	}
	list := split(t, plain)
	sum := sha256.Sum256(join(list[:len(list)-1]))
	if m.Digest != hex.EncodeToString(sum[:]) || m.Entries+m.Kept != n {
		t.Fatalf("a manifest of another file was taken: %+v", m)
	}
}

// FuzzSealStanza opens what is in the place of a stanza for the seal.
func FuzzSealStanza(f *testing.F) {
	needsAge(f)
	var seen stanzas
	_, err := age.Decrypt(bytes.NewReader(corpusFile(f, "v1-seal-full.backup")), &seen)
	if len(seen) != 1 || err == nil {
		f.Fatalf("%d stanzas (%v)", len(seen), err)
	}
	genuine := seen[0].Body
	f.Add(genuine)
	f.Add(genuine[:10])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		id := NewSealIdentity(t.Context(), testProvider(1))
		key, err := id.Unwrap([]*age.Stanza{{Type: sealStanza, Args: []string{sealV1}, Body: body}})
		switch {
		case err == nil && (!bytes.Equal(body, genuine) || len(key) != 16):
			t.Fatal("something else than what was sealed opens")
		case err != nil && bytes.Equal(body, genuine):
			t.Fatal(err)
		case err != nil && !seal.IsDamage(err) && !errors.Is(err, ErrDamaged) && !errors.Is(err, seal.ErrFormat) && !errors.Is(err, age.ErrIncorrectIdentity):
			t.Fatalf("no documented error: %v", err)
		}
	})
}

// stanzas is an identity that keeps what it is shown, and opens nothing.
type stanzas []*age.Stanza

// Unwrap implements age.Identity.
func (s *stanzas) Unwrap(list []*age.Stanza) ([]byte, error) {
	*s = list
	return nil, age.ErrIncorrectIdentity
}

func corpusFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
