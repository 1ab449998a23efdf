package policy

import (
	"slices"
	"strings"
)

// Kind says what sort of principal makes a request.
type Kind int

// The kinds of principals, as "AWS JSON policy elements: Principal" of the IAM user guide tells them apart.
const (
	Anonymous     Kind = iota // nobody known: only "*" stands for it
	Root                      // the root user of an account
	User                      // an IAM user, also in a session of GetSessionToken
	RoleSession               // a session of an IAM role, however it was assumed
	FederatedUser             // a session of GetFederationToken
	WebIdentity               // the bearer of a token of an OpenID Connect provider, before it has assumed a role
	SAML                      // the bearer of an assertion of a SAML provider, before it has assumed a role
	Service                   // an AWS service, by itself
)

// Who is the principal of a request. What does not apply to its kind is empty.
type Who struct {
	Kind      Kind
	ARN       string   // arn:aws:iam::A:user/x, arn:aws:sts::A:assumed-role/R/S, arn:aws:iam::A:root, ...; whoever has an account has one
	Role      string   // of a RoleSession: the ARN of its role, with its path
	User      string   // of a FederatedUser: the ARN of the user that made the session
	Account   string   // 12 digits
	Service   string   // of a Service: its name, "logs.us-east-1.amazonaws.com"
	Provider  string   // the web identity or SAML provider behind it: a domain name or an ARN
	UniqueIDs []string // AIDA..., AROA...: those of the user, or of the role behind the session
	Bounded   bool     // a permissions boundary is set on the user or the role
}

// Via says how a statement came to match a principal. Where its Principal matches in several ways, it is the last of them.
type Via int

// The ways to match, in the order of what they give: an account only lets IAM policies decide, a role leaves its sessions within their
// session policies and its boundary, while "*" stands for whoever makes the request, be it a session ("How AWS enforcement code logic
// evaluates requests to allow or deny access" of the IAM user guide).
const (
	None      Via = iota // the statement has no Principal: a policy of an identity
	Account              // the account, or its root
	Direct               // named: a user, the role of a session, a service, a provider; by ARN or unique ID
	Everybody            // "*", or not among those of NotPrincipal
	Session              // the very session, by its own ARN
)

// String is the way in a word, "" for None.
func (v Via) String() string { return [...]string{"", "account", "direct", "everybody", "session"}[v] }

// principalSet is a compiled Principal or NotPrincipal. Canonical users are in none: no request to these services has one.
type principalSet struct {
	any       bool
	accounts  []accountPrincipal
	names     []string // ARNs and unique IDs
	services  []string
	providers []string
}

// accountPrincipal is an account; prefix, unless empty, starts the ARNs of its partition.
type accountPrincipal struct {
	id, prefix string
}

func compilePrincipals(ps *Principals) *principalSet {
	if ps == nil {
		return nil
	}
	set := &principalSet{any: ps.Any, services: ps.Service, providers: ps.Federated}
	for _, id := range ps.AWS {
		a, isARN := splitARN(id)
		switch {
		case id == "": // would be everyone's who lacks what it is compared with
		case id == "*":
			set.any = true
		case isAccount(id):
			set.accounts = append(set.accounts, accountPrincipal{id: id})
		case isARN && a.service == "iam" && a.resource == "root":
			set.accounts = append(set.accounts, accountPrincipal{a.account, "arn:" + a.partition + ":"})
		default:
			set.names = append(set.names, id)
		}
	}
	return set
}

// inAccount tells whether an account speaks for w.
func (w *Who) inAccount() bool {
	switch w.Kind {
	case Root, User, RoleSession, FederatedUser:
		return w.Account != ""
	default:
		return false
	}
}

// match returns how the set names w, None if it does not.
func (set *principalSet) match(w *Who) Via {
	via := None
	switch {
	case set.hasSession(w):
		via = Session
	case set.any:
		via = Everybody
	case set.hasIdentity(w), set.hasService(w), set.hasProvider(w):
		via = Direct
	case set.hasAccount(w):
		via = Account
	}
	return via
}

func (set *principalSet) hasAccount(w *Who) bool {
	if !w.inAccount() {
		return false
	}
	for _, a := range set.accounts {
		if a.id == w.Account && strings.HasPrefix(w.ARN, a.prefix) {
			return true
		}
	}
	return false
}

// hasIdentity tells whether the user, the session's role or the federated user's user is named.
func (set *principalSet) hasIdentity(w *Who) bool {
	var arn string
	switch w.Kind {
	case User:
		arn = w.ARN
	case RoleSession:
		arn = w.Role
	case FederatedUser:
		arn = w.User
	default:
		return false
	}
	for _, name := range set.names {
		if name == arn || slices.Contains(w.UniqueIDs, name) {
			return true
		}
	}
	return false
}

func (set *principalSet) hasSession(w *Who) bool {
	return (w.Kind == RoleSession || w.Kind == FederatedUser) && slices.Contains(set.names, w.ARN)
}

func (set *principalSet) hasService(w *Who) bool {
	if w.Kind != Service || w.Service == "" {
		return false
	}
	for _, s := range set.services {
		if len(s) == len(w.Service) && sameText(s, w.Service, true) {
			return true
		}
	}
	return false
}

func (set *principalSet) hasProvider(w *Who) bool {
	return w.Provider != "" && slices.Contains(set.providers, w.Provider)
}

// spares tells whether a Deny with this NotPrincipal leaves w alone. "AWS JSON policy elements: NotPrincipal" of the IAM user guide
// says that the account must be listed beside the one who is not to be denied, and beside a session its role: each is looked at by
// itself, so that an account alone frees its root and no more, and a role alone none of its sessions. Whoever has a permissions boundary
// is always denied.
func (set *principalSet) spares(w *Who) bool {
	if w.Bounded {
		return false
	}
	if set.any {
		return true
	}
	switch w.Kind {
	case Root:
		return set.hasAccount(w)
	case User:
		return set.hasAccount(w) && set.hasIdentity(w)
	case RoleSession, FederatedUser:
		return set.hasAccount(w) && set.hasIdentity(w) && set.hasSession(w)
	default:
		return set.hasService(w) || set.hasProvider(w)
	}
}
