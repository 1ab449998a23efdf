package kms

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// trackingStart is since when uses of a key are written down.
func trackingStart(tx *service.Tx, k *record.Key) (time.Time, error) {
	t, err := service.Lookup[*record.Tracking](tx, record.TrackingStoreKey)
	if err != nil || t == nil || t.Since.Before(k.Created) {
		return k.Created, err
	}
	return t.Since, nil
}

// trailingDays is kms:TrailingDaysWithoutKeyUsage: the whole days since the key was last used, or, if it was not, since it is known not
// to be ("AWS KMS condition keys", AWS KMS Developer Guide). Uses of the last seconds may not have been written down yet.
func trailingDays[Q any]() condition[Q] {
	return condition[Q]{Name: "kms:TrailingDaysWithoutKeyUsage", Values: func(tx *service.Tx, _ *Q, t *service.Target, _ string) []string {
		if t.Key == nil {
			return nil
		}
		since, err := trackingStart(tx, t.Key)
		if err != nil {
			tx.Fail(err)
			return nil
		}
		u, err := service.Lookup[*record.KeyUsage](tx, record.KeyUsageStoreKey(t.Key.Owner, t.Key.ID))
		if err != nil {
			tx.Fail(err)
			return nil
		}
		if u != nil && u.At.After(since) {
			since = u.At
		}
		return single(strconv.FormatInt(max(0, int64(tx.Now.Sub(since)/day)), 10))
	}}
}

func (k *KMS) getKeyLastUsage() *service.Op {
	name := func(q *api.GetKeyLastUsageRequest) string { return q.KeyId.V }
	return service.Def[api.GetKeyLastUsageRequest, api.GetKeyLastUsageResponse]{
		Name: "GetKeyLastUsage", Kind: service.Read,
		Actions: []string{"kms:GetKeyLastUsage"},
		Resolve: one(k, "kms:GetKeyLastUsage", idOrARN, name),
		Audit:   auditKeyID(name),
		Plan: func(tx *service.Tx, _ *api.GetKeyLastUsageRequest, targets []service.Target) (*api.GetKeyLastUsageResponse, error) {
			key := targets[0].Key
			since, err := trackingStart(tx, key)
			if err != nil {
				return nil, err
			}
			u, err := service.Lookup[*record.KeyUsage](tx, record.KeyUsageStoreKey(key.Owner, key.ID))
			if err != nil {
				return nil, err
			}
			r := &api.GetKeyLastUsageResponse{
				KeyId: api.Some(key.ARN()), TrackingStartDate: api.Some(since), KeyCreationDate: api.Some(key.Created),
				KeyLastUsage: new(api.KeyLastUsageData), // empty, not absent, while there is none
			}
			if u != nil {
				r.KeyLastUsage = &api.KeyLastUsageData{
					Operation: api.Some(api.KeyLastUsageTrackingOperation(u.Operation)), Timestamp: api.Some(u.At),
					CloudTrailEventId: api.Some(u.EventID), KmsRequestId: api.Some(u.RequestID),
				}
			}
			return r, nil
		},
	}.Op("kms")
}

// Extensions returns the operations on keys that only keyturn has.
func (k *KMS) Extensions() []*service.Op {
	actions := keyActions(k.Operations())
	return []*service.Op{k.getKeyMaterialUsage(), k.explainAccess(actions), k.listKeyAccess(actions)}
}

func (k *KMS) getKeyMaterialUsage() *service.Op {
	return service.Def[api.GetKeyMaterialUsageRequest, api.GetKeyMaterialUsageResponse]{
		Name: "GetKeyMaterialUsage", Kind: service.Read,
		Actions: []string{"kms:GetKeyLastUsage"}, // key policies know no actions of keyturn's, and this is the same by material
		Resolve: one(k, "kms:GetKeyLastUsage", idOrARN, func(q *api.GetKeyMaterialUsageRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GetKeyMaterialUsageRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: planMaterialUsage,
	}.Op("keyturn")
}

func planMaterialUsage(tx *service.Tx, q *api.GetKeyMaterialUsageRequest, targets []service.Target) (*api.GetKeyMaterialUsageResponse, error) {
	key := targets[0].Key
	since, err := trackingStart(tx, key)
	if err != nil {
		return nil, err
	}
	r := &api.GetKeyMaterialUsageResponse{
		KeyId: api.Some(key.ARN()), Materials: []api.KeyMaterialUsage{}, TrackingStartDate: api.Some(since), Truncated: api.Some(false),
	}
	ids, dates, next, err := materialsOf(tx, key, q.Marker, limitOr(q.Limit, 100))
	if err != nil {
		return nil, err
	}
	prefix := record.MaterialUsagePrefix(key.Owner, key.ID)
	storeKeys := make([]string, len(ids))
	for i, id := range ids {
		storeKeys[i] = prefix + id
	}
	list, err := service.LookupAll[*record.MaterialUsage](tx, storeKeys)
	if err != nil {
		return nil, err
	}
	usages := make(map[string]*record.MaterialUsage, len(list))
	for _, u := range list {
		usages[u.ID] = u
	}
	for i, id := range ids {
		r.Materials = append(r.Materials, describeUsage(id, id == key.Current, dates[i], usages[id]))
	}
	r.NextMarker, r.Truncated = next, api.Some(next.Set)
	return r, nil
}

// materialsOf returns a page of the key's materials, oldest first, and since when each is the key's.
func materialsOf(tx *service.Tx, key *record.Key, marker api.Opt[string], limit int) (ids []string, dates []time.Time, next api.Opt[string], err error) {
	const list = "usage"
	if key.Origin == record.OriginImported {
		after, err := decodeMarker(list, marker)
		if err != nil {
			return nil, nil, next, err
		}
		last := ""
		for _, i := range key.Imports {
			position := fmt.Sprintf("%010d", i.Seq)
			if position <= after {
				continue
			}
			if len(ids) == limit {
				return ids, dates, encodeMarker(list, last), nil
			}
			ids, dates, last = append(ids, i.ID), append(dates, i.Rotated), position
		}
		return ids, dates, next, nil
	}
	owner := key.MaterialOwner()
	items, next, err := page(tx, list, record.MaterialsPrefix(owner, key.ID), marker, limit)
	if err != nil {
		return nil, nil, next, err
	}
	storeKeys := make([]string, len(items))
	for i, item := range items {
		_, id, _ := strings.Cut(item, "/")
		storeKeys[i] = record.MaterialStoreKey(owner, key.ID, id)
	}
	materials, err := service.LookupAll[*record.Material](tx, storeKeys)
	for _, m := range materials {
		ids, dates = append(ids, m.ID), append(dates, m.Created)
	}
	return ids, dates, next, err
}

func describeUsage(id string, current bool, since time.Time, u *record.MaterialUsage) api.KeyMaterialUsage {
	if u == nil {
		u = &record.MaterialUsage{}
	}
	m := api.KeyMaterialUsage{
		KeyMaterialId: api.Some(id), Current: api.Some(current), EncryptionCount: api.Some(u.Encryptions),
		EncryptedBytes: api.Some(u.Bytes), DecryptionCount: api.Some(u.Decryptions),
	}
	for _, d := range []struct {
		to *api.Opt[time.Time]
		at time.Time
	}{{&m.Since, since}, {&m.LastEncryption, u.Encrypted}, {&m.LastDecryption, u.Decrypted}} {
		if !d.at.IsZero() {
			*d.to = api.Some(d.at)
		}
	}
	return m
}
