package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) describeCustomKeyStores() *service.Op {
	return service.Def[api.DescribeCustomKeyStoresRequest, api.DescribeCustomKeyStoresResponse]{
		Name: "DescribeCustomKeyStores", Kind: service.Read,
		Actions: []string{"kms:DescribeCustomKeyStores"},
		Audit: func(q *api.DescribeCustomKeyStoresRequest, p *audit.Params) {
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
			str(p, "customKeyStoreName", q.CustomKeyStoreName)
			integer(p, "limit", q.Limit)
			str(p, "marker", q.Marker)
		},
		Plan: func(tx *service.Tx, q *api.DescribeCustomKeyStoresRequest, _ []service.Target) (*api.DescribeCustomKeyStoresResponse, error) {
			if q.CustomKeyStoreId.Set && q.CustomKeyStoreName.Set {
				return nil, api.Errorf(api.ValidationException, "You cannot specify CustomKeyStoreId and CustomKeyStoreName in the same request.")
			}
			list, next, err := listKeyStores(tx, q)
			if err != nil {
				return nil, err
			}
			r := &api.DescribeCustomKeyStoresResponse{
				CustomKeyStores: make([]api.CustomKeyStoresListEntry, 0, len(list)), NextMarker: next, Truncated: api.Some(next.Set),
			}
			for _, s := range list {
				r.CustomKeyStores = append(r.CustomKeyStores, describeKeyStore(s))
			}
			return r, nil
		},
	}.Op("kms")
}

// listKeyStores finds what is asked for, as it is in the store now: a connection's progress must be seen.
func listKeyStores(tx *service.Tx, q *api.DescribeCustomKeyStoresRequest) (list []*record.KeyStore, next api.Opt[string], err error) {
	prefix := record.KeyStoresPrefix(callOwner(tx))
	var ids []string
	switch {
	case q.CustomKeyStoreId.Set:
		if validKeyStoreID(q.CustomKeyStoreId.V) {
			ids = []string{q.CustomKeyStoreId.V}
		}
	case q.CustomKeyStoreName.Set:
		ids, _, err = page(tx, "keystores", prefix, api.Opt[string]{}, 2*keyStoresPerRegion)
	default:
		ids, next, err = page(tx, "keystores", prefix, q.Marker, limitOr(q.Limit, 100))
	}
	if err != nil {
		return nil, next, err
	}
	storeKeys := make([]string, len(ids))
	for i, id := range ids {
		storeKeys[i] = prefix + id
	}
	all, err := service.LookupAll[*record.KeyStore](tx, storeKeys)
	if err != nil {
		return nil, next, err
	}
	for _, s := range all {
		if !q.CustomKeyStoreName.Set || s.Name == q.CustomKeyStoreName.V {
			list = append(list, s)
		}
	}
	if len(list) == 0 && (q.CustomKeyStoreId.Set || q.CustomKeyStoreName.Set) {
		return nil, next, keyStoreNotFound(q.CustomKeyStoreId.V + q.CustomKeyStoreName.V)
	}
	return list, next, nil
}

// describeKeyStore shows everything but password and secret.
func describeKeyStore(s *record.KeyStore) api.CustomKeyStoresListEntry {
	e := api.CustomKeyStoresListEntry{
		CustomKeyStoreId: api.Some(s.ID), CustomKeyStoreName: api.Some(s.Name), CreationDate: api.Some(s.Created),
		CustomKeyStoreType: api.Some(api.CustomKeyStoreType(s.Type)), ConnectionState: api.Some(api.ConnectionStateType(s.Connection)),
	}
	if s.Error != "" {
		e.ConnectionErrorCode = api.Some(api.ConnectionErrorCodeType(s.Error))
	}
	if s.Type == record.TokenStore {
		e.CloudHsmClusterId, e.TrustAnchorCertificate = api.Some(s.ClusterID), api.Some(s.TrustAnchor)
		return e
	}
	e.XksProxyConfiguration = &api.XksProxyConfigurationType{
		Connectivity: api.Some(api.XksProxyConnectivityType(s.Proxy.Connectivity)), AccessKeyId: api.Some(s.Proxy.AccessKeyID),
		UriEndpoint: api.Some(s.Proxy.URIEndpoint), UriPath: api.Some(s.Proxy.URIPath),
	}
	if s.Proxy.Service != "" {
		e.XksProxyConfiguration.VpcEndpointServiceName = api.Some(s.Proxy.Service)
		e.XksProxyConfiguration.VpcEndpointServiceOwner = api.Some(s.Proxy.ServiceOwner)
	}
	return e
}
