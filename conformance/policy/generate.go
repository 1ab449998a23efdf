package main

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/keyturn/keyturn/internal/policy"
)

// generator draws cases. They are drawn near to each other, a few names and values that meet often, since two policies drawn from
// everything there is would nearly always say nothing.
type generator struct{ *rand.Rand }

const (
	home   = "111122223333" // the account of the key
	abroad = "444455556666"
	region = "us-east-1"
)

// one draws a member of a list.
func one[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

// maybe is true with the probability p.
func (g *generator) maybe(p float64) bool { return g.Float64() < p }

func (g *generator) testCase() *testCase {
	c := &testCase{request: g.request()}
	w := &c.Who
	version := policy.Version2012
	if g.maybe(0.1) {
		version = policy.Version2008
	}
	d := drawer{generator: g, request: &c.request, version: version}
	if c.Resource != "*" {
		c.KeyPolicy = d.document(onKey)
	}
	if w.Account == "" || w.Kind == "root" {
		return c
	}
	for range one(g, 0, 1, 1, 1, 2) {
		c.Identity = append(c.Identity, d.document(ofIdentity))
	}
	if g.maybe(0.3) {
		c.Boundary = d.document(limiting)
	}
	if (w.Kind == "session" || w.Kind == "federated") && g.maybe(0.4) {
		c.Session = []json.RawMessage{}
		for range one(g, 1, 1, 2) {
			c.Session = append(c.Session, d.document(limiting))
		}
	}
	return c
}

// actions are asked for; ListKeys and CreateKey are on no resource.
var actions = []string{"kms:Decrypt", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant", "kms:ListKeys"}

func (g *generator) request() request {
	r := request{Who: g.who(), Action: one(g, actions...), ResourceAccount: home, Context: map[string][]string{}}
	r.Resource = "arn:aws:kms:" + region + ":" + home + ":key/" + one(g, teams...)
	if r.Action == "kms:ListKeys" {
		r.Resource, r.ResourceAccount = "*", r.Who.Account
		if r.Who.Account == "" {
			r.ResourceAccount = home
		}
	}
	for _, k := range keys {
		if g.maybe(0.7) && k.has(r.Action) {
			r.Context[k.name] = g.values(k)
		}
	}
	if r.Who.ARN != "" {
		r.Context["aws:PrincipalArn"] = []string{r.Who.ARN}
		if r.Who.Role != "" {
			r.Context["aws:PrincipalArn"] = []string{r.Who.Role}
		}
	}
	if r.Who.Account != "" {
		r.Context["aws:PrincipalAccount"] = []string{r.Who.Account}
	}
	return r
}

func (g *generator) values(k contextKey) []string {
	list := []string{one(g, k.values...)}
	for k.several && len(list) < 3 && g.maybe(0.6) {
		list = append(list, one(g, k.values...))
	}
	return list
}

func (g *generator) who() who {
	account := home
	if g.maybe(0.25) {
		account = abroad
	}
	iam, sts := "arn:aws:iam::"+account+":", "arn:aws:sts::"+account+":"
	switch n := g.IntN(100); {
	case n < 38:
		return who{Kind: "user", ARN: iam + one(g, "user/ann", "user/div/bob"), Account: account}
	case n < 70:
		name := one(g, "ops", "app")
		return who{Kind: "session", ARN: sts + "assumed-role/" + name + "/" + one(g, "s1", "s2"), Role: iam + "role/" + name, Account: account}
	case n < 82:
		name := one(g, "ann", "eve")
		user := "ann"
		if g.maybe(0.6) {
			user = name
		}
		return who{Kind: "federated", ARN: sts + "federated-user/" + name, User: iam + "user/" + user, Account: account}
	case n < 88:
		return who{Kind: "root", ARN: iam + "root", Account: account}
	case n < 97:
		return who{Kind: "service", Service: one(g, services...)}
	default:
		return who{Kind: "anonymous"}
	}
}

var (
	teams    = []string{"blue", "green"}
	services = []string{"logs.us-east-1.amazonaws.com", "s3.amazonaws.com"}
)
