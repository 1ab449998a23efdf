package iam

import (
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) accessKeyOperations() []*service.Op {
	return []*service.Op{s.createAccessKey(), s.updateAccessKey(), s.deleteAccessKey(), s.listAccessKeys(), s.getAccessKeyLastUsed()}
}

// keyOwner is whose access keys a call is about.
type keyOwner struct {
	account, id, name string
	arn               string
	tags              []record.Tag
}

// keyOwner finds the user of a name, by default the caller; the root user, if it names nobody. Users and root users of the configuration
// file have their keys there: one that names nobody is not taken for somebody else of that name.
func (s *IAM) keyOwner(tx *service.Tx, name string) (keyOwner, error) {
	caller := tx.Call.Caller
	if name == "" && caller.Type == "Root" {
		return keyOwner{account: caller.Account, name: record.RootUser, arn: caller.ARN}, nil
	}
	u, err := s.user(tx, name)
	if err != nil {
		return keyOwner{}, err
	}
	if name == "" && u.ID != caller.PrincipalID {
		return keyOwner{}, noSuch("user", caller.UserName)
	}
	return keyOwner{u.Account, u.ID, u.Name, identity.PrincipalARN(partition(tx), record.UserKind, &u.Principal), u.Tags}, nil
}

// onKeyOwner resolves whose access keys a call is about.
func onKeyOwner[Q any](s *IAM, action string, name func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		owner, err := s.keyOwner(tx, name(q))
		if missing := (*api.Error)(nil); errors.As(err, &missing) && missing.Code == api.NoSuchEntity {
			who, err := userOrCaller(tx, name(q))
			return named(tx, action, "user", "", who, nil, missing), err
		}
		if err != nil {
			return nil, err
		}
		targets := target(tx, action, owner.arn, owner.tags, nil)
		if owner.id != "" {
			targets[0].Called = "user " + owner.name
		}
		return targets, nil
	}
}

func status(active bool) api.Opt[api.StatusType] {
	if active {
		return api.Some(api.StatusTypeActive)
	}
	return api.Some(api.StatusTypeInactive)
}

func (s *IAM) createAccessKey() *service.Op {
	name := func(q *api.CreateAccessKeyRequest) string { return q.UserName.V }
	return service.Def[api.CreateAccessKeyRequest, api.CreateAccessKeyResponse]{
		Name: "CreateAccessKey", Kind: service.Change, Actions: []string{"iam:CreateAccessKey"},
		Resolve: onKeyOwner(s, "iam:CreateAccessKey", name),
		Audit:   func(q *api.CreateAccessKeyRequest, p *audit.Params) { str(p, "userName", q.UserName) },
		Result: func(r *api.CreateAccessKeyResponse, p *audit.Params) {
			var k audit.Params
			str(&k, "userName", r.AccessKey.UserName)
			str(&k, "accessKeyId", r.AccessKey.AccessKeyId)
			str(&k, "status", r.AccessKey.Status)
			p.Obj("accessKey", &k)
		},
		Plan: func(tx *service.Tx, q *api.CreateAccessKeyRequest, _ []service.Target) (*api.CreateAccessKeyResponse, error) {
			// That the user is there is part of the commit, since the user has been read; and DeleteUser depends on the counter.
			owner, err := s.keyOwner(tx, name(q))
			if err != nil {
				return nil, err
			}
			n, err := tx.Counter(record.AccessKeyCounter(owner.account, owner.id))
			if err != nil {
				return nil, err
			}
			if n >= keysPerUser {
				return nil, tooMany("AccessKeysPerUser", keysPerUser)
			}
			id, err := newAccessKeyID(tx)
			if err != nil {
				return nil, err
			}
			k := &record.AccessKey{
				ID: id, Account: owner.account, UserID: owner.id, Secret: identity.NewSecret(), Active: true, Created: tx.Now,
			}
			tx.Put(k)
			return &api.CreateAccessKeyResponse{AccessKey: &api.AccessKey{
				UserName: api.Some(owner.name), AccessKeyId: api.Some(k.ID), Status: status(true), SecretAccessKey: api.Some(k.Secret),
				CreateDate: api.Some(k.Created),
			}}, nil
		},
	}.Op("iam")
}

// newAccessKeyID draws an ID that no access key has: the random part alone is too short to be sure.
func newAccessKeyID(tx *service.Tx) (string, error) {
	for range 10 {
		id := identity.NewAccessKeyID(identity.LongTermPrefix, account(tx))
		k, err := lookup[*record.AccessKey](tx, record.AccessKeyStoreKey(id))
		if err != nil || k == nil {
			return id, err
		}
	}
	return "", errors.New("iam: no access key ID is free")
}

// accessKey finds an access key of an owner.
func accessKey(tx *service.Tx, owner keyOwner, id string) (*record.AccessKey, error) {
	k, err := lookup[*record.AccessKey](tx, record.AccessKeyStoreKey(id))
	if err != nil {
		return nil, err
	}
	if k == nil || k.Account != owner.account || k.UserID != owner.id {
		return nil, api.Errorf(api.NoSuchEntity, "The Access Key with id %s cannot be found.", id)
	}
	return k, nil
}

func (s *IAM) updateAccessKey() *service.Op {
	name := func(q *api.UpdateAccessKeyRequest) string { return q.UserName.V }
	return service.Def[api.UpdateAccessKeyRequest, service.None]{
		Name: "UpdateAccessKey", Kind: service.Change, Actions: []string{"iam:UpdateAccessKey"},
		Resolve: onKeyOwner(s, "iam:UpdateAccessKey", name),
		Audit: func(q *api.UpdateAccessKeyRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "accessKeyId", q.AccessKeyId)
			str(p, "status", q.Status)
		},
		Plan: func(tx *service.Tx, q *api.UpdateAccessKeyRequest, _ []service.Target) (*service.None, error) {
			owner, err := s.keyOwner(tx, name(q))
			if err != nil {
				return nil, err
			}
			k, err := accessKey(tx, owner, q.AccessKeyId.V)
			if err != nil {
				return nil, err
			}
			if q.Status.V == api.StatusTypeExpired { // of the model, but nothing that a key can be made
				return nil, api.Errorf(api.InvalidInput, "Status must be Active or Inactive.")
			}
			k.Active = q.Status.V == api.StatusTypeActive
			tx.Put(k)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) deleteAccessKey() *service.Op {
	name := func(q *api.DeleteAccessKeyRequest) string { return q.UserName.V }
	return service.Def[api.DeleteAccessKeyRequest, service.None]{
		Name: "DeleteAccessKey", Kind: service.Change, Actions: []string{"iam:DeleteAccessKey"},
		Resolve: onKeyOwner(s, "iam:DeleteAccessKey", name),
		Audit: func(q *api.DeleteAccessKeyRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "accessKeyId", q.AccessKeyId)
		},
		Plan: func(tx *service.Tx, q *api.DeleteAccessKeyRequest, _ []service.Target) (*service.None, error) {
			owner, err := s.keyOwner(tx, name(q))
			if err != nil {
				return nil, err
			}
			k, err := accessKey(tx, owner, q.AccessKeyId.V)
			if err != nil {
				return nil, err
			}
			use, err := lookup[*record.AccessKeyUse](tx, record.AccessKeyUseStoreKey(k.ID))
			if err != nil {
				return nil, err
			}
			if use != nil {
				tx.Delete(use)
			}
			tx.Delete(k)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) listAccessKeys() *service.Op {
	name := func(q *api.ListAccessKeysRequest) string { return q.UserName.V }
	return service.Def[api.ListAccessKeysRequest, api.ListAccessKeysResponse]{
		Name: "ListAccessKeys", Kind: service.Read, Actions: []string{"iam:ListAccessKeys"},
		Resolve: onKeyOwner(s, "iam:ListAccessKeys", name),
		Audit: func(q *api.ListAccessKeysRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListAccessKeysRequest, _ []service.Target) (*api.ListAccessKeysResponse, error) {
			owner, err := s.keyOwner(tx, name(q))
			if err != nil {
				return nil, err
			}
			ids, page, err := scan(tx, "accesskeys", record.AccessKeysPrefix(owner.account, owner.id), "", q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			storeKeys := make([]string, len(ids))
			for i, id := range ids {
				storeKeys[i] = record.AccessKeyStoreKey(id)
			}
			keys, err := service.LookupAll[*record.AccessKey](tx, storeKeys)
			if err != nil {
				return nil, err
			}
			list := make([]api.AccessKeyMetadata, len(keys))
			for i, k := range keys {
				list[i] = api.AccessKeyMetadata{
					UserName: api.Some(owner.name), AccessKeyId: api.Some(k.ID), Status: status(k.Active), CreateDate: api.Some(k.Created),
				}
			}
			return &api.ListAccessKeysResponse{AccessKeyMetadata: list, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}
