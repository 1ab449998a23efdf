package check

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// Actions that checks of policies ask about.
const (
	actionCreateGrant        = "kms:CreateGrant"
	actionPutKeyPolicy       = "kms:PutKeyPolicy"
	actionScheduleDeletion   = "kms:ScheduleKeyDeletion"
	actionDeleteMaterial     = "kms:DeleteImportedKeyMaterial"
	actionEnableKeyRotation  = "kms:EnableKeyRotation"
	actionDecrypt            = "kms:Decrypt"
	actionDeriveSharedSecret = "kms:DeriveSharedSecret"
	actionGenerateDataKey    = "kms:GenerateDataKey"
	actionGenerateKeyPair    = "kms:GenerateDataKeyPair"
	actionGenerateRandom     = "kms:GenerateRandom"
	actionReEncryptFrom      = "kms:ReEncryptFrom"
)

// keyActions are the actions that AWS's service authorization reference lists for a KMS key as the resource: all that a key policy can
// give. With them a Deny can be held against an Allow action by action, however each is written.
var keyActions = []string{
	"kms:CancelKeyDeletion", "kms:CreateAlias", actionCreateGrant, actionDecrypt, "kms:DeleteAlias",
	actionDeleteMaterial, actionDeriveSharedSecret, "kms:DescribeKey", "kms:DisableKey", "kms:DisableKeyRotation",
	"kms:EnableKey", actionEnableKeyRotation, "kms:Encrypt", actionGenerateDataKey, actionGenerateKeyPair,
	"kms:GenerateDataKeyPairWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateMac", "kms:GetKeyPolicy",
	"kms:GetKeyRotationStatus", "kms:GetParametersForImport", "kms:GetPublicKey", "kms:ImportKeyMaterial", "kms:ListGrants",
	"kms:ListKeyPolicies", "kms:ListKeyRotations", "kms:ListResourceTags", actionPutKeyPolicy, actionReEncryptFrom,
	"kms:ReEncryptTo", "kms:ReplicateKey", "kms:RetireGrant", "kms:RevokeGrant", "kms:RotateKeyOnDemand", actionScheduleDeletion,
	"kms:Sign", "kms:SynchronizeMultiRegionKey", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias",
	"kms:UpdateKeyDescription", "kms:UpdatePrimaryRegion", "kms:Verify", "kms:VerifyMac",
}

// knownActions are keyActions and what enclaves ask for beside them.
var knownActions = append(slices.Clone(keyActions), actionGenerateRandom)

// actionSet is a set of knownActions, a bit for each.
type actionSet uint64

// everyKeyAction is the set of keyActions, without what knownActions has beside.
var everyKeyAction = setOf(keyActions...)

func setOf(actions ...string) actionSet {
	var s actionSet
	for _, a := range actions {
		s |= 1 << slices.Index(knownActions, a)
	}
	return s
}

// list returns the actions in the order of knownActions.
func (s actionSet) list() []string {
	var list []string
	for rest := uint64(s); rest != 0; rest &= rest - 1 {
		list = append(list, knownActions[bits.TrailingZeros64(rest)])
	}
	return list
}

// among returns those of some actions that are in the set, in their own order.
func (s actionSet) among(actions []string) []string {
	var list []string
	for _, a := range actions {
		if s&setOf(a) != 0 {
			list = append(list, a)
		}
	}
	return list
}

// covers tells whether the statement speaks of an action.
func covers(st *policy.Statement, action string) bool {
	matches := func(pattern string) bool { return matchAction(pattern, action) }
	if st.NotActions != nil {
		return !slices.ContainsFunc(st.NotActions, matches)
	}
	return slices.ContainsFunc(st.Actions, matches)
}

// actionsOf returns the known actions of which the statement speaks.
func actionsOf(st *policy.Statement) actionSet {
	patterns, spared := st.Actions, actionSet(0)
	if st.NotActions != nil {
		patterns, spared = st.NotActions, ^actionSet(0)>>(64-len(knownActions))
	}
	var s actionSet
	seen := map[string]bool{}
	for _, p := range patterns {
		if seen[p] {
			continue
		}
		seen[p] = true
		head := p[:strings.IndexAny(p+"*", "*?")]
		for i, a := range knownActions {
			// Most patterns are names, which the first letters tell apart.
			if s&(1<<i) == 0 && len(head) <= len(a) && strings.EqualFold(head, a[:len(head)]) && matchAction(p, a) {
				s |= 1 << i
			}
		}
	}
	return s ^ spared
}

// actionList says which actions, shortly.
func actionList(s actionSet) string {
	if s &= everyKeyAction; s == everyKeyAction {
		return "every action"
	}
	return someOf(s.list(), 3)
}
