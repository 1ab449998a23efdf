package kms

import (
	"slices"
	"strconv"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) encrypt() *service.Op {
	context := func(q *api.EncryptRequest, _ *service.Target) map[string]string { return q.EncryptionContext }
	conds := slices.Concat(
		conditions[api.EncryptRequest]{
			requestAlias(func(q *api.EncryptRequest) string { return q.KeyId.V }),
			encryptionAlgorithm(func(q *api.EncryptRequest) api.Opt[api.EncryptionAlgorithmSpec] { return q.EncryptionAlgorithm }),
		},
		contextConditions(context),
	)
	return service.Def[api.EncryptRequest, api.EncryptResponse]{
		Name: "Encrypt", Kind: service.Crypto,
		Actions: []string{"kms:Encrypt"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
		Resolve: one(k, "kms:Encrypt", anyForm, func(q *api.EncryptRequest) string { return q.KeyId.V }),
		Audit: func(q *api.EncryptRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			str(p, "encryptionAlgorithm", q.EncryptionAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		Check:  contextBound(func(q *api.EncryptRequest) []map[string]string { return []map[string]string{q.EncryptionContext} }),
		DryRun: func(q *api.EncryptRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.EncryptRequest) []string { return q.GrantTokens },
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
	context := func(q *api.DecryptRequest, _ *service.Target) map[string]string { return q.EncryptionContext }
	conds := slices.Concat(
		conditions[api.DecryptRequest]{
			requestAlias(func(q *api.DecryptRequest) string { return q.KeyId.V }),
			encryptionAlgorithm(func(q *api.DecryptRequest) api.Opt[api.EncryptionAlgorithmSpec] { return q.EncryptionAlgorithm }),
		},
		contextConditions(context),
		recipientConditions(k, func(q *api.DecryptRequest) *api.RecipientInfo { return q.Recipient }),
	)
	return service.Def[api.DecryptRequest, api.DecryptResponse]{
		Name: "Decrypt", Kind: service.Crypto,
		Actions: []string{"kms:Decrypt"},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: context,
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
		Tokens: func(q *api.DecryptRequest) []string { return q.GrantTokens },
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

// The two actions of ReEncrypt.
const (
	reEncryptFrom = "kms:ReEncryptFrom"
	reEncryptTo   = "kms:ReEncryptTo"
)

// reEncryptConditions are those of the source for one action, those of the destination for the other.
func reEncryptConditions() conditions[api.ReEncryptRequest] {
	type request = api.ReEncryptRequest
	return slices.Concat(
		conditions[request]{
			{Name: "kms:RequestAlias", Values: func(_ *service.Tx, q *request, t *service.Target, _ string) []string {
				if t.Action == reEncryptFrom {
					return single(aliasName(q.SourceKeyId.V))
				}
				return single(aliasName(q.DestinationKeyId.V))
			}},
			{Name: "kms:EncryptionAlgorithm", Values: func(_ *service.Tx, q *request, t *service.Target, _ string) []string {
				if t.Action == reEncryptFrom {
					return single(encryption("", q.SourceEncryptionAlgorithm).algorithm)
				}
				return single(encryption("", q.DestinationEncryptionAlgorithm).algorithm)
			}},
			{Name: "kms:ReEncryptOnSameKey", Values: func(tx *service.Tx, _ *request, _ *service.Target, _ string) []string {
				return single(strconv.FormatBool(onSameKey(tx.Targets)))
			}},
		},
		contextConditions(reEncryptContext),
	)
}

// onSameKey tells whether the source key and the destination key of a request are one; they are not while one of them is missing.
func onSameKey(targets []service.Target) bool {
	if len(targets) < 2 || targets[0].Key == nil || targets[1].Key == nil {
		return false
	}
	return targets[0].Key.ARN() == targets[1].Key.ARN()
}

func (k *KMS) reEncrypt() *service.Op {
	conds := reEncryptConditions()
	return service.Def[api.ReEncryptRequest, api.ReEncryptResponse]{
		Name: "ReEncrypt", Kind: service.Crypto,
		Actions: []string{reEncryptFrom, reEncryptTo},
		Cond:    conds.Cond(), CondKeys: conds.Names(), Context: reEncryptContext,
		Resolve: func(tx *service.Tx, q *api.ReEncryptRequest) ([]service.Target, error) {
			needed, err := ciphertextNeeded(q.CiphertextBlob, q.DryRun, q.DryRunModifiers, q.SourceKeyId, "sourceKeyId")
			if err != nil {
				return nil, err
			}
			var from service.Target
			if needed {
				from, err = k.source(tx, reEncryptFrom, q.CiphertextBlob, q.SourceKeyId, q.SourceEncryptionAlgorithm)
			} else {
				from, err = k.resolveKey(tx, reEncryptFrom, q.SourceKeyId.V, anyForm)
			}
			if err != nil {
				return []service.Target{from}, err
			}
			to, err := k.resolveKey(tx, reEncryptTo, q.DestinationKeyId.V, anyForm)
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
		Tokens: func(q *api.ReEncryptRequest) []string { return q.GrantTokens },
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

// reEncryptContext is the encryption context of the source or the destination.
func reEncryptContext(q *api.ReEncryptRequest, t *service.Target) map[string]string {
	if t.Action == reEncryptFrom {
		return q.SourceEncryptionContext
	}
	return q.DestinationEncryptionContext
}
