package policy

import "strings"

// condition is a compiled Condition.
type condition struct {
	key        string // in lower case
	quantifier Quantifier
	ifExists   bool
	negated    bool // the operator is one of those with Not
	test       tester
}

// tester holds the values of a condition, ready to be compared. It is one of the types that compares knows; nullTest is none of
// them, as it is not about values.
type tester any

// compares tells whether a value of a request is matched by one of those of the policy, Not set aside: several are alternatives, and
// a negated operator asks for none of them ("Conditions with multiple context keys or values"). It is a switch because a method of
// an interface would move the evaluation to the heap.
func (c *condition) compares(e *evaluation, value string) bool {
	switch t := c.test.(type) {
	case *textTest:
		return t.test(e, value)
	case arnTest:
		return t.test(e, value)
	case *numberTest:
		return t.test(e, value)
	case *dateTest:
		return t.test(e, value)
	case boolTest:
		return t.test(value)
	case binaryTest:
		return t.test(e, value)
	case ipTest:
		return t.test(e, value)
	default:
		return false
	}
}

// compileCondition compiles a condition. Sound is false if a value cannot be compared by the operator, or the operator is unknown;
// Parse accepts neither but for malformed variables and ARNs, which it does not look into.
func compileCondition(c Condition, variables bool) (compiled condition, sound bool) {
	name, negated := c.Operator.Name, false
	if i := strings.Index(name, "Not"); i >= 0 {
		name, negated = name[:i]+name[i+len("Not"):], true
	}
	compiled = condition{
		key:        lower(c.Key),
		quantifier: c.Operator.Quantifier,
		ifExists:   c.Operator.IfExists,
		negated:    negated,
	}
	if operatorKind(c.Operator.Name) == 0 {
		return compiled, false
	}
	compiled.test, sound = compileTest(name, c.Values, variables)
	return compiled, sound && len(c.Values) > 0
}

// holds reports whether the condition is met ("IAM JSON policy elements: Condition operators"). A key without values is one that the
// request does not have.
func (c *condition) holds(e *evaluation, deny bool) bool {
	values := e.values(c.key)
	switch test := c.test.(type) {
	case nil:
		return deny
	case nullTest:
		return test.test(len(values) == 0)
	}
	if len(values) == 0 {
		return c.holdsAbsent(deny)
	}
	switch c.quantifier {
	case ForAllValues:
		return c.all(e, values)
	case ForAnyValue:
		return c.any(e, values)
	default:
		// A key with several values needs a quantifier ("Single-valued vs. multivalued context keys"), and what happens without
		// one is not said. So it never serves to allow, and denies when any one of the values would.
		if len(values) > 1 && !deny {
			return false
		}
		return c.any(e, values)
	}
}

// holdsAbsent says what a condition is when the request does not have the key: ForAllValues is true and ForAnyValue false, whatever
// they qualify; a negated operator is true, and what ends with IfExists. For both ForAnyValue and IfExists the guide does not say
// which of them prevails; the one that does not let the request through.
func (c *condition) holdsAbsent(deny bool) bool {
	switch c.quantifier {
	case ForAllValues:
		return true
	case ForAnyValue:
		return c.ifExists && deny
	default:
		return c.negated || c.ifExists
	}
}

func (c *condition) all(e *evaluation, values []string) bool {
	for _, v := range values {
		if e.exhausted() || c.compares(e, v) == c.negated {
			return false
		}
	}
	return true
}

func (c *condition) any(e *evaluation, values []string) bool {
	for _, v := range values {
		if e.exhausted() {
			break
		}
		if c.compares(e, v) != c.negated {
			return true
		}
	}
	return false
}
