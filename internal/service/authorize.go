package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
)

// admit authorizes every target; only when all are allowed does it tell which is missing.
func (p *Pipeline) admit(tx *Tx, op *Op, targets []Target, of values, q any) error {
	if err := p.allow(tx, op, targets, of, q); err != nil {
		return err
	}
	for i := range targets {
		if targets[i].Missing != nil {
			return targets[i].Missing
		}
	}
	return nil
}

func (p *Pipeline) allow(tx *Tx, op *Op, targets []Target, of values, q any) error {
	var grants []string // that allow it
	for i := range targets {
		t := &targets[i]
		if !slices.Contains(op.Actions, t.Action) {
			return fmt.Errorf("service: %s resolved to undeclared action %q", op.Name, t.Action)
		}
		if tx.Call.Caller.Service {
			continue
		}
		a := &tx.authorization // one after the other, and none outlives the call
		*a = Authorization{Tx: tx, Op: op, Target: t, values: of, request: q}
		err := p.authorize(a)
		if tx.failed != nil {
			return fmt.Errorf("reading what a condition asks for: %w", tx.failed)
		}
		if err != nil {
			a.record()
			return err
		}
		if a.ByGrant != "" && !slices.Contains(grants, a.ByGrant) {
			grants = append(grants, a.ByGrant)
		}
	}
	if len(grants) > 0 {
		tx.Additional().StrList("grantIds", grants)
	}
	return nil
}

// Authorization is the question whether a caller may do an action to a target.
type Authorization struct {
	Tx     *Tx // with the Call, and so the caller
	Op     *Op
	Target *Target
	// Refused is for the authorizer to set when it refuses: what decided, as far as the caller's own account may know it. The audit
	// record of the call has it. Nil: nothing is told.
	Refused *authz.Told
	// ByGrant is for the authorizer to set when it allows by a grant: its ID, which the audit record of the call has.
	ByGrant string

	values  values
	request any // what values asks

	question authz.Question
	resource func(a *Authorization, key string) (values []string, present bool)
	known    map[string][]string // condition values that were worked out; nil for none
}

// Bounds of what an audit record tells of a refusal.
const (
	recordedStatements = 20
	recordedName       = 256 // bytes of a policy's name, or of a statement's
)

// record puts into the call's audit record what refused it, as additionalEventData.authorization.
func (a *Authorization) record() {
	if a.Refused == nil {
		return
	}
	var p audit.Params
	p.Str("decision", a.Refused.Verdict)
	p.Str("decidedBy", a.Refused.By.String())
	list := a.Refused.Statements
	statements := make([]audit.Params, min(len(list), recordedStatements))
	for i := range statements {
		s, to := &list[i], &statements[i]
		to.Str("policyType", s.Kind.String())
		if s.Policy != "" {
			to.Str("policyName", cutName(s.Policy))
		}
		to.Str("effect", string(s.Effect))
		if s.Sid != "" {
			to.Str("sid", cutName(s.Sid))
		}
		to.Int("index", int64(s.Index))
	}
	p.ObjList("statements", statements)
	a.Tx.Additional().Obj("authorization", &p)
}

func cutName(s string) string { return strings.ToValidUTF8(s[:min(len(s), recordedName)], "") }

// values is what an operation has for the authorizer of a request, q: a *Def is one.
type values interface {
	cond(tx *Tx, q any, t *Target, key string) ([]string, bool)
	context(q any, t *Target) map[string]string
}

// Cond returns the values that the operation has for a condition key, by its name in lower case, and whether the key is in the request.
func (a *Authorization) Cond(key string) (values []string, present bool) {
	if a.values == nil {
		return nil, false
	}
	return a.values.cond(a.Tx, a.request, a.Target, key)
}

// Context returns the encryption context that the operation has for the target.
func (a *Authorization) Context() map[string]string {
	if a.values == nil {
		return nil
	}
	return a.values.context(a.request, a.Target)
}

func (d *Def[Q, R]) cond(tx *Tx, q any, t *Target, key string) ([]string, bool) {
	if d.Cond == nil {
		return nil, false
	}
	return d.Cond(tx, q.(*Q), t, key)
}

func (d *Def[Q, R]) context(q any, t *Target) map[string]string {
	if d.Context == nil {
		return nil
	}
	return d.Context(q.(*Q), t)
}
