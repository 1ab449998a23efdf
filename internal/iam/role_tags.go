package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) tagRole() *service.Op {
	name := func(q *api.TagRoleRequest) string { return q.RoleName.V }
	conds := requestTags(func(q *api.TagRoleRequest) []api.IamTag { return q.Tags })
	return service.Def[api.TagRoleRequest, service.None]{
		Name: "TagRole", Kind: service.Change, Actions: []string{"iam:TagRole"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:TagRole", name),
		Audit: func(q *api.TagRoleRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			auditTags(p, q.Tags)
		},
		Plan: changeRole(name, func(_ *service.Tx, q *api.TagRoleRequest, r *record.Role) (err error) {
			r.Tags, err = addTags(r.Tags, q.Tags)
			return err
		}),
	}.Op("iam")
}

func (s *IAM) untagRole() *service.Op {
	name := func(q *api.UntagRoleRequest) string { return q.RoleName.V }
	conds := service.Conditions[api.UntagRoleRequest]{tagKeys(func(q *api.UntagRoleRequest) []string { return q.TagKeys })}
	return service.Def[api.UntagRoleRequest, service.None]{
		Name: "UntagRole", Kind: service.Change, Actions: []string{"iam:UntagRole"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onRole("iam:UntagRole", name),
		Audit: func(q *api.UntagRoleRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			p.StrList("tagKeys", q.TagKeys)
		},
		Plan: changeRole(name, func(_ *service.Tx, q *api.UntagRoleRequest, r *record.Role) (err error) {
			r.Tags, err = removeTags(r.Tags, q.TagKeys)
			return err
		}),
	}.Op("iam")
}

func (s *IAM) listRoleTags() *service.Op {
	name := func(q *api.ListRoleTagsRequest) string { return q.RoleName.V }
	return service.Def[api.ListRoleTagsRequest, api.ListRoleTagsResponse]{
		Name: "ListRoleTags", Kind: service.Read, Actions: []string{"iam:ListRoleTags"},
		Resolve: onRole("iam:ListRoleTags", name),
		Audit: func(q *api.ListRoleTagsRequest, p *audit.Params) {
			str(p, "roleName", q.RoleName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListRoleTagsRequest, _ []service.Target) (*api.ListRoleTagsResponse, error) {
			r, err := role(tx, name(q))
			if err != nil {
				return nil, err
			}
			tags, page, err := slice("tags", tagsOf(r.Tags), q.Marker, q.MaxItems)
			return &api.ListRoleTagsResponse{Tags: tags, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
