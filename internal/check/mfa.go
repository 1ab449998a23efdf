package check

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// Condition keys of multi-factor authentication, in lower case. With long-term credentials both are absent. With temporary ones
// mfaPresent is true or false, and mfaAge is there only after MFA ("AWS global condition context keys" of the IAM user guide).
const (
	mfaPresent = "aws:multifactorauthpresent"
	mfaAge     = "aws:multifactorauthage"
)

func evalPolicyMFADeletion(f *Facts, _ *Settings) Verdict {
	actions := []string{actionScheduleDeletion}
	if f.Key.Origin == OriginExternal {
		actions = append(actions, actionDeleteMaterial)
	}
	denies := keyStatements(f, policy.Deny)
	var open problems
	guarded := false
	for _, st := range keyStatements(f, policy.Allow) {
		var who []principal
		var what []string
		for _, action := range actions {
			if !covers(st.Statement, action) {
				continue
			}
			for _, p := range principalsOf(st.Statement) {
				if _, denied := deniedBy(denies, p, action); !p.person() || denied {
					continue
				}
				if asksForMFA(st.Statement) || deniedWithoutMFA(denies, p, action) {
					guarded = true
					continue
				}
				who = append(who, p)
				if !slices.Contains(what, action) {
					what = append(what, action)
				}
			}
		}
		if who != nil {
			open.add("%s allows %s to %s without multi-factor authentication.", st.Title(), andList(what), nameAll(who))
		}
	}
	switch {
	case open == nil && guarded:
		return pass("Whoever may call %s needs multi-factor authentication.", andList(actions))
	case open == nil:
		return pass("The key policy lets no user or role call %s.", andList(actions))
	}
	v := open.on(Fail)
	for _, d := range denies {
		if slices.ContainsFunc(actions, func(a string) bool { return covers(d.Statement, a) }) && missesLongTerm(d.Statement) {
			v = v.and("%s denies with Bool on aws:MultiFactorAuthPresent, which does not reach long-term credentials: the key is absent "+
				"then, and only BoolIfExists holds.", d.Title())
		}
	}
	return v
}

// asksForMFA tells whether the conditions of an Allow are met by nobody who came without MFA.
func asksForMFA(st *policy.Statement) bool {
	return slices.ContainsFunc(st.Conditions, func(c policy.Condition) bool {
		if c.Operator.IfExists || c.Operator.Quantifier == policy.ForAllValues {
			return false
		}
		switch key := strings.ToLower(c.Key); c.Operator.Name {
		case "Bool":
			return key == mfaPresent && !slices.Contains(c.Values, "false")
		case "NumericLessThan", "NumericLessThanEquals":
			return key == mfaAge
		case "Null":
			return key == mfaAge && !slices.Contains(c.Values, "true")
		default:
			return false
		}
	})
}

// deniedWithoutMFA tells whether the Deny statements together take an action away from p whenever p comes without MFA, be it with
// long-term credentials or with temporary ones.
func deniedWithoutMFA(denies []statement, p principal, action string) bool {
	caught := func(longTerm bool) bool {
		return slices.ContainsFunc(denies, func(d statement) bool {
			return covers(d.Statement, action) && reaches(d.Statement, p) &&
				!slices.ContainsFunc(d.Conditions, func(c policy.Condition) bool { return !holdsFor(c, p) && !holdsWithoutMFA(c, longTerm) })
		})
	}
	return caught(true) && caught(false)
}

// holdsWithoutMFA tells whether a condition is certainly met by a caller without MFA.
func holdsWithoutMFA(c policy.Condition, longTerm bool) bool {
	if c.Operator.Quantifier != policy.Single {
		return false
	}
	key := strings.ToLower(c.Key)
	switch c.Operator.Name {
	case "Bool":
		return key == mfaPresent && slices.Contains(c.Values, "false") && (c.Operator.IfExists || !longTerm)
	case "Null":
		return slices.Contains(c.Values, "true") && (key == mfaAge || key == mfaPresent && longTerm)
	case "NumericGreaterThan", "NumericGreaterThanEquals":
		return key == mfaAge && c.Operator.IfExists
	default:
		return false
	}
}

// missesLongTerm tells whether a Deny asks for MFA in the way that long-term credentials slip through.
func missesLongTerm(deny *policy.Statement) bool {
	return slices.ContainsFunc(deny.Conditions, func(c policy.Condition) bool {
		return strings.ToLower(c.Key) == mfaPresent && c.Operator.Name == "Bool" && !c.Operator.IfExists && slices.Contains(c.Values, "false")
	})
}
