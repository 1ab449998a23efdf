package sts

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// errParameter is what STS answers to session tags that contradict each other.
const errParameter api.ErrorCode = "InvalidParameterValue"

// inheritedTags are the tags that the caller's session hands on.
func inheritedTags(caller *service.Caller) []record.Tag {
	if caller.Session == nil {
		return nil
	}
	var tags []record.Tag
	for _, name := range caller.Session.Transitive {
		if i := slices.IndexFunc(caller.Tags, func(t record.Tag) bool { return record.FoldName(t.Key) == record.FoldName(name) }); i >= 0 {
			tags = append(tags, caller.Tags[i])
		}
	}
	return tags
}

// sessionTags are the tags of the session to be made, those that it inherits first, and the names of those that it will hand on ("Pass
// session tags in AWS STS", IAM User Guide). Names that differ in case only are one tag.
func sessionTags(caller *service.Caller, q *api.AssumeRoleRequest) (tags []record.Tag, transitive []string, err error) {
	tags = inheritedTags(caller)
	taken := make(map[string]bool, len(tags)+len(q.Tags))
	for _, t := range tags {
		taken[record.FoldName(t.Key)] = true
		transitive = append(transitive, t.Key)
	}
	requested := make(map[string]bool, len(q.Tags))
	for _, t := range q.Tags {
		name := record.FoldName(t.Key.V)
		switch {
		case requested[name]:
			return nil, nil, api.Errorf(errParameter, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		case taken[name]:
			return nil, nil, api.Errorf(errParameter, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		case strings.HasPrefix(name, "aws:"):
			return nil, nil, api.Errorf(errParameter, "System tags cannot be added/updated/deleted by requester")
		}
		requested[name] = true
		tags = append(tags, record.Tag{Key: t.Key.V, Value: t.Value.V})
	}
	for _, name := range q.TransitiveTagKeys {
		if !requested[record.FoldName(name)] {
			return nil, nil, api.Errorf(errParameter, "The specified transitive tag key must be included in the requested tags.")
		}
		if !slices.ContainsFunc(transitive, func(t string) bool { return record.FoldName(t) == record.FoldName(name) }) {
			transitive = append(transitive, name)
		}
	}
	return tags, transitive, nil
}

func tagMap(tags []record.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// requestTags are the condition keys of session tags in the request. Those that a session inherits are the caller's: aws:PrincipalTag.
func requestTags() service.Conditions[api.AssumeRoleRequest] {
	return service.Conditions[api.AssumeRoleRequest]{
		{Name: "aws:RequestTag/*", Values: func(_ *service.Tx, q *api.AssumeRoleRequest, _ *service.Target, rest string) []string {
			return service.Folded(func(yield func(name, value string) bool) {
				for _, t := range q.Tags {
					if !yield(t.Key.V, t.Value.V) {
						return
					}
				}
			}, rest)
		}},
		{Name: "aws:TagKeys", Values: func(_ *service.Tx, q *api.AssumeRoleRequest, _ *service.Target, _ string) []string {
			var names []string
			for _, t := range q.Tags {
				names = append(names, t.Key.V)
			}
			return names
		}},
		{Name: "sts:TransitiveTagKeys", Values: func(_ *service.Tx, q *api.AssumeRoleRequest, _ *service.Target, _ string) []string {
			return q.TransitiveTagKeys
		}},
	}
}
