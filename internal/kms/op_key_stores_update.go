package kms

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) updateCustomKeyStore() *service.Op {
	return service.Def[api.UpdateCustomKeyStoreRequest, api.UpdateCustomKeyStoreResponse]{
		Name: "UpdateCustomKeyStore", Kind: service.Change,
		Actions: []string{"kms:UpdateCustomKeyStore"},
		Audit: func(q *api.UpdateCustomKeyStoreRequest, p *audit.Params) {
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
			str(p, "newCustomKeyStoreName", q.NewCustomKeyStoreName)
			str(p, "cloudHsmClusterId", q.CloudHsmClusterId)
			str(p, "xksProxyConnectivity", q.XksProxyConnectivity)
			str(p, "xksProxyUriEndpoint", q.XksProxyUriEndpoint)
			str(p, "xksProxyUriPath", q.XksProxyUriPath)
			str(p, "xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName)
			str(p, "xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner)
		},
		Plan: k.planUpdateCustomKeyStore,
	}.Op("kms")
}

func (k *KMS) planUpdateCustomKeyStore(tx *service.Tx, q *api.UpdateCustomKeyStoreRequest, _ []service.Target) (*api.UpdateCustomKeyStoreResponse, error) {
	s, err := keyStore(tx, callOwner(tx), q.CustomKeyStoreId.V)
	if err != nil {
		return nil, err
	}
	if err := updatable(s, q); err != nil {
		return nil, err
	}
	next := *s
	if q.NewCustomKeyStoreName.Set {
		next.Name = q.NewCustomKeyStoreName.V
	}
	if s.Type == record.TokenStore {
		err = updateToken(&next, q)
	} else {
		err = updateProxy(&next, q)
	}
	if err != nil {
		return nil, err
	}
	others, err := keyStores(tx, s.Owner)
	if err != nil {
		return nil, err
	}
	if err := inUse(&next, others); err != nil {
		return nil, err
	}
	// Once for each version of the record: what was reached is what is written.
	_, err = service.Once(tx, "reached "+strconv.FormatUint(s.Provenance().Version, 10), func() (bool, error) {
		ctx, cancel := storeContext(tx)
		defer cancel()
		switch {
		case q.CloudHsmClusterId.Set:
			return true, k.checkRelated(ctx, s, &next)
		case next.Proxy != s.Proxy:
			return true, k.checkProxy(ctx, tx, &next, "UpdateCustomKeyStore", true)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	tx.Put(&next)
	return &api.UpdateCustomKeyStoreResponse{}, nil
}

// updatable refuses members that a custom key store of the type cannot have, and what cannot be changed in its connection state:
// connected or disconnected, the name, and a proxy's credential and path; all else, disconnected.
func updatable(s *record.KeyStore, q *api.UpdateCustomKeyStoreRequest) error {
	ofToken := []member{{"cloudHsmClusterId", q.CloudHsmClusterId.Set}, {"keyStorePassword", q.KeyStorePassword.Set}}
	ofProxy := []member{
		{"xksProxyConnectivity", q.XksProxyConnectivity.Set}, {"xksProxyUriEndpoint", q.XksProxyUriEndpoint.Set},
		{"xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName.Set},
		{"xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner.Set},
	}
	whileConnected := []member{
		{"xksProxyUriPath", q.XksProxyUriPath.Set}, {"xksProxyAuthenticationCredential", q.XksProxyAuthenticationCredential != nil},
	}
	what := "a custom key store of type " + string(s.Type)
	mine := ofProxy
	if s.Type == record.TokenStore {
		mine = ofToken
		if err := errors.Join(forbid(what, ofProxy...), forbid(what, whileConnected...)); err != nil {
			return err
		}
	} else if err := forbid(what, ofToken...); err != nil {
		return err
	}
	for _, m := range mine {
		if m.set {
			return inState(s, record.Disconnected)
		}
	}
	return inState(s, record.Disconnected, record.Connected)
}

func updateToken(s *record.KeyStore, q *api.UpdateCustomKeyStoreRequest) error {
	if q.CloudHsmClusterId.Set {
		s.ClusterID = q.CloudHsmClusterId.V
	}
	if q.KeyStorePassword.Set {
		s.Password = q.KeyStorePassword.V
	}
	return nil
}

// updateProxy changes the proxy. A change of connectivity takes an endpoint with it, and private connectivity a service.
func updateProxy(s *record.KeyStore, q *api.UpdateCustomKeyStoreRequest) error {
	p := &s.Proxy
	changed := q.XksProxyConnectivity.Set && string(q.XksProxyConnectivity.V) != p.Connectivity
	if changed {
		if err := need(member{"xksProxyUriEndpoint", q.XksProxyUriEndpoint.Set}); err != nil {
			return err
		}
		p.Connectivity = string(q.XksProxyConnectivity.V)
	}
	service := []member{
		{"xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName.Set},
		{"xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner.Set},
	}
	if p.Connectivity == string(api.XksProxyConnectivityTypePublicEndpoint) {
		if err := forbid("public endpoint connectivity", service...); err != nil {
			return err
		}
		p.Service, p.ServiceOwner = "", ""
	} else if changed {
		if err := need(service[0]); err != nil {
			return err
		}
		p.ServiceOwner = s.Account
	}
	for _, f := range []struct {
		to   *string
		from api.Opt[string]
	}{
		{&p.URIEndpoint, q.XksProxyUriEndpoint}, {&p.URIPath, q.XksProxyUriPath},
		{&p.Service, q.XksProxyVpcEndpointServiceName}, {&p.ServiceOwner, q.XksProxyVpcEndpointServiceOwner},
	} {
		if f.from.Set {
			*f.to = f.from.V
		}
	}
	if c := q.XksProxyAuthenticationCredential; c != nil {
		p.AccessKeyID, p.SecretAccessKey = c.AccessKeyId.V, c.RawSecretAccessKey.V
	}
	return nil
}

// checkRelated refuses a cluster that is not known to hold the same keys: one whose trust anchor is not known to be the same.
func (k *KMS) checkRelated(ctx context.Context, s, next *record.KeyStore) error {
	anchor, err := k.config.KeyStores.Cluster(ctx, next.Owner, next.ClusterID)
	if err != nil {
		return managing(err)
	}
	if next.ClusterID != s.ClusterID && !bytes.Equal(certificate(anchor), certificate(s.TrustAnchor)) {
		return api.Errorf(api.CloudHsmClusterNotRelatedException, "Cluster %s is not related to cluster %s.", next.ClusterID, s.ClusterID)
	}
	return nil
}
