package kms_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

type values = map[string]string

// conditionCases are the requests of TestConditions.
func conditionCases(t *testing.T, b *bench, pki *nitrotest.PKI) []conditionCase {
	t.Helper()
	ctx := map[string]string{"App": "web", "stage": "test"}
	key, keyARN := b.newKey(t, &api.CreateKeyRequest{})
	other, _ := b.newKey(t, &api.CreateKeyRequest{})
	for name, id := range map[string]string{"alias/app": key, "alias/other": other} {
		b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(name), TargetKeyId: str(id)})
	}
	blob := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("p"), EncryptionContext: ctx}).CiphertextBlob
	list := cryptoCases(key, keyARN, ctx)
	list = append(list, reEncryptCases(key, blob, ctx)...)
	list = append(list, enclaveCases(t, pki, key, blob, ctx)...)
	list = append(list, newKeyCases(t, b, key)...)
	return append(list, changeCases(t, b)...)
}

// sym is a request's values with the symmetric algorithm and the encryption context of conditionCases.
func sym(more ...string) values {
	m := values{
		"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:EncryptionContext:App": "web", "kms:EncryptionContext:stage": "test", "kms:EncryptionContextKeys": "App,stage",
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func cryptoCases(key, keyARN string, ctx map[string]string) []conditionCase {
	const aliasARN = "arn:aws:kms:" + region + ":" + account + ":alias/app"
	alias, id := str("alias/app"), str(key)
	app := values{"kms:RequestAlias": "alias/app"}
	pair := str(api.DataKeyPairSpecEccNistP256)
	ecdsa, ecdh, hmac := str(api.SigningAlgorithmSpecEcdsaSha256), str(api.KeyAgreementAlgorithmSpecEcdh), str(api.MacAlgorithmSpecHmacSha256)
	kem := str(api.EncapsulationAlgorithmSpec("").Values()[0])
	digest := make([]byte, 32)
	external := kms.ExternalKeyRequest{KeyID: key}
	return []conditionCase{
		{"kms.Encrypt", &api.EncryptRequest{KeyId: alias, Plaintext: digest, EncryptionContext: ctx}, "kms:Encrypt", sym("kms:RequestAlias", "alias/app")},
		{"kms.Encrypt", &api.EncryptRequest{KeyId: str(keyARN), Plaintext: digest}, "", values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}},
		{"kms.Encrypt", &api.EncryptRequest{KeyId: str(aliasARN), Plaintext: digest, EncryptionAlgorithm: str(api.EncryptionAlgorithmSpecRsaesOaepSha256)}, "",
			values{"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256", "kms:RequestAlias": "alias/app"}},
		// Names that differ in case alone are one condition key.
		{"kms.Encrypt", &api.EncryptRequest{KeyId: id, Plaintext: digest, EncryptionContext: map[string]string{"app": "z", "APP": "a", "": ""}}, "",
			values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:EncryptionContext:App": "a,z", "kms:EncryptionContext:": "", "kms:EncryptionContextKeys": ",APP,app"}},
		{"kms.GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: alias, EncryptionContext: ctx}, "", sym("kms:RequestAlias", "alias/app")},
		{"kms.GenerateDataKeyWithoutPlaintext", &api.GenerateDataKeyWithoutPlaintextRequest{KeyId: alias, EncryptionContext: ctx}, "", sym("kms:RequestAlias", "alias/app")},
		{"kms.GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: alias, KeyPairSpec: pair, EncryptionContext: ctx}, "",
			sym("kms:RequestAlias", "alias/app", "kms:DataKeyPairSpec", "ECC_NIST_P256")},
		{"kms.GenerateDataKeyPairWithoutPlaintext", &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: alias, KeyPairSpec: pair, EncryptionContext: ctx}, "",
			sym("kms:RequestAlias", "alias/app", "kms:DataKeyPairSpec", "ECC_NIST_P256")},
		{"kms.Sign", &api.SignRequest{KeyId: alias, Message: digest, SigningAlgorithm: ecdsa}, "",
			values{"kms:RequestAlias": "alias/app", "kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}},
		{"kms.Verify", &api.VerifyRequest{KeyId: alias, Message: digest, Signature: digest, SigningAlgorithm: ecdsa, MessageType: str(api.MessageTypeDigest)}, "",
			values{"kms:RequestAlias": "alias/app", "kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "DIGEST"}},
		{"kms.GenerateMac", &api.GenerateMacRequest{KeyId: alias, Message: digest, MacAlgorithm: hmac}, "", values{"kms:RequestAlias": "alias/app", "kms:MacAlgorithm": "HMAC_SHA_256"}},
		{"kms.VerifyMac", &api.VerifyMacRequest{KeyId: alias, Message: digest, Mac: digest, MacAlgorithm: hmac}, "", values{"kms:RequestAlias": "alias/app", "kms:MacAlgorithm": "HMAC_SHA_256"}},
		{"kms.DeriveSharedSecret", &api.DeriveSharedSecretRequest{KeyId: alias, PublicKey: digest, KeyAgreementAlgorithm: ecdh}, "",
			values{"kms:RequestAlias": "alias/app", "kms:KeyAgreementAlgorithm": "ECDH"}},
		{"kms.Encapsulate", &api.EncapsulateRequest{KeyId: alias, EncapsulationAlgorithm: kem}, "", app},
		{"kms.Decapsulate", &api.DecapsulateRequest{KeyId: alias, SharedSecretCiphertextBlob: digest, EncapsulationAlgorithm: kem}, "", app},
		{"kms.GetPublicKey", &api.GetPublicKeyRequest{KeyId: alias}, "", app},
		{"kms.DescribeKey", &api.DescribeKeyRequest{KeyId: alias}, "", app},
		{"kms.DescribeKey", &api.DescribeKeyRequest{KeyId: id}, "", values{}},
		{"kms.ListKeys", &api.ListKeysRequest{}, "", values{}},
		{"xks.Encrypt", &kms.ExternalEncryptRequest{ExternalKeyRequest: external}, "", values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}},
		{"xks.Decrypt", &kms.ExternalDecryptRequest{ExternalKeyRequest: external}, "", values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}},
	}
}

func reEncryptCases(key string, blob []byte, ctx map[string]string) []conditionCase {
	from, to := "kms:ReEncryptFrom", "kms:ReEncryptTo"
	rsa := &api.ReEncryptRequest{
		CiphertextBlob: blob, SourceKeyId: str("alias/app"), SourceEncryptionContext: ctx, DestinationKeyId: str("alias/other"),
		DestinationEncryptionAlgorithm: str(api.EncryptionAlgorithmSpecRsaesOaepSha1),
	}
	same := &api.ReEncryptRequest{CiphertextBlob: blob, DestinationKeyId: str(key), DestinationEncryptionContext: ctx}
	managed := &api.ReEncryptRequest{CiphertextBlob: blob, DestinationKeyId: str("alias/aws/s3")} // made in between
	unmade := &api.ReEncryptRequest{CiphertextBlob: blob, SourceKeyId: str("alias/aws/rds"), DestinationKeyId: str(key)}
	return []conditionCase{
		{"kms.ReEncrypt", unmade, from, values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:RequestAlias": "alias/aws/rds", "kms:ReEncryptOnSameKey": "false"}},
		{"kms.ReEncrypt", rsa, from, sym("kms:RequestAlias", "alias/app", "kms:ReEncryptOnSameKey", "false")},
		{"kms.ReEncrypt", rsa, to, values{"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_1", "kms:RequestAlias": "alias/other", "kms:ReEncryptOnSameKey": "false"}},
		{"kms.ReEncrypt", same, from, values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:ReEncryptOnSameKey": "true"}},
		{"kms.ReEncrypt", same, to, sym("kms:ReEncryptOnSameKey", "true")},
		{"kms.ReEncrypt", managed, to, values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "kms:RequestAlias": "alias/aws/s3", "kms:ReEncryptOnSameKey": "false"}},
	}
}

// enclaveCases have documents of an enclave, good ones and one that was altered.
func enclaveCases(t *testing.T, pki *nitrotest.PKI, key string, blob []byte, ctx map[string]string) []conditionCase {
	t.Helper()
	private, err := enclaveKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	document := func(at time.Time) *api.RecipientInfo {
		d, err := pki.Document(nitrotest.Claims{Timestamp: at, PublicKey: public, PCRs: map[int][]byte{0: nitrotest.PCR("image"), 3: nitrotest.PCR("role")}})
		if err != nil {
			t.Fatal(err)
		}
		return &api.RecipientInfo{KeyEncryptionAlgorithm: str(api.KeyEncryptionMechanismRsaesOaepSha256), AttestationDocument: d}
	}
	good, stale, altered := document(start), document(start.Add(-time.Hour)), document(start)
	altered.AttestationDocument[len(altered.AttestationDocument)-1] ^= 1
	image, role := hex.EncodeToString(nitrotest.PCR("image")), hex.EncodeToString(nitrotest.PCR("role"))
	attested := []string{"kms:RecipientAttestation:ImageSha384", image, "kms:RecipientAttestation:PCR0", image, "kms:RecipientAttestation:PCR3", role}
	with := func(m values, more ...string) values {
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	pair := str(api.DataKeyPairSpecEccNistP256)
	return []conditionCase{
		{"kms.Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: ctx, Recipient: good, KeyId: str("alias/app")}, "",
			with(sym("kms:RequestAlias", "alias/app"), attested...)},
		{"kms.Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: ctx, Recipient: altered}, "", sym()},
		{"kms.Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: ctx, Recipient: stale}, "", sym()},
		{"kms.Decrypt", &api.DecryptRequest{CiphertextBlob: blob}, "", values{"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}},
		{"kms.GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(key), EncryptionContext: ctx, Recipient: good}, "", with(sym(), attested...)},
		{"kms.GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(key), KeyPairSpec: pair, EncryptionContext: ctx, Recipient: good}, "",
			with(sym("kms:DataKeyPairSpec", "ECC_NIST_P256"), attested...)},
		{"kms.DeriveSharedSecret", &api.DeriveSharedSecretRequest{KeyId: str(key), PublicKey: public, KeyAgreementAlgorithm: str(api.KeyAgreementAlgorithmSpecEcdh), Recipient: good}, "",
			with(values{"kms:KeyAgreementAlgorithm": "ECDH"}, attested...)},
		{"kms.GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8), Recipient: good}, "", with(values{}, attested...)},
		{"kms.GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8), Recipient: &api.RecipientInfo{}}, "", values{}},
		{"kms.GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8)}, "", values{}},
	}
}

// newKeyCases are requests that make keys, or name tags.
func newKeyCases(t *testing.T, b *bench, key string) []conditionCase {
	t.Helper()
	property := func(spec, usage, origin string, more ...string) values {
		m := values{
			"kms:KeySpec": spec, "kms:CustomerMasterKeySpec": spec, "kms:KeyUsage": usage, "kms:CustomerMasterKeyUsage": usage,
			"kms:KeyOrigin": origin, "kms:MultiRegion": "false",
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	tags := []api.Tag{newTag("Team", "x"), newTag("cost", "1")}
	tagged := []string{"aws:RequestTag/Team", "x", "aws:TagKeys", "Team,cost"}
	related := b.newMultiRegion(t, api.CreateKeyRequest{})
	replicate := &api.ReplicateKeyRequest{KeyId: str(related), ReplicaRegion: str(west), Tags: tags, BypassPolicyLockoutSafetyCheck: api.Some(true)}
	replica := property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS",
		append(tagged, "kms:MultiRegion", "true", "kms:MultiRegionKeyType", "REPLICA", "kms:BypassPolicyLockoutSafetyCheck", "true")...)
	return []conditionCase{
		{"kms.CreateKey", &api.CreateKeyRequest{}, "", property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")},
		{"kms.CreateKey", &api.CreateKeyRequest{
			KeySpec: str(api.KeySpecRsa2048), KeyUsage: str(api.KeyUsageTypeSignVerify), Origin: str(api.OriginTypeExternal), MultiRegion: api.Some(true),
			BypassPolicyLockoutSafetyCheck: api.Some(false), Tags: tags,
		}, "", property("RSA_2048", "SIGN_VERIFY", "EXTERNAL",
			append(tagged, "kms:MultiRegion", "true", "kms:MultiRegionKeyType", "PRIMARY", "kms:BypassPolicyLockoutSafetyCheck", "false")...)},
		{"kms.CreateKey", &api.CreateKeyRequest{CustomerMasterKeySpec: str(api.CustomerMasterKeySpecHmac256), KeyUsage: str(api.KeyUsageTypeGenerateVerifyMac)}, "",
			property("HMAC_256", "GENERATE_VERIFY_MAC", "AWS_KMS")},
		{"kms.CreateKey", &api.CreateKeyRequest{EnableKeyRotation: api.Some(true)}, "", property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", "kms:RotationPeriodInDays", "365")},
		{"kms.CreateKey", &api.CreateKeyRequest{RotationPeriodInDays: api.Some[int64](90)}, "", property("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", "kms:RotationPeriodInDays", "90")},
		{"kms.ReplicateKey", replicate, "kms:ReplicateKey", values{"kms:ReplicaRegion": west, "aws:RequestTag/Team": "x", "aws:TagKeys": "Team,cost"}},
		{"kms.ReplicateKey", replicate, "kms:CreateKey", replica},
		{"kms.ReplicateKey", replicate, "kms:TagResource", replica},
		{"kms.ReplicateKey", &api.ReplicateKeyRequest{KeyId: str("mrk-00000000000000000000000000000000"), ReplicaRegion: str(west)}, "kms:CreateKey", values{}},
		{"kms.TagResource", &api.TagResourceRequest{KeyId: str(key), Tags: append(tags, newTag("TEAM", "a"))}, "", values{"aws:RequestTag/Team": "a,x", "aws:TagKeys": "Team,cost,TEAM"}},
		{"kms.UntagResource", &api.UntagResourceRequest{KeyId: str(key), TagKeys: []string{"cost", "Team"}}, "", values{"aws:TagKeys": "cost,Team"}},
	}
}

// changeCases are requests that change keys. Some of the keys were made days ago.
func changeCases(t *testing.T, b *bench) []conditionCase {
	t.Helper()
	idle, _ := b.newKey(t, &api.CreateKeyRequest{})
	used, _ := b.newKey(t, &api.CreateKeyRequest{})
	imported, _ := b.external(t, api.CreateKeyRequest{})
	related := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.pass(10 * 24 * time.Hour)
	b.encrypt(t, used, "now")
	if err := b.p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.pass(47 * time.Hour)
	young, _ := b.newKey(t, &api.CreateKeyRequest{})
	absent := "00000000-0000-4000-8000-000000000000"
	until := time.UnixMilli(1546257599500)
	oaep, model := str(api.AlgorithmSpecRsaesOaepSha256), str(api.ExpirationModelTypeKeyMaterialExpires)
	blob := []byte("blob")
	policy := str(`{"Version":"2012-10-17","Statement":[]}`)
	return []conditionCase{
		{"kms.DisableKey", &api.DisableKeyRequest{KeyId: str(used)}, "", values{"kms:TrailingDaysWithoutKeyUsage": "1"}},
		{"kms.DisableKey", &api.DisableKeyRequest{KeyId: str(idle)}, "", values{"kms:TrailingDaysWithoutKeyUsage": "11"}},
		{"kms.DisableKey", &api.DisableKeyRequest{KeyId: str(young)}, "", values{"kms:TrailingDaysWithoutKeyUsage": "0"}},
		{"kms.DisableKey", &api.DisableKeyRequest{KeyId: str(absent)}, "", values{}},
		{"kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(used)}, "",
			values{"kms:TrailingDaysWithoutKeyUsage": "1", "kms:ScheduleKeyDeletionPendingWindowInDays": "30"}},
		{"kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(idle), PendingWindowInDays: api.Some[int64](7)}, "",
			values{"kms:TrailingDaysWithoutKeyUsage": "11", "kms:ScheduleKeyDeletionPendingWindowInDays": "7"}},
		{"kms.EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(young)}, "", values{"kms:RotationPeriodInDays": "365"}},
		{"kms.EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(young), RotationPeriodInDays: api.Some[int64](100)}, "", values{"kms:RotationPeriodInDays": "100"}},
		{"kms.PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(young), Policy: policy, BypassPolicyLockoutSafetyCheck: api.Some(true)}, "", values{"kms:BypassPolicyLockoutSafetyCheck": "true"}},
		{"kms.PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(young), Policy: policy}, "", values{}},
		{"kms.CreateGrant", &api.CreateGrantRequest{KeyId: str(young), GranteePrincipal: str(ann), Operations: []api.GrantOperation{"Decrypt", "DescribeKey"}}, "",
			values{"kms:GranteePrincipal": ann, "kms:GrantOperations": "Decrypt,DescribeKey", "kms:GrantIsForAWSResource": "false"}},
		{"kms.CreateGrant", &api.CreateGrantRequest{
			KeyId: str(young), GranteePrincipal: str(ann), RetiringPrincipal: str(bob), Operations: []api.GrantOperation{"Decrypt"},
			Constraints: &api.GrantConstraints{EncryptionContextSubset: map[string]string{"App": "x"}},
		}, "", values{
			"kms:GranteePrincipal": ann, "kms:RetiringPrincipal": bob, "kms:GrantOperations": "Decrypt", "kms:GrantIsForAWSResource": "false",
			"kms:GrantConstraintType": "EncryptionContextSubset", "kms:EncryptionContext:App": "x", "kms:EncryptionContextKeys": "App",
		}},
		{"kms.ListGrants", &api.ListGrantsRequest{KeyId: str(young)}, "", values{"kms:GrantIsForAWSResource": "false"}},
		{"kms.RevokeGrant", &api.RevokeGrantRequest{KeyId: str(young), GrantId: str(fmt.Sprintf("%064d", 0))}, "", values{"kms:GrantIsForAWSResource": "false"}},
		{"kms.UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(related), PrimaryRegion: str(west)}, "", values{"kms:PrimaryRegion": west}},
		{"kms.GetParametersForImport", &api.GetParametersForImportRequest{KeyId: str(imported), WrappingAlgorithm: oaep, WrappingKeySpec: str(api.WrappingKeySpecRsa3072)}, "",
			values{"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256", "kms:WrappingKeySpec": "RSA_3072"}},
		{"kms.ImportKeyMaterial", &api.ImportKeyMaterialRequest{KeyId: str(imported), ImportToken: blob, EncryptedKeyMaterial: blob, ExpirationModel: model, ValidTo: api.Some(until)}, "",
			values{"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES", "kms:ValidTo": "1546257599.5"}},
		{"kms.ImportKeyMaterial", &api.ImportKeyMaterialRequest{KeyId: str(imported), ImportToken: blob, EncryptedKeyMaterial: blob, ValidTo: api.Some(until.Add(-500 * time.Millisecond))}, "",
			values{"kms:ValidTo": "1546257599"}},
		{"kms.ImportKeyMaterial", &api.ImportKeyMaterialRequest{KeyId: str(imported), ImportToken: blob, EncryptedKeyMaterial: blob}, "", values{}},
	}
}
