package oidc

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of key sets. AWS takes 100 RSA and 100 elliptic curve keys ("Create an OpenID Connect (OIDC) identity provider in IAM").
const (
	MaxKeySet  = 512 << 10 // bytes
	maxOfAKind = 100
	minRSA     = 2048 // bits
	maxRSA     = 8192
	maxSkipped = 100 // keys of other kinds
)

// ErrKeySet: a JSON Web Key Set cannot be used.
var ErrKeySet = errors.New("oidc: unusable key set")

// Key is a public key of a provider.
type Key struct {
	algorithm string // the only one that it is for; "" for all of its kind
	public    any    // *rsa.PublicKey or *ecdsa.PublicKey
}

// KeySet are the keys of a provider by their IDs. Several may have the same.
type KeySet map[string][]Key

// ParseKeySet reads a JSON Web Key Set (RFC 7517). Keys that nothing here could be verified with are left out: of other kinds or sizes, for
// encryption, without an ID. The error wraps ErrKeySet; a set with none left is one.
func ParseKeySet(text []byte) (KeySet, error) {
	if len(text) > MaxKeySet {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrKeySet, MaxKeySet)
	}
	var document struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON object with keys", ErrKeySet)
	}
	if len(document.Keys) > 2*maxOfAKind+maxSkipped {
		return nil, fmt.Errorf("%w: it has %d keys", ErrKeySet, len(document.Keys))
	}
	set := make(KeySet)
	var rsaKeys, ecKeys int
	for _, raw := range document.Keys {
		id, key, ok := parseKey(raw)
		if !ok {
			continue
		}
		if _, isRSA := key.public.(*rsa.PublicKey); isRSA {
			rsaKeys++
		} else {
			ecKeys++
		}
		set[id] = append(set[id], key)
	}
	if rsaKeys > maxOfAKind || ecKeys > maxOfAKind {
		return nil, fmt.Errorf("%w: it has more than %d keys of a kind", ErrKeySet, maxOfAKind)
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: it has no key with an ID that signatures can be verified with", ErrKeySet)
	}
	return set, nil
}

// keyMembers are the members of a JSON Web Key that make a public key. Whatever else a key carries, certificates among it, is not looked at.
type keyMembers struct {
	Kind  string `json:"kty"`
	N     string `json:"n,omitempty"`
	E     string `json:"e,omitempty"`
	Curve string `json:"crv,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
}

func parseKey(raw jsontext.Value) (id string, key Key, ok bool) {
	var about struct {
		ID        string `json:"kid"`
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
	}
	var members keyMembers
	if json.Unmarshal(raw, &about) != nil || json.Unmarshal(raw, &members) != nil {
		return "", Key{}, false
	}
	if about.ID == "" || len(about.ID) > maxKeyID || about.Use != "" && about.Use != "sig" {
		return "", Key{}, false
	}
	text, err := json.Marshal(members)
	if err != nil {
		return "", Key{}, false
	}
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(text) != nil {
		return "", Key{}, false
	}
	switch public := jwk.Key.(type) {
	case *rsa.PublicKey:
		if n := public.N.BitLen(); n < minRSA || n > maxRSA {
			return "", Key{}, false
		}
	case *ecdsa.PublicKey:
	default:
		return "", Key{}, false
	}
	return about.ID, Key{algorithm: about.Algorithm, public: jwk.Key}, true
}

// signs tells whether a key is one for an algorithm.
func (k *Key) signs(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS")
	case *ecdsa.PublicKey:
		return algorithm == curveAlgorithms[public.Curve.Params().Name]
	}
	return false
}

// curveAlgorithms are the algorithms of curves: one each (RFC 7518, section 3.4).
var curveAlgorithms = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
