package xks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// DefaultTimeout is how long KMS waits for a proxy: connecting, the request and the whole response. MaxTimeout is the most that
// a ClientConfig may say.
const (
	DefaultTimeout = 250 * time.Millisecond
	MaxTimeout     = 30 * time.Second
)

// attempts is how often a request is sent at most: KMS sends it once more after a network timeout, and after nothing else.
const attempts = 2

// Doer sends requests. It must not follow redirects, and should check what it connects to; the clients of internal/egress do so.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// ClientConfig is what a Client is made of. All members but Timeout are required. It does not print its secret.
type ClientConfig struct {
	URIEndpoint     string // see CheckEndpoint
	URIPath         string // see CheckURIPath
	AccessKeyID     string // see CheckCredential
	SecretAccessKey string
	Region          string // of the KMS that asks, for the scope of the signatures
	HTTP            Doer
	Now             func() time.Time // real time: it dates the signatures
	// Timeout bounds one attempt, of which a call makes two at most. Default DefaultTimeout.
	Timeout time.Duration
}

// Format hides the secret from every verb of fmt.
func (ClientConfig) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "xks.ClientConfig(redacted)")
}

// LogValue hides the secret from slog.
func (ClientConfig) LogValue() slog.Value { return slog.StringValue("xks.ClientConfig(redacted)") }

// Client asks one proxy. It is safe for concurrent use. Its errors are *Error for what the proxy refuses, and otherwise wrap one
// of ErrTimeout, ErrUnreachable, ErrTLS, ErrInvalidResponse and ErrInvalidRequest, or are the context's if that was cancelled.
type Client struct {
	cfg    ClientConfig
	signer *signer.Signer // caches the key derived for the day
}

// NewClient returns a Client. It sends nothing. The error is about what cfg has wrong.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := CheckEndpoint(cfg.URIEndpoint); err != nil {
		return nil, err
	}
	if err := CheckURIPath(cfg.URIPath); err != nil {
		return nil, err
	}
	if err := CheckCredential(cfg.AccessKeyID, cfg.SecretAccessKey); err != nil {
		return nil, err
	}
	switch {
	case cfg.Region == "" || !only(cfg.Region, func(c byte) bool { return isAlphanumeric(c) || c == '-' }):
		return nil, errors.New("xks: the region is not valid")
	case cfg.HTTP == nil || cfg.Now == nil:
		return nil, errors.New("xks: a client needs HTTP and Now")
	case cfg.Timeout < 0 || cfg.Timeout > MaxTimeout:
		return nil, fmt.Errorf("xks: the timeout is not 0 to %v", MaxTimeout)
	case cfg.Timeout == 0:
		cfg.Timeout = DefaultTimeout
	}
	// Signers leave the default port out of the host, and so must the Host header.
	cfg.URIEndpoint = strings.TrimSuffix(cfg.URIEndpoint, ":443")
	return &Client{cfg: cfg, signer: signer.NewSigner()}, nil
}

// Format hides the secret from every verb of fmt.
func (Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "xks.Client(redacted)") }

// Health asks how the proxy and its key managers are. Of the metadata only operation and request ID are sent.
func (c *Client) Health(ctx context.Context, m RequestMetadata) (*Health, error) {
	m = RequestMetadata{KMSOperation: m.KMSOperation, KMSRequestID: m.KMSRequestID}
	reply, err := c.call(ctx, opHealth, "", &requestBody{RequestMetadata: &m})
	if err != nil {
		return nil, err
	}
	return readHealth(reply)
}

// KeyMetadata asks what an external key is. That the key is not of use is not an error; see KeyMetadata.Usable.
func (c *Client) KeyMetadata(ctx context.Context, externalKeyID string, m RequestMetadata) (*KeyMetadata, error) {
	reply, err := c.call(ctx, opMetadata, externalKeyID, &requestBody{RequestMetadata: &m})
	if err != nil {
		return nil, err
	}
	return readKeyMetadata(reply)
}

// Encrypt encrypts under an external key. The ciphertext has the lengths that the specification gives it, and the integrity value
// that the proxy has sent for it: a proxy vouches with that for being able to decrypt it.
func (c *Client) Encrypt(ctx context.Context, externalKeyID string, r EncryptRequest) (*Ciphertext, error) {
	if len(r.Plaintext) == 0 || len(r.Plaintext) > MaxPlaintext || len(r.AAD) > MaxAAD {
		return nil, fmt.Errorf("%w: %d bytes of plaintext, %d of additional data", ErrInvalidRequest, len(r.Plaintext), len(r.AAD))
	}
	cdiv := cdivSHA256
	reply, err := c.call(ctx, opEncrypt, externalKeyID, &requestBody{
		RequestMetadata: &r.RequestMetadata, Plaintext: r.Plaintext, AAD: absentIfEmpty(r.AAD), Algorithm: algorithmGCM, CDIVAlgorithm: &cdiv,
	})
	if err != nil {
		return nil, err
	}
	return readCiphertext(reply, len(r.Plaintext), r.AAD)
}

// Decrypt returns the plaintext of a ciphertext that Encrypt has returned. A ciphertext, or AAD, that is not the one of Encrypt is the proxy's
// to find: InvalidCiphertextException.
func (c *Client) Decrypt(ctx context.Context, externalKeyID string, r DecryptRequest) ([]byte, error) {
	if r.Ciphertext == nil {
		return nil, fmt.Errorf("%w: no ciphertext", ErrInvalidRequest)
	}
	if err := r.Ciphertext.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	if len(r.AAD) > MaxAAD {
		return nil, fmt.Errorf("%w: %d bytes of additional data", ErrInvalidRequest, len(r.AAD))
	}
	reply, err := c.call(ctx, opDecrypt, externalKeyID, &requestBody{
		RequestMetadata: &r.RequestMetadata, AAD: absentIfEmpty(r.AAD), Algorithm: algorithmGCM,
		Ciphertext: r.Ciphertext.Data, Metadata: absentIfEmpty(r.Ciphertext.Metadata), IV: r.Ciphertext.IV, Tag: r.Ciphertext.Tag,
	})
	if err != nil {
		return nil, err
	}
	defer clear(reply)
	return readPlaintext(reply, len(r.Ciphertext.Data))
}

func absentIfEmpty(b []byte) blob {
	if len(b) == 0 {
		return nil
	}
	return b
}

// call sends one request, again if it timed out, and returns the body of a success.
func (c *Client) call(ctx context.Context, op operation, keyID string, body *requestBody) ([]byte, error) {
	if op != opHealth && !ValidKeyID(keyID) {
		return nil, fmt.Errorf("%w: the external key ID is not valid", ErrInvalidRequest)
	}
	if err := body.RequestMetadata.check(op); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	uri := c.cfg.URIEndpoint + uriPath(c.cfg.URIPath, op, keyID)
	if len(uri) > maxURI {
		return nil, fmt.Errorf("%w: the URI is longer than %d characters", ErrInvalidRequest, maxURI)
	}
	doc, err := encode(body)
	if err != nil { // the only thing that cannot be encoded is a text that is not UTF-8
		return nil, fmt.Errorf("%w: the request metadata is not valid UTF-8", ErrInvalidRequest)
	}
	for n := 1; ; n++ {
		reply, err := c.attempt(ctx, uri, doc)
		if n == attempts || !errors.Is(err, ErrTimeout) || ctx.Err() != nil {
			return reply, err
		}
	}
}

// attempt sends the request once. The time it has includes reading the reply.
func (c *Client) attempt(ctx context.Context, uri string, doc []byte) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var handshake atomic.Bool // set by a dial, which may go on when Do has returned
	traced := httptrace.WithClientTrace(bounded, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { handshake.Store(err != nil) },
	})
	r, err := c.request(traced, uri, doc)
	if err != nil {
		return nil, err
	}
	resp, err := c.cfg.HTTP.Do(r)
	if err != nil {
		return nil, classify(ctx, bounded, err, handshake.Load())
	}
	defer resp.Body.Close() //nolint:errcheck // it is read to its end, or given up
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, classify(ctx, bounded, err, false)
	}
	return reply, checkResponse(resp, reply)
}

// request builds the signed request. It signs host and date, as KMS does and no more, so that proxies which verify just that form
// are content; the signature covers path and body anyway.
func (c *Client) request(ctx context.Context, uri string, doc []byte) (*http.Request, error) {
	sign, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	sum := sha256.Sum256(doc)
	cred := aws.Credentials{AccessKeyID: c.cfg.AccessKeyID, SecretAccessKey: c.cfg.SecretAccessKey}
	if err := c.signer.SignHTTP(ctx, cred, sign, hex.EncodeToString(sum[:]), Service, c.cfg.Region, c.cfg.Now()); err != nil {
		return nil, fmt.Errorf("xks: signing: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	r.Header = sign.Header
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	// The key without a value tells net/http that the request may be repeated on a new connection if a pooled one turns out to
	// be closed; nothing of it is sent. None of the operations changes anything.
	r.Header["Idempotency-Key"] = nil
	return r, nil
}

// equalSum compares without regard to where the difference is.
func equalSum(want [sha256.Size]byte, got []byte) bool {
	return subtle.ConstantTimeCompare(want[:], got) == 1
}
