package keywrap

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"testing"
)

// fuzzKey reads a key of testdata. They are fixed, because the processes of one run have to have the same.
func fuzzKey(f *testing.F, spec, file string) *Key {
	f.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		f.Fatalf("%s is not PEM", file)
	}
	k, err := Parse(spec, block.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	return k
}

// FuzzUnwrap: any bytes give material or ErrUnwrap. With splice they follow an AES key that does unwrap, so that the second half
// is reached, and then only what AES-KWP makes is taken. What code runs is partly random (an AES key that does not decrypt is
// replaced by a random one), so minimizing has to be kept short (-fuzzminimizetime, as scripts/fuzz does).
func FuzzUnwrap(f *testing.F) {
	rsaKey := fuzzKey(f, "RSA_2048", "rsa2048.pem")
	names := []string{OAEPSHA256, AESWrapSHA256}
	keys := map[string]*Key{OAEPSHA256: rsaKey, AESWrapSHA256: rsaKey, OAEPSHA1: rsaKey, AESWrapSHA1: rsaKey}
	if !fips140.Enforced() {
		names = append(names, OAEPSHA1, AESWrapSHA1, SM2PKE)
		keys[SM2PKE] = fuzzKey(f, "SM2", "sm2.pem")
	}
	kek := bytes.Repeat([]byte{9}, kekSize)
	head, err := rsa.EncryptOAEP(algorithms[AESWrapSHA256].hash.New(), rand.Reader, &rsaKey.rsa.PublicKey, kek, nil)
	if err != nil {
		f.Fatal(err)
	}
	for i, name := range names {
		wrapped, err := Wrap(name, keys[name].PublicKey(), make([]byte, 32))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), false, wrapped)
	}
	body, err := kwpWrap(kek, make([]byte, 30))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(1), true, body)
	f.Fuzz(func(t *testing.T, which byte, splice bool, b []byte) {
		name, wrapped := names[int(which)%len(names)], b
		if splice {
			name, wrapped = AESWrapSHA256, append(bytes.Clone(head), b...)
		}
		got, err := keys[name].Unwrap(name, wrapped)
		if err != nil && (err != ErrUnwrap || got != nil) || err == nil && len(got) == 0 {
			t.Fatalf("%s: %x, %v", name, got, err)
		}
		if splice && err == nil {
			if again, err := kwpWrap(kek, got); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("wraps to %x, %v; was %x", again, err, b)
			}
		}
	})
}
