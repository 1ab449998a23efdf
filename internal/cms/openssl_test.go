package cms

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// openssl runs openssl cms in a folder, and returns what it prints.
func openssl(t *testing.T, dir string, args ...string) []byte {
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
		t.Fatalf("openssl %q: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Another implementation opens what Envelop makes, and makes what Open opens.
func TestOpenSSL(t *testing.T) {
	key, dir := testKey(t), t.TempDir()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "recipient"}, SubjectKeyId: id[:],
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))

	for _, n := range []int{1, 32, 1000, 2375, MaxPlaintext} {
		plaintext := make([]byte, n)
		rand.Read(plaintext)
		message, err := Envelop(plaintext, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "message.ber", message)
		// The certificate makes openssl look for the recipient by its subjectKeyIdentifier.
		got := openssl(t, dir, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "message.ber", "-inkey", "key.pem", "-recip", "cert.pem")
		if !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: openssl opens %d", n, len(got))
		}
	}

	plaintext := bytes.Repeat([]byte("plaintext "), 150)
	write(t, dir, "plaintext", plaintext)
	for _, stream := range []string{"-nostream", "-stream"} { // DER, and BER with pieces
		message := openssl(t, dir, "cms", "-encrypt", "-binary", stream, "-outform", "DER", "-aes256", "-in", "plaintext",
			"-keyid", "-recip", "cert.pem", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256")
		got, err := Open(message, key)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%s: %d bytes, %v\n%x", stream, len(got), err, message)
		}
	}
}
