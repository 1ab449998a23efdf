package kms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keywrap"
	"github.com/keyturn/keyturn/internal/service"
)

// asIn runs an operation for a caller in a region.
func (b *bench) asIn(t checker, caller *service.Caller, region, op string, req api.Request) (api.Response, *api.Error) {
	t.Helper()
	call := &service.Call{Caller: caller, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := b.p.Do(context.Background(), b.ops["kms."+op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("%s in %s: error of type %T: %v", op, region, err, err)
	}
	return nil, e
}

// in runs an operation in a region.
func (b *bench) in(t checker, region, op string, req api.Request) (api.Response, *api.Error) {
	t.Helper()
	return b.asIn(t, b.caller, region, op, req)
}

// mustIn is must in a region.
func mustIn[R any](t checker, b *bench, region, op string, req api.Request) *R {
	t.Helper()
	resp, err := b.in(t, region, op, req)
	if err != nil {
		t.Fatalf("%s in %s: %v", op, region, err)
	}
	return any(resp).(*R)
}

// runIn is run in a region.
func (b *bench) runIn(t checker, region, op string, req api.Request) {
	t.Helper()
	if _, err := b.in(t, region, op, req); err != nil {
		t.Fatalf("%s in %s: %v", op, region, err)
	}
}

// refusal checks what an operation that had to fail said; "*" stands for any message.
func refusal(t checker, what string, err *api.Error, code api.ErrorCode, message string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: no error, want %s", what, code)
	case err.Code != code || message != "*" && err.Message != message:
		t.Errorf("%s: %s %q, want %s %q", what, err.Code, err.Message, code, message)
	}
}

func (b *bench) describe(t checker, region, key string) *api.KeyMetadata {
	t.Helper()
	return mustIn[api.DescribeKeyResponse](t, b, region, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(key)}).KeyMetadata
}

func (b *bench) wantState(t checker, region, key string, want api.KeyState) {
	t.Helper()
	if got := b.describe(t, region, key); got.KeyState.V != want || got.Enabled.V != (want == api.KeyStateEnabled) {
		t.Errorf("in %s the key is %s (Enabled: %v), want %s", region, got.KeyState.V, got.Enabled.V, want)
	}
}

// external makes a key without material.
func (b *bench) external(t checker, req api.CreateKeyRequest) (id, arn string) {
	t.Helper()
	req.Origin = str(api.OriginTypeExternal)
	return b.newKey(t, &req)
}

// wrapping is what a client keeps of GetParametersForImport.
type wrapping struct {
	algorithm     api.AlgorithmSpec
	token, public []byte
}

func (b *bench) parameters(t checker, region, key string, algorithm api.AlgorithmSpec, spec api.WrappingKeySpec) wrapping {
	t.Helper()
	r := mustIn[api.GetParametersForImportResponse](t, b, region, "GetParametersForImport", &api.GetParametersForImportRequest{
		KeyId: str(key), WrappingAlgorithm: str(algorithm), WrappingKeySpec: str(spec),
	})
	if want := b.now().Add(24 * time.Hour); !r.ParametersValidTo.V.Equal(want) {
		t.Errorf("the parameters are valid to %v, want %v", r.ParametersValidTo.V, want)
	}
	return wrapping{algorithm, r.ImportToken, r.PublicKey}
}

// oaep are the parameters that suit most keys.
func (b *bench) oaep(t checker, region, key string) wrapping {
	t.Helper()
	return b.parameters(t, region, key, api.AlgorithmSpecRsaesOaepSha256, api.WrappingKeySpecRsa2048)
}

// request wraps material for a key. It is not to expire.
func (w wrapping) request(t checker, key string, material []byte) *api.ImportKeyMaterialRequest {
	t.Helper()
	wrapped, err := keywrap.Wrap(string(w.algorithm), w.public, material)
	if err != nil {
		t.Fatalf("wrapping with %s: %v", w.algorithm, err)
	}
	return &api.ImportKeyMaterialRequest{
		KeyId: str(key), ImportToken: w.token, EncryptedKeyMaterial: wrapped,
		ExpirationModel: str(api.ExpirationModelTypeKeyMaterialDoesNotExpire),
	}
}

func newMaterial(req *api.ImportKeyMaterialRequest) *api.ImportKeyMaterialRequest {
	req.ImportType = str(api.ImportTypeNewKeyMaterial)
	return req
}

func expiring(req *api.ImportKeyMaterialRequest, at time.Time) *api.ImportKeyMaterialRequest {
	req.ExpirationModel, req.ValidTo = str(api.ExpirationModelTypeKeyMaterialExpires), api.Some(at)
	return req
}

// imported runs ImportKeyMaterial in the first region and returns the material's ID.
func (b *bench) imported(t checker, req *api.ImportKeyMaterialRequest) string {
	t.Helper()
	return must[api.ImportKeyMaterialResponse](t, b, "ImportKeyMaterial", req).KeyMaterialId.V
}

// secret is 32 bytes of material, all of them n.
func secret(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// sealed encrypts in the first region, and opened decrypts: the plaintext and the ID of the material.
func (b *bench) sealWith(t checker, region, key, plaintext string) []byte {
	t.Helper()
	return mustIn[api.EncryptResponse](t, b, region, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte(plaintext)}).CiphertextBlob
}

func (b *bench) wantOpen(t checker, region string, blob []byte, plaintext, material string) {
	t.Helper()
	r := mustIn[api.DecryptResponse](t, b, region, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	if string(r.Plaintext) != plaintext || r.KeyMaterialId.V != material {
		t.Errorf("Decrypt in %s: %q with material %s, want %q with %s", region, r.Plaintext, r.KeyMaterialId.V, plaintext, material)
	}
}

// materials lists a key's materials, one a line: ID, state, import state, how it rotated, description, when it expires.
func (b *bench) materials(t checker, region, key string, which api.IncludeKeyMaterial, limit int64) []string {
	t.Helper()
	lines := []string{}
	var marker api.Opt[string]
	for {
		r := mustIn[api.ListKeyRotationsResponse](t, b, region, "ListKeyRotations", &api.ListKeyRotationsRequest{
			KeyId: str(key), IncludeKeyMaterial: str(which), Limit: api.Some(limit), Marker: marker,
		})
		if int64(len(r.Rotations)) > limit || r.Truncated.V != r.NextMarker.Set || r.Truncated.V && int64(len(r.Rotations)) != limit {
			t.Fatalf("a page of %d has %d entries; truncated %v, marker %v", limit, len(r.Rotations), r.Truncated.V, r.NextMarker.Set)
		}
		for _, e := range r.Rotations {
			if e.KeyId.V != key || e.RotationDate.Set != e.RotationType.Set || e.ValidTo.Set != (e.ExpirationModel.V == api.ExpirationModelTypeKeyMaterialExpires) {
				t.Errorf("inconsistent entry: %+v", e)
			}
			line := fmt.Sprintf("%s %s %s %s %q", e.KeyMaterialId.V, e.KeyMaterialState.V, e.ImportState.V, e.RotationType.V, e.KeyMaterialDescription.V)
			if e.ValidTo.Set {
				line += " " + e.ValidTo.V.Format(time.RFC3339)
			}
			lines = append(lines, line)
		}
		if !r.Truncated.V {
			return lines
		}
		marker = r.NextMarker
	}
}

func (b *bench) wantMaterials(t checker, region, key string, want ...string) {
	t.Helper()
	if got := b.materials(t, region, key, api.IncludeKeyMaterialAllKeyMaterial, 100); !slices.Equal(got, want) {
		t.Errorf("materials in %s:\n got %s\nwant %s", region, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

var clientRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t checker, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encoding a private key: %v", err)
	}
	return der
}

// approved tells whether FIPS 140-only mode, if it is on, has the wrapping algorithm.
func approved(a api.AlgorithmSpec) bool {
	return !fips140.Enforced() || strings.HasSuffix(string(a), "SHA_256")
}

// TestImportSpecs imports material of the caller's into a key of each spec, wrapped in each way, and checks what the key then does
// against the material itself.
func TestImportSpecs(t *testing.T) {
	const (
		oaep1, oaep256 = api.AlgorithmSpecRsaesOaepSha1, api.AlgorithmSpecRsaesOaepSha256
		aes1, aes256   = api.AlgorithmSpecRsaAesKeyWrapSha1, api.AlgorithmSpecRsaAesKeyWrapSha256
		sm2            = api.AlgorithmSpecSm2pke
		r2, r3, r4     = api.WrappingKeySpecRsa2048, api.WrappingKeySpecRsa3072, api.WrappingKeySpecRsa4096
		w2             = api.WrappingKeySpecSm2
	)
	tests := []struct {
		spec      api.KeySpec
		algorithm api.AlgorithmSpec
		wrapping  api.WrappingKeySpec
	}{
		{api.KeySpecSymmetricDefault, oaep1, r2}, {api.KeySpecSymmetricDefault, oaep256, r2}, {api.KeySpecSymmetricDefault, oaep256, r3},
		{api.KeySpecSymmetricDefault, oaep256, r4},
		{api.KeySpecHmac224, oaep256, r2}, {api.KeySpecHmac256, oaep1, r2}, {api.KeySpecHmac384, oaep256, r2}, {api.KeySpecHmac512, oaep256, r2},
		{api.KeySpecRsa2048, aes1, r2}, {api.KeySpecRsa2048, aes256, r2}, {api.KeySpecRsa2048, sm2, w2},
		{api.KeySpecEccNistP256, oaep1, r2}, {api.KeySpecEccNistP256, oaep256, r2}, {api.KeySpecEccNistP256, aes1, r2},
		{api.KeySpecEccNistP256, aes256, r2}, {api.KeySpecEccNistP256, sm2, w2},
		{api.KeySpecEccNistP384, oaep256, r2}, {api.KeySpecEccNistP521, aes256, r2}, {api.KeySpecEccNistP521, oaep256, r3}, {api.KeySpecEccNistP521, sm2, w2},
	}
	b := testBench(t)
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s/%s/%s", test.spec, test.algorithm, test.wrapping), func(t *testing.T) {
			if !approved(test.algorithm) {
				t.Skip("not allowed in FIPS 140-only mode")
			}
			if testing.Short() && test.wrapping != r2 && test.wrapping != w2 {
				t.Skip("-short: finding an RSA key of this size takes long")
			}
			req := api.CreateKeyRequest{KeySpec: str(test.spec)}
			material, check := clientKey(t, b, test.spec, &req)
			id, arn := b.external(t, req)
			b.wantState(t, region, id, api.KeyStatePendingImport)
			w := b.parameters(t, region, arn, test.algorithm, test.wrapping)
			r := must[api.ImportKeyMaterialResponse](t, b, "ImportKeyMaterial", w.request(t, id, material))
			if symmetric := test.spec == api.KeySpecSymmetricDefault; r.KeyId.V != arn || r.KeyMaterialId.Set != symmetric || symmetric && len(r.KeyMaterialId.V) != 64 {
				t.Errorf("ImportKeyMaterial: %+v", r)
			}
			b.wantState(t, region, id, api.KeyStateEnabled)
			check(id)
			// The same again is no other material.
			again := must[api.ImportKeyMaterialResponse](t, b, "ImportKeyMaterial", w.request(t, id, material))
			if *again != *r {
				t.Errorf("imported again: %+v, want %+v", again, r)
			}
			check(id)
			// Nor is the same key in BER.
			if material[0] != 0x30 {
				return
			}
			b.run(t, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(id)})
			if again := must[api.ImportKeyMaterialResponse](t, b, "ImportKeyMaterial", w.request(t, id, indefinite(t, material))); *again != *r {
				t.Errorf("imported again in BER: %+v, want %+v", again, r)
			}
			check(id)
			_, err := b.do(t, "ImportKeyMaterial", w.request(t, id, append(indefinite(t, material), 0)))
			refusal(t, "bytes after", err, api.IncorrectKeyMaterialException, "*")
		})
	}
	checkStore(t, b)
}

// indefinite gives a PKCS #8 key the indefinite length of BER.
func indefinite(t checker, der []byte) []byte {
	t.Helper()
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		t.Fatalf("%v", err)
	}
	return append(append([]byte{der[0], 0x80}, v.Bytes...), 0, 0)
}

// clientKey makes material for a key of a spec, and a function that checks that a key has it. It sets the request's KeyUsage.
func clientKey(t *testing.T, b *bench, spec api.KeySpec, req *api.CreateKeyRequest) (material []byte, check func(id string)) {
	message, digest := []byte("message"), sha256.Sum256([]byte("message"))
	sign := func(id string, algorithm api.SigningAlgorithmSpec) []byte {
		t.Helper()
		return must[api.SignResponse](t, b, "Sign", &api.SignRequest{KeyId: str(id), Message: message, SigningAlgorithm: str(algorithm)}).Signature
	}
	switch spec {
	case api.KeySpecSymmetricDefault:
		return secret(1), func(id string) {
			t.Helper()
			blob := b.sealWith(t, region, id, "plain")
			b.wantOpen(t, region, blob, "plain", b.describe(t, region, id).CurrentKeyMaterialId.V)
		}
	case api.KeySpecHmac224, api.KeySpecHmac256, api.KeySpecHmac384, api.KeySpecHmac512:
		req.KeyUsage = str(api.KeyUsageTypeGenerateVerifyMac)
		hash := map[api.KeySpec]crypto.Hash{
			api.KeySpecHmac224: crypto.SHA224, api.KeySpecHmac256: crypto.SHA256, api.KeySpecHmac384: crypto.SHA384, api.KeySpecHmac512: crypto.SHA512,
		}[spec]
		material = bytes.Repeat([]byte{7}, hash.Size()+3) // longer than the hash is allowed too
		return material, func(id string) {
			t.Helper()
			algorithm := api.MacAlgorithmSpec(strings.Replace(string(spec), "HMAC_", "HMAC_SHA_", 1))
			r := must[api.GenerateMacResponse](t, b, "GenerateMac", &api.GenerateMacRequest{KeyId: str(id), Message: message, MacAlgorithm: str(algorithm)})
			h := hmac.New(hash.New, material)
			h.Write(message)
			if !bytes.Equal(r.Mac, h.Sum(nil)) {
				t.Errorf("the MAC is not that of the imported material")
			}
		}
	case api.KeySpecRsa2048:
		req.KeyUsage = str(api.KeyUsageTypeSignVerify)
		return pkcs8(t, clientRSA()), func(id string) {
			t.Helper()
			if err := rsa.VerifyPKCS1v15(&clientRSA().PublicKey, crypto.SHA256, digest[:], sign(id, api.SigningAlgorithmSpecRsassaPkcs1V15Sha256)); err != nil {
				t.Error(err)
			}
		}
	}
	curve := map[api.KeySpec]elliptic.Curve{
		api.KeySpecEccNistP256: elliptic.P256(), api.KeySpecEccNistP384: elliptic.P384(), api.KeySpecEccNistP521: elliptic.P521(),
	}[spec]
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if spec == api.KeySpecEccNistP384 { // one of them agrees on keys
		req.KeyUsage = str(api.KeyUsageTypeKeyAgreement)
		return pkcs8(t, key), func(id string) {
			t.Helper()
			mine, err := key.ECDH()
			if err != nil {
				t.Fatal(err)
			}
			peer, _ := ecdh.P384().GenerateKey(rand.Reader)
			want, err := mine.ECDH(peer.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			spki, _ := x509.MarshalPKIXPublicKey(peer.PublicKey())
			r := must[api.DeriveSharedSecretResponse](t, b, "DeriveSharedSecret", &api.DeriveSharedSecretRequest{
				KeyId: str(id), KeyAgreementAlgorithm: str(api.KeyAgreementAlgorithmSpecEcdh), PublicKey: spki,
			})
			if !bytes.Equal(r.SharedSecret, want) || r.KeyOrigin.V != api.OriginTypeExternal {
				t.Errorf("another shared secret, or another origin than EXTERNAL: %s", r.KeyOrigin.V)
			}
		}
	}
	req.KeyUsage = str(api.KeyUsageTypeSignVerify)
	return pkcs8(t, key), func(id string) {
		t.Helper()
		public := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(id)}).PublicKey
		if want, _ := x509.MarshalPKIXPublicKey(&key.PublicKey); !bytes.Equal(public, want) {
			t.Errorf("GetPublicKey gives another key")
		}
		algorithm, hashed := api.SigningAlgorithmSpecEcdsaSha256, digest[:]
		if spec == api.KeySpecEccNistP521 {
			h := crypto.SHA512.New()
			h.Write(message)
			algorithm, hashed = api.SigningAlgorithmSpecEcdsaSha512, h.Sum(nil)
		}
		if !ecdsa.VerifyASN1(&key.PublicKey, hashed, sign(id, algorithm)) {
			t.Errorf("the signature is not by the imported key")
		}
	}
}

// TestImportParametersRefused has what AWS's guide, "Select a wrapping algorithm", does not allow, and keys that take no import.
func TestImportParametersRefused(t *testing.T) {
	b := testBench(t)
	made, _ := b.newKey(t, &api.CreateKeyRequest{})
	symmetric, symmetricARN := b.external(t, api.CreateKeyRequest{})
	mac, _ := b.external(t, api.CreateKeyRequest{KeySpec: str(api.KeySpecHmac256), KeyUsage: str(api.KeyUsageTypeGenerateVerifyMac)})
	rsaKey, _ := b.external(t, api.CreateKeyRequest{KeySpec: str(api.KeySpecRsa2048), KeyUsage: str(api.KeyUsageTypeSignVerify)})
	p521, _ := b.external(t, api.CreateKeyRequest{KeySpec: str(api.KeySpecEccNistP521), KeyUsage: str(api.KeyUsageTypeSignVerify)})
	const (
		oaep1, oaep256 = api.AlgorithmSpecRsaesOaepSha1, api.AlgorithmSpecRsaesOaepSha256
		aes256, sm2    = api.AlgorithmSpecRsaAesKeyWrapSha256, api.AlgorithmSpecSm2pke
		r2, r4, w2     = api.WrappingKeySpecRsa2048, api.WrappingKeySpecRsa4096, api.WrappingKeySpecSm2
	)
	for _, test := range []struct {
		name, key string
		algorithm api.AlgorithmSpec
		spec      api.WrappingKeySpec
		code      api.ErrorCode
		message   string
	}{
		{"material of the service's", made, oaep256, r2, api.UnsupportedOperationException, keyARN(made) + " origin is AWS_KMS which is not valid for this operation."},
		{"PKCS 1 is gone", symmetric, api.AlgorithmSpecRsaesPkcs1V15, r2, api.UnsupportedOperationException, "*"},
		{"symmetric, AES key wrap", symmetric, aes256, r2, api.UnsupportedOperationException, "*"},
		{"symmetric, SM2", symmetric, sm2, w2, api.UnsupportedOperationException, "*"},
		{"HMAC, AES key wrap", mac, aes256, r4, api.UnsupportedOperationException, "*"},
		{"HMAC, SM2", mac, sm2, w2, api.UnsupportedOperationException, "*"},
		{"RSA does not fit", rsaKey, oaep256, r4, api.UnsupportedOperationException, "*"},
		{"RSA does not fit, SHA-1", rsaKey, oaep1, r4, api.UnsupportedOperationException, "*"},
		{"P-521 does not fit", p521, oaep256, r2, api.UnsupportedOperationException, "*"},
		{"P-521 does not fit, SHA-1", p521, oaep1, r2, api.UnsupportedOperationException, "*"},
		{"OAEP with SM2", symmetric, oaep256, w2, api.UnsupportedOperationException, "*"},
		{"SM2 with RSA", rsaKey, sm2, r2, api.UnsupportedOperationException, "*"},
		{"not an algorithm", symmetric, "RSA", r2, api.ValidationException, "*"},
		{"not a wrapping key", symmetric, oaep256, "RSA_1024", api.ValidationException, "*"},
	} {
		_, err := b.do(t, "GetParametersForImport", &api.GetParametersForImportRequest{
			KeyId: str(test.key), WrappingAlgorithm: str(test.algorithm), WrappingKeySpec: str(test.spec),
		})
		refusal(t, test.name, err, test.code, test.message)
	}
	for _, spec := range []api.KeySpec{api.KeySpecEccNistEdwards25519, api.KeySpecMlDsa44} { // AWS imports neither
		_, err := b.do(t, "CreateKey", &api.CreateKeyRequest{KeySpec: str(spec), KeyUsage: str(api.KeyUsageTypeSignVerify), Origin: str(api.OriginTypeExternal)})
		refusal(t, string(spec), err, api.UnsupportedOperationException, "*")
	}
	_, err := b.do(t, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(symmetric)})
	refusal(t, "EnableKeyRotation", err, api.UnsupportedOperationException, symmetricARN+" origin is EXTERNAL which is not valid for this operation.")
	_, err = b.do(t, "CreateKey", &api.CreateKeyRequest{Origin: str(api.OriginTypeExternal), EnableKeyRotation: api.Some(true)})
	refusal(t, "CreateKey that rotates", err, api.UnsupportedOperationException, "*")
	_, err = b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(symmetric), Plaintext: []byte("x")})
	refusal(t, "Encrypt", err, api.KMSInvalidStateException, symmetricARN+" is pending import.")
	if m := b.describe(t, region, symmetric); m.CurrentKeyMaterialId.Set || m.ExpirationModel.Set || m.ValidTo.Set || m.Origin.V != api.OriginTypeExternal {
		t.Errorf("without material: %+v", m)
	}
	b.wantMaterials(t, region, symmetric)
}

// TestImportTokens checks that a token is good for its key and for a day.
func TestImportTokens(t *testing.T) {
	b := testBench(t)
	id, _ := b.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
	w := b.oaep(t, region, id)
	good := w.request(t, id, secret(1))
	b.imported(t, good) // so that the key can be replicated
	b.runIn(t, region, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(west)})
	other, _ := b.external(t, api.CreateKeyRequest{})
	stranger := service.RootCaller("999988887777", "AKIASTRANGER")
	foreign, _ := b.as(t, stranger, "kms.CreateKey", &api.CreateKeyRequest{Origin: str(api.OriginTypeExternal)})
	foreignID := foreign.(*api.CreateKeyResponse).KeyMetadata.KeyId.V

	attempt := func(what, region string, caller *service.Caller, key string, token []byte, code api.ErrorCode) {
		t.Helper()
		req := *good
		req.KeyId, req.ImportToken = str(key), token
		_, err := b.asIn(t, caller, region, "ImportKeyMaterial", &req)
		refusal(t, what, err, code, "")
	}
	attempt("another key", region, b.caller, other, w.token, api.InvalidImportTokenException)
	attempt("the replica", west, b.caller, id, w.token, api.InvalidImportTokenException)
	attempt("another account", region, stranger, foreignID, w.token, api.InvalidImportTokenException)
	attempt("cut", region, b.caller, id, w.token[:len(w.token)-1], api.InvalidImportTokenException)
	attempt("one byte", region, b.caller, id, []byte{1}, api.InvalidImportTokenException)
	attempt("with more behind it", region, b.caller, id, append(slices.Clone(w.token), 0), api.InvalidImportTokenException)
	for i := range w.token {
		if i < 40 || i%97 == 0 || i > len(w.token)-20 {
			altered := slices.Clone(w.token)
			altered[i] ^= 0x10
			attempt(fmt.Sprint("altered at ", i), region, b.caller, id, altered, api.InvalidImportTokenException)
		}
	}
	// A ciphertext of the key is no token, though the service sealed it too.
	attempt("a ciphertext", region, b.caller, id, b.sealWith(t, region, id, "x"), api.InvalidImportTokenException)
	// The token of other parameters: its key does not unwrap this.
	attempt("of other parameters", region, b.caller, id, b.oaep(t, region, id).token, api.InvalidCiphertextException)

	b.pass(24 * time.Hour)
	b.imported(t, good)
	b.pass(time.Millisecond)
	attempt("a day later", region, b.caller, id, w.token, api.ExpiredImportTokenException)
	attempt("expired, and another key's", region, b.caller, other, w.token, api.InvalidImportTokenException)
	checkStore(t, b)
}

// TestImportMaterialRefused has material that does not belong into a key; the key stays as it was.
func TestImportMaterialRefused(t *testing.T) {
	b := testBench(t)
	id, arn := b.external(t, api.CreateKeyRequest{})
	w := b.oaep(t, region, id)
	attempt := func(what string, req *api.ImportKeyMaterialRequest, code api.ErrorCode, message string) {
		t.Helper()
		before := b.describe(t, region, req.KeyId.V)
		_, err := b.do(t, "ImportKeyMaterial", req)
		refusal(t, what, err, code, message)
		if after := b.describe(t, region, req.KeyId.V); after.KeyState != before.KeyState || after.CurrentKeyMaterialId != before.CurrentKeyMaterialId {
			t.Errorf("%s: the key was %s and is %s", what, before.KeyState.V, after.KeyState.V)
		}
	}
	for _, n := range []int{1, 16, 24, 31, 33, 64} {
		attempt(fmt.Sprint(n, " bytes"), w.request(t, id, make([]byte, n)), api.IncorrectKeyMaterialException, "*")
	}
	good := w.request(t, id, secret(1))
	for i := range good.EncryptedKeyMaterial {
		if i%31 == 0 {
			altered := *good
			altered.EncryptedKeyMaterial = slices.Clone(good.EncryptedKeyMaterial)
			altered.EncryptedKeyMaterial[i] ^= 1
			attempt(fmt.Sprint("altered at ", i), &altered, api.InvalidCiphertextException, "")
		}
	}
	cut := *good
	cut.EncryptedKeyMaterial = good.EncryptedKeyMaterial[1:]
	attempt("cut", &cut, api.InvalidCiphertextException, "")
	unwrapped := *good
	unwrapped.EncryptedKeyMaterial = secret(1)
	attempt("not wrapped", &unwrapped, api.InvalidCiphertextException, "")

	with := func(change func(*api.ImportKeyMaterialRequest)) *api.ImportKeyMaterialRequest {
		req := w.request(t, id, secret(2))
		change(req)
		return req
	}
	existing := func(req *api.ImportKeyMaterialRequest) { req.ImportType = str(api.ImportTypeExistingKeyMaterial) }
	attempt("existing, where there is none", with(existing), api.IncorrectKeyMaterialException, "*")
	attempt("an ID with new material", with(func(req *api.ImportKeyMaterialRequest) {
		newMaterial(req).KeyMaterialId = str(strings.Repeat("ab", 32))
	}), api.ValidationException, "*")
	now := b.now()
	attempt("no date", with(func(req *api.ImportKeyMaterialRequest) { req.ExpirationModel = api.Opt[api.ExpirationModelType]{} }), api.ValidationException, "*")
	attempt("no date, model said", with(func(req *api.ImportKeyMaterialRequest) {
		req.ExpirationModel = str(api.ExpirationModelTypeKeyMaterialExpires)
	}), api.ValidationException, "*")
	attempt("a date, and does not expire", with(func(req *api.ImportKeyMaterialRequest) { req.ValidTo = api.Some(now.Add(day)) }), api.ValidationException, "*")
	attempt("now", with(func(req *api.ImportKeyMaterialRequest) { expiring(req, now) }), api.ValidationException, "*")
	attempt("in the past", with(func(req *api.ImportKeyMaterialRequest) { expiring(req, now.Add(-time.Hour)) }), api.ValidationException, "*")
	attempt("in more than a year", with(func(req *api.ImportKeyMaterialRequest) { expiring(req, now.Add(365*day+time.Second)) }), api.ValidationException, "*")
	if counts := checkStore(t, b); counts["m"] != 0 {
		t.Errorf("%d materials are stored", counts["m"])
	}

	first := b.imported(t, good)
	attempt("other material", w.request(t, id, secret(2)), api.IncorrectKeyMaterialException, "*")
	attempt("another ID", func() *api.ImportKeyMaterialRequest {
		req := w.request(t, id, secret(1))
		req.KeyMaterialId = str(strings.Repeat("ab", 32))
		return req
	}(), api.IncorrectKeyMaterialException, "*")
	attempt("new, and there", newMaterial(w.request(t, id, secret(1))), api.IncorrectKeyMaterialException, "*")
	made, madeARN := b.newKey(t, &api.CreateKeyRequest{})
	attempt("a key of the service's", w.request(t, made, secret(1)), api.UnsupportedOperationException, madeARN+" origin is AWS_KMS which is not valid for this operation.")
	_, err := b.do(t, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(made)})
	refusal(t, "deleting the service's", err, api.UnsupportedOperationException, madeARN+" origin is AWS_KMS which is not valid for this operation.")
	_, err = b.do(t, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(id), KeyMaterialId: str(strings.Repeat("ab", 32))})
	refusal(t, "deleting what is not there", err, api.NotFoundException, "*")
	b.wantMaterials(t, region, arn[strings.LastIndex(arn, "/")+1:], first+` CURRENT IMPORTED  ""`)

	// Other specs: what is not a key of theirs, and what only symmetric keys have.
	for _, test := range []struct {
		spec     api.KeySpec
		usage    api.KeyUsageType
		material map[string][]byte
	}{
		{api.KeySpecHmac256, api.KeyUsageTypeGenerateVerifyMac, map[string][]byte{"short": make([]byte, 31), "long": make([]byte, 129)}},
		{api.KeySpecEccNistP256, api.KeyUsageTypeSignVerify, map[string][]byte{"nonsense": secret(1), "another curve": ecKey(t, elliptic.P384()), "more behind it": append(ecKey(t, elliptic.P256()), 0)}},
	} {
		id, _ := b.external(t, api.CreateKeyRequest{KeySpec: str(test.spec), KeyUsage: str(test.usage)})
		w := b.oaep(t, region, id)
		for name, material := range test.material {
			attempt(string(test.spec)+", "+name, w.request(t, id, material), api.IncorrectKeyMaterialException, "*")
		}
		good := ecKey(t, elliptic.P256())
		if test.spec == api.KeySpecHmac256 {
			good = secret(1)
		}
		if r := must[api.ImportKeyMaterialResponse](t, b, "ImportKeyMaterial", w.request(t, id, good)); r.KeyMaterialId.Set {
			t.Errorf("%s: material ID %s", test.spec, r.KeyMaterialId.V)
		}
		other := ecKey(t, elliptic.P256())
		if test.spec == api.KeySpecHmac256 {
			other = secret(2)
		}
		attempt(string(test.spec)+", other material", w.request(t, id, other), api.IncorrectKeyMaterialException, "*")
		attempt(string(test.spec)+", new material", newMaterial(w.request(t, id, other)), api.ValidationException, "*")
		named := w.request(t, id, good)
		named.KeyMaterialId = str(strings.Repeat("ab", 32))
		attempt(string(test.spec)+", an ID", named, api.ValidationException, "*")
		_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
		refusal(t, string(test.spec)+", RotateKeyOnDemand", err, api.UnsupportedOperationException, "")
		_, err = b.do(t, "ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: str(id)})
		refusal(t, string(test.spec)+", ListKeyRotations", err, api.UnsupportedOperationException, "*")
	}
	checkStore(t, b)
}

func ecKey(t checker, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return pkcs8(t, key)
}

// TestImportRotation takes a key through three materials.
func TestImportRotation(t *testing.T) {
	b := testBench(t)
	id, arn := b.external(t, api.CreateKeyRequest{})
	w := b.oaep(t, region, id)
	rotate := func() *api.Error {
		t.Helper()
		_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(arn)})
		return err
	}
	refusal(t, "without material", rotate(), api.KMSInvalidStateException, arn+" is pending import.")

	req := w.request(t, id, secret(1)) // the first is new without saying so
	req.KeyMaterialDescription = str("the first")
	one := b.imported(t, req)
	oldBlob := b.sealWith(t, region, id, "old")
	refusal(t, "without a pending material", rotate(), api.KMSInvalidStateException, "No available key material pending rotation for the key: "+arn+".")

	two := b.imported(t, newMaterial(w.request(t, id, secret(2))))
	b.wantState(t, region, id, api.KeyStateEnabled)
	if m := b.describe(t, region, id); m.CurrentKeyMaterialId.V != one {
		t.Errorf("a pending material is current: %s", m.CurrentKeyMaterialId.V)
	}
	b.wantOpen(t, region, b.sealWith(t, region, id, "still"), "still", one)
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  "the first"`, two+` PENDING_ROTATION IMPORTED  ""`)
	if got := b.materials(t, region, id, api.IncludeKeyMaterialRotationsOnly, 100); len(got) != 0 {
		t.Errorf("rotations before any: %v", got)
	}
	third := newMaterial(w.request(t, id, secret(3)))
	three, err := b.do(t, "ImportKeyMaterial", third)
	if three != nil {
		t.Fatal("a second pending material was taken")
	}
	words := fmt.Sprintf(" cannot be imported into KMS key %s, because another key material (id: %s) is pending rotation.", arn, two)
	if !strings.HasPrefix(err.Message, "New key material (id: ") || !strings.HasSuffix(err.Message, words) {
		t.Errorf("a second pending material: %v", err)
	}
	refusal(t, "a second pending material", err, api.KMSInvalidStateException, "*")
	// The pending one again, as new and as existing: perhaps to describe it.
	for _, kind := range []api.ImportType{api.ImportTypeNewKeyMaterial, api.ImportTypeExistingKeyMaterial} {
		again := w.request(t, id, secret(2))
		again.ImportType, again.KeyMaterialDescription = str(kind), str("2: "+string(kind))
		if got := b.imported(t, again); got != two {
			t.Errorf("the pending material again: %s, want %s", got, two)
		}
	}

	b.pass(time.Hour)
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	if m := b.describe(t, region, id); m.CurrentKeyMaterialId.V != two {
		t.Errorf("after rotation %s is current, want %s", m.CurrentKeyMaterialId.V, two)
	}
	newBlob := b.sealWith(t, region, id, "new")
	b.wantOpen(t, region, oldBlob, "old", one)
	b.wantOpen(t, region, newBlob, "new", two)
	r := must[api.ListKeyRotationsResponse](t, b, "ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: str(id)})
	if len(r.Rotations) != 1 || !r.Rotations[0].RotationDate.V.Equal(b.now()) || r.Rotations[0].KeyMaterialId.V != two {
		t.Errorf("rotations: %+v", r.Rotations)
	}
	refusal(t, "again", rotate(), api.KMSInvalidStateException, "No available key material pending rotation for the key: "+arn+".")
	last := b.imported(t, third)
	if err := rotate(); err != nil {
		t.Fatal(err)
	}
	pending := b.imported(t, newMaterial(w.request(t, id, secret(4))))
	all := []string{
		one + ` NON_CURRENT IMPORTED  "the first"`, two + ` NON_CURRENT IMPORTED ON_DEMAND "2: EXISTING_KEY_MATERIAL"`,
		last + ` CURRENT IMPORTED ON_DEMAND ""`, pending + ` PENDING_ROTATION IMPORTED  ""`,
	}
	b.wantMaterials(t, region, id, all...)
	for limit := int64(1); limit <= 5; limit++ {
		if got := b.materials(t, region, id, api.IncludeKeyMaterialAllKeyMaterial, limit); !slices.Equal(got, all) {
			t.Errorf("in pages of %d: %v", limit, got)
		}
		if got := b.materials(t, region, id, api.IncludeKeyMaterialRotationsOnly, limit); !slices.Equal(got, all[1:3]) {
			t.Errorf("rotations in pages of %d: %v", limit, got)
		}
	}
	page := must[api.ListKeyRotationsResponse](t, b, "ListKeyRotations", &api.ListKeyRotationsRequest{
		KeyId: str(id), IncludeKeyMaterial: str(api.IncludeKeyMaterialAllKeyMaterial), Limit: api.Some[int64](1),
	})
	_, err = b.do(t, "ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: str(id), Marker: page.NextMarker})
	refusal(t, "a marker of the other list", err, api.InvalidMarkerException, "*")

	var rotations []map[string]any
	for _, e := range b.events(t) {
		if e.EventName == "RotateKey" {
			rotations = append(rotations, e.Details)
		}
	}
	want := fmt.Sprint([]map[string]any{
		{"keyId": id, "rotationType": "ON_DEMAND", "keyOrigin": "EXTERNAL", "previousKeyMaterialId": one, "currentKeyMaterialId": two},
		{"keyId": id, "rotationType": "ON_DEMAND", "keyOrigin": "EXTERNAL", "previousKeyMaterialId": two, "currentKeyMaterialId": last},
	})
	if got := fmt.Sprint(rotations); got != want {
		t.Errorf("RotateKey events\n got %s\nwant %s", got, want)
	}
	checkStore(t, b)
}

// TestImportDelete deletes the current, an older and a pending material.
func TestImportDelete(t *testing.T) {
	b := testBench(t)
	id, arn := b.external(t, api.CreateKeyRequest{})
	drop := func(material string) string {
		t.Helper()
		req := &api.DeleteImportedKeyMaterialRequest{KeyId: str(id)}
		if material != "" {
			req.KeyMaterialId = str(material)
		}
		r := must[api.DeleteImportedKeyMaterialResponse](t, b, "DeleteImportedKeyMaterial", req)
		if r.KeyId.V != arn {
			t.Errorf("DeleteImportedKeyMaterial: key %s", r.KeyId.V)
		}
		return r.KeyMaterialId.V
	}
	if got := drop(""); got != "" { // no effect
		t.Errorf("deleted %s from a key without material", got)
	}
	b.wantState(t, region, id, api.KeyStatePendingImport)
	w := b.oaep(t, region, id)
	one := b.imported(t, w.request(t, id, secret(1)))
	blobOne := b.sealWith(t, region, id, "one")
	two := b.imported(t, newMaterial(w.request(t, id, secret(2))))

	// The pending one: forgotten, and the key goes on.
	if got := drop(two); got != two {
		t.Errorf("deleted %s, want %s", got, two)
	}
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  ""`)
	_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotating after the pending material went", err, api.KMSInvalidStateException, "*")
	_, err = b.do(t, "ImportKeyMaterial", w.request(t, id, secret(2)))
	refusal(t, "forgotten material as existing", err, api.IncorrectKeyMaterialException, "*")
	b.imported(t, newMaterial(w.request(t, id, secret(2))))
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	blobTwo := b.sealWith(t, region, id, "two")

	// An older one: the whole key waits for it.
	drop(one)
	b.wantState(t, region, id, api.KeyStatePendingImport)
	if m := b.describe(t, region, id); m.CurrentKeyMaterialId.V != two {
		t.Errorf("the current material is %s, want %s", m.CurrentKeyMaterialId.V, two)
	}
	b.wantMaterials(t, region, id, one+` NON_CURRENT PENDING_IMPORT  ""`, two+` CURRENT IMPORTED ON_DEMAND ""`)
	for _, blob := range [][]byte{blobOne, blobTwo} {
		_, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
		refusal(t, "Decrypt", err, api.KMSInvalidStateException, arn+" is pending import.")
	}
	_, err = b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "RotateKeyOnDemand", err, api.KMSInvalidStateException, arn+" is pending import.")
	drop(one) // again: no effect
	// The current one, which is what no ID names.
	if got := drop(""); got != two {
		t.Errorf("deleted %s, want the current %s", got, two)
	}
	if counts := checkStore(t, b); counts["m"] != 0 {
		t.Errorf("%d materials are stored", counts["m"])
	}
	back := w.request(t, id, secret(2))
	back.KeyMaterialId = str(two)
	b.imported(t, back)
	b.wantState(t, region, id, api.KeyStatePendingImport) // the other is still missing
	b.imported(t, w.request(t, id, secret(1)))
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantMaterials(t, region, id, one+` NON_CURRENT IMPORTED  ""`, two+` CURRENT IMPORTED ON_DEMAND ""`)
	b.wantOpen(t, region, blobOne, "one", one)
	b.wantOpen(t, region, blobTwo, "two", two)
	b.wantOpen(t, region, b.sealWith(t, region, id, "x"), "x", two)

	// A disabled key stays disabled through what does not concern its materials.
	b.run(t, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	b.imported(t, newMaterial(w.request(t, id, secret(3))))
	b.wantState(t, region, id, api.KeyStateDisabled)
	_, err = b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotating a disabled key", err, api.DisabledException, arn+" is disabled.")
	checkStore(t, b)
}

// TestImportExpires lets materials expire by the service's clock.
func TestImportExpires(t *testing.T) {
	b := testBench(t)
	id, arn := b.external(t, api.CreateKeyRequest{})
	wantExpiry := func(what string, at time.Time) {
		t.Helper()
		m := b.describe(t, region, id)
		model := api.Some(api.ExpirationModelTypeKeyMaterialExpires)
		if at.IsZero() {
			model = api.Some(api.ExpirationModelTypeKeyMaterialDoesNotExpire)
		}
		if m.ExpirationModel != model || m.ValidTo.Set != !at.IsZero() || !m.ValidTo.V.Equal(at) {
			t.Errorf("%s: %s %v, want %v", what, m.ExpirationModel.V, m.ValidTo, at)
		}
	}
	w := b.oaep(t, region, id)
	begin := b.now()
	dayOf := func(n int) time.Time { return begin.Add(time.Duration(n) * day) }
	one := b.imported(t, expiring(w.request(t, id, secret(1)), dayOf(10)))
	wantExpiry("imported", dayOf(10))
	blob := b.sealWith(t, region, id, "plain")
	b.imported(t, expiring(w.request(t, id, secret(1)), dayOf(20))) // put off
	wantExpiry("put off", dayOf(20))
	two := b.imported(t, newMaterial(expiring(w.request(t, id, secret(2)), dayOf(15))))
	wantExpiry("with a pending one, which is not the key's yet", dayOf(20))
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  "" `+dayOf(20).Format(time.RFC3339), two+` PENDING_ROTATION IMPORTED  "" `+dayOf(15).Format(time.RFC3339))

	b.advance(t, 15*day) // the pending one expires
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  "" `+dayOf(20).Format(time.RFC3339))
	b.advance(t, 5*day-time.Second)
	b.wantOpen(t, region, blob, "plain", one)
	b.advance(t, time.Second)
	b.wantState(t, region, id, api.KeyStatePendingImport)
	b.wantMaterials(t, region, id, one+` CURRENT PENDING_IMPORT  ""`)
	_, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	refusal(t, "Decrypt", err, api.KMSInvalidStateException, arn+" is pending import.")
	if counts := checkStore(t, b); counts["m"] != 0 {
		t.Errorf("%d materials are stored", counts["m"])
	}

	w = b.oaep(t, region, id)
	b.imported(t, expiring(w.request(t, id, secret(1)), dayOf(60)))
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantOpen(t, region, blob, "plain", one)
	three := b.imported(t, newMaterial(expiring(w.request(t, id, secret(3)), dayOf(40))))
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	wantExpiry("two materials", dayOf(40))
	b.advance(t, 20*day) // the current one expires, the older one does not
	b.wantState(t, region, id, api.KeyStatePendingImport)
	b.wantMaterials(t, region, id, one+` NON_CURRENT IMPORTED  "" `+dayOf(60).Format(time.RFC3339), three+` CURRENT PENDING_IMPORT ON_DEMAND ""`)
	b.advance(t, 20*day) // the other one too, of a key that is pending import already
	w = b.oaep(t, region, id)
	b.imported(t, w.request(t, id, secret(3)))
	b.wantState(t, region, id, api.KeyStatePendingImport)
	b.imported(t, w.request(t, id, secret(1)))
	b.wantState(t, region, id, api.KeyStateEnabled)
	wantExpiry("for good", time.Time{})
	b.wantOpen(t, region, blob, "plain", one)

	// Two that expire at the same time, and one deleted before its time.
	b.imported(t, expiring(w.request(t, id, secret(1)), dayOf(70)))
	b.imported(t, expiring(w.request(t, id, secret(3)), dayOf(70)))
	b.imported(t, newMaterial(expiring(w.request(t, id, secret(4)), dayOf(65))))
	must[api.DeleteImportedKeyMaterialResponse](t, b, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(id), KeyMaterialId: str(one)})
	b.advance(t, 30*day)
	var gone []string
	for _, e := range b.events(t) {
		if e.EventName == "DeleteExpiredKeyMaterial" && e.EventType == "AwsServiceEvent" {
			gone = append(gone, fmt.Sprintf("%s %s %d", e.Details["keyId"], e.Details["keyMaterialId"], e.EventTime.Sub(begin)/day))
		}
	}
	want := []string{id + " " + two + " 15", id + " " + one + " 20", id + " " + three + " 40", id + " " + one + " 60"}
	if len(gone) != 6 || !slices.Equal(gone[:4], want) || !strings.HasSuffix(gone[4], " 65") || gone[5] != id+" "+three+" 70" {
		t.Errorf("events of expiry\n got %s\nwant %s, one of day 65 and %s of day 70", strings.Join(gone, "\n     "), strings.Join(want, "\n     "), three)
	}
	if counts := checkStore(t, b); counts["m"] != 0 {
		t.Errorf("%d materials are stored", counts["m"])
	}
}

// TestImportExpiresAtOnce lets as many materials as a key can have expire in the same instant.
func TestImportExpiresAtOnce(t *testing.T) {
	b := testBench(t)
	id, _ := b.external(t, api.CreateKeyRequest{})
	w := b.oaep(t, region, id)
	at := b.now().Add(day)
	for n := range 27 {
		req := expiring(w.request(t, id, secret(byte(n+1))), at)
		b.imported(t, newMaterial(req))
		if n > 0 && n < 26 {
			b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
		}
	}
	if n := len(b.materials(t, region, id, api.IncludeKeyMaterialAllKeyMaterial, 10)); n != 27 {
		t.Errorf("the key has %d materials, want 27", n)
	}
	_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotation 26", err, api.LimitExceededException, "*")
	b.advance(t, day)
	b.wantState(t, region, id, api.KeyStatePendingImport)
	if n := b.serviceEvents(t, "DeleteExpiredKeyMaterial"); n != 27 {
		t.Errorf("%d events of expiry, want 27", n)
	}
	if counts := checkStore(t, b); counts["m"] != 0 {
		t.Errorf("%d materials are stored", counts["m"])
	}
}

// TestImportPendingDeletion schedules keys with and without material for deletion.
func TestImportPendingDeletion(t *testing.T) {
	b := testBench(t)
	schedule := func(id string) {
		t.Helper()
		b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](30)})
	}
	cancel := func(id string, want api.KeyState) {
		t.Helper()
		b.run(t, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
		b.wantState(t, region, id, want)
	}
	empty, _ := b.external(t, api.CreateKeyRequest{})
	schedule(empty)
	cancel(empty, api.KeyStatePendingImport)

	id, arn := b.external(t, api.CreateKeyRequest{})
	w := b.oaep(t, region, id)
	one := b.imported(t, w.request(t, id, secret(1)))
	blob := b.sealWith(t, region, id, "plain")
	schedule(id)
	_, err := b.do(t, "ImportKeyMaterial", w.request(t, id, secret(1)))
	refusal(t, "ImportKeyMaterial", err, api.KMSInvalidStateException, arn+" is pending deletion.")
	_, err = b.do(t, "GetParametersForImport", &api.GetParametersForImportRequest{
		KeyId: str(id), WrappingAlgorithm: str(api.AlgorithmSpecRsaesOaepSha256), WrappingKeySpec: str(api.WrappingKeySpecRsa2048),
	})
	refusal(t, "GetParametersForImport", err, api.KMSInvalidStateException, arn+" is pending deletion.")
	cancel(id, api.KeyStateDisabled)
	schedule(id)
	must[api.DeleteImportedKeyMaterialResponse](t, b, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(id)})
	b.wantState(t, region, id, api.KeyStatePendingDeletion) // as AWS says: the state does not change
	b.wantMaterials(t, region, id, one+` CURRENT PENDING_IMPORT  ""`)
	cancel(id, api.KeyStatePendingImport)

	b.imported(t, expiring(w.request(t, id, secret(1)), b.now().Add(3*day)))
	schedule(id)
	b.advance(t, 5*day)
	b.wantState(t, region, id, api.KeyStatePendingDeletion)
	cancel(id, api.KeyStatePendingImport)
	w = b.oaep(t, region, id)
	b.imported(t, w.request(t, id, secret(1)))
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantOpen(t, region, blob, "plain", one)

	// Deleted for good, with all its materials, one of which would have expired a day later.
	b.imported(t, newMaterial(expiring(w.request(t, id, secret(2)), b.now().Add(31*day))))
	schedule(id)
	schedule(empty)
	b.advance(t, 40*day)
	if counts := checkStore(t, b); counts["k"]+counts["m"]+counts["t"] != 0 {
		t.Errorf("left in the store: %v", counts)
	}
	_, err = b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	refusal(t, "Decrypt", err, api.AccessDeniedException, "*")
}
