package kms

import (
	"slices"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// addTags returns the tags with others added or replaced.
func addTags(have []record.Tag, add []api.Tag) ([]record.Tag, error) {
	seen := make(map[string]bool, len(add))
	tags := slices.Clone(have)
	for _, t := range add {
		name := t.TagKey.V
		if seen[name] {
			return nil, api.Errorf(api.TagException, "Duplicate tag keys")
		}
		seen[name] = true
		if err := notReserved(name); err != nil {
			return nil, err
		}
		tag := record.Tag{Key: name, Value: t.TagValue.V}
		if i := slices.IndexFunc(tags, func(o record.Tag) bool { return o.Key == name }); i >= 0 {
			tags[i] = tag
		} else {
			tags = append(tags, tag)
		}
	}
	if len(tags) > tagsPerKey {
		return nil, api.Errorf(api.TagException, "Too many tags")
	}
	return tags, nil
}

func notReserved(tagKey string) error {
	if len(tagKey) >= 4 && strings.EqualFold(tagKey[:4], "aws:") {
		return api.Errorf(api.TagException, "Tags beginning with aws: are reserved")
	}
	return nil
}

func (k *KMS) tagResource() *service.Op {
	conds := tagConditions(func(q *api.TagResourceRequest) []api.Tag { return q.Tags })
	return service.Def[api.TagResourceRequest, service.None]{
		Name: "TagResource", Kind: service.Change,
		Actions: []string{"kms:TagResource"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:TagResource", idOrARN, func(q *api.TagResourceRequest) string { return q.KeyId.V }),
		Check:   countBound(func(q *api.TagResourceRequest) int { return len(q.Tags) }),
		Audit: func(q *api.TagResourceRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			auditTags(p, q.Tags)
		},
		Plan: func(tx *service.Tx, q *api.TagResourceRequest, targets []service.Target) (*service.None, error) {
			return changeTags(tx, targets[0], func(tags []record.Tag) ([]record.Tag, error) { return addTags(tags, q.Tags) })
		},
	}.Op("kms")
}

func (k *KMS) untagResource() *service.Op {
	conds := conditions[api.UntagResourceRequest]{
		{Name: "aws:TagKeys", Values: func(_ *service.Tx, q *api.UntagResourceRequest, _ *service.Target, _ string) []string {
			return q.TagKeys
		}},
	}
	return service.Def[api.UntagResourceRequest, service.None]{
		Name: "UntagResource", Kind: service.Change,
		Actions: []string{"kms:UntagResource"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:UntagResource", idOrARN, func(q *api.UntagResourceRequest) string { return q.KeyId.V }),
		Check:   countBound(func(q *api.UntagResourceRequest) int { return len(q.TagKeys) }),
		Audit: func(q *api.UntagResourceRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			p.StrList("tagKeys", q.TagKeys)
		},
		Plan: func(tx *service.Tx, q *api.UntagResourceRequest, targets []service.Target) (*service.None, error) {
			return changeTags(tx, targets[0], func(tags []record.Tag) ([]record.Tag, error) {
				for _, name := range q.TagKeys {
					if err := notReserved(name); err != nil {
						return nil, err
					}
				}
				return slices.DeleteFunc(tags, func(t record.Tag) bool { return slices.Contains(q.TagKeys, t.Key) }), nil
			})
		},
	}.Op("kms")
}

func changeTags(tx *service.Tx, t service.Target, change func([]record.Tag) ([]record.Tag, error)) (*service.None, error) {
	if err := customerManaged(t.Key, tx.Call.Caller.ARN, t.Action); err != nil {
		return nil, err
	}
	if err := notPendingDeletion(t.Key); err != nil {
		return nil, err
	}
	tags, err := change(t.Key.Tags)
	if err != nil {
		return nil, err
	}
	t.Key.Tags = tags
	return &service.None{}, putGrown(tx, t.Key)
}

func (k *KMS) listResourceTags() *service.Op {
	return service.Def[api.ListResourceTagsRequest, api.ListResourceTagsResponse]{
		Name: "ListResourceTags", Kind: service.Read,
		Actions: []string{"kms:ListResourceTags"},
		Resolve: one(k, "kms:ListResourceTags", idOrARN, func(q *api.ListResourceTagsRequest) string { return q.KeyId.V }),
		Audit: func(q *api.ListResourceTagsRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(_ *service.Tx, q *api.ListResourceTagsRequest, targets []service.Target) (*api.ListResourceTagsResponse, error) {
			tags := targets[0].Key.Tags
			position, err := decodeMarker("tags", q.Marker)
			if err != nil {
				return nil, err
			}
			start := 0
			if position != "" {
				if start, err = strconv.Atoi(position); err != nil || start < 0 {
					return nil, api.New(api.InvalidMarkerException)
				}
			}
			tags = tags[min(start, len(tags)):]
			limit := limitOr(q.Limit, 50)
			r := &api.ListResourceTagsResponse{Tags: []api.Tag{}, Truncated: api.Some(len(tags) > limit)}
			if len(tags) > limit {
				tags = tags[:limit]
				r.NextMarker = encodeMarker("tags", strconv.Itoa(start+limit))
			}
			for _, t := range tags {
				r.Tags = append(r.Tags, api.Tag{TagKey: api.Some(t.Key), TagValue: api.Some(t.Value)})
			}
			return r, nil
		},
	}.Op("kms")
}
