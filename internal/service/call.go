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
	ARN         string // arn:aws:iam::ACCOUNT:root, arn:aws:iam::ACCOUNT:user/NAME
	Type        string // CloudTrail's userIdentity.type: Root, IAMUser, AWSService
	PrincipalID string
	UserName    string
	AccessKeyID string
	// Service marks the service itself: rotation, deletion, provisioning. It may do everything.
	Service bool
	// Identity is what policies say of the principal, beside those on resources; nil for nothing.
	Identity *authz.Identity

	identity []byte // the audit fragment, made once
	who      *policy.Who
}

// Who is the caller as policies name principals.
func (c *Caller) Who() *policy.Who { return c.who }

// NewCaller completes a Caller.
func NewCaller(c Caller) *Caller {
	id := audit.Identity{
		Type: c.Type, PrincipalID: c.PrincipalID, ARN: c.ARN, AccountID: c.Account, AccessKeyID: c.AccessKeyID, UserName: c.UserName,
	}
	if c.Service {
		id = audit.Identity{AccountID: c.Account, InvokedBy: ServiceName}
	}
	c.identity = id.AppendJSON(nil)
	c.who = &policy.Who{Kind: policy.User, ARN: c.ARN, Account: c.Account}
	switch {
	case c.Service:
		c.who.Kind = policy.Anonymous // nobody asks
	case c.Type == "Root":
		c.who.Kind = policy.Root
	default:
		c.who.UniqueIDs = []string{c.PrincipalID}
	}
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
	rest, ok := strings.CutPrefix(c.ARN, "arn:aws:")
	if partition == "aws" || !ok {
		return c
	}
	moved := *c
	moved.ARN = "arn:" + partition + ":" + rest
	return NewCaller(moved)
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

	// Now is the service's time, stamped by the pipeline once for the request.
	Now time.Time

	once   map[string]any // see Once
	own    bool           // see ReadOwn
	at     time.Time      // for the service's own work: the date to stamp instead
	offset int64          // with at, in keyturn dev: the clock's offset to persist with the commit, in nanoseconds; 0 for none
}
