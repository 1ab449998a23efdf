package iam

import (
	"net/url"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Quotas of OpenID Connect providers.
const (
	providersPerAccount    = 100
	clientIDsPerProvider   = 100
	thumbprintsPerProvider = 5
)

func (s *IAM) oidcOperations() []*service.Op {
	return []*service.Op{
		s.createOIDCProvider(), s.getOIDCProvider(), s.listOIDCProviders(), s.deleteOIDCProvider(), s.addClientID(), s.removeClientID(),
		s.updateThumbprints(), s.tagOIDCProvider(), s.untagOIDCProvider(), s.listOIDCProviderTags(),
	}
}

// oidcURL returns the URL of a provider without its scheme, which is how it stands in ARNs and condition keys. It is taken as it is given:
// it has to be what tokens have as their issuer, to the last slash.
func oidcURL(given string) (string, error) {
	bad := invalid("Invalid Open ID Connect Provider URL")
	rest, ok := strings.CutPrefix(given, "https://")
	u, err := url.Parse(given)
	if !ok || err != nil || u.Hostname() == "" || u.User != nil || u.Host != strings.SplitN(rest, "/", 2)[0] {
		return "", bad
	}
	// What may stand in an ARN that a trust policy names. So there is no query, and no fragment.
	if strings.ContainsFunc(rest, func(r rune) bool { return !oidcURLRune(r) }) {
		return "", bad
	}
	return rest, nil
}

func oidcURLRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/:+=,@%~", r)
}

// oidcARN returns the URL in the ARN of a provider of the caller's account, and what to answer if it is not there.
func oidcARN(tx *service.Tx, arn string) (url string, missing error, err error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Service != "iam" || p.Kind != "oidc-provider" || p.Partition != partition(tx) {
		return "", nil, api.Errorf(api.InvalidInput, "Invalid ARN: %s", arn)
	}
	missing = api.Errorf(api.NoSuchEntity, "OpenIDConnect Provider not found for arn %s", arn)
	if p.Account != account(tx) {
		return "", missing, nil
	}
	return p.Name, missing, nil
}

// oidcProvider returns the provider of an ARN. The error is NoSuchEntity if there is none.
func oidcProvider(tx *service.Tx, arn string) (*record.OIDCProvider, error) {
	url, missing, err := oidcARN(tx, arn)
	if err != nil {
		return nil, err
	}
	if url == "" {
		return nil, missing
	}
	p, err := lookup[*record.OIDCProvider](tx, record.OIDCProviderStoreKey(account(tx), url))
	if err == nil && p == nil {
		err = missing
	}
	return p, err
}

// onOIDCProvider resolves the provider that a request names.
func onOIDCProvider[Q any](action string, arn func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		url, missing, err := oidcARN(tx, arn(q))
		if err != nil {
			return nil, err
		}
		t := target(tx, action, arn(q), nil, missing)
		if url == "" {
			return t, nil
		}
		p, err := lookup[*record.OIDCProvider](tx, record.OIDCProviderStoreKey(account(tx), url))
		if err == nil && p != nil {
			t[0].Tags, t[0].Missing = p.Tags, nil
		}
		return t, err
	}
}

// changeOIDCProvider is an operation that changes the provider that a request names.
func changeOIDCProvider[Q any](name string, arn func(*Q) string, show func(*Q, *audit.Params), change func(*record.OIDCProvider, *Q) error) service.Def[Q, service.None] {
	action := "iam:" + name
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{action},
		Resolve: onOIDCProvider(action, arn),
		Audit: func(q *Q, p *audit.Params) {
			p.Str("openIDConnectProviderArn", arn(q))
			show(q, p)
		},
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			p, err := oidcProvider(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if err := change(p, q); err != nil {
				return nil, err
			}
			tx.Put(p)
			return &service.None{}, nil
		},
	}
}

func (s *IAM) createOIDCProvider() *service.Op {
	conds := requestTags(func(q *api.CreateOpenIDConnectProviderRequest) []api.IamTag { return q.Tags })
	return service.Def[api.CreateOpenIDConnectProviderRequest, api.CreateOpenIDConnectProviderResponse]{
		Name: "CreateOpenIDConnectProvider", Kind: service.Change,
		Actions: []string{"iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Check: func(q *api.CreateOpenIDConnectProviderRequest) error {
			_, err := oidcURL(q.Url.V)
			return err
		},
		Resolve: func(tx *service.Tx, q *api.CreateOpenIDConnectProviderRequest) ([]service.Target, error) {
			arn := arnOf(tx, "oidc-provider", "/", strings.TrimPrefix(q.Url.V, "https://"))
			targets := target(tx, "iam:CreateOpenIDConnectProvider", arn, nil, nil)
			if len(q.Tags) > 0 {
				targets = append(targets, target(tx, "iam:TagOpenIDConnectProvider", arn, nil, nil)...)
			}
			return targets, nil
		},
		Audit: func(q *api.CreateOpenIDConnectProviderRequest, p *audit.Params) {
			str(p, "url", q.Url)
			p.StrList("clientIDList", q.ClientIDList)
			p.StrList("thumbprintList", q.ThumbprintList)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.CreateOpenIDConnectProviderResponse, p *audit.Params) {
			str(p, "openIDConnectProviderArn", r.OpenIDConnectProviderArn)
		},
		Plan: func(tx *service.Tx, q *api.CreateOpenIDConnectProviderRequest, _ []service.Target) (*api.CreateOpenIDConnectProviderResponse, error) {
			p, err := newOIDCProvider(tx, q)
			if err != nil {
				return nil, err
			}
			tx.Put(p)
			return &api.CreateOpenIDConnectProviderResponse{OpenIDConnectProviderArn: api.Some(moved(tx, p.ARN())), Tags: tagsOf(p.Tags)}, nil
		},
	}.Op("iam")
}

// newOIDCProvider makes a provider, which is for the caller to put. The provider is not asked for anything: it may not be there yet.
func newOIDCProvider(tx *service.Tx, q *api.CreateOpenIDConnectProviderRequest) (*record.OIDCProvider, error) {
	if q.ContextProvider != nil || q.IdentityCenterInstanceArn.Set {
		return nil, api.Errorf(api.InvalidInput, "Providers of trusted identity propagation are not supported.")
	}
	url, err := oidcURL(q.Url.V)
	if err != nil {
		return nil, err
	}
	have, err := lookup[*record.OIDCProvider](tx, record.OIDCProviderStoreKey(account(tx), url))
	if err != nil {
		return nil, err
	}
	if have != nil {
		return nil, api.Errorf(api.EntityAlreadyExists, "Provider with url https://%s already exists.", url)
	}
	n, err := tx.Counter(record.OIDCProviderCounter(account(tx)))
	if err != nil {
		return nil, err
	}
	if n >= providersPerAccount {
		return nil, tooMany("OpenIdConnectProvidersPerAccount", providersPerAccount)
	}
	p := &record.OIDCProvider{Account: account(tx), URL: url, Created: tx.Now}
	for _, id := range q.ClientIDList {
		if err := addClient(p, id); err != nil {
			return nil, err
		}
	}
	if p.Thumbprints, err = thumbprints(q.ThumbprintList); err != nil {
		return nil, err
	}
	p.Tags, err = addTags(nil, q.Tags)
	return p, err
}

// addClient adds a client ID. One that is there already stays.
func addClient(p *record.OIDCProvider, id string) error {
	if slices.Contains(p.ClientIDs, id) {
		return nil
	}
	if len(p.ClientIDs) >= clientIDsPerProvider {
		return tooMany("ClientIdsPerOpenIdConnectProvider", clientIDsPerProvider)
	}
	p.ClientIDs = append(p.ClientIDs, id)
	return nil
}

// thumbprints checks a list of SHA-1 digests of certificates in hexadecimal. They are kept and shown, and decide nothing: a provider's
// certificate has to lead to an authority that the server trusts.
func thumbprints(list []string) ([]string, error) {
	if len(list) > thumbprintsPerProvider {
		return nil, api.Errorf(api.InvalidInput, "Thumbprint list must contain fewer than %d entries.", thumbprintsPerProvider)
	}
	for _, t := range list {
		if strings.Trim(t, "0123456789abcdefABCDEF") != "" {
			return nil, api.Errorf(api.InvalidInput, "Thumbprint %s is not valid: it has to be 40 hexadecimal digits.", t)
		}
	}
	return slices.Clone(list), nil
}

func (s *IAM) getOIDCProvider() *service.Op {
	arn := func(q *api.GetOpenIDConnectProviderRequest) string { return q.OpenIDConnectProviderArn.V }
	return service.Def[api.GetOpenIDConnectProviderRequest, api.GetOpenIDConnectProviderResponse]{
		Name: "GetOpenIDConnectProvider", Kind: service.Read, Actions: []string{"iam:GetOpenIDConnectProvider"},
		Resolve: onOIDCProvider("iam:GetOpenIDConnectProvider", arn),
		Audit: func(q *api.GetOpenIDConnectProviderRequest, p *audit.Params) {
			p.Str("openIDConnectProviderArn", arn(q))
		},
		Plan: func(tx *service.Tx, q *api.GetOpenIDConnectProviderRequest, _ []service.Target) (*api.GetOpenIDConnectProviderResponse, error) {
			p, err := oidcProvider(tx, arn(q))
			if err != nil {
				return nil, err
			}
			return &api.GetOpenIDConnectProviderResponse{
				Url: api.Some(p.URL), ClientIDList: nonNil(p.ClientIDs), ThumbprintList: nonNil(p.Thumbprints), CreateDate: api.Some(p.Created),
				Tags: tagsOf(p.Tags),
			}, nil
		},
	}.Op("iam")
}

// nonNil makes an empty list of none, which answers have.
func nonNil(list []string) []string { return append([]string{}, list...) }

func (s *IAM) listOIDCProviders() *service.Op {
	return service.Def[api.ListOpenIDConnectProvidersRequest, api.ListOpenIDConnectProvidersResponse]{
		Name: "ListOpenIDConnectProviders", Kind: service.Read, Actions: []string{"iam:ListOpenIDConnectProviders"},
		Plan: func(tx *service.Tx, _ *api.ListOpenIDConnectProvidersRequest, _ []service.Target) (*api.ListOpenIDConnectProvidersResponse, error) {
			entries, err := tx.Scan(record.OIDCProvidersPrefix(account(tx)), "", providersPerAccount)
			if err != nil {
				return nil, err
			}
			list := make([]api.OpenIDConnectProviderListEntry, 0, len(entries))
			for _, e := range entries {
				r, err := tx.Decode(e)
				if err != nil {
					return nil, err
				}
				if p, ok := r.(*record.OIDCProvider); ok {
					list = append(list, api.OpenIDConnectProviderListEntry{Arn: api.Some(moved(tx, p.ARN()))})
				}
			}
			slices.SortFunc(list, func(a, b api.OpenIDConnectProviderListEntry) int { return strings.Compare(a.Arn.V, b.Arn.V) })
			return &api.ListOpenIDConnectProvidersResponse{OpenIDConnectProviderList: list}, nil
		},
	}.Op("iam")
}

// deleteOIDCProvider is idempotent, as AWS documents it: a provider that is not there is no error.
func (s *IAM) deleteOIDCProvider() *service.Op {
	arn := func(q *api.DeleteOpenIDConnectProviderRequest) string { return q.OpenIDConnectProviderArn.V }
	return service.Def[api.DeleteOpenIDConnectProviderRequest, service.None]{
		Name: "DeleteOpenIDConnectProvider", Kind: service.Change, Actions: []string{"iam:DeleteOpenIDConnectProvider"},
		Resolve: func(tx *service.Tx, q *api.DeleteOpenIDConnectProviderRequest) ([]service.Target, error) {
			t, err := onOIDCProvider("iam:DeleteOpenIDConnectProvider", arn)(tx, q)
			if err == nil {
				t[0].Missing = nil
			}
			return t, err
		},
		Audit: func(q *api.DeleteOpenIDConnectProviderRequest, p *audit.Params) {
			p.Str("openIDConnectProviderArn", arn(q))
		},
		Plan: func(tx *service.Tx, q *api.DeleteOpenIDConnectProviderRequest, _ []service.Target) (*service.None, error) {
			url, _, err := oidcARN(tx, arn(q))
			if err != nil || url == "" {
				return &service.None{}, err
			}
			p, err := lookup[*record.OIDCProvider](tx, record.OIDCProviderStoreKey(account(tx), url))
			if err == nil && p != nil {
				tx.Delete(p)
			}
			return &service.None{}, err
		},
	}.Op("iam")
}
