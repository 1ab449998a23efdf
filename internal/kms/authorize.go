package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Authorize decides on a target by its key policy, by grants, and by what IAM says of the caller, as "Authorization in AWS KMS" of the AWS
// KMS developer guide has it. It is a service.Config.Authorize.
func (k *KMS) Authorize(a *service.Authorization) error {
	used := &aside{}
	d, err := k.decide(a, used)
	if err != nil {
		return err
	}
	if d.Allowed {
		if d.By == authz.Grant {
			a.ByGrant = used.grant.ID
		}
		return nil
	}
	if a.Tx.Failed() == nil { // the reasons, which cost calls nothing that are allowed
		again, err := k.decide(a, &aside{reasons: true})
		if err != nil {
			return err
		}
		told := again.Told()
		a.Refused = &told
	}
	if a.Target.Denied != nil {
		return a.Target.Denied
	}
	return api.Errorf(api.AccessDeniedException, "%s", d.Message(a.Tx.Call.Caller.ARN, a.Target.Action, a.Target.ARN))
}

// aside is what explanations want to know beside a decision.
type aside struct {
	reasons bool
	watch   func(*authz.Question) // sees, and may change, the question before it is decided; nil for nothing
	grant   *record.Grant         // set: the grant that was found
}

// decide decides a question. Beside it comes what more asks for.
func (k *KMS) decide(a *service.Authorization, more *aside) (authz.Decision, error) {
	if a.Target.Account != a.Tx.Call.Caller.Account && !k.abroad[a.Target.Action] {
		return authz.Decision{By: authz.ResourcePolicy, CrossAccount: true}, nil // whatever a key policy says
	}
	q := a.Question(resourceValues)
	// Aliases are the account's: ListAliases takes an IAM policy, and none of a key's.
	if key := a.Target.Key; key != nil && a.Target.Action != "kms:ListAliases" {
		p, err := k.policies.of(key)
		if err != nil {
			return authz.Decision{}, err
		}
		q.OnResource, q.Grant = p, func() (bool, error) {
			g, err := k.granted(a)
			more.grant = g
			return g != nil, err
		}
	}
	q.Reasons = more.reasons
	if more.watch != nil {
		more.watch(q)
	}
	return authz.Decide(q)
}

// abroad returns the actions that a principal can be allowed on a key of another account. For all others what a key policy says to other
// accounts has no effect ("Allowing users in other accounts to use a KMS key", AWS KMS developer guide; "Cross-account use" of each
// operation in the API reference).
func abroad() map[string]bool {
	actions := map[string]bool{}
	for _, m := range api.KMSOperations() {
		for _, p := range m.Permissions {
			actions[p.Action] = actions[p.Action] || m.CrossAccount
		}
	}
	return actions
}

// granted returns a grant on the key that allows it, nil if none does: one that permits the operation, for CreateGrant one whose holder may
// pass on what is asked for, for RetireGrant the grant itself. A session stands for its role, too.
func (k *KMS) granted(a *service.Authorization) (*record.Grant, error) {
	by := grantedAs(a.Tx.Call.Caller.Who())
	const noSource = "" // nobody calls on behalf of a resource here
	switch a.Target.Action {
	case "kms:RetireGrant":
		if g := a.Target.Grant; g != nil && mayRetire(by, g) {
			return g, nil
		}
		return nil, nil
	case "kms:CreateGrant":
		if a.Target.Grant == nil {
			return nil, nil
		}
		return k.parentFor(a.Tx, a.Target.Key, a.Target.Grant, by, noSource)
	}
	operation := strings.TrimPrefix(a.Target.Action, "kms:")
	return k.grantFor(a.Tx, a.Target.Key, api.GrantOperation(operation), by, a.Context(), noSource)
}

// grantedAs is whom grants name that the principal may use: itself, and for a session its role.
func grantedAs(who *policy.Who) holder {
	by := holder{ids: who.UniqueIDs}
	switch {
	case who.Kind == policy.Service:
		by.names = []string{who.Service}
	case who.Role != "":
		by.names = []string{who.ARN, who.Role}
	default:
		by.names = []string{who.ARN}
	}
	return by
}

// resourceValues are the values of condition keys that a target has, for service.Authorization.Question.
func resourceValues(a *service.Authorization, key string) ([]string, bool) {
	return resourceConditions(a.Tx, a.Target, key)
}

// keepsHold refuses a key policy that does not let its maker change it again, by itself or through IAM policies of the account ("lockout
// safety check", PutKeyPolicy in the AWS KMS API reference), unless the caller says that this is meant.
func (k *KMS) keepsHold(tx *service.Tx, key *record.Key, bypass api.Opt[bool]) error {
	if bypass.V || tx.Call.Caller.Service {
		return nil
	}
	p, err := k.policies.of(key)
	if err != nil {
		return err
	}
	a := &service.Authorization{Tx: tx, Target: &service.Target{Action: "kms:PutKeyPolicy", Account: key.Account, ARN: key.ARN(), Key: key}}
	out := p.Evaluate(&policy.Request{
		Who: tx.Call.Caller.Who(), Action: a.Target.Action, Resource: a.Target.ARN,
		Value: a.Question(resourceValues).Value,
	})
	if err := tx.Failed(); err != nil {
		return err
	}
	if len(out.Allow) > 0 && len(out.Deny) == 0 {
		return nil
	}
	return api.Errorf(api.MalformedPolicyDocumentException, "The new key policy will not allow you to update the key policy in the future.")
}
