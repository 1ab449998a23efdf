// Package sts has the operations of the AWS STS API that keyturn speaks: who a caller is, and sessions with temporary credentials. It follows
// the AWS Security Token Service API Reference.
package sts

import (
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/service"
)

// Config is what the operations need to know of the server they run in.
type Config struct {
	Directory *identity.Directory
	// MFA verifies codes of MFA devices.
	MFA *identity.MFA
	// RealTime is what sessions are dated by. Nil: time.Now.
	RealTime func() time.Time
}

// STS is the service. It stores nothing: what a session is stands in its token.
type STS struct {
	config Config
}

// New returns the service.
func New(c Config) *STS {
	if c.RealTime == nil {
		c.RealTime = time.Now
	}
	return &STS{config: c}
}

// Operations returns every operation of the STS model, those that are not built included.
func (s *STS) Operations() []*service.Op {
	ops := slices.Concat(
		[]*service.Op{getCallerIdentity()}, s.assumeRoleOperations(), s.sessionTokenOperations(), s.webIdentityOperations(),
	)
	built := make(map[string]bool, len(ops))
	for _, op := range ops {
		built[op.Name] = true
	}
	for _, m := range api.STSOperations() {
		if !built[m.Name] {
			ops = append(ops, service.Unbuilt(m))
		}
	}
	return ops
}

// getCallerIdentity needs no permission: whoever can sign may know who they are.
func getCallerIdentity() *service.Op {
	return service.Def[api.GetCallerIdentityRequest, api.GetCallerIdentityResponse]{
		Name: "GetCallerIdentity", Kind: service.Read,
		Plan: func(tx *service.Tx, _ *api.GetCallerIdentityRequest, _ []service.Target) (*api.GetCallerIdentityResponse, error) {
			c := tx.Call.Caller
			return &api.GetCallerIdentityResponse{UserId: api.Some(c.PrincipalID), Account: api.Some(c.Account), Arn: api.Some(c.ARN)}, nil
		},
	}.Op("sts")
}
