package check

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// condition is a condition, and what its values say of who calls.
type condition struct {
	policy.Condition
	key string     // in lower case
	who *whoValues // nil if it does not compare a key that tells the caller's account
}

// whoValues are the values of a condition on a key that tells the caller's account, ready for many questions.
type whoValues struct {
	negated  bool
	fold     bool            // without regard to case
	byParts  bool            // ARNs are compared part by part
	exact    map[string]bool // values without wildcards
	wild     []string        // values with wildcards
	variable bool            // a value has a policy variable
	vague    bool            // a value may be true of accounts that it does not name
	accounts map[string]bool // the accounts that the values name
	roles    map[string]bool // the roles that they name, as principal.role has them
	people   []principal     // whom the values name
}

// isSourceKey tells whether a key says for whose resource a service calls. It is there only when a service calls by itself, so never when
// users and roles do ("AWS global condition context keys" of the IAM user guide).
func isSourceKey(key string) bool { return key == "aws:sourceaccount" || key == "aws:sourcearn" }

func isARNKey(key string) bool { return key == "aws:principalarn" || key == "aws:sourcearn" }

func newCondition(c policy.Condition) condition {
	made := condition{Condition: c, key: strings.ToLower(c.Key)}
	op := c.Operator.Name
	byParts := strings.HasPrefix(op, "Arn")
	switch made.key {
	case "aws:principalaccount", "kms:calleraccount", "aws:sourceaccount", "aws:userid":
		if !strings.HasPrefix(op, "String") {
			return made
		}
	case "aws:principalarn", "aws:sourcearn":
		if !byParts && !strings.HasPrefix(op, "String") {
			return made
		}
	default:
		return made
	}
	w := &whoValues{
		negated: isNegated(op), byParts: byParts, fold: strings.HasSuffix(op, "IgnoreCase"),
		exact: map[string]bool{}, accounts: map[string]bool{}, roles: map[string]bool{},
	}
	patterns := byParts || strings.HasSuffix(op, "Like")
	for _, v := range c.Values {
		w.add(made.key, v, patterns && isWild(v))
	}
	made.who = w
	return made
}

func (w *whoValues) add(key, v string, wild bool) {
	switch {
	case strings.Contains(v, "${"):
		w.variable, w.vague = true, true
		return
	case wild:
		w.wild = append(w.wild, v)
	default:
		w.exact[w.folded(v)] = true
	}
	account := accountIn(key, v)
	if wild && isARNKey(key) && !w.byParts && wildBeforeAccount(v) {
		account = ""
	}
	if !isAccountID(account) {
		// A user's or role's ARN without an account is nobody's. Buckets have none in theirs, and a unique ID tells none.
		w.vague = w.vague || wild || key == "aws:sourcearn" || key == "aws:userid"
		return
	}
	w.accounts[account] = true
	p := principal{everyoneKind, account, account}
	switch {
	case isSourceKey(key):
		p.kind = sourceKind
	case key == "aws:userid":
		p.kind = accountKind
	case key == "aws:principalarn" && !wild:
		p = awsPrincipal(v)
	}
	if common, _, ok := p.role(); ok {
		w.roles[common] = true
	}
	w.people = append(w.people, p)
}

func (w *whoValues) folded(s string) string {
	if w.fold {
		return strings.ToLower(s)
	}
	return s
}

// accountIn returns the account that a value of a condition names as the caller's or as that of whom a service acts for, "" if it
// names none. aws:userid begins with the account for its root user and for federated users ("Where you can use policy variables" of
// the IAM user guide).
func accountIn(key, value string) string {
	switch key {
	case "aws:principalaccount", "kms:calleraccount", "aws:sourceaccount":
		return value
	case "aws:principalarn", "aws:sourcearn":
		return accountOf(value)
	case "aws:userid":
		account, _, _ := strings.Cut(value, ":")
		return account
	default:
		return ""
	}
}

// holdsFor tells how surely a condition is met by every request of p. A negated operator is met where its key is absent, with or without
// IfExists.
func (c *condition) holdsFor(p principal) certainty {
	op := c.Operator
	switch {
	case c.key == "aws:principalisawsservice":
		return c.holdsForService(p.kind == serviceKind || p.kind == sourceKind)
	case len(c.Values) == 0:
		return maybe
	case p.kind == anybodyKind:
		if op.Quantifier != policy.ForAnyValue && namesCallers(c.Condition, c.key,
			"StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike", "ArnNotEquals", "ArnNotLike", "NotIpAddress") {
			return surely
		}
		return maybe
	case c.who == nil:
		return maybe // which organization an account is in, or from where it calls, is not known here
	case isSourceKey(c.key) && p.person():
		if c.who.negated || op.IfExists || op.Quantifier == policy.ForAllValues {
			return maybe
		}
		return never
	case c.who.negated && op.Quantifier == policy.ForAnyValue:
		return maybe
	case c.who.negated:
		return surely - c.matches(p)
	case isSourceKey(c.key):
		return min(c.matches(p), maybe) // one of the two keys may be there without the other
	default:
		return c.matches(p)
	}
}

func (c *condition) holdsForService(isService bool) certainty {
	value := "false"
	if isService {
		value = "true"
	}
	switch {
	case c.Operator.Name != "Bool" || c.Operator.Quantifier != policy.Single:
		return maybe
	case slices.Contains(c.Values, value):
		return surely
	default:
		return never
	}
}

// matches tells how surely the key has one of the values in every request of p.
func (c *condition) matches(p principal) certainty {
	w := c.who
	// The sessions of an identity provider are roles of its account.
	if p.account == "" || p.kind == providerKind && isARNKey(c.key) || p.kind == sourceKind && !isSourceKey(c.key) {
		return maybe
	}
	switch c.key {
	case "aws:principalaccount", "kms:calleraccount", "aws:sourceaccount":
		return w.has(p.account)
	case "aws:principalarn":
		common, session, _ := p.role()
		switch {
		case p.whole():
			return w.names(p.account)
		case session && (w.roles[common] || w.vague || len(w.wild) > 0 && w.accounts[p.account]):
			return maybe // the role's path is not known
		case session:
			return never
		default:
			return w.has(p.id)
		}
	case "aws:userid":
		if p.kind == identityKind && !w.vague {
			return never // it begins with a unique ID, and the values with accounts
		}
		return w.names(p.account)
	default:
		return w.names(p.account)
	}
}

// names tells whether a value may be true of somebody in the account. Of whom in it is left open.
func (w *whoValues) names(account string) certainty {
	if w.accounts[account] || w.vague {
		return maybe
	}
	return never
}

// has tells whether one of the values is true of s.
func (w *whoValues) has(s string) certainty {
	switch {
	case w.exact[w.folded(s)]:
		return surely
	case slices.ContainsFunc(w.wild, func(v string) bool { return w.matchesWild(v, s) }):
		return surely
	case w.variable:
		return maybe
	default:
		return never
	}
}

func (w *whoValues) matchesWild(pattern, s string) bool {
	if !w.byParts {
		return matchWild(pattern, s, w.fold)
	}
	patterns, parts := strings.SplitN(pattern, ":", 6), strings.SplitN(s, ":", 6)
	if len(patterns) != 6 || len(parts) != 6 {
		return false
	}
	for i := range parts {
		if !matchWild(patterns[i], parts[i], false) {
			return false
		}
	}
	return true
}
