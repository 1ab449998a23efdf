package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// withGrant completes the target with a grant on its key, or with the answer that there is none.
func withGrant(tx *service.Tx, t *service.Target, grantID string) error {
	if t.Key == nil {
		return nil
	}
	if t.Missing = checkGrantID(grantID); t.Missing != nil {
		return nil
	}
	g, err := lookupGrant(tx, t.Key.Owner, t.Key.ID, grantID)
	if t.Grant = g; err == nil && g == nil {
		t.Missing = grantNotFound(grantID)
	}
	return err
}

// endGrant removes a grant. It permits nothing from this commit on.
func endGrant(tx *service.Tx, g *record.Grant) (*service.None, error) {
	tx.Delete(g)
	return &service.None{}, nil
}

func (k *KMS) revokeGrant() *service.Op {
	conds := conditions[api.RevokeGrantRequest]{forAWSResource[api.RevokeGrantRequest]()}
	return service.Def[api.RevokeGrantRequest, service.None]{
		Name: "RevokeGrant", Kind: service.Change,
		Actions: []string{"kms:RevokeGrant"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.RevokeGrantRequest) ([]service.Target, error) {
			t, err := k.resolveKey(tx, "kms:RevokeGrant", q.KeyId.V, idOrARN)
			if err == nil {
				err = withGrant(tx, &t, q.GrantId.V)
			}
			return []service.Target{t}, err
		},
		Audit: func(q *api.RevokeGrantRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "grantId", q.GrantId)
			boolean(p, "dryRun", q.DryRun)
		},
		DryRun: func(q *api.RevokeGrantRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, _ *api.RevokeGrantRequest, targets []service.Target) (*service.None, error) {
			return endGrant(tx, targets[0].Grant)
		},
	}.Op("kms")
}

// retireGrant deletes a grant for those whom the grant itself lets: see mayRetire.
func (k *KMS) retireGrant() *service.Op {
	return service.Def[api.RetireGrantRequest, service.None]{
		Name: "RetireGrant", Kind: service.Change,
		Actions: []string{"kms:RetireGrant"},
		Check: func(q *api.RetireGrantRequest) error {
			if q.GrantToken.Set == (q.KeyId.Set || q.GrantId.Set) || q.KeyId.Set != q.GrantId.Set {
				return invalidGrant("You must specify either GrantToken, or KeyId and GrantId.")
			}
			return nil
		},
		Resolve: func(tx *service.Tx, q *api.RetireGrantRequest) ([]service.Target, error) {
			t, err := k.resolveRetired(tx, q)
			return []service.Target{t}, err
		},
		// The record names the grant in additionalEventData, and has no parameters (RetireGrant in "Logging AWS KMS API calls with AWS
		// CloudTrail", AWS KMS developer guide).
		DryRun: func(q *api.RetireGrantRequest) bool { return q.DryRun.V },
		Plan: func(tx *service.Tx, _ *api.RetireGrantRequest, targets []service.Target) (*service.None, error) {
			tx.Additional().Str("grantId", targets[0].Grant.ID)
			return endGrant(tx, targets[0].Grant)
		},
	}.Op("kms")
}

// resolveRetired finds the grant to retire by its token, or by its ID and its key.
func (k *KMS) resolveRetired(tx *service.Tx, q *api.RetireGrantRequest) (service.Target, error) {
	const action = "kms:RetireGrant"
	if !q.GrantToken.Set {
		t, err := k.resolveKey(tx, action, q.KeyId.V, idOrARN)
		if err == nil {
			err = withGrant(tx, &t, q.GrantId.V)
		}
		return t, err
	}
	t := service.Target{Action: action, Account: tx.Call.Caller.Account, ARN: "*"}
	token, err := tx.OpenGrantToken(q.GrantToken.V)
	if err != nil || token.Region != tx.Call.Region {
		t.Missing = api.Errorf(api.InvalidGrantTokenException, "Invalid grant token.")
		return t, nil
	}
	t.Account = token.Account
	if err := lookupKey(tx, &t, token.Owner, token.KeyID); err != nil {
		return t, err
	}
	return t, withGrant(tx, &t, token.GrantID)
}
