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
	denies := newDenials(f)
	var open problems
	guarded := false
	for _, st := range keyStatements(f, policy.Allow) {
		asked := st.actions & setOf(actions...)
		if asked == 0 {
			continue
		}
		asks := asksForMFA(st.Statement)
		var who []principal
		var what actionSet
		for _, c := range callersOf(st, f.Account, denies) {
			left := asked &^ c.denial.taken
			if !c.person() || left == 0 {
				continue
			}
			if left &^= c.denial.longTerm & c.denial.passing; asks || left == 0 {
				guarded = true
				continue
			}
			who, what = append(who, c.principal), what|left
		}
		if who != nil {
			open.add("%s allows %s to %s without multi-factor authentication.", st.Title(), andList(what.among(actions)), nameList(who))
		}
	}
	switch {
	case open == nil && guarded:
		return pass("Whoever may call %s needs multi-factor authentication.", andList(actions))
	case open == nil:
		return pass("The key policy lets no user or role call %s.", andList(actions))
	}
	v := open.on(Fail)
	for _, d := range denies.list {
		if d.actions&setOf(actions...) != 0 && missesLongTerm(d.Statement) {
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
