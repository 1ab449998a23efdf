package keywrap

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// openssl runs openssl in a folder, and returns what it prints.
func openssl(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	out, err := tryOpenSSL(t, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryOpenSSL is openssl for what not every build of it can do.
func tryOpenSSL(t *testing.T, dir string, args ...string) ([]byte, error) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on PATH")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("openssl %q: %w\n%s", args, err, stderr.Bytes())
	}
	return out, nil
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// keyFiles writes both halves of a key.
func keyFiles(t *testing.T, dir string, k *Key) {
	t.Helper()
	der, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "private.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(t, dir, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.PublicKey()}))
}

// Material wrapped as the Developer Guide tells users to ("Encrypt the key material", with OpenSSL) unwraps, and the other way
// round. This also has another implementation read our encodings of keys, of which the one of SM2 is written here.
func TestOpenSSL(t *testing.T) {
	oaep := func(md string) []string {
		return []string{"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:" + md, "-pkeyopt", "rsa_mgf1_md:" + md}
	}
	for algorithm, options := range map[string][]string{OAEPSHA1: oaep("sha1"), OAEPSHA256: oaep("sha256"), SM2PKE: nil} {
		t.Run(algorithm, func(t *testing.T) {
			skipNotApproved(t, algorithm)
			k, dir := testKey(t, specOf(algorithm)), t.TempDir()
			if algorithm == SM2PKE {
				if _, err := tryOpenSSL(t, dir, "ecparam", "-name", "SM2", "-noout"); err != nil {
					t.Skip("this openssl is built without SM2")
				}
			}
			keyFiles(t, dir, k)
			material := make([]byte, 32)
			rand.Read(material)
			write(t, dir, "material", material)
			wrapped := openssl(t, dir, append([]string{"pkeyutl", "-encrypt", "-in", "material", "-pubin", "-inkey", "public.pem"}, options...)...)
			if got, err := k.Unwrap(algorithm, wrapped); err != nil || !bytes.Equal(got, material) {
				t.Errorf("unwrapping what openssl wrapped: %x, %v", got, err)
			}
			wrapped, err := Wrap(algorithm, k.PublicKey(), material)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "wrapped", wrapped)
			if got := openssl(t, dir, append([]string{"pkeyutl", "-decrypt", "-in", "wrapped", "-inkey", "private.pem"}, options...)...); !bytes.Equal(got, material) {
				t.Errorf("openssl unwraps %x", got)
			}
		})
	}
	t.Run(AESWrapSHA256, func(t *testing.T) {
		k, dir := testKey(t, "RSA_2048"), t.TempDir()
		keyFiles(t, dir, k)
		material, kek := make([]byte, 1217), make([]byte, kekSize)
		rand.Read(material)
		rand.Read(kek)
		write(t, dir, "material", material)
		write(t, dir, "kek", kek)
		body, err := tryOpenSSL(t, dir, "enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(kek), "-iv", "A65959A6", "-in", "material")
		if err != nil {
			t.Skipf("this openssl enc has no key wrap: %v", err)
		}
		head := openssl(t, dir, append([]string{"pkeyutl", "-encrypt", "-in", "kek", "-pubin", "-inkey", "public.pem"}, oaep("sha256")...)...)
		if got, err := k.Unwrap(AESWrapSHA256, append(head, body...)); err != nil || !bytes.Equal(got, material) {
			t.Errorf("unwrapping what openssl wrapped: %d bytes, %v", len(got), err)
		}
	})
}
