package kms

import (
	"context"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Principals tells who there is. Nobody is nil, and no error. It is safe for concurrent use; its callers are those of AWS's main partition.
type Principals interface {
	// Principal returns who an ARN stands for, as if it had signed with long-term credentials: a user, a role (as a session of it with no
	// name of its own), the session of a role, or the root user.
	Principal(ctx context.Context, arn string) (*service.Caller, error)
	// PrincipalByID returns the user or the role with a unique ID.
	PrincipalByID(ctx context.Context, account string, kind record.PrincipalKind, id string) (*service.Caller, error)
	// ConfiguredCallers returns the users and root users of the configuration file in an account, one for each access key.
	ConfiguredCallers(account string) []*service.Caller
}

// nobody is a Principals without anybody.
type nobody struct{}

func (nobody) Principal(context.Context, string) (*service.Caller, error) { return nil, nil }

func (nobody) PrincipalByID(context.Context, string, record.PrincipalKind, string) (*service.Caller, error) {
	return nil, nil
}

func (nobody) ConfiguredCallers(string) []*service.Caller { return nil }

// asked is the principal that an explanation is asked for.
type asked struct {
	arn    string
	caller *service.Caller // nil: there is none
	// free: nobody has to allow that it is told of, for it is the one who asks, or a service, which has no policies.
	free bool
}

// askedFor finds the principal of a request; by default the caller.
func (k *KMS) askedFor(tx *service.Tx, principal api.Opt[string]) (*asked, error) {
	caller := tx.Call.Caller
	switch {
	case !principal.Set || principal.V == caller.ARN:
		return &asked{arn: caller.ARN, caller: unconnected(caller), free: true}, nil
	case policy.ServicePrincipal(principal.V):
		return &asked{arn: principal.V, caller: servicePrincipalCaller(principal.V), free: true}, nil
	}
	account, err := principalARN(principal.V, tx.Call.Region)
	if err != nil {
		return nil, err
	}
	who := &asked{arn: principal.V}
	if account == caller.Account { // others are looked for by nobody here
		who.caller, err = k.principal(tx, principal.V)
	}
	return who, err
}

// principal returns who an ARN stands for, as its calls in the Region would have it; nil for nobody.
func (k *KMS) principal(tx *service.Tx, arn string) (*service.Caller, error) {
	c, err := k.config.Principals.Principal(tx.Context(), arn)
	if err != nil || c == nil {
		return nil, err
	}
	return unconnected(c.In(tx.Call.Region)), nil
}

// unconnected is a caller without what only its credentials say, whether they were got with MFA.
func unconnected(c *service.Caller) *service.Caller {
	if c.Session == nil {
		return c
	}
	session, moved := *c.Session, *c
	session.MFA, session.NoMFA = time.Time{}, true
	moved.Session = &session
	return service.NewCaller(moved)
}

// target is what has to be allowed before anything is told of the principal; it is refused in the same words whether there is one or not.
func (who *asked) target(tx *service.Tx) service.Target {
	const action = "iam:SimulatePrincipalPolicy"
	_, account, _ := policy.PrincipalARN(who.arn)
	t := service.Target{
		Action: action, Account: account, ARN: who.arn,
		Denied: api.Errorf(api.AccessDeniedException, "User: %s is not authorized to perform: %s on resource: %s", tx.Call.Caller.ARN, action, who.arn),
	}
	// What policies on identities name is the role of a session.
	if rest, ok := strings.CutPrefix(who.arn, "arn:"+record.Partition(tx.Call.Region)+":sts::"+account+":assumed-role/"); ok {
		role, _, _ := strings.Cut(rest, "/")
		t.ARN = "arn:" + record.Partition(tx.Call.Region) + ":iam::" + account + ":role/" + role
	}
	switch c := who.caller; {
	case c == nil:
		t.Missing = api.Errorf(api.NotFoundException, "Principal %s does not exist", cut(who.arn))
	case c.Type == "AssumedRole":
		t.ARN, t.Tags = c.Session.Role.ARN, c.Tags
	default:
		t.Tags = c.Tags
	}
	return t
}

// servicePrincipalCaller is an AWS service, which never calls here by itself.
func servicePrincipalCaller(name string) *service.Caller {
	return service.NewCaller(service.Caller{ARN: name, Type: "AWSService", PrincipalID: name})
}

// everything is what a principal's own account is taken to allow where its policies are not to be looked into.
var everything = &authz.Identity{Policies: []authz.Named{{Compiled: policy.Compile(&policy.Policy{
	Version: policy.Version2012, Statements: []policy.Statement{{Effect: policy.Allow, Actions: []string{"*"}, Resources: []string{"*"}}},
})}}}

// stranger is a principal of another account, by its ARN alone, as if its own account allowed it everything. nil for what no call comes from.
// id is the unique ID that the ARN is pinned to where it is named, "" for none: that it is still whose ARN this is, is not looked into either.
func stranger(arn, id string) *service.Caller {
	_, account, ok := policy.PrincipalARN(arn)
	if !ok {
		return nil
	}
	c := service.Caller{Account: account, ARN: arn, Identity: everything}
	prefix, resource := arn[:strings.LastIndexByte(arn, ':')], arn[strings.LastIndexByte(arn, ':')+1:]
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "root":
		c.Type, c.PrincipalID, c.Identity = "Root", account, nil
	case "user":
		c.Type, c.UserName, c.PrincipalID = "IAMUser", name[strings.LastIndexByte(name, '/')+1:], id
	case "role":
		c.Type, c.Session = "AssumedRole", &service.Session{NoMFA: true, Role: audit.SessionIssuer{Type: "Role", ARN: arn, AccountID: account, PrincipalID: id}}
		c.ARN = strings.Replace(prefix, ":iam:", ":sts:", 1) + ":assumed-role/" + name[strings.LastIndexByte(name, '/')+1:] + "/*"
	case "assumed-role":
		role, _, _ := strings.Cut(name, "/")
		c.Type, c.Session = "AssumedRole", &service.Session{NoMFA: true, Role: audit.SessionIssuer{
			Type: "Role", ARN: strings.Replace(prefix, ":sts:", ":iam:", 1) + ":role/" + role, AccountID: account,
		}}
	default:
		return nil
	}
	return service.NewCaller(c)
}

// anybody is a principal of which nothing is known, not even its account.
func anybody() *service.Caller {
	return service.NewCaller(service.Caller{Account: "*", ARN: "*", Type: "IAMUser", Identity: everything})
}
