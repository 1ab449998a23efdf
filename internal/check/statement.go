package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// statement is a statement of a key policy, its place in it, counted from 1, and what is asked of it over and over.
type statement struct {
	*policy.Statement
	place    int
	actions  actionSet   // those that it covers
	named    []principal // whom it lists under Principal or NotPrincipal
	conds    []condition
	demanded map[string]bool // the keys, in lower case, that its conditions ask to be there
}

// String names the statement as a person finds it again.
func (s statement) String() string {
	if s.Sid == "" {
		return fmt.Sprintf("statement %d", s.place)
	}
	return fmt.Sprintf("statement %q", s.Sid)
}

// Title is String at the start of a sentence.
func (s statement) Title() string { return "S" + s.String()[1:] }

// principals returns whom an Allow names. NotPrincipal names everybody else, so strangers too.
func (s statement) principals() []principal {
	if s.NotPrincipal != nil {
		return []principal{{kind: anybodyKind, id: "everybody but those under NotPrincipal"}}
	}
	return s.named
}

// keyStatements returns the statements of the key's policy with an effect that are in force for the key. One without Resource never
// is: "Creating a key policy" of the KMS developer guide says that PutKeyPolicy takes it and that it applies to no key. Neither is one
// whose condition nothing can meet. Where only a variable decides, an Allow counts and a Deny does not.
func keyStatements(f *Facts, effect policy.Effect) []statement {
	var list []statement
	for i := range f.Policy.Statements {
		st := &f.Policy.Statements[i]
		if st.Effect != effect {
			continue
		}
		m := matchesResource(st, f.Key.ARN)
		if m == never || m == maybe && effect == policy.Deny || slices.ContainsFunc(st.Conditions, isHopeless) {
			continue
		}
		list = append(list, newStatement(st, i+1))
	}
	return list
}

func newStatement(st *policy.Statement, place int) statement {
	s := statement{Statement: st, place: place, actions: actionsOf(st), demanded: map[string]bool{}}
	switch {
	case st.NotPrincipal != nil:
		s.named = listed(st.NotPrincipal)
	case st.Principal != nil:
		s.named = listed(st.Principal)
	}
	for _, c := range st.Conditions {
		made := newCondition(c)
		if made.demands() {
			s.demanded[made.key] = true
		}
		s.conds = append(s.conds, made)
	}
	return s
}

// lets tells how surely the conditions of a statement are met by a request of p, as far as they say who calls.
func (s statement) lets(p principal) certainty {
	sure := surely
	for i := range s.conds {
		sure = min(sure, s.conds[i].holdsFor(p))
	}
	return sure
}

// certainty is the answer to a question that conditions and variables may leave open.
type certainty int

const (
	never certainty = iota
	maybe
	surely
)

// matchesResource tells whether the statement speaks of an ARN; one without Resource speaks of none. What a policy variable stands
// for is not known here.
func matchesResource(st *policy.Statement, arn string) certainty {
	if st.NotResources != nil {
		return surely - matchesAny(st.NotResources, arn)
	}
	return matchesAny(st.Resources, arn)
}

func matchesAny(patterns []string, arn string) certainty {
	best := never
	for _, p := range patterns {
		switch {
		case matchWild(p, arn, false):
			return surely
		case strings.Contains(p, "${") && matchWild(blankVariables(p), arn, false):
			best = maybe
		}
	}
	return best
}

// blankVariables puts a star in the place of every policy variable.
func blankVariables(s string) string {
	var b strings.Builder
	for {
		head, rest, found := strings.Cut(s, "${")
		b.WriteString(head)
		if !found {
			return b.String()
		}
		b.WriteByte('*')
		_, s, _ = strings.Cut(rest, "}")
	}
}

// someOf joins at most n items, and counts those left out.
func someOf(items []string, n int) string {
	if len(items) > n {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
	}
	return andList(items)
}

func andList(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

// conditionKeys lists the keys of the statement's conditions, each once.
func conditionKeys(st *policy.Statement) []string {
	seen := map[string]bool{}
	var keys []string
	for _, c := range st.Conditions {
		if !seen[c.Key] {
			seen[c.Key] = true
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// underConditions says under which conditions an Allow stands, for the end of a sentence.
func underConditions(st statement) string {
	if keys := conditionKeys(st.Statement); keys != nil {
		return ", under conditions on " + someOf(keys, 5)
	}
	return ""
}

// problems are sentences on what is wrong, the first found first. Those that no verdict shows are counted and left empty: a policy may
// have a thousand statements, each with a thousand principals.
type problems []string

func (p *problems) add(format string, args ...any) {
	sentence := ""
	if len(*p) <= maxNotes {
		sentence = fmt.Sprintf(format, args...)
	}
	*p = append(*p, sentence)
}

// maxNotes bounds what a finding says of further statements: a policy holds hundreds, and a report is read by people.
const maxNotes = 10

// on makes the first sentence the verdict's detail and the others its notes.
func (p problems) on(s Status) Verdict { return verdict(s, "%s", p[0]).andAll(p[1:]) }

// andAll adds notes, up to maxNotes of them.
func (v Verdict) andAll(notes []string) Verdict {
	for i, n := range notes {
		if i == maxNotes {
			return v.and("And %d more.", len(notes)-maxNotes)
		}
		v = v.and("%s", n)
	}
	return v
}
