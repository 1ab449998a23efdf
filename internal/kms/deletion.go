package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// deleteKey removes a key whose waiting period is over. From this commit on its material is unreachable; materials, aliases and
// grants, which may be more than one commit takes, are removed by sweepKey. leave has what a custom key store knows of the key
// removed after it, and notes that in the event.
func deleteKey(leave func(*service.Tx, *record.Key, *audit.Record) error) *service.Op {
	return service.Def[DueRequest, DueResponse]{
		Name: "DeleteKey", Kind: service.Internal,
		Actions: []string{"kms:DeleteKey"},
		Resolve: resolveDue("kms:DeleteKey"),
		Audit:   auditDue,
		Plan: func(tx *service.Tx, q *DueRequest, targets []service.Target) (*DueResponse, error) {
			k := targets[0].Key
			if k == nil {
				return &DueResponse{}, nil
			}
			due, ok := k.Due()
			if !ok || due.Kind != record.DueDeletion || due.At.After(tx.Now) {
				return &DueResponse{}, nil
			}
			tomb := &record.Tombstone{Owner: k.Owner, KeyID: k.ID, Deleted: tx.Now, MaterialRegion: leftBehind(k)}
			if _, err := service.Lookup[*record.Tombstone](tx, tomb.StoreKey()); err != nil {
				return nil, err
			}
			if err := leaveRelated(tx, k); err != nil {
				return nil, err
			}
			tx.Put(tomb)
			tx.Delete(k)
			event := service.ServiceEvent(tx, "DeleteKey", k.Account, k.Region, k.ARN())
			event.ResponseElements.Str("keyId", k.ARN())
			event.ServiceEventDetails.Str("keyId", k.ID)
			if err := leave(tx, k, event); err != nil {
				return nil, err
			}
			tx.Event(event)
			return &DueResponse{Done: true, KeyARN: k.ARN()}, nil
		},
	}.Op("kms")
}

// leftBehind says where the materials stand that go with a key: what related multi-Region keys share goes with the last of them, the
// primary.
func leftBehind(k *record.Key) string {
	switch owner := k.MaterialOwner(); {
	case owner == k.Owner:
		return ""
	case k.Primary():
		return owner.Region
	}
	return record.NoRegion
}

// leaveRelated takes a replica out of what its related keys know. A primary that waited for it to be the last begins its own waiting
// period.
func leaveRelated(tx *service.Tx, k *record.Key) error {
	if k.MultiRegion == nil || k.Primary() {
		return nil
	}
	primary, err := relatedKey(tx, k, k.MultiRegion.Primary)
	if err != nil {
		return err
	}
	// The replica goes in this commit: it must not be found, and put, as a related key.
	primary.MultiRegion.Replicas = withoutRegion(primary.MultiRegion.Replicas, k.Region)
	if primary.State == record.PendingReplicaDeletion && len(primary.MultiRegion.Replicas) == 0 {
		waitForDeletion(primary, tx.Now)
	}
	return putRelated(tx, primary)
}

// sweepKey removes materials, aliases and grants of a deleted key, so many at a time; the last run removes the tombstone.
func sweepKey() *service.Op {
	return service.Def[DueRequest, DueResponse]{
		Name: "SweepKey", Kind: service.Internal,
		Actions: []string{"kms:DeleteKey"},
		Resolve: resolveDue("kms:DeleteKey"),
		Audit:   auditDue,
		Plan:    planSweep,
	}.Op("kms")
}

func planSweep(tx *service.Tx, q *DueRequest, targets []service.Target) (*DueResponse, error) {
	tomb, err := service.Lookup[*record.Tombstone](tx, record.TombstoneStoreKey(q.Owner, q.KeyID))
	if err != nil || tomb == nil {
		return &DueResponse{}, err
	}
	if targets[0].Key != nil {
		return nil, api.Errorf(api.KMSInvalidStateException, "%s exists: what belongs to it is not swept", targets[0].ARN)
	}
	// Aliases first: their names are wanted again.
	prefix := record.KeyAliasesPrefix(q.Owner, q.KeyID)
	aliases, err := tx.Scan(prefix, "", sweepBatch)
	if err != nil {
		return nil, err
	}
	for _, e := range aliases {
		name := strings.TrimPrefix(e.Key, prefix)
		alias, err := lookupAlias(tx, q.Owner, name)
		if err != nil {
			return nil, err
		}
		if alias != nil && alias.KeyID == q.KeyID {
			tx.Delete(alias)
		} else {
			tx.Remove(e.Key) // an entry of nothing
		}
	}
	// Materials unread: also one that is damaged goes.
	var found int // materials
	if owner, ok := tomb.MaterialOwner(); ok {
		prefix = record.MaterialsPrefix(owner, q.KeyID)
		materials, err := tx.Scan(prefix, "", sweepBatch)
		if err != nil {
			return nil, err
		}
		found = len(materials)
		for _, e := range materials[:min(len(materials), sweepBatch-len(aliases))] {
			_, id, _ := strings.Cut(strings.TrimPrefix(e.Key, prefix), "/")
			tx.Remove(e.Key, record.MaterialStoreKey(owner, q.KeyID, id))
		}
	}
	usages, err := tx.Scan(record.MaterialUsagePrefix(q.Owner, q.KeyID), "", sweepBatch)
	if err != nil {
		return nil, err
	}
	for _, e := range usages[:max(0, min(len(usages), sweepBatch-len(aliases)-found))] {
		tx.Remove(e.Key)
	}
	left, err := sweepGrants(tx, q, (sweepBatch-len(aliases)-found-len(usages))/2)
	if err != nil {
		return nil, err
	}
	tx.Remove(record.KeyUsageStoreKey(q.Owner, q.KeyID))
	event := service.ServiceEvent(tx, "SweepKey", q.Account, q.Region, record.KeyARN(q.Owner, q.KeyID))
	event.ServiceEventDetails.Str("keyId", q.KeyID)
	tx.Event(event)
	if left || len(aliases)+found+len(usages) >= sweepBatch {
		tx.Put(tomb)
		return &DueResponse{Done: true, More: true}, nil
	}
	tx.Delete(tomb)
	return &DueResponse{Done: true}, nil
}

// sweepGrants removes grants on a deleted key, up to a number, and tells whether some are left.
func sweepGrants(tx *service.Tx, q *DueRequest, limit int) (left bool, err error) {
	limit = max(limit, 0)
	entries, err := tx.Scan(record.GrantsPrefix(q.Owner, q.KeyID), "", limit+1)
	if err != nil {
		return false, err
	}
	for _, e := range entries[:min(limit, len(entries))] {
		g, err := service.Lookup[*record.Grant](tx, e.Key)
		if err != nil {
			return false, err
		}
		if g != nil {
			tx.Delete(g)
		}
	}
	return len(entries) > limit, nil
}
