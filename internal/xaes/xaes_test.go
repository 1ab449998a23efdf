package xaes

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"testing"
)

// The vectors of the C2SP specification.
func TestPublishedVectors(t *testing.T) {
	for _, v := range []struct {
		key             byte
		aad, ciphertext string
	}{
		{0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{0x03, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		a, err := New(bytes.Repeat([]byte{v.key}, KeySize))
		if err != nil {
			t.Fatal(err)
		}
		ct, _ := hex.DecodeString(v.ciphertext)
		got, err := a.Open(nil, append([]byte("ABCDEFGHIJKLMNOPQRSTUVWX"), ct...), []byte(v.aad))
		if err != nil || string(got) != "XAES-256-GCM" {
			t.Errorf("key %#x: %q, %v", v.key, got, err)
		}
	}
}

// sealWith seals with a nonce of the caller's choice, which the package itself never does.
func sealWith(t *testing.T, key, nonce, plaintext, aad []byte) []byte {
	t.Helper()
	a, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	var derived []byte
	for i := range 2 {
		in := append([]byte{0, byte(i + 1), 'X', 0}, nonce[:12]...)
		for j := range in {
			in[j] ^= a.subkey[j]
		}
		out := make([]byte, 16)
		a.block.Encrypt(out, in)
		derived = append(derived, out...)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(nil, nonce[12:], plaintext, aad)
}

// The accumulated vector of the specification: 10,000 random inputs, and we open each of them.
func TestAccumulatedVectors(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("the vectors need nonces of the test's choice, which FIPS 140-only mode refuses")
	}
	in, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte { b := make([]byte, n); in.Read(b); return b }
	for i := range 10_000 {
		key, nonce := read(KeySize), read(NonceSize)
		plaintext := read(int(read(1)[0]))
		aad := read(int(read(1)[0]))
		ct := sealWith(t, key, nonce, plaintext, aad)
		a, _ := New(key)
		got, err := a.Open(nil, append(bytes.Clone(nonce), ct...), aad)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("input %d does not open: %v", i, err)
		}
		sum.Write(ct)
	}
	out := make([]byte, 32)
	sum.Read(out)
	if got := hex.EncodeToString(out); got != "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939" {
		t.Errorf("accumulated %s", got)
	}
}

func TestRoundTripAndEveryAlteredByte(t *testing.T) {
	a, _ := New(bytes.Repeat([]byte{7}, KeySize))
	prefix := []byte("prefix")
	sealed, err := a.Seal(prefix, []byte("plaintext"), []byte("aad"))
	if err != nil || !bytes.HasPrefix(sealed, prefix) || len(sealed) != len(prefix)+9+Overhead {
		t.Fatalf("sealed %d bytes, %v", len(sealed), err)
	}
	sealed = sealed[len(prefix):]
	got, err := a.Open([]byte("x"), sealed, []byte("aad"))
	if err != nil || string(got) != "xplaintext" {
		t.Fatalf("%q, %v", got, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := a.Open(nil, bad, []byte("aad")); !errors.Is(err, ErrOpen) {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := a.Open(nil, sealed[:n], []byte("aad")); !errors.Is(err, ErrOpen) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := a.Open(nil, sealed, []byte("aae")); !errors.Is(err, ErrOpen) {
		t.Errorf("other additional data: %v", err)
	}
	again, _ := a.Seal(nil, []byte("plaintext"), []byte("aad"))
	if bytes.Equal(again, sealed) {
		t.Error("two seals are alike")
	}
	if _, err := New(make([]byte, 16)); err == nil {
		t.Error("a short key was taken")
	}
}

func BenchmarkSeal32(b *testing.B) {
	a, _ := New(make([]byte, KeySize))
	buf, plaintext := make([]byte, 0, 128), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		a.Seal(buf, plaintext, nil)
	}
}
