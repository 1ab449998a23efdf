package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) describeKey() *service.Op {
	name := func(q *api.DescribeKeyRequest) string { return q.KeyId.V }
	conds := conditions[api.DescribeKeyRequest]{
		requestAlias(name),
	}
	return service.Def[api.DescribeKeyRequest, api.DescribeKeyResponse]{
		Name: "DescribeKey", Kind: service.Read,
		Actions: []string{"kms:DescribeKey"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:DescribeKey", anyForm, name),
		Audit:   auditKeyID(name),
		Tokens:  func(q *api.DescribeKeyRequest) []string { return q.GrantTokens },
		Plan: func(tx *service.Tx, _ *api.DescribeKeyRequest, targets []service.Target) (*api.DescribeKeyResponse, error) {
			m, err := metadata(tx, targets[0].Key)
			return &api.DescribeKeyResponse{KeyMetadata: m}, err
		},
	}.Op("kms")
}

func (k *KMS) updateKeyDescription() *service.Op {
	return service.Def[api.UpdateKeyDescriptionRequest, service.None]{
		Name: "UpdateKeyDescription", Kind: service.Change,
		Actions: []string{"kms:UpdateKeyDescription"},
		Resolve: one(k, "kms:UpdateKeyDescription", idOrARN, func(q *api.UpdateKeyDescriptionRequest) string { return q.KeyId.V }),
		Audit: func(q *api.UpdateKeyDescriptionRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "description", q.Description)
		},
		Plan: func(tx *service.Tx, q *api.UpdateKeyDescriptionRequest, targets []service.Target) (*service.None, error) {
			t := targets[0]
			if err := customerManaged(t.Key, tx.Call.Caller.ARN, t.Action); err != nil {
				return nil, err
			}
			if err := notPendingDeletion(t.Key); err != nil {
				return nil, err
			}
			t.Key.Description = q.Description.V
			return &service.None{}, putGrown(tx, t.Key)
		},
	}.Op("kms")
}

func (k *KMS) listKeys() *service.Op {
	return service.Def[api.ListKeysRequest, api.ListKeysResponse]{
		Name: "ListKeys", Kind: service.Read,
		Actions: []string{"kms:ListKeys"},
		Audit: func(q *api.ListKeysRequest, p *audit.Params) {
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
			if len(q.ResourceOwners) > 0 {
				owners := make([]string, len(q.ResourceOwners))
				for i, o := range q.ResourceOwners {
					owners[i] = string(o)
				}
				p.StrList("resourceOwners", owners)
			}
		},
		Plan: func(tx *service.Tx, q *api.ListKeysRequest, _ []service.Target) (*api.ListKeysResponse, error) {
			owner := callOwner(tx)
			if len(q.ResourceOwners) > 0 && !slices.Contains(q.ResourceOwners, api.ResourceOwnerTypeSelf) {
				// Nothing is shared through AWS Resource Access Manager here.
				return &api.ListKeysResponse{Keys: []api.KeyListEntry{}, Truncated: api.Some(false)}, nil
			}
			ids, next, err := page(tx, "keys", record.KeysPrefix(owner), q.Marker, limitOr(q.Limit, 100))
			if err != nil {
				return nil, err
			}
			r := &api.ListKeysResponse{Keys: make([]api.KeyListEntry, 0, len(ids)), NextMarker: next, Truncated: api.Some(next.Set)}
			for _, id := range ids {
				r.Keys = append(r.Keys, api.KeyListEntry{KeyId: api.Some(id), KeyArn: api.Some(record.KeyARN(owner, id))})
			}
			return r, nil
		},
	}.Op("kms")
}
