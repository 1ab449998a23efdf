package kms

import "github.com/keyturn/keyturn/internal/api"

// maxContext is the most bytes of names and values that an encryption context may have, as in AWS.
const maxContext = 8192

// contextBound returns a Check for operations with encryption contexts.
func contextBound[Q any](contexts func(*Q) []map[string]string) func(*Q) error {
	return func(q *Q) error {
		for _, c := range contexts(q) {
			size := 0
			for name, value := range c {
				size += len(name) + len(value)
			}
			if size > maxContext {
				return api.Errorf(api.ValidationException, "The encryption context is longer than %d bytes", maxContext)
			}
		}
		return nil
	}
}

// manyTags is far more tags than a key can have, which the plans see to: it only bounds what the audit log takes.
const manyTags = 200

// countBound returns a Check that refuses absurd lists of tags.
func countBound[Q any](count func(*Q) int) func(*Q) error {
	return func(q *Q) error {
		if count(q) > manyTags {
			return api.Errorf(api.TagException, "Too many tags")
		}
		return nil
	}
}
