// Package sts has the operations of the AWS STS API that keyturn speaks.
package sts

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// Operations returns every operation of the STS model.
func Operations() []*service.Op {
	ops := []*service.Op{getCallerIdentity()}
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
