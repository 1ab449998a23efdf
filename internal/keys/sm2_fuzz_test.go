package keys

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
)

// FuzzSM2Decrypt: what decrypts is the one encoding of its parts.
func FuzzSM2Decrypt(f *testing.F) {
	k := testStandardSM2Key(f)
	for _, size := range []int{1, 40} {
		c, err := k.Encrypt("SM2PKE", make([]byte, size))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c)
	}
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, c []byte) {
		plaintext, err := k.Decrypt("SM2PKE", c)
		if err != nil {
			if !errors.Is(err, ErrCiphertext) || plaintext != nil {
				t.Fatalf("%x, %v", plaintext, err)
			}
			return
		}
		var parts sm2ASN1
		if _, err := asn1.Unmarshal(c, &parts); err != nil || !bytes.Equal(marshalASN1(t, parts), c) || len(parts.C2) != len(plaintext) {
			t.Fatalf("a second encoding: %x, %v", c, err)
		}
	})
}

// FuzzSM2Peer: a peer that is taken encodes to itself.
func FuzzSM2Peer(f *testing.F) {
	k := testStandardSM2Key(f)
	f.Add(k.PublicKey())
	f.Add(k.PublicKey()[:90])
	f.Fuzz(func(t *testing.T, peer []byte) {
		secret, err := k.SharedSecret("ECDH", peer)
		if err != nil {
			if !errors.Is(err, ErrPeer) {
				t.Fatal(err)
			}
			return
		}
		if len(secret) != 32 || !bytes.Equal(marshalECPublic(oidSM2, peer[len(peer)-65:]), peer) {
			t.Fatalf("%x: %x", peer, secret)
		}
	})
}

// FuzzSM2Import: what is imported opens, and imports to itself.
func FuzzSM2Import(f *testing.F) {
	skipInFIPS(f)
	f.Add(fromHex(f, loadSM2().OpenSSL.PKCS8))
	f.Add(fromHex(f, loadSM2().OpenSSL.WithoutPublic))
	for _, encoded := range testSM2Encodings(f) {
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		material, err := SpecByName("SM2").Import(encoded)
		if err != nil {
			if !errors.Is(err, ErrMaterial) {
				t.Fatal(err)
			}
			return
		}
		again, err := SpecByName("SM2").Import(material)
		if err != nil || !bytes.Equal(material, again) {
			t.Fatalf("%x, then %x, %v", material, again, err)
		}
		testSM2Key(t, material)
	})
}

// FuzzSM2Verify: no second encoding of a signature verifies.
func FuzzSM2Verify(f *testing.F) {
	k, message := testStandardSM2Key(f), []byte("message digest")
	signature, err := k.Sign("SM2DSA", Raw, message)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signature)
	f.Add(append(bytes.Clone(signature), 0))
	f.Fuzz(func(t *testing.T, s []byte) {
		var parts struct{ R, S *big.Int }
		if k.Verify("SM2DSA", Raw, message, s) != nil {
			return
		}
		if _, err := asn1.Unmarshal(s, &parts); err != nil || !bytes.Equal(marshalASN1(t, parts), s) {
			t.Fatalf("a second encoding: %x, %v", s, err)
		}
	})
}
