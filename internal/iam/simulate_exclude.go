package iam

import (
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
)

// checkExclusions checks the form of PolicyExclusionList.
func checkExclusions(list []api.PolicyIdentifier) error {
	for i, x := range list {
		n := 0
		for _, there := range []bool{x.PolicyType.Set, x.PolicyArn.Set, x.InlinePolicyIdentifier != nil} {
			if there {
				n++
			}
		}
		if n != 1 {
			return invalidInput("PolicyExclusionList.%d must have exactly one of PolicyType, PolicyArn and InlinePolicyIdentifier.", i+1)
		}
		if x.PolicyArn.Set && !isPolicyPattern(x.PolicyArn.V) {
			return invalidInput("PolicyExclusionList.%d: %s is not the ARN of a managed policy.", i+1, x.PolicyArn.V)
		}
		if in := x.InlinePolicyIdentifier; in != nil && strings.Count(in.AttachmentName.V, "*") > 1 {
			return invalidInput("PolicyExclusionList.%d: AttachmentName has more than one *.", i+1)
		}
	}
	return nil
}

// isPolicyPattern takes the ARN of a managed policy, with at most one * and any number of ? behind policy/.
func isPolicyPattern(arn string) bool {
	p, ok := identity.ParseARN(arn)
	head := fmt.Sprintf("arn:%s:iam::%s:policy/", p.Partition, p.Account)
	return ok && p.Kind == "policy" && p.Service == "iam" && !strings.ContainsAny(head, "*?") && strings.Count(arn, "*") <= 1
}

// exclude takes out what a PolicyExclusionList names. What it names and is not attached is passed over, as AWS does it, and so are kinds of
// policies that nothing here has: those of organizations.
func (of *simulated) exclude(list []api.PolicyIdentifier) {
	for _, x := range list {
		if x.PolicyType.V == api.PolicyIdentifierPolicyTypePermissionBoundary {
			of.boundary = nil
		}
		var left []*source
		for _, s := range of.policies {
			if !s.excluded(&x) {
				left = append(left, s)
			}
		}
		of.policies = left
	}
}

func (s *source) excluded(x *api.PolicyIdentifier) bool {
	inline := s.holder.name != ""
	if in := x.InlinePolicyIdentifier; in != nil {
		return inline && s.name == in.PolicyName.V && string(s.holder.kind) == string(in.AttachmentType.V) && globbed(in.AttachmentName.V, s.holder.name)
	}
	if x.PolicyArn.Set {
		p, ok := identity.ParseARN(x.PolicyArn.V)
		return ok && !inline && globbed(p.Own(), s.name)
	}
	switch x.PolicyType.V {
	case api.PolicyIdentifierPolicyTypeInline:
		return inline
	case api.PolicyIdentifierPolicyTypeAwsManaged:
		return s.kind == api.PolicySourceTypeAwsManaged
	case api.PolicyIdentifierPolicyTypeUserManaged:
		return s.kind == api.PolicySourceTypeUserManaged
	}
	return false
}

// globbed matches a text with a pattern that has at most one *, and any number of ?.
func globbed(pattern, text string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return len(text) == len(head) && sameBut(head, text)
	}
	return len(text) >= len(head)+len(tail) && sameBut(head, text[:len(head)]) && sameBut(tail, text[len(text)-len(tail):])
}

// sameBut compares texts of one length; a ? in the first stands for anything.
func sameBut(pattern, text string) bool {
	for i := range len(pattern) {
		if pattern[i] != '?' && pattern[i] != text[i] {
			return false
		}
	}
	return true
}
