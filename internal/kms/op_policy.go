package kms

import (
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// checkPolicy returns what to store of a key policy: the text as given, or "" for none, the default policy; and whom it names.
func checkPolicy(tx *service.Tx, text api.Opt[string]) (string, []record.Pin, error) {
	if !text.Set {
		return "", nil, nil
	}
	if len(text.V) > policy.MaxKeyPolicyBytes {
		return "", nil, api.Errorf(api.LimitExceededException, "The key policy is longer than %d bytes.", policy.MaxKeyPolicyBytes)
	}
	p, err := policy.ParseKeyPolicy([]byte(text.V))
	if perr := (*policy.Error)(nil); errors.As(err, &perr) {
		return "", nil, api.Errorf(api.MalformedPolicyDocumentException, "%s", perr.Message)
	}
	if err != nil {
		return "", nil, err
	}
	pins, err := identity.Pins(tx, identity.Named(p))
	return text.V, pins, err
}

// policyOf is the key's policy as text.
func policyOf(k *record.Key) string {
	if k.Policy == "" {
		return defaultText(k.Owner)
	}
	return k.Policy
}

func defaultText(o record.Owner) string { return policy.Default(record.Partition(o.Region), o.Account) }

func (k *KMS) putKeyPolicy() *service.Op {
	conds := conditions[api.PutKeyPolicyRequest]{
		text("kms:BypassPolicyLockoutSafetyCheck", func(q *api.PutKeyPolicyRequest) string { return flag(q.BypassPolicyLockoutSafetyCheck) }),
	}
	return service.Def[api.PutKeyPolicyRequest, service.None]{
		Name: "PutKeyPolicy", Kind: service.Change,
		Actions: []string{"kms:PutKeyPolicy"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:PutKeyPolicy", idOrARN, func(q *api.PutKeyPolicyRequest) string { return q.KeyId.V }),
		Audit: func(q *api.PutKeyPolicyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "policyName", q.PolicyName)
			str(p, "policy", q.Policy)
			boolean(p, "bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
		},
		Plan: func(tx *service.Tx, q *api.PutKeyPolicyRequest, targets []service.Target) (*service.None, error) {
			t := targets[0]
			if err := defaultPolicy(q.PolicyName); err != nil {
				return nil, err
			}
			if err := customerManaged(t.Key, tx.Call.Caller.ARN, t.Action); err != nil {
				return nil, err
			}
			text, pins, err := checkPolicy(tx, q.Policy)
			if err != nil {
				return nil, err
			}
			t.Key.SetPolicy(text, pins)
			if err := k.keepsHold(tx, t.Key, q.BypassPolicyLockoutSafetyCheck); err != nil {
				return nil, err
			}
			return &service.None{}, putGrown(tx, t.Key)
		},
	}.Op("kms")
}

// defaultPolicy refuses policy names other than the only one there is.
func defaultPolicy(name api.Opt[string]) error {
	if name.Set && name.V != defaultPolicyName {
		return api.Errorf(api.NotFoundException, "No such policy exists")
	}
	return nil
}

func (k *KMS) getKeyPolicy() *service.Op {
	return service.Def[api.GetKeyPolicyRequest, api.GetKeyPolicyResponse]{
		Name: "GetKeyPolicy", Kind: service.Read,
		Actions: []string{"kms:GetKeyPolicy"},
		Resolve: one(k, "kms:GetKeyPolicy", idOrARN, func(q *api.GetKeyPolicyRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GetKeyPolicyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "policyName", q.PolicyName)
		},
		Plan: func(tx *service.Tx, q *api.GetKeyPolicyRequest, targets []service.Target) (*api.GetKeyPolicyResponse, error) {
			if err := defaultPolicy(q.PolicyName); err != nil {
				return nil, err
			}
			shown, err := identity.ShowPins(tx, policyOf(targets[0].Key), targets[0].Key.Pins)
			if err != nil {
				return nil, err
			}
			return &api.GetKeyPolicyResponse{Policy: api.Some(shown), PolicyName: api.Some(defaultPolicyName)}, nil
		},
	}.Op("kms")
}

func (k *KMS) listKeyPolicies() *service.Op {
	return service.Def[api.ListKeyPoliciesRequest, api.ListKeyPoliciesResponse]{
		Name: "ListKeyPolicies", Kind: service.Read,
		Actions: []string{"kms:ListKeyPolicies"},
		Resolve: one(k, "kms:ListKeyPolicies", idOrARN, func(q *api.ListKeyPoliciesRequest) string { return q.KeyId.V }),
		Audit: func(q *api.ListKeyPoliciesRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(_ *service.Tx, q *api.ListKeyPoliciesRequest, _ []service.Target) (*api.ListKeyPoliciesResponse, error) {
			if _, err := decodeMarker("policies", q.Marker); err != nil { // there is never a second page
				return nil, err
			}
			return &api.ListKeyPoliciesResponse{PolicyNames: []string{defaultPolicyName}, Truncated: api.Some(false)}, nil
		},
	}.Op("kms")
}
