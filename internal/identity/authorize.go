package identity

import (
	"cmp"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/service"
)

// Authorize decides on a target of IAM or STS: by what IAM says of the caller, and by the target's own policy where it has one, as the
// trust policy of a role. It is a service.Config.Authorize.
func (d *Directory) Authorize(a *service.Authorization) error {
	caller := a.Tx.Call.Caller
	q := a.Question(resourceValues)
	q.OnResource = a.Target.Policy
	q.Reasons = true // these calls are few
	decision, err := authz.Decide(q)
	if err != nil {
		return err
	}
	if decision.Allowed && a.Op.Service == "sts" && !boundaryAllows(q) {
		decision = authz.Decision{By: authz.Boundary}
	}
	if decision.Allowed && beyondSession(caller, a.Op) {
		decision = authz.Decision{By: authz.SessionPolicy}
	}
	if decision.Allowed {
		return nil
	}
	told := decision.Told()
	a.Refused = &told
	if a.Target.Denied != nil {
		return a.Target.Denied
	}
	return api.Errorf(api.AccessDeniedException, "%s", decision.Message(caller.ARN, a.Target.Action, cmp.Or(a.Target.Called, a.Target.ARN)))
}

// resourceValues are the values of condition keys that a target has: its account, and its tags under both of their names.
func resourceValues(a *service.Authorization, key string) ([]string, bool) {
	if key == "aws:resourceaccount" {
		return []string{a.Target.Account}, a.Target.Account != ""
	}
	name, ok := strings.CutPrefix(key, "aws:resourcetag/")
	if !ok {
		name, ok = strings.CutPrefix(key, "iam:resourcetag/")
	}
	if !ok {
		return nil, false
	}
	values := service.Folded(func(yield func(name, value string) bool) {
		for _, t := range a.Target.Tags {
			if !yield(t.Key, t.Value) {
				return
			}
		}
	}, name)
	return values, len(values) > 0
}

// beyondSession tells of a session of GetSessionToken what it cannot call: IAM if it was made without a code, and STS but for AssumeRole and
// what nobody needs permission for ("GetSessionToken", AWS Security Token Service API Reference).
func beyondSession(c *service.Caller, op *service.Op) bool {
	if c.Session == nil || c.Type != "IAMUser" && c.Type != "Root" {
		return false
	}
	switch op.Service {
	case "iam":
		return c.Session.MFA.IsZero()
	case "sts":
		return op.Name != "AssumeRole"
	}
	return false
}
