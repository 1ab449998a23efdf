package keystores

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/sigv4"
	"github.com/keyturn/keyturn/internal/xks"
)

const (
	accessKeyID = "ABCDEFGHIJKLMNOPQRST"
	secret      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
	uriPath     = "/p/kms/xks/v1"
	service1    = "com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0"
)

// manager is an external key manager with the key "k", and "off", which is disabled.
type manager struct {
	fail     atomic.Pointer[xks.Error]
	health   atomic.Pointer[string]
	block    atomic.Pointer[chan struct{}]
	requests atomic.Int64
	last     atomic.Pointer[xks.RequestMetadata]
}

func (m *manager) begin(ctx context.Context, r xks.RequestMetadata) error {
	m.requests.Add(1)
	m.last.Store(&r)
	if ch := m.block.Load(); ch != nil {
		select {
		case <-*ch:
		case <-ctx.Done():
		}
	}
	if e := m.fail.Load(); e != nil {
		return e
	}
	return nil
}

func (m *manager) Health(ctx context.Context, r xks.RequestMetadata) (xks.Health, error) {
	status := xks.HealthActive
	if s := m.health.Load(); s != nil {
		status = *s
	}
	return xks.Health{FleetSize: 1, Vendor: "v", Model: "m", KeyManager: "k", FleetDetails: []xks.KeyManager{{ID: "1", Model: "m", HealthStatus: status}}}, m.begin(ctx, r)
}

func (m *manager) KeyMetadata(ctx context.Context, _ xks.Principal, id string, r xks.RequestMetadata) (xks.KeyMetadata, error) {
	if id != "k" {
		return xks.KeyMetadata{}, &xks.Error{Name: xks.KeyNotFoundException}
	}
	return xks.KeyMetadata{Spec: xks.KeySpecAES256, Usage: []string{xks.UsageEncrypt, xks.UsageDecrypt}, Status: xks.KeyEnabled}, m.begin(ctx, r)
}

func (m *manager) gcm() cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (m *manager) Encrypt(ctx context.Context, _ xks.Principal, id string, p, aad []byte, r xks.RequestMetadata) (*xks.Ciphertext, error) {
	if err := m.begin(ctx, r); err != nil {
		return nil, err
	}
	b := m.gcm().Seal(nil, nil, p, aad)
	return &xks.Ciphertext{IV: b[:12], Data: b[12 : len(b)-16], Tag: b[len(b)-16:], Metadata: []byte("v1")}, nil
}

func (m *manager) Decrypt(ctx context.Context, _ xks.Principal, id string, c *xks.Ciphertext, aad []byte, r xks.RequestMetadata) ([]byte, error) {
	if err := m.begin(ctx, r); err != nil {
		return nil, err
	}
	p, err := m.gcm().Open(nil, nil, append(append(append([]byte(nil), c.IV...), c.Data...), c.Tag...), aad)
	if err != nil {
		return nil, &xks.Error{Name: xks.InvalidCiphertextException}
	}
	return p, nil
}

// withProxy returns Stores that may reach a real proxy in front of a manager, on this machine, and a custom key store on it.
func withProxy(t *testing.T, m *manager, change func(*Proxies)) (*Stores, *record.KeyStore) {
	t.Helper()
	h, err := xks.NewHandler(xks.Config{
		Backend: m, Prefix: uriPath, Regions: []string{region}, Now: time.Now, NoDecryptCheck: true,
		Lookup: func(_ context.Context, id, _ string) (sigv4.Credential, error) {
			if id != accessKeyID {
				return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
			}
			return sigv4.Credential{SecretAccessKey: secret}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxies{
		PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: x509.NewCertPool(),
		Ports: map[string]uint16{u.Hostname(): uint16(port)}, Timeout: 5 * time.Second,
		Services: []Service{{Name: service1, Account: account, PrivateDNSName: u.Hostname(), Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
	}
	p.Roots.AddCert(srv.Certificate())
	if change != nil {
		change(p)
	}
	s, err := New(Config{Proxies: p, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s, &record.KeyStore{
		Owner: record.Owner{Account: account, Region: region}, ID: "cks-1", Type: record.ExternalStore, Connection: record.Connected,
		Proxy: record.Proxy{
			Connectivity: "PUBLIC_ENDPOINT", URIEndpoint: "https://" + u.Hostname(), URIPath: uriPath, AccessKeyID: accessKeyID, SecretAccessKey: secret,
		},
	}
}

var call = kms.ProxyCall{Operation: "Encrypt", RequestID: "r-1", Principal: "arn:aws:iam::111122223333:root", KeyARN: "arn:aws:kms:eu-central-1:111122223333:key/x"}

func mustProxy(t *testing.T, s *Stores, r *record.KeyStore) kms.Proxy {
	t.Helper()
	p, err := s.Proxy(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProxy(t *testing.T) {
	m := &manager{}
	s, r := withProxy(t, m, nil)
	p := mustProxy(t, s, r)
	if err := p.Health(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	k, err := p.Key(t.Context(), "k", call)
	if err != nil || k.Spec != "AES_256" || k.Status != "ENABLED" || len(k.Usage) != 2 {
		t.Errorf("%+v, %v", k, err)
	}
	for _, id := range []string{"other", "..", ""} {
		if _, err := p.Key(t.Context(), id, call); faultOf(err) != kms.FaultKeyNotFound {
			t.Errorf("key %q: %v", id, err)
		}
	}
	sealed, err := p.Encrypt(t.Context(), "k", []byte("aad"), []byte("plaintext"), call)
	if err != nil {
		t.Fatal(err)
	}
	if got := *m.last.Load(); got.AWSPrincipalARN != call.Principal || got.KMSKeyARN != call.KeyARN || got.KMSOperation != "Encrypt" || got.KMSRequestID != "r-1" {
		t.Errorf("the proxy was told %+v", got)
	}
	if plain, err := p.Decrypt(t.Context(), "k", []byte("aad"), sealed, call); err != nil || string(plain) != "plaintext" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := p.Decrypt(t.Context(), "k", []byte("other"), sealed, call); faultOf(err) != kms.FaultCiphertext {
		t.Error(err)
	}
	if _, err := p.Decrypt(t.Context(), "k", nil, []byte("no ciphertext"), call); faultOf(err) != kms.FaultCiphertext {
		t.Error(err)
	}
}

// TestProxyFaults has the proxy refuse with every name of the specification.
func TestProxyFaults(t *testing.T) {
	m := &manager{}
	s, r := withProxy(t, m, nil)
	p := mustProxy(t, s, r)
	if len(proxyFaults) != 12 {
		t.Errorf("%d names", len(proxyFaults))
	}
	for name, fault := range proxyFaults {
		m.fail.Store(&xks.Error{Name: name})
		if _, err := p.Encrypt(t.Context(), "k", nil, []byte("x"), call); faultOf(err) != fault {
			t.Errorf("%s: %v, want fault %d", name, err, fault)
		}
	}
	m.fail.Store(&xks.Error{Name: xks.InvalidStateException})
	if err := p.Health(t.Context(), call); faultOf(err) != kms.FaultUnhealthy {
		t.Error(err)
	}
	m.fail.Store(nil)
	down := xks.HealthUnavailable
	m.health.Store(&down)
	if err := p.Health(t.Context(), call); faultOf(err) != kms.FaultUnhealthy {
		t.Error(err)
	}
}

// TestProxyConfiguration has what can be wrong with a custom key store's proxy.
func TestProxyConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Proxies)
		store  func(*record.KeyStore)
		fault  kms.Fault
	}{
		"wrong secret":    {nil, func(r *record.KeyStore) { r.Proxy.SecretAccessKey = secret + "x" }, kms.FaultCredential},
		"wrong path":      {nil, func(r *record.KeyStore) { r.Proxy.URIPath = "/q/kms/xks/v1" }, kms.FaultPath},
		"no path of v1":   {nil, func(r *record.KeyStore) { r.Proxy.URIPath = "/p/kms/xks/v2" }, kms.FaultPath},
		"unknown CA":      {func(p *Proxies) { p.Roots = x509.NewCertPool() }, nil, kms.FaultTLS},
		"private address": {func(p *Proxies) { p.PrivateNetworks = nil }, nil, kms.FaultUnreachable},
		"nobody there":    {func(p *Proxies) { p.Ports = map[string]uint16{"127.0.0.1": 1} }, nil, kms.FaultUnreachable},
		"other region":    {nil, func(r *record.KeyStore) { r.Region = "us-east-1" }, kms.FaultCredential},
		"unknown service": {nil, func(r *record.KeyStore) { r.Proxy.Service = service1 + "0" }, kms.FaultNoService},
		"service of others": {func(p *Proxies) { p.Services[0].Account = "999988887777" }, func(r *record.KeyStore) { r.Proxy.Service = service1 },
			kms.FaultNoService},
		"service of another region": {nil, func(r *record.KeyStore) { r.Proxy.Service, r.Region = service1, "us-east-1" }, kms.FaultNoService},
		"service of another name": {func(p *Proxies) { p.Services[0].PrivateDNSName = "else.example" }, func(r *record.KeyStore) { r.Proxy.Service = service1 },
			kms.FaultServiceInvalid},
		"service": {func(p *Proxies) { p.PrivateNetworks = nil }, func(r *record.KeyStore) { r.Proxy.Service = service1 }, 255},
	} {
		s, r := withProxy(t, &manager{}, c.change)
		if c.store != nil {
			c.store(r)
		}
		p, err := s.Proxy(r)
		if err == nil {
			err = p.Health(t.Context(), call)
		}
		if faultOf(err) != c.fault {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := New(Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Proxy(&record.KeyStore{Type: record.ExternalStore}); faultOf(err) != kms.FaultUnreachable {
		t.Errorf("without external key stores: %v", err)
	}
}

// TestProxySlow has a proxy that takes its time: each call is given up, and other custom key stores go on.
func TestProxySlow(t *testing.T) {
	m := &manager{}
	s, r := withProxy(t, m, func(p *Proxies) { p.Timeout = 20 * time.Millisecond })
	ch := make(chan struct{})
	m.block.Store(&ch)
	defer close(ch)
	if err := mustProxy(t, s, r).Health(t.Context(), call); faultOf(err) != kms.FaultTimeout {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mustProxy(t, s, r).Health(ctx, call); !errors.Is(err, context.Canceled) || faultOf(err) != 255 {
		t.Errorf("a caller that hung up: %v", err)
	}
}

// TestProxyBusy fills one custom key store's slots, and that of those that are yet to be made: others are not held up.
func TestProxyBusy(t *testing.T) {
	s, r := withProxy(t, &manager{}, nil)
	busy := mustProxy(t, s, r).(*proxy)
	for range callsPerStore {
		if _, err := busy.calls.take(); err != nil {
			t.Fatal(err)
		}
	}
	if err := mustProxy(t, s, r).Health(t.Context(), call); faultOf(err) != kms.FaultBusy {
		t.Error(err)
	}
	// A new credential does not make room.
	again := *r
	again.Proxy.URIPath = "/q/kms/xks/v1"
	if err := mustProxy(t, s, &again).Health(t.Context(), call); faultOf(err) != kms.FaultBusy {
		t.Error(err)
	}
	other := *r
	other.ID = "cks-2"
	if err := mustProxy(t, s, &other).Health(t.Context(), call); err != nil {
		t.Error(err)
	}
	probe := *r
	probe.ID, probe.Connection = "cks-3", record.Disconnected
	if err := mustProxy(t, s, &probe).Health(t.Context(), call); err != nil {
		t.Error(err)
	}
	for range probes {
		if _, err := s.probing.take(); err != nil {
			t.Fatal(err)
		}
	}
	if err := mustProxy(t, s, &probe).Health(t.Context(), call); faultOf(err) != kms.FaultBusy {
		t.Error(err)
	}
}

// TestProxyCache keeps one client for a custom key store, until its configuration changes or it is released.
func TestProxyCache(t *testing.T) {
	s, r := withProxy(t, &manager{}, nil)
	first := mustProxy(t, s, r)
	if mustProxy(t, s, r) != first {
		t.Error("another client for the same configuration")
	}
	changed := *r
	changed.Proxy.SecretAccessKey = secret + "x"
	if mustProxy(t, s, &changed) == first {
		t.Error("the client of the old configuration")
	}
	probe := *r
	probe.ID, probe.Connection = "cks-3", record.Disconnected
	mustProxy(t, s, &probe)
	if len(s.proxies) != 1 {
		t.Errorf("%d clients are kept", len(s.proxies))
	}
	s.Release(t.Context(), r)
	if len(s.proxies) != 0 {
		t.Errorf("%d clients are kept after the release", len(s.proxies))
	}
}

// TestNewRefuses has configurations that contradict themselves.
func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"service twice":    {Proxies: &Proxies{Services: []Service{{Name: service1}, {Name: service1}}}},
		"cluster twice":    {Clusters: []Cluster{{ID: clusterID}, {ID: clusterID}}},
		"no masked prefix": {Proxies: &Proxies{PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}}},
	} {
		c.Now = time.Now
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
