package kms

import (
	"context"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// KeyStores reaches what custom key stores keep their keys in. What a store is, and whether it may be used now, is the record's to
// say; what is behind it is hostile, or gone, or slow. Every method that takes a context returns soon after it ends; errors are
// *StoreError, but for those of the context.
type KeyStores interface {
	// Cluster tells whether a cluster is there for an account and region, and returns the trust anchor, in PEM, that a custom key
	// store on it has to name; "" if any will do. It does not log in.
	Cluster(ctx context.Context, o record.Owner, clusterID string) (trustAnchor string, err error)
	// Token returns the token of a custom key store of type TokenStore. It does not reach out.
	Token(s *record.KeyStore) (Token, error)
	// Proxy returns the proxy of a custom key store of type ExternalStore, or of one that is yet to be made. It does not reach out.
	Proxy(s *record.KeyStore) (Proxy, error)
	// Release ends what there is of connections to a custom key store, and forgets its secrets.
	Release(ctx context.Context, s *record.KeyStore)
}

// Token is a PKCS #11 token, with the password of one custom key store. Whatever needs a login logs in by itself, but not again with
// a password that was refused: tokens lock.
type Token interface {
	// Login logs in anew, whatever has been refused before.
	Login(ctx context.Context) error
	// GenerateKey makes an AES-256 key that cannot leave the token.
	GenerateKey(ctx context.Context, name string) error
	// DestroyKey destroys a key. That there is none is FaultTokenKey.
	DestroyKey(ctx context.Context, name string) error
	// Encrypt encrypts with AES-256-GCM under a random IV of 12 bytes; the ciphertext ends with the tag, 16 bytes.
	Encrypt(ctx context.Context, name string, additionalData, plaintext []byte) (iv, ciphertext []byte, err error)
	// Decrypt is the reverse. What is not Encrypt's is keys.ErrCiphertext.
	Decrypt(ctx context.Context, name string, iv, additionalData, ciphertext []byte) ([]byte, error)
	// Random returns n bytes of the token's random number generator.
	Random(ctx context.Context, n int) ([]byte, error)
}

// Proxy is an external key store proxy, with the credential of one custom key store.
type Proxy interface {
	// Health returns nil if the proxy answers and something behind it serves.
	Health(ctx context.Context, c ProxyCall) error
	// Key describes an external key.
	Key(ctx context.Context, id string, c ProxyCall) (ExternalKey, error)
	// Encrypt encrypts under an external key and returns all that Decrypt needs, in one.
	Encrypt(ctx context.Context, id string, additionalData, plaintext []byte, c ProxyCall) ([]byte, error)
	// Decrypt is the reverse. What is not Encrypt's is FaultCiphertext.
	Decrypt(ctx context.Context, id string, additionalData, ciphertext []byte, c ProxyCall) ([]byte, error)
}

// ProxyCall tells a proxy which call it works for, for its own log and authorization.
type ProxyCall struct {
	Operation, RequestID string
	Principal, KeyARN    string // "" where there is none
}

// ExternalKey is what a proxy says of a key, in the words of the External Key Store Proxy API.
type ExternalKey struct {
	Spec, Status string
	Usage        []string
}

const (
	// storeTimeout bounds what one operation asks of a custom key store, on top of the bounds that a KeyStores has itself.
	storeTimeout = 10 * time.Second
	// keyStoresPerRegion is the quota of custom key stores in an account and region.
	keyStoresPerRegion = 10

	keyStoreIDPrefix = "cks-"
	keyStoreIDDigits = 17
)

// noKeyStores stands for a server that has nothing to put keys into.
type noKeyStores struct{}

func (noKeyStores) Cluster(context.Context, record.Owner, string) (string, error) {
	return "", &StoreError{Fault: FaultNoCluster}
}
func (noKeyStores) Token(*record.KeyStore) (Token, error) {
	return nil, &StoreError{Fault: FaultNoCluster}
}
func (noKeyStores) Proxy(*record.KeyStore) (Proxy, error) {
	return nil, &StoreError{Fault: FaultUnreachable}
}
func (noKeyStores) Release(context.Context, *record.KeyStore) {}

// keyStore returns a custom key store of the owner, or CustomKeyStoreNotFoundException.
func keyStore(tx *service.Tx, o record.Owner, id string) (*record.KeyStore, error) {
	if validKeyStoreID(id) {
		s, err := service.Lookup[*record.KeyStore](tx, record.KeyStoresPrefix(o)+id)
		if err != nil || s != nil {
			return s, err
		}
	}
	return nil, keyStoreNotFound(id)
}

func keyStoreNotFound(name string) error {
	return api.Errorf(api.CustomKeyStoreNotFoundException, "Custom key store '%s' does not exist", cut(name))
}

func validKeyStoreID(id string) bool {
	digits, ok := strings.CutPrefix(id, keyStoreIDPrefix)
	return ok && len(digits) == keyStoreIDDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// keyStores returns all custom key stores of an account and region; there are never many. Counter and revisions guard them: the
// commit succeeds only if none has come, gone or changed.
func keyStores(tx *service.Tx, o record.Owner) ([]*record.KeyStore, error) {
	if _, err := tx.Counter(record.KeyStoresCounter(o)); err != nil {
		return nil, err
	}
	prefix := record.KeyStoresPrefix(o)
	entries, err := tx.Scan(prefix, "", 2*keyStoresPerRegion)
	if err != nil {
		return nil, err
	}
	var all []*record.KeyStore
	for _, e := range entries {
		s, err := service.Lookup[*record.KeyStore](tx, e.Key)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// inState refuses what a custom key store cannot do in the connection state that it is in.
func inState(s *record.KeyStore, states ...record.Connection) error {
	for _, state := range states {
		if s.Connection == state {
			return nil
		}
	}
	return api.Errorf(api.CustomKeyStoreInvalidStateException, "Custom key store %s is %s, which is not valid for this operation.", s.ID, s.Connection)
}

// storeContext bounds what is asked of a custom key store.
func storeContext(tx *service.Tx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(tx.Context(), storeTimeout)
}

// lasting is storeContext for what is better brought to an end when the client hangs up, so that its outcome is known.
func lasting(tx *service.Tx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(tx.Context()), storeTimeout)
}

// proxyCall describes the call for a proxy.
func proxyCall(tx *service.Tx, operation, keyARN string) ProxyCall {
	return ProxyCall{Operation: operation, RequestID: tx.Call.RequestID, Principal: tx.Call.Caller.ARN, KeyARN: keyARN}
}
