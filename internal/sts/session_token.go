package sts

import (
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/service"
)

// How long sessions of GetSessionToken are, in seconds.
const (
	defaultSession = 43200
	longestOfRoot  = 3600 // and what a root user gets who asks for more
)

func (s *STS) sessionTokenOperations() []*service.Op { return []*service.Op{s.getSessionToken()} }

// getSessionToken needs no permission, since it gives none: the session may do what its user may. It is a Change because a code of an MFA
// device is used up.
func (s *STS) getSessionToken() *service.Op {
	return service.Def[api.GetSessionTokenRequest, api.GetSessionTokenResponse]{
		Name: "GetSessionToken", Kind: service.Change,
		Audit: func(q *api.GetSessionTokenRequest, p *audit.Params) {
			if q.DurationSeconds.Set {
				p.Int("durationSeconds", q.DurationSeconds.V)
			}
			str(p, "serialNumber", q.SerialNumber)
		},
		Result: func(r *api.GetSessionTokenResponse, p *audit.Params) {
			var c audit.Params
			c.Str("accessKeyId", r.Credentials.AccessKeyId.V)
			c.Str("expiration", r.Credentials.Expiration.V.UTC().Format(time.RFC3339))
			p.Obj("credentials", &c)
		},
		Plan: func(tx *service.Tx, q *api.GetSessionTokenRequest, _ []service.Target) (*api.GetSessionTokenResponse, error) {
			session, err := s.ownSession(tx, q)
			if err != nil {
				return nil, err
			}
			c, err := mint(tx.Keyring(), session, q.MinimumSessionTokenSize.V)
			if err != nil {
				return nil, err
			}
			return &api.GetSessionTokenResponse{
				Credentials: &api.Credentials{
					AccessKeyId: api.Some(c.AccessKeyID), SecretAccessKey: api.Some(c.SecretAccessKey), SessionToken: api.Some(c.SessionToken),
					Expiration: api.Some(c.Expiration),
				},
				SessionTokenSize:        api.Some(int64(len(c.SessionToken))),
				SessionTokenUtilization: api.Some(percent(len(c.SessionToken), identity.MaxSessionToken)),
			}, nil
		},
	}.Op("sts")
}

// ownSession is a session of the caller, who must have signed with long-term credentials.
func (s *STS) ownSession(tx *service.Tx, q *api.GetSessionTokenRequest) (identity.Session, error) {
	caller, now := tx.Call.Caller, s.config.RealTime()
	if caller.Session != nil || caller.Type != "IAMUser" && caller.Type != "Root" {
		return identity.Session{}, denied("Cannot call GetSessionToken with session credentials")
	}
	if q.SerialNumber.Set != q.TokenCode.Set {
		return identity.Session{}, denied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	}
	seconds := int64(defaultSession)
	if q.DurationSeconds.Set {
		seconds = q.DurationSeconds.V
	}
	if caller.Type == "Root" {
		seconds = min(seconds, longestOfRoot)
	}
	session := identity.Session{Account: caller.Account, Issued: now, Expires: now.Add(time.Duration(seconds) * time.Second)}
	switch {
	case s.isConfigured(caller):
		session.Kind, session.Base = identity.ConfiguredSession, caller.AccessKeyID
	case caller.Type == "Root":
		session.Kind = identity.RootSession
	default:
		session.Kind, session.PrincipalID = identity.UserSession, caller.PrincipalID
	}
	if q.SerialNumber.Set {
		given, err := s.config.MFA.Check(tx, q.SerialNumber.V, q.TokenCode.V)
		if err != nil {
			return identity.Session{}, err
		}
		session.MFA = given
	}
	return session, nil
}

// isConfigured tells whether a caller has signed with an access key of the configuration file.
func (s *STS) isConfigured(c *service.Caller) bool {
	return slices.ContainsFunc(s.config.Directory.ConfiguredCallers(c.Account), func(o *service.Caller) bool { return o.AccessKeyID == c.AccessKeyID })
}

// mint makes credentials whose token has at least so many characters: with MinimumSessionTokenSize AWS lets clients try what they can carry.
func mint(keyring service.Keyring, session identity.Session, atLeast int64) (identity.Credentials, error) {
	c, err := identity.Mint(keyring, session)
	if missing := int(atLeast) - len(c.SessionToken); err == nil && missing > 0 {
		session.Filler = strings.Repeat(".", (3*missing+3)/4) // in base64 it takes a third more
		c, err = identity.Mint(keyring, session)
	}
	return c, err
}
