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

// wildBeforeAccount tells whether a pattern has a wildcard before an ARN's account. In a comparison of texts such a wildcard reaches over
// colons, so that "arn:aws:*:*:111122223333:*" is true of a role of any account with :111122223333: in its path.
func wildBeforeAccount(v string) bool {
	f := strings.SplitN(v, ":", 6)
	return isWild(strings.Join(f[:min(len(f), 4)], ":"))
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
func confining(st statement) []string {
	var keys []string
	for _, c := range st.conds {
		if st.confines(c) {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// confines tells whether a condition of an Allow is met by nobody but whom its values name. It must be false where the key is absent:
// with ForAllValues and with IfExists it is true then, unless the key is always there or another condition demands it.
func (s statement) confines(c condition) bool {
	if !namesCallers(c.Condition, c.key, "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress") {
		return false
	}
	mayLack := c.Operator.Quantifier == policy.ForAllValues || c.Operator.IfExists && !slices.Contains(alwaysThere, c.key)
	return !mayLack || s.demanded[c.key]
}

// namesCallers tells whether a condition compares a key of whoKeys by one of the operators, every value naming somebody.
func namesCallers(c policy.Condition, key string, operators ...string) bool {
	named, known := whoKeys[key]
	op := c.Operator.Name
	if !known || !slices.Contains(operators, op) {
		return false
	}
	switch {
	case strings.HasPrefix(op, "String") && strings.Contains(op, "Equals"):
		// The text of the value is compared, wildcards too; only a variable is not what it seems.
		named = func(v string) bool { return !strings.Contains(v, "${") }
	case strings.HasPrefix(op, "String") && isARNKey(key):
		named = func(v string) bool { return !wildBeforeAccount(v) && hasFixedOwner(v) }
	}
	return !slices.ContainsFunc(c.Values, func(v string) bool { return !named(v) })
}

// demands tells whether a condition asks that its key be there.
func (c *condition) demands() bool {
	return c.Operator.Name == "Null" && !slices.Contains(c.Values, "true")
}

// isHopeless tells whether no request meets a condition: it asks for one of no values. A negated operator asks for none of them, and
// where its key is absent IfExists or ForAllValues would let a request through.
func isHopeless(c policy.Condition) bool {
	return len(c.Values) == 0 && !isNegated(c.Operator.Name) && !c.Operator.IfExists && c.Operator.Quantifier != policy.ForAllValues
}

func isNegated(operator string) bool { return strings.Contains(operator, "Not") }
