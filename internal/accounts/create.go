package accounts

import (
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *Accounts) createAccount() *service.Op {
	return service.Def[api.CreateAccountRequest, api.CreateAccountResponse]{
		Name: "CreateAccount", Kind: service.Change, Actions: []string{"keyturn:CreateAccount"},
		Resolve: func(tx *service.Tx, q *api.CreateAccountRequest) ([]service.Target, error) {
			return s.target(tx, "keyturn:CreateAccount", q.AccountId.V, nil)
		},
		Audit:  auditCreation,
		Result: auditCreated,
		Plan: func(tx *service.Tx, q *api.CreateAccountRequest, _ []service.Target) (*api.CreateAccountResponse, error) {
			management, err := s.management(tx)
			if err != nil {
				return nil, err
			}
			id := q.AccountId.V
			if id == "" {
				id, err = s.unused(tx)
			} else {
				err = inUse(id, s.free(tx, id))
			}
			if err != nil {
				return nil, err
			}
			return create(tx, id, q.AccountName.V, management)
		},
	}.Op("keyturn")
}

// InitializeRequest is the request of Initialize. It names the account.
type InitializeRequest struct {
	api.CreateAccountRequest
	// MayBeInUse: it is for whoever has the store to say which account manages the others, be it one that is in use.
	MayBeInUse bool
}

func (s *Accounts) initialize() *service.Op {
	return service.Def[InitializeRequest, api.CreateAccountResponse]{
		Name: "InitializeDeployment", Kind: service.Internal,
		Audit:  func(q *InitializeRequest, p *audit.Params) { auditCreation(&q.CreateAccountRequest, p) },
		Result: auditCreated,
		Plan: func(tx *service.Tx, q *InitializeRequest, _ []service.Target) (*api.CreateAccountResponse, error) {
			d, err := service.Lookup[*record.Deployment](tx, record.DeploymentStoreKey)
			if err != nil {
				return nil, err
			}
			if d != nil {
				return nil, api.Errorf(api.AlreadyExistsException, "The deployment has been initialized: account %s manages it.", d.Management)
			}
			id := q.AccountId.V
			if err := s.free(tx, id); err != nil && !(errors.Is(err, errInUse) && q.MayBeInUse) {
				return nil, inUse(id, err)
			}
			tx.Put(&record.Deployment{Management: id, Created: tx.Now})
			return create(tx, id, q.AccountName.V, id)
		},
	}.Op("keyturn")
}

// inUse is what to answer if an account that was named is not free.
func inUse(id string, err error) error {
	if errors.Is(err, errInUse) {
		return api.Errorf(api.AlreadyExistsException, "Account %s already exists, or there is something in it.", id)
	}
	return err
}

func auditCreation(q *api.CreateAccountRequest, p *audit.Params) {
	p.Str("accountName", q.AccountName.V)
	if q.AccountId.Set {
		p.Str("accountId", q.AccountId.V)
	}
}

func auditCreated(r *api.CreateAccountResponse, p *audit.Params) {
	p.Str("accountId", r.Account.AccountId.V)
	p.Str("accessKeyId", r.AccessKey.AccessKeyId.V)
}

// create makes an account with its root user's first access key.
func create(tx *service.Tx, id, name, management string) (*api.CreateAccountResponse, error) {
	a := &record.Account{ID: id, Name: name, Created: tx.Now}
	if err := put(tx, a); err != nil {
		return nil, err
	}
	key, err := newRootKey(tx, id)
	if err != nil {
		return nil, err
	}
	return &api.CreateAccountResponse{Account: answer(a, management), AccessKey: key}, nil
}

// newRootKey makes an access key of an account's root user. A retry after a conflict makes another, but nobody has seen the first one.
func newRootKey(tx *service.Tx, account string) (*api.RootAccessKey, error) {
	key := &record.AccessKey{
		ID: identity.NewAccessKeyID(identity.LongTermPrefix, account), Account: account, Secret: identity.NewSecret(), Active: true, Created: tx.Now,
	}
	if err := put(tx, key); err != nil {
		return nil, err
	}
	return &api.RootAccessKey{AccessKeyId: api.Some(key.ID), SecretAccessKey: api.Some(key.Secret)}, nil
}

// put writes a record that is new.
func put(tx *service.Tx, r record.Record) error {
	old, err := service.Lookup[record.Record](tx, r.StoreKey())
	if err == nil && old != nil {
		err = errInUse // drawn at random, and there already: no chance
	}
	if err == nil {
		tx.Put(r)
	}
	return err
}

var errInUse = errors.New("accounts: the account is in use")

// unused returns a random account ID that nothing uses.
func (s *Accounts) unused(tx *service.Tx) (string, error) {
	const attempts = 10 // of 9 * 10^11 IDs hardly any are taken
	var err error
	for range attempts {
		id := identity.NewAccountID()
		if err = s.free(tx, id); !errors.Is(err, errInUse) {
			return id, err
		}
	}
	return "", err
}

// free returns errInUse for an account that is there, or that has anything: its root user would get what is somebody else's. The commit
// depends on the account's record only: to make anything else meanwhile takes credentials of the account, and there are none.
func (s *Accounts) free(tx *service.Tx, id string) error {
	if len(s.config.Directory.ConfiguredCallers(id)) > 0 || id == s.config.Management {
		return errInUse
	}
	a, err := service.Lookup[*record.Account](tx, record.AccountStoreKey(id))
	if err != nil {
		return err
	}
	if a != nil {
		return errInUse
	}
	for _, prefix := range append(belongings(id), record.AccessKeysPrefix(id, ""), record.AccountAliasesPrefix(id)) {
		entries, err := tx.Scan(prefix, "", 1)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return errInUse
		}
	}
	return nil
}

// belongings are the beginnings of the store keys of all that accounts have, see package record.
func belongings(account string) []string {
	var list []string
	for _, kind := range []string{"k", "m", "a", "g", "t", "s", "u", "v", "p", "pn", "pp", "pm", "po"} {
		list = append(list, kind+"/"+account+"/")
	}
	return list
}
