package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Quotas of roles.
const (
	rolesPerAccount    = 1000
	trustPolicyBytes   = 2048  // characters of a trust policy, white space not counted
	inlineBytesPerRole = 10240 // likewise, of all inline policies together
	defaultRoleSeconds = 3600
)

func (s *IAM) roleOperations() []*service.Op {
	return []*service.Op{
		s.createRole(), s.getRole(), s.updateRole(), s.updateRoleDescription(), s.deleteRole(), s.listRoles(), s.updateAssumeRolePolicy(),
		s.tagRole(), s.untagRole(), s.listRoleTags(), s.listInstanceProfilesForRole(),
	}
}

func roleByName(tx *service.Tx, name string) (*record.Role, error) {
	return byName[*record.Role](tx, record.RoleKind, name)
}

// onRole resolves the role that a request names.
func onRole[Q any](action string, name func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		r, err := roleByName(tx, name(q))
		if err != nil {
			return nil, err
		}
		if r == nil {
			return named(tx, action, "role", "", name(q), nil, noSuch("role", name(q))), nil
		}
		return named(tx, action, "role", r.Path, r.Name, r.Tags, nil), nil
	}
}

// role returns the role that a call is about, which resolving has found.
func role(tx *service.Tx, name string) (*record.Role, error) {
	r, err := roleByName(tx, name)
	if err == nil && r == nil {
		return nil, noSuch("role", name)
	}
	return r, err
}

// changeRole is the plan of an operation that changes a role and answers nothing.
func changeRole[Q any](name func(*Q) string, change func(*service.Tx, *Q, *record.Role) error) func(*service.Tx, *Q, []service.Target) (*service.None, error) {
	return func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
		r, err := role(tx, name(q))
		if err != nil {
			return nil, err
		}
		if err := change(tx, q, r); err != nil {
			return nil, err
		}
		tx.Put(r)
		return &service.None{}, nil
	}
}

// roleAnswer is a role as answers have it; trusted are the ARNs of those whom its trust policy names by their IDs. Tags and boundary are
// left out of lists.
func roleAnswer(tx *service.Tx, r *record.Role, trusted map[string]string, whole bool) api.Role {
	answer := api.Role{
		Path: api.Some(r.Path), RoleName: api.Some(r.Name), RoleId: api.Some(r.ID), CreateDate: api.Some(r.Created),
		Arn:                      api.Some(identity.PrincipalARN(partition(tx), record.RoleKind, &r.Principal)),
		AssumeRolePolicyDocument: encodeDocument(shownTrust(r.Trust, trusted)),
		MaxSessionDuration:       api.Some(r.MaxSeconds),
	}
	if r.Description != "" {
		answer.Description = api.Some(r.Description)
	}
	if whole {
		answer.PermissionsBoundary = boundaryAnswer(tx, r.Boundary)
		if len(r.Tags) > 0 {
			answer.Tags = tagsOf(r.Tags)
		}
	}
	return answer
}

func wholeRole(tx *service.Tx, r *record.Role) (*api.Role, error) {
	trusted, err := trustedARNs(tx, r)
	if err != nil {
		return nil, err
	}
	answer := roleAnswer(tx, r, trusted, true)
	return &answer, nil
}

// noSigninDuration refuses what is about signing in to AWS's console.
func noSigninDuration(v api.Opt[int64]) error {
	if v.Set {
		return api.Errorf(api.InvalidInput, "MaxSigninSessionDuration is not available on this server.")
	}
	return nil
}

func (s *IAM) createRole() *service.Op {
	conds := append(requestTags(func(q *api.CreateRoleRequest) []api.IamTag { return q.Tags }),
		text("iam:PermissionsBoundary", func(q *api.CreateRoleRequest) string { return q.PermissionsBoundary.V }))
	return service.Def[api.CreateRoleRequest, api.CreateRoleResponse]{
		Name: "CreateRole", Kind: service.Change, Actions: []string{"iam:CreateRole", "iam:TagRole"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.CreateRoleRequest) ([]service.Target, error) {
			arn := arnOf(tx, "role", q.Path.V, q.RoleName.V)
			targets := target(tx, "iam:CreateRole", arn, nil, nil)
			if len(q.Tags) > 0 {
				targets = append(targets, target(tx, "iam:TagRole", arn, nil, nil)...)
			}
			return targets, nil
		},
		Audit: func(q *api.CreateRoleRequest, p *audit.Params) {
			str(p, "path", q.Path)
			str(p, "roleName", q.RoleName)
			str(p, "assumeRolePolicyDocument", q.AssumeRolePolicyDocument)
			str(p, "description", q.Description)
			integer(p, "maxSessionDuration", q.MaxSessionDuration)
			str(p, "permissionsBoundary", q.PermissionsBoundary)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.CreateRoleResponse, p *audit.Params) {
			var role audit.Params
			str(&role, "roleName", r.Role.RoleName)
			str(&role, "roleId", r.Role.RoleId)
			str(&role, "arn", r.Role.Arn)
			p.Obj("role", &role)
		},
		Plan: func(tx *service.Tx, q *api.CreateRoleRequest, _ []service.Target) (*api.CreateRoleResponse, error) {
			if err := noSigninDuration(q.MaxSigninSessionDuration); err != nil {
				return nil, err
			}
			r := &record.Role{Description: q.Description.V, MaxSeconds: defaultRoleSeconds}
			if q.MaxSessionDuration.Set {
				r.MaxSeconds = q.MaxSessionDuration.V
			}
			if err := s.trust(tx, r, q.AssumeRolePolicyDocument.V); err != nil {
				return nil, err
			}
			p, err := s.newPrincipal(tx, record.RoleKind, identity.RoleIDPrefix, q.RoleName.V, q.Path, q.PermissionsBoundary, q.Tags, rolesPerAccount)
			if err != nil {
				return nil, err
			}
			r.Principal = *p
			if err := put(tx, r); err != nil {
				return nil, err
			}
			answer, err := wholeRole(tx, r)
			return &api.CreateRoleResponse{Role: answer}, err
		},
	}.Op("iam")
}

func (s *IAM) getRole() *service.Op {
	name := func(q *api.GetRoleRequest) string { return q.RoleName.V }
	return service.Def[api.GetRoleRequest, api.GetRoleResponse]{
		Name: "GetRole", Kind: service.Read, Actions: []string{"iam:GetRole"},
		Resolve: onRole("iam:GetRole", name),
		Audit:   func(q *api.GetRoleRequest, p *audit.Params) { str(p, "roleName", q.RoleName) },
		Plan: func(tx *service.Tx, q *api.GetRoleRequest, _ []service.Target) (*api.GetRoleResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			answer, err := wholeRole(tx, r)
			if err != nil {
				return nil, err
			}
			answer.RoleLastUsed = &api.RoleLastUsed{} // which is not kept; clients expect the member to be there
			return &api.GetRoleResponse{Role: answer}, nil
		},
	}.Op("iam")
}

func (s *IAM) updateRole() *service.Op {
	name := func(q *api.UpdateRoleRequest) string { return q.RoleName.V }
	return service.Def[api.UpdateRoleRequest, api.UpdateRoleResponse]{
		Name: "UpdateRole", Kind: service.Change, Actions: []string{"iam:UpdateRole"},
		Resolve: onRole("iam:UpdateRole", name),
		Audit: func(q *api.UpdateRoleRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "description", q.Description)
			integer(p, "maxSessionDuration", q.MaxSessionDuration)
		},
		Plan: func(tx *service.Tx, q *api.UpdateRoleRequest, _ []service.Target) (*api.UpdateRoleResponse, error) {
			if err := noSigninDuration(q.MaxSigninSessionDuration); err != nil {
				return nil, err
			}
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			if q.Description.Set {
				r.Description = q.Description.V
			}
			if q.MaxSessionDuration.Set {
				r.MaxSeconds = q.MaxSessionDuration.V
			}
			tx.Put(r)
			return &api.UpdateRoleResponse{}, nil
		},
	}.Op("iam")
}

func (s *IAM) updateRoleDescription() *service.Op {
	name := func(q *api.UpdateRoleDescriptionRequest) string { return q.RoleName.V }
	return service.Def[api.UpdateRoleDescriptionRequest, api.UpdateRoleDescriptionResponse]{
		Name: "UpdateRoleDescription", Kind: service.Change, Actions: []string{"iam:UpdateRoleDescription"},
		Resolve: onRole("iam:UpdateRoleDescription", name),
		Audit: func(q *api.UpdateRoleDescriptionRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "description", q.Description)
		},
		Plan: func(tx *service.Tx, q *api.UpdateRoleDescriptionRequest, _ []service.Target) (*api.UpdateRoleDescriptionResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			r.Description = q.Description.V
			tx.Put(r)
			answer, err := wholeRole(tx, r)
			return &api.UpdateRoleDescriptionResponse{Role: answer}, err
		},
	}.Op("iam")
}

func (s *IAM) deleteRole() *service.Op {
	name := func(q *api.DeleteRoleRequest) string { return q.RoleName.V }
	return service.Def[api.DeleteRoleRequest, service.None]{
		Name: "DeleteRole", Kind: service.Change, Actions: []string{"iam:DeleteRole"},
		Resolve: onRole("iam:DeleteRole", name),
		Audit:   func(q *api.DeleteRoleRequest, p *audit.Params) { str(p, "roleName", q.RoleName) },
		Plan: func(tx *service.Tx, q *api.DeleteRoleRequest, _ []service.Target) (*service.None, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			if err := bare(&r.Principal); err != nil {
				return nil, err
			}
			tx.Delete(r)
			return &service.None{}, s.removeName(tx, record.RoleKind, &r.Principal)
		},
	}.Op("iam")
}

func (s *IAM) listRoles() *service.Op {
	return service.Def[api.ListRolesRequest, api.ListRolesResponse]{
		Name: "ListRoles", Kind: service.Read, Actions: []string{"iam:ListRoles"},
		Resolve: func(tx *service.Tx, q *api.ListRolesRequest) ([]service.Target, error) {
			return target(tx, "iam:ListRoles", arnOf(tx, "role", q.PathPrefix.V, ""), nil, nil), nil
		},
		Audit: func(q *api.ListRolesRequest, p *audit.Params) {
			str(p, "pathPrefix", q.PathPrefix)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListRolesRequest, _ []service.Target) (*api.ListRolesResponse, error) {
			list, page, err := principals[*record.Role](tx, record.RoleKind, q.PathPrefix, q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			trusted, err := trustedARNs(tx, list...)
			if err != nil {
				return nil, err
			}
			roles := make([]api.Role, len(list))
			for i, r := range list {
				roles[i] = roleAnswer(tx, r, trusted, false)
			}
			return &api.ListRolesResponse{Roles: roles, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

func (s *IAM) updateAssumeRolePolicy() *service.Op {
	name := func(q *api.UpdateAssumeRolePolicyRequest) string { return q.RoleName.V }
	return service.Def[api.UpdateAssumeRolePolicyRequest, service.None]{
		Name: "UpdateAssumeRolePolicy", Kind: service.Change, Actions: []string{"iam:UpdateAssumeRolePolicy"},
		Resolve: onRole("iam:UpdateAssumeRolePolicy", name),
		Audit: func(q *api.UpdateAssumeRolePolicyRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			str(p, "policyDocument", q.PolicyDocument)
		},
		Plan: changeRole(name, func(tx *service.Tx, q *api.UpdateAssumeRolePolicyRequest, r *record.Role) error {
			return s.trust(tx, r, q.PolicyDocument.V)
		}),
	}.Op("iam")
}

// listInstanceProfilesForRole lists none: there are no instances here to have profiles. Terraform asks before it deletes a role.
func (s *IAM) listInstanceProfilesForRole() *service.Op {
	name := func(q *api.ListInstanceProfilesForRoleRequest) string { return q.RoleName.V }
	return service.Def[api.ListInstanceProfilesForRoleRequest, api.ListInstanceProfilesForRoleResponse]{
		Name: "ListInstanceProfilesForRole", Kind: service.Read, Actions: []string{"iam:ListInstanceProfilesForRole"},
		Resolve: onRole("iam:ListInstanceProfilesForRole", name),
		Audit: func(q *api.ListInstanceProfilesForRoleRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(*service.Tx, *api.ListInstanceProfilesForRoleRequest, []service.Target) (*api.ListInstanceProfilesForRoleResponse, error) {
			return &api.ListInstanceProfilesForRoleResponse{InstanceProfiles: []api.InstanceProfile{}, IsTruncated: api.Some(false)}, nil
		},
	}.Op("iam")
}
