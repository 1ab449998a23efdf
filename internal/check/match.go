package check

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// matchWild reports whether pattern matches the whole of s, by the matcher that also decides.
func matchWild(pattern, s string, fold bool) bool { return policy.MatchWild(pattern, s, fold) }

// matchAction reports whether an action pattern of a policy covers an action such as "kms:Decrypt".
func matchAction(pattern, action string) bool { return matchWild(pattern, action, true) }

// isWild tells whether a pattern has a wildcard.
func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*?") }
