package policy

// PrincipalARN takes the ARN of a principal that can sign requests: an account's root, a user, a role, a session of either, a federated
// user. It returns its partition and account; ok is false for anything else.
func PrincipalARN(s string) (partition, account string, ok bool) {
	a, ok := splitARN(s)
	if !ok || len(s) > maxPrincipal || !validAWS(s) {
		return "", "", false
	}
	return a.partition, a.account, true
}

// ServicePrincipal tells whether s has the form of a service principal, like "logs.us-east-1.amazonaws.com".
func ServicePrincipal(s string) bool { return len(s) <= maxPrincipal && isDomain(s) }
