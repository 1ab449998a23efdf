package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) accountOperations() []*service.Op {
	return append([]*service.Op{createAccountAlias(), deleteAccountAlias(), listAccountAliases()}, s.emptyOperations()...)
}

// createAccountAlias takes the place of the alias that the account has: there is one at most.
func createAccountAlias() *service.Op {
	return service.Def[api.CreateAccountAliasRequest, service.None]{
		Name: "CreateAccountAlias", Kind: service.Change, Actions: []string{"iam:CreateAccountAlias"},
		Audit: func(q *api.CreateAccountAliasRequest, p *audit.Params) { str(p, "accountAlias", q.AccountAlias) },
		Plan: func(tx *service.Tx, q *api.CreateAccountAliasRequest, _ []service.Target) (*service.None, error) {
			alias := &record.AccountAlias{Alias: q.AccountAlias.V, Account: account(tx)}
			taken, err := lookup[*record.AccountAlias](tx, alias.StoreKey())
			if err != nil {
				return nil, err
			}
			if taken != nil {
				return nil, api.Errorf(api.EntityAlreadyExists, "The account alias %s already exists.", alias.Alias)
			}
			if err := removeAlias(tx); err != nil {
				return nil, err
			}
			tx.Put(alias)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// removeAlias deletes the alias that the account has. The commit depends on its having no other, which the counter tells of the first one,
// and the record of the one that goes of all others.
func removeAlias(tx *service.Tx) error {
	if _, err := tx.Counter(record.AccountAliasCounter(account(tx))); err != nil {
		return err
	}
	prefix := record.AccountAliasesPrefix(account(tx))
	entries, err := tx.Scan(prefix, "", 1)
	if err != nil || len(entries) == 0 {
		return err
	}
	old, err := lookup[*record.AccountAlias](tx, record.AccountAliasStoreKey(entries[0].Key[len(prefix):]))
	if err != nil {
		return err
	}
	if old == nil { // another request has just put another alias in its place, which neither the counter nor a record would tell
		return api.Errorf(api.ConcurrentModification, "The account's alias is being changed by another request. Submit your request again.")
	}
	tx.Delete(old)
	return nil
}

func deleteAccountAlias() *service.Op {
	return service.Def[api.DeleteAccountAliasRequest, service.None]{
		Name: "DeleteAccountAlias", Kind: service.Change, Actions: []string{"iam:DeleteAccountAlias"},
		Audit: func(q *api.DeleteAccountAliasRequest, p *audit.Params) { str(p, "accountAlias", q.AccountAlias) },
		Plan: func(tx *service.Tx, q *api.DeleteAccountAliasRequest, _ []service.Target) (*service.None, error) {
			alias, err := lookup[*record.AccountAlias](tx, record.AccountAliasStoreKey(q.AccountAlias.V))
			if err != nil {
				return nil, err
			}
			if alias == nil || alias.Account != account(tx) {
				return nil, noSuch("account alias", q.AccountAlias.V)
			}
			tx.Delete(alias)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func listAccountAliases() *service.Op {
	return service.Def[api.ListAccountAliasesRequest, api.ListAccountAliasesResponse]{
		Name: "ListAccountAliases", Kind: service.Read, Actions: []string{"iam:ListAccountAliases"},
		Audit: func(q *api.ListAccountAliasesRequest, p *audit.Params) { auditPage(p, q.Marker, q.MaxItems) },
		Plan: func(tx *service.Tx, q *api.ListAccountAliasesRequest, _ []service.Target) (*api.ListAccountAliasesResponse, error) {
			aliases, page, err := scan(tx, "aliases", record.AccountAliasesPrefix(account(tx)), "", q.Marker, q.MaxItems)
			return &api.ListAccountAliasesResponse{AccountAliases: aliases, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
