package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// deleteKey removes a key whose waiting period is over. From this commit on its material is unreachable; materials and
// aliases, which may be more than one commit takes, are removed by sweepKey.
func deleteKey() *service.Op {
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
			tomb := &record.Tombstone{Owner: k.Owner, KeyID: k.ID, Deleted: tx.Now}
			if _, err := service.Lookup[*record.Tombstone](tx, tomb.StoreKey()); err != nil {
				return nil, err
			}
			tx.Put(tomb)
			tx.Delete(k)
			event := service.ServiceEvent(tx, "DeleteKey", k.Account, k.Region, k.ARN())
			event.ServiceEventDetails.Str("keyId", k.ID)
			tx.Event(event)
			return &DueResponse{Done: true, KeyARN: k.ARN()}, nil
		},
	}.Op("kms")
}

// sweepKey removes materials and aliases of a deleted key, so many at a time; the last run removes the tombstone.
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
	prefix = record.MaterialsPrefix(q.Owner, q.KeyID)
	materials, err := tx.Scan(prefix, "", sweepBatch)
	if err != nil {
		return nil, err
	}
	for _, e := range materials[:min(len(materials), sweepBatch-len(aliases))] {
		_, id, _ := strings.Cut(strings.TrimPrefix(e.Key, prefix), "/")
		tx.Remove(e.Key, record.MaterialStoreKey(q.Owner, q.KeyID, id))
	}
	event := service.ServiceEvent(tx, "SweepKey", q.Account, q.Region, record.KeyARN(q.Owner, q.KeyID))
	event.ServiceEventDetails.Str("keyId", q.KeyID)
	tx.Event(event)
	if len(aliases)+len(materials) >= sweepBatch {
		tx.Put(tomb)
		return &DueResponse{Done: true, More: true}, nil
	}
	tx.Delete(tomb)
	return &DueResponse{Done: true}, nil
}
