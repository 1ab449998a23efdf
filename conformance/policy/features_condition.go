package main

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// never is a condition that no request of a case meets.
var never = policy.Condition{Operator: policy.Operator{Name: "Null"}, Key: "aws:ChatbotSourceArn", Values: []string{"false"}}

// condition notes what a condition is made of: decisive is what turns the answer when the condition is always or never met.
func (j *judgement) condition(s source, i, k int) {
	c := s.policy.Statements[i].Conditions[k]
	change := func(n []policy.Condition, names ...string) {
		j.with(s, i, func(st *policy.Statement) { st.Conditions = slices.Replace(slices.Clone(st.Conditions), k, k+1, n...) }, names...)
	}
	names := j.traits(s.policy, c)
	change(nil, names...)
	change([]policy.Condition{never}, names...)

	other := c
	switch c.Operator.Quantifier {
	case policy.ForAllValues:
		other.Operator.Quantifier = policy.ForAnyValue
		change([]policy.Condition{other}, "ForAllValues")
	case policy.ForAnyValue:
		other.Operator.Quantifier = policy.ForAllValues
		change([]policy.Condition{other}, "ForAnyValue")
	}
	if c.Operator.IfExists {
		other = c
		other.Operator.IfExists = false
		change([]policy.Condition{other}, "IfExists")
	}
}

// traits names what is in a condition.
func (j *judgement) traits(p *policy.Policy, c policy.Condition) []string {
	names := []string{c.Operator.Name}
	var values []string
	for key, list := range j.c.Context {
		if strings.EqualFold(key, c.Key) {
			values = list
		}
	}
	switch {
	case len(values) == 0 && c.Operator.Quantifier != policy.Single:
		names = append(names, "absent key of a set")
	case len(values) == 0:
		names = append(names, "absent key")
	case len(values) > 1:
		names = append(names, "several values in a request")
	}
	if len(c.Values) > 1 {
		names = append(names, "several values in a policy")
	}
	all := strings.Join(c.Values, " ")
	if strings.Contains(c.Operator.Name, "Like") && strings.ContainsAny(all, "*?") {
		names = append(names, "condition wildcard")
	}
	switch {
	case !strings.Contains(all, "${"):
	case p.Version == policy.Version2008:
		names = append(names, "variable in Version 2008")
	case strings.Contains(all, ", '"):
		names = append(names, "variable default")
	case strings.Contains(all, "/none}"):
		names = append(names, "variable without value")
	default:
		names = append(names, "variable")
	}
	return names
}
