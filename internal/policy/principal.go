package policy

import "strings"

// maxPrincipal bounds one principal: an IAM path of 512 characters, a name and a session of 64 each, and the ARN around.
const maxPrincipal = 1024

// valid reports whether at least one principal is named and all have a form AWS knows. That they exist is not asked.
func (p *Principals) valid() bool {
	if p.Any {
		return true
	}
	n := 0
	for _, kind := range []struct {
		ids []string
		ok  func(string) bool
	}{
		{p.AWS, validAWS},
		{p.Service, isDomain},
		{p.Federated, validFederated},
		{p.CanonicalUser, validCanonical},
	} {
		// A kind that is named needs a member: {"AWS": []} is a slip, not a way to say nobody.
		if kind.ids != nil && len(kind.ids) == 0 {
			return false
		}
		for _, id := range kind.ids {
			if len(id) > maxPrincipal || !kind.ok(id) {
				return false
			}
		}
		n += len(kind.ids)
	}
	return n > 0
}

// validAWS takes "*", an account, and the ARNs of principals that sign requests. Groups are not principals, and inside
// an ARN IAM takes no wildcard.
func validAWS(s string) bool {
	if s == "*" || isAccount(s) {
		return true
	}
	a, ok := splitARN(s)
	if !ok || !isPartition(a.partition) || a.region != "" || !isAccount(a.account) {
		return false
	}
	kind, rest, _ := strings.Cut(a.resource, "/")
	switch {
	case a.service == "iam" && a.resource == "root":
		return true
	case a.service == "iam" && (kind == "user" || kind == "role"):
		i := strings.LastIndexByte(rest, '/')
		return isPath(rest[:i+1]) && isName(rest[i+1:])
	case a.service == "sts" && kind == "assumed-role":
		role, session, _ := strings.Cut(rest, "/")
		return isName(role) && isName(session)
	case a.service == "sts" && kind == "federated-user":
		return isName(rest)
	default:
		return false
	}
}

// validFederated takes a web identity provider's domain and the ARN of a provider registered in IAM.
func validFederated(s string) bool {
	a, ok := splitARN(s)
	if !ok {
		return isDomain(s)
	}
	kind, name, _ := strings.Cut(a.resource, "/")
	return a.service == "iam" && isPartition(a.partition) && a.region == "" && isAccount(a.account) &&
		(kind == "saml-provider" || kind == "oidc-provider") && name != "" && only(name, "-._/:+=,@%~")
}

func validCanonical(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

func isPartition(s string) bool {
	return s == "aws" || strings.HasPrefix(s, "aws-") && only(s, "-")
}

// isName takes what IAM allows in the name of a user, role or session.
func isName(s string) bool {
	return s != "" && only(s, "_+=,.@-")
}

// isPath takes IAM's path without its leading slash, printable ASCII but for wildcards: "" or "division/team/".
func isPath(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || s[i] == '*' || s[i] == '?' {
			return false
		}
	}
	return true
}

// isDomain takes two labels or more, as host names have them.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || !only(l, "-") {
			return false
		}
	}
	return len(labels) > 1
}

type arn struct {
	partition, service, region, account, resource string
}

// splitARN takes "arn:partition:service:region:account:resource" apart; the resource may contain colons. What the
// parts are is for the caller to check.
func splitARN(s string) (arn, bool) {
	f := strings.SplitN(s, ":", 6)
	if len(f) != 6 || f[0] != "arn" {
		return arn{}, false
	}
	return arn{f[1], f[2], f[3], f[4], f[5]}, true
}

// isARN reports whether s is an ARN as a Resource may have it, wildcards and variables included.
func isARN(s string) bool {
	a, ok := splitARN(s)
	return ok && a.partition != "" && a.service != "" && a.resource != ""
}
