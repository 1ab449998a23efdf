package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"testing"
)

func TestEd25519VerifyVectors(t *testing.T) {
	for _, g := range vectors[wycheproof](t, "wycheproof/ed25519.json") {
		parsed, err := x509.ParsePKIXPublicKey(g.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		key, err := newEdPublic(parsed.(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			var want error
			if v.Result != "valid" {
				want = ErrSignature
			}
			if err := key.Verify(edPure, Raw, v.Msg, v.Sig); err != want {
				t.Errorf("%d %s: %v", v.ID, v.Comment, err)
			}
		}
	}
}

// edSeed makes a stored key of a seed: RFC 8410's PKCS #8 is a fixed head before it.
func edSeed(t *testing.T, seed string) *edKey {
	t.Helper()
	key, err := openEd25519(append(unhexAll(t, "302e020100300506032b657004220420"), unhexAll(t, seed)...))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// RFC 8032, sections 7.1 (tests 1 to 3) and 7.3.
func TestEd25519SignVectors(t *testing.T) {
	abc := sha512.Sum512([]byte("abc"))
	for _, v := range []struct {
		algorithm string
		by        MessageType
		seed, pub string
		message   []byte
		signature string
	}{
		{edPure, Raw, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", nil,
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{edPure, Raw, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", []byte{0x72},
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{edPure, Raw, "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", []byte{0xaf, 0x82},
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
		{edPH, Digest, "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", abc[:],
			"98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"},
	} {
		key := edSeed(t, v.seed)
		if want := append(unhexAll(t, "302a300506032b6570032100"), unhexAll(t, v.pub)...); !bytes.Equal(key.PublicKey(), want) {
			t.Errorf("public key %x, want %x", key.PublicKey(), want)
		}
		sig, err := key.Sign(v.algorithm, v.by, v.message)
		if err != nil || !bytes.Equal(sig, unhexAll(t, v.signature)) {
			t.Errorf("%s %x: %x, %v", v.algorithm, v.message, sig, err)
		}
		if err := key.Verify(v.algorithm, v.by, v.message, sig); err != nil {
			t.Error(err)
		}
		for i := range sig {
			sig[i] ^= 1
			if err := key.Verify(v.algorithm, v.by, v.message, sig); err != ErrSignature {
				t.Errorf("byte %d altered: %v", i, err)
			}
			sig[i] ^= 1
		}
		for name, bad := range map[string][]byte{"none": nil, "cut": sig[:63], "longer": append(bytes.Clone(sig), 0)} {
			if err := key.Verify(v.algorithm, v.by, v.message, bad); err != ErrSignature {
				t.Errorf("signature %s: %v", name, err)
			}
		}
	}
}

func TestEd25519MessageTypes(t *testing.T) {
	key := newKey(t, ed25519Specs[0]).(*edKey)
	digest := make([]byte, sha512.Size)
	for _, v := range []struct {
		algorithm string
		by        MessageType
		message   []byte
		want      error
	}{
		{edPure, Raw, digest, nil}, {edPure, Digest, digest, ErrMessageType}, {edPure, ExternalMu, digest, ErrMessageType}, {edPure, "", digest, ErrMessageType},
		{edPH, Digest, digest, nil}, {edPH, Raw, digest, ErrMessageType}, {edPH, ExternalMu, digest, ErrMessageType}, {edPH, Digest, digest[1:], ErrDigestLength},
		{edPH, Digest, make([]byte, 65), ErrDigestLength}, {edPH, Digest, nil, ErrDigestLength}, {"ECDSA_SHA_512", Digest, digest, errAlgorithm},
	} {
		sig, err := key.Sign(v.algorithm, v.by, v.message)
		if err != v.want {
			t.Errorf("%s %s, %d bytes: %v, want %v", v.algorithm, v.by, len(v.message), err, v.want)
		}
		if err := key.Verify(v.algorithm, v.by, v.message, sig); err != v.want {
			t.Errorf("%s %s, %d bytes verified: %v, want %v", v.algorithm, v.by, len(v.message), err, v.want)
		}
		if v.want == nil { // The two algorithms never take each other's signatures.
			other, by := edPH, Digest
			if v.algorithm == edPH {
				other, by = edPure, Raw
			}
			if err := key.Verify(other, by, v.message, sig); err != ErrSignature {
				t.Errorf("a signature by %s verifies by %s: %v", v.algorithm, other, err)
			}
		}
	}
}

func TestEd25519Material(t *testing.T) {
	if SpecByName("ECC_NIST_EDWARDS25519").Import != nil {
		t.Error("can be imported; AWS KMS does not list it")
	}
	stored, err := edSeed(t, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").PKCS8()
	if err != nil || len(stored) != 48 {
		t.Fatalf("%d bytes, %v", len(stored), err)
	}
	ec, err := eccSpecs[0].NewMaterial()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"nothing": nil, "cut": stored[:47], "trailing": append(bytes.Clone(stored), 0), "seed": stored[16:], "P-256": ec, "long": make([]byte, maxPKCS8+1)} {
		if _, err := openEd25519(bad); !errors.Is(err, ErrMaterial) {
			t.Errorf("%s opens: %v", name, err)
		}
	}
}
