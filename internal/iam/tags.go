package iam

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// addTags returns the tags with others added or replaced. Names that differ in case only are one tag ("Rules for tagging in IAM and AWS
// STS", IAM User Guide).
func addTags(have []record.Tag, add []api.IamTag) ([]record.Tag, error) {
	seen := make(map[string]bool, len(add))
	tags := slices.Clone(have)
	for _, t := range add {
		name := t.Key.V
		if folded := record.FoldName(name); seen[folded] {
			return nil, api.Errorf(api.InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		} else {
			seen[folded] = true
		}
		if err := notReserved(name); err != nil {
			return nil, err
		}
		tag := record.Tag{Key: name, Value: t.Value.V}
		if i := slices.IndexFunc(tags, func(o record.Tag) bool { return record.FoldName(o.Key) == record.FoldName(name) }); i >= 0 {
			tags[i] = tag
		} else {
			tags = append(tags, tag)
		}
	}
	if len(tags) > tagsPerThing {
		return nil, api.Errorf(api.LimitExceeded, "The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

// removeTags returns the tags without those of the names.
func removeTags(have []record.Tag, names []string) ([]record.Tag, error) {
	for _, name := range names {
		if err := notReserved(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(have), func(t record.Tag) bool {
		return slices.ContainsFunc(names, func(name string) bool { return record.FoldName(name) == record.FoldName(t.Key) })
	}), nil
}

func notReserved(name string) error {
	if strings.HasPrefix(record.FoldName(name), "aws:") {
		return api.Errorf(api.InvalidInput, "System tags cannot be added/updated/deleted by requester")
	}
	return nil
}

func tagsOf(tags []record.Tag) []api.IamTag {
	list := make([]api.IamTag, len(tags))
	for i, t := range tags {
		list[i] = api.IamTag{Key: api.Some(t.Key), Value: api.Some(t.Value)}
	}
	return list
}
