package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// Actions that checks of policies ask about.
const (
	actionPutKeyPolicy       = "kms:PutKeyPolicy"
	actionScheduleDeletion   = "kms:ScheduleKeyDeletion"
	actionDeleteMaterial     = "kms:DeleteImportedKeyMaterial"
	actionEnableKeyRotation  = "kms:EnableKeyRotation"
	actionDecrypt            = "kms:Decrypt"
	actionDeriveSharedSecret = "kms:DeriveSharedSecret"
	actionGenerateDataKey    = "kms:GenerateDataKey"
	actionGenerateKeyPair    = "kms:GenerateDataKeyPair"
	actionGenerateRandom     = "kms:GenerateRandom"
)

// keyActions are the actions that AWS's service authorization reference lists for a KMS key as the resource: all that a key policy can
// give. With them a Deny can be held against an Allow action by action, however each is written.
var keyActions = []string{
	"kms:CancelKeyDeletion", "kms:CreateAlias", "kms:CreateGrant", actionDecrypt, "kms:DeleteAlias",
	actionDeleteMaterial, actionDeriveSharedSecret, "kms:DescribeKey", "kms:DisableKey", "kms:DisableKeyRotation",
	"kms:EnableKey", actionEnableKeyRotation, "kms:Encrypt", actionGenerateDataKey, actionGenerateKeyPair,
	"kms:GenerateDataKeyPairWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateMac", "kms:GetKeyPolicy",
	"kms:GetKeyRotationStatus", "kms:GetParametersForImport", "kms:GetPublicKey", "kms:ImportKeyMaterial", "kms:ListGrants",
	"kms:ListKeyPolicies", "kms:ListKeyRotations", "kms:ListResourceTags", actionPutKeyPolicy, "kms:ReEncryptFrom",
	"kms:ReEncryptTo", "kms:ReplicateKey", "kms:RetireGrant", "kms:RevokeGrant", "kms:RotateKeyOnDemand", actionScheduleDeletion,
	"kms:Sign", "kms:SynchronizeMultiRegionKey", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias",
	"kms:UpdateKeyDescription", "kms:UpdatePrimaryRegion", "kms:Verify", "kms:VerifyMac",
}

// statement is a statement of a key policy and its place in it, counted from 1.
type statement struct {
	*policy.Statement
	place int
}

// String names the statement as a person finds it again.
func (s statement) String() string {
	if s.Sid == "" {
		return fmt.Sprintf("statement %d", s.place)
	}
	return fmt.Sprintf("statement %q", s.Sid)
}

// Title is String at the start of a sentence.
func (s statement) Title() string { return "S" + s.String()[1:] }

// keyStatements returns the statements of the key's policy with an effect that are in force for the key. One without Resource never
// is: "Creating a key policy" of the KMS developer guide says that PutKeyPolicy takes it and that it applies to no key. Where only a
// variable decides, an Allow counts and a Deny does not.
func keyStatements(f *Facts, effect policy.Effect) []statement {
	var list []statement
	for i := range f.Policy.Statements {
		st := &f.Policy.Statements[i]
		m := matchesResource(st, f.Key.ARN)
		if st.Effect == effect && (m == surely || m == maybe && effect == policy.Allow) {
			list = append(list, statement{st, i + 1})
		}
	}
	return list
}

// certainty is the answer to a question that conditions and variables may leave open.
type certainty int

const (
	never certainty = iota
	maybe
	surely
)

// matchesResource tells whether the statement speaks of an ARN; one without Resource speaks of none. What a policy variable stands
// for is not known here.
func matchesResource(st *policy.Statement, arn string) certainty {
	if st.NotResources != nil {
		return surely - matchesAny(st.NotResources, arn)
	}
	return matchesAny(st.Resources, arn)
}

func matchesAny(patterns []string, arn string) certainty {
	best := never
	for _, p := range patterns {
		switch {
		case matchWild(p, arn, false):
			return surely
		case strings.Contains(p, "${") && matchWild(blankVariables(p), arn, false):
			best = maybe
		}
	}
	return best
}

// blankVariables puts a star in the place of every policy variable.
func blankVariables(s string) string {
	var b strings.Builder
	for {
		head, rest, found := strings.Cut(s, "${")
		b.WriteString(head)
		if !found {
			return b.String()
		}
		b.WriteByte('*')
		_, s, _ = strings.Cut(rest, "}")
	}
}

// covers tells whether the statement speaks of an action.
func covers(st *policy.Statement, action string) bool {
	matches := func(pattern string) bool { return matchAction(pattern, action) }
	if st.NotActions != nil {
		return !slices.ContainsFunc(st.NotActions, matches)
	}
	return slices.ContainsFunc(st.Actions, matches)
}

// actionsOf returns the key actions that the statement covers.
func actionsOf(st statement) []string {
	var list []string
	for _, a := range keyActions {
		if covers(st.Statement, a) {
			list = append(list, a)
		}
	}
	return list
}

// actionList says which actions, shortly.
func actionList(actions []string) string {
	if len(actions) == len(keyActions) {
		return "every action"
	}
	return someOf(actions, 3)
}

// someOf joins at most n items, and counts those left out.
func someOf(items []string, n int) string {
	if len(items) > n {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
	}
	return andList(items)
}

func andList(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

// conditionKeys lists the keys of the statement's conditions, each once.
func conditionKeys(st *policy.Statement) []string {
	var keys []string
	for _, c := range st.Conditions {
		if !slices.Contains(keys, c.Key) {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// problems are sentences on what is wrong, the first found first.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// maxNotes bounds what a finding says of further statements: a policy holds hundreds, and a report is read by people.
const maxNotes = 10

// on makes the first sentence the verdict's detail and the others its notes.
func (p problems) on(s Status) Verdict { return verdict(s, "%s", p[0]).andAll(p[1:]) }

// andAll adds notes, up to maxNotes of them.
func (v Verdict) andAll(notes []string) Verdict {
	for i, n := range notes {
		if i == maxNotes {
			return v.and("And %d more.", len(notes)-maxNotes)
		}
		v = v.and("%s", n)
	}
	return v
}
