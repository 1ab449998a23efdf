package check

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// principalKind says what a principal of a key policy is.
type principalKind int

const (
	anybodyKind   principalKind = iota
	accountKind                 // the root of an account, which stands for all whom the account's IAM policies allow
	identityKind                // a user, a role or a session of them
	serviceKind                 // an AWS service
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
	case anybodyKind:
		return p.id
	case accountKind:
		return "account " + p.account
	case serviceKind:
		return "service " + p.id
	case deletedKind:
		return "deleted principal " + p.id
	case canonicalKind:
		return "canonical user " + p.id
	default:
		return p.id
	}
}

// person tells whether the principal stands for users or roles that exist.
func (p principal) person() bool { return p.kind != serviceKind && p.kind != deletedKind }

// principalsOf returns whom a statement names. NotPrincipal names everybody else, so strangers too.
func principalsOf(st *policy.Statement) []principal {
	switch {
	case st.NotPrincipal != nil:
		return []principal{{kind: anybodyKind, id: "everybody but those under NotPrincipal"}}
	case st.Principal == nil:
		return nil
	default:
		return listed(st.Principal)
	}
}

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

// stranger stands for anybody at all.
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

// includedIn tells whether a principal that a statement names stands for p, or for p's whole account.
func (p principal) includedIn(named principal) bool {
	switch {
	case named.kind == anybodyKind:
		return true
	case named.kind == accountKind:
		return (p.kind == accountKind || p.kind == identityKind) && p.account == named.account
	case named.id == p.id:
		return true
	default:
		return named.kind == identityKind && p.kind == identityKind && isSessionOf(p, named)
	}
}

// isSessionOf tells whether p is a session of a role. The ARN of a session leaves out the role's path.
func isSessionOf(p, role principal) bool {
	session, ok := arnName(p.id, "assumed-role/")
	if !ok || p.account != role.account {
		return false
	}
	path, ok := arnName(role.id, "role/")
	return ok && path[strings.LastIndexByte(path, '/')+1:] == session[:strings.IndexByte(session+"/", '/')]
}

func arnName(arn, kind string) (string, bool) {
	f := strings.SplitN(arn, ":", 6)
	return strings.CutPrefix(f[len(f)-1], kind)
}

// reaches tells whether a Deny is meant for p. An account under Principal is everyone in it; under NotPrincipal it frees its root, and
// no user or role beside ("AWS JSON policy elements: NotPrincipal").
func reaches(deny *policy.Statement, p principal) bool {
	if deny.NotPrincipal != nil {
		return !slices.ContainsFunc(listed(deny.NotPrincipal), func(free principal) bool {
			return p.includedIn(free) && (free.kind != accountKind || p.kind == accountKind)
		})
	}
	return deny.Principal != nil && slices.ContainsFunc(listed(deny.Principal), p.includedIn)
}

// deniedBy returns the first Deny that certainly takes an action away from p.
func deniedBy(denies []statement, p principal, action string) (statement, bool) {
	for _, d := range denies {
		if covers(d.Statement, action) && reaches(d.Statement, p) && allHoldFor(d.Statement, p) {
			return d, true
		}
	}
	return statement{}, false
}

// leftOf returns the actions that no Deny certainly takes away from p, and the first Deny that takes one.
func leftOf(actions []string, denies []statement, p principal) (left []string, by statement) {
	for _, a := range actions {
		switch d, denied := deniedBy(denies, p, a); {
		case !denied:
			left = append(left, a)
		case by.Statement == nil:
			by = d
		}
	}
	return left, by
}

// nameAll says who the principals are, at most five of them.
func nameAll(ps []principal) string {
	var ids []string
	for _, p := range ps {
		if s := p.String(); !slices.Contains(ids, s) {
			ids = append(ids, s)
		}
	}
	return someOf(ids, 5)
}
