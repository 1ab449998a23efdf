// Package accounts has keyturn's own operations on the accounts of a deployment: one of them manages the others. It makes them with the
// first access key of their root user, suspends them and lets them resume, and makes root users further access keys. Everything else is the
// accounts' own, with IAM.
package accounts

import (
	"cmp"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Config is what the operations need to know of the server they run in.
type Config struct {
	Directory *identity.Directory
	// Management is the account that manages the others as long as the store names none. "": nobody does.
	Management string
}

// MaxRootKeys is how many access keys a root user may have ("IAM and AWS STS quotas", IAM User Guide).
const MaxRootKeys = 2

// Accounts is the service. Everything is in the store.
type Accounts struct {
	config Config

	// Initialize makes the account that manages the others. It is Internal, takes an InitializeRequest and answers as CreateAccount.
	Initialize *service.Op
	// RecoverRootKey is CreateRootAccessKey for whoever has the store itself. It is Internal.
	RecoverRootKey *service.Op
}

// New returns the service.
func New(c Config) *Accounts {
	s := &Accounts{config: c}
	s.Initialize, s.RecoverRootKey = s.initialize(), s.recoverRootKey()
	return s
}

// Operations returns the operations for callers.
func (s *Accounts) Operations() []*service.Op {
	return []*service.Op{s.createAccount(), s.listAccounts(), s.suspendAccount(), s.resumeAccount(), s.createRootAccessKey()}
}

// management returns the account that manages the others, "" if there is none.
func (s *Accounts) management(tx *service.Tx) (string, error) {
	d, err := service.Lookup[*record.Deployment](tx, record.DeploymentStoreKey)
	if err != nil || d == nil {
		return s.config.Management, err
	}
	return d.Management, nil
}

// managing returns the account that manages the others to its own principals. Everybody else is refused: no policy can allow it.
func (s *Accounts) managing(tx *service.Tx, action, what string) (string, error) {
	management, err := s.management(tx)
	if err != nil {
		return "", err
	}
	caller := tx.Call.Caller
	if caller.Service { // whoever has the data directory
		return cmp.Or(management, caller.Account), nil
	}
	if management == "" || caller.Account != management {
		return "", api.Errorf(api.AccessDeniedException,
			"User: %s is not authorized to perform: %s because only the account that manages this deployment may %s", caller.ARN, action, what)
	}
	return management, nil
}

// DeploymentTarget is the one target of an operation on the deployment as a whole, for principals of the account that manages it.
func (s *Accounts) DeploymentTarget(tx *service.Tx, action string) ([]service.Target, error) {
	management, err := s.managing(tx, action, "do that")
	if err != nil {
		return nil, err
	}
	return []service.Target{{Action: action, Account: management, ARN: "*"}}, nil
}

// target is the one target of an operation: an account, or all of them for "".
func (s *Accounts) target(tx *service.Tx, action, id string, missing error) ([]service.Target, error) {
	management, err := s.managing(tx, action, "manage accounts")
	if err != nil {
		return nil, err
	}
	arn := "*"
	if id != "" {
		arn = "arn:aws:keyturn::" + management + ":account/" + id // the same in every region, so that no signature steps around a Deny
	}
	return []service.Target{{Action: action, Account: management, ARN: arn, Missing: missing}}, nil
}

// onAccount resolves the account that a request names.
func onAccount[Q any](s *Accounts, action string, id func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		a, err := service.Lookup[*record.Account](tx, record.AccountStoreKey(id(q)))
		if err != nil {
			return nil, err
		}
		var missing error
		if a == nil {
			missing = noSuch(id(q))
		}
		return s.target(tx, action, id(q), missing)
	}
}

// existing returns the account of an ID.
func existing(tx *service.Tx, id string) (*record.Account, error) {
	a, err := service.Lookup[*record.Account](tx, record.AccountStoreKey(id))
	if err == nil && a == nil {
		err = noSuch(id)
	}
	return a, err
}

func noSuch(id string) *api.Error {
	return api.Errorf(api.NotFoundException, "Account %s does not exist, or is one that keyturn did not make.", id)
}

// answer is an account as answers have it.
func answer(a *record.Account, management string) *api.ManagedAccount {
	m := &api.ManagedAccount{
		AccountId: api.Some(a.ID), AccountName: api.Some(a.Name), CreationDate: api.Some(a.Created),
		State: api.Some(api.AccountStateTypeActive), Management: api.Some(a.ID == management),
	}
	if !a.Suspended.IsZero() {
		m.State, m.SuspensionDate = api.Some(api.AccountStateTypeSuspended), api.Some(a.Suspended)
	}
	return m
}

const defaultLimit = 100

func (s *Accounts) listAccounts() *service.Op {
	return service.Def[api.ListAccountsRequest, api.ListAccountsResponse]{
		Name: "ListAccounts", Kind: service.Read, Actions: []string{"keyturn:ListAccounts"},
		Resolve: func(tx *service.Tx, _ *api.ListAccountsRequest) ([]service.Target, error) {
			return s.target(tx, "keyturn:ListAccounts", "", nil)
		},
		Audit: func(q *api.ListAccountsRequest, p *audit.Params) {
			if q.Limit.Set {
				p.Int("limit", q.Limit.V)
			}
			if q.Marker.Set {
				p.Str("marker", q.Marker.V)
			}
		},
		Plan: func(tx *service.Tx, q *api.ListAccountsRequest, _ []service.Target) (*api.ListAccountsResponse, error) {
			// A marker is the last account of the page before.
			after, limit := "", defaultLimit
			if q.Marker.Set {
				if !service.IsAccountID(q.Marker.V) {
					return nil, api.Errorf(api.InvalidMarkerException, "Could not deserialize marker.")
				}
				after = record.AccountStoreKey(q.Marker.V)
			}
			if q.Limit.Set {
				limit = int(q.Limit.V)
			}
			management, err := s.management(tx)
			if err != nil {
				return nil, err
			}
			entries, err := tx.Scan(record.AccountsPrefix, after, limit+1)
			if err != nil {
				return nil, err
			}
			resp := &api.ListAccountsResponse{Accounts: []api.ManagedAccount{}, Truncated: api.Some(len(entries) > limit)}
			if len(entries) > limit {
				entries = entries[:limit]
				resp.NextMarker = api.Some(strings.TrimPrefix(entries[limit-1].Key, record.AccountsPrefix))
			}
			for _, e := range entries {
				r, err := tx.Decode(e)
				if err != nil {
					return nil, err
				}
				resp.Accounts = append(resp.Accounts, *answer(r.(*record.Account), management))
			}
			return resp, nil
		},
	}.Op("keyturn")
}
