package policy

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads a policy document of at most MaxKeyPolicyBytes. Errors are *Error.
//
// Stricter than AWS where AWS's leniency would hide a mistake: empty lists, empty operator blocks, duplicate names (of
// condition keys without regard to case) and NotPrincipal with Allow are refused.
func Parse(doc []byte) (*Policy, error) {
	pol, err := read(doc, MaxKeyPolicyBytes)
	if err != nil {
		return nil, err
	}
	if err := check(pol); err != nil {
		return nil, err
	}
	return pol, nil
}

// MaxInForceBytes is the longest document ParseInForce takes, in bytes: some managed policies of AWS's own are longer than a key policy
// may be.
const MaxInForceBytes = 256 << 10

// ParseInForce reads a policy document that a service has accepted and acts upon, to judge it. It must be of the language, but what it
// says need not be what Parse would let in: principals that are gone stand in it as bare unique IDs, lists may be empty, NotPrincipal
// may stand beside Allow. Errors are *Error.
func ParseInForce(doc []byte) (*Policy, error) {
	pol, err := read(doc, MaxInForceBytes)
	if err != nil {
		return nil, err
	}
	for _, st := range pol.Statements {
		if err := checkMeaning(&st); err != nil {
			return nil, err
		}
		for _, c := range st.Conditions {
			for i, v := range c.Values {
				if norm, ok := normalValue(c.Operator.Name, v); ok {
					c.Values[i] = norm
				}
			}
		}
	}
	return pol, nil
}

// read reads a document of at most limit bytes for its grammar.
func read(doc []byte, limit int) (*Policy, error) {
	if len(doc) > limit {
		return nil, fail("Policy document is longer than %d bytes.", limit)
	}
	// The decoder refuses duplicate names and invalid UTF-8. It is read token by token against the grammar, which is
	// not recursive, so that nesting is refused at the first bracket too many.
	p := parser{dec: jsontext.NewDecoder(bytes.NewReader(doc))}
	pol, err := p.policy()
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, syntax("Text follows the document.")
	}
	return pol, nil
}

type parser struct {
	dec *jsontext.Decoder
}

// token reads the next token; any fault in the JSON itself surfaces here.
func (p *parser) token() (jsontext.Token, error) {
	t, err := p.dec.ReadToken()
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return t, syntax("A name occurs twice in one object.")
	default:
		// The decoder's own words quote the document without a bound.
		return t, syntax("The document is not valid JSON (near byte %d).", p.dec.InputOffset())
	}
}

// object reads an object and calls member with each name, the decoder standing before the value.
func (p *parser) object(what string, member func(name string) error) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t.Kind() != '{' {
		return syntax("%s must be an object.", what)
	}
	for {
		t, err := p.token()
		if err != nil {
			return err
		}
		if t.Kind() == '}' {
			return nil
		}
		if err := member(t.String()); err != nil {
			return err
		}
	}
}

// str reads a string.
func (p *parser) str(what string) (string, error) {
	t, err := p.token()
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", syntax("%s must be a string.", what)
	}
	return t.String(), nil
}

// list reads one value or an array of them. Scalars says whether numbers and booleans stand for their text.
func (p *parser) list(what string, scalars bool) ([]string, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	if t.Kind() != '[' {
		s, ok := scalar(t, scalars)
		if !ok {
			return nil, syntax("%s must be a string or a list of strings.", what)
		}
		return []string{s}, nil
	}
	vals := []string{}
	for {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		if t.Kind() == ']' {
			return vals, nil
		}
		s, ok := scalar(t, scalars)
		if !ok {
			return nil, syntax("%s must be a string or a list of strings.", what)
		}
		vals = append(vals, s)
	}
}

func scalar(t jsontext.Token, scalars bool) (string, bool) {
	switch t.Kind() {
	case '"':
		return t.String(), true
	case '0', 't', 'f':
		return t.String(), scalars
	default:
		return "", false
	}
}

func (p *parser) policy() (*Policy, error) {
	pol := &Policy{Version: Version2008}
	err := p.object("A policy", func(name string) (err error) {
		switch name {
		case "Version":
			pol.Version, err = p.str("Version")
			if err == nil && pol.Version != Version2008 && pol.Version != Version2012 {
				err = syntax("Version must be %s or %s.", Version2012, Version2008)
			}
		case "Id":
			pol.ID, err = p.str("Id")
		case "Statement":
			pol.Statements, err = p.statements()
		default:
			err = syntax("Unknown element %q.", echo(name))
		}
		return err
	})
	return pol, err
}

func (p *parser) statements() ([]Statement, error) {
	if p.dec.PeekKind() != '[' {
		st, err := p.statement()
		return []Statement{st}, err
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	var sts []Statement
	for p.dec.PeekKind() != ']' {
		st, err := p.statement()
		if err != nil {
			return nil, err
		}
		sts = append(sts, st)
	}
	_, err := p.token()
	return sts, err
}

func (p *parser) statement() (Statement, error) {
	var st Statement
	err := p.object("A statement", func(name string) (err error) {
		switch name {
		case "Sid":
			st.Sid, err = p.str(name)
		case "Effect":
			var s string
			s, err = p.str(name)
			st.Effect = Effect(s)
		case "Principal":
			st.Principal, err = p.principals(name)
		case "NotPrincipal":
			st.NotPrincipal, err = p.principals(name)
		case "Action":
			st.Actions, err = p.list(name, false)
		case "NotAction":
			st.NotActions, err = p.list(name, false)
		case "Resource":
			st.Resources, err = p.list(name, false)
		case "NotResource":
			st.NotResources, err = p.list(name, false)
		case "Condition":
			st.Conditions, err = p.conditions()
		default:
			err = syntax("Unknown element %q in a statement.", echo(name))
		}
		return err
	})
	return st, err
}

func (p *parser) principals(what string) (*Principals, error) {
	if p.dec.PeekKind() == '"' {
		s, err := p.str(what)
		if err != nil {
			return nil, err
		}
		if s != "*" {
			return nil, fail(msgPrincipals)
		}
		return &Principals{Any: true}, nil
	}
	ps := &Principals{}
	err := p.object(what, func(name string) (err error) {
		switch name {
		case "AWS":
			ps.AWS, err = p.list(what, false)
		case "Service":
			ps.Service, err = p.list(what, false)
		case "Federated":
			ps.Federated, err = p.list(what, false)
		case "CanonicalUser":
			ps.CanonicalUser, err = p.list(what, false)
		default:
			err = syntax("Unknown kind of principal %q.", echo(name))
		}
		return err
	})
	return ps, err
}

func (p *parser) conditions() ([]Condition, error) {
	var cs []Condition
	err := p.object("Condition", func(name string) error {
		op, ok := parseOperator(name)
		if !ok {
			return syntax("Unknown condition operator %q.", echo(name))
		}
		first := len(cs)
		err := p.object("A condition operator", func(key string) error {
			vals, err := p.list("A condition value", true)
			cs = append(cs, Condition{Operator: op, Key: key, Values: vals})
			return err
		})
		if err == nil && len(cs) == first {
			err = syntax("Condition operator %s has no keys.", op)
		}
		return err
	})
	return cs, err
}
