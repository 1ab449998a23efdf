package kms

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keywrap"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) getParametersForImport() *service.Op {
	conds := conditions[api.GetParametersForImportRequest]{
		text("kms:WrappingAlgorithm", func(q *api.GetParametersForImportRequest) api.AlgorithmSpec { return q.WrappingAlgorithm.V }),
		text("kms:WrappingKeySpec", func(q *api.GetParametersForImportRequest) api.WrappingKeySpec { return q.WrappingKeySpec.V }),
	}
	return service.Def[api.GetParametersForImportRequest, api.GetParametersForImportResponse]{
		Name: "GetParametersForImport", Kind: service.Crypto,
		Actions: []string{"kms:GetParametersForImport"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:GetParametersForImport", idOrARN, func(q *api.GetParametersForImportRequest) string { return q.KeyId.V }),
		Audit: func(q *api.GetParametersForImportRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "wrappingAlgorithm", q.WrappingAlgorithm)
			str(p, "wrappingKeySpec", q.WrappingKeySpec)
		},
		Plan: func(tx *service.Tx, q *api.GetParametersForImportRequest, targets []service.Target) (*api.GetParametersForImportResponse, error) {
			key := targets[0].Key
			if err := fromOrigin(key, record.OriginImported); err != nil {
				return nil, err
			}
			if err := notPendingDeletion(key); err != nil {
				return nil, err
			}
			algorithm, spec := string(q.WrappingAlgorithm.V), string(q.WrappingKeySpec.V)
			if err := keywrap.Compatible(algorithm, spec, key.Spec); err != nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "%s with a wrapping key of %s cannot wrap key material of %s.", algorithm, spec, key.Spec)
			}
			if keywrap.Approved(algorithm) != nil {
				return nil, keys.ErrFIPS
			}
			wrapping, err := keywrap.New(spec)
			if err != nil {
				return nil, err
			}
			private, err := wrapping.Marshal()
			if err != nil {
				return nil, err
			}
			validTo := tx.Now.Add(importTokenLife).Truncate(time.Millisecond)
			token, err := sealToken(tx, &importToken{
				Account: key.Account, Region: key.Region, KeyID: key.ID, Spec: spec, Algorithm: algorithm, Private: private, ValidTo: validTo,
			})
			clear(private)
			if err != nil {
				return nil, err
			}
			return &api.GetParametersForImportResponse{
				KeyId: api.Some(key.ARN()), ImportToken: token, PublicKey: wrapping.PublicKey(), ParametersValidTo: api.Some(validTo),
			}, nil
		},
	}.Op("kms")
}

func (k *KMS) importKeyMaterial() *service.Op {
	conds := conditions[api.ImportKeyMaterialRequest]{
		text("kms:ExpirationModel", func(q *api.ImportKeyMaterialRequest) api.ExpirationModelType { return q.ExpirationModel.V }),
		text("kms:ValidTo", func(q *api.ImportKeyMaterialRequest) string { return unixTime(q.ValidTo) }),
	}
	return service.Def[api.ImportKeyMaterialRequest, api.ImportKeyMaterialResponse]{
		Name: "ImportKeyMaterial", Kind: service.Change,
		Actions: []string{"kms:ImportKeyMaterial"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:ImportKeyMaterial", idOrARN, func(q *api.ImportKeyMaterialRequest) string { return q.KeyId.V }),
		Audit: func(q *api.ImportKeyMaterialRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			if q.ValidTo.Set {
				p.Str("validTo", q.ValidTo.V.UTC().Format(time.RFC3339))
			}
			str(p, "expirationModel", q.ExpirationModel)
			str(p, "importType", q.ImportType)
			str(p, "keyMaterialDescription", q.KeyMaterialDescription)
			str(p, "keyMaterialId", q.KeyMaterialId)
		},
		Result: func(r *api.ImportKeyMaterialResponse, p *audit.Params) {
			str(p, "keyId", r.KeyId)
			str(p, "keyMaterialId", r.KeyMaterialId)
		},
		Plan: planImportKeyMaterial,
	}.Op("kms")
}

func planImportKeyMaterial(tx *service.Tx, q *api.ImportKeyMaterialRequest, targets []service.Target) (*api.ImportKeyMaterialResponse, error) {
	key := targets[0].Key
	if err := fromOrigin(key, record.OriginImported); err != nil {
		return nil, err
	}
	if err := notPendingDeletion(key); err != nil {
		return nil, err
	}
	isNew := len(key.Imports) == 0
	if q.ImportType.Set {
		isNew = q.ImportType.V == api.ImportTypeNewKeyMaterial
	}
	if isNew && q.KeyMaterialId.Set {
		return nil, api.Errorf(api.ValidationException, "You cannot specify KeyMaterialId with ImportType NEW_KEY_MATERIAL.")
	}
	if !rotatable(key) && (q.KeyMaterialId.Set || q.ImportType.Set || q.KeyMaterialDescription.Set) {
		return nil, api.Errorf(api.ValidationException, "ImportType, KeyMaterialId and KeyMaterialDescription are valid for symmetric encryption keys only.")
	}
	expires, err := validity(q.ExpirationModel, q.ValidTo, tx.Now)
	if err != nil {
		return nil, err
	}
	token, err := openToken(tx, key, q.ImportToken)
	if err != nil {
		return nil, err
	}
	secret, err := unwrap(key, token, q.EncryptedKeyMaterial)
	if err != nil {
		return nil, err
	}
	m, err := newMaterial(key, key.Materials, tx.Now, secret)
	if err != nil {
		return nil, err
	}
	i, err := importOf(key, m, isNew, q.KeyMaterialId)
	if err != nil {
		return nil, err
	}
	added := i == nil
	if added {
		key.Imports = append(key.Imports, record.Import{ID: m.ID, Seq: m.Seq, Pending: len(key.Imports) > 0})
		key.Materials++
		i = &key.Imports[len(key.Imports)-1]
		if !i.Pending {
			key.Current, key.CurrentSince = m.ID, tx.Now
		}
	}
	m.Seq = i.Seq
	if !i.Present {
		if err := putMaterial(tx, m); err != nil {
			return nil, err
		}
	}
	i.Present, i.Expires = true, expires
	if q.KeyMaterialDescription.Set {
		i.Description = q.KeyMaterialDescription.V
	}
	settleImports(key)
	tx.Put(key)
	if added {
		err = putRelated(tx, key)
	}
	return &api.ImportKeyMaterialResponse{KeyId: api.Some(key.ARN()), KeyMaterialId: shownMaterial(key, m.ID)}, err
}

// importOf finds what is known of the material that is imported: nil if it is new to the key, which then may take it.
func importOf(k *record.Key, m *record.Material, isNew bool, wanted api.Opt[string]) (*record.Import, error) {
	i := k.Import(m.ID)
	switch {
	case !isNew && i == nil:
		return nil, api.Errorf(api.IncorrectKeyMaterialException, "The key material is not the one that was imported into %s before.", k.ARN())
	case wanted.Set && wanted.V != m.ID:
		return nil, api.Errorf(api.IncorrectKeyMaterialException, "The key material is not the one with the ID %s.", cut(wanted.V))
	case !isNew:
		return i, nil
	case len(k.Imports) == 0:
		return nil, nil
	case !rotatable(k):
		return nil, api.Errorf(api.UnsupportedOperationException, "New key material cannot be imported into %s: its key spec is %s.", k.ARN(), k.Spec)
	case i != nil && i.Pending:
		return i, nil // again, perhaps to change its expiration
	case i != nil:
		return nil, api.Errorf(api.IncorrectKeyMaterialException, "The key material (id: %s) belongs to %s already.", m.ID, k.ARN())
	}
	if err := primary(k); err != nil {
		return nil, err
	}
	if p := k.PendingImport(); p != nil {
		return nil, api.Errorf(api.KMSInvalidStateException,
			"New key material (id: %s) cannot be imported into KMS key %s, because another key material (id: %s) is pending rotation.", m.ID, k.ARN(), p.ID)
	}
	return nil, nil
}

func (k *KMS) deleteImportedKeyMaterial() *service.Op {
	return service.Def[api.DeleteImportedKeyMaterialRequest, api.DeleteImportedKeyMaterialResponse]{
		Name: "DeleteImportedKeyMaterial", Kind: service.Change,
		Actions: []string{"kms:DeleteImportedKeyMaterial"},
		Resolve: one(k, "kms:DeleteImportedKeyMaterial", idOrARN, func(q *api.DeleteImportedKeyMaterialRequest) string { return q.KeyId.V }),
		Audit: func(q *api.DeleteImportedKeyMaterialRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "keyMaterialId", q.KeyMaterialId)
		},
		Result: func(r *api.DeleteImportedKeyMaterialResponse, p *audit.Params) {
			str(p, "keyId", r.KeyId)
			str(p, "keyMaterialId", r.KeyMaterialId)
		},
		Plan: func(tx *service.Tx, q *api.DeleteImportedKeyMaterialRequest, targets []service.Target) (*api.DeleteImportedKeyMaterialResponse, error) {
			key := targets[0].Key
			if err := fromOrigin(key, record.OriginImported); err != nil {
				return nil, err
			}
			id := key.Current
			if q.KeyMaterialId.Set {
				id = q.KeyMaterialId.V
			}
			r := &api.DeleteImportedKeyMaterialResponse{KeyId: api.Some(key.ARN()), KeyMaterialId: shownMaterial(key, id)}
			i := key.Import(id)
			if i == nil {
				if id == "" {
					return r, nil // nothing was imported yet
				}
				return nil, api.Errorf(api.NotFoundException, "Key material %s of %s does not exist", cut(id), key.ARN())
			}
			return r, deleteMaterial(tx, key, i)
		},
	}.Op("kms")
}

// deleteMaterial removes an imported material. One that waits for rotation is forgotten; if it waits in a primary key, then also in the
// replica keys.
func deleteMaterial(tx *service.Tx, key *record.Key, i *record.Import) error {
	if !i.Pending || !key.Primary() {
		if !i.Present {
			return nil
		}
		if err := removeMaterial(tx, key, i); err != nil {
			return err
		}
		settleImports(key)
		tx.Put(key)
		return nil
	}
	others, err := relatedKeys(tx, key)
	if err != nil {
		return err
	}
	for _, k := range append(others, key) {
		if err := dropPending(tx, k); err != nil {
			return err
		}
		settleImports(k)
	}
	return putRelated(tx, key)
}

// expireMaterial removes imported material whose time is over, run by the scheduler.
func expireMaterial() *service.Op {
	return service.Def[DueRequest, DueResponse]{
		Name: "DeleteExpiredKeyMaterial", Kind: service.Internal,
		Actions: []string{"kms:DeleteImportedKeyMaterial"},
		Resolve: resolveDue("kms:DeleteImportedKeyMaterial"),
		Audit:   auditDue,
		Plan: func(tx *service.Tx, _ *DueRequest, targets []service.Target) (*DueResponse, error) {
			k := targets[0].Key
			if k == nil {
				return &DueResponse{}, nil
			}
			i := expired(k, tx.Now)
			if i == nil {
				return &DueResponse{KeyARN: k.ARN()}, nil
			}
			done := &DueResponse{Done: true, KeyARN: k.ARN(), MaterialID: i.ID}
			event := service.ServiceEvent(tx, "DeleteExpiredKeyMaterial", k.Account, k.Region, k.ARN())
			event.ServiceEventDetails.Str("keyId", k.ID)
			if shown := shownMaterial(k, i.ID); shown.Set {
				event.ServiceEventDetails.Str("keyMaterialId", shown.V)
			}
			tx.Event(event)
			if err := deleteMaterial(tx, k, i); err != nil {
				return nil, err
			}
			done.More = expired(k, tx.Now) != nil // one in a commit: all of them may be more than it takes
			return done, nil
		},
	}.Op("kms")
}

// expired returns an imported material whose time is over, nil if there is none.
func expired(k *record.Key, now time.Time) *record.Import {
	for n := range k.Imports {
		if i := &k.Imports[n]; i.Present && !i.Expires.IsZero() && !i.Expires.After(now) {
			return i
		}
	}
	return nil
}
