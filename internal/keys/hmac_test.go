package keys

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"
	"sync"
	"testing"
)

var hmacHashes = map[string]func() hash.Hash{
	"HMAC_SHA_224": sha256.New224, "HMAC_SHA_256": sha256.New, "HMAC_SHA_384": sha512.New384, "HMAC_SHA_512": sha512.New,
}

func TestHMACVectors(t *testing.T) {
	for _, g := range vectors[wycheproof](t, "wycheproof/hmac.json") {
		for _, v := range g.Tests {
			if fips140.Enforced() && len(v.Key) < 14 {
				continue // the library panics: FIPS 140-3 asks for 112 bits; a spec asks for more
			}
			key := newHMACKey(g.Algorithm, hmacHashes[g.Algorithm], v.Key)
			if got := bytes.Equal(key.MAC(g.Algorithm, v.Msg), v.Tag); got != (v.Result == "valid") {
				t.Errorf("%s %d %s: equal %v", g.Source, v.ID, v.Comment, got)
			}
			if err := key.VerifyMAC(g.Algorithm, v.Msg, v.Tag); (err == nil) != (v.Result == "valid") || err != nil && err != ErrMAC {
				t.Errorf("%s %d %s: %v", g.Source, v.ID, v.Comment, err)
			}
		}
	}
}

// RFC 4231, test cases 1, 2 and 7.
func TestHMACRFC4231(t *testing.T) {
	for _, v := range []struct {
		key, message string
		macs         map[string]string
	}{
		{strings.Repeat("\x0b", 20), "Hi There", map[string]string{
			"HMAC_SHA_224": "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
			"HMAC_SHA_256": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"HMAC_SHA_384": "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
			"HMAC_SHA_512": "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
		}},
		{"Jefe", "what do ya want for nothing?", map[string]string{
			"HMAC_SHA_224": "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
			"HMAC_SHA_256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"HMAC_SHA_384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
			"HMAC_SHA_512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		}},
		{strings.Repeat("\xaa", 131), "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.", map[string]string{
			"HMAC_SHA_224": "3a854166ac5d9f023f54d517d0b39dbd946770db9c2b95c9f6f565d1",
			"HMAC_SHA_256": "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
			"HMAC_SHA_384": "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
			"HMAC_SHA_512": "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
		}},
	} {
		if fips140.Enforced() && len(v.key) < 14 {
			continue
		}
		for algorithm, mac := range v.macs {
			key := newHMACKey(algorithm, hmacHashes[algorithm], []byte(v.key))
			if got := key.MAC(algorithm, []byte(v.message)); !bytes.Equal(got, unhexAll(t, mac)) {
				t.Errorf("%s, key of %d bytes: %x, want %s", algorithm, len(v.key), got, mac)
			}
		}
	}
}

func TestHMACMaterial(t *testing.T) {
	for name, size := range map[string]int{"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64} {
		spec := SpecByName(name)
		one, err1 := spec.NewMaterial()
		two, err2 := spec.NewMaterial()
		if err1 != nil || err2 != nil || len(one) != size || bytes.Equal(one, two) {
			t.Errorf("%s: materials of %d and %d bytes: %v, %v", name, len(one), len(two), err1, err2)
		}
		for n, ok := range map[int]bool{0: false, size - 1: false, size: true, size + 1: true, 128: true, 129: false, 4096: false} {
			material := bytes.Repeat([]byte{5}, n)
			stored, err := spec.Import(material)
			if ok != (err == nil) || err != nil && err != ErrMaterial || ok && !bytes.Equal(stored, material) {
				t.Errorf("%s: %d bytes imported: %v", name, n, err)
			}
			if _, err := spec.Open(material); ok != (err == nil) || err != nil && err != ErrMaterial {
				t.Errorf("%s: %d bytes opened: %v", name, n, err)
			}
		}
		if spec.Rotates || len(spec.MACAlgorithms) != 1 || len(spec.Usages) != 1 || spec.Usages[0] != GenerateMAC {
			t.Errorf("%s: %+v", name, spec)
		}
	}
}

func TestHMACVerify(t *testing.T) {
	for _, spec := range hmacSpecs {
		key, algorithm := newKey(t, spec).(MACer), spec.MACAlgorithms[0]
		mac := key.MAC(algorithm, []byte("message"))
		if err := key.VerifyMAC(algorithm, []byte("message"), mac); err != nil {
			t.Errorf("%s: %v", spec.Name, err)
		}
		if err := key.VerifyMAC(algorithm, []byte("massage"), mac); err != ErrMAC {
			t.Errorf("%s, another message: %v", spec.Name, err)
		}
		for n := range mac { // every shorter one, the empty one included
			if err := key.VerifyMAC(algorithm, []byte("message"), mac[:n]); err != ErrMAC {
				t.Errorf("%s cut to %d bytes: %v", spec.Name, n, err)
			}
			bad := bytes.Clone(mac)
			bad[n] ^= 0x80
			if err := key.VerifyMAC(algorithm, []byte("message"), bad); err != ErrMAC {
				t.Errorf("%s with byte %d altered: %v", spec.Name, n, err)
			}
		}
		if err := key.VerifyMAC(algorithm, []byte("message"), append(bytes.Clone(mac), 0)); err != ErrMAC {
			t.Errorf("%s, longer: %v", spec.Name, err)
		}
		if err := newKey(t, spec).(MACer).VerifyMAC(algorithm, []byte("message"), mac); err != ErrMAC {
			t.Errorf("%s, another key: %v", spec.Name, err)
		}
		if err := key.VerifyMAC("HMAC_SHA_1", []byte("message"), mac); err != errAlgorithm {
			t.Errorf("%s verifies by another algorithm: %v", spec.Name, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s makes a MAC by another algorithm", spec.Name)
				}
			}()
			key.MAC("HMAC_SHA_1", nil)
		}()
	}
}

// The pool hands every goroutine an HMAC of its own, whatever the one before left in it.
func TestHMACConcurrent(t *testing.T) {
	key := newKey(t, hmacSpecs[1]).(*hmacKey)
	want := map[byte][]byte{}
	for b := range byte(16) {
		want[b] = key.MAC("HMAC_SHA_256", bytes.Repeat([]byte{b}, 100))
	}
	var wg sync.WaitGroup
	for b, mac := range want {
		wg.Go(func() {
			for range 200 {
				if got := key.MAC("HMAC_SHA_256", bytes.Repeat([]byte{b}, 100)); !bytes.Equal(got, mac) {
					t.Errorf("MAC of %d: %x, want %x", b, got, mac)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzImportHMAC(f *testing.F) {
	f.Add(make([]byte, 28))
	f.Add(make([]byte, 128))
	f.Fuzz(func(t *testing.T, material []byte) {
		for _, spec := range hmacSpecs {
			stored, err := spec.Import(material)
			_, openErr := spec.Open(material)
			if (err == nil) != (openErr == nil) || err == nil && !bytes.Equal(stored, material) {
				t.Fatalf("%s: %v, %v", spec.Name, err, openErr)
			}
		}
	})
}
