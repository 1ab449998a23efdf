package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
)

func (o *Operator) getSealStatus() *service.Op {
	return service.Def[api.GetSealStatusRequest, api.GetSealStatusResponse]{
		Name: "GetSealStatus", Kind: service.Read, Actions: []string{"keyturn:GetSealStatus"},
		Resolve: resolve[api.GetSealStatusRequest](o.target("keyturn:GetSealStatus")),
		Plan: func(*service.Tx, *api.GetSealStatusRequest, []service.Target) (*api.GetSealStatusResponse, error) {
			return &api.GetSealStatusResponse{Seal: o.status()}, nil
		},
	}.Op("keyturn")
}

// The operations below change the seal in their plans, which run once: they leave nothing to the commit that could conflict. Keyring and root
// key are not among the records, so the audit record follows the change. A server that cannot write it is not ready from then on, and the
// change shows in GetSealStatus.

func (o *Operator) rotateKeyring() *service.Op {
	return service.Def[api.RotateKeyringRequest, api.RotateKeyringResponse]{
		Name: "RotateKeyring", Kind: service.Change, Actions: []string{"keyturn:RotateKeyring"},
		Resolve: resolve[api.RotateKeyringRequest](o.target("keyturn:RotateKeyring")),
		Result:  func(r *api.RotateKeyringResponse, p *audit.Params) { auditSeal(r.Seal, p) },
		Plan: func(tx *service.Tx, _ *api.RotateKeyringRequest, _ []service.Target) (*api.RotateKeyringResponse, error) {
			if err := o.config.Seal.RotateKeyring(tx.Context(), o.dated()); err != nil {
				return nil, o.asItWas(err)
			}
			return &api.RotateKeyringResponse{Seal: o.status()}, nil
		},
	}.Op("keyturn")
}

func (o *Operator) rotateRootKey() *service.Op {
	return service.Def[api.RotateRootKeyRequest, api.RotateRootKeyResponse]{
		Name: "RotateRootKey", Kind: service.Change, Actions: []string{"keyturn:RotateRootKey"},
		Resolve: resolve[api.RotateRootKeyRequest](o.target("keyturn:RotateRootKey")),
		Result:  func(r *api.RotateRootKeyResponse, p *audit.Params) { auditSeal(r.Seal, p) },
		Plan: func(tx *service.Tx, _ *api.RotateRootKeyRequest, _ []service.Target) (*api.RotateRootKeyResponse, error) {
			if err := o.config.Seal.RotateRoot(tx.Context(), o.dated()); err != nil {
				return nil, o.asItWas(err)
			}
			return &api.RotateRootKeyResponse{Seal: o.status()}, nil
		},
	}.Op("keyturn")
}

func (o *Operator) migrateSeal() *service.Op {
	return service.Def[api.MigrateSealRequest, api.MigrateSealResponse]{
		Name: "MigrateSeal", Kind: service.Change, Actions: []string{"keyturn:MigrateSeal"},
		Resolve: resolve[api.MigrateSealRequest](o.target("keyturn:MigrateSeal")),
		Result:  func(r *api.MigrateSealResponse, p *audit.Params) { auditSeal(r.Seal, p) },
		Plan: func(tx *service.Tx, _ *api.MigrateSealRequest, _ []service.Target) (*api.MigrateSealResponse, error) {
			if o.config.Provider == nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "This server has no configuration file that could name another seal.")
			}
			p, err := o.config.Provider(tx.Context())
			if err != nil {
				// Whoever may migrate the seal runs the server, and the configuration's own errors say what to mend.
				return nil, api.Errorf(api.ValidationException, "The seal that the configuration names cannot be used: %v", err)
			}
			if _, ok := p.(seal.Handout); ok {
				// An answer can get lost, and with it what opens the store: whoever hands out takes it out of the provider before it comes here.
				return nil, api.Errorf(api.ValidationException, "The seal was not migrated, and is as it was: what people are to keep would be nowhere but in this answer.")
			}
			if err := o.config.Seal.Migrate(tx.Context(), p, o.dated()); err != nil {
				if errors.Is(err, seal.ErrTooMany) {
					return nil, tooMany(err)
				}
				if errors.Is(err, seal.ErrWrongKey) || !seal.IsDamage(err) && o.config.Seal.Damage() == nil {
					return nil, api.Errorf(api.ValidationException, "The seal was not migrated, and is as it was: %v", err)
				}
				return nil, err
			}
			return &api.MigrateSealResponse{Seal: o.status()}, nil
		},
	}.Op("keyturn")
}

// tooMany words that the keyring has no room for a version.
func tooMany(err error) error {
	switch {
	case errors.Is(err, seal.ErrKept):
		return api.Errorf(api.LimitExceededException,
			"The keyring has been rotated on demand as often as it can be: the versions that are left are kept for rotations that are due and for new root keys.")
	case errors.Is(err, seal.ErrTooMany):
		return api.Errorf(api.LimitExceededException,
			"The keyring has as many versions as it can have. Nothing was changed: without another version, the old root key would open what is written from now on.")
	}
	return err
}

// asItWas says why the seal was not changed: whoever may change it runs the server, and the KMS that does not answer is theirs.
func (o *Operator) asItWas(err error) error {
	if errors.Is(err, seal.ErrTooMany) || errors.Is(err, seal.ErrKept) || seal.IsDamage(err) || o.config.Seal.Damage() != nil {
		return tooMany(err)
	}
	return api.Errorf(api.KMSInternalException, "The seal is as it was: %v", err)
}

func auditSeal(s *api.SealStatus, p *audit.Params) {
	p.Str("provider", s.Provider.V)
	p.Int("keyringVersion", s.KeyringVersion.V)
}

// rotateByItself rotates the keyring because it is time.
func (o *Operator) rotateByItself() *service.Op {
	return service.Def[struct{}, struct{}]{
		Name: "RotateKeyring", Kind: service.Internal,
		Plan: func(tx *service.Tx, _ *struct{}, _ []service.Target) (*struct{}, error) {
			if err := o.config.Seal.RotateDue(tx.Context(), o.dated()); err != nil {
				return nil, err
			}
			e := service.OwnEvent(tx, "RotateKeyring", o.config.Owner)
			e.ServiceEventDetails.Int("keyringVersion", int64(o.config.Seal.Status().Version))
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

// destroyVersions tells that versions of the keyring are gone.
func (o *Operator) destroyVersions() *service.Op {
	return service.Def[destroyed, struct{}]{
		Name: "DestroyKeyringVersion", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *destroyed, _ []service.Target) (*struct{}, error) {
			for _, v := range q.versions {
				e := service.OwnEvent(tx, "DestroyKeyringVersion", o.config.Owner)
				e.ServiceEventDetails.Int("keyringVersion", int64(v))
				tx.Event(e)
			}
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

type destroyed struct{ versions []uint32 }

// migratedAtStart tells that the store was migrated to the configured seal before it was served.
func (o *Operator) migratedAtStart() *service.Op {
	return service.Def[struct{}, struct{}]{
		Name: "MigrateSeal", Kind: service.Internal,
		Plan: func(tx *service.Tx, _ *struct{}, _ []service.Target) (*struct{}, error) {
			e, st := service.OwnEvent(tx, "MigrateSeal", o.config.Owner), o.config.Seal.Status()
			e.ServiceEventDetails.Str("provider", st.Provider)
			e.ServiceEventDetails.Int("keyringVersion", int64(st.Version))
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

// Migrated puts into the audit log that the store was migrated to the configured seal before it was served.
func (o *Operator) Migrated(ctx context.Context, p *service.Pipeline) error {
	_, err := p.DoInternal(ctx, o.migrated, o.config.Owner, p.Clock().Now(), 0, &struct{}{})
	return err
}

// Maintain keeps the keyring young until ctx ends: see seal.Store.Maintain.
func (o *Operator) Maintain(ctx context.Context, p *service.Pipeline) {
	do := func(op *service.Op, req any) error {
		_, err := p.DoInternal(context.WithoutCancel(ctx), op, o.config.Owner, p.Clock().Now(), 0, req)
		return err
	}
	o.config.Seal.Maintain(ctx, seal.Maintenance{
		Now: o.sure, Dated: o.dated,
		Rotate: func(context.Context) error { return do(o.rotated, &struct{}{}) },
		Destroyed: func(versions []uint32) {
			o.config.Log.Info("versions of the keyring destroyed", "versions", versions)
			if err := do(o.destroyed, &destroyed{versions}); err != nil {
				o.config.Log.Error("destroyed versions of the keyring are not in the audit log", "versions", fmt.Sprint(versions), "error", err)
			}
		},
		Failed: func(err error) {
			o.config.Log.Error("maintenance of the keyring failed, and is tried again", "error", err)
		},
	})
}
