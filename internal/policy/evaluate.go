package policy

// Request is what is asked of a policy.
type Request struct {
	Who      *Who   // nil is Anonymous
	Action   string // "kms:Decrypt"
	Resource string // an ARN, or "*" for actions that are not on a resource

	// Value returns the values that the request has for a condition key, and whether it has any: a key present without values counts
	// as absent. It is asked only for keys that Compiled.Keys lists, spelled as FoldKey does: names of keys are compared without
	// regard to case, and that goes for the part of kms:EncryptionContext:NAME and aws:PrincipalTag/NAME that a user chose, too (AWS
	// KMS developer guide, "kms:EncryptionContext:context-key"); where a request has both Name and name, the key has two values.
	// Binary values are bytes. A nil Value has nothing.
	Value func(key string) (values []string, present bool)

	// Unknown, unless nil, asks what would be decided if the conditions on some keys turned out well: the condition of an Allow on such a
	// key is taken as met, and a Deny with one as not matching. Explanations use it; no decision ever does. Keys are spelled as for Value.
	Unknown func(key string) bool

	// Spent, unless nil, counts the steps of evaluations that share one bound, as those of all policies of a decision do. They must come one
	// after the other. Nil: each evaluation has the bound to itself.
	Spent *int
}

// Ref names a statement that took part in a decision.
type Ref struct {
	Index int // in the policy, from 0
	Sid   string
	Via   Via
}

// Outcome lists the statements that match a request, in the order of the policy. A request is denied by any Deny, and allowed by none
// but an Allow.
type Outcome struct {
	Allow, Deny []Ref
}

// maxWork bounds the time of all evaluations of a request together to some 50 ms, whatever policies and request hold: the product of their
// lengths, which is what matching may take, is more than a server can bear. A key policy of 20 statements takes a few hundred steps.
const maxWork = 16 << 20

// evaluation is one policy being evaluated for one request.
type evaluation struct {
	work
	request  *Request
	resource arnParts
	isARN    bool // resource is one
}

func (e *evaluation) values(key string) []string {
	if e.request.Value == nil {
		return nil
	}
	values, present := e.request.Value(key)
	if !present {
		return nil
	}
	e.spend(1 + len(values))
	return values
}

// Evaluate evaluates a policy on a resource: its statements match those whom their Principal names. Where a statement has no Resource,
// as in the trust policy of a role, it is about the resource that has the policy.
func (c *Compiled) Evaluate(r *Request) Outcome {
	var out Outcome
	c.EvaluateInto(r, &out)
	return out
}

// EvaluateInto is Evaluate, and appends to out.
func (c *Compiled) EvaluateInto(r *Request, out *Outcome) { c.evaluate(r, out, true) }

// EvaluateIdentity evaluates a policy of an identity, a permissions boundary or a session policy, which belong to the principal of the
// request. Statements with Principal never match in these, and those without Resource allow nothing.
func (c *Compiled) EvaluateIdentity(r *Request) Outcome {
	var out Outcome
	c.EvaluateIdentityInto(r, &out)
	return out
}

// EvaluateIdentityInto is EvaluateIdentity, and appends to out.
func (c *Compiled) EvaluateIdentityInto(r *Request, out *Outcome) { c.evaluate(r, out, false) }

func (c *Compiled) evaluate(r *Request, out *Outcome, onResource bool) {
	e := evaluation{work: work{left: maxWork}, request: r}
	if r.Spent != nil {
		e.left -= *r.Spent
	}
	e.resource, e.isARN = cutARN(r.Resource)
	who := r.Who
	if who == nil {
		who = &nobody
	}
	for i := range c.statements {
		st := &c.statements[i]
		via, named := st.namesPrincipal(who, onResource)
		if !named || st.inert {
			continue
		}
		matches := !e.exhausted() && st.matches(&e, onResource)
		if e.exhausted() {
			matches = st.deny // nothing is known of this statement any more, nor of those after it
		}
		ref := st.Ref
		ref.Via = via
		switch {
		case !matches:
		case st.deny:
			out.Deny = append(out.Deny, ref)
		default:
			out.Allow = append(out.Allow, ref)
		}
	}
	if r.Spent != nil {
		*r.Spent = maxWork - e.left
	}
}

var nobody = Who{Kind: Anonymous}

// namesPrincipal reports whether a statement is about w, and how it came to be.
func (st *statement) namesPrincipal(w *Who, onResource bool) (Via, bool) {
	switch {
	case !onResource:
		return None, st.principal == nil && st.notPrincipal == nil
	case st.principal != nil:
		via := st.principal.match(w)
		return via, via != None
	case st.notPrincipal == nil:
		return None, false
	case st.deny:
		return Everybody, !st.notPrincipal.spares(w)
	default:
		return Everybody, st.notPrincipal.match(w) == None
	}
}

// matches reports whether a statement that names the principal is about the rest of the request.
func (st *statement) matches(e *evaluation, onResource bool) bool {
	if !st.namesAction(e) || !st.namesResource(e, onResource) {
		return false
	}
	for i := range st.conditions {
		if unknown := e.request.Unknown; unknown != nil && unknown(st.conditions[i].key) {
			if st.deny {
				return false
			}
			continue
		}
		if !st.conditions[i].holds(e, st.deny) {
			return false
		}
	}
	return true
}

func (st *statement) namesAction(e *evaluation) bool {
	for i := range st.actions {
		if e.matches(&st.actions[i], e.request.Action, true) {
			return !st.negActions
		}
	}
	return st.negActions
}

func (st *statement) namesResource(e *evaluation, onResource bool) bool {
	if st.anyResource {
		return onResource || st.deny
	}
	return e.matchesResource(st.resources) != st.negResources
}
