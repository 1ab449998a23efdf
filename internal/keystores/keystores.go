// Package keystores reaches what the custom key stores of package kms keep their keys in: PKCS #11 tokens by package hsm, external
// key store proxies by package xks. It bounds how many calls are under way with each, so that one that is slow or gone holds up its own
// keys and nothing else, and never tries a password again that a token has refused.
package keystores

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/egress"
	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/xks"
)

// Config says what there is. Whatever it does not name cannot be reached.
type Config struct {
	Clusters []Cluster
	// Proxies says which external key store proxies may be reached; nil: none.
	Proxies *Proxies
	// Log gets what callers are not told: why a token or proxy failed, once for each change. Nil: nothing is logged.
	Log *slog.Logger
	// Now is real time; it dates the signatures that proxies check.
	Now func() time.Time
}

// Cluster is a token under the name of a CloudHSM cluster, for the custom key stores of one account and region.
type Cluster struct {
	ID              string // cluster-...
	Account, Region string
	// TrustAnchor is what a custom key store has to name as its trust anchor certificate, in PEM; "" takes any.
	TrustAnchor string
	// User is put in front of the password, with a colon, where a token wants both (CloudHSM does); "" for no such thing.
	User string
	HSM  hsm.Config
}

// Proxies says which proxies may be reached, and how.
type Proxies struct {
	// PrivateNetworks are those that proxies with public endpoint connectivity may be in; without, only public addresses.
	PrivateNetworks []netip.Prefix
	// Roots are the certificate authorities of proxies; nil means the system's.
	Roots *x509.CertPool
	// Ports are those of hosts, by lower-case name, that are not reached on port 443.
	Ports map[string]uint16
	// Services are the VPC endpoint services there are.
	Services []Service
	// Timeout is how long a proxy may take to answer; 0 is what AWS gives it, xks.DefaultTimeout.
	Timeout time.Duration
}

// Service stands for private connectivity, under the name of a VPC endpoint service, for the custom key stores of one account.
type Service struct {
	Name    string // com.amazonaws.vpce.REGION.vpce-svc-...
	Account string
	// PrivateDNSName is the host name that the service leads to.
	PrivateDNSName string
	// Networks are those that it may be in, besides public ones.
	Networks []netip.Prefix
}

const (
	callsPerStore = 64 // under way with one token or proxy
	probes        = 16 // under way with proxies of custom key stores that are yet to be made
	connections   = 64 // to one host
)

// Stores implements kms.KeyStores. It is safe for concurrent use.
type Stores struct {
	cfg      Config
	clusters map[string]*cluster
	public   *http.Client
	services map[string]service // by name
	probing  slots              // of proxies of custom key stores that are yet to be made
	probed   *health            // the same

	mu      sync.Mutex
	proxies map[string]*proxy // by store key of the custom key store; guarded by mu
}

type service struct {
	Service
	http *http.Client
}

var _ kms.KeyStores = (*Stores)(nil)

// New opens the tokens, in the background, and returns at once. The error is about the configuration.
func New(c Config) (_ *Stores, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Stores{
		cfg: c, clusters: make(map[string]*cluster), services: make(map[string]service), probing: newSlots(probes),
		proxies: make(map[string]*proxy),
	}
	s.probed = s.newHealth("keyStore", "new")
	if p := c.Proxies; p != nil {
		if s.public, err = client(p, p.PrivateNetworks); err != nil {
			return nil, err
		}
		for _, v := range p.Services {
			if _, ok := s.services[v.Name]; ok {
				return nil, fmt.Errorf("keystores: VPC endpoint service %s is there twice", v.Name)
			}
			h, err := client(p, v.Networks)
			if err != nil {
				return nil, err
			}
			s.services[v.Name] = service{Service: v, http: h}
		}
	}
	for _, c := range c.Clusters {
		if s.clusters[c.ID] != nil {
			return nil, fmt.Errorf("keystores: cluster %s is there twice", c.ID)
		}
		s.clusters[c.ID] = newCluster(c, s.newHealth("cluster", c.ID))
	}
	for _, c := range s.clusters { // only now: nothing is left running after an error
		c.token = hsm.Open(c.HSM)
	}
	return s, nil
}

// client reaches proxies in public networks and those that are allowed.
func client(p *Proxies, allow []netip.Prefix) (*http.Client, error) {
	return egress.New(egress.Config{
		AllowPrivate: allow, Roots: p.Roots, MaxConns: connections, Timeout: max(p.Timeout, xks.DefaultTimeout), MaxResponse: 128 << 10,
	})
}

// Close ends the tokens' helpers.
func (s *Stores) Close() error {
	var wg sync.WaitGroup
	errs := make([]error, 0, len(s.clusters))
	var mu sync.Mutex
	for _, c := range s.clusters {
		wg.Go(func() {
			err := c.token.Close()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// find returns a cluster of an account and region; what is another's is as good as absent.
func (s *Stores) find(o record.Owner, id string) (*cluster, error) {
	c := s.clusters[id]
	if c == nil || c.Account != o.Account || c.Region != o.Region {
		return nil, &kms.StoreError{Fault: kms.FaultNoCluster}
	}
	return c, nil
}

// Cluster implements kms.KeyStores.
func (s *Stores) Cluster(ctx context.Context, o record.Owner, id string) (string, error) {
	c, err := s.find(o, id)
	if err != nil {
		return "", err
	}
	return c.TrustAnchor, c.active(ctx)
}

// Token implements kms.KeyStores.
func (s *Stores) Token(r *record.KeyStore) (kms.Token, error) {
	c, err := s.find(r.Owner, r.ClusterID)
	if err != nil {
		return nil, err
	}
	return &session{cluster: c, pin: c.pin(r.Password), releases: c.releases.Load()}, nil
}

// Release implements kms.KeyStores.
func (s *Stores) Release(ctx context.Context, r *record.KeyStore) {
	if r.Type == record.TokenStore {
		if c, err := s.find(r.Owner, r.ClusterID); err == nil {
			c.release(ctx)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.proxies, r.StoreKey())
}

// slots bounds how many calls are under way.
type slots chan struct{}

func newSlots(n int) slots { return make(slots, n) }

// take takes a slot, or fails at once.
func (s slots) take() (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	default:
		return nil, &kms.StoreError{Fault: kms.FaultBusy}
	}
}

// quiet is how long a custom key store's state is not logged again.
const quiet = 10 * time.Second

// health logs when what is behind a custom key store begins to fail, fails otherwise, and works again: not each call, which could be
// any number.
type health struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	fault  *kms.StoreError // what was logged last; nil if it works; guarded by mu
	logged time.Time       // when; guarded by mu
}

func (s *Stores) newHealth(what, name string) *health {
	return &health{log: s.cfg.Log.With(what, name), now: s.cfg.Now}
}

// note takes the outcome of a call and returns it.
func (h *health) note(err error) error {
	e := (*kms.StoreError)(nil)
	if err != nil && (!errors.As(err, &e) || ordinary[e.Fault]) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e == nil && h.fault == nil || e != nil && h.fault != nil && e.Fault == h.fault.Fault {
		return err
	}
	now := h.now()
	if now.Sub(h.logged) < quiet {
		return err
	}
	h.fault, h.logged = e, now
	if e == nil {
		h.log.Info("custom key store works again")
	} else {
		h.log.Warn("custom key store failed", "error", e)
	}
	return err
}

// ordinary are faults that say something of a request, and nothing of the key store.
var ordinary = map[kms.Fault]bool{
	kms.FaultBusy: true, kms.FaultKeyNotFound: true, kms.FaultKeyDisabled: true, kms.FaultKeyUsage: true, kms.FaultCiphertext: true,
	kms.FaultDenied: true, kms.FaultTokenKey: true,
}
