package sts

import (
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// getAccessKeyInfo tells the account of an access key, of whatever account it is, and nothing of its state.
func (s *STS) getAccessKeyInfo() *service.Op {
	return service.Def[api.GetAccessKeyInfoRequest, api.GetAccessKeyInfoResponse]{
		Name: "GetAccessKeyInfo", Kind: service.Read, Actions: []string{"sts:GetAccessKeyInfo"},
		Audit: func(q *api.GetAccessKeyInfoRequest, p *audit.Params) { str(p, "accessKeyId", q.AccessKeyId) },
		Plan: func(tx *service.Tx, q *api.GetAccessKeyInfoRequest, _ []service.Target) (*api.GetAccessKeyInfoResponse, error) {
			account, err := s.accountOf(tx, q.AccessKeyId.V)
			if err != nil {
				return nil, err
			}
			return &api.GetAccessKeyInfoResponse{Account: api.Some(account)}, nil
		},
	}.Op("sts")
}

func (s *STS) accountOf(tx *service.Tx, id string) (string, error) {
	key, err := service.Lookup[*record.AccessKey](tx, record.AccessKeyStoreKey(id))
	if err != nil {
		return "", err
	}
	if key != nil {
		return key.Account, nil
	}
	c, err := s.config.Directory.Lookup(tx.Context(), id, "") // one of the configuration file
	switch {
	case err == nil:
		return c.Caller.Account, nil
	case !errors.Is(err, identity.ErrUnknown):
		return "", err
	}
	if account := identity.AccountOf(id); account != "" {
		return account, nil // a session's, or of a key that is gone
	}
	return "", invalid("Invalid AccessKeyId: %s", id)
}
