package kms

import (
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
			u := encryption("Encrypt", q.EncryptionAlgorithm)
			if err := usable(tx, key, u); err != nil {
				return nil, err
			}
			blob, err := k.encryptWith(tx, key, u.algorithm, q.Plaintext, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			return &api.EncryptResponse{CiphertextBlob: blob, KeyId: api.Some(targets[0].ARN), EncryptionAlgorithm: u.encryption()}, nil
		},
	}.Op("kms")
}

func (k *KMS) decrypt() *service.Op {
	return service.Def[api.DecryptRequest, api.DecryptResponse]{
		Name: "Decrypt", Kind: service.Crypto,
		Actions: []string{"kms:Decrypt"},
		Resolve: func(tx *service.Tx, q *api.DecryptRequest) ([]service.Target, error) {
			needed, err := ciphertextNeeded(q.CiphertextBlob, q.DryRun, q.DryRunModifiers, q.KeyId, "keyId")
			if err != nil {
				return nil, err
			}
			var t service.Target
			if needed {
				t, err = k.source(tx, "kms:Decrypt", q.CiphertextBlob, q.KeyId, q.EncryptionAlgorithm)
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
			auditRecipient(p, q.Recipient)
		},
		Check:  contextBound(func(q *api.DecryptRequest) []map[string]string { return []map[string]string{q.EncryptionContext} }),
		DryRun: func(q *api.DecryptRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, q *api.DecryptRequest, targets []service.Target) (*api.DecryptResponse, error) {
			key := targets[0].Key
			u := encryption("Decrypt", q.EncryptionAlgorithm)
			if q.CiphertextBlob == nil {
				return &api.DecryptResponse{}, usable(tx, key, u)
			}
			if err := sourceKey(tx, key, u); err != nil {
				return nil, err
			}
			recipient, err := k.recipient(tx, q.Recipient)
			if err != nil {
				return nil, err
			}
			plaintext, materialID, err := k.decryptWith(tx, key, u.algorithm, q.CiphertextBlob, q.EncryptionContext)
			if err != nil {
				return nil, err
			}
			r := &api.DecryptResponse{KeyId: api.Some(targets[0].ARN), EncryptionAlgorithm: u.encryption()}
			if recipient != nil {
				r.CiphertextForRecipient, err = recipient.envelop(plaintext)
				return r, err
			}
			r.Plaintext, r.KeyMaterialId = plaintext, materialID
			return r, nil
		},
	}.Op("kms")
}

func (k *KMS) reEncrypt() *service.Op {
	return service.Def[api.ReEncryptRequest, api.ReEncryptResponse]{
		Name: "ReEncrypt", Kind: service.Crypto,
		Actions: []string{"kms:ReEncryptFrom", "kms:ReEncryptTo"},
		Resolve: func(tx *service.Tx, q *api.ReEncryptRequest) ([]service.Target, error) {
			needed, err := ciphertextNeeded(q.CiphertextBlob, q.DryRun, q.DryRunModifiers, q.SourceKeyId, "sourceKeyId")
			if err != nil {
				return nil, err
			}
			var from service.Target
			if needed {
				from, err = k.source(tx, "kms:ReEncryptFrom", q.CiphertextBlob, q.SourceKeyId, q.SourceEncryptionAlgorithm)
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
			source, destination := encryption("ReEncrypt", q.SourceEncryptionAlgorithm), encryption("ReEncrypt", q.DestinationEncryptionAlgorithm)
			if err := usable(tx, to, destination); err != nil {
				return nil, err
			}
			if q.CiphertextBlob == nil {
				return &api.ReEncryptResponse{}, usable(tx, from, source)
			}
			if err := sourceKey(tx, from, source); err != nil {
				return nil, err
			}
			plaintext, sourceMaterial, err := k.decryptWith(tx, from, source.algorithm, q.CiphertextBlob, q.SourceEncryptionContext)
			if err != nil {
				return nil, err
			}
			blob, err := k.encryptWith(tx, to, destination.algorithm, plaintext, q.DestinationEncryptionContext)
			clear(plaintext)
			if err != nil {
				return nil, err
			}
			return &api.ReEncryptResponse{
				CiphertextBlob: blob, SourceKeyId: api.Some(targets[0].ARN), KeyId: api.Some(targets[1].ARN),
				SourceEncryptionAlgorithm: source.encryption(), DestinationEncryptionAlgorithm: destination.encryption(),
				SourceKeyMaterialId: sourceMaterial, DestinationKeyMaterialId: shownMaterial(to, to.Current),
			}, nil
		},
	}.Op("kms")
}
