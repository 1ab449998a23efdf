package check

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// whoKeys are the condition keys that tell who calls or from which network, in lower case, each with what makes a value name
// somebody. Whether a policy is public follows the rules that AWS publishes for Security Hub's KMS.5 and its Config rule
// kms-key-policy-no-public-access, and for "the meaning of public" in the S3 user guide, which IAM Access Analyzer shares: access
// must be confined to fixed values, without wildcards and variables. Keys that say how or for what somebody calls, such as
// kms:ViaService, kms:GrantIsForAWSResource and kms:EncryptionContext, confine nobody: any account can call through its own
// resources. Neither do aws:username and tags, which are the same in many accounts.
var whoKeys = map[string]func(value string) bool{
	"aws:principalaccount":  isFixed,
	"kms:calleraccount":     isFixed,
	"aws:sourceaccount":     isFixed,
	"aws:principalorgid":    isFixed,
	"aws:sourceorgid":       isFixed,
	"aws:sourcevpc":         isFixed,
	"aws:sourcevpce":        isFixed,
	"aws:principalorgpaths": fixedUpTo("/"),
	"aws:sourceorgpaths":    fixedUpTo("/"),
	"aws:userid":            fixedUpTo(":"),
	"aws:principalarn":      hasFixedOwner,
	"aws:sourcearn":         hasFixedOwner,
	"aws:sourceip":          isNarrowRange,
}

// alwaysThere are those of whoKeys that every request signed by a user or role has, so that IfExists changes nothing.
var alwaysThere = []string{"aws:principalaccount", "kms:calleraccount", "aws:principalarn", "aws:userid"}

// isFixed tells whether a value has neither wildcard nor policy variable.
func isFixed(v string) bool { return v != "" && !isWild(v) && !strings.Contains(v, "${") }

func fixedUpTo(mark string) func(string) bool {
	return func(v string) bool {
		head, _, _ := strings.Cut(v, mark)
		return isFixed(head)
	}
}

// hasFixedOwner tells whether an ARN names its account, or, where ARNs of a service have none, the resource.
func hasFixedOwner(v string) bool {
	f := strings.SplitN(v, ":", 6)
	if len(f) < 6 {
		return isFixed(v)
	}
	if f[4] == "" {
		return fixedUpTo("/")(f[5])
	}
	return isFixed(f[4])
}

// isNarrowRange follows the same meaning of public: ranges broader than /8, or /32 of IPv6, are the internet.
func isNarrowRange(v string) bool {
	r, err := netip.ParsePrefix(v)
	if err != nil {
		_, err := netip.ParseAddr(v)
		return err == nil
	}
	if r.Addr().Is4() {
		return r.Bits() >= 8
	}
	return r.Bits() >= 32
}

// confining returns the keys of a statement's conditions that keep strangers out, nil if none does.
func confining(st *policy.Statement) []string {
	var keys []string
	for _, c := range st.Conditions {
		if confines(st, c) {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// confines tells whether a condition of an Allow is met by nobody but whom its values name. It must be false where the key is absent:
// with ForAllValues and with IfExists it is true then, unless the key is always there or another condition demands it.
func confines(st *policy.Statement, c policy.Condition) bool {
	key := strings.ToLower(c.Key)
	if !namesCallers(c, key, "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress") {
		return false
	}
	mayLack := c.Operator.Quantifier == policy.ForAllValues || c.Operator.IfExists && !slices.Contains(alwaysThere, key)
	return !mayLack || demands(st, key)
}

// namesCallers tells whether a condition compares a key of whoKeys by one of the operators, every value naming somebody.
func namesCallers(c policy.Condition, key string, operators ...string) bool {
	named, known := whoKeys[key]
	op := c.Operator.Name
	if !known || !slices.Contains(operators, op) {
		return false
	}
	if strings.Contains(op, "Equals") && strings.HasPrefix(op, "String") {
		// The text of the value is compared, wildcards too; only a variable is not what it seems.
		named = func(v string) bool { return !strings.Contains(v, "${") }
	}
	return !slices.ContainsFunc(c.Values, func(v string) bool { return !named(v) })
}

// demands tells whether a condition of the statement asks that a key, in lower case, be there.
func demands(st *policy.Statement, key string) bool {
	return slices.ContainsFunc(st.Conditions, func(c policy.Condition) bool {
		return c.Operator.Name == "Null" && strings.ToLower(c.Key) == key && !slices.Contains(c.Values, "true")
	})
}

// allHoldFor tells whether all conditions of a Deny are certainly met by every request of p, so that the Deny takes from p what it
// covers.
func allHoldFor(deny *policy.Statement, p principal) bool {
	return !slices.ContainsFunc(deny.Conditions, func(c policy.Condition) bool { return !holdsFor(c, p) })
}

// holdsFor tells whether a condition is certainly met by every request of p. A negated operator is met where its key is absent, with
// or without IfExists.
func holdsFor(c policy.Condition, p principal) bool {
	key := strings.ToLower(c.Key)
	if key == "aws:principalisawsservice" {
		return p.kind != serviceKind && c.Operator.Name == "Bool" && c.Operator.Quantifier == policy.Single && slices.Contains(c.Values, "false")
	}
	if c.Operator.Quantifier == policy.ForAnyValue || !namesCallers(c, key,
		"StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike", "ArnNotEquals", "ArnNotLike", "NotIpAddress") {
		return false
	}
	if p.kind == anybodyKind {
		return true
	}
	// Only these keys tell whether somebody known is meant: which organization an account is in is not known here.
	return p.account != "" && !slices.ContainsFunc(c.Values, func(v string) bool {
		a := accountIn(key, v)
		return a == "" || a == p.account
	})
}

// accountIn returns the account that a value of a condition names as the caller's, "" if it names none.
func accountIn(key, value string) string {
	switch key {
	case "aws:principalaccount", "kms:calleraccount":
		return value
	case "aws:principalarn":
		return accountOf(value)
	default:
		return ""
	}
}

// confinedTo returns the accounts to which the conditions of an Allow confine everybody, nil if they name none.
func confinedTo(st *policy.Statement) []principal {
	for _, c := range st.Conditions {
		key := strings.ToLower(c.Key)
		if !confines(st, c) || accountIn(key, c.Values[0]) == "" {
			continue
		}
		var list []principal
		for _, v := range c.Values {
			a := accountIn(key, v)
			list = append(list, principal{accountKind, v, a})
		}
		return list
	}
	return nil
}
