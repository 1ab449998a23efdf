package service

import (
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
)

// Caller is an authenticated principal. It is immutable and may be shared by any number of calls.
type Caller struct {
	Account     string
	ARN         string // arn:aws:iam::ACCOUNT:root, arn:aws:iam::ACCOUNT:user/NAME, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
	Type        string // CloudTrail's userIdentity.type: Root, IAMUser, AssumedRole, WebIdentityUser, AWSService
	PrincipalID string // AIDA..., AROA...:SESSION, the account of the root user
	UserName    string // of an IAM user; of a WebIdentityUser the subject of its token
	AccessKeyID string
	// Service marks the service itself: rotation, deletion, provisioning. It may do everything.
	Service bool
	// Identity is what policies say of the principal, beside those on resources; nil for nothing.
	Identity *authz.Identity
	// Tags are the principal's: those of the user, or of the role and of its session.
	Tags []record.Tag
	// Session is what is known of temporary credentials; nil with long-term ones.
	Session *Session

	identity []byte // the audit fragment, made once
	who      *policy.Who
}

// Session is what temporary credentials are about.
type Session struct {
	Issued time.Time
	MFA    time.Time // when the user gave a code of an MFA device; zero: never
	NoMFA  bool      // MFA is not heard of in such sessions, so that aws:MultiFactorAuthPresent is absent
	// Role is whose session it is; its Type is "" in sessions of users.
	Role audit.SessionIssuer
	// Provider is the identity provider that a session, or the bearer of a token, comes from: an ARN in the partition "aws"; "" for none.
	Provider string
	// Claims are the condition keys that a token of Provider gave, by their names in lower case; only with a WebIdentityUser.
	Claims         map[string][]string
	SourceIdentity string
	Transitive     []string // names of the session tags that a role assumed from here gets, too
}

// Who is the caller as policies name principals.
func (c *Caller) Who() *policy.Who { return c.who }

// NewCaller completes a Caller.
func NewCaller(c Caller) *Caller {
	id := audit.Identity{
		Type: c.Type, PrincipalID: c.PrincipalID, ARN: c.ARN, AccountID: c.Account, AccessKeyID: c.AccessKeyID, UserName: c.UserName,
	}
	if s := c.Session; s != nil && !s.Issued.IsZero() {
		id.SessionContext = &audit.SessionContext{Issuer: s.Role, CreationDate: s.Issued, MFAAuthenticated: !s.MFA.IsZero()}
	}
	c.who = &policy.Who{Kind: policy.User, ARN: c.ARN, Account: c.Account}
	switch {
	case c.Service:
		id = audit.Identity{AccountID: c.Account, InvokedBy: ServiceName}
		c.who.Kind = policy.Anonymous // nobody asks
	case c.Type == "AWSService": // none ever signs in here: one that is asked about, by its name in ARN
		c.who = &policy.Who{Kind: policy.Service, Service: c.ARN}
	case c.Type == "Root":
		c.who.Kind = policy.Root
	case c.Type == "AssumedRole":
		c.who.Kind = policy.RoleSession
		c.who.Role, c.who.UniqueIDs = c.Session.Role.ARN, []string{c.Session.Role.PrincipalID}
	case c.Type == "WebIdentityUser":
		c.who.Kind, c.who.Provider = policy.WebIdentity, c.Session.Provider
		// The bearer of a token is of no account: what the audit record is filed under is whose role it asks for.
		c.who.Account, id.AccountID = "", ""
		id.IdentityProvider = c.Session.Provider
	default:
		c.who.UniqueIDs = []string{c.PrincipalID}
	}
	c.identity = id.AppendJSON(nil)
	if c.Identity != nil {
		c.who.Bounded = c.Identity.Boundary != nil
	}
	return &c
}

// IsAccountID tells whether s is an account ID: 12 digits.
func IsAccountID(s string) bool {
	if len(s) != 12 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// In returns the caller as its ARN is in a region: elsewhere than in AWS's main partition it begins differently.
func (c *Caller) In(region string) *Caller {
	partition := record.Partition(region)
	if partition == "aws" {
		return c
	}
	moved := *c
	moved.ARN = inPartition(moved.ARN, partition)
	if c.Session != nil {
		s := *c.Session
		s.Role.ARN, s.Provider = inPartition(s.Role.ARN, partition), inPartition(s.Provider, partition)
		moved.Session = &s
	}
	return NewCaller(moved)
}

// inPartition returns an ARN of the partition "aws" as it is in another; what is no such ARN stays as it is.
func inPartition(arn, partition string) string {
	rest, ok := strings.CutPrefix(arn, "arn:aws:")
	if !ok {
		return arn
	}
	return "arn:" + partition + ":" + rest
}

// ServiceName is how the service's own work shows in audit records.
const ServiceName = "AWS Internal"

// RootCaller is the root user of an account.
func RootCaller(account, accessKeyID string) *Caller {
	return NewCaller(Caller{
		Account: account, ARN: "arn:aws:iam::" + account + ":root", Type: "Root", PrincipalID: account, AccessKeyID: accessKeyID,
	})
}

// Call is one request on its way, without its parameters.
type Call struct {
	Caller    *Caller
	Region    string
	RequestID string
	SourceIP  string
	UserAgent string
	Host      string
	TLS       *audit.TLSDetails // nil on plain HTTP
	Trace     Trace             // nil if nobody follows the call

	// Now is the service's time, stamped by the pipeline once for the request.
	Now time.Time

	once   map[string]any // see Once
	own    bool           // see ReadOwn
	at     time.Time      // for the service's own work: the date to stamp instead
	offset int64          // with at, in keyturn dev: the clock's offset to persist with the commit, in nanoseconds; 0 for none
}
