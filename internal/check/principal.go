package check

import (
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// principalKind says what a principal of a key policy is.
type principalKind int

const (
	anybodyKind   principalKind = iota
	accountKind                 // the root of an account, which stands for all whom the account's IAM policies allow
	everyoneKind                // every user and role of an account, whom "*" with a condition lets in
	identityKind                // a user, a role or a session of them
	serviceKind                 // an AWS service
	sourceKind                  // services that act for resources of an account
	providerKind                // an identity provider
	deletedKind                 // the unique ID of a user or role; a policy shows it once its bearer is gone, and nobody has it again
	canonicalKind               // what does not tell its account: a canonical user
)

// principal is somebody whom a statement names. Account is "" where the name does not tell it.
type principal struct {
	kind    principalKind
	id      string
	account string
}

// String says who it is, for a sentence.
func (p principal) String() string {
	switch p.kind {
	case accountKind:
		return "account " + p.account
	case everyoneKind:
		return "everybody of account " + p.account
	case serviceKind:
		return "service " + p.id
	case sourceKind:
		return "services for account " + p.account
	case deletedKind:
		return "deleted principal " + p.id
	case canonicalKind:
		return "canonical user " + p.id
	default:
		return p.id
	}
}

// person tells whether the principal stands for users or roles that exist.
func (p principal) person() bool {
	return p.kind != serviceKind && p.kind != sourceKind && p.kind != deletedKind
}

// whole tells whether the principal stands for more than one of an account.
func (p principal) whole() bool { return p.kind == accountKind || p.kind == everyoneKind }

func listed(ps *policy.Principals) []principal {
	if ps.Any {
		return []principal{stranger}
	}
	var list []principal
	for _, id := range ps.AWS {
		list = append(list, awsPrincipal(id))
	}
	for _, id := range ps.Service {
		list = append(list, principal{kind: serviceKind, id: id})
	}
	for _, id := range ps.Federated {
		list = append(list, principal{kind: providerKind, id: id, account: accountOf(id)})
	}
	for _, id := range ps.CanonicalUser {
		list = append(list, principal{kind: canonicalKind, id: id})
	}
	return list
}

// stranger stands for anybody at all, so for somebody of whom a policy knows nothing.
var stranger = principal{kind: anybodyKind, id: "everybody"}

func awsPrincipal(id string) principal {
	switch {
	case id == "*":
		return stranger
	case isAccountID(id):
		return principal{accountKind, id, id}
	case isUniqueID(id):
		return principal{kind: deletedKind, id: id}
	}
	if f := strings.SplitN(id, ":", 6); len(f) == 6 && f[5] == "root" {
		return principal{accountKind, id, f[4]}
	}
	return principal{identityKind, id, accountOf(id)}
}

func isAccountID(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// isUniqueID tells whether s is the unique ID of an IAM user, role or group, as "IAM identifiers" of the IAM user guide gives them:
// AIDA, AROA or another prefix that starts with A, in capitals and digits.
func isUniqueID(s string) bool {
	return len(s) >= 16 && s[0] == 'A' && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// role returns what a role and its sessions have in common, and of which of the two p is. The ARN of a session leaves out the role's
// path.
func (p principal) role() (common string, session, ok bool) {
	if p.kind != identityKind {
		return "", false, false
	}
	if name, ok := arnName(p.id, "assumed-role/"); ok {
		name, _, _ = strings.Cut(name, "/")
		return p.account + "/" + name, true, true
	}
	if path, ok := arnName(p.id, "role/"); ok {
		return p.account + "/" + path[strings.LastIndexByte(path, '/')+1:], false, true
	}
	return "", false, false
}

// arnName returns what follows kind in an ARN's last part.
func arnName(arn, kind string) (string, bool) { return strings.CutPrefix(part(arn, 5), kind) }

// nameList says who its principals are, at most five of them.
type nameList []principal

func (l nameList) String() string {
	seen := map[string]bool{}
	var ids []string
	for _, p := range l {
		if s := p.String(); !seen[s] {
			seen[s] = true
			ids = append(ids, s)
		}
	}
	return someOf(ids, maxNamed)
}
