package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) replicateKey() *service.Op {
	conds := slices.Concat(
		conditions[api.ReplicateKeyRequest]{
			{Name: "kms:ReplicaRegion", Values: func(_ *service.Tx, q *api.ReplicateKeyRequest, t *service.Target, _ string) []string {
				if t.Action != "kms:ReplicateKey" {
					return nil
				}
				return single(q.ReplicaRegion.V)
			}},
			{Name: "kms:BypassPolicyLockoutSafetyCheck", Values: func(_ *service.Tx, q *api.ReplicateKeyRequest, t *service.Target, _ string) []string {
				if t.Action == "kms:ReplicateKey" {
					return nil // it is a parameter of the CreateKey in the replica's Region
				}
				return single(flag(q.BypassPolicyLockoutSafetyCheck))
			}},
		},
		newKeyConditions(describedReplica),
		tagConditions(func(q *api.ReplicateKeyRequest) []api.Tag { return q.Tags }),
	)
	return service.Def[api.ReplicateKeyRequest, api.ReplicateKeyResponse]{
		Name: "ReplicateKey", Kind: service.Change,
		Actions: []string{"kms:ReplicateKey", "kms:CreateKey", "kms:TagResource"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.ReplicateKeyRequest) ([]service.Target, error) {
			t, err := k.resolveKey(tx, "kms:ReplicateKey", q.KeyId.V, idOrARN)
			if err != nil {
				return []service.Target{t}, err
			}
			account := tx.Call.Caller.Account
			targets := []service.Target{t, {Action: "kms:CreateKey", Account: account, ARN: "*", Region: q.ReplicaRegion.V}}
			if len(q.Tags) > 0 {
				targets = append(targets, service.Target{Action: "kms:TagResource", Account: account, ARN: "*", Region: q.ReplicaRegion.V})
			}
			return targets, nil
		},
		Check: countBound(func(q *api.ReplicateKeyRequest) int { return len(q.Tags) }),
		Audit: func(q *api.ReplicateKeyRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "replicaRegion", q.ReplicaRegion)
			str(p, "policy", q.Policy)
			boolean(p, "bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
			str(p, "description", q.Description)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.ReplicateKeyResponse, p *audit.Params) {
			auditMetadata(p, "replicaKeyMetadata", r.ReplicaKeyMetadata)
		},
		Plan: k.planReplicateKey,
	}.Op("kms")
}

// describedReplica is the replica key that a request asks for as conditions see it; nil for the target that is the key itself, which
// has properties of its own, and where there is no key to replicate.
func describedReplica(tx *service.Tx, q *api.ReplicateKeyRequest, t *service.Target) *record.Key {
	source := tx.Targets[0].Key
	if t.Action == "kms:ReplicateKey" || source == nil {
		return nil
	}
	return &record.Key{
		Owner: record.Owner{Account: source.Account, Region: q.ReplicaRegion.V}, Spec: source.Spec, Usage: source.Usage, Origin: source.Origin,
		MultiRegion: source.MultiRegion,
	}
}

func (k *KMS) planReplicateKey(tx *service.Tx, q *api.ReplicateKeyRequest, targets []service.Target) (*api.ReplicateKeyResponse, error) {
	key, region := targets[0].Key, q.ReplicaRegion.V
	if key.MultiRegion == nil {
		return nil, api.Errorf(api.UnsupportedOperationException, "%s is not a multi-Region primary key.", key.ARN())
	}
	if err := primary(key); err != nil {
		return nil, err
	}
	if err := enabled(key); err != nil {
		return nil, err
	}
	if !k.config.HasRegion(region) || record.Partition(region) != record.Partition(key.Region) {
		return nil, api.Errorf(api.ValidationException, "The Region %s is not a Region of this server that the key can be replicated to.", cut(region))
	}
	owner := record.Owner{Account: key.Account, Region: region}
	if region == key.Region || slices.Contains(key.MultiRegion.Replicas, region) {
		return nil, api.Errorf(api.AlreadyExistsException, "The key %s already exists in Region %s.", key.ID, region)
	}
	if err := notBeingSwept(tx, owner, key.ID); err != nil {
		return nil, err
	}
	if len(key.MultiRegion.Replicas) >= maxReplicas {
		return nil, api.Errorf(api.LimitExceededException, "The key %s has reached the limit of %d replica keys.", key.ARN(), maxReplicas)
	}
	policyText, pins, err := checkPolicy(tx, q.Policy)
	if err != nil {
		return nil, err
	}
	tags, err := addTags(nil, q.Tags)
	if err != nil {
		return nil, err
	}
	if err := k.roomForKey(tx, owner); err != nil {
		return nil, err
	}
	replica := &record.Key{
		Owner: owner, ID: key.ID, Created: tx.Now, Description: q.Description.V, Spec: key.Spec, Usage: key.Usage, Origin: key.Origin,
		Manager: key.Manager, State: record.Enabled, Policy: policyText, Pins: pins, Tags: tags, JitterSeconds: k.jitter(),
	}
	if err := k.keepsHold(tx, replica, q.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if _, err := service.Lookup[*record.Key](tx, replica.StoreKey()); err != nil {
		return nil, err
	}
	key.MultiRegion.Replicas = withRegion(key.MultiRegion.Replicas, region)
	tx.Put(replica)
	created := replicaCreated(tx, q, replica)
	tx.Event(created)
	if err := putRelated(tx, key); err != nil {
		return nil, err
	}
	if err := putGrown(tx, replica); err != nil {
		return nil, err
	}
	m, err := metadata(tx, replica)
	if err != nil {
		return nil, err
	}
	auditMetadata(&created.ResponseElements, "keyMetadata", m)
	r := &api.ReplicateKeyResponse{ReplicaKeyMetadata: m, ReplicaPolicy: api.Some(policyOf(replica)), ReplicaTags: []api.Tag{}}
	for _, t := range tags {
		r.ReplicaTags = append(r.ReplicaTags, api.Tag{TagKey: api.Some(t.Key), TagValue: api.Some(t.Value)})
	}
	return r, nil
}

// replicaCreated returns the audit record of the CreateKey that ReplicateKey is in the replica's Region ("ReplicateKey", AWS KMS API
// Reference), which the caller needs permission for there. What the key became is the caller's to add. The policy is in the record of
// ReplicateKey, which has the same request ID: twice, it would take the room that the last replicas need in the commit.
func replicaCreated(tx *service.Tx, q *api.ReplicateKeyRequest, replica *record.Key) *audit.Record {
	e := callEvent(tx, "CreateKey", replica.Account, replica.Region, replica.ARN())
	auditCreateKey(&api.CreateKeyRequest{
		Description: q.Description, KeyUsage: api.Some(api.KeyUsageType(replica.Usage)), KeySpec: api.Some(api.KeySpec(replica.Spec)),
		Origin: api.Some(api.OriginType(replica.Origin)), BypassPolicyLockoutSafetyCheck: q.BypassPolicyLockoutSafetyCheck,
		Tags: q.Tags, MultiRegion: api.Some(true),
	}, &e.RequestParameters)
	return e
}

// notBeingSwept refuses to make a key anew while what an earlier one of its ID left behind is still being removed.
func notBeingSwept(tx *service.Tx, o record.Owner, keyID string) error {
	tomb, err := service.Lookup[*record.Tombstone](tx, record.TombstoneStoreKey(o, keyID))
	if err == nil && tomb != nil {
		err = api.Errorf(api.KMSInvalidStateException, "%s was deleted, and what it leaves is still being removed.", record.KeyARN(o, keyID))
	}
	return err
}

func (k *KMS) updatePrimaryRegion() *service.Op {
	conds := conditions[api.UpdatePrimaryRegionRequest]{
		text("kms:PrimaryRegion", func(q *api.UpdatePrimaryRegionRequest) string { return q.PrimaryRegion.V }),
	}
	return service.Def[api.UpdatePrimaryRegionRequest, service.None]{
		Name: "UpdatePrimaryRegion", Kind: service.Change,
		Actions: []string{"kms:UpdatePrimaryRegion"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.UpdatePrimaryRegionRequest) ([]service.Target, error) {
			t, err := k.resolveKey(tx, "kms:UpdatePrimaryRegion", q.KeyId.V, idOrARN)
			targets := []service.Target{t}
			if err != nil || t.Key == nil || t.Key.MultiRegion == nil || !slices.Contains(t.Key.MultiRegion.Replicas, q.PrimaryRegion.V) {
				return targets, err // the plan says what is wrong
			}
			replica, err := relatedKey(tx, t.Key, q.PrimaryRegion.V)
			if err != nil {
				return targets, err
			}
			return append(targets, service.Target{Action: t.Action, Account: replica.Account, ARN: replica.ARN(), Key: replica}), nil
		},
		Audit: func(q *api.UpdatePrimaryRegionRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "primaryRegion", q.PrimaryRegion)
		},
		Plan: func(tx *service.Tx, q *api.UpdatePrimaryRegionRequest, targets []service.Target) (*service.None, error) {
			key := targets[0].Key
			if key.MultiRegion == nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "%s is not a multi-Region primary key.", key.ARN())
			}
			if err := primary(key); err != nil {
				return nil, err
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			if q.PrimaryRegion.V == key.Region {
				return nil, api.Errorf(api.ValidationException, "%s is the primary key already.", key.ARN())
			}
			if len(targets) < 2 {
				return nil, api.Errorf(api.NotFoundException, "Key '%s' does not exist", record.KeyARN(record.Owner{Account: key.Account, Region: cut(q.PrimaryRegion.V)}, key.ID))
			}
			if err := enabled(targets[1].Key); err != nil {
				return nil, err
			}
			key.MultiRegion.Replicas = withRegion(withoutRegion(key.MultiRegion.Replicas, q.PrimaryRegion.V), key.Region)
			key.MultiRegion.Primary = q.PrimaryRegion.V
			return &service.None{}, putRelated(tx, key)
		},
	}.Op("kms")
}
