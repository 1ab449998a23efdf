package keywrap

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkKWP checks both directions of one vector.
func checkKWP(t *testing.T, name string, kek, plaintext, wrapped []byte) {
	t.Helper()
	if got, err := kwpWrap(kek, plaintext); err != nil || !bytes.Equal(got, wrapped) {
		t.Errorf("%s: wrapped %x, %v; want %x", name, got, err, wrapped)
	}
	if got, err := kwpUnwrap(kek, wrapped); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%s: unwrapped %x, %v; want %x", name, got, err, plaintext)
	}
}

// The examples of RFC 5649, section 6.
func TestKWPExamples(t *testing.T) {
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	checkKWP(t, "20 octets", kek, unhex(t, "c37b7e6492584340bed12207808941155068f738"),
		unhex(t, "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"))
	checkKWP(t, "7 octets", kek, unhex(t, "466f7250617369"), unhex(t, "afbeb0f07dfbf5419200f2ccb50bb24f"))
}

// lines calls f with the fields of every line of a file of vectors, and returns how many there were.
func lines(t *testing.T, name string, f func(fields []string)) int {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		if line := s.Text(); !strings.HasPrefix(line, "#") {
			f(strings.Fields(line))
			n++
		}
	}
	return n
}

func TestKWPNIST(t *testing.T) {
	refused := 0
	n := lines(t, "nist-kwp-ad.txt", func(f []string) {
		kek, wrapped := unhex(t, f[0]), unhex(t, f[1])
		if f[2] != "FAIL" {
			checkKWP(t, "key "+f[0], kek, unhex(t, f[2]), wrapped)
			return
		}
		refused++
		if got, err := kwpUnwrap(kek, wrapped); !errors.Is(err, ErrUnwrap) || got != nil {
			t.Errorf("key %s: unwrapped %x, %v; want a refusal", f[0], got, err)
		}
	})
	if n != 162 || refused != 32 {
		t.Errorf("%d vectors, %d of them refused; want 162 and 32", n, refused)
	}
}

func TestKWPWycheproof(t *testing.T) {
	n := lines(t, "wycheproof-kwp.txt", func(f []string) {
		kek, plaintext, wrapped := unhex(t, f[1]), unhex(t, strings.TrimPrefix(f[2], "-")), unhex(t, f[3])
		if f[4] == "valid" {
			checkKWP(t, "test "+f[0], kek, plaintext, wrapped)
		} else if got, err := kwpUnwrap(kek, wrapped); !errors.Is(err, ErrUnwrap) || got != nil {
			t.Errorf("test %s: unwrapped %x, %v; want a refusal", f[0], got, err)
		}
	})
	if n != 254 {
		t.Errorf("%d vectors, want 254", n)
	}
}

// rewrap wraps semiblocks as they stand, right or wrong: unwrapping runs the rounds backwards, so it is written out once more here,
// from RFC 3394, section 2.2.1.
func rewrap(t *testing.T, kek, a, r []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	out := slices.Concat(a, r)
	if len(r) == 8 {
		block.Encrypt(out, out)
		return out
	}
	counter := uint64(0)
	for range 6 {
		for i := 8; i < len(out); i += 8 {
			b := slices.Concat(out[:8], out[i:i+8])
			block.Encrypt(b, b)
			counter++
			binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(b)^counter)
			copy(out[i:], b[8:])
		}
	}
	return out
}

// Every combination of a wrong prefix, a length that does not fit and padding that is not zero is refused.
func TestKWPChecks(t *testing.T) {
	kek := bytes.Repeat([]byte{7}, kekSize)
	for _, c := range []struct {
		name, a, r string
		ok         bool
	}{
		{"right", "a65959a600000009", "01020304050607080900000000000000", true},
		{"full", "a65959a600000010", "0102030405060708090a0b0c0d0e0f10", true},
		{"prefix", "a65959a700000009", "01020304050607080900000000000000", false},
		{"prefix's top bit", "265959a600000009", "01020304050607080900000000000000", false},
		{"a semiblock too many", "a65959a600000008", "01020304050607080000000000000000", false},
		{"a semiblock too few", "a65959a600000011", "0102030405060708090a0b0c0d0e0f10", false},
		{"no length", "a65959a600000000", "00000000000000000000000000000000", false},
		{"negative length", "a65959a680000009", "01020304050607080900000000000000", false},
		{"longest length", "a65959a6ffffffff", "01020304050607080900000000000000", false},
		{"longest positive length", "a65959a67fffffff", "01020304050607080900000000000000", false},
		{"first of the padding", "a65959a600000009", "01020304050607080901000000000000", false},
		{"last of the padding", "a65959a600000009", "01020304050607080900000000000080", false},
		{"one semiblock", "a65959a600000001", "0100000000000000", true},
		{"one semiblock without length", "a65959a600000000", "0000000000000000", false},
		{"one semiblock, padding", "a65959a600000001", "0100000000000001", false},
		{"one semiblock, too long", "a65959a600000009", "0102030405060708", false},
	} {
		got, err := kwpUnwrap(kek, rewrap(t, kek, unhex(t, c.a), unhex(t, c.r)))
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrUnwrap) {
			t.Errorf("%s: %x, %v; want success: %v", c.name, got, err, c.ok)
		}
	}
	for _, n := range []int{0, 1, 7, 8, 15, 17, 23, 25} {
		if _, err := kwpUnwrap(kek, make([]byte, n)); !errors.Is(err, ErrUnwrap) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := kwpWrap(kek, nil); !errors.Is(err, ErrMaterialLength) {
		t.Errorf("nothing to wrap: %v", err)
	}
	if _, err := kwpUnwrap(kek[:5], make([]byte, 16)); !errors.Is(err, ErrUnwrap) {
		t.Errorf("a key of 5 bytes: %v", err)
	}
}

// FuzzKWP: what unwraps is exactly what wrapping its plaintext gives, so nothing can be altered.
func FuzzKWP(f *testing.F) {
	for _, n := range []int{1, 7, 8, 9, 16, 33} {
		wrapped, err := kwpWrap(make([]byte, kekSize), bytes.Repeat([]byte{5}, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(make([]byte, kekSize), wrapped)
	}
	f.Fuzz(func(t *testing.T, kek, wrapped []byte) {
		plaintext, err := kwpUnwrap(kek, wrapped)
		if err != nil {
			if !errors.Is(err, ErrUnwrap) || plaintext != nil {
				t.Fatalf("%x, %v", plaintext, err)
			}
			return
		}
		if again, err := kwpWrap(kek, plaintext); err != nil || !bytes.Equal(again, wrapped) {
			t.Fatalf("wraps to %x, %v; was %x", again, err, wrapped)
		}
	})
}
