package kms

import (
	"crypto/rand"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) encrypt() *service.Op {
	return service.Def[api.EncryptRequest, api.EncryptResponse]{
		Name: "Encrypt", Kind: service.Crypto,
		Actions: []string{"kms:Encrypt"},
		Resolve: one(k, "kms:Encrypt", anyForm, func(q *api.EncryptRequest) string { return q.KeyId.V }),
		Audit: func(q *api.EncryptRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "encryptionAlgorithm", q.EncryptionAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		Check:  contextBound(func(q *api.EncryptRequest) []map[string]string { return []map[string]string{q.EncryptionContext} }),
		DryRun: func(q *api.EncryptRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, q *api.EncryptRequest, targets []service.Target) (*api.EncryptResponse, error) {
			key := targets[0].Key
			if err := usable(key, "Encrypt", q.EncryptionAlgorithm); err != nil {
				return nil, err
			}
			blob, err := seal(tx, key, q.Plaintext, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			return &api.EncryptResponse{CiphertextBlob: blob, KeyId: api.Some(targets[0].ARN), EncryptionAlgorithm: symmetric}, nil
		},
	}.Op("kms")
}

func (k *KMS) decrypt() *service.Op {
	return service.Def[api.DecryptRequest, api.DecryptResponse]{
		Name: "Decrypt", Kind: service.Crypto,
		Actions: []string{"kms:Decrypt"},
		Resolve: func(tx *service.Tx, q *api.DecryptRequest) ([]service.Target, error) {
			needed, err := ciphertextNeeded(q.CiphertextBlob, q.DryRun, q.DryRunModifiers, q.KeyId, "ciphertextBlob")
			if err != nil {
				return nil, err
			}
			var t service.Target
			if needed {
				t, err = k.source(tx, "kms:Decrypt", q.CiphertextBlob, q.KeyId)
			} else {
				t, err = k.resolveKey(tx, "kms:Decrypt", q.KeyId.V, anyForm)
			}
			return []service.Target{t}, err
		},
		Audit: func(q *api.DecryptRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "encryptionAlgorithm", q.EncryptionAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		Check:  contextBound(func(q *api.DecryptRequest) []map[string]string { return []map[string]string{q.EncryptionContext} }),
		DryRun: func(q *api.DecryptRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, q *api.DecryptRequest, targets []service.Target) (*api.DecryptResponse, error) {
			key := targets[0].Key
			if err := noRecipient(q.Recipient); err != nil {
				return nil, err
			}
			if q.CiphertextBlob == nil {
				return &api.DecryptResponse{}, usable(key, "Decrypt", q.EncryptionAlgorithm)
			}
			if err := sourceKey(tx, key, "Decrypt", q.EncryptionAlgorithm); err != nil {
				return nil, err
			}
			plaintext, materialID, err := open(tx, key, tx.Ciphertext, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			return &api.DecryptResponse{
				KeyId: api.Some(targets[0].ARN), Plaintext: plaintext, EncryptionAlgorithm: symmetric, KeyMaterialId: api.Some(materialID),
			}, nil
		},
	}.Op("kms")
}

func (k *KMS) reEncrypt() *service.Op {
	return service.Def[api.ReEncryptRequest, api.ReEncryptResponse]{
		Name: "ReEncrypt", Kind: service.Crypto,
		Actions: []string{"kms:ReEncryptFrom", "kms:ReEncryptTo"},
		Resolve: func(tx *service.Tx, q *api.ReEncryptRequest) ([]service.Target, error) {
			needed, err := ciphertextNeeded(q.CiphertextBlob, q.DryRun, q.DryRunModifiers, q.SourceKeyId, "ciphertextBlob")
			if err != nil {
				return nil, err
			}
			var from service.Target
			if needed {
				from, err = k.source(tx, "kms:ReEncryptFrom", q.CiphertextBlob, q.SourceKeyId)
			} else {
				from, err = k.resolveKey(tx, "kms:ReEncryptFrom", q.SourceKeyId.V, anyForm)
			}
			if err != nil {
				return []service.Target{from}, err
			}
			to, err := k.resolveKey(tx, "kms:ReEncryptTo", q.DestinationKeyId.V, anyForm)
			return []service.Target{from, to}, err
		},
		Audit: func(q *api.ReEncryptRequest, p *audit.Params) {
			str(p, "sourceKeyId", q.SourceKeyId)
			auditContext(p, "sourceEncryptionContext", q.SourceEncryptionContext)
			str(p, "sourceEncryptionAlgorithm", q.SourceEncryptionAlgorithm)
			str(p, "destinationKeyId", q.DestinationKeyId)
			auditContext(p, "destinationEncryptionContext", q.DestinationEncryptionContext)
			str(p, "destinationEncryptionAlgorithm", q.DestinationEncryptionAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		Check: contextBound(func(q *api.ReEncryptRequest) []map[string]string {
			return []map[string]string{q.SourceEncryptionContext, q.DestinationEncryptionContext}
		}),
		DryRun: func(q *api.ReEncryptRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, q *api.ReEncryptRequest, targets []service.Target) (*api.ReEncryptResponse, error) {
			from, to := targets[0].Key, targets[1].Key
			if err := usable(to, "ReEncrypt", q.DestinationEncryptionAlgorithm); err != nil {
				return nil, err
			}
			if q.CiphertextBlob == nil {
				return &api.ReEncryptResponse{}, usable(from, "ReEncrypt", q.SourceEncryptionAlgorithm)
			}
			if err := sourceKey(tx, from, "ReEncrypt", q.SourceEncryptionAlgorithm); err != nil {
				return nil, err
			}
			plaintext, sourceMaterial, err := open(tx, from, tx.Ciphertext, q.SourceEncryptionContext)
			if err != nil {
				return nil, err
			}
			blob, err := seal(tx, to, plaintext, q.DestinationEncryptionContext)
			clear(plaintext)
			if err != nil {
				return nil, err
			}
			return &api.ReEncryptResponse{
				CiphertextBlob: blob, SourceKeyId: api.Some(targets[0].ARN), KeyId: api.Some(targets[1].ARN),
				SourceEncryptionAlgorithm: symmetric, DestinationEncryptionAlgorithm: symmetric,
				SourceKeyMaterialId: api.Some(sourceMaterial), DestinationKeyMaterialId: api.Some(to.Current),
			}, nil
		},
	}.Op("kms")
}

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
	return service.Def[api.GenerateDataKeyRequest, api.GenerateDataKeyResponse]{
		Name: "GenerateDataKey", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKey"},
		Resolve: one(k, "kms:GenerateDataKey", anyForm, func(q *api.GenerateDataKeyRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GenerateDataKeyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "keySpec", q.KeySpec)
			integer(p, "numberOfBytes", q.NumberOfBytes)
			boolean(p, "dryRun", q.DryRun)
		},
		Check: contextBound(func(q *api.GenerateDataKeyRequest) []map[string]string {
			return []map[string]string{q.EncryptionContext}
		}),
		DryRun: func(q *api.GenerateDataKeyRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyRequest, targets []service.Target) (*api.GenerateDataKeyResponse, error) {
			key := targets[0].Key
			size, err := dataKeySize(q.KeySpec, q.NumberOfBytes)
			if err == nil {
				err = noRecipient(q.Recipient)
			}
			if err == nil {
				err = usable(key, "GenerateDataKey", api.Opt[api.EncryptionAlgorithmSpec]{})
			}
			if err != nil {
				return nil, err
			}
			dataKey := make([]byte, size)
			rand.Read(dataKey)
			blob, err := seal(tx, key, dataKey, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			return &api.GenerateDataKeyResponse{
				CiphertextBlob: blob, Plaintext: dataKey, KeyId: api.Some(targets[0].ARN), KeyMaterialId: api.Some(key.Current),
			}, nil
		},
	}.Op("kms")
}

func (k *KMS) generateDataKeyWithoutPlaintext() *service.Op {
	return service.Def[api.GenerateDataKeyWithoutPlaintextRequest, api.GenerateDataKeyWithoutPlaintextResponse]{
		Name: "GenerateDataKeyWithoutPlaintext", Kind: service.Crypto,
		Actions: []string{"kms:GenerateDataKeyWithoutPlaintext"},
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
		Plan: func(tx *service.Tx, q *api.GenerateDataKeyWithoutPlaintextRequest, targets []service.Target) (*api.GenerateDataKeyWithoutPlaintextResponse, error) {
			key := targets[0].Key
			size, err := dataKeySize(q.KeySpec, q.NumberOfBytes)
			if err == nil {
				err = usable(key, "GenerateDataKeyWithoutPlaintext", api.Opt[api.EncryptionAlgorithmSpec]{})
			}
			if err != nil {
				return nil, err
			}
			dataKey := make([]byte, size)
			rand.Read(dataKey)
			blob, err := seal(tx, key, dataKey, q.EncryptionContext)
			clear(dataKey)
			if err != nil {
				return nil, err
			}
			return &api.GenerateDataKeyWithoutPlaintextResponse{
				CiphertextBlob: blob, KeyId: api.Some(targets[0].ARN), KeyMaterialId: api.Some(key.Current),
			}, nil
		},
	}.Op("kms")
}

func (k *KMS) generateRandom() *service.Op {
	return service.Def[api.GenerateRandomRequest, api.GenerateRandomResponse]{
		Name: "GenerateRandom", Kind: service.Crypto,
		Actions: []string{"kms:GenerateRandom"},
		Audit: func(q *api.GenerateRandomRequest, p *audit.Params) {
			integer(p, "numberOfBytes", q.NumberOfBytes)
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
		},
		Plan: func(_ *service.Tx, q *api.GenerateRandomRequest, _ []service.Target) (*api.GenerateRandomResponse, error) {
			if !q.NumberOfBytes.Set {
				return nil, api.Errorf(api.ValidationException,
					"1 validation error detected: Value null at 'numberOfBytes' failed to satisfy constraint: Member must not be null")
			}
			if q.CustomKeyStoreId.Set {
				return nil, api.Errorf(api.UnsupportedOperationException, "Custom key stores are not available on this server.")
			}
			if err := noRecipient(q.Recipient); err != nil {
				return nil, err
			}
			b := make([]byte, q.NumberOfBytes.V)
			rand.Read(b)
			return &api.GenerateRandomResponse{Plaintext: b}, nil
		},
	}.Op("kms")
}
