package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// forAWSResource is kms:GrantIsForAWSResource: whether an AWS service asks on a user's behalf ("AWS KMS condition keys", AWS KMS Developer
// Guide). Nobody does here.
func forAWSResource[Q any]() condition[Q] {
	return text("kms:GrantIsForAWSResource", func(*Q) string { return "false" })
}

// createGrantConditions are those of the grant that is asked for; its constraints count as the request's encryption context.
func createGrantConditions() conditions[api.CreateGrantRequest] {
	type request = api.CreateGrantRequest
	return slices.Concat(
		conditions[request]{
			text("kms:GranteePrincipal", func(q *request) string { return q.GranteePrincipal.V }),
			text("kms:RetiringPrincipal", func(q *request) string { return q.RetiringPrincipal.V }),
			{Name: "kms:GrantOperations", Values: func(_ *service.Tx, q *request, _ *service.Target, _ string) []string {
				names := make([]string, len(q.Operations))
				for i, op := range q.Operations {
					names[i] = string(op)
				}
				return names
			}},
			text("kms:GrantConstraintType", func(q *request) string {
				switch c := q.Constraints; {
				case c == nil:
					return ""
				case len(c.EncryptionContextEquals) > 0:
					return "EncryptionContextEquals"
				case len(c.EncryptionContextSubset) > 0:
					return "EncryptionContextSubset"
				}
				return ""
			}),
			forAWSResource[request](),
		},
		contextConditions(func(q *request, _ *service.Target) map[string]string {
			switch c := q.Constraints; {
			case c == nil:
				return nil
			case len(c.EncryptionContextEquals) > 0:
				return c.EncryptionContextEquals
			default:
				return c.EncryptionContextSubset
			}
		}),
	)
}
