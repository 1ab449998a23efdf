package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) createCustomKeyStore() *service.Op {
	return service.Def[api.CreateCustomKeyStoreRequest, api.CreateCustomKeyStoreResponse]{
		Name: "CreateCustomKeyStore", Kind: service.Change,
		Actions: []string{"kms:CreateCustomKeyStore"},
		Audit: func(q *api.CreateCustomKeyStoreRequest, p *audit.Params) {
			str(p, "customKeyStoreName", q.CustomKeyStoreName)
			str(p, "customKeyStoreType", q.CustomKeyStoreType)
			str(p, "cloudHsmClusterId", q.CloudHsmClusterId)
			str(p, "xksProxyConnectivity", q.XksProxyConnectivity)
			str(p, "xksProxyUriEndpoint", q.XksProxyUriEndpoint)
			str(p, "xksProxyUriPath", q.XksProxyUriPath)
			str(p, "xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName)
			str(p, "xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner)
		},
		Result: func(r *api.CreateCustomKeyStoreResponse, p *audit.Params) {
			str(p, "customKeyStoreId", r.CustomKeyStoreId)
		},
		Plan: k.planCreateCustomKeyStore,
	}.Op("kms")
}

func (k *KMS) planCreateCustomKeyStore(tx *service.Tx, q *api.CreateCustomKeyStoreRequest, _ []service.Target) (*api.CreateCustomKeyStoreResponse, error) {
	s, err := requestedKeyStore(tx, q)
	if err != nil {
		return nil, err
	}
	others, err := keyStores(tx, s.Owner)
	if err != nil {
		return nil, err
	}
	if err := inUse(s, others); err != nil {
		return nil, err
	}
	if len(others) >= keyStoresPerRegion {
		return nil, api.Errorf(api.LimitExceededException, "The account has reached its quota of %d custom key stores in %s.", keyStoresPerRegion, s.Region)
	}
	if s.ID, err = service.Once(tx, "keyStoreID", newKeyStoreID); err != nil {
		return nil, err
	}
	_, err = service.Once(tx, "reached", func() (bool, error) {
		ctx, cancel := storeContext(tx)
		defer cancel()
		if s.Type == record.TokenStore {
			return true, k.checkCluster(ctx, s)
		}
		// Private connectivity is tested when it is connected, as in AWS; that there is such a service, now.
		return true, k.checkProxy(ctx, tx, s, "CreateCustomKeyStore", s.Proxy.Service == "")
	})
	if err != nil {
		return nil, err
	}
	if _, err := service.Lookup[*record.KeyStore](tx, s.StoreKey()); err != nil {
		return nil, err
	}
	tx.Put(s)
	return &api.CreateCustomKeyStoreResponse{CustomKeyStoreId: api.Some(s.ID)}, nil
}

func newKeyStoreID() (string, error) {
	b := make([]byte, (keyStoreIDDigits+1)/2)
	rand.Read(b)
	return keyStoreIDPrefix + hex.EncodeToString(b)[:keyStoreIDDigits], nil
}

// member is one that a type of custom key store needs, or must not have.
type member struct {
	name string
	set  bool
}

func need(members ...member) error {
	for _, m := range members {
		if !m.set {
			return missingMember(m.name)
		}
	}
	return nil
}

func forbid(what string, members ...member) error {
	for _, m := range members {
		if m.set {
			return api.Errorf(api.ValidationException, "%s is not valid for %s.", strings.ToUpper(m.name[:1])+m.name[1:], what)
		}
	}
	return nil
}

// requestedKeyStore makes the custom key store that a request describes, but for its ID.
func requestedKeyStore(tx *service.Tx, q *api.CreateCustomKeyStoreRequest) (*record.KeyStore, error) {
	s := &record.KeyStore{
		Owner: callOwner(tx), Name: q.CustomKeyStoreName.V, Type: record.TokenStore, Created: tx.Now, Connection: record.Disconnected, Since: tx.Now,
	}
	if q.CustomKeyStoreType.Set {
		s.Type = record.KeyStoreType(q.CustomKeyStoreType.V)
	}
	ofToken := []member{
		{"cloudHsmClusterId", q.CloudHsmClusterId.Set}, {"keyStorePassword", q.KeyStorePassword.Set},
		{"trustAnchorCertificate", q.TrustAnchorCertificate.Set},
	}
	ofProxy := []member{
		{"xksProxyConnectivity", q.XksProxyConnectivity.Set}, {"xksProxyAuthenticationCredential", q.XksProxyAuthenticationCredential != nil},
		{"xksProxyUriEndpoint", q.XksProxyUriEndpoint.Set}, {"xksProxyUriPath", q.XksProxyUriPath.Set},
	}
	ofService := []member{
		{"xksProxyVpcEndpointServiceName", q.XksProxyVpcEndpointServiceName.Set},
		{"xksProxyVpcEndpointServiceOwner", q.XksProxyVpcEndpointServiceOwner.Set},
	}
	what := "a custom key store of type " + string(s.Type)
	if s.Type == record.TokenStore {
		s.ClusterID, s.Password, s.TrustAnchor = q.CloudHsmClusterId.V, q.KeyStorePassword.V, q.TrustAnchorCertificate.V
		return s, errors.Join(need(ofToken...), forbid(what, ofProxy...), forbid(what, ofService...))
	}
	if err := errors.Join(need(ofProxy...), forbid(what, ofToken...)); err != nil {
		return nil, err
	}
	s.Proxy = record.Proxy{
		Connectivity: string(q.XksProxyConnectivity.V), URIEndpoint: q.XksProxyUriEndpoint.V, URIPath: q.XksProxyUriPath.V,
		AccessKeyID: q.XksProxyAuthenticationCredential.AccessKeyId.V, SecretAccessKey: q.XksProxyAuthenticationCredential.RawSecretAccessKey.V,
	}
	if q.XksProxyConnectivity.V == api.XksProxyConnectivityTypePublicEndpoint {
		return s, forbid("public endpoint connectivity", ofService...)
	}
	s.Proxy.Service, s.Proxy.ServiceOwner = q.XksProxyVpcEndpointServiceName.V, s.Account
	if q.XksProxyVpcEndpointServiceOwner.Set {
		s.Proxy.ServiceOwner = q.XksProxyVpcEndpointServiceOwner.V
	}
	return s, need(ofService[0])
}

// inUse refuses a custom key store that is to be, or to be changed so, if another of the account and region has what must be its own.
func inUse(s *record.KeyStore, others []*record.KeyStore) error {
	for _, o := range others {
		if o.ID == s.ID {
			continue
		}
		if o.Name == s.Name {
			return api.Errorf(api.CustomKeyStoreNameInUseException, "Custom key store name %s is already in use.", cut(s.Name))
		}
		if o.Type != s.Type {
			continue
		}
		if s.Type == record.TokenStore {
			if o.ClusterID == s.ClusterID {
				return api.Errorf(api.CloudHsmClusterInUseException, "Cluster %s is already associated with a custom key store.", s.ClusterID)
			}
			continue
		}
		sameEndpoint := endpointName(o.Proxy.URIEndpoint) == endpointName(s.Proxy.URIEndpoint)
		switch {
		case s.Proxy.Service != "" && o.Proxy.Service == s.Proxy.Service:
			return api.Errorf(api.XksProxyVpcEndpointServiceInUseException, "VPC endpoint service %s is already associated with an external key store.", s.Proxy.Service)
		case sameEndpoint && o.Proxy.URIPath == s.Proxy.URIPath:
			return api.Errorf(api.XksProxyUriInUseException, "%s%s is already associated with an external key store.", s.Proxy.URIEndpoint, s.Proxy.URIPath)
		case sameEndpoint && (o.Proxy.Service != "" || s.Proxy.Service != ""):
			// One endpoint with several paths is for public connectivity only: a private DNS name belongs to one store.
			return api.Errorf(api.XksProxyUriEndpointInUseException, "%s is already associated with an external key store.", s.Proxy.URIEndpoint)
		}
	}
	return nil
}

// endpointName is an endpoint as it is compared: host names know neither case nor a dot at their end.
func endpointName(endpoint string) string { return strings.TrimSuffix(strings.ToLower(endpoint), ".") }

// checkCluster refuses a cluster that is not there, does not work, or whose trust anchor the custom key store does not name.
func (k *KMS) checkCluster(ctx context.Context, s *record.KeyStore) error {
	anchor, err := k.config.KeyStores.Cluster(ctx, s.Owner, s.ClusterID)
	if err != nil {
		return managing(err)
	}
	if given := certificate(s.TrustAnchor); given == nil || anchor != "" && !bytes.Equal(given, certificate(anchor)) {
		return api.Errorf(api.IncorrectTrustAnchorException, "The trust anchor certificate is not that of cluster %s.", s.ClusterID)
	}
	return nil
}

// certificate returns the first certificate of a PEM text, in DER; nil if there is none.
func certificate(text string) []byte {
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return nil
		}
		if b.Type == "CERTIFICATE" {
			return b.Bytes
		}
	}
}

// checkProxy refuses an external key store whose proxy cannot be; with reach, also one that does not answer well.
func (k *KMS) checkProxy(ctx context.Context, tx *service.Tx, s *record.KeyStore, operation string, reach bool) error {
	p, err := k.config.KeyStores.Proxy(s)
	if err == nil && reach {
		err = p.Health(ctx, proxyCall(tx, operation, ""))
	}
	return managing(err)
}

func (k *KMS) deleteCustomKeyStore() *service.Op {
	return service.Def[api.DeleteCustomKeyStoreRequest, api.DeleteCustomKeyStoreResponse]{
		Name: "DeleteCustomKeyStore", Kind: service.Change,
		Actions: []string{"kms:DeleteCustomKeyStore"},
		Audit: func(q *api.DeleteCustomKeyStoreRequest, p *audit.Params) {
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
		},
		Plan: func(tx *service.Tx, q *api.DeleteCustomKeyStoreRequest, _ []service.Target) (*api.DeleteCustomKeyStoreResponse, error) {
			s, err := keyStore(tx, callOwner(tx), q.CustomKeyStoreId.V)
			if err != nil {
				return nil, err
			}
			if err := inState(s, record.Disconnected); err != nil {
				return nil, err
			}
			n, err := tx.Counter(record.KeyStoreKeysCounter(s.Owner, s.ID))
			if err != nil {
				return nil, err
			}
			if n > 0 {
				return nil, api.Errorf(api.CustomKeyStoreHasCMKsException, "Custom key store %s contains %d KMS keys.", s.ID, n)
			}
			tx.Delete(s)
			k.releaseAfter(tx, s)
			return &api.DeleteCustomKeyStoreResponse{}, nil
		},
	}.Op("kms")
}
