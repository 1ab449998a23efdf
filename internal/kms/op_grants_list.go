package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) listGrants() *service.Op {
	conds := conditions[api.ListGrantsRequest]{forAWSResource[api.ListGrantsRequest]()}
	return service.Def[api.ListGrantsRequest, api.ListGrantsResponse]{
		Name: "ListGrants", Kind: service.Read,
		Actions: []string{"kms:ListGrants"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:ListGrants", idOrARN, func(q *api.ListGrantsRequest) string { return q.KeyId.V }),
		Check: func(q *api.ListGrantsRequest) error {
			if q.GranteePrincipal.Set && q.GranteeServicePrincipal.Set {
				return invalidGrant("You can specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
			}
			return nil
		},
		Audit: func(q *api.ListGrantsRequest, p *audit.Params) {
			str(p, "keyId", q.KeyId)
			str(p, "grantId", q.GrantId)
			str(p, "granteePrincipal", q.GranteePrincipal)
			str(p, "granteeServicePrincipal", q.GranteeServicePrincipal)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: planListGrants,
	}.Op("kms")
}

func planListGrants(tx *service.Tx, q *api.ListGrantsRequest, targets []service.Target) (*api.ListGrantsResponse, error) {
	key := targets[0].Key
	if err := callerIsService(tx, "GranteeServicePrincipal", q.GranteeServicePrincipal); err != nil {
		return nil, err
	}
	grantee := q.GranteeServicePrincipal.V
	if q.GranteePrincipal.Set {
		grantee = q.GranteePrincipal.V
	}
	if q.GrantId.Set {
		return listGrant(tx, key, q, grantee)
	}
	list, prefix := "grants", record.GrantsPrefix(key.Owner, key.ID)
	if grantee != "" {
		list, prefix = "grantee", record.GranteePrefix(key.Owner, key.ID, grantee)
	}
	entries, next, err := page(tx, list, prefix, q.Marker, min(limitOr(q.Limit, 50), maxGrantPage))
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		// An entry of either list ends with the grant's ID.
		entries[i] = record.GrantsPrefix(key.Owner, key.ID) + e[strings.LastIndexByte(e, '/')+1:]
	}
	grants, err := service.LookupAll[*record.Grant](tx, entries)
	return grantList(grants, next), err
}

// listGrant lists the one grant with an ID.
func listGrant(tx *service.Tx, key *record.Key, q *api.ListGrantsRequest, grantee string) (*api.ListGrantsResponse, error) {
	var none api.Opt[string]
	if err := checkGrantID(q.GrantId.V); err != nil {
		return nil, err
	}
	if _, err := decodeMarker("grant", q.Marker); err != nil { // there is never a second page
		return nil, err
	}
	g, err := lookupGrant(tx, key.Owner, key.ID, q.GrantId.V)
	if err != nil || g == nil || grantee != "" && g.Grantee != grantee {
		return grantList(nil, none), err
	}
	return grantList([]*record.Grant{g}, none), nil
}

func grantList(grants []*record.Grant, next api.Opt[string]) *api.ListGrantsResponse {
	r := &api.ListGrantsResponse{Grants: make([]api.GrantListEntry, len(grants)), NextMarker: next, Truncated: api.Some(next.Set)}
	for i, g := range grants {
		r.Grants[i] = grantEntry(g)
	}
	return r
}

func (k *KMS) listRetirableGrants() *service.Op {
	const action = "kms:ListRetirableGrants"
	return service.Def[api.ListRetirableGrantsRequest, api.ListGrantsResponse]{
		Name: "ListRetirableGrants", Kind: service.Read,
		Actions: []string{action},
		Check: func(q *api.ListRetirableGrantsRequest) error {
			if q.RetiringPrincipal.Set == q.RetiringServicePrincipal.Set {
				return invalidGrant("You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
			}
			return nil
		},
		// The resource is the retiring principal, whose account decides; keys and grants are not asked about (ListRetirableGrants, AWS KMS
		// API Reference).
		Resolve: func(tx *service.Tx, q *api.ListRetirableGrantsRequest) ([]service.Target, error) {
			t := service.Target{Action: action, Account: tx.Call.Caller.Account, ARN: "*"}
			if t.Missing = callerIsService(tx, "RetiringServicePrincipal", q.RetiringServicePrincipal); q.RetiringPrincipal.Set {
				var account string
				if account, t.Missing = principalARN(q.RetiringPrincipal.V, tx.Call.Region); t.Missing == nil {
					t.Account, t.ARN = account, q.RetiringPrincipal.V
				}
			}
			return []service.Target{t}, nil
		},
		Audit: func(q *api.ListRetirableGrantsRequest, p *audit.Params) {
			str(p, "retiringPrincipal", q.RetiringPrincipal)
			str(p, "retiringServicePrincipal", q.RetiringServicePrincipal)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(tx *service.Tx, q *api.ListRetirableGrantsRequest, _ []service.Target) (*api.ListGrantsResponse, error) {
			principal := q.RetiringPrincipal.V
			if q.RetiringServicePrincipal.Set {
				principal = q.RetiringServicePrincipal.V
			}
			entries, next, err := page(tx, "retirable", record.RetirablePrefix(tx.Call.Region, principal), q.Marker, min(limitOr(q.Limit, 50), maxGrantPage))
			if err != nil {
				return nil, err
			}
			for i, e := range entries {
				if entries[i], err = record.RetirableStoreKey(tx.Call.Region, e); err != nil {
					return nil, err
				}
			}
			grants, err := service.LookupAll[*record.Grant](tx, entries)
			if err == nil {
				grants, err = onKeys(tx, grants)
			}
			return grantList(grants, next), err
		},
	}.Op("kms")
}

// onKeys leaves out grants on keys that are deleted, whose grants are being swept.
func onKeys(tx *service.Tx, grants []*record.Grant) ([]*record.Grant, error) {
	there := make(map[string]bool, len(grants))
	var names []string
	for _, g := range grants {
		if name := record.KeyStoreKey(g.Owner, g.KeyID); !there[name] {
			there[name], names = true, append(names, name)
		}
	}
	found, err := service.LookupAll[*record.Key](tx, names)
	if err != nil {
		return nil, err
	}
	clear(there)
	for _, k := range found {
		there[k.StoreKey()] = true
	}
	var kept []*record.Grant
	for _, g := range grants {
		if there[record.KeyStoreKey(g.Owner, g.KeyID)] {
			kept = append(kept, g)
		}
	}
	return kept, nil
}
