package kms

import (
	"context"
	"errors"
	"strconv"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// connectCustomKeyStore makes a custom key store connect; ConnectKeyStore, which the scheduler runs, does it.
func (k *KMS) connectCustomKeyStore() *service.Op {
	return service.Def[api.ConnectCustomKeyStoreRequest, api.ConnectCustomKeyStoreResponse]{
		Name: "ConnectCustomKeyStore", Kind: service.Change,
		Actions: []string{"kms:ConnectCustomKeyStore"},
		Audit: func(q *api.ConnectCustomKeyStoreRequest, p *audit.Params) {
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
		},
		Plan: func(tx *service.Tx, q *api.ConnectCustomKeyStoreRequest, _ []service.Target) (*api.ConnectCustomKeyStoreResponse, error) {
			s, err := keyStore(tx, callOwner(tx), q.CustomKeyStoreId.V)
			if err != nil {
				return nil, err
			}
			if err := inState(s, record.Disconnected, record.Connecting, record.Connected); err != nil {
				return nil, err
			}
			if s.Connection != record.Disconnected {
				return &api.ConnectCustomKeyStoreResponse{}, nil
			}
			if err := k.activeCluster(tx, s); err != nil {
				return nil, err
			}
			s.Connection, s.Error, s.Since = record.Connecting, "", tx.Now
			s.Attempt++
			tx.Put(s)
			return &api.ConnectCustomKeyStoreResponse{}, nil
		},
	}.Op("kms")
}

// activeCluster refuses to begin with a token that does not work. That a cluster is not known is told by the connection state, as
// everything else.
func (k *KMS) activeCluster(tx *service.Tx, s *record.KeyStore) error {
	if s.Type != record.TokenStore {
		return nil
	}
	_, err := service.Once(tx, "active", func() (bool, error) {
		ctx, cancel := storeContext(tx)
		defer cancel()
		_, err := k.config.KeyStores.Cluster(ctx, s.Owner, s.ClusterID)
		if e := (*StoreError)(nil); errors.As(err, &e) && (e.Fault == FaultInactive || e.Fault == FaultModule) {
			return false, managing(err)
		}
		return true, nil
	})
	return err
}

func (k *KMS) disconnectCustomKeyStore() *service.Op {
	return service.Def[api.DisconnectCustomKeyStoreRequest, api.DisconnectCustomKeyStoreResponse]{
		Name: "DisconnectCustomKeyStore", Kind: service.Change,
		Actions: []string{"kms:DisconnectCustomKeyStore"},
		Audit: func(q *api.DisconnectCustomKeyStoreRequest, p *audit.Params) {
			str(p, "customKeyStoreId", q.CustomKeyStoreId)
		},
		Plan: func(tx *service.Tx, q *api.DisconnectCustomKeyStoreRequest, _ []service.Target) (*api.DisconnectCustomKeyStoreResponse, error) {
			s, err := keyStore(tx, callOwner(tx), q.CustomKeyStoreId.V)
			if err != nil {
				return nil, err
			}
			if err := inState(s, record.Connected, record.Connecting, record.Failed); err != nil {
				return nil, err
			}
			s.Connection, s.Error, s.Since = record.Disconnected, "", tx.Now
			tx.Put(s)
			k.releaseAfter(tx, s)
			return &api.DisconnectCustomKeyStoreResponse{}, nil
		},
	}.Op("kms")
}

// releaseAfter has a custom key store released once the commit has succeeded.
func (k *KMS) releaseAfter(tx *service.Tx, s *record.KeyStore) {
	tx.AfterCommit(func() {
		ctx, cancel := lasting(tx)
		defer cancel()
		k.config.KeyStores.Release(ctx, s)
	})
}

// connectKeyStore is run by the scheduler for every custom key store that is connecting. It reaches out, in bounded time, and commits
// how that went. Outcomes of an attempt that was given up meanwhile are dropped.
func (k *KMS) connectKeyStore() *service.Op {
	return service.Def[DueRequest, DueResponse]{
		Name: "ConnectKeyStore", Kind: service.Internal,
		Actions: []string{"kms:ConnectCustomKeyStore"},
		Audit:   func(q *DueRequest, p *audit.Params) { p.Str("customKeyStoreId", q.KeyID) },
		Plan: func(tx *service.Tx, q *DueRequest, _ []service.Target) (*DueResponse, error) {
			s, err := service.Lookup[*record.KeyStore](tx, record.KeyStoresPrefix(q.Owner)+q.KeyID)
			if err != nil || s == nil {
				return &DueResponse{}, err
			}
			if s.Connection != record.Connecting {
				if s.Connection == record.Disconnected {
					ctx, cancel := lasting(tx)
					defer cancel()
					k.config.KeyStores.Release(ctx, s) // what an attempt in this call has opened
				}
				return &DueResponse{}, nil
			}
			code, err := service.Once(tx, "attempt "+strconv.Itoa(s.Attempt), func() (api.ConnectionErrorCodeType, error) {
				ctx, cancel := storeContext(tx)
				defer cancel()
				err := k.connect(ctx, tx, s)
				if err == nil {
					return "", nil
				}
				if tx.Context().Err() != nil {
					return "", err // the server is ending: that says nothing of the key store
				}
				return connectionError(err), nil
			})
			if err != nil {
				return nil, err
			}
			s.Connection, s.Error, s.Since = record.Connected, string(code), tx.Now
			if code != "" {
				s.Connection = record.Failed
			}
			tx.Put(s)
			event := storeEvent(tx, "ConnectKeyStore", s)
			event.ServiceEventDetails.Str("connectionState", string(s.Connection))
			if code != "" {
				event.ServiceEventDetails.Str("connectionErrorCode", s.Error)
			}
			tx.Event(event)
			return &DueResponse{Done: true}, nil
		},
	}.Op("kms")
}

// storeEvent returns the record of something the service did to a custom key store by itself.
func storeEvent(tx *service.Tx, name string, s *record.KeyStore) *audit.Record {
	event := service.ServiceEvent(tx, name, s.Account, s.Region, "")
	event.Resources = nil // they have no ARN
	event.ServiceEventDetails.Str("customKeyStoreId", s.ID)
	if s.ClusterID != "" {
		event.ServiceEventDetails.Str("clusterId", s.ClusterID)
	}
	return event
}

func (k *KMS) connect(ctx context.Context, tx *service.Tx, s *record.KeyStore) error {
	if s.Type == record.TokenStore {
		t, err := k.config.KeyStores.Token(s)
		if err != nil {
			return err
		}
		return t.Login(ctx)
	}
	p, err := k.config.KeyStores.Proxy(s)
	if err != nil {
		return err
	}
	return p.Health(ctx, proxyCall(tx, "ConnectCustomKeyStore", ""))
}
