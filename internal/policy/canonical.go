package policy

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the document in one fixed form, without white space, every list as an array in its own order, and
// returns the extended buffer. Parse reads it back as an equal Policy.
func (p *Policy) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"Version":`...)
	dst = appendString(dst, p.Version)
	if p.ID != "" {
		dst = append(dst, `,"Id":`...)
		dst = appendString(dst, p.ID)
	}
	dst = append(dst, `,"Statement":[`...)
	for i := range p.Statements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.Statements[i].appendJSON(dst)
	}
	return append(dst, `]}`...)
}

func (st *Statement) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if st.Sid != "" {
		dst = append(dst, `"Sid":`...)
		dst = appendString(dst, st.Sid)
		dst = append(dst, ',')
	}
	dst = append(dst, `"Effect":`...)
	dst = appendString(dst, string(st.Effect))
	dst = st.Principal.appendMember(dst, "Principal")
	dst = st.NotPrincipal.appendMember(dst, "NotPrincipal")
	dst = appendList(dst, "Action", st.Actions)
	dst = appendList(dst, "NotAction", st.NotActions)
	dst = appendList(dst, "Resource", st.Resources)
	dst = appendList(dst, "NotResource", st.NotResources)
	if len(st.Conditions) > 0 {
		dst = append(dst, `,"Condition":{`...)
		for i, c := range st.Conditions {
			switch {
			case i == 0:
				dst = appendString(dst, c.Operator.String())
				dst = append(dst, ":{"...)
			case c.Operator != st.Conditions[i-1].Operator:
				dst = append(dst, "},"...)
				dst = appendString(dst, c.Operator.String())
				dst = append(dst, ":{"...)
			default:
				dst = append(dst, ',')
			}
			dst = appendString(dst, c.Key)
			dst = append(dst, ':')
			dst = appendArray(dst, c.Values)
		}
		dst = append(dst, "}}"...)
	}
	return append(dst, '}')
}

func (p *Principals) appendMember(dst []byte, name string) []byte {
	if p == nil {
		return dst
	}
	dst = append(dst, ',')
	dst = appendString(dst, name)
	if p.Any {
		return append(dst, `:"*"`...)
	}
	dst = append(dst, ":{"...)
	open := len(dst)
	dst = appendList(dst, "AWS", p.AWS)
	dst = appendList(dst, "Service", p.Service)
	dst = appendList(dst, "Federated", p.Federated)
	dst = appendList(dst, "CanonicalUser", p.CanonicalUser)
	if len(dst) > open {
		dst = slices.Delete(dst, open, open+1) // the first list's comma
	}
	return append(dst, '}')
}

// appendList appends a further member, its comma in front; nothing for an absent list.
func appendList(dst []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(dst, ',')
	dst = appendString(dst, name)
	dst = append(dst, ':')
	return appendArray(dst, list)
}

func appendArray(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

func appendString(dst []byte, s string) []byte {
	// The error reports invalid UTF-8, which a parsed policy has none of and which is replaced anyhow.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// Equivalent reports whether a and b mean the same by their structure: formatting, one value or a list of one, the
// order and repetition in lists and of statements, Id and Sid, the case of actions and condition keys, and the two
// spellings of an account and of everybody make no difference. Wildcards are compared as text, so policies that
// happen to allow the same may still differ.
func Equivalent(a, b *Policy) bool {
	// The versions differ in whether variables are replaced, and so in nothing where there are none.
	if a.Version != b.Version && (a.hasVariables() || b.hasVariables()) {
		return false
	}
	return slices.Equal(a.meaning(), b.meaning())
}

// meaning returns one text for each distinct statement, equal for equivalent statements, sorted.
func (p *Policy) meaning() []string {
	texts := make([]string, 0, len(p.Statements))
	for i := range p.Statements {
		st := p.Statements[i].normal()
		texts = append(texts, string(st.appendJSON(nil)))
	}
	return set(texts)
}

// normal returns the statement in the one spelling that Equivalent compares.
func (st *Statement) normal() Statement {
	n := Statement{
		Effect:       st.Effect,
		Principal:    st.Principal.normal(),
		NotPrincipal: st.NotPrincipal.normal(),
		Actions:      set(st.Actions, lower),
		NotActions:   set(st.NotActions, lower),
		Resources:    set(st.Resources),
		NotResources: set(st.NotResources),
	}
	for _, c := range st.Conditions {
		n.Conditions = append(n.Conditions, Condition{c.Operator, lower(c.Key), set(c.Values)})
	}
	slices.SortFunc(n.Conditions, func(x, y Condition) int {
		if d := strings.Compare(x.Operator.String(), y.Operator.String()); d != 0 {
			return d
		}
		return strings.Compare(x.Key, y.Key)
	})
	return n
}

func (p *Principals) normal() *Principals {
	if p == nil {
		return nil
	}
	n := &Principals{
		AWS:           set(p.AWS, accountARN),
		Service:       set(p.Service, lower),
		Federated:     set(p.Federated),
		CanonicalUser: set(p.CanonicalUser, lower),
	}
	// IAM: in a policy on a resource, "*" and {"AWS": "*"} are the same.
	if p.Any {
		n.AWS = []string{"*"}
	}
	return n
}

// accountARN spells an account out as IAM does.
func accountARN(s string) string {
	if isAccount(s) {
		return "arn:aws:iam::" + s + ":root"
	}
	return s
}

// set returns the list sorted, without repetitions, and spelled as spell does. The list itself stays as it is.
func set(list []string, spell ...func(string) string) []string {
	out := slices.Clone(list)
	for _, f := range spell {
		for i := range out {
			out[i] = f(out[i])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hasVariables reports whether the document has anything that Version2012 would replace.
func (p *Policy) hasVariables() bool {
	variable := func(s string) bool { return strings.Contains(s, "${") }
	for _, st := range p.Statements {
		if slices.ContainsFunc(st.Resources, variable) || slices.ContainsFunc(st.NotResources, variable) {
			return true
		}
		for _, c := range st.Conditions {
			if slices.ContainsFunc(c.Values, variable) {
				return true
			}
		}
	}
	return false
}
