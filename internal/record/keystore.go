package record

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// KeyStoreType is a custom key store's type, by the API's name.
type KeyStoreType string

const (
	TokenStore    KeyStoreType = "AWS_CLOUDHSM"
	ExternalStore KeyStoreType = "EXTERNAL_KEY_STORE"
)

// Connection is a custom key store's connection state, by the API's name.
type Connection string

const (
	Connected    Connection = "CONNECTED"
	Connecting   Connection = "CONNECTING"
	Failed       Connection = "FAILED"
	Disconnected Connection = "DISCONNECTED"
)

// KeyStore is a custom key store.
type KeyStore struct {
	made       `json:",inline"`
	Owner      `json:",inline"`
	ID         string       `json:"id"`
	Name       string       `json:"name"`
	Type       KeyStoreType `json:"type"`
	Created    time.Time    `json:"created"`
	Connection Connection   `json:"connection"`
	Error      string       `json:"error,omitempty"` // with Failed: the API's ConnectionErrorCode
	Since      time.Time    `json:"since,omitzero"`  // when Connection became what it is
	Attempt    int          `json:"attempt,omitempty"`

	// Of a TokenStore.
	ClusterID   string `json:"clusterId,omitempty"`
	TrustAnchor string `json:"trustAnchor,omitempty"`
	Password    string `json:"password,omitempty"` // the token's PIN

	// Of an ExternalStore.
	Proxy Proxy `json:"proxy,omitzero"`
}

// Proxy is how an external key store's proxy is reached.
type Proxy struct {
	Connectivity    string `json:"connectivity,omitempty"`
	URIEndpoint     string `json:"uriEndpoint,omitempty"`
	URIPath         string `json:"uriPath,omitempty"`
	Service         string `json:"service,omitempty"`      // name of the VPC endpoint service
	ServiceOwner    string `json:"serviceOwner,omitempty"` // its account
	AccessKeyID     string `json:"accessKeyId,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
}

// String keeps PIN and secret out of whatever prints a KeyStore.
func (s *KeyStore) String() string { return "custom key store " + s.ID }

// GoString does the same for %#v.
func (s *KeyStore) GoString() string { return s.String() }

// String keeps the secret out of whatever prints a Proxy.
func (p Proxy) String() string { return "proxy " + p.URIEndpoint + p.URIPath }

// GoString does the same for %#v.
func (p Proxy) GoString() string { return p.String() }

// KeyStoresPrefix is where an account's custom key stores in a region stand; what follows is the ID. There are few.
func KeyStoresPrefix(o Owner) string { return o.path("s", "") }

// StoreKey implements Record.
func (s *KeyStore) StoreKey() string { return KeyStoresPrefix(s.Owner) + s.ID }

// Indexes implements Record: a key store that is connecting is the scheduler's to finish.
func (s *KeyStore) Indexes() []string {
	if s.Connection != Connecting {
		return nil
	}
	return []string{Due{At: s.Since, Kind: DueConnect, Owner: s.Owner, KeyID: s.ID}.IndexKey()}
}

// Counters implements Record: what no two custom key stores of an account and region share is counted, so that a counter's revision
// guards it.
func (s *KeyStore) Counters() []string {
	counters := []string{KeyStoreNameCounter(s.Owner, s.Name), KeyStoresCounter(s.Owner)}
	if s.ClusterID != "" {
		counters = append(counters, ClusterCounter(s.Owner, s.ClusterID))
	}
	if s.Proxy.URIEndpoint != "" {
		counters = append(counters, ProxyCounter(s.Owner, s.Proxy.URIEndpoint, s.Proxy.URIPath))
	}
	if s.Proxy.Service != "" {
		counters = append(counters, ProxyServiceCounter(s.Owner, s.Proxy.Service))
	}
	return counters
}

// KeyStoresCounter counts an account's custom key stores in a region.
func KeyStoresCounter(o Owner) string { return o.path("c/keystores", "") }

// KeyStoreKeysCounter counts the keys in a custom key store.
func KeyStoreKeysCounter(o Owner, id string) string { return o.path("c/keystorekeys", id) }

// KeyStoreNameCounter counts the custom key stores of a name: 0 or 1.
func KeyStoreNameCounter(o Owner, name string) string { return o.path("c/keystorename", hashed(name)) }

// ClusterCounter counts the custom key stores on a cluster: 0 or 1.
func ClusterCounter(o Owner, id string) string { return o.path("c/cluster", hashed(id)) }

// ProxyCounter counts the custom key stores on a proxy: 0 or 1.
func ProxyCounter(o Owner, endpoint, path string) string {
	return o.path("c/proxy", hashed(endpoint+" "+path))
}

// ProxyServiceCounter counts the custom key stores that use a VPC endpoint service.
func ProxyServiceCounter(o Owner, service string) string {
	return o.path("c/proxyservice", hashed(service))
}

// ExternalKeyCounter counts the keys of a custom key store that are backed by an external key: 0 or 1.
func ExternalKeyCounter(o Owner, keyStore, externalKey string) string {
	return o.path2("c/externalkey", keyStore, hashed(externalKey))
}

// hashed makes a store key's part of a name that may hold anything.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}
