package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/xaes"
)

// benchMessage is what is encrypted, signed and authenticated.
var benchMessage = make([]byte, 32)

// ownOperation is an operation next to the library's call that it is about.
type ownOperation struct {
	name    string
	create  string // the request that makes its key
	request func(b *testing.B, send sender, keyID string) func() []byte
	library func(b *testing.B) func() error // with a key of its own
}

func ownOperations() []ownOperation {
	const hash = crypto.SHA256
	digest := func() []byte { d := sha256.Sum256(benchMessage); return d[:] }
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	rsaKey := func(b *testing.B) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048))(b) }
	ecKey := func(b *testing.B) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(b) }
	verified := func(ok bool) error {
		if !ok {
			return rsa.ErrVerification
		}
		return nil
	}
	const (
		rsaSign = `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`
		ecSign  = `{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}`
		edSign  = `{"KeySpec":"ECC_NIST_EDWARDS25519","KeyUsage":"SIGN_VERIFY"}`
		pqSign  = `{"KeySpec":"ML_DSA_65","KeyUsage":"SIGN_VERIFY"}`
	)
	return []ownOperation{
		{"Sign/RSA_2048_PSS", rsaSign, sign("RSASSA_PSS_SHA_256"), func(b *testing.B) func() error {
			k := rsaKey(b)
			return func() error { _, err := rsa.SignPSS(rand.Reader, k, hash, digest(), pss); return err }
		}},
		{"Verify/RSA_2048_PSS", rsaSign, verifies("RSASSA_PSS_SHA_256"), func(b *testing.B) func() error {
			k := rsaKey(b)
			s := must(rsa.SignPSS(rand.Reader, k, hash, digest(), pss))(b)
			return func() error { return rsa.VerifyPSS(&k.PublicKey, hash, digest(), s, pss) }
		}},
		{"Sign/ECC_NIST_P256", ecSign, sign("ECDSA_SHA_256"), func(b *testing.B) func() error {
			k := ecKey(b)
			return func() error { _, err := ecdsa.SignASN1(rand.Reader, k, digest()); return err }
		}},
		{"Verify/ECC_NIST_P256", ecSign, verifies("ECDSA_SHA_256"), func(b *testing.B) func() error {
			k := ecKey(b)
			s := must(ecdsa.SignASN1(rand.Reader, k, digest()))(b)
			return func() error { return verified(ecdsa.VerifyASN1(&k.PublicKey, digest(), s)) }
		}},
		{"Sign/ED25519", edSign, sign("ED25519_SHA_512"), func(b *testing.B) func() error {
			k := ed25519.NewKeyFromSeed(benchMessage)
			return func() error { ed25519.Sign(k, benchMessage); return nil }
		}},
		{"Verify/ED25519", edSign, verifies("ED25519_SHA_512"), func(b *testing.B) func() error {
			k := ed25519.NewKeyFromSeed(benchMessage)
			s, public := ed25519.Sign(k, benchMessage), k.Public().(ed25519.PublicKey)
			return func() error { return verified(ed25519.Verify(public, benchMessage, s)) }
		}},
		{"Sign/ML_DSA_65", pqSign, sign("ML_DSA_SHAKE_256"), func(b *testing.B) func() error {
			k := must(mldsa.GenerateKey(mldsa.MLDSA65()))(b)
			return func() error { _, err := k.Sign(nil, benchMessage, nil); return err }
		}},
		{"Verify/ML_DSA_65", pqSign, verifies("ML_DSA_SHAKE_256"), func(b *testing.B) func() error {
			k := must(mldsa.GenerateKey(mldsa.MLDSA65()))(b)
			s, public := must(k.Sign(nil, benchMessage, nil))(b), k.PublicKey()
			return func() error { return mldsa.Verify(public, benchMessage, s, nil) }
		}},
		{"GenerateMac/HMAC_256", `{"KeySpec":"HMAC_256","KeyUsage":"GENERATE_VERIFY_MAC"}`,
			func(_ *testing.B, send sender, keyID string) func() []byte {
				return send("TrentService.GenerateMac", `{"KeyId":"`+keyID+`","MacAlgorithm":"HMAC_SHA_256","Message":"`+encoded(benchMessage)+`"}`)
			}, func(*testing.B) func() error {
				return func() error {
					h := hmac.New(sha256.New, benchMessage)
					h.Write(benchMessage)
					h.Sum(nil)
					return nil
				}
			}},
		{"Decrypt/RSA_2048_OAEP", `{"KeySpec":"RSA_2048","KeyUsage":"ENCRYPT_DECRYPT"}`, decryptOAEP, func(b *testing.B) func() error {
			k := rsaKey(b)
			c := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.PublicKey, benchMessage, nil))(b)
			return func() error { _, err := rsa.DecryptOAEP(sha256.New(), nil, k, c, nil); return err }
		}},
	}
}

func must[T any](v T, err error) func(*testing.B) T {
	return func(b *testing.B) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func sign(algorithm string) func(*testing.B, sender, string) func() []byte {
	return func(_ *testing.B, send sender, keyID string) func() []byte {
		return send("TrentService.Sign", `{"KeyId":"`+keyID+`","SigningAlgorithm":"`+algorithm+`","Message":"`+encoded(benchMessage)+`"}`)
	}
}

func verifies(algorithm string) func(*testing.B, sender, string) func() []byte {
	return func(b *testing.B, send sender, keyID string) func() []byte {
		reply := sign(algorithm)(b, send, keyID)()
		var r api.SignResponse
		if err := r.DecodeJSON(reply); err != nil {
			b.Fatalf("%v: %s", err, reply)
		}
		return send("TrentService.Verify", `{"KeyId":"`+keyID+`","SigningAlgorithm":"`+algorithm+`","Message":"`+encoded(benchMessage)+
			`","Signature":"`+encoded(r.Signature)+`"}`)
	}
}

func decryptOAEP(b *testing.B, send sender, keyID string) func() []byte {
	reply := send("TrentService.GetPublicKey", `{"KeyId":"`+keyID+`"}`)()
	var r api.GetPublicKeyResponse
	if err := r.DecodeJSON(reply); err != nil {
		b.Fatalf("%v: %s", err, reply)
	}
	public := must(x509.ParsePKIXPublicKey(r.PublicKey))(b).(*rsa.PublicKey)
	c := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, public, benchMessage, nil))(b)
	return send("TrentService.Decrypt", `{"KeyId":"`+keyID+`","EncryptionAlgorithm":"RSAES_OAEP_SHA_256","CiphertextBlob":"`+encoded(c)+`"}`)
}

// BenchmarkOwnShare is what keyturn takes for itself: the time of an operation in its handler, less that of the bare call to the
// library. It is to be about the same for every operation, however long the library takes; so each stands next to Encrypt, all four
// calls in turn. What makes a difference is the length of messages: ML-DSA's signatures of 3.3 kB travel as 4.4 kB of base64, and in a
// request they are part of what its signature covers. ns/op is the handler's time. All times are the tenth percentile, since what
// disturbs a call only ever makes it longer;
// ML-DSA signs in a random number of tries, of which that has one. The own share of Sign and Decrypt of RSA is the small difference of
// two long times: it needs a quiet machine and a few thousand calls.
func BenchmarkOwnShare(b *testing.B) {
	if fips140.Enforced() {
		b.Skip("ML-DSA is not available in FIPS 140-only mode")
	}
	send := benchHandler(b)
	encrypt := send("TrentService.Encrypt", encryptBody(benchKey(b, send, "{}")))
	aead := must(xaes.New(benchMessage))(b)
	seal := func() error { _, err := aead.Seal(nil, benchMessage, nil); return err }
	for _, o := range ownOperations() {
		b.Run(o.name, func(b *testing.B) {
			request, library := o.request(b, send, benchKey(b, send, o.create)), o.library(b)
			check := func(reply []byte) error {
				if !bytes.HasPrefix(reply, []byte("{")) || bytes.Contains(reply, []byte(`"__type"`)) {
					b.Fatalf("%s", reply)
				}
				return nil
			}
			calls := [4]func() error{
				func() error { return check(request()) }, library, func() error { return check(encrypt()) }, seal,
			}
			var times [4][]time.Duration
			for b.Loop() {
				for i, call := range calls {
					begin := time.Now()
					err := call()
					times[i] = append(times[i], time.Since(begin))
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			var ns [4]float64
			for i, list := range times {
				slices.Sort(list)
				ns[i] = float64(list[len(list)/10])
			}
			own, ownEncrypt := ns[0]-ns[1], ns[2]-ns[3]
			b.ReportMetric(ns[0], "ns/op")
			b.ReportMetric(ns[1], "library-ns/op")
			b.ReportMetric(own, "own-ns/op")
			b.ReportMetric(ownEncrypt, "encrypt-own-ns/op")
			b.ReportMetric(own/ownEncrypt, "own/encrypt")
			b.ReportMetric(ns[0]/ns[1], "handler/library")
		})
	}
}
