package policy

import (
	"maps"
	"slices"
)

// Compiled is a policy ready to decide: what can be read once, has been. It is immutable and safe for concurrent use.
type Compiled struct {
	statements []statement
	keys       []string // sorted
}

// statement is a compiled Statement.
type statement struct {
	Ref          // but for Via
	deny         bool
	inert        bool // an Allow that cannot be relied on to mean what it says
	principal    *principalSet
	notPrincipal *principalSet
	actions      []pattern
	negActions   bool // actions are those of NotAction
	resources    []resourcePattern
	negResources bool // resources are those of NotResource
	anyResource  bool // there is neither Resource nor NotResource
	conditions   []condition
}

// Compile prepares a policy to be evaluated. Policies that Parse returned compile to what they say. In others, and in variables
// and ARNs, which Parse does not look into, there may be values that can never match; an Allow is left out if such a value stands
// where not to match would widen it.
func Compile(p *Policy) *Compiled {
	c := &Compiled{statements: make([]statement, len(p.Statements))}
	keys := map[string]bool{}
	for i := range p.Statements {
		c.statements[i] = compileStatement(&p.Statements[i], p.Version == Version2012)
		c.statements[i].Index = i
		c.statements[i].collectKeys(keys)
	}
	c.keys = slices.Sorted(maps.Keys(keys))
	return c
}

// Keys returns the condition keys that the policy names, in conditions and in variables, in lower case and sorted. It is shared:
// nobody may change it.
func (c *Compiled) Keys() []string { return c.keys }

// NeedsValue reports whether the policy names a condition key, in lower case.
func (c *Compiled) NeedsValue(key string) bool {
	_, found := slices.BinarySearch(c.keys, key)
	return found
}

// FoldKey brings a condition key into the spelling in which Request.Value is asked for it. Only ASCII letters have two cases.
func FoldKey(key string) string { return lower(key) }

func compileStatement(st *Statement, variables bool) statement {
	s := statement{
		Ref:          Ref{Sid: st.Sid},
		deny:         st.Effect != Allow,
		principal:    compilePrincipals(st.Principal),
		notPrincipal: compilePrincipals(st.NotPrincipal),
		negActions:   st.NotActions != nil,
		negResources: st.NotResources != nil,
		anyResource:  st.Resources == nil && st.NotResources == nil,
	}
	sound := true
	for _, a := range slices.Concat(st.Actions, st.NotActions) {
		s.actions = append(s.actions, compileAction(a))
	}
	for _, r := range slices.Concat(st.Resources, st.NotResources) {
		p := compileResource(r, grammar{wildcards: true, variables: variables})
		s.resources = append(s.resources, p)
		sound = sound && !(p.broken && s.negResources)
	}
	for _, c := range st.Conditions {
		compiled, ok := compileCondition(c, variables)
		s.conditions = append(s.conditions, compiled)
		sound = sound && (ok || !compiled.negated)
	}
	sound = sound && !(s.negActions && len(s.actions) == 0) && !(s.negResources && len(s.resources) == 0)
	s.inert = !s.deny && !sound
	return s
}

// compileAction reads a value of Action, which has wildcards but no variables.
func compileAction(text string) pattern {
	return compilePattern(text, grammar{wildcards: true})
}

func (s *statement) collectKeys(keys map[string]bool) {
	collect := func(p *pattern) {
		for _, a := range p.atoms {
			if a.kind == variable {
				keys[a.text] = true
			}
		}
	}
	for i := range s.resources {
		for j := range s.resources[i].parts {
			collect(&s.resources[i].parts[j])
		}
	}
	for i := range s.conditions {
		keys[s.conditions[i].key] = true
		switch t := s.conditions[i].test.(type) {
		case *textTest:
			for j := range t.patterns {
				collect(&t.patterns[j])
			}
		case arnTest:
			for j := range t {
				for k := range t[j].parts {
					collect(&t[j].parts[k])
				}
			}
		}
	}
	delete(keys, "")
}
