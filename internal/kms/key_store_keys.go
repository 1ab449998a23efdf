package kms

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// originOf is the origin of the keys in a type of custom key store.
var originOf = map[record.KeyStoreType]record.Origin{
	record.TokenStore: record.OriginToken, record.ExternalStore: record.OriginExternal,
}

// putInKeyStore makes a key in a custom key store. A token makes the material; what is made and not committed after all stays there,
// of use to nobody. For an external store the material is made here, and what it encrypts is encrypted by the external key again.
func (k *KMS) putInKeyStore(tx *service.Tx, key *record.Key) error {
	s, err := keyStore(tx, key.Owner, key.KeyStore)
	if err != nil {
		return err
	}
	if originOf[s.Type] != key.Origin {
		return api.Errorf(api.ValidationException, "Origin %s is not valid for custom key store %s of type %s.", key.Origin, s.ID, s.Type)
	}
	if err := inState(s, record.Connected); err != nil {
		return err
	}
	if s.Type == record.TokenStore {
		return k.putInToken(tx, s, key)
	}
	n, err := tx.Counter(record.ExternalKeyCounter(key.Owner, s.ID, key.ExternalKey))
	if err != nil {
		return err
	}
	if n > 0 {
		return api.Errorf(api.XksKeyAlreadyInUseException, "External key %s is already associated with a KMS key in this external key store.", key.ExternalKey)
	}
	_, err = service.Once(tx, "externalKey", func() (bool, error) { return true, k.checkExternalKey(tx, s, key) })
	if err != nil {
		return err
	}
	return putNewKey(tx, key)
}

// checkExternalKey refuses an external key that does not do what one must.
func (k *KMS) checkExternalKey(tx *service.Tx, s *record.KeyStore, key *record.Key) error {
	p, err := k.config.KeyStores.Proxy(s)
	if err != nil {
		return creating(err)
	}
	ctx, cancel := storeContext(tx)
	defer cancel()
	external, err := p.Key(ctx, key.ExternalKey, proxyCall(tx, "CreateKey", key.ARN()))
	if err != nil {
		return creating(err)
	}
	switch {
	case external.Spec != "AES_256":
		return api.Errorf(api.XksKeyInvalidConfigurationException,
			"The key spec of the external key must be AES_256. The key spec of specified external key is %s.", cut(external.Spec))
	case external.Status != "ENABLED":
		return api.Errorf(api.XksKeyInvalidConfigurationException,
			"The status of the external key must be ENABLED. The status of specified external key is %s.", cut(external.Status))
	case !slices.Contains(external.Usage, "ENCRYPT") || !slices.Contains(external.Usage, "DECRYPT"):
		return api.Errorf(api.XksKeyInvalidConfigurationException,
			"The key usage of the external key must include ENCRYPT and DECRYPT. The key usage of specified external key is %s.", cut(strings.Join(external.Usage, ", ")))
	}
	return nil
}

func (k *KMS) putInToken(tx *service.Tx, s *record.KeyStore, key *record.Key) error {
	if _, err := service.Lookup[*record.Key](tx, key.StoreKey()); err != nil {
		return err
	}
	id, err := k.newTokenKey(tx, s)
	if err != nil {
		return creating(err)
	}
	if err := addTokenMaterial(tx, key, id, 0); err != nil {
		return err
	}
	tx.Put(key)
	return nil
}

// newTokenKey makes a key in a token, under a random material ID, which it returns.
func (k *KMS) newTokenKey(tx *service.Tx, s *record.KeyStore) (string, error) {
	return service.Once(tx, "tokenKey", func() (string, error) {
		if k.pipeline != nil { // a key that cannot be committed is never found again
			if err := k.pipeline.Writable(); err != nil {
				return "", err
			}
		}
		t, err := k.config.KeyStores.Token(s)
		if err != nil {
			return "", err
		}
		ctx, cancel := lasting(tx)
		defer cancel()
		id := keys.NewRandomMaterialID().String()
		return id, t.GenerateKey(ctx, id)
	})
}

// addTokenMaterial makes a token's key the current material of a key, which is changed, and yet to be put.
func addTokenMaterial(tx *service.Tx, key *record.Key, id string, messages int64) error {
	m := &record.Material{
		Owner: key.MaterialOwner(), KeyID: key.ID, ID: id, Seq: key.Materials, Created: tx.Now, Token: true, Messages: messages,
	}
	if err := putMaterial(tx, m); err != nil {
		return err
	}
	key.Current, key.CurrentSince = id, tx.Now
	key.Materials++
	return nil
}

// mostTokenKeys bounds how many materials of a deleted key are looked for in its token. A key has one for each 2^31 messages.
const mostTokenKeys = 100

// leaveKeyStore has a key's materials destroyed in the token after the key is deleted, if the custom key store is connected. The event
// tells which they were, so that what is left behind can be found.
func (k *KMS) leaveKeyStore(tx *service.Tx, key *record.Key, event *audit.Record) error {
	if key.Origin != record.OriginToken {
		return nil // an external key is not the service's to delete
	}
	s, err := service.Lookup[*record.KeyStore](tx, record.KeyStoresPrefix(key.Owner)+key.KeyStore)
	if err != nil || s == nil {
		return err
	}
	prefix := record.MaterialsPrefix(key.MaterialOwner(), key.ID)
	entries, err := tx.Scan(prefix, "", mostTokenKeys)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		_, id, _ := strings.Cut(strings.TrimPrefix(e.Key, prefix), "/")
		names = append(names, id)
	}
	event.ServiceEventDetails.Str("customKeyStoreId", s.ID)
	event.ServiceEventDetails.Str("clusterId", s.ClusterID)
	event.ServiceEventDetails.StrList("backingKeys", names)
	q := &tokenKeysRequest{store: s, keyID: key.ID, names: names}
	for _, name := range names {
		storeKey := record.MaterialStoreKey(key.MaterialOwner(), key.ID, name)
		tx.AfterCommit(func() { k.messages.forget(storeKey) })
	}
	if s.Connection == record.Connected && k.pipeline != nil {
		tx.AfterCommit(func() {
			// Its own record says how it went; the key is gone whether or not.
			_, _ = k.pipeline.DoInternal(context.WithoutCancel(tx.Context()), k.destroyTokenKeys, key.Owner, tx.Now, 0, q)
		})
	}
	return nil
}

type tokenKeysRequest struct {
	store *record.KeyStore
	keyID string
	names []string
}

type tokenKeysResponse struct{ status []string } // of names: SUCCESS or FAILURE

// destroyKeys destroys what a deleted key has left in a token, once, and records what became of each.
func (k *KMS) destroyKeys() *service.Op {
	show := func(q *tokenKeysRequest, p *audit.Params) {
		p.Str("keyId", q.keyID)
		p.Str("customKeyStoreId", q.store.ID)
		p.Str("clusterId", q.store.ClusterID)
		p.StrList("backingKeys", q.names)
	}
	return service.Def[tokenKeysRequest, tokenKeysResponse]{
		Name: "DeleteBackingKeys", Kind: service.Internal,
		Actions: []string{"kms:DeleteKey"},
		Audit:   show,
		Plan: func(tx *service.Tx, q *tokenKeysRequest, _ []service.Target) (*tokenKeysResponse, error) {
			ctx, cancel := lasting(tx)
			defer cancel()
			r := &tokenKeysResponse{}
			t, err := k.config.KeyStores.Token(q.store)
			for _, name := range q.names {
				if err == nil {
					destroyed := t.DestroyKey(ctx, name)
					if e := (*StoreError)(nil); destroyed == nil || errors.As(destroyed, &e) && e.Fault == FaultTokenKey {
						r.status = append(r.status, "SUCCESS")
						continue
					}
				}
				r.status = append(r.status, "FAILURE")
			}
			event := service.ServiceEvent(tx, "DeleteBackingKeys", q.store.Account, q.store.Region, "")
			event.Resources = nil // they have no ARN
			show(q, &event.RequestParameters)
			event.ResponseElements.StrList("backingKeysDeletionStatus", r.status)
			tx.Event(event)
			return r, nil
		},
	}.Op("kms")
}

// tokenRandom draws random bytes in a custom key store.
func (k *KMS) tokenRandom(tx *service.Tx, id string, n int) ([]byte, error) {
	s, err := keyStore(tx, callOwner(tx), id)
	if err != nil {
		return nil, err
	}
	if s.Type != record.TokenStore {
		return nil, api.Errorf(api.UnsupportedOperationException, "Custom key store %s is of type %s, which is not valid for this operation.", s.ID, s.Type)
	}
	if err := inState(s, record.Connected); err != nil {
		return nil, err
	}
	t, err := k.config.KeyStores.Token(s)
	if err != nil {
		return nil, creating(err)
	}
	ctx, cancel := storeContext(tx)
	defer cancel()
	b, err := t.Random(ctx, n)
	if err == nil && len(b) != n {
		err = &StoreError{Fault: FaultTokenAnswer}
	}
	return b, creating(err)
}
