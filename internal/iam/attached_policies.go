package iam

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/service"
)

// attachment is what a request says of a principal and a managed policy.
type attachment struct {
	principal, policy api.Opt[string]
}

// attachConds are the condition keys of attaching and detaching.
func attachConds[Q any](h holder, of func(*Q) attachment) service.Conditions[Q] {
	return append(service.Conditions[Q]{text("iam:PolicyARN", func(q *Q) string { return of(q).policy.V })},
		boundaryHeld(h, func(q *Q) string { return of(q).principal.V })...)
}

// attachPolicy is AttachUserPolicy, AttachGroupPolicy and AttachRolePolicy.
func attachPolicy[Q any](s *IAM, h holder, of func(*Q) attachment) *service.Op {
	name := "Attach" + h.title() + "Policy"
	conds := attachConds(h, of)
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, func(q *Q) string { return of(q).principal.V }),
		Audit: func(q *Q, p *audit.Params) {
			str(p, h.param(), of(q).principal)
			str(p, "policyArn", of(q).policy)
		},
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			r, p, err := h.must(tx, of(q).principal.V)
			if err != nil {
				return nil, err
			}
			// DeletePolicy depends on the counter of attachments, which this commit changes, and this commit on the policy being there.
			arn, err := s.attachable(tx, of(q).policy.V)
			if err != nil || slices.Contains(p.Attached, arn) {
				return &service.None{}, err
			}
			if len(p.Attached) >= managedPerPrincipal {
				return nil, tooMany("PoliciesPer"+h.title(), managedPerPrincipal)
			}
			p.Attached = append(p.Attached, arn)
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// detachPolicy is DetachUserPolicy, DetachGroupPolicy and DetachRolePolicy.
func detachPolicy[Q any](h holder, of func(*Q) attachment) *service.Op {
	name := "Detach" + h.title() + "Policy"
	conds := attachConds(h, of)
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, func(q *Q) string { return of(q).principal.V }),
		Audit: func(q *Q, p *audit.Params) {
			str(p, h.param(), of(q).principal)
			str(p, "policyArn", of(q).policy)
		},
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			r, p, err := h.must(tx, of(q).principal.V)
			if err != nil {
				return nil, err
			}
			arn, err := parsePolicyARN(tx, of(q).policy.V)
			if err != nil {
				return nil, err
			}
			i := slices.Index(p.Attached, arn.Own())
			if i < 0 {
				return nil, noPolicy(of(q).policy.V)
			}
			p.Attached = slices.Delete(p.Attached, i, i+1)
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// listAttached is ListAttachedUserPolicies, ListAttachedGroupPolicies and ListAttachedRolePolicies.
func listAttached[Q, R any](h holder, of func(*Q) listRequest, answer func([]api.AttachedPolicy, paging) *R) *service.Op {
	name := "ListAttached" + h.title() + "Policies"
	return service.Def[Q, R]{
		Name: name, Kind: service.Read, Actions: []string{"iam:" + name},
		Resolve: onHolder(h, "iam:"+name, func(q *Q) string { return of(q).principal.V }),
		Audit:   func(q *Q, p *audit.Params) { of(q).audit(h, p) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*R, error) {
			l := of(q)
			_, p, err := h.must(tx, l.principal.V)
			if err != nil {
				return nil, err
			}
			list := make([]api.AttachedPolicy, 0, len(p.Attached))
			for _, arn := range p.Attached {
				if parsed, ok := identity.ParseARN(arn); ok && strings.HasPrefix(parsed.Path, l.pathPrefix.V) {
					list = append(list, api.AttachedPolicy{PolicyName: api.Some(parsed.Name), PolicyArn: api.Some(moved(tx, arn))})
				}
			}
			list, page, err := slice("attached", list, l.marker, l.maxItems)
			if err != nil {
				return nil, err
			}
			return answer(list, page), nil
		},
	}.Op("iam")
}

// putBoundary is PutUserPermissionsBoundary and PutRolePermissionsBoundary. Its iam:PermissionsBoundary is the boundary to be.
func putBoundary[Q any](s *IAM, h holder, of func(*Q) attachment) *service.Op {
	name := "Put" + h.title() + "PermissionsBoundary"
	conds := service.Conditions[Q]{text("iam:PermissionsBoundary", func(q *Q) string { return of(q).policy.V })}
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, func(q *Q) string { return of(q).principal.V }),
		Audit: func(q *Q, p *audit.Params) {
			str(p, h.param(), of(q).principal)
			str(p, "permissionsBoundary", of(q).policy)
		},
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			r, p, err := h.must(tx, of(q).principal.V)
			if err != nil {
				return nil, err
			}
			if p.Boundary, err = s.attachable(tx, of(q).policy.V); err != nil {
				return nil, err
			}
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// deleteBoundary is DeleteUserPermissionsBoundary and DeleteRolePermissionsBoundary.
func deleteBoundary[Q any](h holder, of func(*Q) api.Opt[string]) *service.Op {
	name := "Delete" + h.title() + "PermissionsBoundary"
	principal := func(q *Q) string { return of(q).V }
	conds := boundaryHeld(h, principal)
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, principal),
		Audit:   func(q *Q, p *audit.Params) { str(p, h.param(), of(q)) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			r, p, err := h.must(tx, principal(q))
			if err != nil || p.Boundary == "" {
				return &service.None{}, err
			}
			p.Boundary = ""
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}
