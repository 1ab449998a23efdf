package audit

import (
	"strconv"
	"time"
)

// Identity is who made a request, CloudTrail's userIdentity element. Empty members are left out.
type Identity struct {
	Type           string // IAMUser, AssumedRole, Root, FederatedUser, WebIdentityUser, AWSAccount, AWSService
	PrincipalID    string
	ARN            string
	AccountID      string
	AccessKeyID    string
	UserName       string
	SessionContext *SessionContext // nil for long-term credentials
	// IdentityProvider is where the token of a WebIdentityUser comes from.
	IdentityProvider string
	InvokedBy        string // the service that made the request for the principal
}

// SessionContext describes a session with temporary credentials.
type SessionContext struct {
	Issuer           SessionIssuer
	CreationDate     time.Time
	MFAAuthenticated bool
}

// SessionIssuer is where the temporary credentials came from, for a role the role.
type SessionIssuer struct {
	Type        string
	PrincipalID string
	ARN         string
	AccountID   string
	UserName    string
}

// AppendJSON appends the userIdentity object and returns the extended buffer. What it appends may be kept for the
// principal's later records, as Record.IdentityJSON.
func (id *Identity) AppendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.str("type", id.Type)
	o.str("principalId", id.PrincipalID)
	o.str("arn", id.ARN)
	o.str("accountId", id.AccountID)
	o.str("accessKeyId", id.AccessKeyID)
	o.str("userName", id.UserName)
	if id.SessionContext != nil {
		o.name("sessionContext")
		o.dst = id.SessionContext.appendJSON(o.dst)
	}
	o.str("identityProvider", id.IdentityProvider)
	o.str("invokedBy", id.InvokedBy)
	return o.end()
}

func (s *SessionContext) appendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	if s.Issuer != (SessionIssuer{}) {
		o.name("sessionIssuer")
		i := object{dst: append(o.dst, '{')}
		i.str("type", s.Issuer.Type)
		i.str("principalId", s.Issuer.PrincipalID)
		i.str("arn", s.Issuer.ARN)
		i.str("accountId", s.Issuer.AccountID)
		i.str("userName", s.Issuer.UserName)
		o.dst = i.end()
	}
	o.name("attributes")
	a := object{dst: append(o.dst, '{')}
	if !s.CreationDate.IsZero() {
		a.time("creationDate", s.CreationDate)
	}
	// A string, as CloudTrail has it here.
	a.str("mfaAuthenticated", strconv.FormatBool(s.MFAAuthenticated))
	o.dst = a.end()
	return o.end()
}

// object appends the members of one JSON object.
type object struct {
	dst     []byte
	members bool
}

// name appends a member's name; names are ours and need no escaping.
func (o *object) name(name string) {
	if o.members {
		o.dst = append(o.dst, ',')
	}
	o.members = true
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, '"', ':')
}

// str appends a string, or nothing if it is empty.
func (o *object) str(name, v string) {
	if v != "" {
		o.name(name)
		o.dst = appendString(o.dst, v)
	}
}

func (o *object) bool(name string, v bool) {
	o.name(name)
	o.dst = strconv.AppendBool(o.dst, v)
}

// time appends a date as CloudTrail writes it: RFC 3339 in UTC, whole seconds.
func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.dst = append(o.dst, '"')
	o.dst = t.UTC().Truncate(time.Second).AppendFormat(o.dst, time.RFC3339) // a layout that time has a fast way for
	o.dst = append(o.dst, '"')
}

// params appends an object, or null if it is absent.
func (o *object) params(name string, p *Params) {
	o.name(name)
	if p.IsZero() {
		o.dst = append(o.dst, "null"...)
		return
	}
	o.dst = p.appendObject(o.dst)
}

func (o *object) end() []byte { return append(o.dst, '}') }
