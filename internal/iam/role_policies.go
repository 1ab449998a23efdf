package iam

import (
	"cmp"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// roleBoundary is iam:PermissionsBoundary of what changes the permissions of a role: the boundary that it has.
func roleBoundary[Q any](name func(*Q) string) service.Condition[Q] {
	return boundaryOf(func(tx *service.Tx, q *Q) (*record.Principal, error) {
		r, err := roleByName(tx, name(q))
		if err != nil || r == nil {
			return nil, err
		}
		return &r.Principal, nil
	})
}

// roleInline is where an inline policy of the name stands, or would stand.
func roleInline(p *record.Principal, name string) (int, bool) {
	return slices.BinarySearchFunc(p.Inline, name, func(in record.Inline, name string) int { return cmp.Compare(in.Name, name) })
}

// rolePutInline sets an inline policy. All of a principal's together may have so many characters.
func rolePutInline(p *record.Principal, kind record.PrincipalKind, name, document string, most int) error {
	if err := checkIdentityPolicy(document); err != nil {
		return err
	}
	in := record.Inline{Name: name, Document: document}
	inline := slices.Clone(p.Inline)
	if i, ok := roleInline(p, name); ok {
		inline[i] = in
	} else {
		inline = slices.Insert(inline, i, in)
	}
	total := 0
	for _, in := range inline {
		total += size(in.Document)
	}
	if total > most {
		return api.Errorf(api.LimitExceeded, "Maximum policy size of %d bytes exceeded for %s %s", most, kind, p.Name)
	}
	p.Inline = inline
	return nil
}

// roleAttached returns a page of a principal's managed policies, as answers have them.
func roleAttached(tx *service.Tx, p *record.Principal, pathPrefix, marker api.Opt[string], maxItems api.Opt[int64]) ([]api.AttachedPolicy, paging, error) {
	var list []api.AttachedPolicy
	for _, arn := range p.Attached {
		if parsed, ok := identity.ParseARN(arn); ok && strings.HasPrefix(parsed.Path, pathPrefix.V) {
			list = append(list, api.AttachedPolicy{PolicyName: api.Some(parsed.Name), PolicyArn: api.Some(moved(tx, arn))})
		}
	}
	return slice("attached", list, marker, maxItems)
}

// roleOwnARN returns an ARN of the call's partition as it is stored.
func roleOwnARN(tx *service.Tx, arn string) (string, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Kind != "policy" || p.Partition != partition(tx) {
		return "", invalid("ARN %s is not valid.", arn)
	}
	return p.Own(), nil
}

func (s *IAM) putRolePolicy() *service.Op {
	name := func(q *api.PutRolePolicyRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.PutRolePolicyRequest]{roleBoundary(name)}
	return service.Def[api.PutRolePolicyRequest, service.None]{
		Name: "PutRolePolicy", Kind: service.Change, Actions: []string{"iam:PutRolePolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:PutRolePolicy", name),
		Audit: func(q *api.PutRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyName", q.PolicyName)
			str(p, "policyDocument", q.PolicyDocument)
		},
		Plan: changeRole(name, func(_ *service.Tx, q *api.PutRolePolicyRequest, r *record.Role) error {
			return rolePutInline(&r.Principal, record.RoleKind, q.PolicyName.V, q.PolicyDocument.V, inlineBytesPerRole)
		}),
	}.Op("iam")
}

func (s *IAM) getRolePolicy() *service.Op {
	name := func(q *api.GetRolePolicyRequest) string { return q.RoleName.V }
	return service.Def[api.GetRolePolicyRequest, api.GetRolePolicyResponse]{
		Name: "GetRolePolicy", Kind: service.Read, Actions: []string{"iam:GetRolePolicy"},
		Resolve: onRole("iam:GetRolePolicy", name),
		Audit: func(q *api.GetRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyName", q.PolicyName)
		},
		Plan: func(tx *service.Tx, q *api.GetRolePolicyRequest, _ []service.Target) (*api.GetRolePolicyResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			i, ok := roleInline(&r.Principal, q.PolicyName.V)
			if !ok {
				return nil, noSuch("role policy", q.PolicyName.V)
			}
			return &api.GetRolePolicyResponse{
				RoleName: api.Some(r.Name), PolicyName: q.PolicyName, PolicyDocument: encodeDocument(r.Inline[i].Document),
			}, nil
		},
	}.Op("iam")
}

func (s *IAM) deleteRolePolicy() *service.Op {
	name := func(q *api.DeleteRolePolicyRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.DeleteRolePolicyRequest]{roleBoundary(name)}
	return service.Def[api.DeleteRolePolicyRequest, service.None]{
		Name: "DeleteRolePolicy", Kind: service.Change, Actions: []string{"iam:DeleteRolePolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:DeleteRolePolicy", name),
		Audit: func(q *api.DeleteRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyName", q.PolicyName)
		},
		Plan: changeRole(name, func(_ *service.Tx, q *api.DeleteRolePolicyRequest, r *record.Role) error {
			i, ok := roleInline(&r.Principal, q.PolicyName.V)
			if !ok {
				return noSuch("role policy", q.PolicyName.V)
			}
			r.Inline = slices.Delete(slices.Clone(r.Inline), i, i+1)
			return nil
		}),
	}.Op("iam")
}

func (s *IAM) listRolePolicies() *service.Op {
	name := func(q *api.ListRolePoliciesRequest) string { return q.RoleName.V }
	return service.Def[api.ListRolePoliciesRequest, api.ListRolePoliciesResponse]{
		Name: "ListRolePolicies", Kind: service.Read, Actions: []string{"iam:ListRolePolicies"},
		Resolve: onRole("iam:ListRolePolicies", name),
		Audit: func(q *api.ListRolePoliciesRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListRolePoliciesRequest, _ []service.Target) (*api.ListRolePoliciesResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			names := make([]string, len(r.Inline))
			for i, in := range r.Inline {
				names[i] = in.Name
			}
			names, page, err := slice("inline", names, q.Marker, q.MaxItems)
			return &api.ListRolePoliciesResponse{PolicyNames: names, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}

func (s *IAM) attachRolePolicy() *service.Op {
	name := func(q *api.AttachRolePolicyRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.AttachRolePolicyRequest]{
		text("iam:PolicyARN", func(q *api.AttachRolePolicyRequest) string { return q.PolicyArn.V }), roleBoundary(name),
	}
	return service.Def[api.AttachRolePolicyRequest, service.None]{
		Name: "AttachRolePolicy", Kind: service.Change, Actions: []string{"iam:AttachRolePolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:AttachRolePolicy", name),
		Audit: func(q *api.AttachRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyArn", q.PolicyArn)
		},
		Plan: changeRole(name, func(tx *service.Tx, q *api.AttachRolePolicyRequest, r *record.Role) error {
			arn, err := s.attachable(tx, q.PolicyArn.V)
			if err != nil || slices.Contains(r.Attached, arn) {
				return err
			}
			if len(r.Attached) >= managedPerPrincipal {
				return tooMany("PoliciesPerRole", managedPerPrincipal)
			}
			r.Attached = append(slices.Clone(r.Attached), arn)
			return nil
		}),
	}.Op("iam")
}

func (s *IAM) detachRolePolicy() *service.Op {
	name := func(q *api.DetachRolePolicyRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.DetachRolePolicyRequest]{
		text("iam:PolicyARN", func(q *api.DetachRolePolicyRequest) string { return q.PolicyArn.V }), roleBoundary(name),
	}
	return service.Def[api.DetachRolePolicyRequest, service.None]{
		Name: "DetachRolePolicy", Kind: service.Change, Actions: []string{"iam:DetachRolePolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:DetachRolePolicy", name),
		Audit: func(q *api.DetachRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyArn", q.PolicyArn)
		},
		Plan: changeRole(name, func(tx *service.Tx, q *api.DetachRolePolicyRequest, r *record.Role) error {
			arn, err := roleOwnARN(tx, q.PolicyArn.V)
			if err != nil {
				return err
			}
			i := slices.Index(r.Attached, arn)
			if i < 0 {
				return api.Errorf(api.NoSuchEntity, "Policy %s was not found.", q.PolicyArn.V)
			}
			r.Attached = slices.Delete(slices.Clone(r.Attached), i, i+1)
			return nil
		}),
	}.Op("iam")
}

func (s *IAM) listAttachedRolePolicies() *service.Op {
	name := func(q *api.ListAttachedRolePoliciesRequest) string { return q.RoleName.V }
	return service.Def[api.ListAttachedRolePoliciesRequest, api.ListAttachedRolePoliciesResponse]{
		Name: "ListAttachedRolePolicies", Kind: service.Read, Actions: []string{"iam:ListAttachedRolePolicies"},
		Resolve: onRole("iam:ListAttachedRolePolicies", name),
		Audit: func(q *api.ListAttachedRolePoliciesRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "pathPrefix", q.PathPrefix)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListAttachedRolePoliciesRequest, _ []service.Target) (*api.ListAttachedRolePoliciesResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			list, page, err := roleAttached(tx, &r.Principal, q.PathPrefix, q.Marker, q.MaxItems)
			return &api.ListAttachedRolePoliciesResponse{AttachedPolicies: list, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}

func (s *IAM) putRolePermissionsBoundary() *service.Op {
	name := func(q *api.PutRolePermissionsBoundaryRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.PutRolePermissionsBoundaryRequest]{
		text("iam:PermissionsBoundary", func(q *api.PutRolePermissionsBoundaryRequest) string { return q.PermissionsBoundary.V }),
	}
	return service.Def[api.PutRolePermissionsBoundaryRequest, service.None]{
		Name: "PutRolePermissionsBoundary", Kind: service.Change, Actions: []string{"iam:PutRolePermissionsBoundary"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:PutRolePermissionsBoundary", name),
		Audit: func(q *api.PutRolePermissionsBoundaryRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "permissionsBoundary", q.PermissionsBoundary)
		},
		Plan: changeRole(name, func(tx *service.Tx, q *api.PutRolePermissionsBoundaryRequest, r *record.Role) (err error) {
			r.Boundary, err = s.attachable(tx, q.PermissionsBoundary.V)
			return err
		}),
	}.Op("iam")
}

func (s *IAM) deleteRolePermissionsBoundary() *service.Op {
	name := func(q *api.DeleteRolePermissionsBoundaryRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.DeleteRolePermissionsBoundaryRequest]{roleBoundary(name)}
	return service.Def[api.DeleteRolePermissionsBoundaryRequest, service.None]{
		Name: "DeleteRolePermissionsBoundary", Kind: service.Change, Actions: []string{"iam:DeleteRolePermissionsBoundary"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:DeleteRolePermissionsBoundary", name),
		Audit:   func(q *api.DeleteRolePermissionsBoundaryRequest, p *audit.Params) { str(p, "roleName", q.RoleName) },
		Plan: changeRole(name, func(_ *service.Tx, _ *api.DeleteRolePermissionsBoundaryRequest, r *record.Role) error {
			r.Boundary = ""
			return nil
		}),
	}.Op("iam")
}
