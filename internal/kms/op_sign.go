package kms

import (
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/service"
)

// signing is the use of a key to sign or verify.
func signing(operation string, algorithm api.SigningAlgorithmSpec) use {
	return use{operation: operation, usage: keys.SignVerify, algorithm: string(algorithm), algorithms: signingAlgorithms}
}

func messageType(t api.Opt[api.MessageType]) keys.MessageType {
	if t.Set {
		return keys.MessageType(t.V)
	}
	return keys.Raw
}

// signError is what callers are told of an error of a keys.Signer.
func signError(err error, algorithm string, t keys.MessageType) error {
	switch {
	case errors.Is(err, keys.ErrDigestLength):
		return api.Errorf(api.ValidationException, "Digest is invalid length for algorithm %s.", algorithm)
	case errors.Is(err, keys.ErrMessageType):
		return api.Errorf(api.ValidationException, "MessageType %s is not valid for algorithm %s.", t, algorithm)
	case errors.Is(err, keys.ErrSignature):
		return api.New(api.KMSInvalidSignatureException)
	}
	return err
}

func (k *KMS) sign() *service.Op {
	conds := conditions[api.SignRequest]{
		requestAlias(func(q *api.SignRequest) string { return q.KeyId.V }),
		text("kms:SigningAlgorithm", func(q *api.SignRequest) api.SigningAlgorithmSpec { return q.SigningAlgorithm.V }),
		text("kms:MessageType", func(q *api.SignRequest) keys.MessageType { return messageType(q.MessageType) }),
	}
	return service.Def[api.SignRequest, api.SignResponse]{
		Name: "Sign", Kind: service.Crypto,
		Actions: []string{"kms:Sign"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Sign", anyForm, func(q *api.SignRequest) string { return q.KeyId.V }),
		Audit: func(q *api.SignRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "messageType", q.MessageType)
			str(p, "signingAlgorithm", q.SigningAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.SignRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.SignRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.SignRequest, targets []service.Target) (*api.SignResponse, error) {
			u, t := signing("Sign", q.SigningAlgorithm.V), messageType(q.MessageType)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			signer, err := current[keys.Signer](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Encrypting, len(q.Message))
			signature, err := signer.Sign(u.algorithm, t, q.Message)
			if err != nil {
				return nil, signError(err, u.algorithm, t)
			}
			return &api.SignResponse{KeyId: api.Some(targets[0].ARN), Signature: signature, SigningAlgorithm: q.SigningAlgorithm}, nil
		},
	}.Op("kms")
}

func (k *KMS) verify() *service.Op {
	conds := conditions[api.VerifyRequest]{
		requestAlias(func(q *api.VerifyRequest) string { return q.KeyId.V }),
		text("kms:SigningAlgorithm", func(q *api.VerifyRequest) api.SigningAlgorithmSpec { return q.SigningAlgorithm.V }),
		text("kms:MessageType", func(q *api.VerifyRequest) keys.MessageType { return messageType(q.MessageType) }),
	}
	return service.Def[api.VerifyRequest, api.VerifyResponse]{
		Name: "Verify", Kind: service.Crypto,
		Actions: []string{"kms:Verify"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Verify", anyForm, func(q *api.VerifyRequest) string { return q.KeyId.V }),
		Audit: func(q *api.VerifyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "messageType", q.MessageType)
			str(p, "signingAlgorithm", q.SigningAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.VerifyRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.VerifyRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.VerifyRequest, targets []service.Target) (*api.VerifyResponse, error) {
			u, t := signing("Verify", q.SigningAlgorithm.V), messageType(q.MessageType)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			signer, err := current[keys.Signer](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Decrypting, 0)
			if err := signer.Verify(u.algorithm, t, q.Message, q.Signature); err != nil {
				return nil, signError(err, u.algorithm, t)
			}
			return &api.VerifyResponse{KeyId: api.Some(targets[0].ARN), SignatureValid: api.Some(true), SigningAlgorithm: q.SigningAlgorithm}, nil
		},
	}.Op("kms")
}

func (k *KMS) getPublicKey() *service.Op {
	name := func(q *api.GetPublicKeyRequest) string { return q.KeyId.V }
	conds := conditions[api.GetPublicKeyRequest]{
		requestAlias(name),
	}
	return service.Def[api.GetPublicKeyRequest, api.GetPublicKeyResponse]{
		Name: "GetPublicKey", Kind: service.Crypto,
		Actions: []string{"kms:GetPublicKey"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:GetPublicKey", anyForm, name),
		Audit:   auditKeyID(name),
		Tokens:  func(q *api.GetPublicKeyRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, _ *api.GetPublicKeyRequest, targets []service.Target) (*api.GetPublicKeyResponse, error) {
			key := targets[0].Key
			if spec := keys.SpecByName(key.Spec); spec == nil || !spec.Asymmetric() {
				return nil, api.Errorf(api.UnsupportedOperationException, "%s key spec is %s which is not valid for GetPublicKey.", key.ARN(), key.Spec)
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			public, err := current[keys.PublicKey](tx, key)
			if err != nil {
				return nil, err
			}
			m := &api.KeyMetadata{}
			describeAlgorithms(m, key)
			return &api.GetPublicKeyResponse{
				KeyId: api.Some(key.ARN()), PublicKey: public.PublicKey(), KeyUsage: api.Some(api.KeyUsageType(key.Usage)),
				KeySpec: api.Some(api.KeySpec(key.Spec)), CustomerMasterKeySpec: api.Some(api.CustomerMasterKeySpec(key.Spec)),
				EncryptionAlgorithms: m.EncryptionAlgorithms, SigningAlgorithms: m.SigningAlgorithms,
				KeyAgreementAlgorithms: m.KeyAgreementAlgorithms, EncapsulationAlgorithms: m.EncapsulationAlgorithms,
			}, nil
		},
	}.Op("kms")
}
