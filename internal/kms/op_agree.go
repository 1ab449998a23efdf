package kms

import (
	"errors"
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) deriveSharedSecret() *service.Op {
	conds := slices.Concat(
		conditions[api.DeriveSharedSecretRequest]{
			requestAlias(func(q *api.DeriveSharedSecretRequest) string { return q.KeyId.V }),
			text("kms:KeyAgreementAlgorithm", func(q *api.DeriveSharedSecretRequest) api.KeyAgreementAlgorithmSpec { return q.KeyAgreementAlgorithm.V }),
		},
		recipientConditions(k, func(q *api.DeriveSharedSecretRequest) *api.RecipientInfo { return q.Recipient }),
	)
	return service.Def[api.DeriveSharedSecretRequest, api.DeriveSharedSecretResponse]{
		Name: "DeriveSharedSecret", Kind: service.Crypto,
		Actions: []string{"kms:DeriveSharedSecret"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:DeriveSharedSecret", anyForm, func(q *api.DeriveSharedSecretRequest) string { return q.KeyId.V }),
		Audit: func(q *api.DeriveSharedSecretRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "keyAgreementAlgorithm", q.KeyAgreementAlgorithm)
			boolean(p, "dryRun", q.DryRun)
			auditRecipient(p, q.Recipient)
		},
		DryRun: func(q *api.DeriveSharedSecretRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.DeriveSharedSecretRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.DeriveSharedSecretRequest, targets []service.Target) (*api.DeriveSharedSecretResponse, error) {
			key := targets[0].Key
			u := use{operation: "DeriveSharedSecret", usage: keys.KeyAgreement, algorithm: string(q.KeyAgreementAlgorithm.V), algorithms: agreementAlgorithms}
			if err := usable(tx, key, u); err != nil {
				return nil, err
			}
			recipient, err := k.recipient(tx, q.Recipient)
			if err != nil {
				return nil, err
			}
			agreer, err := current[keys.Agreer](tx, key)
			if err != nil {
				return nil, err
			}
			tx.Use(key, key.Current, service.Decrypting, 0)
			secret, err := agreer.SharedSecret(u.algorithm, q.PublicKey)
			if errors.Is(err, keys.ErrPeer) {
				return nil, api.Errorf(api.ValidationException, "The public key is not a valid DER-encoded public key on the curve of key spec %s.", key.Spec)
			}
			if err != nil {
				return nil, err
			}
			r := &api.DeriveSharedSecretResponse{
				KeyId: api.Some(targets[0].ARN), KeyAgreementAlgorithm: q.KeyAgreementAlgorithm, KeyOrigin: api.Some(api.OriginType(key.Origin)),
			}
			if recipient != nil {
				r.CiphertextForRecipient, err = recipient.envelop(secret)
				return r, err
			}
			r.SharedSecret = secret
			return r, nil
		},
	}.Op("kms")
}

// encapsulation is the use of a key for key encapsulation.
func encapsulation(operation string, algorithm api.EncapsulationAlgorithmSpec) use {
	return use{operation: operation, usage: keys.Encapsulate, algorithm: string(algorithm), algorithms: encapsulationAlgorithms}
}

func (k *KMS) encapsulate() *service.Op {
	conds := conditions[api.EncapsulateRequest]{
		requestAlias(func(q *api.EncapsulateRequest) string { return q.KeyId.V }),
	}
	return service.Def[api.EncapsulateRequest, api.EncapsulateResponse]{
		Name: "Encapsulate", Kind: service.Crypto,
		Actions: []string{"kms:Encapsulate"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Encapsulate", anyForm, func(q *api.EncapsulateRequest) string { return q.KeyId.V }),
		Audit: func(q *api.EncapsulateRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "encapsulationAlgorithm", q.EncapsulationAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.EncapsulateRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.EncapsulateRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.EncapsulateRequest, targets []service.Target) (*api.EncapsulateResponse, error) {
			u := encapsulation("Encapsulate", q.EncapsulationAlgorithm.V)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			key, err := current[keys.Encapsulator](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Encrypting, 0)
			secret, blob, err := key.Encapsulate(u.algorithm)
			if err != nil {
				return nil, err
			}
			return &api.EncapsulateResponse{
				KeyId: api.Some(targets[0].ARN), SharedSecret: secret, SharedSecretCiphertextBlob: blob, EncapsulationAlgorithm: q.EncapsulationAlgorithm,
			}, nil
		},
	}.Op("kms")
}

func (k *KMS) decapsulate() *service.Op {
	conds := conditions[api.DecapsulateRequest]{
		requestAlias(func(q *api.DecapsulateRequest) string { return q.KeyId.V }),
	}
	return service.Def[api.DecapsulateRequest, api.DecapsulateResponse]{
		Name: "Decapsulate", Kind: service.Crypto,
		Actions: []string{"kms:Decapsulate"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Decapsulate", anyForm, func(q *api.DecapsulateRequest) string { return q.KeyId.V }),
		Audit: func(q *api.DecapsulateRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "encapsulationAlgorithm", q.EncapsulationAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.DecapsulateRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.DecapsulateRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.DecapsulateRequest, targets []service.Target) (*api.DecapsulateResponse, error) {
			u := encapsulation("Decapsulate", q.EncapsulationAlgorithm.V)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			key, err := current[keys.Encapsulator](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Decrypting, 0)
			secret, err := key.Decapsulate(u.algorithm, q.SharedSecretCiphertextBlob)
			if errors.Is(err, keys.ErrCiphertext) {
				return nil, api.New(api.InvalidCiphertextException) // for its length; any of the right one gives a secret
			}
			if err != nil {
				return nil, err
			}
			return &api.DecapsulateResponse{KeyId: api.Some(targets[0].ARN), SharedSecret: secret, EncapsulationAlgorithm: q.EncapsulationAlgorithm}, nil
		},
	}.Op("kms")
}
