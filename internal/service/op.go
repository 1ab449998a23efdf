// Package service is the one line every request takes: decode, validate, resolve the targets, authorize each, plan, commit,
// audit, encode. Operations are data plus a pure plan; each step stands once, here, so that no operation can forget one.
package service

import (
	"context"
	"fmt"
	"io"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/throttle"
)

// Kind says how an operation touches the store, and how it is audited.
type Kind uint8

const (
	Read     Kind = iota // reads records, through the cache
	Crypto               // uses key material; reads records through the cache and writes none
	Change               // writes records; its audit record is part of the commit
	Internal             // a Change of the service's own making (rotation, deletion): never on the wire
	Control              // a Change that runs the service itself (the clock); requests wait meanwhile
)

// String names the kind as in the table of operations.
func (k Kind) String() string {
	return [...]string{"read", "crypto", "change", "internal", "control"}[k]
}

// Target is one thing an operation acts on. Authorization decides on Action and ARN; only afterwards is Missing revealed, so
// that nobody learns what exists without being allowed to.
type Target struct {
	Action  string
	Account string
	ARN     string
	Key     *record.Key // nil if absent, or if the target is no key
	Missing error       // what to answer if the target is absent
	Region  string      // where the action is asked for; "" for the call's
	// Called is how a refusal calls the target, where ARN would tell what the request does not say, such as a user's path; "" for ARN.
	Called string
	// Denied is what to answer if the caller is refused, where AWS does not say by what; nil for the authorizer's own words.
	Denied error
	// Tags are the target's where it is no key.
	Tags []record.Tag
	// Policy is the target's own policy where it is no key, such as the trust policy of a role; nil: it has none.
	Policy *policy.Compiled
	// Grant is the grant that the operation makes or retires, nil if there is none: what it says takes part in who may.
	Grant *record.Grant
}

// None is the response of operations that have none.
type None struct{}

// AppendJSON implements api.Response: the body is empty.
func (*None) AppendJSON(dst []byte) []byte { return dst }

// Stream is a response that is made while it is sent, since it is too long to be made first. It holds what it is made of until it has been sent
// or discarded: one of these is always called, once.
type Stream interface {
	api.Response
	// Head returns what is told ahead: the media type, and short texts by their names, both in ASCII.
	Head() (mediaType string, fields map[string]string)
	// Send writes it all. After an error what was written is not whole, which the receiver must be able to see.
	Send(ctx context.Context, w io.Writer) error
	// Discard lets go of what it holds.
	Discard()
}

// discard discards a response that nobody will get.
func discard(resp any) {
	if s, ok := resp.(Stream); ok {
		s.Discard()
	}
}

// Def defines an operation with request *Q and response *R. Plan must be pure but for what it does to the Tx: it may run
// several times before its commit succeeds.
type Def[Q, R any] struct {
	Name string
	Kind Kind
	// Actions are all the actions that Resolve may put into targets.
	Actions []string
	// Unsigned: whoever asks is told by the request, not by a signature.
	Unsigned bool
	// Check bounds what the model leaves unbounded. A request that it refuses is audited without its parameters. Nil: nothing.
	Check func(*Q) error
	// Resolve finds the targets. Nil: the operation acts on the account as such and needs Actions[0] on "*".
	Resolve func(*Tx, *Q) ([]Target, error)
	// Cond returns the request's values of a condition key, by its name in lower case, and whether the key is in the request. It is asked
	// for each target, and only for keys that a policy names. Nil: the operation has none of its own.
	Cond func(tx *Tx, q *Q, t *Target, key string) (values []string, present bool)
	// Context returns the encryption context that the operation has for a target, which grants may constrain. Nil: it has none.
	Context func(*Q, *Target) map[string]string
	// CondKeys are the condition keys that Cond may answer, as AWS writes them; a * at the end of one stands for any name.
	CondKeys []string
	// Audit adds to the audit record what may be seen of the request: an allow-list, so that secrets cannot get in.
	Audit func(*Q, *audit.Params)
	// Result does the same with the response; used only after success.
	Result func(*R, *audit.Params)
	// DryRun tells whether the request asks for a check only. Nil: the operation has no DryRun.
	DryRun func(*Q) bool
	// Tokens returns the request's grant tokens. They are looked at once the targets are allowed. Nil: the operation takes none.
	Tokens func(*Q) []string
	// Plan reads through the Tx, leaves writes in it and returns the response.
	Plan func(*Tx, *Q, []Target) (*R, error)
}

// Op is a Def with its types hidden.
type Op struct {
	Service string // "kms", "keyturn", "sts"
	Name    string
	Kind    Kind
	Actions []string
	// CondKeys are the condition keys that the operation has values of its own for, see Def.
	CondKeys []string
	Built    bool
	// Unsigned: requests are not signed, see Def.
	Unsigned bool
	// NewRequest returns an empty request to decode into. Nil for Internal operations.
	NewRequest func() api.Request
	// Quota is what calls count toward. Internal operations have none.
	Quota Quota

	source    string // the audit record's eventSource
	run       func(ctx context.Context, p *Pipeline, call *Call, req any) (any, error)
	auditForm func(req any, params *audit.Params)
}

// Op hides the types of a Def.
func (d Def[Q, R]) Op(service string) *Op {
	op := &Op{Service: service, Name: d.Name, Kind: d.Kind, Actions: d.Actions, CondKeys: d.CondKeys, Built: true, Unsigned: d.Unsigned, source: sources[service]}
	if _, ok := any(new(Q)).(api.Request); ok && d.Kind != Internal {
		op.NewRequest = func() api.Request { return any(new(Q)).(api.Request) }
	}
	if d.Kind != Internal {
		op.Quota.Class = ownClasses[service]
		if d.Unsigned {
			op.Quota.Class = throttle.WebIdentity
		}
	}
	op.auditForm = func(req any, params *audit.Params) {
		if d.Audit != nil {
			d.Audit(req.(*Q), params)
		}
	}
	op.run = func(ctx context.Context, p *Pipeline, call *Call, req any) (any, error) {
		resp, err := run(ctx, p, op, &d, call, req.(*Q))
		if err != nil {
			return nil, err // not a nil *R in an interface
		}
		return resp, nil
	}
	return op
}

// Unbuilt stands for an operation of the model that this server does not have yet: it authenticates and audits as any other
// and answers UnsupportedOperationException.
func Unbuilt(m api.Operation) *Op {
	op := &Op{Service: m.Service, Name: m.Name, Kind: Read, NewRequest: m.NewInput, source: sources[m.Service]}
	for _, p := range m.Permissions {
		op.Actions = append(op.Actions, p.Action)
	}
	op.auditForm = func(any, *audit.Params) {}
	op.run = func(context.Context, *Pipeline, *Call, any) (any, error) {
		return nil, api.Errorf(api.UnsupportedOperationException, "%s is not available on this server.", m.Name)
	}
	return op
}

// AuditParams returns what the operation's audit record shows of a request.
func (op *Op) AuditParams(req any) audit.Params {
	var params audit.Params
	op.auditForm(req, &params)
	return params
}

// Table returns the operations by "service.Name". Duplicate names are a programming error.
func Table(ops ...[]*Op) map[string]*Op {
	table := make(map[string]*Op)
	for _, list := range ops {
		for _, op := range list {
			name := op.Service + "." + op.Name
			if table[name] != nil {
				panic(fmt.Sprintf("service: operation %s defined twice", name))
			}
			table[name] = op
		}
	}
	return table
}
