package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/service"
)

// authentication is the use of a key for message authentication codes.
func authentication(operation string, algorithm api.MacAlgorithmSpec) use {
	return use{operation: operation, usage: keys.GenerateMAC, algorithm: string(algorithm), algorithms: macAlgorithms}
}

func (k *KMS) generateMac() *service.Op {
	conds := conditions[api.GenerateMacRequest]{
		requestAlias(func(q *api.GenerateMacRequest) string { return q.KeyId.V }),
		text("kms:MacAlgorithm", func(q *api.GenerateMacRequest) api.MacAlgorithmSpec { return q.MacAlgorithm.V }),
	}
	return service.Def[api.GenerateMacRequest, api.GenerateMacResponse]{
		Name: "GenerateMac", Kind: service.Crypto,
		Actions: []string{"kms:GenerateMac"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:GenerateMac", anyForm, func(q *api.GenerateMacRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GenerateMacRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "macAlgorithm", q.MacAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.GenerateMacRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.GenerateMacRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.GenerateMacRequest, targets []service.Target) (*api.GenerateMacResponse, error) {
			u := authentication("GenerateMac", q.MacAlgorithm.V)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			key, err := current[keys.MACer](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Encrypting, len(q.Message))
			return &api.GenerateMacResponse{KeyId: api.Some(targets[0].ARN), Mac: key.MAC(u.algorithm, q.Message), MacAlgorithm: q.MacAlgorithm}, nil
		},
	}.Op("kms")
}

func (k *KMS) verifyMac() *service.Op {
	conds := conditions[api.VerifyMacRequest]{
		requestAlias(func(q *api.VerifyMacRequest) string { return q.KeyId.V }),
		text("kms:MacAlgorithm", func(q *api.VerifyMacRequest) api.MacAlgorithmSpec { return q.MacAlgorithm.V }),
	}
	return service.Def[api.VerifyMacRequest, api.VerifyMacResponse]{
		Name: "VerifyMac", Kind: service.Crypto,
		Actions: []string{"kms:VerifyMac"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:VerifyMac", anyForm, func(q *api.VerifyMacRequest) string { return q.KeyId.V }),
		Audit: func(q *api.VerifyMacRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "macAlgorithm", q.MacAlgorithm)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.VerifyMacRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.VerifyMacRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, q *api.VerifyMacRequest, targets []service.Target) (*api.VerifyMacResponse, error) {
			u := authentication("VerifyMac", q.MacAlgorithm.V)
			if err := usable(tx, targets[0].Key, u); err != nil {
				return nil, err
			}
			key, err := current[keys.MACer](tx, targets[0].Key)
			if err != nil {
				return nil, err
			}
			tx.Use(targets[0].Key, targets[0].Key.Current, service.Decrypting, 0)
			if key.VerifyMAC(u.algorithm, q.Message, q.Mac) != nil {
				return nil, api.New(api.KMSInvalidMacException)
			}
			return &api.VerifyMacResponse{KeyId: api.Some(targets[0].ARN), MacValid: api.Some(true), MacAlgorithm: q.MacAlgorithm}, nil
		},
	}.Op("kms")
}
