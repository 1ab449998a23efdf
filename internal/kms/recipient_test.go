package kms_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/cms"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/nitro"
	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

var enclaveKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// TestRecipient has every operation that takes a recipient reply to an enclave: what comes back opens with the enclave's key only, and
// nothing of it is in the clear.
func TestRecipient(t *testing.T) {
	pki, err := nitrotest.New(nitrotest.Config{Now: start})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := nitro.New(nitro.Config{Roots: pki.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := enclaveKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var b *bench
	b = newBench(t, kms.Config{Attestation: verifier, RealTime: func() time.Time { return b.realNow() }})
	t.Cleanup(func() { b.close(t) })
	document, err := pki.Document(nitrotest.Claims{Timestamp: start, PublicKey: public})
	if err != nil {
		t.Fatal(err)
	}
	recipient := &api.RecipientInfo{KeyEncryptionAlgorithm: api.Some(api.KeyEncryptionMechanismRsaesOaepSha256), AttestationDocument: document}
	id := must[api.CreateKeyResponse](t, b, "CreateKey", &api.CreateKeyRequest{}).KeyMetadata.KeyId
	ecc := must[api.CreateKeyResponse](t, b, "CreateKey", &api.CreateKeyRequest{
		KeySpec: api.Some(api.KeySpecEccNistP256), KeyUsage: api.Some(api.KeyUsageTypeKeyAgreement),
	}).KeyMetadata.KeyId
	peer := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", &api.GetPublicKeyRequest{KeyId: ecc}).PublicKey
	open := func(blob []byte) []byte {
		t.Helper()
		plain, err := cms.Open(blob, key)
		if err != nil {
			t.Fatalf("the reply does not open: %v", err)
		}
		return plain
	}

	sealed := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: id, Plaintext: []byte("secret")}).CiphertextBlob
	d := must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: sealed, Recipient: recipient})
	if d.Plaintext != nil || d.KeyMaterialId.Set || string(open(d.CiphertextForRecipient)) != "secret" {
		t.Errorf("Decrypt: %+v", d)
	}
	var said map[string]any
	for _, e := range b.events(t) {
		if e.EventName == "Decrypt" {
			said, _ = e.Additional["recipient"].(map[string]any)
		}
	}
	if said["attestationDocumentModuleId"] != nitrotest.ModuleID || said["attestationDocumentEnclaveImageDigest"] == nil {
		t.Errorf("the audit record does not say which enclave: %v", said)
	}
	g := must[api.GenerateDataKeyResponse](t, b, "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: id, NumberOfBytes: api.Some(int64(24)), Recipient: recipient})
	back := must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: g.CiphertextBlob})
	if g.Plaintext != nil || g.KeyMaterialId.Set || string(open(g.CiphertextForRecipient)) != string(back.Plaintext) || len(back.Plaintext) != 24 {
		t.Errorf("GenerateDataKey: %+v", g)
	}
	p := must[api.GenerateDataKeyPairResponse](t, b, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: api.Some(api.DataKeyPairSpecEccNistP256), Recipient: recipient})
	back = must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: p.PrivateKeyCiphertextBlob})
	if p.PrivateKeyPlaintext != nil || string(open(p.CiphertextForRecipient)) != string(back.Plaintext) {
		t.Errorf("GenerateDataKeyPair: %+v", p)
	}
	r := must[api.GenerateRandomResponse](t, b, "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some(int64(32)), Recipient: recipient})
	if r.Plaintext != nil || len(open(r.CiphertextForRecipient)) != 32 {
		t.Errorf("GenerateRandom: %+v", r)
	}
	agree := &api.DeriveSharedSecretRequest{KeyId: ecc, KeyAgreementAlgorithm: api.Some(api.KeyAgreementAlgorithmSpecEcdh), PublicKey: peer}
	clearly := must[api.DeriveSharedSecretResponse](t, b, "DeriveSharedSecret", agree)
	agree.Recipient = recipient
	s := must[api.DeriveSharedSecretResponse](t, b, "DeriveSharedSecret", agree)
	if s.SharedSecret != nil || string(open(s.CiphertextForRecipient)) != string(clearly.SharedSecret) {
		t.Errorf("DeriveSharedSecret: %+v", s)
	}

	// What is not to be trusted gets nothing.
	unsigned := append([]byte(nil), document...)
	unsigned[len(unsigned)-1] ^= 1
	keyless, err := pki.Document(nitrotest.Claims{Timestamp: start})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*api.RecipientInfo{
		"altered":   {KeyEncryptionAlgorithm: recipient.KeyEncryptionAlgorithm, AttestationDocument: unsigned},
		"no key":    {KeyEncryptionAlgorithm: recipient.KeyEncryptionAlgorithm, AttestationDocument: keyless},
		"empty":     {KeyEncryptionAlgorithm: recipient.KeyEncryptionAlgorithm},
		"algorithm": {AttestationDocument: document},
	} {
		if _, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: sealed, Recipient: r}); err == nil || err.Code != api.ValidationException {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.pass(nitro.DefaultMaxAge * 2)
	if _, err := b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: sealed, Recipient: recipient}); err == nil || !strings.Contains(err.Message, "stale") {
		t.Errorf("an old document: %v", err)
	}
}
