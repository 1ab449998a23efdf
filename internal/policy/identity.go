package policy

// ParseIdentity reads a document as Parse does, and asks of it what AWS IAM asks of a policy that belongs to an identity, be it one that is
// attached, a permissions boundary or a session policy: no principal, since it is the identity, and resources in every statement. Errors
// are *Error.
func ParseIdentity(doc []byte) (*Policy, error) {
	pol, err := Parse(doc)
	if err != nil {
		return nil, err
	}
	for _, st := range pol.Statements {
		switch {
		case st.Principal != nil || st.NotPrincipal != nil:
			return nil, fail("Policy document should not specify a principal.")
		case st.Resources == nil && st.NotResources == nil:
			return nil, fail(msgNoResource)
		}
	}
	return pol, nil
}
