package kms

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// supposition is an action on a key that nobody asks for yet, but for who would.
type supposition struct {
	k       *KMS
	tx      *service.Tx
	action  *keyAction
	target  service.Target
	given   map[string][]string // values of condition keys, in the place of any others; the keys as policy.FoldKey spells them
	context map[string]string   // the encryption context; nil: it is not said
	alias   string              // what the key is named by, "" if not by an alias
}

// subject is whom a supposition is about.
type subject struct {
	caller    *service.Caller
	everybody bool // anybody of any account: nothing is known of who it is
	stranger  bool // of another account, which decides, too, and whose policies and tags are not to be looked into
}

// finding is what would be decided.
type finding struct {
	authz.Decision
	grant *record.Grant // that allows it, or would
	// missing are condition keys that were asked for and have no value, as AWS spells them, sorted.
	missing []string
	// conditional: it is not allowed as asked, but values of missing would make it so.
	conditional bool
}

// suppose makes the supposition of a request. key is what the action is on.
func (k *KMS) suppose(tx *service.Tx, action *keyAction, key *record.Key, keyID string, context map[string]string, entries []api.AccessContext) *supposition {
	s := &supposition{
		k: k, tx: tx, action: action, given: make(map[string][]string, len(entries)), context: context, alias: aliasName(keyID),
		target: service.Target{Action: action.name, Account: key.Account, ARN: key.ARN(), Key: key},
	}
	for _, e := range entries {
		name := policy.FoldKey(e.Key.V)
		s.given[name] = append(s.given[name], e.Values...)
	}
	if action.name == "kms:CreateGrant" {
		// The least that can be asked for: a grant of no more than the caller has, for uses with the encryption context.
		s.target.Grant = &record.Grant{Equals: record.ContextPairs(context)}
	}
	return s
}

// judge decides, and if it is not allowed, looks whether values that nobody has given would change that.
func (s *supposition) judge(who subject) (*finding, error) {
	j := judgement{supposition: s, subject: who, missing: map[string]bool{}}
	f, err := j.decide(false)
	if err != nil {
		return nil, err
	}
	if !f.Allowed {
		asked := maps.Clone(j.missing)
		better, err := j.decide(true)
		switch {
		case err != nil:
			return nil, err
		case better.Allowed:
			f.conditional, f.grant = true, better.grant
		default:
			j.missing = asked
		}
	}
	for key := range j.missing {
		f.missing = append(f.missing, s.action.spelled(key))
	}
	slices.Sort(f.missing)
	return f, nil
}

// judgement is a supposition about somebody.
type judgement struct {
	*supposition
	subject
	missing map[string]bool
}

// decide asks what the authorizer would be asked. lenient takes it that every condition on a key that may yet have a value turns out well.
func (j *judgement) decide(lenient bool) (*finding, error) {
	target := j.target
	a := service.Suppose(j.tx, j.caller, &target, j.cond, j.context)
	more := &aside{reasons: true}
	more.watch = func(q *authz.Question) {
		value, grant := q.Value, q.Grant
		q.Value = func(key string) ([]string, bool) {
			values, present := value(key)
			if !present && j.open(key) {
				j.missing[key] = true
			}
			return values, present
		}
		if !lenient {
			return
		}
		q.Unknown = func(key string) bool {
			_, present := q.Value(key)
			return !present && j.open(key) && j.possible(key)
		}
		if grant != nil {
			q.Grant = func() (bool, error) {
				if ok, err := grant(); ok || err != nil {
					return ok, err
				}
				var err error
				more.grant, err = j.constrained(a)
				return more.grant != nil, err
			}
		}
	}
	d, err := j.k.decide(a, more)
	if err == nil {
		if err = a.Tx.Failed(); err != nil {
			err = fmt.Errorf("reading what a condition asks for: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	f := &finding{Decision: d}
	if d.Allowed && d.By == authz.Grant {
		f.grant = more.grant
	}
	return f, nil
}

// constrainedGrants is how many of a principal's grants are looked at for one whose constraint the encryption context could meet.
const constrainedGrants = 16

// constrained returns a grant that would permit the action with an encryption context that is not said, nil if none is found.
func (j *judgement) constrained(a *service.Authorization) (*record.Grant, error) {
	operation := strings.TrimPrefix(j.action.name, "kms:")
	if j.context != nil || !inContext(operation) {
		return nil, nil
	}
	key := j.target.Key
	by := grantedAs(j.caller.Who())
	for _, principal := range by.names {
		entries, err := j.tx.Scan(record.GranteePrefix(key.Owner, key.ID, principal), "", constrainedGrants)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			g, err := lookupGrant(a.Tx, key.Owner, key.ID, e.Key[strings.LastIndexByte(e.Key, '/')+1:])
			if err != nil {
				return nil, err
			}
			if g == nil || g.Grantee != principal || !by.is(g.GranteeID) || g.SourceARN != "" || !slices.Contains(g.Operations, operation) {
				continue
			}
			for _, p := range demanded(g) {
				j.missing["kms:encryptioncontext:"+policy.FoldKey(p.Name)] = true
			}
			return g, nil
		}
	}
	return nil, nil
}
