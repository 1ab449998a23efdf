package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// checkAliasName refuses names that nobody may create, move or delete.
func checkAliasName(name string) error {
	switch {
	case !strings.HasPrefix(name, aliasPrefix) || name == aliasPrefix:
		return api.Errorf(api.ValidationException, "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")
	case strings.HasPrefix(name, awsAliasPrefix):
		return api.Errorf(api.InvalidAliasNameException, "Aliases that begin with %s are reserved.", awsAliasPrefix)
	case !validAliasName(name):
		return api.Errorf(api.ValidationException, "%s contains invalid characters for an alias", name)
	}
	return nil
}

// aliasTarget is the alias itself, missing if it cannot be one; the operation needs permission on it and on the keys.
func aliasTarget(tx *service.Tx, action, name string) service.Target {
	owner := callOwner(tx)
	return service.Target{Action: action, Account: owner.Account, ARN: record.AliasARN(owner, name), Missing: checkAliasName(name)}
}

// noAlias refuses a target key that is named by an alias.
func noAlias(name string) error {
	if strings.HasPrefix(name, aliasPrefix) || strings.HasPrefix(name, "arn:") && strings.Contains(name, ":"+aliasPrefix) {
		return api.Errorf(api.ValidationException, "Aliases must refer to keys. Not aliases")
	}
	return nil
}

// aliasRoom refuses one alias more than a key may have.
func aliasRoom(tx *service.Tx, key *record.Key) error {
	n, err := tx.Counter(record.AliasCounter(key.Owner, key.ID))
	if err != nil {
		return err
	}
	if n >= aliasesPerKey {
		return api.Errorf(api.LimitExceededException, "The KMS key %s has reached its quota of %d aliases.", key.ARN(), aliasesPerKey)
	}
	return nil
}

// ownKey refuses to point an alias at a key of another account or an AWS managed one.
func ownKey(tx *service.Tx, key *record.Key, action string) error {
	if err := customerManaged(key, tx.Call.Caller.ARN, action); err != nil {
		return err
	}
	return notPendingDeletion(key)
}

func (k *KMS) createAlias() *service.Op {
	const action = "kms:CreateAlias"
	return service.Def[api.CreateAliasRequest, service.None]{
		Name: "CreateAlias", Kind: service.Change,
		Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.CreateAliasRequest) ([]service.Target, error) {
			key, err := k.resolveKey(tx, action, q.TargetKeyId.V, idOrARN)
			if err != nil {
				return nil, err
			}
			if err := noAlias(q.TargetKeyId.V); err != nil {
				key.Missing = err
			}
			return []service.Target{aliasTarget(tx, action, q.AliasName.V), key}, nil
		},
		Audit: func(q *api.CreateAliasRequest, p *audit.Params) {
			str(p, "aliasName", q.AliasName)
			str(p, "targetKeyId", q.TargetKeyId)
		},
		Plan: func(tx *service.Tx, q *api.CreateAliasRequest, targets []service.Target) (*service.None, error) {
			key := targets[1].Key
			if err := ownKey(tx, key, action); err != nil {
				return nil, err
			}
			old, err := lookupAlias(tx, callOwner(tx), q.AliasName.V)
			if err != nil {
				return nil, err
			}
			if old != nil {
				return nil, api.Errorf(api.AlreadyExistsException, "An alias with the name %s already exists", old.ARN())
			}
			if err := aliasRoom(tx, key); err != nil {
				return nil, err
			}
			tx.Put(&record.Alias{Owner: key.Owner, Name: q.AliasName.V, KeyID: key.ID, Created: tx.Now, Updated: tx.Now})
			return &service.None{}, nil
		},
	}.Op("kms")
}

// existingAlias finds the alias that an operation changes, with its present key, as two targets.
func existingAlias(tx *service.Tx, action, name string) (*record.Alias, []service.Target, error) {
	t := aliasTarget(tx, action, name)
	if t.Missing != nil {
		return nil, []service.Target{t}, nil
	}
	alias, err := lookupAlias(tx, callOwner(tx), name)
	if err != nil {
		return nil, nil, err
	}
	if alias == nil {
		t.Missing = aliasNotFound(t.ARN)
		return nil, []service.Target{t}, nil
	}
	key := service.Target{Action: action, Account: alias.Account}
	if err := lookupKey(tx, &key, alias.Owner, alias.KeyID); err != nil {
		return nil, nil, err
	}
	if key.Key == nil {
		key.Missing = aliasNotFound(t.ARN) // the key was deleted, its aliases are being swept
	}
	return alias, []service.Target{t, key}, nil
}

func (k *KMS) updateAlias() *service.Op {
	const action = "kms:UpdateAlias"
	return service.Def[api.UpdateAliasRequest, service.None]{
		Name: "UpdateAlias", Kind: service.Change,
		Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.UpdateAliasRequest) ([]service.Target, error) {
			_, targets, err := existingAlias(tx, action, q.AliasName.V)
			if err != nil {
				return nil, err
			}
			key, err := k.resolveKey(tx, action, q.TargetKeyId.V, idOrARN)
			if err != nil {
				return nil, err
			}
			if err := noAlias(q.TargetKeyId.V); err != nil {
				key.Missing = err
			}
			return append(targets, key), nil
		},
		Audit: func(q *api.UpdateAliasRequest, p *audit.Params) {
			str(p, "aliasName", q.AliasName)
			str(p, "targetKeyId", q.TargetKeyId)
		},
		Plan: func(tx *service.Tx, q *api.UpdateAliasRequest, targets []service.Target) (*service.None, error) {
			present, key := targets[1].Key, targets[2].Key
			if err := ownKey(tx, key, action); err != nil {
				return nil, err
			}
			if present.Spec != key.Spec || present.Usage != key.Usage {
				return nil, api.Errorf(api.ValidationException, "Alias %s cannot be changed from key %s to key %s: both must have the same key usage and key type",
					q.AliasName.V, present.ARN(), key.ARN())
			}
			alias, err := lookupAlias(tx, callOwner(tx), q.AliasName.V)
			if err != nil {
				return nil, err
			}
			if alias.KeyID != key.ID {
				if err := aliasRoom(tx, key); err != nil {
					return nil, err
				}
			}
			alias.KeyID, alias.Updated = key.ID, tx.Now
			tx.Put(alias)
			return &service.None{}, nil
		},
	}.Op("kms")
}

func (k *KMS) deleteAlias() *service.Op {
	const action = "kms:DeleteAlias"
	return service.Def[api.DeleteAliasRequest, service.None]{
		Name: "DeleteAlias", Kind: service.Change,
		Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.DeleteAliasRequest) ([]service.Target, error) {
			_, targets, err := existingAlias(tx, action, q.AliasName.V)
			return targets, err
		},
		Audit: func(q *api.DeleteAliasRequest, p *audit.Params) { str(p, "aliasName", q.AliasName) },
		Plan: func(tx *service.Tx, q *api.DeleteAliasRequest, _ []service.Target) (*service.None, error) {
			alias, err := lookupAlias(tx, callOwner(tx), q.AliasName.V)
			if err != nil {
				return nil, err
			}
			tx.Delete(alias)
			return &service.None{}, nil
		},
	}.Op("kms")
}

func (k *KMS) listAliases() *service.Op {
	const action = "kms:ListAliases"
	return service.Def[api.ListAliasesRequest, api.ListAliasesResponse]{
		Name: "ListAliases", Kind: service.Read,
		Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.ListAliasesRequest) ([]service.Target, error) {
			t := service.Target{Action: action, Account: tx.Call.Caller.Account, ARN: "*"}
			if !q.KeyId.Set {
				return []service.Target{t}, nil
			}
			key, err := k.resolveKey(tx, action, q.KeyId.V, idOrARN)
			return []service.Target{t, key}, err
		},
		Audit: func(q *api.ListAliasesRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(tx *service.Tx, q *api.ListAliasesRequest, targets []service.Target) (*api.ListAliasesResponse, error) {
			owner := callOwner(tx)
			prefix := record.AliasesPrefix(owner)
			index := prefix
			if q.KeyId.Set {
				index = record.KeyAliasesPrefix(owner, targets[1].Key.ID)
			}
			names, next, err := page(tx, "aliases", index, q.Marker, limitOr(q.Limit, 50))
			if err != nil {
				return nil, err
			}
			for i := range names {
				names[i] = prefix + names[i]
			}
			aliases, err := service.LookupAll[*record.Alias](tx, names)
			if err != nil {
				return nil, err
			}
			r := &api.ListAliasesResponse{Aliases: make([]api.AliasListEntry, 0, len(aliases)), NextMarker: next, Truncated: api.Some(next.Set)}
			for _, a := range aliases {
				r.Aliases = append(r.Aliases, api.AliasListEntry{
					AliasName: api.Some(a.Name), AliasArn: api.Some(a.ARN()), TargetKeyId: api.Some(a.KeyID),
					CreationDate: api.Some(a.Created), LastUpdatedDate: api.Some(a.Updated),
				})
			}
			return r, nil
		},
	}.Op("kms")
}
