// Package discovery finds the keys that OpenID Connect providers sign with: it asks the provider (OpenID Connect Discovery 1.0), or has them
// from the configuration. What a provider can make the server do is bounded: HTTPS only, no redirects, no private address unless it was
// allowed, two small answers in five seconds.
//
// Nobody without an account can choose where the server connects to, since only issuers that somebody made a provider of are asked for. How
// often it does is bounded, too: tokens with key IDs that nobody knows, of which anybody can make any number, cost a provider one request a
// minute.
package discovery

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
	"github.com/keyturn/keyturn/internal/oidc"
)

// Times and bounds.
const (
	fetchTime     = 5 * time.Second
	fresh         = 15 * time.Minute // keys are fetched anew after that
	stale         = time.Hour        // and used for so long if they cannot be
	refreshEvery  = time.Minute      // for a key ID that is not among them
	failureMemory = 15 * time.Second
	maxIssuers    = 1024
	maxFetches    = 16 // at the same time
	maxOfAccount  = 4  // of these, for one account: what its providers are slow in keeps others waiting no longer than that
)

// Config is what Keys are made of.
type Config struct {
	// Static are the keys of issuers that are never asked, by their URLs.
	Static map[string]oidc.KeySet
	// AllowPrivate are networks that providers may be in although they are not public.
	AllowPrivate []netip.Prefix
	// Roots are the certificate authorities that providers are verified with; nil: the system's.
	Roots *x509.CertPool
	// Timeout bounds asking a provider for its keys. Zero: five seconds, which is what AWS gives.
	Timeout time.Duration
	// Now is the real time. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger // nil: nothing is logged
}

// Errors of Find.
var (
	// ErrUnreachable: the provider could not be asked. Trying again later may help.
	ErrUnreachable = errors.New("discovery: the provider cannot be reached")
	// ErrAnswer: the provider's answers cannot be used.
	ErrAnswer = errors.New("discovery: the provider's answer cannot be used")
	// ErrUnknownKey: the provider has no key with the ID.
	ErrUnknownKey = errors.New("discovery: the provider has no such key")
)

// Keys finds keys. It is safe for concurrent use.
type Keys struct {
	config  Config
	client  *http.Client
	fetches chan struct{} // holds one for each fetch under way

	mu      sync.Mutex
	issuers map[string]*issuer // guarded by mu, at most maxIssuers
	busy    map[string]int     // fetches under way, by the account that they are for; guarded by mu
}

// issuer is what is known of one.
type issuer struct {
	used time.Time // guarded by Keys.mu

	mu      sync.Mutex
	keys    oidc.KeySet // nil: not fetched yet
	fetched time.Time   // when keys were
	tried   time.Time   // when they were fetched last, with success or not
	failure error       // of the last try
	running *fetch      // nil: none
}

// fetch is one that is under way; whoever wants the same waits for it.
type fetch struct{ done chan struct{} }

// New returns Keys. The error is about the configuration.
func New(c Config) (*Keys, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = fetchTime
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	client, err := egress.New(egress.Config{
		AllowPrivate: c.AllowPrivate, Roots: c.Roots, Timeout: c.Timeout, MaxResponse: oidc.MaxKeySet, MaxConns: 2,
	})
	if err != nil {
		return nil, err
	}
	return &Keys{config: c, client: client, fetches: make(chan struct{}, maxFetches), issuers: make(map[string]*issuer), busy: make(map[string]int)}, nil
}

// Close drops idle connections.
func (k *Keys) Close() error {
	k.client.CloseIdleConnections()
	return nil
}

// Find returns the keys of an issuer with an ID, at least one. The issuer is asked on behalf of an account. The error wraps ErrUnreachable,
// ErrAnswer or ErrUnknownKey, or is the context's.
func (k *Keys) Find(ctx context.Context, account, issuerURL, keyID string) ([]oidc.Key, error) {
	if set, ok := k.config.Static[issuerURL]; ok {
		return find(set, keyID)
	}
	i := k.issuer(issuerURL)
	if running := i.refresh(k, account, issuerURL, keyID); running != nil {
		select {
		case <-running.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return i.find(k.config.Now(), keyID)
}

func find(set oidc.KeySet, keyID string) ([]oidc.Key, error) {
	if keys := set[keyID]; len(keys) > 0 {
		return keys, nil
	}
	return nil, ErrUnknownKey
}

// issuer returns what is known of an issuer, and forgets the one that was used least lately if there are too many.
func (k *Keys) issuer(url string) *issuer {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.issuers[url]
	if i == nil {
		if len(k.issuers) >= maxIssuers {
			k.forgetOldest()
		}
		i = &issuer{}
		k.issuers[url] = i
	}
	i.used = k.config.Now()
	return i
}

func (k *Keys) forgetOldest() {
	oldest, when := "", time.Time{}
	for url, i := range k.issuers {
		if oldest == "" || i.used.Before(when) {
			oldest, when = url, i.used
		}
	}
	delete(k.issuers, oldest)
}

// refresh returns the fetch to wait for, nil if what is known will do or may not be fetched anew yet.
func (i *issuer) refresh(k *Keys, account, url, keyID string) *fetch {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running == nil && i.due(k.config.Now(), keyID) && k.begin(account) {
		f := &fetch{done: make(chan struct{})}
		i.running = f
		go func() {
			defer k.end(account)
			i.run(k, url, f)
		}()
	}
	return i.running
}

// begin tells whether one more fetch for an account may be under way. Nothing is remembered of one that may not: the issuer may be another
// account's, too.
func (k *Keys) begin(account string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[account] >= maxOfAccount {
		return false
	}
	k.busy[account]++
	return true
}

func (k *Keys) end(account string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[account]--; k.busy[account] == 0 {
		delete(k.busy, account)
	}
}

// due tells whether keys should be fetched now.
func (i *issuer) due(now time.Time, keyID string) bool {
	since := now.Sub(i.tried)
	switch {
	case i.failure != nil && since < failureMemory:
		return false
	case i.keys == nil || now.Sub(i.fetched) >= fresh:
		return true
	}
	return len(i.keys[keyID]) == 0 && since >= refreshEvery
}

// find answers from what is known.
func (i *issuer) find(now time.Time, keyID string) ([]oidc.Key, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.keys == nil || now.Sub(i.fetched) >= stale {
		if i.failure != nil {
			return nil, i.failure
		}
		return nil, ErrUnreachable
	}
	return find(i.keys, keyID)
}

// run fetches, for everybody who waits: whoever was first may hang up meanwhile.
func (i *issuer) run(k *Keys, url string, f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), k.config.Timeout)
	defer cancel()
	keys, err := k.limited(ctx, url)
	if err != nil {
		k.config.Log.Warn("cannot get the keys of an OpenID Connect provider", "issuer", url, "error", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tried, i.failure = k.config.Now(), err
	if err == nil {
		i.keys, i.fetched = keys, i.tried
	}
	i.running = nil
	close(f.done)
}

// limited fetches once few enough others do. A panic over what a provider answered is that provider's trouble, and nobody else's.
func (k *Keys) limited(ctx context.Context, url string) (set oidc.KeySet, err error) {
	defer func() {
		if v := recover(); v != nil {
			set, err = nil, fmt.Errorf("%w: panic: %v", ErrAnswer, v)
		}
	}()
	select {
	case k.fetches <- struct{}{}:
		defer func() { <-k.fetches }()
		return k.fetch(ctx, url)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many others are being asked", ErrUnreachable)
	}
}
