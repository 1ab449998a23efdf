package service

import (
	"fmt"
	"slices"
)

// admit authorizes every target; only when all are allowed does it tell which is missing.
func (p *Pipeline) admit(tx *Tx, op *Op, targets []Target, r values) error {
	if err := p.allow(tx, op, targets, r); err != nil {
		return err
	}
	for i := range targets {
		if targets[i].Missing != nil {
			return targets[i].Missing
		}
	}
	return nil
}

func (p *Pipeline) allow(tx *Tx, op *Op, targets []Target, r values) error {
	for i := range targets {
		t := &targets[i]
		if !slices.Contains(op.Actions, t.Action) {
			return fmt.Errorf("service: %s resolved to undeclared action %q", op.Name, t.Action)
		}
		if tx.Call.Caller.Service {
			continue
		}
		err := p.authorize(&Authorization{Tx: tx, Op: op, Target: t, values: r})
		if tx.failed != nil {
			return fmt.Errorf("reading what a condition asks for: %w", tx.failed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Authorization is the question whether a caller may do an action to a target.
type Authorization struct {
	Tx     *Tx // with the Call, and so the caller
	Op     *Op
	Target *Target

	values values
}

// values is what an operation's request has for the authorizer.
type values interface {
	cond(t *Target, key string) ([]string, bool)
	context(t *Target) map[string]string
}

// Cond returns the values that the operation has for a condition key, by its name in lower case, and whether the key is in the request.
func (a *Authorization) Cond(key string) (values []string, present bool) {
	if a.values == nil {
		return nil, false
	}
	return a.values.cond(a.Target, key)
}

// Context returns the encryption context that the operation has for the target.
func (a *Authorization) Context() map[string]string {
	if a.values == nil {
		return nil
	}
	return a.values.context(a.Target)
}

// request binds a definition to a request.
type request[Q, R any] struct {
	d  *Def[Q, R]
	tx *Tx
	q  *Q
}

func (r request[Q, R]) cond(t *Target, key string) ([]string, bool) {
	if r.d.Cond == nil {
		return nil, false
	}
	return r.d.Cond(r.tx, r.q, t, key)
}

func (r request[Q, R]) context(t *Target) map[string]string {
	if r.d.Context == nil {
		return nil
	}
	return r.d.Context(r.q, t)
}
