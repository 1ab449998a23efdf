package kms

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// rotationOn tells what GetKeyRotationStatus does: while deletion is pending the settings are kept, but read as off.
func rotationOn(k *record.Key) bool { return k.Rotation.Enabled && !deleting(k) }

// rotatable tells whether the key's spec is one whose keys can have more than one material.
func rotatable(k *record.Key) bool {
	spec := keys.SpecByName(k.Spec)
	return spec != nil && spec.Rotates
}

// rotates refuses keys whose material nobody can replace.
func rotates(k *record.Key) error {
	if k.Manager == record.AWS || !rotatable(k) {
		return api.New(api.UnsupportedOperationException)
	}
	if k.KeyStore != "" {
		return fromOrigin(k, record.OriginKMS)
	}
	return primary(k)
}

// rotatesByItself refuses keys whose material the service cannot replace.
func rotatesByItself(k *record.Key) error {
	if err := rotates(k); err != nil {
		return err
	}
	return fromOrigin(k, record.OriginKMS)
}

// addMaterial gives the key new material and makes it the current one. The key is changed, and yet to be put.
func addMaterial(tx *service.Tx, k *record.Key, rotation record.RotationType, at time.Time, secret []byte) error {
	m, err := newMaterial(k, k.Materials, at, secret)
	if err != nil {
		return err
	}
	m.Rotation = rotation
	if err := putMaterial(tx, m); err != nil {
		return err
	}
	k.Current, k.CurrentSince = m.ID, at
	k.Materials++
	return nil
}

// newMaterial makes the record of a secret in its spec's stored form.
func newMaterial(k *record.Key, seq int, at time.Time, secret []byte) (*record.Material, error) {
	keyID, _ := keys.ParseKeyID(k.ID)
	id, err := keys.NewMaterialID(secret, keyID)
	if err != nil {
		return nil, err
	}
	m := &record.Material{Owner: k.MaterialOwner(), KeyID: k.ID, ID: id.String(), Seq: seq, Created: at, Secret: secret}
	if k.Spec != symmetricSpec {
		m.Spec = k.Spec
	}
	return m, nil
}

// putMaterial writes a material that is not there.
func putMaterial(tx *service.Tx, m *record.Material) error {
	// Looked up for the guard: never is a material overwritten.
	if old, err := service.Lookup[*record.Material](tx, m.StoreKey()); err != nil {
		return err
	} else if old != nil {
		return api.Errorf(api.ValidationException, "key material %s belongs to the key already", m.ID)
	}
	tx.Put(m)
	return nil
}

// rotate turns the key: new current material, in all related keys at once, and the audit records of it.
func rotate(tx *service.Tx, k *record.Key, rotation record.RotationType) error {
	previous := k.Current
	// Dates follow the order of the commits, also when this rotation was stamped before the last one.
	at := tx.Now
	if at.Before(k.CurrentSince) {
		at = k.CurrentSince
	}
	if k.Origin == record.OriginImported {
		if err := rotateImported(tx, k, rotation, at); err != nil {
			return err
		}
	} else {
		secret, err := keys.SpecByName(k.Spec).NewMaterial()
		if err != nil {
			return err
		}
		if err := addMaterial(tx, k, rotation, at, secret); err != nil {
			return err
		}
	}
	if err := putRelated(tx, k); err != nil {
		return err
	}
	event := service.ServiceEvent(tx, "RotateKey", k.Account, k.Region, k.ARN())
	d := &event.ServiceEventDetails
	d.Str("rotationType", string(rotation))
	d.Str("keyOrigin", string(k.Origin))
	d.Str("previousKeyMaterialId", previous)
	d.Str("currentKeyMaterialId", k.Current)
	d.Str("keyId", k.ID)
	tx.Event(event)
	return nil
}

// DueRequest is the request of the Internal operations on one key.
type DueRequest struct {
	record.Owner
	KeyID string
}

// DueResponse tells what an Internal operation did.
type DueResponse struct {
	Done       bool   // false: nothing was due any more
	More       bool   // SweepKey: run it again
	KeyARN     string // of a key that rotated or was deleted
	MaterialID string // the new one, after a rotation
}

// startRotation sets the period and the date of the first rotation.
func startRotation(k *record.Key, now time.Time, days int64) {
	k.Rotation = record.Rotation{Enabled: true, Days: days, Next: now.Add(time.Duration(days) * day)}
}

// rotateKey is automatic rotation, run by the scheduler. It does not count against on-demand rotations.
func rotateKey() *service.Op {
	return service.Def[DueRequest, DueResponse]{
		Name: "RotateKey", Kind: service.Internal,
		Actions: []string{"kms:RotateKey"},
		Resolve: resolveDue("kms:RotateKey"),
		Audit:   auditDue,
		Plan: func(tx *service.Tx, q *DueRequest, targets []service.Target) (*DueResponse, error) {
			k := targets[0].Key
			if k == nil {
				return &DueResponse{}, nil
			}
			due, ok := k.Due()
			if !ok || due.Kind != record.DueRotation || due.At.After(tx.Now) {
				return &DueResponse{}, nil
			}
			period := time.Duration(k.Rotation.Days) * day
			next := k.Rotation.Next.Add(period)
			if tx.Now.Sub(k.Rotation.Next) > lateRotation {
				// It was held up, by downtime or by the key being disabled: what is overdue happens once, now.
				next = tx.Now.Add(period)
			}
			k.Rotation.Next = next
			if err := rotate(tx, k, record.Automatic); err != nil {
				return nil, err
			}
			return &DueResponse{Done: true, KeyARN: k.ARN(), MaterialID: k.Current}, nil
		},
	}.Op("kms")
}

// resolveDue finds the key of a due entry; that it is gone is no error.
func resolveDue(action string) func(*service.Tx, *DueRequest) ([]service.Target, error) {
	return func(tx *service.Tx, q *DueRequest) ([]service.Target, error) {
		t := service.Target{Action: action, Account: q.Account}
		err := lookupKey(tx, &t, q.Owner, q.KeyID)
		t.Missing = nil
		return []service.Target{t}, err
	}
}

func auditDue(q *DueRequest, p *audit.Params) { p.Str("keyId", q.KeyID) }
