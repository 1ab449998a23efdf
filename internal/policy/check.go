package policy

import "strings"

// check holds a document of the right shape against the rules that need more than its shape, and brings Bool values
// into one spelling. The policy is still the parser's own.
func check(pol *Policy) error {
	if len(pol.Statements) == 0 {
		return syntax("A policy must contain a statement.")
	}
	sids := make(map[string]bool, len(pol.Statements))
	for i := range pol.Statements {
		st := &pol.Statements[i]
		if err := checkStatement(st); err != nil {
			return err
		}
		if st.Sid == "" {
			continue
		}
		if sids[st.Sid] {
			return fail(msgSids)
		}
		sids[st.Sid] = true
	}
	return nil
}

// checkMeaning holds a statement against the rules without which it would have no one meaning.
func checkMeaning(st *Statement) error {
	switch {
	case st.Effect != Allow && st.Effect != Deny:
		return syntax("Effect must be Allow or Deny.")
	case st.Principal != nil && st.NotPrincipal != nil:
		return syntax("A statement cannot have both Principal and NotPrincipal.")
	case st.Actions != nil && st.NotActions != nil:
		return syntax("A statement cannot have both Action and NotAction.")
	case st.Resources != nil && st.NotResources != nil:
		return syntax("A statement cannot have both Resource and NotResource.")
	}
	return nil
}

func checkStatement(st *Statement) error {
	if err := checkMeaning(st); err != nil {
		return err
	}
	switch {
	case st.NotPrincipal != nil && st.Effect == Allow:
		return syntax("NotPrincipal cannot be used with Allow.")
	case len(st.Actions)+len(st.NotActions) == 0:
		return fail(msgNoActions)
	case (st.Resources != nil || st.NotResources != nil) && len(st.Resources)+len(st.NotResources) == 0:
		return fail(msgNoResource)
	}
	for _, ps := range []*Principals{st.Principal, st.NotPrincipal} {
		if ps != nil && !ps.valid() {
			return fail(msgPrincipals)
		}
	}
	for _, list := range [][]string{st.Actions, st.NotActions} {
		for _, a := range list {
			if err := checkAction(a); err != nil {
				return err
			}
		}
	}
	for _, list := range [][]string{st.Resources, st.NotResources} {
		for _, r := range list {
			if r != "*" && !isARN(r) {
				return fail("Resource %s must be in ARN format or \"*\".", echo(r))
			}
		}
	}
	return checkConditions(st.Conditions)
}

// checkAction takes "*" and "service:Name"; only the name may have wildcards, or the service be a whole "*".
func checkAction(a string) error {
	if a == "*" {
		return nil
	}
	service, name, ok := strings.Cut(a, ":")
	switch {
	case !ok:
		return fail(msgPrefix)
	case strings.Contains(name, ":"):
		return fail(msgColons)
	case service != "*" && (service == "" || !only(service, "-.")):
		return fail("Vendor %s is not valid", echo(service))
	case name == "" || !only(name, "*?"):
		return fail("Action %s is not valid.", echo(a))
	}
	return nil
}

func checkConditions(cs []Condition) error {
	type operatorKey struct {
		op  Operator
		key string
	}
	seen := make(map[operatorKey]bool, len(cs))
	for _, c := range cs {
		// One colon or more: "kms:EncryptionContext:name" has two.
		if strings.Index(c.Key, ":") <= 0 || strings.HasSuffix(c.Key, ":") {
			return fail(msgPrefix)
		}
		k := operatorKey{c.Operator, lower(c.Key)}
		if seen[k] {
			return syntax("Condition key %q occurs twice for %s.", echo(c.Key), c.Operator)
		}
		seen[k] = true
		if len(c.Values) == 0 {
			return syntax("Condition key %q has no values.", echo(c.Key))
		}
		for i, v := range c.Values {
			norm, ok := normalValue(c.Operator.Name, v)
			if !ok {
				return syntax("Value %q is not valid for %s.", echo(v), c.Operator)
			}
			c.Values[i] = norm
		}
	}
	return nil
}

// only reports whether s is ASCII letters, digits and the bytes of more.
func only(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// lower folds ASCII only: Unicode folding would make names equal that no service takes for one.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
