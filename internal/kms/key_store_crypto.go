package kms

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	tokenIV  = 12
	tokenTag = 16
	// maxStoreData is the most bytes of additional data that every token and proxy takes.
	maxStoreData = 8192
)

// storeData is the additional data as tokens and proxies get it: what is too long for them as its SHA-256. The two cannot be mistaken
// for each other: additional data begins with the header of the ciphertext, which alone is longer than a hash.
func storeData(additionalData []byte) []byte {
	if len(additionalData) <= maxStoreData {
		return additionalData
	}
	sum := sha256.Sum256(additionalData)
	return sum[:]
}

// storeBody returns what seals and opens under a material of a key in a custom key store.
func (k *KMS) storeBody(tx *service.Tx, key *record.Key, m *record.Material) (keys.Body, keys.Algorithm, error) {
	s, err := keyStore(tx, key.Owner, key.KeyStore)
	if err != nil {
		return nil, 0, err
	}
	if m.Token {
		t, err := k.config.KeyStores.Token(s)
		if err != nil {
			return nil, 0, using(err)
		}
		return &tokenBody{k: k, tx: tx, key: key, m: m, token: t}, keys.Token, nil
	}
	aead := m.AEAD()
	if aead == nil || key.ExternalKey == "" {
		return nil, 0, errWrongMaterial(m.ID)
	}
	p, err := k.config.KeyStores.Proxy(s)
	if err != nil {
		return nil, 0, using(err)
	}
	return &externalBody{tx: tx, key: key, inner: aead, proxy: p}, keys.External, nil
}

// tokenBody is 12 bytes IV, ciphertext, 16 bytes tag, all of the token.
type tokenBody struct {
	k     *KMS
	tx    *service.Tx
	key   *record.Key
	m     *record.Material
	token Token
}

// Seal implements keys.Body.
func (b *tokenBody) Seal(dst, plaintext, additionalData []byte) ([]byte, error) {
	ctx, cancel := storeContext(b.tx)
	defer cancel()
	if err := b.k.takeMessage(ctx, b.tx.Now, b.key, b.m); err != nil {
		return nil, using(err)
	}
	iv, sealed, err := b.token.Encrypt(ctx, b.m.ID, storeData(additionalData), plaintext)
	if err == nil && (len(iv) != tokenIV || len(sealed) != len(plaintext)+tokenTag) {
		err = &StoreError{Fault: FaultTokenAnswer}
	}
	if err != nil {
		return nil, using(err)
	}
	return append(append(dst, iv...), sealed...), nil
}

// Open implements keys.Body.
func (b *tokenBody) Open(dst, body, additionalData []byte) ([]byte, error) {
	if len(body) < tokenIV+tokenTag {
		return nil, keys.ErrCiphertext
	}
	ctx, cancel := storeContext(b.tx)
	defer cancel()
	plaintext, err := b.token.Decrypt(ctx, b.m.ID, body[:tokenIV], storeData(additionalData), body[tokenIV:])
	if err == nil && len(plaintext) != len(body)-tokenIV-tokenTag {
		err = &StoreError{Fault: FaultTokenAnswer}
	}
	if err != nil {
		return nil, using(err)
	}
	return append(dst, plaintext...), nil
}

// externalBody is XAES-256-GCM under the service's own material, then encrypted by the external key: neither the external key manager
// nor this service can decrypt it alone.
type externalBody struct {
	tx    *service.Tx
	key   *record.Key
	inner keys.Body
	proxy Proxy
}

// Seal implements keys.Body.
func (b *externalBody) Seal(dst, plaintext, additionalData []byte) ([]byte, error) {
	inner, err := b.inner.Seal(nil, plaintext, additionalData)
	if err != nil {
		return nil, err
	}
	ctx, cancel := storeContext(b.tx)
	defer cancel()
	sealed, err := b.proxy.Encrypt(ctx, b.key.ExternalKey, storeData(additionalData), inner, proxyCall(b.tx, b.tx.Operation, b.key.ARN()))
	if err != nil {
		return nil, using(err)
	}
	return append(dst, sealed...), nil
}

// Open implements keys.Body.
func (b *externalBody) Open(dst, body, additionalData []byte) ([]byte, error) {
	ctx, cancel := storeContext(b.tx)
	defer cancel()
	inner, err := b.proxy.Decrypt(ctx, b.key.ExternalKey, storeData(additionalData), body, proxyCall(b.tx, b.tx.Operation, b.key.ARN()))
	if err != nil {
		return nil, using(err)
	}
	plaintext, err := b.inner.Open(dst, inner, additionalData)
	if err != nil {
		return nil, using(&StoreError{Fault: FaultInnerLayer, Err: err})
	}
	return plaintext, nil
}

// defaultTokenMessages and reservations: a token's key gets a successor after 2^31 messages; they are reserved 2^20 at a time.
const (
	defaultTokenMessages = 1 << 31
	reservations         = 1 << 11
)

// takeMessage takes one of the messages that a material in a token may still encrypt. Most often one is at hand; else more are
// reserved in the store first, so that no crash makes any count twice.
func (k *KMS) takeMessage(ctx context.Context, now time.Time, key *record.Key, m *record.Material) error {
	e := k.messages.entry(m.StoreKey())
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.turn }()
	if e.left == 0 {
		if k.pipeline == nil {
			return errNotAttached
		}
		r, err := k.pipeline.DoInternal(ctx, k.reserveMessages, key.Owner, now, 0, &reserveRequest{keyID: key.ID, materialID: m.ID})
		if err != nil {
			return err
		}
		if e.left = r.(*reserveResponse).messages; e.left == 0 {
			return &api.Error{Code: api.DependencyTimeoutException, Message: timedOut} // clients try again, with the key's new material
		}
	}
	e.left--
	return nil
}

var errNotAttached = errors.New("kms: keys in tokens need a pipeline")

type reserveRequest struct{ keyID, materialID string }

type reserveResponse struct{ messages int64 }

// reserveTokenMessages reserves messages of a material in a token. When it has had its share, the token makes another key, which
// becomes the current material: callers notice nothing, and what was encrypted is decrypted by the material that it names.
func (k *KMS) reserveTokenMessages() *service.Op {
	return service.Def[reserveRequest, reserveResponse]{
		Name: "ReserveMessages", Kind: service.Internal,
		Actions: []string{"kms:Encrypt"},
		Resolve: func(tx *service.Tx, q *reserveRequest) ([]service.Target, error) {
			t := service.Target{Action: "kms:Encrypt", Account: tx.Call.Caller.Account}
			err := lookupKey(tx, &t, callOwner(tx), q.keyID)
			return []service.Target{t}, err
		},
		Audit: func(q *reserveRequest, p *audit.Params) {
			p.Str("keyId", q.keyID)
			p.Str("keyMaterialId", q.materialID)
		},
		Result: func(r *reserveResponse, p *audit.Params) { p.Int("messages", r.messages) },
		Plan: func(tx *service.Tx, q *reserveRequest, targets []service.Target) (*reserveResponse, error) {
			key := targets[0].Key
			m, err := material(tx, key, q.materialID)
			if err != nil {
				return nil, err
			}
			limit := k.config.TokenMessages
			block := max(limit/reservations, 1)
			if m.Messages+block > 2*limit {
				if m.ID == key.Current { // the token may be able to by now
					if err := k.succeed(tx, key); err != nil {
						return nil, err
					}
				}
				if m.ID == key.Current {
					return nil, api.Errorf(api.KMSInvalidStateException, "The key material of %s in its CloudHSM cluster has encrypted as many messages as it may, and no other could be made.", key.ARN())
				}
				return &reserveResponse{}, nil // there is another to encrypt with
			}
			m.Messages += block
			tx.Put(m)
			if m.ID == key.Current && m.Messages >= limit {
				if err := k.succeed(tx, key); err != nil {
					return nil, err
				}
			}
			return &reserveResponse{messages: block}, nil
		},
	}.Op("kms")
}

// succeed makes the successor of a key's current material in its token. That the token cannot is recorded, and tried again with the
// next reservation: until twice the limit there is time.
func (k *KMS) succeed(tx *service.Tx, key *record.Key) error {
	s, err := keyStore(tx, key.Owner, key.KeyStore)
	if err != nil {
		return err
	}
	event := service.ServiceEvent(tx, "RenewTokenKey", key.Account, key.Region, key.ARN())
	d := &event.ServiceEventDetails
	d.Str("keyId", key.ID)
	d.Str("customKeyStoreId", s.ID)
	d.Str("clusterId", s.ClusterID)
	d.Str("previousKeyMaterialId", key.Current)
	id, err := k.newTokenKey(tx, s)
	if err != nil {
		event.ErrorCode = string(api.KMSInternalException)
		if e := (*api.Error)(nil); errors.As(creating(err), &e) {
			event.ErrorCode, event.ErrorMessage = string(e.Code), e.Message
		}
		tx.Event(event)
		return nil
	}
	if err := addTokenMaterial(tx, key, id, 0); err != nil {
		return err
	}
	tx.Put(key)
	d.Str("currentKeyMaterialId", id)
	tx.Event(event)
	return nil
}
