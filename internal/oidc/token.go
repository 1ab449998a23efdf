// Package oidc reads and verifies what bearers of OpenID Connect tokens bring: a JSON Web Token (RFC 7519), signed in the compact form of
// RFC 7515, with the claims that AWS STS looks at. It fetches nothing; package discovery finds the keys of providers.
//
// A token is hostile until its signature has been verified with a key that its issuer publishes. Keys that a token names or carries itself
// (jku, jwk, x5u, x5c) are not even read.
package oidc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Bounds of tokens.
const (
	MaxToken  = 20000 // characters: those of WebIdentityToken in the AWS Security Token Service API Reference
	maxHeader = 8192  // characters of the encoded header
	maxKeyID  = 256
)

// Errors of tokens.
var (
	// ErrMalformed: it is no signed token in the compact form, or it cannot be read without doubt.
	ErrMalformed = errors.New("oidc: malformed token")
	// ErrAlgorithm: it is signed by another algorithm than those of Algorithms.
	ErrAlgorithm = errors.New("oidc: signature algorithm not accepted")
	// ErrSignature: none of the keys has signed it.
	ErrSignature = errors.New("oidc: invalid signature")
)

// Algorithms are the signature algorithms that AWS takes ("Create an OpenID Connect (OIDC) identity provider in IAM", IAM User Guide).
func Algorithms() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return names
}

var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// Token is a token that has been read. Nothing of it is true before Verify says so.
type Token struct {
	Algorithm string
	KeyID     string // never empty
	Claims    Claims

	raw     string
	payload []byte
}

// String hides the token: whoever has it can use it.
func (t *Token) String() string { return "a token" }

// header is what counts of a token's header.
type header struct {
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid"`
	Critical  []string `json:"crit"`
}

// Parse reads a token. The error wraps ErrMalformed or ErrAlgorithm.
func Parse(raw string) (*Token, error) {
	head, rest, ok1 := strings.Cut(raw, ".")
	body, signature, ok2 := strings.Cut(rest, ".")
	if len(raw) > MaxToken || len(head) > maxHeader || !ok1 || !ok2 || strings.Contains(signature, ".") {
		return nil, ErrMalformed
	}
	var parts [3][]byte
	for i, part := range []string{head, body, signature} {
		var err error
		if parts[i], err = segment(part); err != nil {
			return nil, err
		}
	}
	var h header
	if err := json.Unmarshal(parts[0], &h); err != nil {
		return nil, fmt.Errorf("%w: header", ErrMalformed)
	}
	// What crit names would have to be understood, and nothing is.
	if h.KeyID == "" || len(h.KeyID) > maxKeyID || h.Critical != nil {
		return nil, fmt.Errorf("%w: header", ErrMalformed)
	}
	t := &Token{Algorithm: h.Algorithm, KeyID: h.KeyID, raw: raw, payload: parts[1]}
	if !accepted(h.Algorithm) {
		return nil, ErrAlgorithm
	}
	if err := t.Claims.parse(t.payload); err != nil {
		return nil, err
	}
	return t, nil
}

// segment decodes a part of a token. Line breaks, which decoding passes over, and bits after the end are refused: they would let one token
// be written in several ways.
func segment(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || strings.ContainsAny(s, "\r\n") {
		return nil, ErrMalformed
	}
	return b, nil
}

func accepted(algorithm string) bool {
	for _, a := range algorithms {
		if string(a) == algorithm {
			return true
		}
	}
	return false
}

// Verify returns nil if one of the keys has signed the token; otherwise ErrSignature. Keys for other algorithms than the token's are not
// tried, so a public key is never taken for the secret of a MAC.
func (t *Token) Verify(keys []Key) error {
	signed, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.Algorithm)})
	if err != nil {
		return ErrSignature
	}
	for i := range keys {
		if !keys[i].signs(t.Algorithm) {
			continue
		}
		payload, err := signed.Verify(keys[i].public)
		if err == nil && bytes.Equal(payload, t.payload) {
			return nil
		}
	}
	return ErrSignature
}
