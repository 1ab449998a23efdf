package kms

import (
	"crypto/rand"
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// dataKeySize returns the length of the data key asked for, in bytes.
func dataKeySize(spec api.Opt[api.DataKeySpec], bytes api.Opt[int64]) (int64, error) {
	if spec.Set == bytes.Set {
		return 0, api.Errorf(api.ValidationException, "Please specify either number of bytes or key spec.")
	}
	switch {
	case bytes.Set:
		return bytes.V, nil
	case spec.V == api.DataKeySpecAes128:
		return 16, nil
	}
	return 32, nil
}

func (k *KMS) generateDataKey() *service.Op {
	context := func(q *api.GenerateDataKeyRequest, _ *service.Target) map[string]string { return q.EncryptionContext }
	conds := slices.Concat(
		conditions[api.GenerateDataKeyRequest]{
			requestAlias(func(q *api.GenerateDataKeyRequest) string { return q.KeyId.V }),
			symmetricAlgorithm[api.GenerateDataKeyRequest](),
		},
		contextConditions(context),
		recipientConditions(k, func(q *api.GenerateDataKeyRequest) *api.RecipientInfo { return q.Recipient }),
	)
	return service.Def[api.GenerateDataKeyRequest, api.GenerateDataKeyResponse]{
		Name: "GenerateDataKey", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKey"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
		Resolve: one(k, "kms:GenerateDataKey", anyForm, func(q *api.GenerateDataKeyRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GenerateDataKeyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "keySpec", q.KeySpec)
			integer(p, "numberOfBytes", q.NumberOfBytes)
			boolean(p, "dryRun", q.DryRun)
			auditRecipient(p, q.Recipient)
		},
		Check: contextBound(func(q *api.GenerateDataKeyRequest) []map[string]string {
			return []map[string]string{q.EncryptionContext}
		}),
		DryRun: func(q *api.GenerateDataKeyRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.GenerateDataKeyRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyRequest, targets []service.Target) (*api.GenerateDataKeyResponse, error) {
			key := targets[0].Key
			size, err := dataKeySize(q.KeySpec, q.NumberOfBytes)
			if err != nil {
				return nil, err
			}
			if err := usable(tx, key, encryption("GenerateDataKey", symmetric)); err != nil {
				return nil, err
			}
			recipient, err := k.recipient(tx, q.Recipient)
			if err != nil {
				return nil, err
			}
			dataKey := make([]byte, size)
			rand.Read(dataKey)
			blob, err := k.seal(tx, key, dataKey, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			r := &api.GenerateDataKeyResponse{CiphertextBlob: blob, KeyId: api.Some(targets[0].ARN)}
			if recipient != nil {
				r.CiphertextForRecipient, err = recipient.envelop(dataKey)
				return r, err
			}
			r.Plaintext, r.KeyMaterialId = dataKey, shownMaterial(key, key.Current)
			return r, nil
		},
	}.Op("kms")
}

func (k *KMS) generateDataKeyWithoutPlaintext() *service.Op {
	context := func(q *api.GenerateDataKeyWithoutPlaintextRequest, _ *service.Target) map[string]string {
		return q.EncryptionContext
	}
	conds := slices.Concat(
		conditions[api.GenerateDataKeyWithoutPlaintextRequest]{
			requestAlias(func(q *api.GenerateDataKeyWithoutPlaintextRequest) string { return q.KeyId.V }),
			symmetricAlgorithm[api.GenerateDataKeyWithoutPlaintextRequest](),
		},
		contextConditions(context),
	)
	return service.Def[api.GenerateDataKeyWithoutPlaintextRequest, api.GenerateDataKeyWithoutPlaintextResponse]{
		Name: "GenerateDataKeyWithoutPlaintext", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKeyWithoutPlaintext"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
		Resolve: one(k, "kms:GenerateDataKeyWithoutPlaintext", anyForm, func(q *api.GenerateDataKeyWithoutPlaintextRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GenerateDataKeyWithoutPlaintextRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "keySpec", q.KeySpec)
			integer(p, "numberOfBytes", q.NumberOfBytes)
			boolean(p, "dryRun", q.DryRun)
		},
		Check: contextBound(func(q *api.GenerateDataKeyWithoutPlaintextRequest) []map[string]string {
			return []map[string]string{q.EncryptionContext}
		}),
		DryRun: func(q *api.GenerateDataKeyWithoutPlaintextRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.GenerateDataKeyWithoutPlaintextRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyWithoutPlaintextRequest, targets []service.Target) (*api.GenerateDataKeyWithoutPlaintextResponse, error) {
			key := targets[0].Key
			size, err := dataKeySize(q.KeySpec, q.NumberOfBytes)
			if err != nil {
				return nil, err
			}
			if err := usable(tx, key, encryption("GenerateDataKeyWithoutPlaintext", symmetric)); err != nil {
				return nil, err
			}
			dataKey := make([]byte, size)
			rand.Read(dataKey)
			blob, err := k.seal(tx, key, dataKey, q.EncryptionContext)
			clear(dataKey)
			if err != nil {
				return nil, err
			}
			return &api.GenerateDataKeyWithoutPlaintextResponse{
				CiphertextBlob: blob, KeyId: api.Some(targets[0].ARN), KeyMaterialId: shownMaterial(key, key.Current),
			}, nil
		},
	}.Op("kms")
}

// noKeyStore refuses keys in custom key stores: data key pairs cannot be made under them.
func noKeyStore(k *record.Key) error {
	if k.KeyStore != "" {
		return api.Errorf(api.UnsupportedOperationException, "%s origin is %s which is not valid for this operation.", k.ARN(), k.Origin)
	}
	return nil
}

// newPair draws a data key pair and encrypts its private half under the key.
func (k *KMS) newPair(tx *service.Tx, t service.Target, name api.DataKeyPairSpec, context map[string]string) (public, private, blob []byte, err error) {
	spec := keys.SpecByName(string(name))
	if spec == nil {
		return nil, nil, nil, api.Errorf(api.UnsupportedOperationException, "Key pair spec %s is not available on this server.", name)
	}
	material, err := spec.NewMaterial()
	if err != nil {
		return nil, nil, nil, err
	}
	opened, err := spec.Open(material)
	clear(material)
	if err != nil {
		return nil, nil, nil, err
	}
	pair, ok := opened.(keys.PrivateKey)
	if !ok {
		return nil, nil, nil, errWrongMaterial(name)
	}
	if private, err = pair.PKCS8(); err != nil {
		return nil, nil, nil, err
	}
	blob, err = k.seal(tx, t.Key, private, context)
	return pair.PublicKey(), private, blob, err
}

func (k *KMS) generateDataKeyPair() *service.Op {
	context := func(q *api.GenerateDataKeyPairRequest, _ *service.Target) map[string]string {
		return q.EncryptionContext
	}
	conds := slices.Concat(
		conditions[api.GenerateDataKeyPairRequest]{
			requestAlias(func(q *api.GenerateDataKeyPairRequest) string { return q.KeyId.V }),
			symmetricAlgorithm[api.GenerateDataKeyPairRequest](),
			text("kms:DataKeyPairSpec", func(q *api.GenerateDataKeyPairRequest) api.DataKeyPairSpec { return q.KeyPairSpec.V }),
		},
		contextConditions(context),
		recipientConditions(k, func(q *api.GenerateDataKeyPairRequest) *api.RecipientInfo { return q.Recipient }),
	)
	return service.Def[api.GenerateDataKeyPairRequest, api.GenerateDataKeyPairResponse]{
		Name: "GenerateDataKeyPair", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKeyPair"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
		Resolve: one(k, "kms:GenerateDataKeyPair", anyForm, func(q *api.GenerateDataKeyPairRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GenerateDataKeyPairRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "keyPairSpec", q.KeyPairSpec)
			boolean(p, "dryRun", q.DryRun)
			auditRecipient(p, q.Recipient)
		},
		Check: contextBound(func(q *api.GenerateDataKeyPairRequest) []map[string]string {
			return []map[string]string{q.EncryptionContext}
		}),
		DryRun: func(q *api.GenerateDataKeyPairRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.GenerateDataKeyPairRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyPairRequest, targets []service.Target) (*api.GenerateDataKeyPairResponse, error) {
			key := targets[0].Key
			if err := usable(tx, key, encryption("GenerateDataKeyPair", symmetric)); err != nil {
				return nil, err
			}
			if err := noKeyStore(key); err != nil {
				return nil, err
			}
			recipient, err := k.recipient(tx, q.Recipient)
			if err != nil {
				return nil, err
			}
			r := &api.GenerateDataKeyPairResponse{KeyId: api.Some(targets[0].ARN), KeyPairSpec: q.KeyPairSpec}
			if q.DryRun.V {
				return r, nil
			}
			public, private, blob, err := k.newPair(tx, targets[0], q.KeyPairSpec.V, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			r.PublicKey, r.PrivateKeyCiphertextBlob = public, blob
			if recipient != nil {
				r.CiphertextForRecipient, err = recipient.envelop(private)
				return r, err
			}
			r.PrivateKeyPlaintext, r.KeyMaterialId = private, shownMaterial(key, key.Current)
			return r, nil
		},
	}.Op("kms")
}

func (k *KMS) generateDataKeyPairWithoutPlaintext() *service.Op {
	context := func(q *api.GenerateDataKeyPairWithoutPlaintextRequest, _ *service.Target) map[string]string {
		return q.EncryptionContext
	}
	conds := slices.Concat(
		conditions[api.GenerateDataKeyPairWithoutPlaintextRequest]{
			requestAlias(func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) string { return q.KeyId.V }),
			symmetricAlgorithm[api.GenerateDataKeyPairWithoutPlaintextRequest](),
			text("kms:DataKeyPairSpec", func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) api.DataKeyPairSpec { return q.KeyPairSpec.V }),
		},
		contextConditions(context),
	)
	return service.Def[api.GenerateDataKeyPairWithoutPlaintextRequest, api.GenerateDataKeyPairWithoutPlaintextResponse]{
		Name: "GenerateDataKeyPairWithoutPlaintext", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKeyPairWithoutPlaintext"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
		Resolve: one(k, "kms:GenerateDataKeyPairWithoutPlaintext", anyForm, func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) string {
			return q.KeyId.V
		}),
		Audit: func(q *api.GenerateDataKeyPairWithoutPlaintextRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "keyPairSpec", q.KeyPairSpec)
			boolean(p, "dryRun", q.DryRun)
		},
		Check: contextBound(func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) []map[string]string {
			return []map[string]string{q.EncryptionContext}
		}),
		DryRun: func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.GenerateDataKeyPairWithoutPlaintextRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyPairWithoutPlaintextRequest, targets []service.Target) (*api.GenerateDataKeyPairWithoutPlaintextResponse, error) {
			key := targets[0].Key
			if err := usable(tx, key, encryption("GenerateDataKeyPairWithoutPlaintext", symmetric)); err != nil {
				return nil, err
			}
			if err := noKeyStore(key); err != nil {
				return nil, err
			}
			r := &api.GenerateDataKeyPairWithoutPlaintextResponse{
				KeyId: api.Some(targets[0].ARN), KeyPairSpec: q.KeyPairSpec, KeyMaterialId: shownMaterial(key, key.Current),
			}
			if q.DryRun.V {
				return r, nil
			}
			public, private, blob, err := k.newPair(tx, targets[0], q.KeyPairSpec.V, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			clear(private)
			r.PublicKey, r.PrivateKeyCiphertextBlob = public, blob
			return r, nil
		},
	}.Op("kms")
}

func (k *KMS) generateRandom() *service.Op {
	conds := recipientConditions(k, func(q *api.GenerateRandomRequest) *api.RecipientInfo { return q.Recipient })
	return service.Def[api.GenerateRandomRequest, api.GenerateRandomResponse]{
		Name: "GenerateRandom", Kind: service.Crypto,
		Actions: []string{"kms:GenerateRandom"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Audit: func(q *api.GenerateRandomRequest, p *audit.Params) {
			integer(p, "numberOfBytes", q.NumberOfBytes)
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
			auditRecipient(p, q.Recipient)
		},
		Plan: func(tx *service.Tx, q *api.GenerateRandomRequest, _ []service.Target) (*api.GenerateRandomResponse, error) {
			if !q.NumberOfBytes.Set {
				return nil, missingMember("numberOfBytes")
			}
			recipient, err := k.recipient(tx, q.Recipient)
			if err != nil {
				return nil, err
			}
			b := make([]byte, q.NumberOfBytes.V)
			if q.CustomKeyStoreId.Set {
				if b, err = k.tokenRandom(tx, q.CustomKeyStoreId.V, len(b)); err != nil {
					return nil, err
				}
			} else {
				rand.Read(b)
			}
			if recipient != nil {
				blob, err := recipient.envelop(b)
				return &api.GenerateRandomResponse{CiphertextForRecipient: blob}, err
			}
			return &api.GenerateRandomResponse{Plaintext: b}, nil
		},
	}.Op("kms")
}
