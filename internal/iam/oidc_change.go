package iam

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// addClientID is idempotent, as is removeClientID.
func (s *IAM) addClientID() *service.Op {
	type request = api.AddClientIDToOpenIDConnectProviderRequest
	return changeOIDCProvider("AddClientIDToOpenIDConnectProvider",
		func(q *request) string { return q.OpenIDConnectProviderArn.V },
		func(q *request, p *audit.Params) { str(p, "clientID", q.ClientID) },
		func(p *record.OIDCProvider, q *request) error { return addClient(p, q.ClientID.V) },
	).Op("iam")
}

func (s *IAM) removeClientID() *service.Op {
	type request = api.RemoveClientIDFromOpenIDConnectProviderRequest
	return changeOIDCProvider("RemoveClientIDFromOpenIDConnectProvider",
		func(q *request) string { return q.OpenIDConnectProviderArn.V },
		func(q *request, p *audit.Params) { str(p, "clientID", q.ClientID) },
		func(p *record.OIDCProvider, q *request) error {
			p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(id string) bool { return id == q.ClientID.V })
			return nil
		},
	).Op("iam")
}

func (s *IAM) updateThumbprints() *service.Op {
	type request = api.UpdateOpenIDConnectProviderThumbprintRequest
	return changeOIDCProvider("UpdateOpenIDConnectProviderThumbprint",
		func(q *request) string { return q.OpenIDConnectProviderArn.V },
		func(q *request, p *audit.Params) { p.StrList("thumbprintList", q.ThumbprintList) },
		func(p *record.OIDCProvider, q *request) (err error) {
			if len(q.ThumbprintList) == 0 { // only a new provider can have none
				return api.Errorf(api.InvalidInput, "Thumbprint list must contain at least one entry.")
			}
			p.Thumbprints, err = thumbprints(q.ThumbprintList)
			return err
		},
	).Op("iam")
}

func (s *IAM) tagOIDCProvider() *service.Op {
	type request = api.TagOpenIDConnectProviderRequest
	conds := requestTags(func(q *request) []api.IamTag { return q.Tags })
	d := changeOIDCProvider("TagOpenIDConnectProvider",
		func(q *request) string { return q.OpenIDConnectProviderArn.V },
		func(q *request, p *audit.Params) { auditTags(p, q.Tags) },
		func(p *record.OIDCProvider, q *request) (err error) {
			p.Tags, err = addTags(p.Tags, q.Tags)
			return err
		},
	)
	d.Cond, d.CondKeys = conds.Cond(), conds.Names()
	return d.Op("iam")
}

func (s *IAM) untagOIDCProvider() *service.Op {
	type request = api.UntagOpenIDConnectProviderRequest
	conds := service.Conditions[request]{tagKeys(func(q *request) []string { return q.TagKeys })}
	d := changeOIDCProvider("UntagOpenIDConnectProvider",
		func(q *request) string { return q.OpenIDConnectProviderArn.V },
		func(q *request, p *audit.Params) { p.StrList("tagKeys", q.TagKeys) },
		func(p *record.OIDCProvider, q *request) (err error) {
			p.Tags, err = removeTags(p.Tags, q.TagKeys)
			return err
		},
	)
	d.Cond, d.CondKeys = conds.Cond(), conds.Names()
	return d.Op("iam")
}

func (s *IAM) listOIDCProviderTags() *service.Op {
	type request = api.ListOpenIDConnectProviderTagsRequest
	arn := func(q *request) string { return q.OpenIDConnectProviderArn.V }
	return service.Def[request, api.ListOpenIDConnectProviderTagsResponse]{
		Name: "ListOpenIDConnectProviderTags", Kind: service.Read, Actions: []string{"iam:ListOpenIDConnectProviderTags"},
		Resolve: onOIDCProvider("iam:ListOpenIDConnectProviderTags", arn),
		Audit: func(q *request, p *audit.Params) {
			p.Str("openIDConnectProviderArn", arn(q))
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *request, _ []service.Target) (*api.ListOpenIDConnectProviderTagsResponse, error) {
			p, err := oidcProvider(tx, arn(q))
			if err != nil {
				return nil, err
			}
			tags, page, err := slice("oidctags", tagsOf(p.Tags), q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			return &api.ListOpenIDConnectProviderTagsResponse{Tags: tags, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}
