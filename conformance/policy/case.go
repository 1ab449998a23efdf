package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
)

// request is who asks for what, as both sides of the comparison are told.
type request struct {
	Who             who                 `json:"who"`
	Action          string              `json:"action"`
	Resource        string              `json:"resource"`
	ResourceAccount string              `json:"resourceAccount"`
	Context         map[string][]string `json:"context"` // of the key binaryKey: base64
}

// who is a principal; its kind is one of kinds.
type who struct {
	Kind    string `json:"kind"`
	ARN     string `json:"arn,omitempty"`
	Role    string `json:"role,omitempty"`
	User    string `json:"user,omitempty"`
	Account string `json:"account,omitempty"`
	Service string `json:"service,omitempty"`
}

var kinds = map[string]policy.Kind{
	"anonymous": policy.Anonymous,
	"root":      policy.Root,
	"user":      policy.User,
	"session":   policy.RoleSession,
	"federated": policy.FederatedUser,
	"service":   policy.Service,
}

// testCase is a request and all policies that it meets, as a line of JSON.
type testCase struct {
	request
	KeyPolicy json.RawMessage   `json:"keyPolicy"` // null: the resource has no policy
	Identity  []json.RawMessage `json:"identity"`
	Boundary  json.RawMessage   `json:"boundary"` // null: none
	Session   []json.RawMessage `json:"session"`  // null: the session is not limited; empty: it may do nothing

	Allowed bool `json:"allowed"` // keyturn's decision
	// Features are what the case has of what is to be covered, and whether its answer depends on it.
	Features map[string]bool `json:"features,omitempty"`
}

// binaryKey is the one condition key whose values are bytes.
const binaryKey = "aws:requesttag/binary"

// policies are the parsed policies of a case.
type policies struct {
	key      *policy.Policy
	identity []*policy.Policy
	boundary *policy.Policy
	session  []*policy.Policy
	limited  bool
}

// compiledPolicies are those, ready to decide.
type compiledPolicies struct {
	key               *policy.Compiled
	identity, session []*policy.Compiled
	boundary          *policy.Compiled
	limited           bool
}

// parse reads the documents of a case, as ones that are in force.
func (c *testCase) parse() (policies, error) {
	var p policies
	var err error
	read := func(doc json.RawMessage) *policy.Policy {
		if len(doc) == 0 || string(doc) == "null" || err != nil {
			return nil
		}
		var parsed *policy.Policy
		if parsed, err = policy.ParseInForce(doc); err != nil {
			err = fmt.Errorf("%w in %s", err, doc)
		}
		return parsed
	}
	p.key, p.boundary, p.limited = read(c.KeyPolicy), read(c.Boundary), c.Session != nil
	for _, doc := range c.Identity {
		p.identity = append(p.identity, read(doc))
	}
	for _, doc := range c.Session {
		p.session = append(p.session, read(doc))
	}
	return p, err
}

func (p *policies) compile() compiledPolicies {
	c := compiledPolicies{limited: p.limited}
	if p.key != nil {
		c.key = policy.Compile(p.key)
	}
	if p.boundary != nil {
		c.boundary = policy.Compile(p.boundary)
	}
	for _, one := range p.identity {
		c.identity = append(c.identity, policy.Compile(one))
	}
	for _, one := range p.session {
		c.session = append(c.session, policy.Compile(one))
	}
	return c
}

// decide asks keyturn.
func (c *compiledPolicies) decide(r *request) (bool, error) {
	kind, ok := kinds[r.Who.Kind]
	if !ok {
		return false, fmt.Errorf("no kind of principal %q", r.Who.Kind)
	}
	values, err := r.values()
	if err != nil {
		return false, err
	}
	q := authz.Question{
		Who: &policy.Who{
			Kind: kind, ARN: r.Who.ARN, Role: r.Who.Role, User: r.Who.User, Account: r.Who.Account, Service: r.Who.Service,
			Bounded: c.boundary != nil,
		},
		Action: r.Action, Resource: r.Resource, ResourceAccount: r.ResourceAccount,
		Value:      func(key string) ([]string, bool) { v, present := values[key]; return v, present },
		OnResource: c.key,
		Identity:   &authz.Identity{Policies: named(c.identity), Session: named(c.session), Limited: c.limited},
	}
	if c.boundary != nil {
		q.Identity.Boundary = &authz.Named{Name: "boundary", Compiled: c.boundary}
	}
	d, err := authz.Decide(&q)
	return d.Allowed, err
}

// values returns the context as the engine asks for it.
func (r *request) values() (map[string][]string, error) {
	values := make(map[string][]string, len(r.Context))
	for key, list := range r.Context {
		key = policy.FoldKey(key)
		for _, v := range list {
			if key == binaryKey {
				b, err := base64.StdEncoding.DecodeString(v)
				if err != nil {
					return nil, err
				}
				v = string(b)
			}
			values[key] = append(values[key], v)
		}
	}
	return values, nil
}

func named(list []*policy.Compiled) []authz.Named {
	var out []authz.Named
	for i, c := range list {
		out = append(out, authz.Named{Name: fmt.Sprint(i), Compiled: c})
	}
	return out
}
