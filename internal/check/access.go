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
	denies := keyStatements(f, policy.Deny)
	var open, closed problems
	for _, st := range keyStatements(f, policy.Allow) {
		who := principalsOf(st.Statement)
		at := slices.IndexFunc(who, func(p principal) bool { return p.kind == anybodyKind })
		actions := actionsOf(st)
		if at < 0 || len(actions) == 0 {
			continue
		}
		if keys := confining(st.Statement); keys != nil {
			closed.add("%s names %s, but only those whom the condition on %s lets in.", st.Title(), who[at], andList(keys))
			continue
		}
		left, by := leftOf(actions, denies, stranger)
		if len(left) == 0 {
			closed.add("%s allows %s, but %s denies it to strangers.", st.Title(), who[at], by)
			continue
		}
		but := ""
		if keys := conditionKeys(st.Statement); keys != nil {
			but = fmt.Sprintf("; its conditions on %s do not confine who calls", andList(keys))
		}
		open.add("%s allows %s to call %s%s.", st.Title(), who[at], actionList(left), but)
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
	denies := keyStatements(f, policy.Deny)
	var unknown, unclear problems
	for _, st := range keyStatements(f, policy.Allow) {
		actions := actionsOf(st)
		var foreign, nameless []principal
		for _, p := range resolved(st.Statement) {
			left, _ := leftOf(actions, denies, p)
			switch {
			case len(left) == 0:
			case p.kind == canonicalKind:
				nameless = append(nameless, p)
			case p.account != "" && !slices.Contains(known, p.account):
				foreign = append(foreign, p)
			}
		}
		if foreign != nil {
			unknown.add("%s allows %s to %s, of an account that is neither the key's own nor trusted%s.", st.Title(), actionList(actions),
				nameAll(foreign), underConditions(st))
		}
		if nameless != nil {
			unclear.add("%s allows %s to %s, and the policy does not tell of which account that is.", st.Title(), actionList(actions), nameAll(nameless))
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

// resolved returns whom a statement names, and in the place of everybody the accounts to which its conditions confine them, since a
// statement for "*" with kms:CallerAccount is one for that account; or otherwise, if no condition names accounts.
func resolved(st *policy.Statement, otherwise ...principal) []principal {
	var list []principal
	for _, p := range principalsOf(st) {
		switch {
		case p.kind != anybodyKind:
			list = append(list, p)
		case confinedTo(st) != nil:
			list = append(list, confinedTo(st)...)
		default:
			list = append(list, otherwise...)
		}
	}
	return list
}

func underConditions(st statement) string {
	if keys := conditionKeys(st.Statement); keys != nil {
		return ", under conditions on " + andList(keys)
	}
	return ""
}

func evalPolicyLockout(f *Facts, _ *Settings) Verdict {
	own := f.Account
	denies := keyStatements(f, policy.Deny)
	root := principal{accountKind, own, own} // whom everybody includes
	var free, bound, taken, gone []string
	for _, st := range keyStatements(f, policy.Allow) {
		if !covers(st.Statement, actionPutKeyPolicy) {
			continue
		}
		for _, p := range resolved(st.Statement, root) {
			d, denied := deniedBy(denies, p, actionPutKeyPolicy)
			switch {
			case p.kind == deletedKind:
				gone = append(gone, fmt.Sprintf("%s names %s, a user or role that is gone.", st.Title(), p.id))
			case p.account != own || p.kind != accountKind && p.kind != identityKind:
			case denied:
				taken = append(taken, fmt.Sprintf("%s allows it to %s, but %s denies it.", st.Title(), p, d))
			case st.Conditions != nil:
				bound = append(bound, fmt.Sprintf("%s allows kms:PutKeyPolicy to %s%s.", st.Title(), p, underConditions(st)))
			default:
				free = append(free, fmt.Sprintf("%s allows kms:PutKeyPolicy to %s.", st.Title(), p))
			}
		}
	}
	switch {
	case free != nil:
		return pass("%s", free[0]).andAll(gone)
	case bound != nil:
		return pass("%s", bound[0]).and("Nobody of the account may without conditions: see that they can be met.").andAll(gone)
	default:
		return fail("Nobody of account %s may call kms:PutKeyPolicy, so the account cannot change this policy.", own).andAll(append(taken, gone...))
	}
}

func evalPolicyWildcardAdmin(f *Facts, _ *Settings) Verdict {
	denies := keyStatements(f, policy.Deny)
	var bad problems
	for _, st := range keyStatements(f, policy.Allow) {
		patterns := adminWildcards(st.Statement)
		if patterns == nil {
			continue
		}
		var who []principal
		for _, p := range principalsOf(st.Statement) {
			left, _ := leftOf(adminActions, denies, p)
			if p.kind != deletedKind && (p.kind != accountKind || p.account != f.Account) && len(left) > 0 {
				who = append(who, p)
			}
		}
		if who != nil {
			bad.add("%s allows %s, which covers administration, to %s%s.", st.Title(), andList(patterns), nameAll(who), underConditions(st))
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
