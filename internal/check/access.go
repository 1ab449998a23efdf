package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

var accessChecks = []*Check{
	{
		ID: "policy-public", Title: "The key policy does not open the key to everybody", Severity: Critical,
		Why: "A statement that allows everybody, and asks nothing that only known callers can meet, lets any AWS account in the world use the " +
			"key: with kms:Decrypt, to read all that is encrypted under it.",
		Fix: fixPolicyPublic,
		Controls: slices.Concat([]Control{{CIS, "7.0.0", "2.21"}}, cite(SecurityHub, "KMS.5"), cite(Prowler, "kms_key_not_publicly_accessible"),
			cite(NIST80053, "AC-3", "AC-6"), cite(PCIDSS, "7.2.2", "7.3.3"), cite(HIPAA, "164.312(a)(1)"), cite(SOC2, "CC6.1"),
			cite(ISO27001, "A.5.15", "A.8.3")),
		Needs: []Call{GetKeyPolicy}, Eval: evalPolicyPublic,
	},
	{
		ID: "policy-unknown-account", Title: "The key policy opens the key to known accounts only", Severity: High,
		Why: "Whoever is named from another account keeps access until the policy changes, and that account decides who its users are. " +
			"Accounts of former partners and mistyped numbers stay in policies for years.",
		Fix: fixPolicyUnknownAccount,
		Controls: slices.Concat(cite(NIST80053, "AC-3", "AC-6"), cite(PCIDSS, "7.2.2", "7.2.4"), cite(HIPAA, "164.312(a)(1)"),
			cite(SOC2, "CC6.1", "CC6.3"), cite(ISO27001, "A.5.15", "A.5.18", "A.8.3")),
		Needs: []Call{GetKeyPolicy}, Eval: evalPolicyUnknownAccount,
	},
	{
		ID: "policy-lockout", Title: "The account can change the key policy", Severity: High,
		Why: "If nobody in the account may call PutKeyPolicy, the policy stays as it is: access can be neither given nor taken away, the key " +
			"may not even be deletable, and only AWS Support can help.",
		Fix:      fixPolicyLockout,
		Controls: slices.Concat(cite(NIST80053, "AC-3", "SC-12", "SC-12(1)"), cite(ISO27001, "A.5.18", "A.8.24")),
		Needs:    []Call{GetKeyPolicy}, Eval: evalPolicyLockout,
	},
	{
		ID: "policy-mfa-deletion", Title: "Deleting the key takes multi-factor authentication", Severity: Low,
		Why: "A deleted key cannot be brought back, and what was encrypted under it is lost. An access key that leaked should not be enough " +
			"to schedule that.",
		Fix: fixPolicyMFADeletion,
		Controls: slices.Concat(cite(NIST80053, "AC-3", "IA-2(1)"), cite(PCIDSS, "8.4.1"), cite(HIPAA, "164.312(d)"), cite(SOC2, "CC6.1"),
			cite(ISO27001, "A.8.5")),
		Needs: []Call{GetKeyPolicy}, Eval: evalPolicyMFADeletion,
	},
	{
		ID: "policy-wildcard-admin", Title: "Administrators of the key are given actions by name", Severity: Medium,
		Why: "With a wildcard, whoever uses a key may also change its policy or delete it, and gets every action that AWS adds later. Duties " +
			"cannot be separated where nobody wrote down who has which.",
		Fix: fixPolicyWildcardAdmin,
		Controls: slices.Concat(cite(NIST80053, "AC-5", "AC-6"), cite(PCIDSS, "7.2.2"), cite(HIPAA, "164.312(a)(1)"), cite(SOC2, "CC6.3"),
			cite(ISO27001, "A.5.3", "A.8.2")),
		Needs: []Call{GetKeyPolicy}, Eval: evalPolicyWildcardAdmin,
	},
}

func evalPolicyPublic(f *Facts, _ *Settings) Verdict {
	denies := newDenials(f)
	var open, closed problems
	strangers := denies.of(stranger)
	for _, st := range keyStatements(f, policy.Allow) {
		actions := st.actions & everyKeyAction
		for _, who := range st.principals() {
			if !who.public() || actions == 0 {
				continue
			}
			if keys := keepingOut(st, who); keys != nil {
				closed.add("%s names %s, but only those whom the condition on %s lets in.", st.Title(), who, someOf(keys, 5))
				continue
			}
			named := denies.of(who)
			left := actions &^ strangers.taken &^ named.taken
			if left == 0 {
				by := denies.taking(named, actions&named.taken)
				if some := actions & strangers.taken; some != 0 {
					by = denies.taking(strangers, some)
				}
				closed.add("%s allows %s, but %s denies it to strangers.", st.Title(), who, by)
				continue
			}
			but := ""
			if keys := conditionKeys(st.Statement); keys != nil {
				but = fmt.Sprintf("; its conditions on %s do not confine who calls", someOf(keys, 5))
			}
			open.add("%s allows %s to call %s%s.", st.Title(), who, actionList(left), but)
		}
	}
	switch {
	case open != nil:
		return open.on(Fail)
	case closed != nil:
		return closed.on(Pass)
	default:
		return pass("No statement of the key policy allows everybody.")
	}
}

func evalPolicyUnknownAccount(f *Facts, s *Settings) Verdict {
	known := append([]string{f.Account}, s.TrustedAccounts...)
	denies := newDenials(f)
	strangers := denies.of(stranger).taken
	var unknown, unclear problems
	for _, st := range keyStatements(f, policy.Allow) {
		// What anybody may is for the check of that. Here are those who may more.
		open := actionSet(0)
		if confining(st) == nil {
			open = st.actions &^ strangers
		}
		var foreign, nameless []principal
		var foreignActions, namelessActions actionSet
		for _, c := range callersOf(st, f.Account, denies) {
			left := st.actions & everyKeyAction &^ c.denial.taken
			if c.asEverybody {
				left &^= open
			}
			for _, p := range actingFor(st, c.principal) {
				left := left &^ denies.of(p).taken
				switch {
				case left == 0:
				case p.kind == canonicalKind:
					nameless, namelessActions = append(nameless, p), namelessActions|left
				case p.account != "" && !slices.Contains(known, p.account):
					foreign, foreignActions = append(foreign, p), foreignActions|left
				}
			}
		}
		if foreign != nil {
			unknown.add("%s allows %s to %s, of an account that is neither the key's own nor trusted%s.", st.Title(),
				actionList(foreignActions), nameList(foreign), underConditions(st))
		}
		if nameless != nil {
			unclear.add("%s allows %s to %s, and the policy does not tell of which account that is.", st.Title(),
				actionList(namelessActions), nameList(nameless))
		}
	}
	switch {
	case unknown != nil:
		return unknown.on(Fail).andAll(unclear)
	case unclear != nil:
		return unclear.on(Manual)
	default:
		return pass("Every principal whose account the policy tells is of account %s.", strings.Join(known, " or "))
	}
}

// actingFor returns whom a service acts for by the conditions of the statement that names it; of others themselves.
func actingFor(st statement, p principal) []principal {
	if p.kind != serviceKind {
		return []principal{p}
	}
	var list []principal
	for _, c := range st.conds {
		if c.who == nil || c.who.negated {
			continue
		}
		for _, source := range c.who.people {
			if source.kind == sourceKind && st.lets(source) != never {
				list = append(list, source)
			}
		}
	}
	return list
}

func evalPolicyLockout(f *Facts, _ *Settings) Verdict {
	own, put := f.Account, setOf(actionPutKeyPolicy)
	denies := newDenials(f)
	var free, bound, doubts, taken, gone problems
	for _, st := range keyStatements(f, policy.Allow) {
		if st.actions&put == 0 {
			continue
		}
		for _, c := range callersOf(st, own, denies) {
			p := c.principal
			if p.kind == everyoneKind {
				p = principal{accountKind, c.account, c.account} // in whose hands it is to let somebody act
			}
			r := c.denial
			switch {
			case c.asEverybody && p.kind != accountKind:
				// Whom only a Deny or a condition names may not even exist.
			case p.kind == deletedKind:
				gone.add("%s names %s, a user or role that is gone.", st.Title(), p.id)
			case p.account != own || p.kind != accountKind && p.kind != identityKind:
			case r.taken&put != 0:
				taken.add("%s allows it to %s, but %s denies it.", st.Title(), p, denies.taking(r, put))
			case r.doubtful&put != 0:
				d := denies.doubting(r, put)
				doubts.add("%s allows kms:PutKeyPolicy to %s, but %s denies it%s: see that somebody is left who may.",
					st.Title(), p, d, exceptions(d))
			case st.Conditions != nil:
				bound.add("%s allows kms:PutKeyPolicy to %s%s.", st.Title(), p, underConditions(st))
			default:
				free.add("%s allows kms:PutKeyPolicy to %s.", st.Title(), p)
			}
		}
	}
	switch {
	case free != nil:
		return pass("%s", free[0]).andAll(gone)
	case bound != nil:
		return pass("%s", bound[0]).and("Nobody of the account may without conditions: see that they can be met.").andAll(gone)
	case doubts != nil:
		return doubts.on(Manual).andAll(gone)
	default:
		return fail("Nobody of account %s may call kms:PutKeyPolicy, so the account cannot change this policy.", own).andAll(append(taken, gone...))
	}
}

// exceptions says how a Deny leaves somebody out.
func exceptions(deny statement) string {
	if deny.NotPrincipal != nil {
		return " to all but those under NotPrincipal" + underConditions(deny)
	}
	return underConditions(deny)
}

func evalPolicyWildcardAdmin(f *Facts, _ *Settings) Verdict {
	denies := newDenials(f)
	administration := setOf(adminActions...)
	var bad problems
	for _, st := range keyStatements(f, policy.Allow) {
		patterns := adminWildcards(st.Statement)
		if patterns == nil {
			continue
		}
		var who []principal
		for _, c := range callersOf(st, f.Account, denies) {
			itself := c.kind == accountKind && c.account == f.Account
			if c.kind != deletedKind && !itself && administration&st.actions&^c.denial.taken != 0 {
				who = append(who, c.principal)
			}
		}
		if who != nil {
			bad.add("%s allows %s, which covers administration, to %s%s.", st.Title(), someOf(patterns, 5), nameList(who), underConditions(st))
		}
	}
	if bad != nil {
		return bad.on(Fail)
	}
	return pass("Nobody but the account itself is given administration by a wildcard.")
}

// adminActions are the actions by which somebody takes a key over or ends it.
var adminActions = []string{actionPutKeyPolicy, actionScheduleDeletion}

// adminWildcards returns how an Allow covers administration without naming it: the patterns, or NotAction.
func adminWildcards(st *policy.Statement) []string {
	if st.NotActions != nil {
		if slices.ContainsFunc(adminActions, func(a string) bool { return covers(st, a) }) {
			return []string{"everything but what is under NotAction"}
		}
		return nil
	}
	var list []string
	for _, pattern := range st.Actions {
		if isWild(pattern) && slices.ContainsFunc(adminActions, func(a string) bool { return matchAction(pattern, a) }) {
			list = append(list, pattern)
		}
	}
	return list
}
