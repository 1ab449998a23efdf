// Package egress makes the server's outgoing connections: to key store proxies, identity providers, webhooks. Their addresses are
// written into the configuration by people who are not trusted with the network that the server stands in, so a client of this
// package speaks HTTPS only, follows no redirect, reads no proxy settings from the environment, and connects to no private address
// that has not been allowed. The address is checked when the connection is made, after the name has been resolved: a name that
// resolves to something else a second time gains nothing. Every size and every time is bounded.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Defaults of Config.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultDialTimeout = 3 * time.Second
	DefaultMaxResponse = 1 << 20 // bytes
	DefaultMaxConns    = 64      // to one host
)

const (
	maxResponseHeader = 32 << 10
	maxIdle           = 64
	idleTimeout       = 90 * time.Second
	// An HTTP/2 connection whose peer has vanished would swallow requests until these have passed: so much silence before a
	// ping, and so long for its answer.
	pingAfter   = 5 * time.Second
	pingTimeout = 2 * time.Second
)

// Errors of a client's requests. They come wrapped, in a *url.Error among others; use errors.Is.
var (
	// ErrAddress: the name leads to an address that is neither public nor allowed.
	ErrAddress = errors.New("egress: the address is neither public nor allowed")
	// ErrURL: the URL is not an absolute https URL without user information.
	ErrURL = errors.New("egress: the URL is not an https URL")
	// ErrTooLarge: the response body is longer than Config.MaxResponse. It comes from reading the body.
	ErrTooLarge = errors.New("egress: the response is too large")
)

// Config is what a client is made of. The zero value reaches public hosts with certificates of the system's roots.
type Config struct {
	// AllowPrivate are the prefixes that may be connected to although they are not public. Multicast and the unspecified
	// address are refused even so.
	AllowPrivate []netip.Prefix
	// Roots are the certificate authorities that servers are verified with; nil means the system's.
	Roots *x509.CertPool
	// ClientCertificate answers a server that asks for a client's certificate; nil sends none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Timeout bounds a whole exchange, from resolving the name to the last byte of the body. A request's context can
	// shorten it. Default DefaultTimeout.
	Timeout time.Duration
	// DialTimeout bounds resolving and connecting, TLSTimeout the handshake after it. Default for each: DefaultDialTimeout,
	// or Timeout if that is shorter.
	DialTimeout, TLSTimeout time.Duration
	// HeaderTimeout bounds the wait for a response's header once the request is sent. Default Timeout.
	HeaderTimeout time.Duration
	// MaxResponse bounds a response's body, in bytes. Default DefaultMaxResponse.
	MaxResponse int64
	// MaxConns bounds the connections to one host, those in use included; more requests wait. Default DefaultMaxConns.
	MaxConns int
	// Resolver resolves names; nil means net.DefaultResolver.
	Resolver *net.Resolver
}

// New returns a client. It is safe for concurrent use, and pools connections. A redirect is returned as the response that it is.
// The error is about AllowPrivate.
func New(cfg Config) (*http.Client, error) {
	allow, err := newAllowList(cfg.AllowPrivate)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = positive(cfg.Timeout, DefaultTimeout)
	cfg.DialTimeout = positive(cfg.DialTimeout, min(DefaultDialTimeout, cfg.Timeout))
	cfg.TLSTimeout = positive(cfg.TLSTimeout, min(DefaultDialTimeout, cfg.Timeout))
	cfg.HeaderTimeout = positive(cfg.HeaderTimeout, cfg.Timeout)
	cfg.MaxResponse = positive(cfg.MaxResponse, DefaultMaxResponse)
	cfg.MaxConns = positive(cfg.MaxConns, DefaultMaxConns)

	dialer := &net.Dialer{Timeout: cfg.DialTimeout, Resolver: cfg.Resolver, ControlContext: allow.control}
	inner := &http.Transport{
		Proxy:       nil, // not even that of the environment
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:           tls.VersionTLS12,
			CipherSuites:         suites12,
			RootCAs:              cfg.Roots,
			GetClientCertificate: cfg.ClientCertificate,
		},
		TLSHandshakeTimeout:    cfg.TLSTimeout,
		ResponseHeaderTimeout:  cfg.HeaderTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // a small body could unpack to a large one
		MaxConnsPerHost:        cfg.MaxConns,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    min(cfg.MaxConns, maxIdle),
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true, // a dialer of one's own would switch it off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	return &http.Client{
		Transport:     &transport{inner: inner, maxResponse: cfg.MaxResponse},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       cfg.Timeout,
	}, nil
}

// suites12 are the cipher suites of TLS 1.2 with forward secrecy and authenticated encryption. Those of TLS 1.3 all have both.
var suites12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func positive[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// control is called with the very address that the socket is about to connect to.
func (l allowList) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: %s %s", ErrAddress, network, address)
	}
	if !l.permits(ap.Addr()) {
		return fmt.Errorf("%w: %s", ErrAddress, ap.Addr())
	}
	return nil
}
