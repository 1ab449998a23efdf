package iam

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Bounds of ContextEntries, which the model does not bound.
const (
	maxContextEntries    = 256
	maxContextValueBytes = 32 << 10 // of all values
)

// checkEntries bounds ContextEntries and reads them, for what is wrong with them.
func checkEntries(entries []api.ContextEntry) error {
	n := 0
	for _, e := range entries {
		for _, v := range e.ContextKeyValues {
			n += 1 + len(v)
		}
	}
	if len(entries) > maxContextEntries || n > maxContextValueBytes {
		return invalidInput("ContextEntries has at most %d members with %d characters of values together.", maxContextEntries, maxContextValueBytes)
	}
	_, err := entryValues(entries)
	return err
}

// entryValues returns the values of condition keys, by their names as policies are asked for them.
func entryValues(entries []api.ContextEntry) (map[string][]string, error) {
	values := make(map[string][]string, len(entries))
	for _, e := range entries {
		name := e.ContextKeyName.V
		key := policy.FoldKey(name)
		kind, list := strings.CutSuffix(string(e.ContextKeyType.V), "List")
		switch {
		case strings.Index(name, ":") <= 0:
			return nil, invalidInput("Invalid context key name: %q must have the prefix of a service, such as aws:.", name)
		case values[key] != nil:
			return nil, invalidInput("Context key %s is there twice.", name)
		case kind == "":
			return nil, invalidInput("Context key %s has no ContextKeyType.", name)
		case len(e.ContextKeyValues) == 0:
			return nil, invalidInput("Context key %s has no values.", name)
		case !list && len(e.ContextKeyValues) > 1:
			return nil, invalidInput("Context key %s has several values, but its type %s is that of one; use %sList.", name, kind, kind)
		}
		for _, v := range e.ContextKeyValues {
			read, ok := contextValue(kind, v)
			if !ok {
				return nil, invalidInput("Invalid value of context key %s for its type %s.", name, e.ContextKeyType.V)
			}
			values[key] = append(values[key], read)
		}
	}
	return values, nil
}

// equals are the operators by which a value of a type equals itself, if it is one.
var equals = map[string]string{"string": "StringEquals", "numeric": "NumericEquals", "boolean": "Bool", "date": "DateEquals", "ip": "IpAddress"}

// contextValue reads a value as policies are told it. What is a number, a date or an address is for the language to say.
func contextValue(kind, v string) (string, bool) {
	if kind == "binary" {
		b, err := base64.StdEncoding.Strict().DecodeString(v)
		return string(b), err == nil && !strings.ContainsAny(v, "\r\n")
	}
	if kind == "string" {
		return v, true
	}
	const key = "aws:value"
	itself := policy.Compile(&policy.Policy{Version: policy.Version2008, Statements: []policy.Statement{{
		Effect: policy.Allow, Actions: []string{"*"}, Resources: []string{"*"},
		Conditions: []policy.Condition{{Operator: policy.Operator{Name: equals[kind]}, Key: key, Values: []string{v}}},
	}}})
	out := itself.EvaluateIdentity(&policy.Request{
		Action: "aws:Is", Resource: "*", Value: func(string) ([]string, bool) { return []string{v}, true },
	})
	return v, len(out.Allow) > 0
}

// asked is who asks in a simulation, with what the service knows of it: the condition keys that a request of any kind would have. All
// else is for ContextEntries to say.
type asked struct {
	who    policy.Who
	values map[string][]string
}

// principalAsked is a user or role that there is, in the partition of the call.
func principalAsked(c *service.Caller) *asked {
	a := arnAsked(*c.Who())
	if c.Type == "IAMUser" { // a role's is that of a session, with its name
		a.values["aws:userid"], a.values["aws:username"] = []string{c.PrincipalID}, []string{c.UserName}
	}
	for _, t := range c.Tags {
		key := policy.FoldKey("aws:PrincipalTag/" + t.Key)
		a.values[key] = append(a.values[key], t.Value)
		slices.Sort(a.values[key])
	}
	return a
}

// arnAsked is what a principal's names alone say.
func arnAsked(who policy.Who) *asked {
	a := &asked{who: who, values: map[string][]string{"aws:principalaccount": {who.Account}, "kms:calleraccount": {who.Account}}}
	switch {
	case who.Kind == policy.RoleSession:
		a.values["aws:principalarn"], a.values["aws:principaltype"] = []string{who.Role}, []string{"AssumedRole"}
	case who.ARN != "":
		a.values["aws:principalarn"], a.values["aws:principaltype"] = []string{who.ARN}, []string{"User"}
	}
	return a
}

// asks finds out who asks. A CallerArn is taken as it is and not looked up, except for the principal whose policies are simulated: it need
// not be there, and what is to be known of it is not for whoever may simulate something else.
func (of *simulated) asks(tx *service.Tx, m *simulation) (*asked, error) {
	if !m.caller.Set {
		if m.resourcePolicy.Set {
			return nil, invalidInput("Invalid caller - Caller cannot be null or empty.")
		}
		return arnAsked(policy.Who{Kind: policy.User, Account: account(tx)}), nil
	}
	p, ok := identity.ParseARN(m.caller.V)
	if !ok || !isEntity(p) || p.Partition != partition(tx) {
		return nil, invalidInput("Invalid caller - Caller must be an IAM user, role or group in this context.")
	}
	if of.caller != nil && m.caller.V == entityARN(of.caller) {
		return principalAsked(of.caller), nil
	}
	switch record.PrincipalKind(p.Kind) {
	case record.RoleKind:
		return arnAsked(policy.Who{
			Kind: policy.RoleSession, Account: p.Account, Role: m.caller.V, ARN: identity.SessionARN(p.Partition, p.Account, p.Name, "*"),
		}), nil
	case record.GroupKind:
		if m.resourcePolicy.Set {
			return nil, invalidInput("Invalid caller - A group is no principal that a resource policy could name.")
		}
		return arnAsked(policy.Who{Kind: policy.User, Account: p.Account}), nil
	}
	a := arnAsked(policy.Who{Kind: policy.User, Account: p.Account, ARN: m.caller.V})
	a.values["aws:username"] = []string{p.Name}
	return a, nil
}

// entityARN is that of a user, or of the role of a session.
func entityARN(c *service.Caller) string {
	if who := c.Who(); who.Kind == policy.RoleSession {
		return who.Role
	}
	return c.ARN
}
