package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// never is the service and Region of a key that was not used yet.
const never = "N/A"

// usedBy returns an access key of the caller's account and the user that it belongs to; no key if there is none, no user if it is the
// root user's.
func usedBy(tx *service.Tx, id string) (*record.AccessKey, *record.User, error) {
	k, err := lookup[*record.AccessKey](tx, record.AccessKeyStoreKey(id))
	if err != nil || k == nil || k.Account != account(tx) {
		return nil, nil, err
	}
	if k.UserID == "" {
		return k, nil, nil
	}
	u, err := lookup[*record.User](tx, record.PrincipalStoreKey(k.Account, record.UserKind, k.UserID))
	if err != nil || u == nil {
		return nil, nil, err
	}
	return k, u, nil
}

// getAccessKeyLastUsed refuses for keys that are not there in the same words as for those that the caller may not ask about, as AWS does.
func (s *IAM) getAccessKeyLastUsed() *service.Op {
	const action = "iam:GetAccessKeyLastUsed"
	return service.Def[api.GetAccessKeyLastUsedRequest, api.GetAccessKeyLastUsedResponse]{
		Name: "GetAccessKeyLastUsed", Kind: service.Read, Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.GetAccessKeyLastUsedRequest) ([]service.Target, error) {
			id := q.AccessKeyId.V
			k, u, err := usedBy(tx, id)
			if err != nil {
				return nil, err
			}
			denied := api.Errorf(api.AccessDeniedException, "User: %s is not authorized to perform %s on resource: access key %s", tx.Call.Caller.ARN, action, id)
			var targets []service.Target
			switch {
			case k == nil:
				targets = target(tx, action, arnOf(tx, "user", "", "*"), nil, denied)
			case u == nil:
				targets = target(tx, action, "arn:"+partition(tx)+":iam::"+k.Account+":root", nil, nil)
			default:
				targets = target(tx, action, arnOf(tx, "user", u.Path, u.Name), u.Tags, nil)
			}
			targets[0].Denied = denied
			return targets, nil
		},
		Audit: func(q *api.GetAccessKeyLastUsedRequest, p *audit.Params) { str(p, "accessKeyId", q.AccessKeyId) },
		Plan: func(tx *service.Tx, q *api.GetAccessKeyLastUsedRequest, targets []service.Target) (*api.GetAccessKeyLastUsedResponse, error) {
			k, u, err := usedBy(tx, q.AccessKeyId.V)
			if err != nil {
				return nil, err
			}
			if k == nil {
				return nil, targets[0].Denied
			}
			name := record.RootUser
			if u != nil {
				name = u.Name
			}
			use, err := lookup[*record.AccessKeyUse](tx, record.AccessKeyUseStoreKey(k.ID))
			if err != nil {
				return nil, err
			}
			last := &api.AccessKeyLastUsed{ServiceName: api.Some(never), Region: api.Some(never)}
			if use != nil {
				last = &api.AccessKeyLastUsed{LastUsedDate: api.Some(use.At), ServiceName: api.Some(use.Service), Region: api.Some(use.Region)}
			}
			return &api.GetAccessKeyLastUsedResponse{UserName: api.Some(name), AccessKeyLastUsed: last}, nil
		},
	}.Op("iam")
}
