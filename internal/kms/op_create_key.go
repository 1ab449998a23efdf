package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) createKey() *service.Op {
	return service.Def[api.CreateKeyRequest, api.CreateKeyResponse]{
		Name: "CreateKey", Kind: service.Change,
		Actions: []string{"kms:CreateKey", "kms:TagResource"},
		Resolve: func(tx *service.Tx, q *api.CreateKeyRequest) ([]service.Target, error) {
			account := tx.Call.Caller.Account
			targets := []service.Target{{Action: "kms:CreateKey", Account: account, ARN: "*"}}
			if len(q.Tags) > 0 {
				targets = append(targets, service.Target{Action: "kms:TagResource", Account: account, ARN: "*"})
			}
			return targets, nil
		},
		Check: countBound(func(q *api.CreateKeyRequest) int { return len(q.Tags) }),
		Audit: func(q *api.CreateKeyRequest, p *audit.Params) {
			str(p, "description", q.Description)
			str(p, "keyUsage", q.KeyUsage)
			str(p, "customerMasterKeySpec", q.CustomerMasterKeySpec)
			str(p, "keySpec", q.KeySpec)
			str(p, "origin", q.Origin)
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
			str(p, "policy", q.Policy)
			boolean(p, "bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
			auditTags(p, q.Tags)
			boolean(p, "multiRegion", q.MultiRegion)
			str(p, "xksKeyId", q.XksKeyId)
			boolean(p, "enableKeyRotation", q.EnableKeyRotation)
			integer(p, "rotationPeriodInDays", q.RotationPeriodInDays)
		},
		Result: func(r *api.CreateKeyResponse, p *audit.Params) {
			var m audit.Params
			m.Str("aWSAccountId", r.KeyMetadata.AWSAccountId.V)
			m.Str("keyId", r.KeyMetadata.KeyId.V)
			m.Str("arn", r.KeyMetadata.Arn.V)
			m.Str("keySpec", string(r.KeyMetadata.KeySpec.V))
			m.Str("keyUsage", string(r.KeyMetadata.KeyUsage.V))
			m.Str("origin", string(r.KeyMetadata.Origin.V))
			m.Str("keyState", string(r.KeyMetadata.KeyState.V))
			m.Str("currentKeyMaterialId", r.KeyMetadata.CurrentKeyMaterialId.V)
			p.Obj("keyMetadata", &m)
		},
		Plan: k.planCreateKey,
	}.Op("kms")
}

func (k *KMS) planCreateKey(tx *service.Tx, q *api.CreateKeyRequest, _ []service.Target) (*api.CreateKeyResponse, error) {
	spec, err := requestedSpec(q)
	if err != nil {
		return nil, err
	}
	owner := callOwner(tx)
	usage := spec.Usages[0]
	if q.KeyUsage.Set {
		usage = string(q.KeyUsage.V)
		if !slices.Contains(spec.Usages, usage) {
			return nil, api.Errorf(api.ValidationException, "KeyUsage %s is not compatible with KeySpec %s", usage, spec.Name)
		}
	}
	policyText, err := k.checkPolicy(owner, q.Policy)
	if err != nil {
		return nil, err
	}
	tags, err := addTags(nil, q.Tags)
	if err != nil {
		return nil, err
	}
	count, err := tx.Sum(record.KeyCounters(owner))
	if err != nil {
		return nil, err
	}
	if count >= k.config.KeysPerRegion {
		return nil, api.Errorf(api.LimitExceededException, "The account has reached its quota of %d KMS keys in %s.", k.config.KeysPerRegion, owner.Region)
	}
	key := &record.Key{
		Owner: owner, ID: keys.NewKeyID().String(), Created: tx.Now, Description: q.Description.V, Spec: spec.Name, Usage: usage,
		Origin: originKMS, Manager: record.Customer, State: record.Enabled, Policy: policyText, Tags: tags, JitterSeconds: k.jitter(),
	}
	if q.EnableKeyRotation.Set && !q.EnableKeyRotation.V && q.RotationPeriodInDays.Set {
		return nil, api.Errorf(api.ValidationException, "RotationPeriodInDays needs EnableKeyRotation")
	}
	if q.EnableKeyRotation.V || q.RotationPeriodInDays.Set {
		startRotation(key, tx.Now, rotationDays(q.RotationPeriodInDays))
	}
	if err := putNewKey(tx, key); err != nil {
		return nil, err
	}
	return &api.CreateKeyResponse{KeyMetadata: metadata(key)}, nil
}

// requestedSpec checks what this server can make.
func requestedSpec(q *api.CreateKeyRequest) (*keys.Spec, error) {
	name := symmetricSpec
	switch {
	case q.KeySpec.Set && q.CustomerMasterKeySpec.Set:
		return nil, api.Errorf(api.ValidationException, "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case q.KeySpec.Set:
		name = string(q.KeySpec.V)
	case q.CustomerMasterKeySpec.Set:
		name = string(q.CustomerMasterKeySpec.V)
	}
	spec := keys.SpecByName(name)
	switch {
	case spec == nil:
		return nil, api.Errorf(api.UnsupportedOperationException, "KeySpec %s is not available on this server.", name)
	case q.Origin.Set && q.Origin.V != api.OriginTypeAwsKms:
		return nil, api.Errorf(api.UnsupportedOperationException, "Origin %s is not available on this server.", q.Origin.V)
	case q.CustomKeyStoreId.Set:
		return nil, api.Errorf(api.UnsupportedOperationException, "Custom key stores are not available on this server.")
	case q.XksKeyId.Set:
		return nil, api.Errorf(api.UnsupportedOperationException, "External key stores are not available on this server.")
	case q.MultiRegion.V:
		return nil, api.Errorf(api.UnsupportedOperationException, "Multi-Region keys are not available on this server.")
	}
	return spec, nil
}

func rotationDays(period api.Opt[int64]) int64 {
	if period.Set {
		return period.V
	}
	return defaultRotationDays
}
