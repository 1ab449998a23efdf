package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

var enclaveChecks = []*Check{
	{
		ID: "enclave-attestation", Title: "Every statement that gives an enclave's key asks for attestation", Severity: High,
		Why: "A key for a Nitro enclave is to be used by one measured image. A statement that allows decryption without asking for the " +
			"attestation lets the parent instance, and whoever takes it over, do what only the enclave should.",
		Fix: fixEnclaveAttestation,
		Controls: slices.Concat(cite(Prowler, "kms_key_enclave_attestation_not_enforced"), cite(NIST80053, "AC-3", "SC-12"),
			cite(HIPAA, "164.312(a)(1)"), cite(SOC2, "CC6.1"), cite(ISO27001, "A.8.24")),
		Needs: []Call{GetKeyPolicy, ListResourceTags, ListAliases}, Applies: ofEnabledKeys, Eval: evalEnclaveAttestation,
	},
	{
		ID: "enclave-bypass", Title: "No statement leads around the attestation of an enclave's key", Severity: High,
		Why: "Attestation is as strong as the weakest statement of the policy. One for the account with kms:* is enough to use the key " +
			"without any enclave, unless a Deny stands against it.",
		Fix: fixEnclaveBypass,
		Controls: slices.Concat(cite(Prowler, "kms_key_enclave_attestation_bypassable_path"), cite(NIST80053, "AC-3", "AC-6", "SC-12"),
			cite(HIPAA, "164.312(a)(1)"), cite(SOC2, "CC6.1", "CC6.3"), cite(ISO27001, "A.8.24")),
		Needs: []Call{GetKeyPolicy, ListResourceTags, ListAliases}, Applies: ofEnabledKeys, Eval: evalEnclaveBypass,
	},
}

// enclaveActions are those whose answer KMS encrypts for an enclave that attests itself.
var enclaveActions = []string{
	actionDecrypt, actionDeriveSharedSecret, actionGenerateDataKey, actionGenerateKeyPair, actionGenerateRandom,
}

// attestationPrefix begins the condition keys of attestation, in lower case: kms:RecipientAttestation:PCR0 and others.
const attestationPrefix = "kms:recipientattestation:"

func ofEnabledKeys(k *Key, _ *Settings) (bool, string) {
	if k.State != StateEnabled {
		return false, fmt.Sprintf("The key is in state %s, and attestation is asked of enabled keys.", k.State)
	}
	return true, ""
}

// enclaveSign says by what the key is known as one for enclaves, "" if by nothing. The signs are those of Prowler: so both ask of the
// same keys.
func enclaveSign(f *Facts) string {
	named := func(s string) bool { return strings.Contains(strings.ToLower(s), "enclave") }
	if named(f.Key.Description) {
		return "its description"
	}
	for k, v := range f.Tags {
		if named(k) || named(v) {
			return "its tags"
		}
	}
	for _, a := range f.Aliases {
		if named(a.Name) {
			return "alias " + a.Name
		}
	}
	for i := range f.Policy.Statements {
		if slices.ContainsFunc(f.Policy.Statements[i].Conditions, onAttestation) {
			return "a condition of its policy"
		}
	}
	return ""
}

const notForEnclaves = "Neither description, tags, aliases nor policy tell that the key is for enclaves."

func evalEnclaveAttestation(f *Facts, _ *Settings) Verdict {
	sign := enclaveSign(f)
	if sign == "" {
		return notApplicable(notForEnclaves)
	}
	var open problems
	for _, st := range keyStatements(f, policy.Allow) {
		if actions := unattested(st); actions != nil {
			open.add("%s allows %s to %s without a condition on kms:RecipientAttestation.", st.Title(), andList(actions),
				nameAll(principalsOf(st.Statement)))
		}
	}
	if open != nil {
		return open.on(Fail).and("The key is known as one for enclaves by %s.", sign)
	}
	return pass("Every statement that allows what an enclave needs asks for attestation. The key is known as one for enclaves by %s.", sign)
}

func evalEnclaveBypass(f *Facts, _ *Settings) Verdict {
	sign := enclaveSign(f)
	if sign == "" {
		return notApplicable(notForEnclaves)
	}
	denies := keyStatements(f, policy.Deny)
	var open, closed problems
	for _, st := range keyStatements(f, policy.Allow) {
		var left []string
		var by statement
		anyImage := false
		for _, a := range unattested(st) {
			i := slices.IndexFunc(denies, func(d statement) bool { return deniesUnattested(d, a) })
			if i < 0 {
				left = append(left, a)
				continue
			}
			by = denies[i]
			anyImage = anyImage || !slices.ContainsFunc(denies, func(d statement) bool { return deniesUnattested(d, a) && comparesImage(d) })
		}
		switch {
		case left != nil:
			open.add("%s allows %s to %s without attestation, and no Deny stands against it.", st.Title(), andList(left),
				nameAll(principalsOf(st.Statement)))
		case anyImage:
			closed.add("%s asks for no attestation; %s denies what comes without one, whatever image attests itself.", st.Title(), by)
		case by.Statement != nil:
			closed.add("%s asks for no attestation; %s denies what comes without the right one.", st.Title(), by)
		}
	}
	switch {
	case open != nil:
		return open.on(Fail).and("The key is known as one for enclaves by %s.", sign)
	case closed != nil:
		return closed.on(Pass)
	default:
		return pass("Every statement that allows what an enclave needs asks for attestation. The key is known as one for enclaves by %s.", sign)
	}
}

// unattested returns the actions of enclaves that an Allow covers without asking for attestation.
func unattested(st statement) []string {
	if slices.ContainsFunc(st.Conditions, func(c policy.Condition) bool { return asksForAttestation(st.Statement, c) }) {
		return nil
	}
	var list []string
	for _, a := range enclaveActions {
		if covers(st.Statement, a) {
			list = append(list, a)
		}
	}
	return list
}

func onAttestation(c policy.Condition) bool {
	return strings.HasPrefix(strings.ToLower(c.Key), attestationPrefix)
}

// asksForAttestation tells whether a condition of an Allow binds it to measured values. It must be false where no attestation came, so
// neither IfExists nor, unless another condition demands the key, ForAllValues will do.
func asksForAttestation(st *policy.Statement, c policy.Condition) bool {
	switch c.Operator.Name {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike":
		return onAttestation(c) && !c.Operator.IfExists && !slices.ContainsFunc(c.Values, isWild) &&
			(c.Operator.Quantifier != policy.ForAllValues || demands(st, strings.ToLower(c.Key)))
	default:
		return false
	}
}

// deniesUnattested tells whether a Deny takes an action from everybody who comes without attestation: all its conditions hold then. A
// negated operator holds where its key is absent, with or without IfExists ("Condition operators" of the IAM user guide). NotPrincipal
// would leave somebody out.
func deniesUnattested(d statement, action string) bool {
	return covers(d.Statement, action) && reaches(d.Statement, stranger) && d.NotPrincipal == nil &&
		!slices.ContainsFunc(d.Conditions, func(c policy.Condition) bool {
			absent := c.Operator.Name == "Null" && slices.Contains(c.Values, "true")
			return !onAttestation(c) || !absent && !comparesValues(c)
		})
}

// comparesImage tells whether such a Deny also takes the action from those who attest something else.
func comparesImage(d statement) bool {
	return !slices.ContainsFunc(d.Conditions, func(c policy.Condition) bool {
		return !comparesValues(c) || slices.ContainsFunc(c.Values, isWild)
	})
}

func comparesValues(c policy.Condition) bool {
	switch c.Operator.Name {
	case "StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike":
		return c.Operator.Quantifier != policy.ForAnyValue
	default:
		return false
	}
}
