// Package sigv4 verifies AWS Signature Version 4, in an Authorization header or in the query of a presigned URL. It is pure: it
// does no I/O, takes the time and the credential lookup as parameters, and knows HTTP only as the parts of an Input.
//
// It follows "AWS Signature Version 4 for API requests" in the IAM user guide, for the services that normalise and doubly encode
// the path (all but S3) and always hash the body. Where that leaves a choice it takes the narrower one: a request that signers
// do not produce is refused, not interpreted.
package sigv4

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Defaults and caps of Config.
const (
	DefaultMaxSkew   = 5 * time.Minute    // as AWS
	DefaultCacheSize = 1024               // derived signing keys
	MaxExpires       = 7 * 24 * time.Hour // 604800 s, the longest validity AWS gives a presigned request
)

// Input is a request as it was received. Verify reads it and keeps no part of it but substrings in the Identity it returns.
type Input struct {
	Method   string
	Path     string      // escaped as received; "" stands for "/"
	RawQuery string      // without the "?"
	Host     string      // the Host header or the :authority pseudo-header
	Header   http.Header // keys in canonical form; a Host entry is not looked at
	Body     []byte      // the whole body
}

// Credential is what a lookup knows about an access key. It never prints its secrets.
type Credential struct {
	SecretAccessKey string
	SessionToken    string // "" for a long-term key
	Subject         any    // opaque here, handed back in Identity
}

const redacted = "sigv4.Credential(redacted)"

// Format hides the secrets from every verb of fmt.
func (Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String hides the secrets.
func (Credential) String() string { return redacted }

// GoString hides the secrets from %#v.
func (Credential) GoString() string { return redacted }

// LogValue hides the secrets from slog.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the secrets from text and JSON encoders.
func (Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Identity is who signed a verified request, and for what scope.
type Identity struct {
	AccessKeyID string
	Region      string
	Service     string
	Subject     any  // from the Credential
	Presigned   bool // the signature was in the query
}

// Config is what a Verifier is made of. What is left out refuses: without Lookup no key is known, without Region no region is
// valid, without Services no service is.
type Config struct {
	// Lookup finds a credential. It gets unverified bytes: 1 to 128 printable ASCII characters without a slash, and the session token as it
	// was sent, "" for none. It returns ErrUnknownAccessKey or ErrExpiredToken for what those say; any other error is an internal failure
	// and comes back wrapped.
	Lookup func(ctx context.Context, accessKeyID, sessionToken string) (Credential, error)
	// Services are the service names that a scope may have.
	Services []string
	// Region reports whether the scope of a service, one of Services, may name this region.
	Region func(service, region string) bool
	// MaxSkew bounds the difference between the request's date and now, either way. Default DefaultMaxSkew.
	MaxSkew time.Duration
	// MaxExpires bounds X-Amz-Expires of presigned requests. Default and cap: the constant MaxExpires.
	MaxExpires time.Duration
	// CacheSize is how many derived signing keys to keep. Default DefaultCacheSize.
	CacheSize int
}

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	keys    *keyCache
	scratch sync.Pool // of *scratch
}

// New returns a Verifier for cfg.
func New(cfg Config) *Verifier {
	if cfg.MaxSkew <= 0 {
		cfg.MaxSkew = DefaultMaxSkew
	}
	if cfg.MaxExpires <= 0 || cfg.MaxExpires > MaxExpires {
		cfg.MaxExpires = MaxExpires
	}
	if cfg.CacheSize <= 0 {
		cfg.CacheSize = DefaultCacheSize
	}
	cfg.Services = slices.Clone(cfg.Services)
	return &Verifier{
		cfg:     cfg,
		keys:    newKeyCache(cfg.CacheSize),
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
}

// dummySecret stands in for the secret of an unknown access key, so that it costs the same work. Its result is never used.
const dummySecret = "0000000000000000000000000000000000000000"

// Verify returns who signed in, if the signature is right at now (real time, not a service's shifted time). The scope's service
// must be the given one, or any of Config.Services if service is "". The error is an *Error for everything that is the client's
// fault and has to be answered as such; anything else is an internal failure.
func (v *Verifier) Verify(ctx context.Context, in *Input, now time.Time, service string) (*Identity, error) {
	s := v.scratch.Get().(*scratch)
	defer func() {
		s.reset()
		v.scratch.Put(s)
	}()

	if err := s.parse(in); err != nil {
		return nil, err
	}
	c := &s.claim
	if err := v.checkScope(c, service); err != nil {
		return nil, err
	}
	if err := v.checkTime(c, now); err != nil {
		return nil, err
	}
	if err := s.checkHeaders(in); err != nil {
		return nil, err
	}
	if err := s.canonicalize(in); err != nil {
		return nil, err
	}

	cred, refusal, err := v.lookup(ctx, c.keyID, c.token)
	if err != nil {
		return nil, err
	}
	name := keyName{accessKeyID: c.keyID, date: c.date, region: c.region, service: c.service}
	key, cached := v.keys.get(name, cred.SecretAccessKey), true
	if key == nil {
		if key, err = newSigningKey(name, cred.SecretAccessKey); err != nil {
			return nil, err
		}
		cached = false
	}
	// Every check is made before any is answered: which of them failed is told by the answer, not by the time it took.
	want := key.sign(s.sum[:0], s.stringToSign())
	signed := subtle.ConstantTimeCompare(want, c.signature[:]) == 1 && c.signatureOK
	token := subtle.ConstantTimeCompare([]byte(c.token), []byte(cred.SessionToken)) == 1
	switch {
	case refusal != nil:
		return nil, refusal
	case !token:
		return nil, errInvalidToken()
	case !signed:
		return nil, errMismatch()
	}
	if !cached {
		v.keys.put(key) // only now: a stranger must not be able to fill the cache
	}
	return &Identity{AccessKeyID: c.keyID, Region: c.region, Service: c.service, Subject: cred.Subject, Presigned: c.presigned}, nil
}

// lookup finds the credential. For a key that cannot sign in it returns a dummy credential and, in refusal, the answer to give in
// the end; err is an internal failure.
func (v *Verifier) lookup(ctx context.Context, accessKeyID, sessionToken string) (cred Credential, refusal, err error) {
	dummy := Credential{SecretAccessKey: dummySecret}
	if v.cfg.Lookup == nil {
		return dummy, errInvalidToken(), nil
	}
	cred, err = v.cfg.Lookup(ctx, accessKeyID, sessionToken)
	switch {
	case errors.Is(err, ErrUnknownAccessKey):
		return dummy, errInvalidToken(), nil
	case errors.Is(err, ErrExpiredToken):
		return dummy, errExpiredToken(), nil
	case err != nil:
		return dummy, nil, fmt.Errorf("sigv4: looking up an access key: %w", err)
	case cred.SecretAccessKey == "":
		// A key without a secret would be one that anybody can sign with.
		return dummy, errInvalidToken(), nil
	}
	return cred, nil, nil
}
