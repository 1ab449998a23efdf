package policy

import "strings"

// ParseKeyPolicy reads a document as Parse does, and asks of it what AWS KMS asks of a key policy: a principal and a
// resource in every statement, the resource being "*" (this key) or the ARN of keys, and no condition on what only an
// IAM policy can know about a key. Errors are *Error.
func ParseKeyPolicy(doc []byte) (*Policy, error) {
	pol, err := Parse(doc)
	if err != nil {
		return nil, err
	}
	for _, st := range pol.Statements {
		if err := checkKeyStatement(st); err != nil {
			return nil, err
		}
	}
	return pol, nil
}

func checkKeyStatement(st Statement) error {
	if st.Principal == nil && st.NotPrincipal == nil {
		return fail(msgPrincipals)
	}
	if st.NotResources != nil {
		return fail("Policy statement of a key policy must contain Resource, not NotResource.")
	}
	if st.Resources == nil {
		return fail(msgNoResource)
	}
	for _, r := range st.Resources {
		if !isKeyResource(r) {
			return fail("Resource %s of a key policy must be \"*\" or the ARN of a key.", echo(r))
		}
	}
	for _, c := range st.Conditions {
		if iamOnly(c.Key) {
			return fail(msgKeyConds)
		}
	}
	return nil
}

func isKeyResource(r string) bool {
	if r == "*" {
		return true
	}
	a, ok := splitARN(r)
	return ok && a.service == "kms" && (a.resource == "*" || strings.HasPrefix(a.resource, "key/") && len(a.resource) > len("key/"))
}

// iamOnly reports whether a condition key describes the key itself, which its own policy may not ask about.
func iamOnly(key string) bool {
	name, _, _ := strings.Cut(lower(key), "/")
	return name == "aws:resourcetag" || name == "kms:resourcetag" || name == "kms:resourcealiases"
}

// Default returns the key policy of a key made by CreateKey without a policy: the account may use IAM policies. It is
// laid out as GetKeyPolicy returns it, byte for byte. AccountID is 12 digits, partition the first part of its ARNs: "aws".
func Default(partition, accountID string) string {
	return `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:` + partition + `:iam::` + accountID + `:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`
}
