package main

import (
	"encoding/json"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// drawer draws the policies of a request.
type drawer struct {
	*generator
	request *request
	version string
}

// place is where a policy is.
type place int

const (
	onKey place = iota
	ofIdentity
	limiting // a boundary or a session policy
)

func (d *drawer) document(at place) json.RawMessage {
	p := policy.Policy{Version: d.version}
	for range one(d.generator, 1, 1, 2, 2, 3) {
		p.Statements = append(p.Statements, d.statement(at))
	}
	return p.AppendJSON(nil)
}

func (d *drawer) statement(at place) policy.Statement {
	st := policy.Statement{Effect: policy.Allow}
	if d.maybe(0.18) {
		st.Effect = policy.Deny
	}
	if at == onKey {
		st.Principal = d.principals()
		if st.Effect == policy.Deny && d.maybe(0.5) {
			st.Principal, st.NotPrincipal = nil, d.spared(st.Principal)
		}
	}
	list := d.actions()
	if d.maybe(0.15) {
		st.NotActions = list
	} else {
		st.Actions = list
	}
	list = d.resources()
	if d.maybe(0.12) {
		st.NotResources = list
	} else {
		st.Resources = list
	}
	for range one(d.generator, 0, 0, 1, 1, 1, 2) {
		c := d.condition(st.Effect)
		// One operator's entries stand together, and none twice for a key.
		if len(st.Conditions) == 0 || st.Conditions[0].Operator != c.Operator {
			st.Conditions = append(st.Conditions, c)
		}
	}
	return st
}

func (d *drawer) principals() *policy.Principals {
	if d.maybe(0.08) {
		return &policy.Principals{Any: true}
	}
	w := &d.request.Who
	ps := &policy.Principals{}
	for range one(d.generator, 1, 1, 2, 3) {
		ps.AWS = append(ps.AWS, d.principal())
	}
	switch {
	case w.Service != "" && d.maybe(0.7):
		ps.Service = []string{w.Service}
	case d.maybe(0.1):
		ps.Service = []string{one(d.generator, services...)}
	}
	if ps.Service != nil && d.maybe(0.5) {
		ps.AWS = nil
	}
	return ps
}

// spared makes of principals, most often, a list for NotPrincipal that has the requester at every level: itself, its role, its account.
func (d *drawer) spared(ps *policy.Principals) *policy.Principals {
	w := &d.request.Who
	switch {
	case w.Account == "" || ps.Any || d.maybe(0.3):
		return ps
	case d.maybe(0.15):
		return &policy.Principals{AWS: []string{"arn:aws:iam::" + w.Account + ":user/other"}}
	}
	ps.AWS = []string{one(d.generator, w.Account, "arn:aws:iam::"+w.Account+":root")}
	for _, name := range []string{w.ARN, w.Role, w.User} {
		if name != "" && w.Kind != "root" {
			ps.AWS = append(ps.AWS, name)
		}
	}
	return ps
}

// principal draws one of kind AWS, most often one that is the requester or its account.
func (d *drawer) principal() string {
	w := &d.request.Who
	account := home
	if w.Account != "" && d.maybe(0.9) {
		account = w.Account
	}
	near := []string{account, "arn:aws:iam::" + account + ":root"}
	for _, name := range []string{w.ARN, w.ARN, w.Role, w.Role, w.User} {
		if name != "" {
			near = append(near, name)
		}
	}
	if d.maybe(0.8) {
		return one(d.generator, near...)
	}
	return one(d.generator, "*", abroad, "arn:aws:iam::"+home+":user/ann", "arn:aws:iam::"+home+":role/app", "arn:aws:sts::"+home+":assumed-role/ops/s2")
}

func (d *drawer) actions() []string {
	action := d.request.Action
	short := strings.TrimPrefix(action, "kms:")
	var list []string
	for range one(d.generator, 1, 1, 2) {
		if d.maybe(0.78) {
			list = append(list, one(d.generator, action, "kms:*", "*", "KMS:"+strings.ToLower(short), "kms:"+short[:2]+"*", "kms:?"+short[1:]))
		} else {
			list = append(list, one(d.generator, "s3:*", "kms:Sign", "kms:*Key", "kms:E*", "kms:?ecrypt", "kms:List*"))
		}
	}
	return list
}

func (d *drawer) resources() []string {
	const prefix = "arn:aws:kms:" + region + ":" + home + ":key/"
	if d.request.Resource == "*" || d.maybe(0.45) {
		return []string{one(d.generator, "*", "*", "*", prefix+"blue")}
	}
	if d.maybe(0.01) {
		return []string{"arn:aws:kms:" + region + ":" + home + ":k?y/*"}
	}
	var list []string
	for range one(d.generator, 1, 1, 2) {
		list = append(list, one(d.generator, d.request.Resource, d.request.Resource, prefix+"blue", prefix+"*", prefix+"gr??n", "arn:aws:kms:*:"+home+":key/*",
			"arn:aws:kms:us-????-1:*:key/b*", "arn:aws:kms:"+region+":"+abroad+":key/*", "arn:aws:kms:"+region+":"+home+":alias/*",
			"arn:aws:kms:"+region+":"+home+":*", prefix+"${aws:PrincipalTag/team}", prefix+"${aws:PrincipalTag/team, 'blue'}", prefix+"${aws:username}",
			prefix+"${aws:TagKeys}", "arn:aws:kms:"+region+":${kms:CallerAccount}:key/*"))
	}
	return list
}
