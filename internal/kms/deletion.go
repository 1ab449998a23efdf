package kms

import (
	"strings"

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
		Plan: func(tx *service.Tx, q *DueRequest, _ []service.Target) (*DueResponse, error) {
			tomb, err := service.Lookup[*record.Tombstone](tx, record.TombstoneStoreKey(q.Owner, q.KeyID))
			if err != nil || tomb == nil {
				return &DueResponse{}, err
			}
			room := sweepBatch
			for _, list := range []struct {
				prefix string
				record func(rest string) string
			}{
				{record.MaterialsPrefix(q.Owner, q.KeyID), func(rest string) string {
					_, id, _ := strings.Cut(rest, "/")
					return record.MaterialStoreKey(q.Owner, q.KeyID, id)
				}},
				{record.KeyAliasesPrefix(q.Owner, q.KeyID), func(rest string) string { return record.AliasesPrefix(q.Owner) + rest }},
			} {
				if room == 0 {
					break
				}
				entries, err := tx.Scan(list.prefix, "", room)
				if err != nil {
					return nil, err
				}
				for _, e := range entries {
					r, err := service.Lookup[record.Record](tx, list.record(strings.TrimPrefix(e.Key, list.prefix)))
					if err != nil {
						return nil, err
					}
					if r != nil {
						tx.Delete(r)
					}
				}
				room -= len(entries)
			}
			if room == 0 {
				tx.Put(tomb)
				return &DueResponse{Done: true, More: true}, nil
			}
			tx.Delete(tomb)
			return &DueResponse{Done: true}, nil
		},
	}.Op("kms")
}
