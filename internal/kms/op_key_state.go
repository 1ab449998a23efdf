package kms

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) enableKey() *service.Op {
	name := func(q *api.EnableKeyRequest) string { return q.KeyId.V }
	return service.Def[api.EnableKeyRequest, service.None]{
		Name: "EnableKey", Kind: service.Change,
		Actions: []string{"kms:EnableKey"},
		Resolve: one(k, "kms:EnableKey", idOrARN, name),
		Audit:   auditKeyID(name),
		Plan: func(tx *service.Tx, _ *api.EnableKeyRequest, targets []service.Target) (*service.None, error) {
			return setState(tx, targets[0], record.Enabled)
		},
	}.Op("kms")
}

func (k *KMS) disableKey() *service.Op {
	name := func(q *api.DisableKeyRequest) string { return q.KeyId.V }
	conds := conditions[api.DisableKeyRequest]{
		trailingDays[api.DisableKeyRequest](),
	}
	return service.Def[api.DisableKeyRequest, service.None]{
		Name: "DisableKey", Kind: service.Change,
		Actions: []string{"kms:DisableKey"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:DisableKey", idOrARN, name),
		Audit:   auditKeyID(name),
		Plan: func(tx *service.Tx, _ *api.DisableKeyRequest, targets []service.Target) (*service.None, error) {
			return setState(tx, targets[0], record.Disabled)
		},
	}.Op("kms")
}

// setState enables or disables a key. The due index follows: a disabled key does not rotate, and what became due meanwhile
// happens once the key is enabled again.
func setState(tx *service.Tx, t service.Target, state record.State) (*service.None, error) {
	if err := customerManaged(t.Key, tx.Call.Caller.ARN, t.Action); err != nil {
		return nil, err
	}
	if err := notPendingDeletion(t.Key); err != nil {
		return nil, err
	}
	if t.Key.State == record.PendingImport {
		return nil, pendingImport(t.Key)
	}
	if t.Key.State != state {
		t.Key.State = state
		tx.Put(t.Key)
	}
	return &service.None{}, nil
}

func (k *KMS) scheduleKeyDeletion() *service.Op {
	conds := conditions[api.ScheduleKeyDeletionRequest]{
		number("kms:ScheduleKeyDeletionPendingWindowInDays", deletionWindow),
		trailingDays[api.ScheduleKeyDeletionRequest](),
	}
	return service.Def[api.ScheduleKeyDeletionRequest, api.ScheduleKeyDeletionResponse]{
		Name: "ScheduleKeyDeletion", Kind: service.Change,
		Actions: []string{"kms:ScheduleKeyDeletion"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:ScheduleKeyDeletion", idOrARN, func(q *api.ScheduleKeyDeletionRequest) string { return q.KeyId.V }),
		Audit: func(q *api.ScheduleKeyDeletionRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "pendingWindowInDays", q.PendingWindowInDays)
		},
		Result: func(r *api.ScheduleKeyDeletionResponse, p *audit.Params) {
			str(p, "keyId", r.KeyId)
			if r.DeletionDate.Set {
				p.Str("deletionDate", r.DeletionDate.V.Format(time.RFC3339))
			}
			str(p, "keyState", r.KeyState)
			integer(p, "pendingWindowInDays", r.PendingWindowInDays)
		},
		Plan: func(tx *service.Tx, q *api.ScheduleKeyDeletionRequest, targets []service.Target) (*api.ScheduleKeyDeletionResponse, error) {
			t := targets[0]
			days := deletionWindow(q)
			// The model allows 1 to 365; the service does not.
			if days < minDeletionDays {
				return nil, badWindow(days, "greater than or equal to", minDeletionDays)
			}
			if days > maxDeletionDays {
				return nil, badWindow(days, "less than or equal to", maxDeletionDays)
			}
			if err := customerManaged(t.Key, tx.Call.Caller.ARN, t.Action); err != nil {
				return nil, err
			}
			if err := notPendingDeletion(t.Key); err != nil {
				return nil, err
			}
			t.Key.DeletionDays = days
			r := &api.ScheduleKeyDeletionResponse{KeyId: api.Some(t.Key.ARN()), PendingWindowInDays: api.Some(days)}
			if t.Key.MultiRegion != nil && t.Key.Primary() && len(t.Key.MultiRegion.Replicas) > 0 {
				t.Key.State = record.PendingReplicaDeletion // until the last replica is deleted
			} else {
				waitForDeletion(t.Key, tx.Now)
				r.DeletionDate = api.Some(t.Key.DeletionDate)
			}
			r.KeyState = api.Some(api.KeyState(t.Key.State))
			tx.Put(t.Key)
			return r, nil
		},
	}.Op("kms")
}

// deletionWindow is the waiting period that a request asks for, in days.
func deletionWindow(q *api.ScheduleKeyDeletionRequest) int64 {
	if q.PendingWindowInDays.Set {
		return q.PendingWindowInDays.V
	}
	return defaultDeletionDays
}

// waitForDeletion starts the waiting period.
func waitForDeletion(k *record.Key, now time.Time) {
	k.State = record.PendingDeletion
	k.DeletionDate = now.Add(time.Duration(k.DeletionDays) * day)
}

func badWindow(days int64, relation string, bound int64) error {
	return api.Errorf(api.ValidationException,
		"1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value %s %d", days, relation, bound)
}

func (k *KMS) cancelKeyDeletion() *service.Op {
	name := func(q *api.CancelKeyDeletionRequest) string { return q.KeyId.V }
	return service.Def[api.CancelKeyDeletionRequest, api.CancelKeyDeletionResponse]{
		Name: "CancelKeyDeletion", Kind: service.Change,
		Actions: []string{"kms:CancelKeyDeletion"},
		Resolve: one(k, "kms:CancelKeyDeletion", idOrARN, name),
		Audit:   auditKeyID(name),
		Result:  func(r *api.CancelKeyDeletionResponse, p *audit.Params) { str(p, "keyId", r.KeyId) },
		Plan: func(tx *service.Tx, _ *api.CancelKeyDeletionRequest, targets []service.Target) (*api.CancelKeyDeletionResponse, error) {
			key := targets[0].Key
			if !deleting(key) {
				return nil, api.Errorf(api.KMSInvalidStateException, "%s is not pending deletion.", key.ARN())
			}
			key.State = record.Disabled // as AWS leaves it: enabling is a decision of its own
			key.DeletionDate, key.DeletionDays = time.Time{}, 0
			settleImports(key)
			tx.Put(key)
			return &api.CancelKeyDeletionResponse{KeyId: api.Some(key.ARN())}, nil
		},
	}.Op("kms")
}
