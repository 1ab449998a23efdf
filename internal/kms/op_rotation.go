package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) enableKeyRotation() *service.Op {
	return service.Def[api.EnableKeyRotationRequest, service.None]{
		Name: "EnableKeyRotation", Kind: service.Change,
		Actions: []string{"kms:EnableKeyRotation"},
		Resolve: one(k, "kms:EnableKeyRotation", idOrARN, func(q *api.EnableKeyRotationRequest) string { return q.KeyId.V }),
		Audit: func(q *api.EnableKeyRotationRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "rotationPeriodInDays", q.RotationPeriodInDays)
		},
		Plan: func(tx *service.Tx, q *api.EnableKeyRotationRequest, targets []service.Target) (*service.None, error) {
			key := targets[0].Key
			if err := rotates(key); err != nil {
				return nil, err
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			days := rotationDays(q.RotationPeriodInDays)
			if key.Rotation.Enabled && key.Rotation.Days == days {
				return &service.None{}, nil // asking again must not put the rotation off
			}
			startRotation(key, tx.Now, days)
			tx.Put(key)
			return &service.None{}, nil
		},
	}.Op("kms")
}

func (k *KMS) disableKeyRotation() *service.Op {
	name := func(q *api.DisableKeyRotationRequest) string { return q.KeyId.V }
	return service.Def[api.DisableKeyRotationRequest, service.None]{
		Name: "DisableKeyRotation", Kind: service.Change,
		Actions: []string{"kms:DisableKeyRotation"},
		Resolve: one(k, "kms:DisableKeyRotation", idOrARN, name),
		Audit:   auditKeyID(name),
		Plan: func(tx *service.Tx, _ *api.DisableKeyRotationRequest, targets []service.Target) (*service.None, error) {
			key := targets[0].Key
			if err := rotates(key); err != nil {
				return nil, err
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			if key.Rotation.Enabled {
				key.Rotation = record.Rotation{}
				tx.Put(key)
			}
			return &service.None{}, nil
		},
	}.Op("kms")
}

func (k *KMS) getKeyRotationStatus() *service.Op {
	name := func(q *api.GetKeyRotationStatusRequest) string { return q.KeyId.V }
	return service.Def[api.GetKeyRotationStatusRequest, api.GetKeyRotationStatusResponse]{
		Name: "GetKeyRotationStatus", Kind: service.Read,
		Actions: []string{"kms:GetKeyRotationStatus"},
		Resolve: one(k, "kms:GetKeyRotationStatus", idOrARN, name),
		Audit:   auditKeyID(name),
		Plan: func(_ *service.Tx, _ *api.GetKeyRotationStatusRequest, targets []service.Target) (*api.GetKeyRotationStatusResponse, error) {
			key := targets[0].Key
			r := &api.GetKeyRotationStatusResponse{KeyId: api.Some(key.ARN()), KeyRotationEnabled: api.Some(rotationOn(key))}
			if rotationOn(key) {
				r.RotationPeriodInDays = api.Some(key.Rotation.Days)
				r.NextRotationDate = api.Some(key.Rotation.Next)
			}
			return r, nil
		},
	}.Op("kms")
}

func (k *KMS) rotateKeyOnDemand() *service.Op {
	name := func(q *api.RotateKeyOnDemandRequest) string { return q.KeyId.V }
	return service.Def[api.RotateKeyOnDemandRequest, api.RotateKeyOnDemandResponse]{
		Name: "RotateKeyOnDemand", Kind: service.Change,
		Actions: []string{"kms:RotateKeyOnDemand"},
		Resolve: one(k, "kms:RotateKeyOnDemand", idOrARN, name),
		Audit:   auditKeyID(name),
		Result:  func(r *api.RotateKeyOnDemandResponse, p *audit.Params) { str(p, "keyId", r.KeyId) },
		Plan: func(tx *service.Tx, _ *api.RotateKeyOnDemandRequest, targets []service.Target) (*api.RotateKeyOnDemandResponse, error) {
			key := targets[0].Key
			if err := rotates(key); err != nil {
				return nil, err
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			if key.OnDemandCount >= onDemandRotations {
				return nil, api.Errorf(api.LimitExceededException,
					"The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", key.ARN())
			}
			key.OnDemandCount++
			if err := rotate(tx, key, record.OnDemand); err != nil {
				return nil, err
			}
			return &api.RotateKeyOnDemandResponse{KeyId: api.Some(key.ARN())}, nil
		},
	}.Op("kms")
}

func (k *KMS) listKeyRotations() *service.Op {
	return service.Def[api.ListKeyRotationsRequest, api.ListKeyRotationsResponse]{
		Name: "ListKeyRotations", Kind: service.Read,
		Actions: []string{"kms:ListKeyRotations"},
		Resolve: one(k, "kms:ListKeyRotations", idOrARN, func(q *api.ListKeyRotationsRequest) string { return q.KeyId.V }),
		Audit: func(q *api.ListKeyRotationsRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "includeKeyMaterial", q.IncludeKeyMaterial)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: planListKeyRotations,
	}.Op("kms")
}

func planListKeyRotations(tx *service.Tx, q *api.ListKeyRotationsRequest, targets []service.Target) (*api.ListKeyRotationsResponse, error) {
	key := targets[0].Key
	prefix := record.MaterialsPrefix(key.Owner, key.ID)
	list, marker := "rotations", q.Marker
	if q.IncludeKeyMaterial.V == api.IncludeKeyMaterialAllKeyMaterial {
		list = "materials"
	} else if !marker.Set {
		// The list of rotations starts after the first material, which came with the key.
		first, err := tx.Scan(prefix, "", 1)
		if err != nil {
			return nil, err
		}
		if len(first) > 0 {
			marker = encodeMarker(list, strings.TrimPrefix(first[0].Key, prefix))
		}
	}
	items, next, err := page(tx, list, prefix, marker, limitOr(q.Limit, 100))
	if err != nil {
		return nil, err
	}
	storeKeys := make([]string, len(items))
	for i, item := range items {
		_, id, _ := strings.Cut(item, "/")
		storeKeys[i] = record.MaterialStoreKey(key.Owner, key.ID, id)
	}
	materials, err := service.LookupAll[*record.Material](tx, storeKeys)
	if err != nil {
		return nil, err
	}
	r := &api.ListKeyRotationsResponse{Rotations: make([]api.RotationsListEntry, 0, len(materials)), NextMarker: next, Truncated: api.Some(next.Set)}
	for _, m := range materials {
		e := api.RotationsListEntry{
			KeyId: api.Some(key.ID), KeyMaterialId: api.Some(m.ID), KeyMaterialState: api.Some(api.KeyMaterialStateNonCurrent),
		}
		if m.ID == key.Current {
			e.KeyMaterialState = api.Some(api.KeyMaterialStateCurrent)
		}
		if m.Rotation != "" {
			e.RotationDate = api.Some(m.Created)
			e.RotationType = api.Some(api.RotationType(m.Rotation))
		}
		r.Rotations = append(r.Rotations, e)
	}
	return r, nil
}
