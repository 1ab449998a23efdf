package xks

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/sigv4"
)

// Defaults of Config.
const (
	DefaultMaxInFlight    = 256
	DefaultBackendTimeout = 5 * time.Second

	bodyTime = 5 * time.Second
)

// Principal is who has signed a request.
type Principal struct {
	AccessKeyID string
	Region      string // of the KMS that asks, as the signature says
	Subject     any    // from the sigv4.Credential
}

// Backend holds the external keys, and decides who may use which. It must be safe for concurrent use, and keep no slice that it is
// given. An *Error of one of the specification's names is answered as such; the context's deadline as DependencyTimeoutException;
// any other error as InternalException, and only the log has its text.
type Backend interface {
	// Health reports how the key managers are; whoever has a credential may ask. It should have tried them within the last
	// minute.
	Health(ctx context.Context, m RequestMetadata) (Health, error)
	// KeyMetadata describes a key, or returns a KeyNotFoundException. Key IDs have passed ValidKeyID.
	KeyMetadata(ctx context.Context, p Principal, keyID string, m RequestMetadata) (KeyMetadata, error)
	// Encrypt encrypts 1 to MaxPlaintext bytes with AES-256-GCM; see AdditionalData.
	Encrypt(ctx context.Context, p Principal, keyID string, plaintext, aad []byte, m RequestMetadata) (*Ciphertext, error)
	// Decrypt returns the plaintext, or an InvalidCiphertextException. The lengths in c are what the specification allows.
	// An Encrypt is followed by a Decrypt of its result with the same metadata, unless Config.NoDecryptCheck.
	Decrypt(ctx context.Context, p Principal, keyID string, c *Ciphertext, aad []byte, m RequestMetadata) ([]byte, error)
}

// Config is what a handler is made of. Backend, Prefix and Now are required; without Lookup or Regions every request is refused.
type Config struct {
	Backend Backend
	// Prefix is the path that the handler answers below, as CheckURIPath wants it: what KMS has as XksProxyUriPath.
	Prefix string
	// Lookup finds the credential of an access key ID. It should know the next one, too, while credentials are changed.
	Lookup func(ctx context.Context, accessKeyID, sessionToken string) (sigv4.Credential, error)
	// Regions are the AWS Regions whose KMS may ask.
	Regions []string
	// Now is real time; signatures are good for five minutes around it.
	Now func() time.Time
	// Log gets a line for each authenticated request, with its metadata; never a plaintext. nil logs nothing.
	Log *slog.Logger
	// Refused is told of requests that fail before their sender is known; nil for nobody. It is called as often as strangers
	// want.
	Refused func(r *http.Request, reason string)
	// MaxInFlight bounds the authenticated requests that are being answered; one more gets ThrottlingException. Strangers
	// take nothing of it. Default DefaultMaxInFlight.
	MaxInFlight int
	// BackendTimeout bounds the backend's work on one request. Default DefaultBackendTimeout; KMS itself waits 250 ms.
	BackendTimeout time.Duration
	// NoDecryptCheck leaves out the decryption with which the specification has a proxy check each new ciphertext before it
	// vouches for it. For a backend that checks by itself.
	NoDecryptCheck bool
}

// handler is the proxy. It expects TLS, and bounds on connections and headers, of the server around it.
type handler struct {
	Config
	verifier *sigv4.Verifier
	slots    chan struct{}
	bodyTime time.Duration // how long the body of a request may take to arrive, in real time
}

// NewHandler returns the proxy's HTTP handler. Paths that are not below Prefix get InvalidUriPathException. The error is about
// what cfg has wrong.
func NewHandler(cfg Config) (http.Handler, error) {
	if err := CheckURIPath(cfg.Prefix); err != nil {
		return nil, err
	}
	if cfg.Backend == nil || cfg.Now == nil {
		return nil, errors.New("xks: a handler needs Backend and Now")
	}
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	if cfg.BackendTimeout <= 0 {
		cfg.BackendTimeout = DefaultBackendTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Regions = slices.Clone(cfg.Regions)
	return &handler{
		Config: cfg,
		verifier: sigv4.New(sigv4.Config{
			Lookup: cfg.Lookup, Services: []string{Service}, Region: func(_, r string) bool { return slices.Contains(cfg.Regions, r) },
		}),
		slots:    make(chan struct{}, cfg.MaxInFlight),
		bodyTime: bodyTime,
	}, nil
}

// exchange is one request that has been authenticated, with what is logged of it.
type exchange struct {
	h         *handler
	principal Principal
	op        operation
	keyID     string
	body      requestBody
}

// perform decodes the request and has the backend do it. It returns the document to answer.
func (x *exchange) perform(ctx context.Context, raw []byte) (any, error) {
	select {
	case x.h.slots <- struct{}{}:
		defer func() { <-x.h.slots }()
	default:
		return nil, &Error{Name: ThrottlingException, Message: "Too many requests at once."}
	}
	if err := x.parse(raw); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, x.h.BackendTimeout)
	defer cancel()
	switch x.op {
	case opHealth:
		return x.health(ctx)
	case opMetadata:
		return x.keyMetadata(ctx)
	case opEncrypt:
		return x.encrypt(ctx)
	case opDecrypt:
		return x.decrypt(ctx)
	}
	return nil, fmt.Errorf("xks: no such operation: %d", x.op)
}

func (x *exchange) health(ctx context.Context) (any, error) {
	h, err := x.h.Backend.Health(ctx, *x.body.RequestMetadata)
	if err != nil {
		return nil, err
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("xks: the backend's health: %w", err)
	}
	reply := &healthReply{FleetSize: h.FleetSize, Vendor: h.Vendor, Model: h.Model, KeyManager: h.KeyManager}
	for _, m := range h.FleetDetails {
		reply.FleetDetails = append(reply.FleetDetails, fleetEntry(m))
	}
	return reply, nil
}

func (x *exchange) keyMetadata(ctx context.Context) (any, error) {
	m, err := x.h.Backend.KeyMetadata(ctx, x.principal, x.keyID, *x.body.RequestMetadata)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("xks: the backend's key metadata: %w", err)
	}
	usage := append([]string{}, m.Usage...) // an array even if there is none
	return &keyMetadataReply{Spec: m.Spec, Usage: &usage, Status: m.Status}, nil
}

func (x *exchange) encrypt(ctx context.Context) (any, error) {
	c, err := x.h.Backend.Encrypt(ctx, x.principal, x.keyID, x.body.Plaintext, x.body.AAD, *x.body.RequestMetadata)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errors.New("xks: the backend returned no ciphertext")
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("xks: the backend's ciphertext: %w", err)
	}
	if len(c.Data) != len(x.body.Plaintext) {
		return nil, errors.New("xks: the backend's ciphertext is not as long as the plaintext")
	}
	reply := &encryptReply{Ciphertext: c.Data, Metadata: absentIfEmpty(c.Metadata), IV: c.IV, Tag: c.Tag}
	if x.body.CDIVAlgorithm == nil {
		return reply, nil
	}
	// The value first, then the check: what changes after this line no longer fits the value.
	sum := c.IntegrityValue(x.body.AAD)
	reply.CDIV = sum[:]
	if !x.h.NoDecryptCheck {
		err = x.checkDecrypts(ctx, c)
	}
	return reply, err
}

// checkDecrypts decrypts what has just been encrypted. That fails with an error of this side, whatever the backend says.
func (x *exchange) checkDecrypts(ctx context.Context, c *Ciphertext) error {
	plaintext, err := x.h.Backend.Decrypt(ctx, x.principal, x.keyID, c, x.body.AAD, *x.body.RequestMetadata)
	defer clear(plaintext)
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return fmt.Errorf("xks: a new ciphertext does not decrypt: %s", refusal.Name)
	case err != nil:
		return fmt.Errorf("xks: a new ciphertext does not decrypt: %w", err)
	case subtle.ConstantTimeCompare(plaintext, x.body.Plaintext) != 1:
		return errors.New("xks: a new ciphertext decrypts to something else")
	}
	return nil
}

func (x *exchange) decrypt(ctx context.Context) (any, error) {
	c := &Ciphertext{Data: x.body.Ciphertext, IV: x.body.IV, Tag: x.body.Tag, Metadata: absentIfEmpty(x.body.Metadata)}
	plaintext, err := x.h.Backend.Decrypt(ctx, x.principal, x.keyID, c, x.body.AAD, *x.body.RequestMetadata)
	if err != nil {
		clear(plaintext)
		return nil, err
	}
	if len(plaintext) != len(c.Data) {
		clear(plaintext)
		return nil, errors.New("xks: the backend's plaintext is not as long as the ciphertext")
	}
	return &decryptReply{Plaintext: plaintext}, nil
}
