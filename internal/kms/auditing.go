package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
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
func auditMetadata(to *audit.Params, name string, m *api.KeyMetadata) {
	var p audit.Params
	str(&p, "aWSAccountId", m.AWSAccountId)
	str(&p, "keyId", m.KeyId)
	str(&p, "arn", m.Arn)
	str(&p, "keySpec", m.KeySpec)
	str(&p, "keyUsage", m.KeyUsage)
	str(&p, "origin", m.Origin)
	str(&p, "keyState", m.KeyState)
	boolean(&p, "multiRegion", m.MultiRegion)
	auditRelatives(&p, m.MultiRegionConfiguration)
	str(&p, "currentKeyMaterialId", m.CurrentKeyMaterialId)
	str(&p, "customKeyStoreId", m.CustomKeyStoreId)
	to.Obj(name, &p)
}

// auditRelatives records what a multi-Region key is to its related keys, as AWS's example of a ReplicateKey event has it.
func auditRelatives(to *audit.Params, c *api.MultiRegionConfiguration) {
	if c == nil {
		return
	}
	var p, primary audit.Params
	auditMember(&primary, c.PrimaryKey)
	replicas := make([]audit.Params, len(c.ReplicaKeys))
	for i := range c.ReplicaKeys {
		auditMember(&replicas[i], &c.ReplicaKeys[i])
	}
	str(&p, "multiRegionKeyType", c.MultiRegionKeyType)
	p.Obj("primaryKey", &primary)
	p.ObjList("replicaKeys", replicas)
	to.Obj("multiRegionConfiguration", &p)
}

func auditMember(p *audit.Params, k *api.MultiRegionKey) {
	str(p, "arn", k.Arn)
	str(p, "region", k.Region)
}

// callEvent returns the audit record of a call that the caller's own call is at the same time, elsewhere: it has the same request ID.
func callEvent(tx *service.Tx, name, account, region, keyARN string) *audit.Record {
	e := service.ServiceEvent(tx, name, account, region, keyARN)
	e.EventType, e.RequestID, e.SourceIPAddress, e.UserAgent = audit.APICall, tx.Call.RequestID, tx.Call.SourceIP, tx.Call.UserAgent
	if c := tx.Call.Caller; !c.Service {
		e.Identity = audit.Identity{
			Type: c.Type, PrincipalID: c.PrincipalID, ARN: c.ARN, AccountID: c.Account, AccessKeyID: c.AccessKeyID, UserName: c.UserName,
		}
	}
	return e
}

// auditKeyID returns an Audit for operations whose only parameter is the key.
func auditKeyID[Q any](name func(*Q) string) func(*Q, *audit.Params) {
	return func(q *Q, p *audit.Params) { p.Str("keyId", name(q)) }
}
