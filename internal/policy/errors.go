package policy

import "fmt"

// Messages in AWS's words, seen in replies of the real services.
const (
	msgSyntax     = "Syntax errors in policy."
	msgPrincipals = "Policy contains a statement with one or more invalid principals."
	msgNoActions  = "Policy statement must contain actions."
	msgNoResource = "Policy statement must contain resources."
	msgSids       = "Statement IDs (SID) in a single policy must be unique."
	msgPrefix     = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	msgColons     = "Actions/Condition can contain only one colon."
	msgKeyConds   = "These condition keys are not permitted in a key policy: aws:ResourceTag, kms:ResourceTag, kms:ResourceAliases"
)

// maxEcho bounds how much of a hostile document comes back in an error.
const maxEcho = 64

func fail(format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// syntax is AWS's sentence, which says nothing of what is wrong, and then what is wrong.
func syntax(format string, args ...any) error {
	return &Error{Message: msgSyntax + " " + fmt.Sprintf(format, args...)}
}

// echo shortens s to what an error may repeat of it.
func echo(s string) string {
	n := 0
	for i := range s {
		if n == maxEcho {
			return s[:i]
		}
		n++
	}
	return s
}
