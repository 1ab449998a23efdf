package accounts

import (
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// suspendAccount keeps everybody of an account out, from the commit on: see identity.Directory.
func (s *Accounts) suspendAccount() *service.Op {
	id := func(q *api.SuspendAccountRequest) string { return q.AccountId.V }
	return service.Def[api.SuspendAccountRequest, api.SuspendAccountResponse]{
		Name: "SuspendAccount", Kind: service.Change, Actions: []string{"keyturn:SuspendAccount"},
		Resolve: onAccount(s, "keyturn:SuspendAccount", id),
		Audit:   func(q *api.SuspendAccountRequest, p *audit.Params) { p.Str("accountId", id(q)) },
		Plan: func(tx *service.Tx, q *api.SuspendAccountRequest, _ []service.Target) (*api.SuspendAccountResponse, error) {
			management, err := s.management(tx)
			if err != nil {
				return nil, err
			}
			if id(q) == management {
				return nil, api.Errorf(api.ValidationException, "The account that manages the others cannot be suspended.")
			}
			a, err := existing(tx, id(q))
			if err != nil {
				return nil, err
			}
			if a.Suspended.IsZero() {
				a.Suspended = tx.Now
				tx.Put(a)
			}
			return &api.SuspendAccountResponse{Account: answer(a, management)}, nil
		},
	}.Op("keyturn")
}

func (s *Accounts) resumeAccount() *service.Op {
	id := func(q *api.ResumeAccountRequest) string { return q.AccountId.V }
	return service.Def[api.ResumeAccountRequest, api.ResumeAccountResponse]{
		Name: "ResumeAccount", Kind: service.Change, Actions: []string{"keyturn:ResumeAccount"},
		Resolve: onAccount(s, "keyturn:ResumeAccount", id),
		Audit:   func(q *api.ResumeAccountRequest, p *audit.Params) { p.Str("accountId", id(q)) },
		Plan: func(tx *service.Tx, q *api.ResumeAccountRequest, _ []service.Target) (*api.ResumeAccountResponse, error) {
			management, err := s.management(tx)
			if err != nil {
				return nil, err
			}
			a, err := existing(tx, id(q))
			if err != nil {
				return nil, err
			}
			if !a.Suspended.IsZero() {
				a.Suspended = time.Time{}
				tx.Put(a)
			}
			return &api.ResumeAccountResponse{Account: answer(a, management)}, nil
		},
	}.Op("keyturn")
}

func (s *Accounts) createRootAccessKey() *service.Op {
	return service.Def[api.CreateRootAccessKeyRequest, api.CreateRootAccessKeyResponse]{
		Name: "CreateRootAccessKey", Kind: service.Change, Actions: []string{"keyturn:CreateRootAccessKey"},
		Resolve: onAccount(s, "keyturn:CreateRootAccessKey", func(q *api.CreateRootAccessKeyRequest) string { return q.AccountId.V }),
		Audit:   auditRootKey, Result: auditNewRootKey, Plan: anotherRootKey,
	}.Op("keyturn")
}

func (s *Accounts) recoverRootKey() *service.Op {
	return service.Def[api.CreateRootAccessKeyRequest, api.CreateRootAccessKeyResponse]{
		Name: "RecoverRootAccessKey", Kind: service.Internal, Audit: auditRootKey, Result: auditNewRootKey, Plan: anotherRootKey,
	}.Op("keyturn")
}

func auditRootKey(q *api.CreateRootAccessKeyRequest, p *audit.Params) {
	p.Str("accountId", q.AccountId.V)
	if q.ReplacedAccessKeyId.Set {
		p.Str("replacedAccessKeyId", q.ReplacedAccessKeyId.V)
	}
}

func auditNewRootKey(r *api.CreateRootAccessKeyResponse, p *audit.Params) {
	p.Str("accessKeyId", r.AccessKey.AccessKeyId.V)
}

// anotherRootKey makes an access key of a root user that may have some. One that it replaces is gone with the same commit: when all are
// lost there is nobody who could delete one first.
func anotherRootKey(tx *service.Tx, q *api.CreateRootAccessKeyRequest, _ []service.Target) (*api.CreateRootAccessKeyResponse, error) {
	id := q.AccountId.V
	if _, err := existing(tx, id); err != nil {
		return nil, err
	}
	n, err := tx.Counter(record.AccessKeyCounter(id, ""))
	if err != nil {
		return nil, err
	}
	if q.ReplacedAccessKeyId.Set {
		if err := deleteRootKey(tx, id, q.ReplacedAccessKeyId.V); err != nil {
			return nil, err
		}
		n--
	}
	if n >= MaxRootKeys {
		list, err := rootKeys(tx, id)
		if err != nil {
			return nil, err
		}
		return nil, api.Errorf(api.LimitExceededException, "The root user of account %s has %d access keys: %s. It cannot have more; one can be replaced.",
			id, n, strings.Join(list, ", "))
	}
	key, err := newRootKey(tx, id)
	if err != nil {
		return nil, err
	}
	return &api.CreateRootAccessKeyResponse{AccountId: api.Some(id), AccessKey: key}, nil
}

// deleteRootKey deletes an access key, and what is known of its use.
func deleteRootKey(tx *service.Tx, account, keyID string) error {
	key, err := service.Lookup[*record.AccessKey](tx, record.AccessKeyStoreKey(keyID))
	if err != nil {
		return err
	}
	if key == nil || key.Account != account || key.UserID != "" {
		return api.Errorf(api.NotFoundException, "The root user of account %s has no access key %s.", account, keyID)
	}
	use, err := service.Lookup[*record.AccessKeyUse](tx, record.AccessKeyUseStoreKey(keyID))
	if err != nil {
		return err
	}
	if use != nil {
		tx.Delete(use)
	}
	tx.Delete(key)
	return nil
}

// rootKeys returns the IDs of a root user's access keys.
func rootKeys(tx *service.Tx, account string) ([]string, error) {
	prefix := record.AccessKeysPrefix(account, "")
	entries, err := tx.Scan(prefix, "", MaxRootKeys)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = strings.TrimPrefix(e.Key, prefix)
	}
	return list, nil
}
