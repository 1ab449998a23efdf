package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// This file decides as Compiled does, but slowly and from the Policy itself, without anything of what Compile prepares: what
// FuzzEvaluate compares with. Patterns are lists of symbols, matched by matchSimply.

// reference evaluates a policy and returns the indexes of the statements that match.
func reference(p *Policy, r *Request, onResource bool) (matching []int) {
	for i := range p.Statements {
		if refStatement(p, &p.Statements[i], r, onResource) {
			matching = append(matching, i)
		}
	}
	return matching
}

func refStatement(p *Policy, st *Statement, r *Request, onResource bool) bool {
	variables, deny := p.Version == Version2012, st.Effect == Deny
	if !deny && refMeaningless(st, variables) {
		return false
	}
	if !onResource && (st.Principal != nil || st.NotPrincipal != nil) || onResource && !refPrincipal(st, r.Who) {
		return false
	}
	action := func(a string) bool {
		return matchSimply(wildSymbols(lowerASCII(a)), symbols(lowerASCII(r.Action)))
	}
	if slices.ContainsFunc(st.NotActions, action) || st.NotActions == nil && !slices.ContainsFunc(st.Actions, action) {
		return false
	}
	resource := func(v string) bool {
		if v == "*" {
			return true
		}
		text := refSplit(v, variables)
		return len(text) == 6 && !slices.ContainsFunc(text[:5], func(s string) bool { return variables && strings.Contains(s, "${") }) &&
			refARN(v, r.Resource, variables, r)
	}
	switch {
	case st.NotResources != nil:
		if slices.ContainsFunc(st.NotResources, resource) {
			return false
		}
	case st.Resources != nil:
		if !slices.ContainsFunc(st.Resources, resource) {
			return false
		}
	default:
		if !onResource && !deny {
			return false
		}
	}
	for _, c := range st.Conditions {
		if !refCondition(c, r, variables, deny) {
			return false
		}
	}
	return true
}

// refMeaningless tells whether a value that never matches would widen an Allow.
func refMeaningless(st *Statement, variables bool) bool {
	bad := func(v string) bool { _, ok := refExpand(v, false, variables, nil); return !ok }
	for _, v := range st.NotResources {
		parts := refSplit(v, variables)
		if v != "*" && (len(parts) != 6 || bad(v) || variables && strings.Contains(strings.Join(parts[:5], ""), "${")) {
			return true
		}
	}
	for _, c := range st.Conditions {
		if !strings.Contains(c.Operator.Name, "Not") {
			continue
		}
		for _, v := range c.Values {
			isText := operatorKind(c.Operator.Name) == textValue
			if isText && bad(v) || strings.HasPrefix(c.Operator.Name, "Arn") && len(refSplit(v, variables)) != 6 {
				return true
			}
		}
	}
	return false
}

func refPrincipal(st *Statement, w *Who) bool {
	names := func(ps *Principals) (account, identity, session, all bool) {
		for _, id := range ps.AWS {
			root := strings.HasSuffix(id, ":root") && strings.Contains(id, ":iam:")
			switch {
			case id == "*":
				all = true
			case len(id) == 12 && id == w.Account, root && id == "arn:aws:iam::"+w.Account+":root":
				account = w.Account != ""
			case id == w.ARN && w.Kind == User, id == w.Role && w.Kind == RoleSession:
				identity = true
			case id == w.ARN && w.Kind == RoleSession:
				session = true
			}
		}
		return account, identity, session || slices.Contains(ps.Service, w.Service), all || ps.Any
	}
	switch {
	case st.Principal != nil:
		account, identity, session, all := names(st.Principal)
		return account || identity || session || all
	case st.NotPrincipal != nil:
		account, identity, session, all := names(st.NotPrincipal)
		switch {
		case all:
			return false
		case w.Kind == Service:
			return !session
		case w.Kind == Root:
			return !account
		case w.Kind == User:
			return !account || !identity
		default:
			return !account || !identity || !session
		}
	default:
		return false
	}
}

func refCondition(c Condition, r *Request, variables, deny bool) bool {
	values, present := r.Value(lowerASCII(c.Key))
	absent := !present || len(values) == 0
	if c.Operator.Name == "Null" {
		return slices.Contains(c.Values, map[bool]string{true: "true", false: "false"}[absent])
	}
	negated := strings.Contains(c.Operator.Name, "Not")
	one := func(v string) bool {
		return negated != slices.ContainsFunc(c.Values, func(p string) bool { return refCompare(c.Operator.Name, p, v, variables, r) })
	}
	failing := func(v string) bool { return !one(v) }
	switch c.Operator.Quantifier {
	case ForAllValues:
		return absent || !slices.ContainsFunc(values, failing)
	case ForAnyValue:
		return absent && c.Operator.IfExists && deny || !absent && slices.ContainsFunc(values, one)
	}
	switch {
	case absent:
		return negated || c.Operator.IfExists
	case len(values) > 1 && !deny:
		return false
	default:
		return slices.ContainsFunc(values, one)
	}
}

func refCompare(operator, p, v string, variables bool, r *Request) bool {
	operator = strings.Replace(operator, "Not", "", 1)
	order := func(less, equal bool) bool {
		switch {
		case strings.HasSuffix(operator, "LessThan"):
			return less
		case strings.HasSuffix(operator, "LessThanEquals"):
			return less || equal
		case strings.HasSuffix(operator, "GreaterThan"):
			return !less && !equal
		case strings.HasSuffix(operator, "GreaterThanEquals"):
			return !less
		default:
			return equal
		}
	}
	switch {
	case strings.HasPrefix(operator, "Arn"):
		return refARN(p, v, variables, r)
	case strings.HasPrefix(operator, "String"):
		list, ok := refExpand(p, operator == "StringLike", variables, r)
		if operator == "StringEqualsIgnoreCase" {
			return ok && strings.EqualFold(string(list), v)
		}
		return ok && matchSimply(list, symbols(v))
	case strings.HasPrefix(operator, "Numeric"):
		a, ok := parseNumeric(v)
		b, good := parseNumeric(p)
		return ok && good && order(a < b, a == b)
	case strings.HasPrefix(operator, "Date"):
		a, ok := parseDate(v)
		b, good := parseDate(p)
		return ok && good && order(a.Before(b), a.Equal(b))
	case operator == "Bool":
		return strings.ToLower(v) == p
	case operator == "IpAddress":
		network, ok := parseIP(p)
		a, err := netip.ParseAddr(v)
		return ok && err == nil && a.Is4() == network.Addr().Is4() && network.Masked() == netip.PrefixFrom(a, network.Bits()).Masked()
	case operator == "BinaryEquals":
		b, ok := parseBinary(p)
		return ok && b == v
	default:
		return false
	}
}
