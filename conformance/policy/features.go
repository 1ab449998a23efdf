package main

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// featureNames lists all that cases must have, and what answers must depend on. A feature is decisive in a case if the answer changes
// when it is taken away or turned round.
func featureNames() []string {
	names := []string{"Null"}
	for _, f := range []family{text, arnText, number, date, boolean, address, binary} {
		names = append(names, operators[f]...)
	}
	names = append(names, "ForAllValues", "ForAnyValue", "IfExists",
		"absent key", "absent key of a set", "several values in a request", "several values in a policy", "condition wildcard",
		"variable", "variable default", "variable without value", "variable in Version 2008",
		"NotAction", "NotResource", "NotPrincipal", "wildcard in Action", "wildcard in Resource", "variable in Resource")
	for _, kind := range []string{"everybody", "account", "user", "role", "session", "service"} {
		names = append(names, "Principal "+kind)
	}
	for kind := range kinds {
		if kind != "anonymous" { // never allowed anything: no answer depends on it
			names = append(names, "by "+kind)
		}
	}
	for _, at := range []string{"key", "identity", "boundary", "session"} {
		names = append(names, "Deny of "+at+" policy")
	}
	names = append(names, "same account", "cross account", "boundary", "boundary across accounts", "session policies", "no resource policy")
	slices.Sort(names)
	return names
}

// judge sets what keyturn decides, and the features.
func (c *testCase) judge() error {
	p, err := c.parse()
	if err != nil {
		return err
	}
	compiled := p.compile()
	if c.Allowed, err = compiled.decide(&c.request); err != nil {
		return err
	}
	c.Features = map[string]bool{}
	j := judgement{c: c, p: p}
	j.request()
	for _, s := range j.sources() {
		for i := range s.policy.Statements {
			j.statement(s, i)
		}
	}
	return j.err
}

// judgement finds the features of a case.
type judgement struct {
	c   *testCase
	p   policies
	err error
}

// note notes features, decisive if keyturn answers otherwise after a change.
func (j *judgement) note(r *request, p *policies, names ...string) {
	compiled := p.compile()
	allowed, err := compiled.decide(r)
	if err != nil {
		j.err = err
	}
	for _, name := range names {
		j.c.Features[name] = j.c.Features[name] || allowed != j.c.Allowed
	}
}

// source is a policy of the case, and how to put another one into its place.
type source struct {
	name    string
	policy  *policy.Policy
	replace func(*policies, *policy.Policy)
}

func (j *judgement) sources() []source {
	var list []source
	if j.p.key != nil {
		list = append(list, source{"key", j.p.key, func(p *policies, n *policy.Policy) { p.key = n }})
	}
	for i, one := range j.p.identity {
		list = append(list, source{"identity", one, func(p *policies, n *policy.Policy) {
			p.identity = slices.Clone(p.identity)
			p.identity[i] = n
		}})
	}
	if j.p.boundary != nil {
		list = append(list, source{"boundary", j.p.boundary, func(p *policies, n *policy.Policy) { p.boundary = n }})
	}
	for i, one := range j.p.session {
		list = append(list, source{"session", one, func(p *policies, n *policy.Policy) {
			p.session = slices.Clone(p.session)
			p.session[i] = n
		}})
	}
	return list
}

// request notes who asks, and which kinds of policies there are.
func (j *judgement) request() {
	c, p := j.c, j.p
	nobody := c.request
	nobody.Who = who{Kind: "anonymous"}
	if c.Who.Kind != "anonymous" {
		j.note(&nobody, &p, "by "+c.Who.Kind)
	}
	cross := c.Who.Account != c.ResourceAccount
	if c.Who.Account != "" {
		moved := c.request
		moved.ResourceAccount = c.Who.Account
		name := "cross account"
		if !cross {
			moved.ResourceAccount, name = "999999999999", "same account"
		}
		j.note(&moved, &p, name)
	}
	if p.key == nil {
		p.key = &policy.Policy{Version: policy.Version2012}
		j.note(&c.request, &p, "no resource policy")
		p = j.p
	}
	if p.boundary != nil {
		// Taken away, and allowing nothing.
		for _, b := range []*policy.Policy{nil, {Version: policy.Version2012}} {
			p.boundary = b
			j.note(&c.request, &p, "boundary")
			if cross {
				j.note(&c.request, &p, "boundary across accounts")
			}
		}
		p = j.p
	}
	if p.limited {
		p.session = nil
		for _, p.limited = range []bool{true, false} {
			j.note(&c.request, &p, "session policies")
		}
	}
}

// with evaluates the case with another statement in the place of one.
func (j *judgement) with(s source, i int, change func(*policy.Statement), names ...string) {
	changed := *s.policy
	changed.Statements = slices.Clone(s.policy.Statements)
	change(&changed.Statements[i])
	p := j.p
	s.replace(&p, &changed)
	j.note(&j.c.request, &p, names...)
}

func (j *judgement) statement(s source, i int) {
	st := &s.policy.Statements[i]
	if st.Effect == policy.Deny {
		j.with(s, i, func(st *policy.Statement) { st.Actions, st.NotActions = []string{"none:None"}, nil }, "Deny of "+s.name+" policy")
	}
	var names []string
	swap := func(st *policy.Statement) { st.Actions, st.NotActions = st.NotActions, st.Actions }
	if st.NotActions != nil {
		names = append(names, "NotAction")
	}
	if wild(slices.Concat(st.Actions, st.NotActions)) {
		names = append(names, "wildcard in Action")
	}
	j.with(s, i, swap, names...)

	names = nil
	swap = func(st *policy.Statement) { st.Resources, st.NotResources = st.NotResources, st.Resources }
	all := slices.Concat(st.Resources, st.NotResources)
	if st.NotResources != nil {
		names = append(names, "NotResource")
	}
	if wild(all) {
		names = append(names, "wildcard in Resource")
	}
	if strings.Contains(strings.Join(all, " "), "${") {
		names = append(names, "variable in Resource")
	}
	j.with(s, i, swap, names...)

	j.principals(s, i, st)
	for k := range st.Conditions {
		j.condition(s, i, k)
	}
}

func wild(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return s != "*" && strings.ContainsAny(s, "*?") })
}

// principals takes each principal out of its list; the last one's place is taken by one who is nobody.
func (j *judgement) principals(s source, i int, st *policy.Statement) {
	ps, not := st.Principal, false
	if ps == nil {
		ps, not = st.NotPrincipal, true
	}
	if ps == nil {
		return
	}
	instead := func(n *policy.Principals, name string) {
		names := []string{"Principal " + name}
		if not {
			names = []string{"NotPrincipal"}
		}
		j.with(s, i, func(st *policy.Statement) {
			if not {
				st.NotPrincipal = n
			} else {
				st.Principal = n
			}
		}, names...)
	}
	if ps.Any {
		instead(&policy.Principals{Service: []string{"nobody.example.com"}}, "everybody")
	}
	for k, id := range ps.AWS {
		instead(&policy.Principals{AWS: slices.Delete(slices.Clone(ps.AWS), k, k+1), Service: ps.Service}, kindOf(id))
	}
	for range ps.Service {
		instead(&policy.Principals{AWS: ps.AWS}, "service")
	}
}

func kindOf(id string) string {
	switch {
	case id == "*":
		return "everybody"
	case strings.Contains(id, ":user/"):
		return "user"
	case strings.Contains(id, ":role/"):
		return "role"
	case strings.Contains(id, ":sts:"):
		return "session"
	default:
		return "account"
	}
}
