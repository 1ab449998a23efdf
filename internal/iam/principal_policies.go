package iam

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// The operations on the policies of a principal are the same for users, groups and roles, but for what their requests and answers are
// called. So each stands once, as a function of the kind and of where the request has its members.

// holder is a kind of principal as these operations see it.
type holder struct {
	kind    record.PrincipalKind
	quota   int  // characters of all inline policies together
	bounded bool // may have a permissions boundary: then that is a condition key of what changes its policies
}

var (
	userHolder  = holder{record.UserKind, inlineBytesPerUser, true}
	groupHolder = holder{record.GroupKind, inlineBytesPerGroup, false}
	roleHolder  = holder{record.RoleKind, inlineBytesPerRole, true}
)

// title is how the kind is called in the names of operations.
func (h holder) title() string { return titles[h.kind] }

// param is the kind's name member, as audit records have it.
func (h holder) param() string { return string(h.kind) + "Name" }

// find returns a principal by its name: the record to put, and what it has in common with others. Nil if there is none.
func (h holder) find(tx *service.Tx, name string) (record.Record, *record.Principal, error) {
	n, err := lookup[*record.Name](tx, record.NameStoreKey(account(tx), h.kind, name))
	if err != nil || n == nil || n.Name != name {
		return nil, nil, err
	}
	r, err := lookup[record.Record](tx, record.PrincipalStoreKey(account(tx), h.kind, n.ID))
	if err != nil {
		return nil, nil, err
	}
	return r, principalOf(r), nil
}

// must is find for what resolving has found.
func (h holder) must(tx *service.Tx, name string) (record.Record, *record.Principal, error) {
	r, p, err := h.find(tx, name)
	if err == nil && p == nil {
		err = noSuch(string(h.kind), name)
	}
	return r, p, err
}

// principalOf is what a user, group or role has in common with the others, nil for anything else.
func principalOf(r record.Record) *record.Principal {
	switch r := r.(type) {
	case *record.User:
		return &r.Principal
	case *record.Group:
		return &r.Principal
	case *record.Role:
		return &r.Principal
	}
	return nil
}

// inPath drops those entries of an index of paths of which only the name begins as the path prefix ends.
func inPath(entries []string, prefix string) []string {
	return slices.DeleteFunc(entries, func(e string) bool {
		name := e[:strings.LastIndexByte(e, '/')]
		return !strings.HasPrefix(name[:strings.LastIndexByte(name, '/')+1], prefix)
	})
}

// onHolder resolves the principal that a request names.
func onHolder[Q any](h holder, action string, name func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		_, p, err := h.find(tx, name(q))
		if err != nil {
			return nil, err
		}
		if p == nil {
			return named(tx, action, string(h.kind), "", name(q), nil, noSuch(string(h.kind), name(q))), nil
		}
		return named(tx, action, string(h.kind), p.Path, p.Name, p.Tags, nil), nil
	}
}

// boundaryHeld is iam:PermissionsBoundary of an operation on the policies of a principal, where its kind can have one.
func boundaryHeld[Q any](h holder, name func(*Q) string) service.Conditions[Q] {
	if !h.bounded {
		return nil
	}
	return service.Conditions[Q]{boundaryOf(func(tx *service.Tx, q *Q) (*record.Principal, error) {
		_, p, err := h.find(tx, name(q))
		return p, err
	})}
}

// listRequest is what lists of one principal are asked for.
type listRequest struct {
	principal  api.Opt[string]
	pathPrefix api.Opt[string]
	marker     api.Opt[string]
	maxItems   api.Opt[int64]
}

func (l listRequest) audit(h holder, p *audit.Params) {
	str(p, h.param(), l.principal)
	str(p, "pathPrefix", l.pathPrefix)
	auditPage(p, l.marker, l.maxItems)
}

func (s *IAM) principalPolicyOperations() []*service.Op {
	return slices.Concat(s.userPolicyOperations(), s.groupPolicyOperations(), s.rolePolicyOperations())
}

func (s *IAM) userPolicyOperations() []*service.Op {
	holder := userHolder
	return []*service.Op{
		putInline(holder, func(q *api.PutUserPolicyRequest) inlineRequest {
			return inlineRequest{q.UserName, q.PolicyName, q.PolicyDocument}
		}),
		getInline(holder, func(q *api.GetUserPolicyRequest) inlineRequest {
			return inlineRequest{principal: q.UserName, name: q.PolicyName}
		}, func(in inlineRequest) *api.GetUserPolicyResponse {
			return &api.GetUserPolicyResponse{UserName: in.principal, PolicyName: in.name, PolicyDocument: in.document}
		}),
		deleteInline(holder, func(q *api.DeleteUserPolicyRequest) inlineRequest {
			return inlineRequest{principal: q.UserName, name: q.PolicyName}
		}),
		listInline(holder, func(q *api.ListUserPoliciesRequest) listRequest {
			return listRequest{principal: q.UserName, marker: q.Marker, maxItems: q.MaxItems}
		}, func(names []string, page paging) *api.ListUserPoliciesResponse {
			return &api.ListUserPoliciesResponse{PolicyNames: names, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
		attachPolicy(s, holder, func(q *api.AttachUserPolicyRequest) attachment { return attachment{q.UserName, q.PolicyArn} }),
		detachPolicy(holder, func(q *api.DetachUserPolicyRequest) attachment { return attachment{q.UserName, q.PolicyArn} }),
		listAttached(holder, func(q *api.ListAttachedUserPoliciesRequest) listRequest {
			return listRequest{q.UserName, q.PathPrefix, q.Marker, q.MaxItems}
		}, func(list []api.AttachedPolicy, page paging) *api.ListAttachedUserPoliciesResponse {
			return &api.ListAttachedUserPoliciesResponse{AttachedPolicies: list, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
		putBoundary(s, holder, func(q *api.PutUserPermissionsBoundaryRequest) attachment {
			return attachment{q.UserName, q.PermissionsBoundary}
		}),
		deleteBoundary(holder, func(q *api.DeleteUserPermissionsBoundaryRequest) api.Opt[string] { return q.UserName }),
	}
}

func (s *IAM) groupPolicyOperations() []*service.Op {
	holder := groupHolder
	return []*service.Op{
		putInline(holder, func(q *api.PutGroupPolicyRequest) inlineRequest {
			return inlineRequest{q.GroupName, q.PolicyName, q.PolicyDocument}
		}),
		getInline(holder, func(q *api.GetGroupPolicyRequest) inlineRequest {
			return inlineRequest{principal: q.GroupName, name: q.PolicyName}
		}, func(in inlineRequest) *api.GetGroupPolicyResponse {
			return &api.GetGroupPolicyResponse{GroupName: in.principal, PolicyName: in.name, PolicyDocument: in.document}
		}),
		deleteInline(holder, func(q *api.DeleteGroupPolicyRequest) inlineRequest {
			return inlineRequest{principal: q.GroupName, name: q.PolicyName}
		}),
		listInline(holder, func(q *api.ListGroupPoliciesRequest) listRequest {
			return listRequest{principal: q.GroupName, marker: q.Marker, maxItems: q.MaxItems}
		}, func(names []string, page paging) *api.ListGroupPoliciesResponse {
			return &api.ListGroupPoliciesResponse{PolicyNames: names, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
		attachPolicy(s, holder, func(q *api.AttachGroupPolicyRequest) attachment { return attachment{q.GroupName, q.PolicyArn} }),
		detachPolicy(holder, func(q *api.DetachGroupPolicyRequest) attachment { return attachment{q.GroupName, q.PolicyArn} }),
		listAttached(holder, func(q *api.ListAttachedGroupPoliciesRequest) listRequest {
			return listRequest{q.GroupName, q.PathPrefix, q.Marker, q.MaxItems}
		}, func(list []api.AttachedPolicy, page paging) *api.ListAttachedGroupPoliciesResponse {
			return &api.ListAttachedGroupPoliciesResponse{AttachedPolicies: list, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
	}
}

func (s *IAM) rolePolicyOperations() []*service.Op {
	holder := roleHolder
	return []*service.Op{
		putInline(holder, func(q *api.PutRolePolicyRequest) inlineRequest {
			return inlineRequest{q.RoleName, q.PolicyName, q.PolicyDocument}
		}),
		getInline(holder, func(q *api.GetRolePolicyRequest) inlineRequest {
			return inlineRequest{principal: q.RoleName, name: q.PolicyName}
		}, func(in inlineRequest) *api.GetRolePolicyResponse {
			return &api.GetRolePolicyResponse{RoleName: in.principal, PolicyName: in.name, PolicyDocument: in.document}
		}),
		deleteInline(holder, func(q *api.DeleteRolePolicyRequest) inlineRequest {
			return inlineRequest{principal: q.RoleName, name: q.PolicyName}
		}),
		listInline(holder, func(q *api.ListRolePoliciesRequest) listRequest {
			return listRequest{principal: q.RoleName, marker: q.Marker, maxItems: q.MaxItems}
		}, func(names []string, page paging) *api.ListRolePoliciesResponse {
			return &api.ListRolePoliciesResponse{PolicyNames: names, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
		attachPolicy(s, holder, func(q *api.AttachRolePolicyRequest) attachment { return attachment{q.RoleName, q.PolicyArn} }),
		detachPolicy(holder, func(q *api.DetachRolePolicyRequest) attachment { return attachment{q.RoleName, q.PolicyArn} }),
		listAttached(holder, func(q *api.ListAttachedRolePoliciesRequest) listRequest {
			return listRequest{q.RoleName, q.PathPrefix, q.Marker, q.MaxItems}
		}, func(list []api.AttachedPolicy, page paging) *api.ListAttachedRolePoliciesResponse {
			return &api.ListAttachedRolePoliciesResponse{AttachedPolicies: list, IsTruncated: page.IsTruncated, Marker: page.Marker}
		}),
		putBoundary(s, holder, func(q *api.PutRolePermissionsBoundaryRequest) attachment {
			return attachment{q.RoleName, q.PermissionsBoundary}
		}),
		deleteBoundary(holder, func(q *api.DeleteRolePermissionsBoundaryRequest) api.Opt[string] { return q.RoleName }),
	}
}
