package check

import (
	"fmt"
	"slices"

	"github.com/keyturn/keyturn/internal/policy"
)

// accessQuestion asks who of the account may call an action on a key.
type accessQuestion struct {
	key     *Key
	account string
	action  string
	allows  []statement // those of the key policy that cover the action
	index   *principalIndex
	denies  *denials
	opened  certainty // whether the key policy leaves it to IAM policies
}

func newAccessQuestion(f *Facts, action string) *accessQuestion {
	q := &accessQuestion{key: f.Key, account: f.Account, action: action, denies: newDenials(f)}
	q.allows = slices.DeleteFunc(keyStatements(f, policy.Allow), func(st statement) bool { return st.actions&setOf(action) == 0 })
	q.index = newPrincipalIndex(q.allows)
	own := principal{accountKind, f.Account, f.Account}
	for _, i := range q.index.forAccount(own) {
		q.opened = max(q.opened, q.allows[i].lets(own))
	}
	return q
}

// unlessConditions is how surely a statement that matches is in force.
func unlessConditions(st *policy.Statement) certainty {
	if st.Conditions != nil {
		return maybe
	}
	return surely
}

// mayCall tells whether a user or role may call the action, by the key policy, its own policies and its boundary. If one of these is
// not understood and the answer hangs on it, blind says which. The logic is that of "Policy evaluation logic" in the IAM user guide
// within one account; what an organization forbids is not read.
func (q *accessQuestion) mayCall(who *IAMPrincipal) (answer certainty, blind string) {
	p := awsPrincipal(who.ARN)
	if p.account != q.account {
		return never, "" // the policies of another account say nothing of what this one lets its own users do
	}
	denied := q.deniedByKey(p)
	allow, deny, blind := q.byPolicies(who.Policies)
	denied = max(denied, deny)
	direct, delegated := q.named(p), min(allow, q.opened)
	if who.Boundary != nil {
		allow, deny, hidden := q.byPolicies([]IAMPolicy{*who.Boundary})
		if hidden != "" {
			blind, allow = hidden, maybe
		}
		denied = max(denied, deny)
		delegated = min(delegated, allow)
		// What a key policy gives to a user by name, the user's boundary does not limit; a role's does.
		if _, isRole := arnName(p.id, "role/"); isRole {
			direct = min(direct, allow)
		}
	}
	answer = max(direct, delegated)
	switch {
	case denied == surely:
		return never, ""
	case answer == never && q.opened == never:
		return never, "" // whatever its own policies say
	case denied == maybe:
		answer = min(answer, maybe)
	}
	return answer, blind
}

func (q *accessQuestion) deniedByKey(p principal) certainty {
	r, action := q.denies.of(p), setOf(q.action)
	switch {
	case r.taken&action != 0:
		return surely
	case r.doubtful&action != 0:
		return maybe
	default:
		return never
	}
}

// named tells whether the key policy permits the action to p by name, or to everybody.
func (q *accessQuestion) named(p principal) certainty {
	best := never
	find := func(places []int) {
		for _, i := range places {
			best = max(best, q.allows[i].lets(p))
		}
	}
	find(q.index.forName(p))
	if common, session, ok := p.role(); ok && !session {
		find(q.index.bySession[common])
	}
	return best
}

// byPolicies tells whether IAM policies allow or deny the action on the key, and names one that is not understood.
func (q *accessQuestion) byPolicies(policies []IAMPolicy) (allow, deny certainty, blind string) {
	for _, pol := range policies {
		if pol.Policy == nil {
			blind = fmt.Sprintf("The IAM policy %s is not understood: %v.", pol.Name, pol.Err)
			continue
		}
		for i := range pol.Policy.Statements {
			st := &pol.Policy.Statements[i]
			if !covers(st, q.action) {
				continue
			}
			sure := min(matchesResource(st, q.key.ARN), unlessConditions(st))
			if st.Effect == policy.Allow {
				allow = max(allow, sure)
			} else {
				deny = max(deny, sure)
			}
		}
	}
	return allow, deny, blind
}
