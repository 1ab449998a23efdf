package kms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/mldsa"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	koblitz "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/emmansun/gmsm/sm2"

	"github.com/keyturn/keyturn/internal/api"
)

// rsaKeys are the keys of testdata/rsa.pem by key spec, in PKCS #8: finding primes takes long.
var rsaKeys = sync.OnceValue(func() map[api.KeySpec][]byte {
	rest, err := os.ReadFile("testdata/rsa.pem")
	if err != nil {
		panic(err)
	}
	found := make(map[api.KeySpec][]byte)
	for _, spec := range []api.KeySpec{api.KeySpecRsa2048, api.KeySpecRsa3072, api.KeySpecRsa4096} {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block != nil {
			found[spec] = block.Bytes
		}
	}
	return found
})

// pairKey makes an asymmetric or HMAC key; an RSA key is imported.
func pairKey(t checker, b *bench, spec api.KeySpec, usage api.KeyUsageType) (id, arn string) {
	t.Helper()
	req := api.CreateKeyRequest{KeySpec: str(spec), KeyUsage: str(usage)}
	material := rsaKeys()[spec]
	if material == nil {
		return b.newKey(t, &req)
	}
	id, arn = b.external(t, req)
	algorithm, wrapping := api.AlgorithmSpecSm2pke, api.WrappingKeySpecSm2
	if fips140.Enforced() {
		algorithm, wrapping = api.AlgorithmSpecRsaAesKeyWrapSha256, api.WrappingKeySpecRsa2048
	}
	b.run(t, "ImportKeyMaterial", b.parameters(t, region, id, algorithm, wrapping).request(t, id, material))
	return id, arn
}

// spki reads a SubjectPublicKeyInfo, for the algorithms that the standard library does not know.
func spki(t testing.TB, der []byte) (algorithm pkix.AlgorithmIdentifier, public []byte) {
	t.Helper()
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		t.Fatalf("SubjectPublicKeyInfo: %v, %d bytes behind it", err, len(rest))
	}
	return info.Algorithm, info.PublicKey.RightAlign()
}

func hashed(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// verifier checks a signature of a message, or, if h is 0, of what was given as the digest.
type verifier func(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool

func verifyPKCS1(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool {
	return rsa.VerifyPKCS1v15(parsed(t, public).(*rsa.PublicKey), h, hashed(h, message), signature) == nil
}

func verifyPSS(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool {
	o := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	return rsa.VerifyPSS(parsed(t, public).(*rsa.PublicKey), h, hashed(h, message), signature, o) == nil
}

func verifyECDSA(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool {
	return ecdsa.VerifyASN1(parsed(t, public).(*ecdsa.PublicKey), hashed(h, message), signature)
}

func verifyEd25519(t testing.TB, public, message []byte, _ crypto.Hash, signature []byte) bool {
	return ed25519.Verify(parsed(t, public).(ed25519.PublicKey), message, signature)
}

func verifyEd25519ph(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool {
	return ed25519.VerifyWithOptions(parsed(t, public).(ed25519.PublicKey), hashed(h, message), signature, &ed25519.Options{Hash: h}) == nil
}

func verifyKoblitz(t testing.TB, public, message []byte, h crypto.Hash, signature []byte) bool {
	algorithm, point := spki(t, public)
	if fmt.Sprint(algorithm.Algorithm) != "1.2.840.10045.2.1" || !bytes.Equal(algorithm.Parameters.FullBytes, []byte{6, 5, 0x2b, 0x81, 4, 0, 10}) {
		t.Errorf("the public key is of %v", algorithm)
	}
	key, err := secp256k1.ParsePubKey(point)
	if err != nil {
		t.Fatal(err)
	}
	s, err := koblitz.ParseDERSignature(signature)
	return err == nil && s.Verify(hashed(h, message), key)
}

// verifySM2 verifies with the identifier of GM/T 0009 that AWS names.
func verifySM2(t testing.TB, public, message []byte, _ crypto.Hash, signature []byte) bool {
	_, point := spki(t, public)
	key, err := sm2.NewPublicKey(point)
	if err != nil {
		t.Fatal(err)
	}
	return sm2.VerifyASN1WithSM2(key, []byte("1234567812345678"), message, signature)
}

func verifyMLDSA(p mldsa.Parameters) verifier {
	return func(t testing.TB, public, message []byte, _ crypto.Hash, signature []byte) bool {
		_, raw := spki(t, public)
		key, err := mldsa.NewPublicKey(p, raw)
		if err != nil {
			t.Fatal(err)
		}
		return mldsa.Verify(key, message, signature, nil) == nil
	}
}

func parsed(t testing.TB, public []byte) any {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type signingAlgorithm struct {
	name   api.SigningAlgorithmSpec
	hash   crypto.Hash // 0: it takes no digest
	verify verifier
	raw    bool // it takes messages
}

var rsaSigning = []signingAlgorithm{
	{api.SigningAlgorithmSpecRsassaPkcs1V15Sha256, crypto.SHA256, verifyPKCS1, true},
	{api.SigningAlgorithmSpecRsassaPkcs1V15Sha384, crypto.SHA384, verifyPKCS1, true},
	{api.SigningAlgorithmSpecRsassaPkcs1V15Sha512, crypto.SHA512, verifyPKCS1, true},
	{api.SigningAlgorithmSpecRsassaPssSha256, crypto.SHA256, verifyPSS, true},
	{api.SigningAlgorithmSpecRsassaPssSha384, crypto.SHA384, verifyPSS, true},
	{api.SigningAlgorithmSpecRsassaPssSha512, crypto.SHA512, verifyPSS, true},
}

// signingSpecs has every spec whose keys sign, with all their algorithms, as of AWS's developer guide, "Key spec reference".
var signingSpecs = []struct {
	spec       api.KeySpec
	notInFIPS  bool
	algorithms []signingAlgorithm
}{
	{api.KeySpecRsa2048, false, rsaSigning},
	{api.KeySpecRsa3072, false, rsaSigning},
	{api.KeySpecRsa4096, false, rsaSigning},
	{api.KeySpecEccNistP256, false, []signingAlgorithm{{api.SigningAlgorithmSpecEcdsaSha256, crypto.SHA256, verifyECDSA, true}}},
	{api.KeySpecEccNistP384, false, []signingAlgorithm{{api.SigningAlgorithmSpecEcdsaSha384, crypto.SHA384, verifyECDSA, true}}},
	{api.KeySpecEccNistP521, false, []signingAlgorithm{{api.SigningAlgorithmSpecEcdsaSha512, crypto.SHA512, verifyECDSA, true}}},
	{api.KeySpecEccSecgP256k1, true, []signingAlgorithm{{api.SigningAlgorithmSpecEcdsaSha256, crypto.SHA256, verifyKoblitz, true}}},
	{api.KeySpecEccNistEdwards25519, false, []signingAlgorithm{
		{api.SigningAlgorithmSpecEd25519Sha512, 0, verifyEd25519, true}, {api.SigningAlgorithmSpecEd25519PhSha512, crypto.SHA512, verifyEd25519ph, false},
	}},
	{api.KeySpecSm2, true, []signingAlgorithm{{api.SigningAlgorithmSpecSm2dsa, 0, verifySM2, true}}},
	{api.KeySpecMlDsa44, true, []signingAlgorithm{{api.SigningAlgorithmSpecMlDsaShake256, 0, verifyMLDSA(mldsa.MLDSA44()), true}}},
	{api.KeySpecMlDsa65, true, []signingAlgorithm{{api.SigningAlgorithmSpecMlDsaShake256, 0, verifyMLDSA(mldsa.MLDSA65()), true}}},
	{api.KeySpecMlDsa87, true, []signingAlgorithm{{api.SigningAlgorithmSpecMlDsaShake256, 0, verifyMLDSA(mldsa.MLDSA87()), true}}},
}

func TestSign(t *testing.T) {
	b := testBench(t)
	for _, s := range signingSpecs {
		t.Run(string(s.spec), func(t *testing.T) {
			if s.notInFIPS && fips140.Enforced() {
				t.Skip("not allowed in FIPS 140-only mode")
			}
			id, arn := pairKey(t, b, s.spec, api.KeyUsageTypeSignVerify)
			public := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)})
			var names []api.SigningAlgorithmSpec
			for _, a := range s.algorithms {
				names = append(names, a.name)
			}
			sorted := slices.Sorted(slices.Values(public.SigningAlgorithms))
			if public.KeyId.V != arn || public.KeySpec.V != s.spec || public.KeyUsage.V != api.KeyUsageTypeSignVerify || public.EncryptionAlgorithms != nil ||
				public.KeyAgreementAlgorithms != nil || !slices.Equal(sorted, slices.Sorted(slices.Values(names))) {
				t.Errorf("GetPublicKey: %+v", public)
			}
			if m := b.describe(t, region, id); !slices.Equal(m.SigningAlgorithms, public.SigningAlgorithms) || m.CurrentKeyMaterialId.Set {
				t.Errorf("DescribeKey: %+v", m)
			}
			for _, a := range s.algorithms {
				testSigning(t, b, id, arn, public.PublicKey, a)
			}
			// An algorithm of another spec.
			for _, other := range []api.SigningAlgorithmSpec{api.SigningAlgorithmSpecEcdsaSha256, api.SigningAlgorithmSpecRsassaPssSha256, api.SigningAlgorithmSpecMlDsaShake256} {
				if !slices.Contains(names, other) {
					_, err := b.do(t, "Sign", &api.SignRequest{KeyId: str(id), Message: []byte("m"), SigningAlgorithm: str(other)})
					refusal(t, string(other), err, api.InvalidKeyUsageException, fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", other, s.spec))
				}
			}
		})
	}
}

func testSigning(t *testing.T, b *bench, id, arn string, public []byte, a signingAlgorithm) {
	t.Helper()
	sign := func(message []byte, kind api.MessageType) ([]byte, *api.Error) {
		t.Helper()
		resp, err := b.do(t, "Sign", &api.SignRequest{KeyId: str(id), Message: message, MessageType: str(kind), SigningAlgorithm: str(a.name)})
		if err != nil {
			return nil, err
		}
		r := resp.(*api.SignResponse)
		if r.KeyId.V != arn || r.SigningAlgorithm.V != a.name {
			t.Errorf("Sign: %s %s", r.KeyId.V, r.SigningAlgorithm.V)
		}
		return r.Signature, nil
	}
	verify := func(message []byte, kind api.MessageType, signature []byte) *api.Error {
		t.Helper()
		resp, err := b.do(t, "Verify", &api.VerifyRequest{KeyId: str(id), Message: message, MessageType: str(kind), SigningAlgorithm: str(a.name), Signature: signature})
		if r, ok := resp.(*api.VerifyResponse); err == nil && (!ok || !r.SignatureValid.V || r.KeyId.V != arn || r.SigningAlgorithm.V != a.name) {
			t.Errorf("Verify: %+v", resp)
		}
		return err
	}
	badType := func(kind api.MessageType) string {
		return fmt.Sprintf("MessageType %s is not valid for algorithm %s.", kind, a.name)
	}
	badLength := fmt.Sprintf("Digest is invalid length for algorithm %s.", a.name)

	signatures := map[string][]byte{} // by the message
	for _, n := range []int{1, 32, 4096} {
		message := bytes.Repeat([]byte{'m'}, n)
		s, err := sign(message, api.MessageTypeRaw)
		if !a.raw {
			refusal(t, string(a.name)+", RAW", err, api.ValidationException, badType(api.MessageTypeRaw))
			continue
		}
		if err != nil || !a.verify(t, public, message, a.hash, s) {
			t.Fatalf("%s, %d bytes: %v, or the signature is not one", a.name, n, err)
		}
		signatures[string(message)] = s
		if err := verify(message, api.MessageTypeRaw, s); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
		if a.hash != 0 { // the same signature, given the digest
			if err := verify(hashed(a.hash, message), api.MessageTypeDigest, s); err != nil {
				t.Errorf("%s of the digest: %v", a.name, err)
			}
		}
	}
	message := bytes.Repeat([]byte{'m'}, 32)
	if a.raw {
		_, err := b.do(t, "Sign", &api.SignRequest{KeyId: str(id), Message: make([]byte, 4097), SigningAlgorithm: str(a.name)})
		refusal(t, "4097 bytes", err, api.ValidationException, "*")
		plain := must[api.SignResponse](t, b, "Sign", &api.SignRequest{KeyId: str(id), Message: message, SigningAlgorithm: str(a.name)}).Signature
		if !a.verify(t, public, message, a.hash, plain) {
			t.Errorf("%s: without MessageType it is not RAW", a.name)
		}
	}

	switch {
	case a.hash != 0:
		digest := hashed(a.hash, message)
		s, err := sign(digest, api.MessageTypeDigest)
		if err != nil || !a.verify(t, public, message, a.hash, s) {
			t.Fatalf("%s of a digest: %v, or the signature is not one", a.name, err)
		}
		if a.raw {
			err = verify(message, api.MessageTypeRaw, s)
		} else {
			err = verify(digest, api.MessageTypeDigest, s)
			signatures[string(digest)] = s
		}
		if err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
		for _, wrong := range [][]byte{digest[1:], append(slices.Clone(digest), 0), {1}} {
			_, err := sign(wrong, api.MessageTypeDigest)
			refusal(t, fmt.Sprintf("%s, digest of %d bytes", a.name, len(wrong)), err, api.ValidationException, badLength)
			refusal(t, "Verify of it", verify(wrong, api.MessageTypeDigest, s), api.ValidationException, badLength)
		}
	case a.name == api.SigningAlgorithmSpecSm2dsa:
		s, err := sign(message, api.MessageTypeDigest) // 32 bytes: taken as SM3 of what the standard prefixes
		if err != nil || verify(message, api.MessageTypeDigest, s) != nil {
			t.Errorf("SM2DSA of a digest: %v", err)
		}
		_, err = sign(message[1:], api.MessageTypeDigest)
		refusal(t, "SM2DSA, digest of 31 bytes", err, api.ValidationException, badLength)
	default:
		_, err := sign(message, api.MessageTypeDigest)
		refusal(t, string(a.name)+", DIGEST", err, api.ValidationException, badType(api.MessageTypeDigest))
	}
	if a.name == api.SigningAlgorithmSpecMlDsaShake256 {
		mu := bytes.Repeat([]byte{5}, 64)
		s, err := sign(mu, api.MessageTypeExternalMu)
		if err != nil || verify(mu, api.MessageTypeExternalMu, s) != nil {
			t.Errorf("EXTERNAL_MU: %v", err)
		}
		refusal(t, "μ as a message", verify(mu, api.MessageTypeRaw, s), api.KMSInvalidSignatureException, "")
		_, err = sign(mu[1:], api.MessageTypeExternalMu)
		refusal(t, "μ of 63 bytes", err, api.ValidationException, badLength)
	} else {
		_, err := sign(bytes.Repeat([]byte{5}, 64), api.MessageTypeExternalMu)
		refusal(t, string(a.name)+", EXTERNAL_MU", err, api.ValidationException, badType(api.MessageTypeExternalMu))
	}

	// What is no signature of this message.
	kind := api.MessageTypeRaw
	if !a.raw {
		kind, message = api.MessageTypeDigest, hashed(a.hash, message)
	}
	s := signatures[string(message)]
	altered := slices.Clone(s)
	altered[len(altered)/2] ^= 1
	otherMessage := slices.Clone(message)
	otherMessage[0] ^= 1
	for what, err := range map[string]*api.Error{
		"altered":         verify(message, kind, altered),
		"cut":             verify(message, kind, s[:len(s)-1]),
		"more behind it":  verify(message, kind, append(slices.Clone(s), 0)),
		"one byte":        verify(message, kind, []byte{0}),
		"another message": verify(otherMessage, kind, s),
		"too long to be":  verify(message, kind, bytes.Repeat([]byte{1}, 6144)),
	} {
		refusal(t, string(a.name)+", "+what, err, api.KMSInvalidSignatureException, "")
	}
	_, err := b.do(t, "Sign", &api.SignRequest{KeyId: str(id), Message: message, MessageType: str(kind), SigningAlgorithm: str(a.name), DryRun: api.Some(true)})
	refusal(t, "Sign, dry", err, api.DryRunOperationException, "The request would have succeeded, but the DryRun option is set.")
	_, err = b.do(t, "Verify", &api.VerifyRequest{KeyId: str(id), Message: message, MessageType: str(kind), SigningAlgorithm: str(a.name), Signature: s, DryRun: api.Some(true)})
	refusal(t, "Verify, dry", err, api.DryRunOperationException, "*")
}

// TestWrongUsage uses keys for what they are not for.
func TestWrongUsage(t *testing.T) {
	b := testBench(t)
	p256, mac, symmetric := api.KeySpecEccNistP256, api.KeySpecHmac256, api.KeySpecSymmetricDefault
	ids, arns := map[string]string{}, map[string]string{}
	make := func(name string, spec api.KeySpec, usage api.KeyUsageType) {
		ids[name], arns[name] = pairKey(t, b, spec, usage)
	}
	make("ENCRYPT_DECRYPT", symmetric, api.KeyUsageTypeEncryptDecrypt)
	make("SIGN_VERIFY", p256, api.KeyUsageTypeSignVerify)
	make("KEY_AGREEMENT", p256, api.KeyUsageTypeKeyAgreement)
	make("GENERATE_VERIFY_MAC", mac, api.KeyUsageTypeGenerateVerifyMac)
	if !fips140.Enforced() {
		make("ENCAPSULATE_DECAPSULATE", api.KeySpecMlKem512, api.KeyUsageType("ENCAPSULATE_DECAPSULATE"))
	}
	one := []byte("1")
	operations := []struct {
		name, usage string
		request     func(id string) api.Request
	}{
		{"Encrypt", "ENCRYPT_DECRYPT", func(id string) api.Request { return &api.EncryptRequest{KeyId: str(id), Plaintext: one} }},
		{"GenerateDataKey", "ENCRYPT_DECRYPT", func(id string) api.Request {
			return &api.GenerateDataKeyRequest{KeyId: str(id), NumberOfBytes: api.Some[int64](16)}
		}},
		{"GenerateDataKeyWithoutPlaintext", "ENCRYPT_DECRYPT", func(id string) api.Request {
			return &api.GenerateDataKeyWithoutPlaintextRequest{KeyId: str(id), NumberOfBytes: api.Some[int64](16)}
		}},
		{"GenerateDataKeyPair", "ENCRYPT_DECRYPT", func(id string) api.Request {
			return &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(api.DataKeyPairSpecEccNistP256)}
		}},
		{"GenerateDataKeyPairWithoutPlaintext", "ENCRYPT_DECRYPT", func(id string) api.Request {
			return &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: str(id), KeyPairSpec: str(api.DataKeyPairSpecEccNistP256)}
		}},
		{"Sign", "SIGN_VERIFY", func(id string) api.Request {
			return &api.SignRequest{KeyId: str(id), Message: one, SigningAlgorithm: str(api.SigningAlgorithmSpecEcdsaSha256)}
		}},
		{"Verify", "SIGN_VERIFY", func(id string) api.Request {
			return &api.VerifyRequest{KeyId: str(id), Message: one, Signature: one, SigningAlgorithm: str(api.SigningAlgorithmSpecEcdsaSha256)}
		}},
		{"DeriveSharedSecret", "KEY_AGREEMENT", func(id string) api.Request {
			return &api.DeriveSharedSecretRequest{KeyId: str(id), PublicKey: one, KeyAgreementAlgorithm: str(api.KeyAgreementAlgorithmSpecEcdh)}
		}},
		{"GenerateMac", "GENERATE_VERIFY_MAC", func(id string) api.Request {
			return &api.GenerateMacRequest{KeyId: str(id), Message: one, MacAlgorithm: str(api.MacAlgorithmSpecHmacSha256)}
		}},
		{"VerifyMac", "GENERATE_VERIFY_MAC", func(id string) api.Request {
			return &api.VerifyMacRequest{KeyId: str(id), Message: one, Mac: one, MacAlgorithm: str(api.MacAlgorithmSpecHmacSha256)}
		}},
		{"Encapsulate", "ENCAPSULATE_DECAPSULATE", func(id string) api.Request {
			return &api.EncapsulateRequest{KeyId: str(id), EncapsulationAlgorithm: str(api.EncapsulationAlgorithmSpecMlKem)}
		}},
		{"Decapsulate", "ENCAPSULATE_DECAPSULATE", func(id string) api.Request {
			return &api.DecapsulateRequest{KeyId: str(id), SharedSecretCiphertextBlob: one, EncapsulationAlgorithm: str(api.EncapsulationAlgorithmSpecMlKem)}
		}},
	}
	for usage, id := range ids {
		for _, op := range operations {
			if op.usage == usage {
				continue
			}
			_, err := b.do(t, op.name, op.request(id))
			refusal(t, op.name+" with "+usage, err, api.InvalidKeyUsageException, fmt.Sprintf("%s key usage is %s which is not valid for %s.", arns[usage], usage, op.name))
		}
		if usage == "ENCRYPT_DECRYPT" || usage == "GENERATE_VERIFY_MAC" {
			_, err := b.do(t, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)})
			refusal(t, "GetPublicKey of "+usage, err, api.UnsupportedOperationException, "*")
		}
	}
	// A key of that usage with a ciphertext of another key: the guide has one answer to both.
	blob := b.sealWith(t, region, ids["ENCRYPT_DECRYPT"], "x")
	_, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, KeyId: str(ids["SIGN_VERIFY"])})
	refusal(t, "Decrypt with SIGN_VERIFY", err, api.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
	// What CreateKey must not make.
	for _, test := range []struct {
		spec  api.KeySpec
		usage api.KeyUsageType
	}{
		{api.KeySpecEccSecgP256k1, api.KeyUsageTypeKeyAgreement}, {api.KeySpecEccNistEdwards25519, api.KeyUsageTypeKeyAgreement},
		{api.KeySpecEccNistP256, api.KeyUsageTypeEncryptDecrypt}, {api.KeySpecRsa2048, api.KeyUsageTypeKeyAgreement},
		{api.KeySpecHmac256, api.KeyUsageTypeSignVerify}, {symmetric, api.KeyUsageTypeSignVerify}, {api.KeySpecMlDsa44, api.KeyUsageTypeEncryptDecrypt},
	} {
		_, err := b.do(t, "CreateKey", &api.CreateKeyRequest{KeySpec: str(test.spec), KeyUsage: str(test.usage)})
		refusal(t, "CreateKey", err, api.ValidationException, fmt.Sprintf("KeyUsage %s is not compatible with KeySpec %s", test.usage, test.spec))
	}
	_, err = b.do(t, "CreateKey", &api.CreateKeyRequest{KeySpec: str(p256)})
	refusal(t, "CreateKey without usage", err, api.ValidationException, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
}

func TestAsymmetricEncryption(t *testing.T) {
	b := testBench(t)
	const sha1OAEP, sha256OAEP = api.EncryptionAlgorithmSpecRsaesOaepSha1, api.EncryptionAlgorithmSpecRsaesOaepSha256
	symmetric, _ := b.newKey(t, &api.CreateKeyRequest{})
	for _, test := range []struct {
		spec      api.KeySpec
		algorithm api.EncryptionAlgorithmSpec
		limit     int // AWS's API Reference, Encrypt
	}{
		{api.KeySpecRsa2048, sha1OAEP, 214}, {api.KeySpecRsa2048, sha256OAEP, 190}, {api.KeySpecRsa3072, sha1OAEP, 342}, {api.KeySpecRsa3072, sha256OAEP, 318},
		{api.KeySpecRsa4096, sha1OAEP, 470}, {api.KeySpecRsa4096, sha256OAEP, 446}, {api.KeySpecSm2, api.EncryptionAlgorithmSpecSm2pke, 1024},
	} {
		t.Run(fmt.Sprint(test.spec, "/", test.algorithm), func(t *testing.T) {
			if fips140.Enforced() && test.algorithm != sha256OAEP {
				t.Skip("not allowed in FIPS 140-only mode")
			}
			id, arn := pairKey(t, b, test.spec, api.KeyUsageTypeEncryptDecrypt)
			algorithm := str(test.algorithm)
			encrypt := func(n int) *api.EncryptRequest {
				return &api.EncryptRequest{KeyId: str(id), Plaintext: bytes.Repeat([]byte{'p'}, n), EncryptionAlgorithm: algorithm}
			}
			decrypt := func(blob []byte) *api.DecryptRequest {
				return &api.DecryptRequest{KeyId: str(id), CiphertextBlob: blob, EncryptionAlgorithm: algorithm}
			}
			var blob []byte
			for _, n := range []int{1, test.limit} {
				r := must[api.EncryptResponse](t, b, "Encrypt", encrypt(n))
				d := must[api.DecryptResponse](t, b, "Decrypt", decrypt(r.CiphertextBlob))
				if blob = r.CiphertextBlob; len(d.Plaintext) != n || r.EncryptionAlgorithm.V != test.algorithm || d.EncryptionAlgorithm.V != test.algorithm || d.KeyId.V != arn || d.KeyMaterialId.Set {
					t.Errorf("%d bytes: %+v %+v", n, r, d)
				}
			}
			_, err := b.do(t, "Encrypt", encrypt(test.limit+1))
			refusal(t, "one byte more", err, api.ValidationException, "*")
			public := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)})
			if !slices.Contains(public.EncryptionAlgorithms, test.algorithm) || public.SigningAlgorithms != nil {
				t.Errorf("GetPublicKey: %+v", public)
			}
			if d := must[api.DecryptResponse](t, b, "Decrypt", decrypt(encryptOutside(t, public.PublicKey, test.algorithm))); string(d.Plaintext) != "outside" {
				t.Errorf("what was encrypted with the public key opens to %q", d.Plaintext)
			}

			altered := slices.Clone(blob)
			altered[len(altered)-1] ^= 1
			for what, bad := range map[string][]byte{"altered": altered, "cut": blob[1:], "one byte": {1}, "a symmetric ciphertext": b.sealWith(t, region, symmetric, "x")} {
				_, err := b.do(t, "Decrypt", decrypt(bad))
				refusal(t, what, err, api.InvalidCiphertextException, "")
			}
			nameless := decrypt(blob)
			nameless.KeyId = api.Opt[string]{}
			_, err = b.do(t, "Decrypt", nameless)
			refusal(t, "without KeyId", err, api.ValidationException, "*")
			_, err = b.do(t, "Decrypt", &api.DecryptRequest{KeyId: str(id), CiphertextBlob: blob})
			refusal(t, "without an algorithm", err, api.InvalidCiphertextException, "")
			_, err = b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("x")})
			refusal(t, "Encrypt without an algorithm", err, api.InvalidKeyUsageException, fmt.Sprintf("Algorithm SYMMETRIC_DEFAULT is incompatible with key spec %s.", test.spec))
			withContext := encrypt(1)
			withContext.EncryptionContext = oneEntry("a", "b")
			_, err = b.do(t, "Encrypt", withContext)
			refusal(t, "with an encryption context", err, api.ValidationException, "*")
			otherContext := decrypt(blob)
			otherContext.EncryptionContext = oneEntry("a", "b")
			_, err = b.do(t, "Decrypt", otherContext)
			refusal(t, "Decrypt with an encryption context", err, api.ValidationException, "*")
			_, err = b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(symmetric), Plaintext: []byte("x"), EncryptionAlgorithm: algorithm})
			refusal(t, "of a symmetric key", err, api.InvalidKeyUsageException, fmt.Sprintf("Algorithm %s is incompatible with key spec SYMMETRIC_DEFAULT.", test.algorithm))

			// There and back again.
			there := must[api.ReEncryptResponse](t, b, "ReEncrypt", &api.ReEncryptRequest{
				CiphertextBlob: b.sealWith(t, region, symmetric, "moved"), DestinationKeyId: str(id), DestinationEncryptionAlgorithm: algorithm,
			})
			back := must[api.ReEncryptResponse](t, b, "ReEncrypt", &api.ReEncryptRequest{
				CiphertextBlob: there.CiphertextBlob, SourceKeyId: str(id), SourceEncryptionAlgorithm: algorithm, DestinationKeyId: str(symmetric),
			})
			material := b.describe(t, region, symmetric).CurrentKeyMaterialId.V
			b.wantOpen(t, region, back.CiphertextBlob, "moved", material)
			if there.SourceKeyMaterialId.V != material || there.DestinationKeyMaterialId.Set || back.SourceKeyMaterialId.Set || back.DestinationKeyMaterialId.V != material {
				t.Errorf("material IDs of ReEncrypt: %+v %+v", there, back)
			}
		})
	}
}

// encryptOutside encrypts "outside" with a public key.
func encryptOutside(t *testing.T, public []byte, algorithm api.EncryptionAlgorithmSpec) (blob []byte) {
	t.Helper()
	var err error
	switch algorithm {
	case api.EncryptionAlgorithmSpecRsaesOaepSha1:
		blob, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, parsed(t, public).(*rsa.PublicKey), []byte("outside"), nil)
	case api.EncryptionAlgorithmSpecRsaesOaepSha256:
		blob, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, parsed(t, public).(*rsa.PublicKey), []byte("outside"), nil)
	default:
		_, point := spki(t, public)
		var key *ecdsa.PublicKey
		if key, err = sm2.NewPublicKey(point); err == nil {
			blob, err = sm2.EncryptASN1(rand.Reader, key, []byte("outside"))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestMac(t *testing.T) {
	b := testBench(t)
	all := []api.MacAlgorithmSpec{api.MacAlgorithmSpecHmacSha224, api.MacAlgorithmSpecHmacSha256, api.MacAlgorithmSpecHmacSha384, api.MacAlgorithmSpecHmacSha512}
	for i, spec := range []api.KeySpec{api.KeySpecHmac224, api.KeySpecHmac256, api.KeySpecHmac384, api.KeySpecHmac512} {
		id, arn := pairKey(t, b, spec, api.KeyUsageTypeGenerateVerifyMac)
		algorithm, size := all[i], []int{28, 32, 48, 64}[i]
		if m := b.describe(t, region, id); !slices.Equal(m.MacAlgorithms, all[i:i+1]) {
			t.Errorf("%s: algorithms %v", spec, m.MacAlgorithms)
		}
		message := bytes.Repeat([]byte{'m'}, 4096)
		r := must[api.GenerateMacResponse](t, b, "GenerateMac", &api.GenerateMacRequest{KeyId: str(id), Message: message, MacAlgorithm: str(algorithm)})
		if len(r.Mac) != size || r.KeyId.V != arn || r.MacAlgorithm.V != algorithm {
			t.Errorf("%s: %d bytes, %+v", spec, len(r.Mac), r)
		}
		verify := func(message, mac []byte) *api.Error {
			t.Helper()
			resp, err := b.do(t, "VerifyMac", &api.VerifyMacRequest{KeyId: str(arn), Message: message, MacAlgorithm: str(algorithm), Mac: mac})
			if err == nil && !resp.(*api.VerifyMacResponse).MacValid.V {
				t.Errorf("VerifyMac: %+v", resp)
			}
			return err
		}
		if err := verify(message, r.Mac); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		altered := slices.Clone(r.Mac)
		altered[0] ^= 1
		refusal(t, "altered", verify(message, altered), api.KMSInvalidMacException, "")
		refusal(t, "cut", verify(message, r.Mac[:size-1]), api.KMSInvalidMacException, "")
		refusal(t, "one byte", verify(message, []byte{1}), api.KMSInvalidMacException, "")
		refusal(t, "longer", verify(message, append(slices.Clone(r.Mac), 0)), api.KMSInvalidMacException, "")
		refusal(t, "another message", verify(message[1:], r.Mac), api.KMSInvalidMacException, "")
		_, err := b.do(t, "GenerateMac", &api.GenerateMacRequest{KeyId: str(id), Message: make([]byte, 4097), MacAlgorithm: str(algorithm)})
		refusal(t, "4097 bytes", err, api.ValidationException, "*")
		other := all[(i+1)%4]
		_, err = b.do(t, "GenerateMac", &api.GenerateMacRequest{KeyId: str(id), Message: message, MacAlgorithm: str(other)})
		refusal(t, "another algorithm", err, api.InvalidKeyUsageException, fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", other, spec))
		_, err = b.do(t, "GenerateMac", &api.GenerateMacRequest{KeyId: str(id), Message: message, MacAlgorithm: str(algorithm), DryRun: api.Some(true)})
		refusal(t, "dry", err, api.DryRunOperationException, "*")
		status := must[api.GetKeyRotationStatusResponse](t, b, "GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: str(id)})
		if status.KeyRotationEnabled.V || !status.KeyRotationEnabled.Set {
			t.Errorf("%s rotates", spec)
		}
	}
}

func TestDeriveSharedSecret(t *testing.T) {
	b := testBench(t)
	for _, test := range []struct {
		spec  api.KeySpec
		curve ecdh.Curve
	}{
		{api.KeySpecEccNistP256, ecdh.P256()}, {api.KeySpecEccNistP384, ecdh.P384()}, {api.KeySpecEccNistP521, ecdh.P521()},
	} {
		id, arn := pairKey(t, b, test.spec, api.KeyUsageTypeKeyAgreement)
		public := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)})
		theirs, err := parsed(t, public.PublicKey).(*ecdsa.PublicKey).ECDH()
		if err != nil || !slices.Equal(public.KeyAgreementAlgorithms, []api.KeyAgreementAlgorithmSpec{api.KeyAgreementAlgorithmSpecEcdh}) {
			t.Fatalf("GetPublicKey: %v %+v", err, public)
		}
		mine, _ := test.curve.GenerateKey(rand.Reader)
		want, err := mine.ECDH(theirs)
		if err != nil {
			t.Fatal(err)
		}
		request := func(peer []byte) *api.DeriveSharedSecretRequest {
			return &api.DeriveSharedSecretRequest{KeyId: str(id), PublicKey: peer, KeyAgreementAlgorithm: str(api.KeyAgreementAlgorithmSpecEcdh)}
		}
		peer, _ := x509.MarshalPKIXPublicKey(mine.PublicKey())
		r := must[api.DeriveSharedSecretResponse](t, b, "DeriveSharedSecret", request(peer))
		if !bytes.Equal(r.SharedSecret, want) || r.KeyId.V != arn || r.KeyOrigin.V != api.OriginTypeAwsKms || r.KeyAgreementAlgorithm.V != api.KeyAgreementAlgorithmSpecEcdh {
			t.Errorf("%s: another secret, or %+v", test.spec, r)
		}
		notOnCurve := slices.Clone(peer)
		notOnCurve[len(notOnCurve)-1] ^= 1
		otherCurve := ecdh.P256()
		if test.curve == otherCurve {
			otherCurve = ecdh.P384()
		}
		foreign, _ := otherCurve.GenerateKey(rand.Reader)
		foreignDER, _ := x509.MarshalPKIXPublicKey(foreign.PublicKey())
		for what, bad := range map[string][]byte{"not on the curve": notOnCurve, "another curve": foreignDER, "cut": peer[:len(peer)-1], "more behind it": append(slices.Clone(peer), 0), "a bare point": mine.PublicKey().Bytes()} {
			_, err := b.do(t, "DeriveSharedSecret", request(bad))
			refusal(t, string(test.spec)+", "+what, err, api.ValidationException, "*")
		}
		dry := request(peer)
		dry.DryRun = api.Some(true)
		_, aerr := b.do(t, "DeriveSharedSecret", dry)
		refusal(t, "dry", aerr, api.DryRunOperationException, "*")
	}
}

func TestEncapsulate(t *testing.T) {
	b := testBench(t)
	algorithm := str(api.EncapsulationAlgorithmSpecMlKem)
	for _, test := range []struct {
		spec   api.KeySpec
		size   int // of the ciphertext, FIPS 203, table 3
		inFIPS bool
	}{{api.KeySpecMlKem512, 768, false}, {api.KeySpecMlKem768, 1088, true}, {api.KeySpecMlKem1024, 1568, true}} {
		t.Run(string(test.spec), func(t *testing.T) {
			if !test.inFIPS && fips140.Enforced() {
				t.Skip("not allowed in FIPS 140-only mode")
			}
			id, arn := pairKey(t, b, test.spec, api.KeyUsageType("ENCAPSULATE_DECAPSULATE"))
			r := must[api.EncapsulateResponse](t, b, "Encapsulate", &api.EncapsulateRequest{KeyId: str(id), EncapsulationAlgorithm: algorithm})
			decapsulate := func(blob []byte) ([]byte, *api.Error) {
				resp, err := b.do(t, "Decapsulate", &api.DecapsulateRequest{KeyId: str(id), SharedSecretCiphertextBlob: blob, EncapsulationAlgorithm: algorithm})
				if err != nil {
					return nil, err
				}
				d := resp.(*api.DecapsulateResponse)
				if d.KeyId.V != arn || d.EncapsulationAlgorithm != algorithm {
					t.Errorf("Decapsulate: %+v", d)
				}
				return d.SharedSecret, nil
			}
			blob := r.SharedSecretCiphertextBlob
			if got, err := decapsulate(blob); err != nil || !bytes.Equal(got, r.SharedSecret) || len(got) != 32 || len(blob) != test.size || r.KeyId.V != arn {
				t.Errorf("Decapsulate: %v, or another secret, or %d bytes", err, len(blob))
			}
			altered := slices.Clone(blob)
			altered[0] ^= 1
			if got, err := decapsulate(altered); err != nil || bytes.Equal(got, r.SharedSecret) || len(got) != 32 {
				t.Errorf("an altered ciphertext gives %v, and not a secret of its own", err)
			}
			for what, bad := range map[string][]byte{"cut": blob[1:], "longer": append(slices.Clone(blob), 0), "one byte": {1}} {
				_, err := decapsulate(bad)
				refusal(t, what, err, api.InvalidCiphertextException, "")
			}
			_, raw := spki(t, must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)}).PublicKey)
			var secret, outside []byte
			switch test.spec {
			case api.KeySpecMlKem768:
				key, err := mlkem.NewEncapsulationKey768(raw)
				if err != nil {
					t.Fatal(err)
				}
				secret, outside = key.Encapsulate()
			case api.KeySpecMlKem1024:
				key, err := mlkem.NewEncapsulationKey1024(raw)
				if err != nil {
					t.Fatal(err)
				}
				secret, outside = key.Encapsulate()
			default:
				return
			}
			if got, err := decapsulate(outside); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("what was encapsulated with the public key: %v, or another secret", err)
			}
			_, err := b.do(t, "Decapsulate", &api.DecapsulateRequest{KeyId: str(id), SharedSecretCiphertextBlob: blob, EncapsulationAlgorithm: algorithm, DryRun: api.Some(true)})
			refusal(t, "dry", err, api.DryRunOperationException, "*")
		})
	}
}

func TestDataKeyPairs(t *testing.T) {
	b := testBench(t)
	id, arn := b.newKey(t, &api.CreateKeyRequest{})
	material := b.describe(t, region, id).CurrentKeyMaterialId.V
	context := oneEntry("a", "b")
	for _, test := range []struct {
		spec      api.DataKeyPairSpec
		notInFIPS bool
		standard  bool // the standard library reads its PKCS #8
	}{
		{api.DataKeyPairSpecRsa2048, false, true}, {api.DataKeyPairSpecEccNistP256, false, true}, {api.DataKeyPairSpecEccNistP384, false, true},
		{api.DataKeyPairSpecEccNistP521, false, true}, {api.DataKeyPairSpecEccNistEdwards25519, false, true}, {api.DataKeyPairSpecEccSecgP256k1, true, false},
		{api.DataKeyPairSpecSm2, true, false}, {api.DataKeyPairSpecMlKem512, true, false}, {api.DataKeyPairSpecMlKem768, false, false}, {api.DataKeyPairSpecMlKem1024, false, false},
	} {
		t.Run(string(test.spec), func(t *testing.T) {
			if test.notInFIPS && fips140.Enforced() {
				t.Skip("not allowed in FIPS 140-only mode")
			}
			open := func(blob []byte) []byte {
				t.Helper()
				d := must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: context})
				if d.KeyMaterialId.V != material {
					t.Errorf("material %s, want %s", d.KeyMaterialId.V, material)
				}
				return d.Plaintext
			}
			belongs := func(private, public []byte) {
				t.Helper()
				if !test.standard {
					if algorithm, _ := spki(t, public); algorithm.Algorithm.String() == "" || !strings.Contains(fmt.Sprintf("%x", private), fmt.Sprintf("%x", oid(t, algorithm))) {
						t.Errorf("the private key is not of the public key's algorithm %v", algorithm.Algorithm)
					}
					return
				}
				key, err := x509.ParsePKCS8PrivateKey(private)
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public()); !bytes.Equal(public, want) {
					t.Error("the halves do not belong together")
				}
			}
			r := must[api.GenerateDataKeyPairResponse](t, b, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(test.spec), EncryptionContext: context})
			if !bytes.Equal(open(r.PrivateKeyCiphertextBlob), r.PrivateKeyPlaintext) || r.KeyId.V != arn || r.KeyPairSpec.V != test.spec || r.KeyMaterialId.V != material {
				t.Errorf("GenerateDataKeyPair: %s %s %s, or another private key", r.KeyId.V, r.KeyPairSpec.V, r.KeyMaterialId.V)
			}
			belongs(r.PrivateKeyPlaintext, r.PublicKey)
			w := must[api.GenerateDataKeyPairWithoutPlaintextResponse](t, b, "GenerateDataKeyPairWithoutPlaintext", &api.GenerateDataKeyPairWithoutPlaintextRequest{
				KeyId: str(id), KeyPairSpec: str(test.spec), EncryptionContext: context,
			})
			belongs(open(w.PrivateKeyCiphertextBlob), w.PublicKey)
			if w.KeyId.V != arn || w.KeyMaterialId.V != material || bytes.Equal(w.PublicKey, r.PublicKey) {
				t.Errorf("GenerateDataKeyPairWithoutPlaintext: %+v", w)
			}
			_, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: r.PrivateKeyCiphertextBlob})
			refusal(t, "without the encryption context", err, api.InvalidCiphertextException, "")
		})
	}
	for _, spec := range []api.DataKeyPairSpec{api.DataKeyPairSpecRsa3072, api.DataKeyPairSpecRsa4096} { // found only if asked for in earnest
		_, err := b.do(t, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(spec), DryRun: api.Some(true)})
		refusal(t, "dry", err, api.DryRunOperationException, "*")
		_, err = b.do(t, "GenerateDataKeyPairWithoutPlaintext", &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: str(id), KeyPairSpec: str(spec), DryRun: api.Some(true)})
		refusal(t, "dry", err, api.DryRunOperationException, "*")
	}
	_, err := b.do(t, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(api.DataKeyPairSpec("HMAC_256"))})
	refusal(t, "no pair", err, api.ValidationException, "*")
	curve := elliptic.P256()
	if key := must[api.GenerateDataKeyPairResponse](t, b, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(api.DataKeyPairSpecEccNistP256)}); parsed(t, key.PublicKey).(*ecdsa.PublicKey).Curve != curve {
		t.Error("a pair of another curve")
	}
}

// oid encodes the last object identifier that names an algorithm: the curve's, if it is one of a curve.
func oid(t testing.TB, algorithm pkix.AlgorithmIdentifier) []byte {
	t.Helper()
	if algorithm.Parameters.FullBytes != nil {
		return algorithm.Parameters.FullBytes
	}
	der, err := asn1.Marshal(algorithm.Algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
