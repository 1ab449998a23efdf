package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Helpers that record a member if it is there.

func str[T ~string](p *audit.Params, name string, v api.Opt[T]) {
	if v.Set {
		p.Str(name, string(v.V))
	}
}

func integer(p *audit.Params, name string, v api.Opt[int64]) {
	if v.Set {
		p.Int(name, v.V)
	}
}

func auditTags(p *audit.Params, tags []api.IamTag) {
	if len(tags) == 0 {
		return
	}
	list := make([]audit.Params, len(tags))
	for i, t := range tags {
		list[i].Str("key", t.Key.V)
		list[i].Str("value", t.Value.V)
	}
	p.ObjList("tags", list)
}

// auditPage records what a list was asked for.
func auditPage(p *audit.Params, marker api.Opt[string], maxItems api.Opt[int64]) {
	str(p, "marker", marker)
	integer(p, "maxItems", maxItems)
}

// Condition keys of what a request brings ("Actions, resources, and condition keys for AWS Identity and Access Management", Service
// Authorization Reference).

// requestTags are aws:RequestTag/NAME and aws:TagKeys.
func requestTags[Q any](of func(*Q) []api.IamTag) service.Conditions[Q] {
	return service.Conditions[Q]{
		{Name: "aws:RequestTag/*", Values: func(_ *service.Tx, q *Q, _ *service.Target, rest string) []string {
			return service.Folded(func(yield func(name, value string) bool) {
				for _, t := range of(q) {
					if !yield(t.Key.V, t.Value.V) {
						return
					}
				}
			}, rest)
		}},
		tagKeys(func(q *Q) []string {
			var names []string
			for _, t := range of(q) {
				names = append(names, t.Key.V)
			}
			return names
		}),
	}
}

// tagKeys is aws:TagKeys.
func tagKeys[Q any](of func(*Q) []string) service.Condition[Q] {
	return service.Condition[Q]{Name: "aws:TagKeys", Values: func(_ *service.Tx, q *Q, _ *service.Target, _ string) []string { return of(q) }}
}

// text is a condition key with one value, "" for none.
func text[Q any](name string, of func(*Q) string) service.Condition[Q] {
	return service.Condition[Q]{Name: name, Values: func(_ *service.Tx, q *Q, _ *service.Target, _ string) []string {
		if v := of(q); v != "" {
			return []string{v}
		}
		return nil
	}}
}

// boundaryOf is iam:PermissionsBoundary of operations that change what a principal may do: the boundary that it has.
func boundaryOf[Q any](find func(tx *service.Tx, q *Q) (*record.Principal, error)) service.Condition[Q] {
	return service.Condition[Q]{Name: "iam:PermissionsBoundary", Values: func(tx *service.Tx, q *Q, _ *service.Target, _ string) []string {
		p, err := find(tx, q)
		if err != nil {
			tx.Fail(err)
		}
		if p == nil || p.Boundary == "" {
			return nil
		}
		return []string{moved(tx, p.Boundary)}
	}}
}
