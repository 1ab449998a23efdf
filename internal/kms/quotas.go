package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/throttle"
)

// quotas says for every operation which request quotas it counts toward, as the table in "Request quotas" of the AWS KMS Developer
// Guide has it (https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html).
func (k *KMS) quotas() map[string]service.Quota {
	byKey := service.Quota{Targets: keyCharges}
	byPair := func(spec func(any) api.DataKeyPairSpec) service.Quota {
		return service.Quota{Request: func(req any) throttle.Class { return pairClass(spec(req)) }}
	}
	just := func(c throttle.Class) service.Quota { return service.Quota{Class: c} }
	return map[string]service.Quota{
		"Decapsulate":                     byKey,
		"Decrypt":                         byKey,
		"DeriveSharedSecret":              byKey,
		"Encapsulate":                     byKey,
		"Encrypt":                         byKey,
		"GenerateDataKey":                 byKey,
		"GenerateDataKeyWithoutPlaintext": byKey,
		"GenerateMac":                     byKey,
		"ReEncrypt":                       byKey,
		"Sign":                            byKey,
		"Verify":                          byKey,
		"VerifyMac":                       byKey,
		"GenerateRandom":                  {Class: throttle.CryptographicSymmetric, Targets: randomCharges},

		"GenerateDataKeyPair": byPair(func(req any) api.DataKeyPairSpec {
			return req.(*api.GenerateDataKeyPairRequest).KeyPairSpec.V
		}),
		"GenerateDataKeyPairWithoutPlaintext": byPair(func(req any) api.DataKeyPairSpec {
			return req.(*api.GenerateDataKeyPairWithoutPlaintextRequest).KeyPairSpec.V
		}),

		"CancelKeyDeletion":         just(throttle.CancelKeyDeletion),
		"ConnectCustomKeyStore":     just(throttle.ConnectCustomKeyStore),
		"CreateAlias":               just(throttle.CreateAlias),
		"CreateCustomKeyStore":      just(throttle.CreateCustomKeyStore),
		"CreateGrant":               just(throttle.CreateGrant),
		"CreateKey":                 just(throttle.CreateKey),
		"DeleteAlias":               just(throttle.DeleteAlias),
		"DeleteCustomKeyStore":      just(throttle.DeleteCustomKeyStore),
		"DeleteImportedKeyMaterial": just(throttle.DeleteImportedKeyMaterial),
		"DescribeCustomKeyStores":   just(throttle.DescribeCustomKeyStores),
		"DescribeKey":               just(throttle.DescribeKey),
		"DisableKey":                just(throttle.DisableKey),
		"DisableKeyRotation":        just(throttle.DisableKeyRotation),
		"DisconnectCustomKeyStore":  just(throttle.DisconnectCustomKeyStore),
		"EnableKey":                 just(throttle.EnableKey),
		"EnableKeyRotation":         just(throttle.EnableKeyRotation),
		"GetKeyLastUsage":           just(throttle.GetKeyLastUsage),
		"GetKeyPolicy":              just(throttle.GetKeyPolicy),
		"GetKeyRotationStatus":      just(throttle.GetKeyRotationStatus),
		"GetParametersForImport":    just(throttle.GetParametersForImport),
		"GetPublicKey":              just(throttle.GetPublicKey),
		"ImportKeyMaterial":         just(throttle.ImportKeyMaterial),
		"ListAliases":               just(throttle.ListAliases),
		"ListGrants":                just(throttle.ListGrants),
		"ListKeyPolicies":           just(throttle.ListKeyPolicies),
		"ListKeyRotations":          just(throttle.ListKeyRotations),
		"ListKeys":                  just(throttle.ListKeys),
		"ListResourceTags":          just(throttle.ListResourceTags),
		"ListRetirableGrants":       just(throttle.ListRetirableGrants),
		"PutKeyPolicy":              just(throttle.PutKeyPolicy),
		"ReplicateKey":              {Class: throttle.ReplicateKey, Targets: k.replicaCharges},
		"RetireGrant":               just(throttle.RetireGrant),
		"RevokeGrant":               just(throttle.RevokeGrant),
		"RotateKeyOnDemand":         just(throttle.RotateKeyOnDemand),
		"ScheduleKeyDeletion":       just(throttle.ScheduleKeyDeletion),
		"TagResource":               just(throttle.TagResource),
		"UntagResource":             just(throttle.UntagResource),
		"UpdateAlias":               just(throttle.UpdateAlias),
		"UpdateCustomKeyStore":      just(throttle.UpdateCustomKeyStore),
		"UpdateKeyDescription":      just(throttle.UpdateKeyDescription),
		"UpdatePrimaryRegion":       {Class: throttle.UpdatePrimaryRegion, Targets: k.newPrimaryCharges},
	}
}

// keyCharges are those of a cryptographic operation: one for each kind of key that it uses, and one for each custom key store. A
// call that was refused counts as one with a symmetric key.
func keyCharges(tx *service.Tx, _ any, targets []service.Target) (charges throttle.Charges) {
	for i := range targets {
		key := targets[i].Key
		if key == nil {
			continue
		}
		charges.Add(tx.Charge(specClass(key.Spec)))
		if key.KeyStore != "" {
			charges.Add(keyStoreCharge(key.Owner, key.KeyStore))
		}
	}
	if len(charges.List()) == 0 {
		charges.Add(tx.Charge(throttle.CryptographicSymmetric))
	}
	return charges
}

// keyStoreCharge counts a call toward a custom key store's quota, which all accounts that use the store share.
func keyStoreCharge(o record.Owner, id string) throttle.Charge {
	return throttle.Charge{
		Scope: throttle.Scope{Account: o.Account, Region: o.Region, KeyStore: id}, Class: throttle.CustomKeyStore, N: 1,
	}
}

// randomCharges counts GenerateRandom toward the custom key store that it names, if there is one: what does not exist must not be
// remembered.
func randomCharges(tx *service.Tx, req any, targets []service.Target) (charges throttle.Charges) {
	id := req.(*api.GenerateRandomRequest).CustomKeyStoreId
	if len(targets) == 0 || !id.Set {
		return charges
	}
	if s, err := keyStore(tx, callOwner(tx), id.V); err == nil {
		charges.Add(keyStoreCharge(callOwner(tx), s.ID))
	}
	return charges
}

// replicaCharges counts ReplicateKey as two CreateKey calls in the replica's Region.
func (k *KMS) replicaCharges(tx *service.Tx, req any, targets []service.Target) (charges throttle.Charges) {
	region := req.(*api.ReplicateKeyRequest).ReplicaRegion.V
	if len(targets) > 0 && k.config.HasRegion(region) {
		c := tx.Charge(throttle.CreateKey)
		c.Scope.Region, c.N = region, 2
		charges.Add(c)
	}
	return charges
}

// newPrimaryCharges counts UpdatePrimaryRegion in the other Region too.
func (k *KMS) newPrimaryCharges(tx *service.Tx, req any, targets []service.Target) (charges throttle.Charges) {
	region := req.(*api.UpdatePrimaryRegionRequest).PrimaryRegion.V
	if len(targets) > 0 && region != tx.Call.Region && k.config.HasRegion(region) {
		c := tx.Charge(throttle.UpdatePrimaryRegion)
		c.Scope.Region = region
		charges.Add(c)
	}
	return charges
}

// specClasses are the classes of keys, by how the names of their specs begin. All others are symmetric.
var specClasses = []struct {
	prefix string
	class  throttle.Class
}{
	{"RSA_", throttle.CryptographicRSA},
	{"ECC_", throttle.CryptographicECC},
	{"SM2", throttle.CryptographicECC},
	{"ML_DSA_", throttle.CryptographicMLDSA},
	{"ML_KEM_", throttle.CryptographicMLKEM},
}

func specClass(spec string) throttle.Class {
	for i := range specClasses {
		if strings.HasPrefix(spec, specClasses[i].prefix) {
			return specClasses[i].class
		}
	}
	return throttle.CryptographicSymmetric
}

var pairClasses = map[api.DataKeyPairSpec]throttle.Class{
	api.DataKeyPairSpecRsa2048:             throttle.DataKeyPairRSA2048,
	api.DataKeyPairSpecRsa3072:             throttle.DataKeyPairRSA3072,
	api.DataKeyPairSpecRsa4096:             throttle.DataKeyPairRSA4096,
	api.DataKeyPairSpecEccNistP256:         throttle.DataKeyPairP256,
	api.DataKeyPairSpecEccNistP384:         throttle.DataKeyPairP384,
	api.DataKeyPairSpecEccNistP521:         throttle.DataKeyPairP521,
	api.DataKeyPairSpecEccSecgP256k1:       throttle.DataKeyPairSecp256k1,
	api.DataKeyPairSpecEccNistEdwards25519: throttle.DataKeyPairEd25519,
	api.DataKeyPairSpecSm2:                 throttle.DataKeyPairSM2,
	api.DataKeyPairSpecMlKem512:            throttle.DataKeyPairMLKEM512,
	api.DataKeyPairSpecMlKem768:            throttle.DataKeyPairMLKEM768,
	api.DataKeyPairSpecMlKem1024:           throttle.DataKeyPairMLKEM1024,
}

// pairClass returns the class of a pair's spec; of one that has none, the scarcest.
func pairClass(spec api.DataKeyPairSpec) throttle.Class {
	if c, ok := pairClasses[spec]; ok {
		return c
	}
	return throttle.DataKeyPairRSA4096
}
