// Package authz combines policies into a decision, in the order that AWS documents: "Policy evaluation logic" of the IAM user guide, and
// "Authorization in AWS KMS" and "Troubleshooting key access" of the AWS KMS developer guide, where the key policy is the root of trust.
// It reads nothing and knows nothing of keys.
package authz

import "github.com/keyturn/keyturn/internal/policy"

// Question is what is to be decided.
type Question struct {
	Who             *policy.Who
	Action          string
	Resource        string // an ARN, or "*"
	ResourceAccount string
	// Value returns condition values, as policy.Request has it.
	Value func(key string) (values []string, present bool)

	// Resource-based: the policy on the resource. Nil: a resource of this kind has none, and IAM alone decides.
	OnResource *policy.Compiled
	Identity   *Identity // what is attached to the principal; nil for nothing
	// Grant tells whether a grant allows it. It is asked only if no policy does. Nil: there are no grants on it.
	Grant func() (bool, error)
	// Reasons asks for Decision.Statements, which cost memory that nearly every request can do without.
	Reasons bool
	// Unknown is policy.Request's, for what explanations suppose; nil for every decision that is acted upon.
	Unknown func(key string) bool
}

// Identity is what is attached to a principal.
type Identity struct {
	Policies []Named // identity policies, those of its groups among them
	Boundary *Named  // permissions boundary; nil for none
	Session  []Named // session policies; only with a session
	Limited  bool    // the session was made with session policies: what none of Session allows is out
}

// Named is a policy with the name that explanations call it by.
type Named struct {
	Name     string
	Compiled *policy.Compiled
}

// Kind is a kind of policy, as AWS's messages name it.
type Kind int

const (
	NoKind Kind = iota
	ResourcePolicy
	IdentityPolicy
	Boundary
	SessionPolicy
	Grant
	RootUser // the root user, whom no identity policy has to allow anything
)

// String is the kind in words.
func (k Kind) String() string {
	return [...]string{"nothing", "resource-based policy", "identity-based policy", "permissions boundary", "session policy", "grant", "root user"}[k]
}

// Decision is the answer, with its reasons.
type Decision struct {
	Allowed bool
	// Explicit: a Deny statement matched. Otherwise, if not allowed, nothing allowed it.
	Explicit bool
	// By is what decided: what allowed it in the end, what denied it, or what would have had to allow it and did not.
	By Kind
	// Statements are those that took part, of every policy that was asked, in the order in which policies were asked; only with
	// Question.Reasons.
	Statements []Statement
	// CrossAccount: the principal is of another account than the resource.
	CrossAccount bool
}

// Statement is a statement that matched.
type Statement struct {
	Kind   Kind
	Policy string // its name; "" for the policy on the resource
	Effect policy.Effect
	policy.Ref
}

// Decide answers a question. The error is Grant's.
func Decide(q *Question) (Decision, error) {
	e := evaluation{q: q, request: policy.Request{Who: q.Who, Action: q.Action, Resource: q.Resource, Value: q.Value, Unknown: q.Unknown}}
	e.out.Allow, e.request.Spent = e.allow[:0], &e.spent
	e.d.CrossAccount = q.Who.Account != q.ResourceAccount
	e.ask()
	switch {
	case e.d.CrossAccount && q.Who.Account != "": // what is denied and why is told below, once it may be told
		return e.crossAccount()
	case e.denied != NoKind:
		e.d.Explicit, e.d.By = true, e.denied
		return e.d, nil
	case q.OnResource == nil:
		e.byIdentity()
	case q.Who.Account == "": // services and strangers: what is not theirs anywhere can only be opened to them by the resource
		return e.noAccount()
	default:
		return e.sameAccount()
	}
	return e.d, nil
}

// allows tells by what means a policy on a resource allows it.
type allows struct{ everybody, account, direct, session bool }

func (a allows) any() bool { return a.everybody || a.account || a.direct || a.session }

type evaluation struct {
	q       *Question
	request policy.Request
	out     policy.Outcome // reused
	spent   int            // steps of all policies so far
	allow   [4]policy.Ref  // what out.Allow begins with: most often one statement allows, and none denies
	d       Decision

	denied     Kind // the first that denies it
	onResource allows
	identity   bool // an identity policy allows it, or the principal is the root user
	boundary   bool // the boundary allows it, or there is none
	session    bool // the session policies allow it, or there are none
}

// ask evaluates every policy: a Deny counts wherever it is.
func (e *evaluation) ask() {
	q := e.q
	if q.OnResource != nil {
		e.out.Allow, e.out.Deny = e.out.Allow[:0], e.out.Deny[:0]
		q.OnResource.EvaluateInto(&e.request, &e.out)
		e.note(ResourcePolicy, "")
		for _, ref := range e.out.Allow {
			switch ref.Via {
			case policy.Everybody:
				e.onResource.everybody = true
			case policy.Account:
				e.onResource.account = true
			case policy.Direct:
				e.onResource.direct = true
			case policy.Session:
				e.onResource.session = true
			}
		}
	}
	e.identity = q.Who.Kind == policy.Root
	e.boundary, e.session = true, true
	id := q.Identity
	if id == nil {
		return
	}
	for i := range id.Policies {
		e.identity = e.evaluate(IdentityPolicy, &id.Policies[i]) || e.identity
	}
	if id.Boundary != nil {
		e.boundary = e.evaluate(Boundary, id.Boundary)
	}
	if id.Limited {
		e.session = false
		for i := range id.Session {
			e.session = e.evaluate(SessionPolicy, &id.Session[i]) || e.session
		}
	}
}

// evaluate evaluates a policy of the principal, and tells whether it allows.
func (e *evaluation) evaluate(kind Kind, p *Named) bool {
	e.out.Allow, e.out.Deny = e.out.Allow[:0], e.out.Deny[:0]
	p.Compiled.EvaluateIdentityInto(&e.request, &e.out)
	e.note(kind, p.Name)
	return len(e.out.Allow) > 0
}

// note keeps the statements of an outcome.
func (e *evaluation) note(kind Kind, name string) {
	if len(e.out.Deny) > 0 && e.denied == NoKind {
		e.denied = kind
	}
	if !e.q.Reasons {
		return
	}
	for _, ref := range e.out.Deny {
		e.d.Statements = append(e.d.Statements, Statement{kind, name, policy.Deny, ref})
	}
	for _, ref := range e.out.Allow {
		e.d.Statements = append(e.d.Statements, Statement{kind, name, policy.Allow, ref})
	}
}

func (e *evaluation) conclude(allowed bool, by Kind) { e.d.Allowed, e.d.By = allowed, by }

// limited tells whether boundary or session policies take away what something else allows, and notes which.
func (e *evaluation) limited() bool {
	switch {
	case !e.boundary:
		e.conclude(false, Boundary)
	case !e.session:
		e.conclude(false, SessionPolicy)
	default:
		return false
	}
	return true
}

// byIdentity decides by IAM alone.
func (e *evaluation) byIdentity() {
	switch {
	case !e.identity:
		e.conclude(false, IdentityPolicy)
	case !e.limited():
		e.conclude(true, e.identityKind())
	}
}

func (e *evaluation) identityKind() Kind {
	if e.q.Who.Kind == policy.Root {
		return RootUser
	}
	return IdentityPolicy
}

// sameAccount decides about a principal of the resource's own account.
//
// A policy on the resource that names a user, the very session of a role, or everybody, allows it whatever the boundary and the session
// policies leave out. One that names the role does so within these. One that names the account only opens it to IAM policies. ("How AWS
// enforcement code logic evaluates requests to allow or deny access" of the IAM user guide, which says it of "*" where a condition on
// aws:PrincipalArn narrows it; that conditions change what "*" means is said nowhere.)
func (e *evaluation) sameAccount() (Decision, error) {
	on := e.onResource
	named := on.session || on.everybody || on.direct && e.q.Who.Kind == policy.User
	switch {
	case named:
		e.conclude(true, ResourcePolicy)
		return e.d, nil
	case on.direct:
		if !e.limited() {
			e.conclude(true, ResourcePolicy)
		}
		return e.d, nil
	case on.account && e.identity:
		if !e.limited() {
			e.conclude(true, e.identityKind())
		}
		return e.d, nil
	}
	granted, err := e.granted()
	switch {
	case err != nil:
		return e.d, err
	case granted:
		if !e.limited() {
			e.conclude(true, Grant)
		}
	case on.account:
		e.conclude(false, IdentityPolicy)
	default:
		e.conclude(false, ResourcePolicy)
	}
	return e.d, nil
}

// noAccount decides about who is of no account. Of these only services can have grants.
func (e *evaluation) noAccount() (Decision, error) {
	e.conclude(e.onResource.any() && e.q.Who.Kind != policy.Anonymous, ResourcePolicy)
	if e.d.Allowed || e.q.Who.Kind != policy.Service {
		return e.d, nil
	}
	granted, err := e.granted()
	if err == nil && granted {
		e.conclude(true, Grant)
	}
	return e.d, err
}

// crossAccount decides about a principal of another account: the resource's account, by its policy or a grant, and the principal's own,
// by IAM, must both allow it. What the principal's own policies say of a resource that is not open to it is never told, not even that they
// deny it: conditions on the resource would tell what it is.
func (e *evaluation) crossAccount() (Decision, error) {
	if e.q.OnResource == nil || e.denied == ResourcePolicy {
		e.d.Explicit = e.denied == ResourcePolicy
		e.conclude(false, ResourcePolicy)
		return e.d, nil
	}
	by := ResourcePolicy
	if !e.onResource.any() {
		granted, err := e.granted()
		if err != nil {
			return e.d, err
		}
		if !granted {
			e.conclude(false, ResourcePolicy)
			return e.d, nil
		}
		by = Grant
	}
	switch {
	case e.denied != NoKind:
		e.d.Explicit = true
		e.conclude(false, e.denied)
	case !e.identity:
		e.conclude(false, IdentityPolicy)
	case !e.limited():
		e.conclude(true, by)
	}
	return e.d, nil
}

func (e *evaluation) granted() (bool, error) {
	if e.q.Grant == nil {
		return false, nil
	}
	return e.q.Grant()
}

// Message is what AWS answers to a principal that was refused: who, what, on what, and which kind of policy it was. To another account
// nothing is told of the resource, not even whether it is there.
func (d *Decision) Message(arn, action, resource string) string {
	s := "User: " + arn + " is not authorized to perform: " + action
	if d.onResourceSide() {
		return s + " on this resource because the resource does not exist in this Region, no resource-based policies allow access, " +
			"or a resource-based policy explicitly denies access"
	}
	s += " on resource: " + resource
	if d.Explicit {
		return s + " with an explicit deny in " + article(d.By)
	}
	return s + " because no " + d.By.String() + " allows the " + action + " action"
}

func article(k Kind) string {
	if k == IdentityPolicy {
		return "an " + k.String()
	}
	return "a " + k.String()
}
