package keystores

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/xks"
)

const httpsPort = 443

// proxy is the proxy of a custom key store, as it is configured now.
type proxy struct {
	conf   record.Proxy
	client *xks.Client
	calls  slots
	health *health
}

var _ kms.Proxy = (*proxy)(nil)

// Proxy implements kms.KeyStores. What a custom key store that exists has under way is counted for it; those that are yet to be made
// share a few slots.
func (s *Stores) Proxy(r *record.KeyStore) (kms.Proxy, error) {
	at := r.StoreKey()
	s.mu.Lock()
	p := s.proxies[at]
	s.mu.Unlock()
	if p != nil && p.conf == r.Proxy {
		return p, nil
	}
	h, err := s.reach(r)
	if err != nil {
		return nil, err
	}
	client, err := xks.NewClient(xks.ClientConfig{
		URIEndpoint: s.endpoint(r.Proxy.URIEndpoint), URIPath: r.Proxy.URIPath, AccessKeyID: r.Proxy.AccessKeyID,
		SecretAccessKey: r.Proxy.SecretAccessKey, Region: r.Region, HTTP: h, Now: s.cfg.Now, Timeout: s.cfg.Proxies.Timeout,
	})
	if err != nil {
		fault := kms.FaultUnreachable
		if errors.Is(err, xks.ErrURIPath) {
			fault = kms.FaultPath
		}
		return nil, &kms.StoreError{Fault: fault, Err: err}
	}
	next := &proxy{conf: r.Proxy, client: client}
	if r.Connection != record.Connected && r.Connection != record.Connecting {
		next.calls, next.health = s.probing, s.probed
		return next, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.proxies[at]; p != nil { // its calls go on, and count
		next.calls, next.health = p.calls, p.health
	} else {
		next.calls, next.health = newSlots(callsPerStore), s.newHealth("keyStore", r.ID)
	}
	s.proxies[at] = next
	return next, nil
}

// reach returns the client for a proxy's connectivity.
func (s *Stores) reach(r *record.KeyStore) (*http.Client, error) {
	if s.cfg.Proxies == nil {
		return nil, &kms.StoreError{Fault: kms.FaultUnreachable, Err: errors.New("keystores: external key stores are not configured")}
	}
	if r.Proxy.Service == "" {
		return s.public, nil
	}
	v, ok := s.services[r.Proxy.Service]
	if !ok || v.Account != r.Account || !strings.Contains(v.Name, ".vpce."+r.Region+".") {
		return nil, &kms.StoreError{Fault: kms.FaultNoService}
	}
	if !strings.EqualFold(r.Proxy.URIEndpoint, "https://"+v.PrivateDNSName) {
		return nil, &kms.StoreError{Fault: kms.FaultServiceInvalid}
	}
	return v.http, nil
}

// endpoint adds the port to an endpoint if it is not the usual one: the API knows no other.
func (s *Stores) endpoint(uri string) string {
	host := strings.ToLower(strings.TrimPrefix(uri, "https://"))
	if port, ok := s.cfg.Proxies.Ports[host]; ok && port != httpsPort {
		return uri + ":" + strconv.Itoa(int(port))
	}
	return uri
}

func metadata(c kms.ProxyCall) xks.RequestMetadata {
	return xks.RequestMetadata{AWSPrincipalARN: c.Principal, KMSKeyARN: c.KeyARN, KMSOperation: c.Operation, KMSRequestID: c.RequestID}
}

// do makes a call if there is room for one more.
func (p *proxy) do(call func() error) error {
	release, err := p.calls.take()
	if err != nil {
		return err
	}
	defer release()
	return p.health.note(proxyFault(call()))
}

// Health implements kms.Proxy.
func (p *proxy) Health(ctx context.Context, c kms.ProxyCall) error {
	return p.do(func() error {
		h, err := p.client.Health(ctx, metadata(c))
		if errors.Is(err, &xks.Error{Name: xks.InvalidStateException}) || err == nil && !h.Serving() {
			return &kms.StoreError{Fault: kms.FaultUnhealthy, Err: err}
		}
		return err
	})
}

// Key implements kms.Proxy.
func (p *proxy) Key(ctx context.Context, id string, c kms.ProxyCall) (k kms.ExternalKey, err error) {
	if !xks.ValidKeyID(id) {
		return k, &kms.StoreError{Fault: kms.FaultKeyNotFound}
	}
	err = p.do(func() error {
		m, err := p.client.KeyMetadata(ctx, id, metadata(c))
		if err == nil {
			k = kms.ExternalKey{Spec: m.Spec, Status: m.Status, Usage: m.Usage}
		}
		return err
	})
	return k, err
}

// Encrypt implements kms.Proxy.
func (p *proxy) Encrypt(ctx context.Context, id string, additionalData, plaintext []byte, c kms.ProxyCall) (encoded []byte, err error) {
	err = p.do(func() error {
		sealed, err := p.client.Encrypt(ctx, id, xks.EncryptRequest{Plaintext: plaintext, AAD: additionalData, RequestMetadata: metadata(c)})
		if err == nil {
			encoded, err = sealed.Marshal()
		}
		return err
	})
	return encoded, err
}

// Decrypt implements kms.Proxy.
func (p *proxy) Decrypt(ctx context.Context, id string, additionalData, ciphertext []byte, c kms.ProxyCall) (plaintext []byte, err error) {
	sealed, err := xks.Unmarshal(ciphertext)
	if err != nil {
		return nil, &kms.StoreError{Fault: kms.FaultCiphertext, Err: err}
	}
	err = p.do(func() (err error) {
		plaintext, err = p.client.Decrypt(ctx, id, xks.DecryptRequest{Ciphertext: sealed, AAD: additionalData, RequestMetadata: metadata(c)})
		return err
	})
	return plaintext, err
}

// proxyFaults says what a proxy's refusal means, by its name.
var proxyFaults = map[string]kms.Fault{
	xks.ValidationException:           kms.FaultResponse, // it does not take what the specification says that it takes
	xks.InvalidStateException:         kms.FaultKeyDisabled,
	xks.InvalidCiphertextException:    kms.FaultCiphertext,
	xks.InvalidKeyUsageException:      kms.FaultKeyUsage,
	xks.AuthenticationFailedException: kms.FaultCredential,
	xks.AccessDeniedException:         kms.FaultDenied,
	xks.KeyNotFoundException:          kms.FaultKeyNotFound,
	xks.InvalidURIPathException:       kms.FaultPath,
	xks.ThrottlingException:           kms.FaultThrottled,
	xks.UnsupportedOperationException: kms.FaultUnsupported,
	xks.DependencyTimeoutException:    kms.FaultTimeout,
	xks.InternalException:             kms.FaultManager,
}

// proxyFault turns an error of package xks into one of package kms.
func proxyFault(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, new(*kms.StoreError)) {
		return err
	}
	fault := kms.FaultInternal
	refused := (*xks.Error)(nil)
	switch {
	case errors.As(err, &refused):
		fault = proxyFaults[refused.Name]
	case errors.Is(err, xks.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		fault = kms.FaultTimeout
	case errors.Is(err, xks.ErrTLS):
		fault = kms.FaultTLS
	case errors.Is(err, xks.ErrUnreachable):
		fault = kms.FaultUnreachable
	case errors.Is(err, xks.ErrInvalidResponse), errors.Is(err, xks.ErrCiphertext):
		fault = kms.FaultResponse
	}
	return &kms.StoreError{Fault: fault, Err: err}
}
