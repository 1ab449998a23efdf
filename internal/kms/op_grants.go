package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// createGrantResponse knows the key beside what the operation answers, for the audit record.
type createGrantResponse struct {
	api.CreateGrantResponse
	keyARN string
}

func (k *KMS) createGrant() *service.Op {
	const action = "kms:CreateGrant"
	conds := createGrantConditions()
	return service.Def[api.CreateGrantRequest, createGrantResponse]{
		Name: "CreateGrant", Kind: service.Change,
		Actions: []string{action},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Check: checkCreateGrant,
		Resolve: func(tx *service.Tx, q *api.CreateGrantRequest) ([]service.Target, error) {
			t, err := k.resolveKey(tx, action, q.KeyId.V, idOrARN)
			if err == nil && t.Key != nil {
				t.Grant, t.Missing = requestedGrant(tx, t.Key, q)
			}
			return []service.Target{t}, err
		},
		Audit: func(q *api.CreateGrantRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditConstraints(p, q.Constraints)
			auditOperations(p, q.Operations)
			str(p, "granteePrincipal", q.GranteePrincipal)
			str(p, "granteeServicePrincipal", q.GranteeServicePrincipal)
			str(p, "retiringPrincipal", q.RetiringPrincipal)
			str(p, "retiringServicePrincipal", q.RetiringServicePrincipal)
			str(p, "name", q.Name)
			boolean(p, "dryRun", q.DryRun)
		},
		// "Log entries ... recorded on or after December 2022 include the key ARN of the affected KMS key in the
		// responseElements.keyId value, even though this operation does not return" it (CreateGrant in "Logging AWS KMS API calls with AWS
		// CloudTrail", AWS KMS developer guide).
		Result: func(r *createGrantResponse, p *audit.Params) {
			str(p, "grantId", r.GrantId)
			p.Str("keyId", r.keyARN)
		},
		DryRun: func(q *api.CreateGrantRequest) bool { return q.DryRun.V },
		Tokens: func(q *api.CreateGrantRequest) []string { return q.GrantTokens },
		Plan:   planCreateGrant,
	}.Op("kms")
}

func auditConstraints(to *audit.Params, c *api.GrantConstraints) {
	if c == nil {
		return
	}
	var p audit.Params
	auditContext(&p, "encryptionContextSubset", c.EncryptionContextSubset)
	auditContext(&p, "encryptionContextEquals", c.EncryptionContextEquals)
	str(&p, "sourceArn", c.SourceArn)
	to.Obj("constraints", &p)
}

func auditOperations(p *audit.Params, operations []api.GrantOperation) {
	names := make([]string, len(operations))
	for i, op := range operations {
		names[i] = string(op)
	}
	p.StrList("operations", names)
}

func planCreateGrant(tx *service.Tx, _ *api.CreateGrantRequest, targets []service.Target) (*createGrantResponse, error) {
	key, g := targets[0].Key, targets[0].Grant
	// The policies of AWS managed keys let only their services create grants ("AWS managed keys", AWS KMS developer guide).
	if err := customerManaged(key, tx.Call.Caller.ARN, targets[0].Action); err != nil {
		return nil, err
	}
	if err := enabled(key); err != nil {
		return nil, err
	}
	// Every grant on the key changes this counter: whatever is found, or not found, from here on holds when it is committed.
	n, err := tx.Counter(record.GrantCounter(key.Owner, key.ID))
	if err != nil {
		return nil, err
	}
	if old, err := sameGrant(tx, g); err != nil || old != nil {
		return grantResponse(tx, old, err)
	}
	if n >= grantsPerKey {
		return nil, api.Errorf(api.LimitExceededException, "The KMS key %s has reached its quota of %d grants.", key.ARN(), grantsPerKey)
	}
	if err := chooseLead(tx, g); err != nil {
		return nil, err
	}
	if g.ID, err = service.Once(tx, "grantID", newGrantID); err != nil {
		return nil, err
	}
	if _, err := lookupGrant(tx, g.Owner, g.KeyID, g.ID); err != nil {
		return nil, err
	}
	tx.Put(g)
	return grantResponse(tx, g, nil)
}

func grantResponse(tx *service.Tx, g *record.Grant, err error) (*createGrantResponse, error) {
	if err != nil {
		return nil, err
	}
	token, err := tx.SealGrantToken(service.GrantToken{Owner: g.Owner, KeyID: g.KeyID, GrantID: g.ID, Grantee: g.Grantee})
	if err != nil {
		return nil, err
	}
	return &createGrantResponse{
		CreateGrantResponse: api.CreateGrantResponse{GrantId: api.Some(g.ID), GrantToken: api.Some(token)},
		keyARN:              record.KeyARN(g.Owner, g.KeyID),
	}, nil
}

// sameGrant finds the grant that an earlier request of the same words made, nil if there is none. Without a name no two are the same
// (Name of CreateGrant, AWS KMS API Reference).
func sameGrant(tx *service.Tx, g *record.Grant) (*record.Grant, error) {
	if g.Name == "" {
		return nil, nil
	}
	prefix := g.SamePrefix()
	entries, err := tx.Scan(prefix, "", 1)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return lookupGrant(tx, g.Owner, g.KeyID, strings.TrimPrefix(entries[0].Key, prefix))
}

// chooseLead chooses the pair that a grant with several pairs in its Subset is found by: the one that the fewest others are found by.
func chooseLead(tx *service.Tx, g *record.Grant) error {
	if len(g.Subset) < 2 {
		return nil
	}
	fewest := int64(grantsPerLead)
	for i := range g.Subset {
		n, err := tx.Sum([]string{g.LeadCounter(i)})
		if err != nil {
			return err
		}
		if n < fewest {
			fewest, g.Lead = n, i
		}
	}
	if fewest >= grantsPerLead {
		return api.Errorf(api.LimitExceededException, "The KMS key %s has reached its quota of %d grants to %s with the same encryption context pairs.",
			record.KeyARN(g.Owner, g.KeyID), grantsPerLead, g.Grantee)
	}
	return nil
}
