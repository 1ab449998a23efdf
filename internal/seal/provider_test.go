package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const fewIterations = 1000 // the least that PBKDF2 accepts in FIPS 140-only mode; enough for tests

func testPassphrase(text string) *Passphrase {
	return &Passphrase{passphrase: text, iterations: fewIterations}
}

func testKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestProviders(t *testing.T) {
	tests := []struct {
		name          string
		right, wrong  Provider
		fingerprintAt int
	}{
		{"key file", NewKeyFile(testKey(1)), NewKeyFile(testKey(2)), 1},
		{"passphrase", testPassphrase("correct horse battery"), testPassphrase("correct horse batterx"), 1 + 4 + saltSize},
	}
	root := testKey(9)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sealed, err := test.right.Seal(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed, root) {
				t.Error("the root key stands in what is stored")
			}
			if got, err := test.right.Unseal(t.Context(), sealed); err != nil || !bytes.Equal(got, root) {
				t.Errorf("Unseal: %v", err)
			}
			if _, err := test.wrong.Unseal(t.Context(), sealed); !errors.Is(err, ErrWrongKey) {
				t.Errorf("the wrong key: %v, want ErrWrongKey", err)
			}
			again, err := test.right.Seal(t.Context(), root)
			if err != nil || bytes.Equal(again, sealed) {
				t.Errorf("sealing twice gives the same bytes (%v)", err)
			}
			for n := range sealed {
				if _, err := test.right.Unseal(t.Context(), sealed[:n]); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
					t.Errorf("cut to %d bytes: %v", n, err)
				}
			}
			if _, err := test.right.Unseal(t.Context(), append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrDamaged) {
				t.Errorf("a byte more: %v, want ErrDamaged", err)
			}
			for i := range sealed {
				if test.name == "passphrase" && i >= 1 && i < 5 {
					continue // the iteration count: a higher one takes long
				}
				altered := bytes.Clone(sealed)
				altered[i] ^= 0x40
				want := ErrDamaged
				switch {
				case i == 0:
					want = ErrFormat
				case i < test.fingerprintAt+fingerprintSize: // the salt, or what tells the wrong key
					want = ErrWrongKey
				}
				if _, err := test.right.Unseal(t.Context(), altered); !errors.Is(err, want) {
					t.Errorf("byte %d altered: %v, want %v", i, err, want)
				}
			}
		})
	}
}

func TestIterationBounds(t *testing.T) {
	p := testPassphrase("correct horse battery")
	sealed, err := p.Seal(t.Context(), testKey(9))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint32{0, maxIterations + 1, 1<<32 - 1} {
		binary.BigEndian.PutUint32(sealed[1:], n)
		if _, err := p.Unseal(t.Context(), sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d iterations: %v, want ErrDamaged at once", n, err)
		}
	}
}

func TestPassphraseLength(t *testing.T) {
	for n, ok := range map[int]bool{0: false, 13: false, 14: true, 100: true} {
		p, err := NewPassphrase(strings.Repeat("p", n))
		if (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err == nil && p.iterations < 600_000 {
			t.Errorf("%d iterations", p.iterations)
		}
		if err != nil && n > 0 && strings.Contains(err.Error(), strings.Repeat("p", n)) {
			t.Errorf("the error repeats the passphrase: %v", err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	if _, err := OpenKeyFile(path); !errors.Is(err, ErrNoKey) {
		t.Errorf("no file: %v, want ErrNoKey", err)
	}
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyFile(path); err == nil {
		t.Error("a key file was made over another")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, good) {
		t.Errorf("the refused second one changed the file (%v)", err)
	}
	sealed, err := one.Seal(t.Context(), testKey(9))
	if err != nil {
		t.Fatal(err)
	}
	two, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := two.Unseal(t.Context(), sealed); err != nil || !bytes.Equal(root, testKey(9)) {
		t.Errorf("what one reading seals another does not open: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left beside the key file: %v, %v", entries, err)
	}

	if runtime.GOOS != "windows" {
		for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o611: false} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenKeyFile(path); (err == nil) != ok {
				t.Errorf("mode %o: %v", mode, err)
			}
		}
		os.Chmod(path, 0o600)
		link := filepath.Join(dir, "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		if err := CreateKeyFile(link); err == nil {
			t.Error("a key file was made through a symbolic link")
		}
		if _, err := OpenKeyFile(link); err != nil {
			t.Errorf("through a symbolic link, as secret mounts have them: %v", err)
		}
		os.Chmod(path, 0o644)
		if _, err := OpenKeyFile(link); err == nil {
			t.Error("through a symbolic link the mode of the file does not count")
		}
		dangling := filepath.Join(dir, "dangling")
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), dangling); err != nil {
			t.Fatal(err)
		}
		if err := CreateKeyFile(dangling); err == nil {
			t.Error("a key file was made where a dangling link points")
		}
		if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
			t.Error("a file stands where a dangling link points")
		}
	}
}

func TestBadKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(good))
	secret := strings.TrimPrefix(line, keyFilePrefix)
	for name, text := range map[string]string{
		"empty": "", "prefix only": keyFilePrefix, "no prefix": secret, "cut short": line[:len(line)-8], "longer": line + "AAAA",
		"another version": strings.Replace(line, "v1", "v2", 1), "two lines": line + "\n" + line, "huge": strings.Repeat("x", 2000),
		"trailing bits": line[:len(line)-2] + "/" + line[len(line)-1:], "not base64": keyFilePrefix + strings.Repeat("!", 44),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKeyFile(path)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), secret[:20]) {
				t.Errorf("the error repeats the key: %v", err)
			}
		})
	}
	for _, ending := range []string{"", "\n", "\r\n"} {
		if err := os.WriteFile(path, []byte(line+ending), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path); err != nil {
			t.Errorf("ending %q: %v", ending, err)
		}
	}
}
