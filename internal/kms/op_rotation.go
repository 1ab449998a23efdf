package kms

import (
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) enableKeyRotation() *service.Op {
	conds := conditions[api.EnableKeyRotationRequest]{
		number("kms:RotationPeriodInDays", func(q *api.EnableKeyRotationRequest) int64 { return rotationDays(q.RotationPeriodInDays) }),
	}
	return service.Def[api.EnableKeyRotationRequest, service.None]{
		Name: "EnableKeyRotation", Kind: service.Change,
		Actions: []string{"kms:EnableKeyRotation"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:EnableKeyRotation", idOrARN, func(q *api.EnableKeyRotationRequest) string { return q.KeyId.V }),
		Audit: func(q *api.EnableKeyRotationRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "rotationPeriodInDays", q.RotationPeriodInDays)
		},
		Plan: func(tx *service.Tx, q *api.EnableKeyRotationRequest, targets []service.Target) (*service.None, error) {
			key := targets[0].Key
			if err := rotatesByItself(key); err != nil {
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
			return &service.None{}, putRelated(tx, key)
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
			if err := rotatesByItself(key); err != nil {
				return nil, err
			}
			if err := enabled(key); err != nil {
				return nil, err
			}
			if !key.Rotation.Enabled {
				return &service.None{}, nil
			}
			key.Rotation = record.Rotation{}
			return &service.None{}, putRelated(tx, key)
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
	if key.Origin == record.OriginImported {
		return listImports(tx, q, key)
	}
	if !rotatable(key) || key.KeyStore != "" {
		return nil, api.New(api.UnsupportedOperationException)
	}
	owner := key.MaterialOwner()
	prefix := record.MaterialsPrefix(owner, key.ID)
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
		storeKeys[i] = record.MaterialStoreKey(owner, key.ID, id)
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

// listImports lists the materials of a key with imported ones. There are never many.
func listImports(tx *service.Tx, q *api.ListKeyRotationsRequest, key *record.Key) (*api.ListKeyRotationsResponse, error) {
	if !rotatable(key) {
		return nil, api.New(api.UnsupportedOperationException)
	}
	list := "rotations"
	if q.IncludeKeyMaterial.V == api.IncludeKeyMaterialAllKeyMaterial {
		list = "materials"
	}
	after, err := decodeMarker(list, q.Marker)
	if err != nil {
		return nil, err
	}
	pending := api.KeyMaterialStatePendingRotation
	if ready, err := pendingEverywhere(tx, key); err != nil {
		return nil, err
	} else if !ready && key.MultiRegion != nil {
		pending = api.KeyMaterialStatePendingMultiRegionImportAndRotation
	}
	r := &api.ListKeyRotationsResponse{Rotations: []api.RotationsListEntry{}, Truncated: api.Some(false)}
	last := ""
	for _, i := range key.Imports {
		position := fmt.Sprintf("%010d", i.Seq)
		if position <= after || list == "rotations" && i.Rotated.IsZero() {
			continue
		}
		if len(r.Rotations) == limitOr(q.Limit, 100) {
			r.Truncated, r.NextMarker = api.Some(true), encodeMarker(list, last)
			break
		}
		r.Rotations, last = append(r.Rotations, describeImport(key, &i, pending)), position
	}
	return r, nil
}

func describeImport(key *record.Key, i *record.Import, pending api.KeyMaterialState) api.RotationsListEntry {
	e := api.RotationsListEntry{
		KeyId: api.Some(key.ID), KeyMaterialId: api.Some(i.ID), KeyMaterialState: api.Some(api.KeyMaterialStateNonCurrent),
		ImportState: api.Some(api.ImportStatePendingImport),
	}
	switch {
	case i.Pending:
		e.KeyMaterialState = api.Some(pending)
	case i.ID == key.Current:
		e.KeyMaterialState = api.Some(api.KeyMaterialStateCurrent)
	}
	if i.Description != "" {
		e.KeyMaterialDescription = api.Some(i.Description)
	}
	if i.Present {
		e.ImportState = api.Some(api.ImportStateImported)
		e.ExpirationModel = api.Some(api.ExpirationModelTypeKeyMaterialDoesNotExpire)
		if !i.Expires.IsZero() {
			e.ExpirationModel, e.ValidTo = api.Some(api.ExpirationModelTypeKeyMaterialExpires), api.Some(i.Expires)
		}
	}
	if !i.Rotated.IsZero() {
		e.RotationDate, e.RotationType = api.Some(i.Rotated), api.Some(api.RotationType(i.How))
	}
	return e
}
