package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
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

func boolean(p *audit.Params, name string, v api.Opt[bool]) {
	if v.Set {
		p.Bool(name, v.V)
	}
}

// auditContext records an encryption context. It is no secret: AWS records it too, so that uses of a key can be told apart.
func auditContext(p *audit.Params, name string, context map[string]string) {
	if len(context) > 0 {
		p.StrMap(name, context)
	}
}

func auditTags(p *audit.Params, tags []api.Tag) {
	if len(tags) == 0 {
		return
	}
	list := make([]audit.Params, len(tags))
	for i, t := range tags {
		list[i].Str("tagKey", t.TagKey.V)
		list[i].Str("tagValue", t.TagValue.V)
	}
	p.ObjList("tags", list)
}

// auditMetadata records what identifies a new key.
func auditMetadata(p *audit.Params, m *api.KeyMetadata) {
	str(p, "aWSAccountId", m.AWSAccountId)
	str(p, "keyId", m.KeyId)
	str(p, "arn", m.Arn)
	str(p, "keySpec", m.KeySpec)
	str(p, "keyUsage", m.KeyUsage)
	str(p, "origin", m.Origin)
	str(p, "keyState", m.KeyState)
	boolean(p, "multiRegion", m.MultiRegion)
	str(p, "currentKeyMaterialId", m.CurrentKeyMaterialId)
	str(p, "customKeyStoreId", m.CustomKeyStoreId)
}

// auditKeyID returns an Audit for operations whose only parameter is the key.
func auditKeyID[Q any](name func(*Q) string) func(*Q, *audit.Params) {
	return func(q *Q, p *audit.Params) { p.Str("keyId", name(q)) }
}
