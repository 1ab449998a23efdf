package service

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
)

// Condition is one condition key that an operation has values for. Without any, the key is absent from the request.
type Condition[Q any] struct {
	Name   string // as AWS writes it; a * at its end stands for what a policy names there
	Values func(tx *Tx, q *Q, t *Target, rest string) []string
}

// Conditions are those of one operation.
type Conditions[Q any] []Condition[Q]

// Names is for Def.CondKeys.
func (c Conditions[Q]) Names() []string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].Name
	}
	return names
}

// Cond is for Def.Cond.
func (c Conditions[Q]) Cond() func(*Tx, *Q, *Target, string) ([]string, bool) {
	lower := make([]string, len(c))
	for i := range c {
		lower[i] = strings.ToLower(c[i].Name)
	}
	return func(tx *Tx, q *Q, t *Target, key string) ([]string, bool) {
		for i, name := range lower {
			rest := ""
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				if rest, ok = strings.CutPrefix(key, prefix); !ok {
					continue
				}
			} else if key != name {
				continue
			}
			values := c[i].Values(tx, q, t, rest)
			return values, len(values) > 0
		}
		return nil, false
	}
}

// Question is what the caller asks, without what the resource's own policy and grants say. resource returns the values of condition keys
// that the target has, as Authorization.Cond does for those of the request; nil for none.
func (a *Authorization) Question(resource func(a *Authorization, key string) (values []string, present bool)) *authz.Question {
	caller := a.Tx.Call.Caller
	a.resource = resource
	a.question = authz.Question{
		Who: caller.Who(), Identity: caller.Identity, Action: a.Target.Action, Resource: a.Target.ARN, ResourceAccount: a.Target.Account,
		Value: a.value,
	}
	return &a.question
}

// value works out each condition key once, however often policies name it: those of the operation first, of the target then, and of the
// request as such.
func (a *Authorization) value(key string) ([]string, bool) {
	values, ok := a.known[key]
	if !ok {
		v, present := a.Cond(key)
		if !present && a.resource != nil {
			v, present = a.resource(a, key)
		}
		if !present {
			v, present = a.global(key)
		}
		if present {
			values = v
		}
		if a.known == nil {
			a.known = make(map[string][]string, 4)
		}
		a.known[key] = values
	}
	return values, len(values) > 0
}

// global returns the values of a condition key that every request has, or every request of such a caller: "AWS global condition context
// keys" of the IAM user guide, and kms:CallerAccount.
func (a *Authorization) global(key string) ([]string, bool) {
	if name, ok := strings.CutPrefix(key, "aws:principaltag/"); ok {
		values := Folded(func(yield func(name, value string) bool) {
			for _, t := range a.Tx.Call.Caller.Tags {
				if !yield(t.Key, t.Value) {
					return
				}
			}
		}, name)
		return values, len(values) > 0
	}
	if s := a.Tx.Call.Caller.Session; s != nil && s.Claims != nil {
		if values, ok := s.Claims[key]; ok {
			return values, len(values) > 0
		}
	}
	value := a.globalValue(key)
	return []string{value}, value != ""
}

// globalValue is one value, "" for none.
func (a *Authorization) globalValue(key string) string {
	call := a.Tx.Call
	caller, who := call.Caller, call.Caller.Who()
	switch key {
	case "kms:calleraccount", "aws:principalaccount":
		return who.Account
	case "aws:principalarn":
		if who.Kind == policy.RoleSession {
			return who.Role
		}
		return who.ARN
	case "aws:principaltype":
		return principalType(who.Kind)
	case "aws:userid":
		return caller.PrincipalID
	case "aws:username":
		if who.Kind == policy.User {
			return caller.UserName
		}
		return ""
	case "aws:principalisawsservice":
		return strconv.FormatBool(who.Kind == policy.Service)
	case "aws:principalservicename":
		return who.Service
	case "aws:viaawsservice":
		return "false"
	case "aws:sourceip":
		if _, err := netip.ParseAddr(call.SourceIP); err != nil {
			return ""
		}
		return call.SourceIP
	case "aws:securetransport":
		return strconv.FormatBool(call.TLS != nil)
	case "aws:currenttime":
		return a.Tx.Now.UTC().Format(time.RFC3339)
	case "aws:epochtime":
		return strconv.FormatInt(a.Tx.Now.Unix(), 10)
	case "aws:useragent":
		return call.UserAgent
	case "aws:requestedregion":
		return cmp.Or(a.Target.Region, call.Region)
	}
	if caller.Session != nil {
		return caller.Session.condition(key, a.Tx.p.realTime())
	}
	return ""
}

// condition is the value of a condition key that only sessions have, "" for none. Sessions are dated by real time.
func (s *Session) condition(key string, now time.Time) string {
	switch key {
	case "aws:tokenissuetime":
		if s.Issued.IsZero() {
			return "" // a token of an identity provider is no session yet
		}
		return s.Issued.UTC().Format(time.RFC3339)
	case "aws:multifactorauthpresent":
		if s.NoMFA {
			return ""
		}
		return strconv.FormatBool(!s.MFA.IsZero())
	case "aws:multifactorauthage":
		if s.NoMFA || s.MFA.IsZero() {
			return ""
		}
		return strconv.FormatInt(max(0, int64(now.Sub(s.MFA)/time.Second)), 10)
	case "aws:federatedprovider":
		return s.Provider
	case "aws:sourceidentity":
		return s.SourceIdentity
	}
	return ""
}

// principalType is aws:PrincipalType, "" for a service.
func principalType(k policy.Kind) string {
	switch k {
	case policy.Root:
		return "Account"
	case policy.User:
		return "User"
	case policy.RoleSession:
		return "AssumedRole"
	case policy.FederatedUser:
		return "FederatedUser"
	}
	return ""
}

// Folded returns the values of those pairs whose name differs from the wanted one in case at most. Of several, an order by chance must
// not decide, so all are returned, sorted.
func Folded(pairs func(func(name, value string) bool), wanted string) []string {
	wanted = policy.FoldKey(wanted)
	var values []string
	for name, value := range pairs {
		if policy.FoldKey(name) == wanted {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return values
}
