package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// explainAccess tells what the authorizer would decide, and why, if a principal wanted to do an action to a key now. Nobody calls, so that
// what only a call has, as its source IP address, has no value unless one is given.
func (k *KMS) explainAccess(actions map[string]*keyAction) *service.Op {
	return service.Def[api.ExplainAccessRequest, api.ExplainAccessResponse]{
		Name: "ExplainAccess", Kind: service.Read,
		Actions: []string{"kms:GetKeyPolicy", "kms:ListGrants", "iam:SimulatePrincipalPolicy"},
		Check: func(q *api.ExplainAccessRequest) error {
			if _, err := actionOf(actions, q.Action.V); err != nil {
				return err
			}
			return checkAccess(q.EncryptionContext, q.Context)
		},
		Resolve: func(tx *service.Tx, q *api.ExplainAccessRequest) ([]service.Target, error) {
			who, err := k.askedFor(tx, q.Principal)
			if err != nil {
				return nil, err
			}
			targets, err := k.keyToExplain(tx, q.KeyId.V)
			if err == nil && !who.free {
				targets = append(targets, who.target(tx))
			}
			return targets, err
		},
		Audit: func(q *api.ExplainAccessRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "principal", q.Principal)
			str(p, "action", q.Action)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			auditAccessContext(p, q.Context)
			str(p, "keyPolicy", q.KeyPolicy)
		},
		Plan: func(tx *service.Tx, q *api.ExplainAccessRequest, targets []service.Target) (*api.ExplainAccessResponse, error) {
			action, err := actionOf(actions, q.Action.V)
			if err != nil {
				return nil, err
			}
			return k.planExplain(tx, action, q, targets)
		},
	}.Op("keyturn")
}

// keyToExplain are the targets of an operation that tells what the policy of a key and its grants come to.
func (k *KMS) keyToExplain(tx *service.Tx, keyID string) ([]service.Target, error) {
	t, err := k.resolveKey(tx, "kms:GetKeyPolicy", keyID, anyExisting)
	grants := t
	grants.Action = "kms:ListGrants"
	return []service.Target{t, grants}, err
}

func (k *KMS) planExplain(tx *service.Tx, action *keyAction, q *api.ExplainAccessRequest, targets []service.Target) (*api.ExplainAccessResponse, error) {
	key := *targets[0].Key
	if q.KeyPolicy.Set {
		if err := customerManaged(&key, tx.Call.Caller.ARN, "kms:PutKeyPolicy"); err != nil {
			return nil, err
		}
		text, pins, err := checkPolicy(tx, q.KeyPolicy)
		if err != nil {
			return nil, err
		}
		key.SetPolicy(text, pins)
	}
	who, err := k.askedFor(tx, q.Principal)
	if err != nil {
		return nil, err
	}
	if who.caller == nil {
		return nil, who.target(tx).Missing // it went since it was resolved
	}
	s := k.suppose(tx, action, &key, q.KeyId.V, q.EncryptionContext, q.Context)
	f, err := s.judge(subject{caller: who.caller})
	if err != nil {
		return nil, err
	}
	r := &api.ExplainAccessResponse{
		KeyId: api.Some(key.ARN()), Principal: api.Some(who.arn), Action: api.Some(action.name), Allowed: api.Some(f.Allowed),
		Decision: api.Some(api.AccessDecisionType(f.Verdict())), DecidedBy: api.Some(f.By.String()),
		Statements: matched(f.Statements), Conditional: api.Some(f.conditional), MissingContextKeys: f.missing,
	}
	if f.missing == nil {
		r.MissingContextKeys = []string{}
	}
	if !f.Allowed {
		r.Message = api.Some(f.Message(who.caller.ARN, action.name, key.ARN()))
	} else if f.grant != nil {
		r.Grant = api.Some(f.grant.ID)
	}
	return r, nil
}

// matched are statements as answers have them.
func matched(list []authz.Statement) []api.MatchedStatement {
	out := make([]api.MatchedStatement, len(list))
	for i, s := range list {
		m := api.MatchedStatement{PolicyType: api.Some(s.Kind.String()), Effect: api.Some(string(s.Effect)), Index: api.Some(int64(s.Index))}
		if s.Policy != "" {
			m.PolicyName = api.Some(s.Policy)
		}
		if s.Sid != "" {
			m.Sid = api.Some(s.Sid)
		}
		if s.Via != policy.None {
			m.Via = api.Some(s.Via.String())
		}
		out[i] = m
	}
	return out
}

func auditAccessContext(p *audit.Params, entries []api.AccessContext) {
	if len(entries) == 0 {
		return
	}
	list := make([]audit.Params, len(entries))
	for i, e := range entries {
		list[i].Str("key", e.Key.V)
		list[i].StrList("values", e.Values)
	}
	p.ObjList("context", list)
}
