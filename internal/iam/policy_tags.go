package iam

import (
	"cmp"
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Tags of policies are told apart by case, other than those of users and roles ("Rules for tagging in IAM and AWS STS", IAM User Guide).

// addPolicyTags returns the tags with others added or replaced.
func addPolicyTags(have []record.Tag, add []api.IamTag) ([]record.Tag, error) {
	seen := make(map[string]bool, len(add))
	tags := slices.Clone(have)
	for _, t := range add {
		name := t.Key.V
		if seen[name] {
			return nil, api.Errorf(api.InvalidInput, "Duplicate tag keys found.")
		}
		seen[name] = true
		if err := notReserved(name); err != nil {
			return nil, err
		}
		tag := record.Tag{Key: name, Value: t.Value.V}
		if i := slices.IndexFunc(tags, func(o record.Tag) bool { return o.Key == name }); i >= 0 {
			tags[i] = tag
		} else {
			tags = append(tags, tag)
		}
	}
	if len(tags) > tagsPerThing {
		return nil, tooMany("TagsPerResource", tagsPerThing)
	}
	return tags, nil
}

func (s *IAM) tagPolicy() *service.Op {
	arn := func(q *api.TagPolicyRequest) string { return q.PolicyArn.V }
	conds := requestTags(func(q *api.TagPolicyRequest) []api.IamTag { return q.Tags })
	return service.Def[api.TagPolicyRequest, service.None]{
		Name: "TagPolicy", Kind: service.Change, Actions: []string{"iam:TagPolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onOwnPolicy("iam:TagPolicy", arn, nil),
		Audit: func(q *api.TagPolicyRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			auditTags(p, q.Tags)
		},
		Plan: func(tx *service.Tx, q *api.TagPolicyRequest, _ []service.Target) (*service.None, error) {
			p, err := ownPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p.Tags, err = addPolicyTags(p.Tags, q.Tags); err != nil {
				return nil, err
			}
			tx.Put(p)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) untagPolicy() *service.Op {
	arn := func(q *api.UntagPolicyRequest) string { return q.PolicyArn.V }
	conds := service.Conditions[api.UntagPolicyRequest]{tagKeys(func(q *api.UntagPolicyRequest) []string { return q.TagKeys })}
	return service.Def[api.UntagPolicyRequest, service.None]{
		Name: "UntagPolicy", Kind: service.Change, Actions: []string{"iam:UntagPolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onOwnPolicy("iam:UntagPolicy", arn, nil),
		Audit: func(q *api.UntagPolicyRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			p.StrList("tagKeys", q.TagKeys)
		},
		Plan: func(tx *service.Tx, q *api.UntagPolicyRequest, _ []service.Target) (*service.None, error) {
			p, err := ownPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			for _, name := range q.TagKeys {
				if err := notReserved(name); err != nil {
					return nil, err
				}
			}
			p.Tags = slices.DeleteFunc(p.Tags, func(t record.Tag) bool { return slices.Contains(q.TagKeys, t.Key) })
			tx.Put(p)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// listPolicyTags has them sorted by name.
func (s *IAM) listPolicyTags() *service.Op {
	arn := func(q *api.ListPolicyTagsRequest) string { return q.PolicyArn.V }
	return service.Def[api.ListPolicyTagsRequest, api.ListPolicyTagsResponse]{
		Name: "ListPolicyTags", Kind: service.Read, Actions: []string{"iam:ListPolicyTags"},
		Resolve: onPolicy("iam:ListPolicyTags", arn, nil),
		Audit: func(q *api.ListPolicyTagsRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListPolicyTagsRequest, _ []service.Target) (*api.ListPolicyTagsResponse, error) {
			p, err := findPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, noPolicy(arn(q))
			}
			sorted := slices.SortedFunc(slices.Values(p.Tags), func(a, b record.Tag) int { return cmp.Compare(a.Key, b.Key) })
			tags, page, err := slice("tags", tagsOf(sorted), q.Marker, q.MaxItems)
			return &api.ListPolicyTagsResponse{Tags: tags, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
