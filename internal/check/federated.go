package check

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// public tells whether a principal stands for people whom nobody of the account chose. Beside everybody these are the users of a public
// identity provider, such as Amazon Cognito, Google or Facebook, which under Principal stands for the sessions of its users ("AWS JSON
// policy elements: Principal" of the IAM user guide, on federated principals). Whoever has an application there, or in Cognito an
// identity pool, which may let in people who do not sign in, has such sessions: so the page on AssumeRoleWithWebIdentity of the STS API
// reference asks for a condition on the audience. A provider with an ARN is one that an account has set up.
func (p principal) public() bool {
	return p.kind == anybodyKind || p.kind == providerKind && p.account == ""
}

// audienceClaims are the condition keys of a public identity provider, behind its name and a colon, that say for whom or for which
// application its token is ("IAM and AWS STS condition context keys" of the IAM user guide).
var audienceClaims = []string{"aud", "oaud", "app_id", "sub", "id", "user_id"}

// keepingOut returns the keys of a statement's conditions that keep the public out whom p stands for, nil if none does.
func keepingOut(st statement, p principal) []string {
	keys := confining(st)
	if p.kind != providerKind {
		return keys
	}
	for _, c := range st.conds {
		claim, found := strings.CutPrefix(c.key, strings.ToLower(p.id)+":")
		if found && slices.Contains(audienceClaims, claim) && asksForFixed(c.Condition) {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// asksForFixed tells whether a condition is met by nothing but fixed values.
func asksForFixed(c policy.Condition) bool {
	if c.Operator.IfExists || c.Operator.Quantifier == policy.ForAllValues {
		return false
	}
	switch c.Operator.Name {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike":
		return !slices.ContainsFunc(c.Values, func(v string) bool { return !isFixed(v) })
	default:
		return false
	}
}
