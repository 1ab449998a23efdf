package kms

import (
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Bounds of one page of ListKeyAccess. Whichever comes first ends it.
const (
	defaultAccessPage = 50              // principals that have access; a request may ask for 100
	principalsPerPage = 200             // principals that are looked at
	timePerPage       = 2 * time.Second // policies may be made to take long
)

// listKeyAccess tells who can do an action to a key, page by page.
func (k *KMS) listKeyAccess(actions map[string]*keyAction) *service.Op {
	return service.Def[api.ListKeyAccessRequest, api.ListKeyAccessResponse]{
		Name: "ListKeyAccess", Kind: service.Read,
		Actions: []string{"kms:GetKeyPolicy", "kms:ListGrants", "iam:ListUsers", "iam:ListRoles"},
		Check: func(q *api.ListKeyAccessRequest) error {
			if _, err := actionOf(actions, q.Action.V); err != nil {
				return err
			}
			return checkAccess(q.EncryptionContext, q.Context)
		},
		Resolve: func(tx *service.Tx, q *api.ListKeyAccessRequest) ([]service.Target, error) {
			targets, err := k.keyToExplain(tx, q.KeyId.V)
			account := tx.Call.Caller.Account
			all := "arn:" + record.Partition(tx.Call.Region) + ":iam::" + account + ":" // as ListUsers and ListRoles are asked about
			return append(targets,
				service.Target{Action: "iam:ListUsers", Account: account, ARN: all + "user/"},
				service.Target{Action: "iam:ListRoles", Account: account, ARN: all + "role/"}), err
		},
		Audit: func(q *api.ListKeyAccessRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "action", q.Action)
			auditContext(p, "encryptionContext", q.EncryptionContext)
			auditAccessContext(p, q.Context)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(tx *service.Tx, q *api.ListKeyAccessRequest, targets []service.Target) (*api.ListKeyAccessResponse, error) {
			action, err := actionOf(actions, q.Action.V)
			if err != nil {
				return nil, err
			}
			return k.planKeyAccess(tx, action, q, targets[0].Key)
		},
	}.Op("keyturn")
}

// accessList is a page under way.
type accessList struct {
	*supposition
	policy []candidate // whom the key policy names beside the account's users and roles, in order
}

// candidate is a principal that may have access, with its position in its part of the list.
type candidate struct {
	position string
	subject
	arn  string
	id   string // that it is pinned to where it is named, "" for none
	kind api.AccessPrincipalType
}

func (k *KMS) planKeyAccess(tx *service.Tx, action *keyAction, q *api.ListKeyAccessRequest, key *record.Key) (*api.ListKeyAccessResponse, error) {
	position, err := decodeMarker("access", q.Marker)
	if err != nil {
		return nil, err
	}
	l := &accessList{supposition: k.suppose(tx, action, key, q.KeyId.V, q.EncryptionContext, q.Context)}
	if err := l.readPolicy(); err != nil {
		return nil, err
	}
	parts := []func(after string) ([]candidate, error){l.configured, l.stored(record.UserKind), l.stored(record.RoleKind), l.named, l.grantees}
	part, after := 0, ""
	if position != "" {
		number, rest, _ := strings.Cut(position, "/")
		if part, err = strconv.Atoi(number); err != nil || part < 0 || part >= len(parts) {
			return nil, api.Errorf(api.InvalidMarkerException, "Could not deserialize marker '%s'", cut(q.Marker.V))
		}
		after = rest
	}
	r := &api.ListKeyAccessResponse{KeyId: api.Some(key.ARN()), Action: api.Some(action.name), Principals: []api.KeyAccess{}, Truncated: api.Some(false)}
	limit, looked, deadline := min(limitOr(q.Limit, defaultAccessPage), 100), 0, k.config.RealTime().Add(timePerPage)
	for ; part < len(parts); part, after = part+1, "" {
		for {
			list, err := parts[part](after)
			if err != nil {
				return nil, err
			}
			if len(list) == 0 {
				break
			}
			for _, c := range list {
				if len(r.Principals) == limit || looked == principalsPerPage || !k.config.RealTime().Before(deadline) && looked > 0 {
					r.Truncated, r.NextMarker = api.Some(true), encodeMarker("access", strconv.Itoa(part)+"/"+after)
					return r, nil
				}
				after = c.position
				looked++
				entry, err := l.entry(c)
				if err != nil {
					return nil, err
				}
				if entry != nil {
					r.Principals = append(r.Principals, *entry)
				}
			}
		}
	}
	return r, nil
}

// entry judges a candidate; nil if it has no access.
func (l *accessList) entry(c candidate) (*api.KeyAccess, error) {
	if c.caller == nil {
		return nil, nil
	}
	f, err := l.judge(c.subject)
	if err != nil || !f.Allowed && !f.conditional {
		return nil, err
	}
	e := &api.KeyAccess{
		Principal: api.Some(c.arn), PrincipalType: api.Some(c.kind), Allowed: api.Some(f.Allowed), Conditional: api.Some(f.conditional),
		Grants: []string{}, MissingContextKeys: f.missing, OwnAccountDecides: api.Some(c.stranger),
	}
	if f.Allowed {
		e.DecidedBy = api.Some(f.By.String())
	}
	if f.missing == nil {
		e.MissingContextKeys = []string{}
	}
	var allows []authz.Statement
	for _, s := range f.Statements {
		if s.Effect == policy.Allow && !(c.stranger && s.Kind != authz.ResourcePolicy) {
			allows = append(allows, s)
		}
	}
	e.Statements = matched(allows)
	if f.grant != nil {
		e.Grants = append(e.Grants, f.grant.ID)
	}
	return e, nil
}
