package policy

import (
	"cmp"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// compileTest compiles the values of an operator, whose name is without Not. Ok is false if one of them cannot be compared; the others
// still are.
func compileTest(name string, values []string, variables bool) (t tester, ok bool) {
	kind, relation := cutRelation(name)
	switch kind {
	case "String":
		return compileText(relation, values, variables)
	case "Arn":
		return compileARNs(values, variables)
	case "Numeric":
		numbers, ok := collect(values, parseNumeric)
		return &numberTest{relation, numbers}, ok
	case "Date":
		dates, ok := collect(values, parseDate)
		return &dateTest{relation, dates}, ok
	case "Bool":
		bools, ok := collect(values, parseBool)
		return newBoolTest(bools), ok
	case "Null":
		bools, ok := collect(values, parseBool)
		return nullTest(newBoolTest(bools)), ok
	case "Binary":
		binaries, ok := collect(values, parseBinary)
		return binaryTest(binaries), ok
	case "Ip":
		prefixes, ok := collect(values, parseIP)
		for i := range prefixes {
			prefixes[i] = unmap(prefixes[i])
		}
		return ipTest(prefixes), ok
	default:
		return nil, false
	}
}

// relation is how values are compared: the rest of an operator's name.
type relation string

// cutRelation takes apart the operators of "IAM JSON policy elements: Condition operators", their Not aside.
func cutRelation(name string) (kind string, r relation) {
	for _, kind := range []string{"String", "Arn", "Numeric", "Date", "Binary", "Ip"} {
		if rest, ok := strings.CutPrefix(name, kind); ok && operatorKind(name) != 0 {
			return kind, relation(rest)
		}
	}
	return name, ""
}

// holds tells whether a comparison of the request's value with the policy's came out as the relation asks.
func (r relation) holds(c int) bool {
	switch r {
	case "Equals":
		return c == 0
	case "LessThan":
		return c < 0
	case "LessThanEquals":
		return c <= 0
	case "GreaterThan":
		return c > 0
	case "GreaterThanEquals":
		return c >= 0
	default:
		return false
	}
}

// collect parses values and leaves out those that do not parse.
func collect[T any](values []string, parse func(string) (T, bool)) (list []T, ok bool) {
	ok = true
	for _, v := range values {
		if t, valid := parse(v); valid {
			list = append(list, t)
		} else {
			ok = false
		}
	}
	return list, ok
}

type textTest struct {
	patterns   []pattern
	ignoreCase bool
}

func compileText(r relation, values []string, variables bool) (tester, bool) {
	t := textTest{ignoreCase: r == "EqualsIgnoreCase"}
	ok := true
	for _, v := range values {
		p := compilePattern(v, grammar{wildcards: r == "Like", variables: variables})
		t.patterns = append(t.patterns, p)
		ok = ok && !p.malformed()
	}
	return &t, ok
}

func (t *textTest) test(e *evaluation, value string) bool {
	for i := range t.patterns {
		p := &t.patterns[i]
		if t.ignoreCase && e.equalFold(p, value) || !t.ignoreCase && e.matches(p, value, false) {
			return true
		}
	}
	return false
}

// arnTest is ArnLike, which ArnEquals behaves identically to.
type arnTest []arnPattern

func compileARNs(values []string, variables bool) (tester, bool) {
	var t arnTest
	sound := true
	for _, v := range values {
		a, ok := compileARN(v, grammar{wildcards: true, variables: variables})
		if ok {
			t = append(t, a)
		}
		sound = sound && ok && !a.malformed()
	}
	return t, sound
}

func (t arnTest) test(e *evaluation, value string) bool {
	parts, ok := cutARN(value)
	if !ok {
		return false
	}
	for i := range t {
		if e.matchesARN(&t[i], &parts) {
			return true
		}
	}
	return false
}

type numberTest struct {
	relation
	numbers []float64
}

func (t *numberTest) test(e *evaluation, value string) bool {
	e.spend(len(value) + len(t.numbers))
	v, ok := parseNumeric(value)
	return ok && slices.ContainsFunc(t.numbers, func(n float64) bool { return t.holds(cmp.Compare(v, n)) })
}

type dateTest struct {
	relation
	dates []time.Time
}

func (t *dateTest) test(e *evaluation, value string) bool {
	e.spend(len(t.dates))
	// What requests have nearly always, first: to try the other forms costs an error each.
	v, err := time.Parse(time.RFC3339, value)
	if err != nil {
		var ok bool
		if v, ok = parseDate(value); !ok {
			return false
		}
	}
	return slices.ContainsFunc(t.dates, func(d time.Time) bool { return t.holds(v.Compare(d)) })
}

type boolTest struct {
	wantTrue, wantFalse bool
}

func newBoolTest(bools []bool) boolTest {
	return boolTest{slices.Contains(bools, true), slices.Contains(bools, false)}
}

func (t boolTest) wants(v bool) bool { return v && t.wantTrue || !v && t.wantFalse }

func (t boolTest) test(value string) bool {
	v, ok := parseBool(value)
	return ok && t.wants(v)
}

// nullTest is asked whether the request lacks the key.
type nullTest boolTest

func (t nullTest) test(absent bool) bool { return boolTest(t).wants(absent) }

func parseBool(s string) (value, ok bool) {
	value = len(s) == len("true") && sameText(s, "true", true)
	return value, value || len(s) == len("false") && sameText(s, "false", true)
}

// binaryTest holds bytes, and the request's values are bytes, not base64.
type binaryTest []string

func parseBinary(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err == nil
}

func (t binaryTest) test(e *evaluation, value string) bool {
	e.spend(len(t))
	return slices.Contains(t, value)
}

type ipTest []netip.Prefix

func (t ipTest) test(e *evaluation, value string) bool {
	e.spend(len(t))
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	return slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(a) })
}

// unmap turns a range of IPv4 addresses written as IPv6 into one of IPv4, as addresses of requests are.
func unmap(p netip.Prefix) netip.Prefix {
	const mapping = 96 // bits before the address
	if p.Addr().Is4In6() && p.Bits() >= mapping {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapping)
	}
	return p
}
