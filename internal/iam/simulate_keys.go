package iam

import (
	"slices"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
)

// contextKeys answers the condition keys of policies, and of those that a request brings. These may be resource policies, too: nothing is
// decided by them.
func contextKeys(of []*source, documents []string) (*api.GetContextKeysForPolicyResponse, error) {
	policies := slices.Clone(of)
	for i, d := range documents {
		s := &source{id: "PolicyInputList." + strconv.Itoa(i+1), document: d}
		var err error
		if s.compiled, err = compiled(d); err != nil {
			return nil, invalidDocument(s.id, err)
		}
		policies = append(policies, s)
	}
	names, err := keyNames(policies)
	if err != nil {
		return nil, err
	}
	return &api.GetContextKeysForPolicyResponse{ContextKeyNames: names}, nil
}

// keyNames returns the condition keys that policies name, in conditions and in variables, as they are written there first, sorted. Names
// that differ in case only are one key.
func keyNames(policies []*source) ([]string, error) {
	names, seen := []string{}, map[string]bool{}
	for _, s := range policies {
		note := func(name string) {
			if key := policy.FoldKey(name); !seen[key] && s.compiled.NeedsValue(key) {
				seen[key] = true
				names = append(names, name)
			}
		}
		if s.document != "" {
			p, err := policy.ParseInForce([]byte(s.document))
			if err != nil {
				return nil, err
			}
			eachWritten(p, note)
		}
		for _, key := range s.compiled.Keys() { // those of a document that is not known any more
			note(key)
		}
	}
	slices.Sort(names)
	return names, nil
}

// eachWritten calls note with whatever may be the name of a condition key.
func eachWritten(p *policy.Policy, note func(name string)) {
	for _, st := range p.Statements {
		eachVariable(slices.Concat(st.Resources, st.NotResources), note)
		for _, c := range st.Conditions {
			note(c.Key)
			eachVariable(c.Values, note)
		}
	}
}

// eachVariable calls note with the names in ${NAME} and ${NAME, 'default'}.
func eachVariable(texts []string, note func(name string)) {
	for _, text := range texts {
		for {
			_, rest, ok := strings.Cut(text, "${")
			end := strings.IndexAny(rest, ",}")
			if !ok || end < 0 {
				break
			}
			note(strings.TrimSpace(rest[:end]))
			text = rest[end:]
		}
	}
}
