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
				nameList(st.principals()))
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
	guard := newAttestationGuard(f)
	var open, closed problems
	for _, st := range keyStatements(f, policy.Allow) {
		asked := st.actions & setOf(bypassActions...)
		if asked == 0 || asksAttestation(st) {
			continue
		}
		if granted := setOf(grantedActions...); granted&^guard.denied == 0 && asked&setOf(actionCreateGrant) != 0 {
			asked = asked&^setOf(actionCreateGrant) | granted // all that a grant would give
		}
		left, by := asked&^guard.denied, guard.first(asked)
		switch {
		case left != 0:
			open.add("%s allows %s to %s without attestation, and no Deny stands against it.", st.Title(), andList(left.among(bypassActions)),
				nameList(st.principals()))
		case asked&^guard.image != 0:
			closed.add("%s asks for no attestation; %s denies what comes without one, whatever image attests itself.", st.Title(), by)
		default:
			closed.add("%s asks for no attestation; %s denies what comes without the right one.", st.Title(), by)
		}
	}
	switch {
	case open != nil:
		return open.on(Fail).and("The key is known as one for enclaves by %s.", sign)
	case closed != nil:
		return closed.on(Pass)
	default:
		return pass("Every statement that allows what an enclave needs, or leads to it, asks for attestation. The key is known as one for "+
			"enclaves by %s.", sign)
	}
}

// Ways around attestation. ReEncrypt knows no attestation, and gives the ciphertext to another key, where Decrypt opens it. A grant cannot
// ask for attestation, so that whoever may make one opens the key to whom they like (GrantConstraints of the KMS API reference are on
// the encryption context only); but a Deny of the key policy stands above grants too, so where all that a grant could give away is denied
// without attestation, CreateGrant leads nowhere.
var (
	grantedActions = []string{actionDecrypt, actionDeriveSharedSecret, actionGenerateDataKey, actionGenerateKeyPair, actionReEncryptFrom}
	bypassActions  = append(slices.Clone(enclaveActions), actionCreateGrant, actionReEncryptFrom)
)

// attestationGuard is what the Deny statements of a policy take from everybody who comes without attestation.
type attestationGuard struct {
	denies []statement // the statements that do
	denied actionSet
	image  actionSet // also from those who attest something else
}

func newAttestationGuard(f *Facts) *attestationGuard {
	g := &attestationGuard{}
	for _, d := range keyStatements(f, policy.Deny) {
		if !deniesUnattested(d) {
			continue
		}
		g.denies = append(g.denies, d)
		g.denied |= d.actions
		if comparesImage(d) {
			g.image |= d.actions
		}
	}
	return g
}

// first returns the first Deny of one of the actions, none if there is none.
func (g *attestationGuard) first(actions actionSet) statement {
	for _, d := range g.denies {
		if d.actions&actions != 0 {
			return d
		}
	}
	return statement{}
}

// unattested returns the actions of enclaves that an Allow covers without asking for attestation.
func unattested(st statement) []string {
	if asksAttestation(st) {
		return nil
	}
	return st.actions.among(enclaveActions)
}

func asksAttestation(st statement) bool {
	return slices.ContainsFunc(st.conds, func(c condition) bool { return asksForAttestation(st, c) })
}

func onAttestation(c policy.Condition) bool {
	return strings.HasPrefix(strings.ToLower(c.Key), attestationPrefix)
}

// asksForAttestation tells whether a condition of an Allow binds it to measured values. It must be false where no attestation came, so
// neither IfExists nor, unless another condition demands the key, ForAllValues will do.
func asksForAttestation(st statement, c condition) bool {
	switch c.Operator.Name {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike":
		return onAttestation(c.Condition) && !c.Operator.IfExists && !slices.ContainsFunc(c.Values, isWild) &&
			(c.Operator.Quantifier != policy.ForAllValues || st.demanded[c.key])
	default:
		return false
	}
}

// deniesUnattested tells whether a Deny takes what it covers from everybody who comes without attestation: all its conditions hold then. A
// negated operator holds where its key is absent, with or without IfExists ("Condition operators" of the IAM user guide). NotPrincipal
// would leave somebody out.
func deniesUnattested(d statement) bool {
	everybody := d.NotPrincipal == nil && slices.ContainsFunc(d.named, func(p principal) bool { return p.kind == anybodyKind })
	return everybody && !slices.ContainsFunc(d.Conditions, func(c policy.Condition) bool {
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
		return c.Operator.Quantifier != policy.ForAnyValue && len(c.Values) > 0
	default:
		return false
	}
}
