package sts

import (
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// What all operations that make sessions of roles have in common.

// Quotas of session policies and tags ("IAM and AWS STS quotas", IAM User Guide).
const (
	sessionPolicyLength  = 2048 // characters
	sessionPolicies      = 10
	sessionPackedMaximum = 4096 // bytes that session policies and tags may take in a token; the rest of it fits beside them
)

// checkSessionPolicies checks session policies as far as they can be without the role: they are policies of an identity.
func checkSessionPolicies(inline api.Opt[string], arns []api.PolicyDescriptorType) error {
	if len(arns) > sessionPolicies {
		return invalid("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", sessionPolicies)
	}
	if !inline.Set {
		return nil
	}
	if utf8.RuneCountInString(inline.V) > sessionPolicyLength {
		return invalid("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", sessionPolicyLength)
	}
	if _, err := policy.ParseIdentity([]byte(inline.V)); err != nil {
		return api.Errorf(api.MalformedPolicyDocument, "%s", err.Error())
	}
	return nil
}

// newRoleSession begins a session of a role. Managed session policies must be there, in the role's account.
func newRoleSession(tx *service.Tx, role *record.Role, name string, inline api.Opt[string], arns []api.PolicyDescriptorType) (*identity.Session, error) {
	session := &identity.Session{
		Kind: identity.RoleSession, Account: role.Account, PrincipalID: role.ID, Name: name, NoMFA: true,
		Limited: inline.Set || len(arns) > 0,
	}
	if inline.Set {
		text := jsontext.Value(inline.V)
		if err := text.Compact(); err != nil {
			return nil, api.Errorf(api.MalformedPolicyDocument, "%s", err.Error())
		}
		session.Inline = string(text)
	}
	for _, a := range arns {
		arn, err := sessionPolicy(tx, role.Account, a.Arn.V)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(session.Policies, arn) {
			session.Policies = append(session.Policies, arn)
		}
	}
	return session, nil
}

// sessionPolicy returns the ARN of a managed policy as it is stored.
func sessionPolicy(tx *service.Tx, account, arn string) (string, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Kind != "policy" || p.Partition != record.Partition(tx.Call.Region) {
		return "", invalid("ARN %s is not valid.", arn)
	}
	own := p.Own()
	if identity.ManagedByARN(own) != nil {
		return own, nil
	}
	if p.Account == account {
		r, err := service.Lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(account, p.Name))
		if err != nil || r != nil && r.ARN() == own {
			return own, err
		}
	}
	return "", invalid("Policy %s does not exist or is not attachable.", arn)
}

// packed is what session policies and tags take in a token.
type packed struct {
	Inline   string       `json:"inline,omitempty"`
	Policies []string     `json:"policies,omitempty"`
	Tags     []record.Tag `json:"tags,omitempty"`
}

// packedPercent is how much of what they may take session policies and tags do take, in percent; 0 if there are none.
func packedPercent(s *identity.Session) (int64, error) {
	if !s.Limited && len(s.Tags) == 0 {
		return 0, nil
	}
	text, err := json.Marshal(packed{s.Inline, s.Policies, s.Tags})
	return percent(len(text), sessionPackedMaximum), err
}

// percent rounds up.
func percent(n, of int) int64 { return int64((100*n + of - 1) / of) }

func tooPacked(s *identity.Session, percent int64) *api.Error {
	if s.Limited {
		return api.Errorf(api.PackedPolicyTooLarge, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
	}
	return api.Errorf(api.PackedPolicyTooLarge, "Packed size of session tags consumes %d%% of allotted space.", percent)
}

// roleSession is what answers say of a session that was made.
type roleSession struct {
	credentials               *api.Credentials
	user                      *api.AssumedRoleUser
	packed, utilization, size api.Opt[int64]
}

// mintRoleSession makes the credentials of a session of a role.
func mintRoleSession(tx *service.Tx, role *record.Role, s *identity.Session) (*roleSession, error) {
	full, err := packedPercent(s)
	if err != nil {
		return nil, err
	}
	if full > 100 {
		return nil, tooPacked(s, full)
	}
	c, err := identity.Mint(tx.Keyring(), *s)
	if errors.Is(err, identity.ErrTooPacked) {
		return nil, tooPacked(s, 101)
	}
	if err != nil {
		return nil, err
	}
	made := &roleSession{
		credentials: &api.Credentials{
			AccessKeyId: api.Some(c.AccessKeyID), SecretAccessKey: api.Some(c.SecretAccessKey), SessionToken: api.Some(c.SessionToken),
			Expiration: api.Some(c.Expiration),
		},
		user: &api.AssumedRoleUser{
			AssumedRoleId: api.Some(s.PrincipalID + ":" + s.Name),
			Arn:           api.Some(identity.SessionARN(record.Partition(tx.Call.Region), s.Account, role.Name, s.Name)),
		},
		utilization: api.Some(percent(len(c.SessionToken), identity.MaxSessionToken)), size: api.Some(int64(len(c.SessionToken))),
	}
	if full > 0 {
		made.packed = api.Some(full)
	}
	return made, nil
}

// auditSessionPolicies records session policies.
func auditSessionPolicies(p *audit.Params, inline api.Opt[string], arns []api.PolicyDescriptorType) {
	str(p, "policy", inline)
	if len(arns) == 0 {
		return
	}
	list := make([]audit.Params, len(arns))
	for i, a := range arns {
		list[i].Str("arn", a.Arn.V)
	}
	p.ObjList("policyArns", list)
}

// auditRoleSession records whose session was made, and which: neither its secret nor its token.
func auditRoleSession(p *audit.Params, c *api.Credentials, user *api.AssumedRoleUser) {
	var credentials, who audit.Params
	credentials.Str("accessKeyId", c.AccessKeyId.V)
	credentials.Str("expiration", c.Expiration.V.UTC().Format(time.RFC3339))
	p.Obj("credentials", &credentials)
	who.Str("assumedRoleId", user.AssumedRoleId.V)
	who.Str("arn", user.Arn.V)
	p.Obj("assumedRoleUser", &who)
}
