package iam

import (
	"cmp"
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// inlineRequest is what a request says of an inline policy.
type inlineRequest struct {
	principal, name, document api.Opt[string]
}

func (in inlineRequest) audit(h holder, p *audit.Params) {
	str(p, h.param(), in.principal)
	str(p, "policyName", in.name)
	str(p, "policyDocument", in.document)
}

// noInline is that a principal has no inline policy of a name.
func noInline(h holder, name string) error { return noSuch(string(h.kind)+" policy", name) }

// putInline is PutUserPolicy, PutGroupPolicy and PutRolePolicy.
func putInline[Q any](h holder, of func(*Q) inlineRequest) *service.Op {
	name := "Put" + h.title() + "Policy"
	principal := func(q *Q) string { return of(q).principal.V }
	conds := boundaryHeld(h, principal)
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, principal),
		Audit:   func(q *Q, p *audit.Params) { of(q).audit(h, p) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			in := of(q)
			r, p, err := h.must(tx, in.principal.V)
			if err != nil {
				return nil, err
			}
			if err := checkIdentityPolicy(in.document.V); err != nil {
				return nil, err
			}
			if err := h.setInline(p, in.name.V, in.document.V); err != nil {
				return nil, err
			}
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// findInline returns where an inline policy stands, or would.
func findInline(p *record.Principal, name string) (i int, found bool) {
	return slices.BinarySearchFunc(p.Inline, name, func(in record.Inline, name string) int { return cmp.Compare(in.Name, name) })
}

// setInline adds or replaces an inline policy, unless all of them would be too long.
func (h holder) setInline(p *record.Principal, name, document string) error {
	i, found := findInline(p, name)
	if found {
		p.Inline[i].Document = document
	} else {
		p.Inline = slices.Insert(p.Inline, i, record.Inline{Name: name, Document: document})
	}
	total := 0
	for _, in := range p.Inline {
		total += size(in.Document)
	}
	if total > h.quota {
		return api.Errorf(api.LimitExceeded, "Maximum policy size of %d bytes exceeded for %s %s", h.quota, h.kind, p.Name)
	}
	return nil
}

// getInline is GetUserPolicy, GetGroupPolicy and GetRolePolicy.
func getInline[Q, R any](h holder, of func(*Q) inlineRequest, answer func(inlineRequest) *R) *service.Op {
	name := "Get" + h.title() + "Policy"
	return service.Def[Q, R]{
		Name: name, Kind: service.Read, Actions: []string{"iam:" + name},
		Resolve: onHolder(h, "iam:"+name, func(q *Q) string { return of(q).principal.V }),
		Audit:   func(q *Q, p *audit.Params) { of(q).audit(h, p) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*R, error) {
			in := of(q)
			_, p, err := h.must(tx, in.principal.V)
			if err != nil {
				return nil, err
			}
			i, found := findInline(p, in.name.V)
			if !found {
				return nil, noInline(h, in.name.V)
			}
			in.document = encodeDocument(p.Inline[i].Document)
			return answer(in), nil
		},
	}.Op("iam")
}

// deleteInline is DeleteUserPolicy, DeleteGroupPolicy and DeleteRolePolicy.
func deleteInline[Q any](h holder, of func(*Q) inlineRequest) *service.Op {
	name := "Delete" + h.title() + "Policy"
	principal := func(q *Q) string { return of(q).principal.V }
	conds := boundaryHeld(h, principal)
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onHolder(h, "iam:"+name, principal),
		Audit:   func(q *Q, p *audit.Params) { of(q).audit(h, p) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			in := of(q)
			r, p, err := h.must(tx, in.principal.V)
			if err != nil {
				return nil, err
			}
			i, found := findInline(p, in.name.V)
			if !found {
				return nil, noInline(h, in.name.V)
			}
			p.Inline = slices.Delete(p.Inline, i, i+1)
			tx.Put(r)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// listInline is ListUserPolicies, ListGroupPolicies and ListRolePolicies.
func listInline[Q, R any](h holder, of func(*Q) listRequest, answer func([]string, paging) *R) *service.Op {
	name := "List" + h.title() + "Policies"
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
			names := make([]string, len(p.Inline))
			for i, in := range p.Inline {
				names[i] = in.Name
			}
			names, page, err := slice("inline", names, l.marker, l.maxItems)
			if err != nil {
				return nil, err
			}
			return answer(names, page), nil
		},
	}.Op("iam")
}
