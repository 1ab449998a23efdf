package iam

import (
	"net/url"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
)

// encodeDocument is how answers of IAM carry policy documents: percent-encoded as RFC 3986 has it.
func encodeDocument(document string) api.Opt[string] {
	return api.Some(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

// checkIdentityPolicy reads a policy that belongs to an identity: it has no Principal, and its statements name resources.
func checkIdentityPolicy(document string) error {
	if _, err := policy.ParseIdentity([]byte(document)); err != nil {
		return malformed(err)
	}
	return nil
}

// checkTrustPolicy reads the policy that says who may assume a role: it has principals, and is about no other resource.
func checkTrustPolicy(document string) error {
	p, err := policy.Parse([]byte(document))
	if err != nil {
		return malformed(err)
	}
	for _, st := range p.Statements {
		if st.Principal == nil && st.NotPrincipal == nil {
			return api.Errorf(api.MalformedPolicyDocument, "AssumeRole policy must contain a principal")
		}
		if st.Resources != nil || st.NotResources != nil {
			return api.Errorf(api.MalformedPolicyDocument, "Has prohibited field Resource")
		}
		for _, action := range append(append([]string{}, st.Actions...), st.NotActions...) {
			if service, _, ok := strings.Cut(action, ":"); ok && !strings.EqualFold(service, "sts") {
				return api.Errorf(api.MalformedPolicyDocument, "AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
	}
	return nil
}

func malformed(err error) error { return api.Errorf(api.MalformedPolicyDocument, "%s", err.Error()) }

// size is what a document counts for: its characters without white space ("IAM and AWS STS quotas").
func size(document string) int {
	n := 0
	for _, r := range document {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}
