package verify

import (
	"context"
	"strings"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// belongs checks that what a record belongs to, or leads to, is there.
func (v *verifier) belongs(ctx context.Context, r record.Record) error {
	switch r := r.(type) {
	case *record.Alias:
		return v.needs(ctx, KeyMissing, r.StoreKey(), record.KeyStoreKey(r.Owner, r.KeyID), record.TombstoneStoreKey(r.Owner, r.KeyID))
	case *record.AccessKeyUse:
		return v.needs(ctx, AccessKeyMissing, r.StoreKey(), r.OfKey())
	case *record.AccessKey:
		if r.UserID != "" {
			return v.needs(ctx, PrincipalMissing, r.StoreKey(), record.PrincipalStoreKey(r.Account, record.UserKind, r.UserID))
		}
	case *record.MFADevice:
		if r.UserID != "" && r.UserID != record.RootUser {
			return v.needs(ctx, PrincipalMissing, r.StoreKey(), record.PrincipalStoreKey(r.Account, record.UserKind, r.UserID))
		}
	case *record.Name:
		return v.leads(ctx, r)
	case *record.User:
		for _, g := range r.Groups {
			if err := v.needs(ctx, PrincipalMissing, r.StoreKey(), record.PrincipalStoreKey(r.Account, record.GroupKind, g)); err != nil {
				return err
			}
		}
		return v.principal(ctx, r.StoreKey(), &r.Principal, record.UserKind)
	case *record.Group:
		return v.principal(ctx, r.StoreKey(), &r.Principal, record.GroupKind)
	case *record.Role:
		return v.principal(ctx, r.StoreKey(), &r.Principal, record.RoleKind)
	}
	return nil
}

// needs finds a record at a store key faulty if nothing stands at any of others.
func (v *verifier) needs(ctx context.Context, kind Kind, at string, others ...string) error {
	return v.ask(ctx, func(entries []store.Entry) {
		for _, e := range entries {
			if there(e) {
				return
			}
		}
		v.find(kind, at, "it needs %s", others[0])
	}, others...)
}

// leads checks that a name leads to what has it.
func (v *verifier) leads(ctx context.Context, n *record.Name) error {
	at := record.PrincipalStoreKey(n.Account, n.Kind, n.ID)
	return v.ask(ctx, func(entries []store.Entry) {
		if !there(entries[0]) {
			v.find(PrincipalMissing, n.StoreKey(), "it leads to %s", at)
			return
		}
		var p *record.Principal
		switch r := v.decode(entries[0], false).(type) {
		case *record.User:
			p = &r.Principal
		case *record.Group:
			p = &r.Principal
		case *record.Role:
			p = &r.Principal
		default:
			return // told where it stands
		}
		if p.Name != n.Name {
			v.find(NameMismatch, n.StoreKey(), "it leads to %s, which has another name", at)
		}
	}, at)
}

// principal checks that a principal is found by its name, and that its policies are there.
func (v *verifier) principal(ctx context.Context, at string, p *record.Principal, kind record.PrincipalKind) error {
	name := record.NameStoreKey(p.Account, kind, p.Name)
	err := v.ask(ctx, func(entries []store.Entry) {
		if !there(entries[0]) {
			v.find(NameMissing, at, "it needs %s", name)
			return
		}
		if n, ok := v.decode(entries[0], false).(*record.Name); ok && n.ID != p.ID {
			v.find(NameMismatch, name, "it leads to %s, and %s has the name, too", n.ID, at)
		}
	}, name)
	if err != nil {
		return err
	}
	for _, arn := range append([]string{p.Boundary}, p.Attached...) {
		own, ok := strings.CutPrefix(arn, "arn:aws:iam::"+p.Account+":policy/")
		if !ok {
			continue // none, or AWS's
		}
		policy := record.PolicyStoreKey(p.Account, own[strings.LastIndexByte(own, '/')+1:])
		if err := v.needs(ctx, PolicyMissing, at, policy); err != nil {
			return err
		}
	}
	return nil
}
