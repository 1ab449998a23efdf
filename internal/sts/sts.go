// Package sts has the operations of the AWS STS API that keyturn speaks.
package sts

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// Operations returns every operation of the STS model.
func Operations() []*service.Op { return []*service.Op{getCallerIdentity()} }

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
