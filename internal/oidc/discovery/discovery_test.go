package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
)

const account = "111122223333"

// never waits until whoever asked has gone, and ends without an answer: one that came to its end could still arrive.
func never(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// clock is a time that tests turn.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time               { return time.Unix(1_790_000_000, 0).Add(time.Duration(c.at.Load())) }
func (c *clock) turn(d time.Duration)         { c.at.Add(int64(d)) }
func count(i *oidctest.Issuer) (int64, int64) { return i.Configurations.Load(), i.KeySets.Load() }

func newKeys(t *testing.T, i *oidctest.Issuer, change ...func(*discovery.Config)) (*discovery.Keys, *clock) {
	t.Helper()
	c := &clock{}
	config := discovery.Config{AllowPrivate: loopback, Roots: i.Roots(), Now: c.now}
	for _, f := range change {
		f(&config)
	}
	k, err := discovery.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() }) //nolint:errcheck // drops connections
	return k, c
}

// TestCached finds keys once, and again when they are old.
func TestCached(t *testing.T) {
	i := oidctest.New(t, "/realms/a/")
	k, c := newKeys(t, i)
	for range 5 {
		if keys, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
	}
	if a, b := count(i); a != 1 || b != 1 {
		t.Errorf("asked %d and %d times, want once", a, b)
	}
	c.turn(16 * time.Minute)
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Fatal(err)
	}
	if a, b := count(i); a != 2 || b != 2 {
		t.Errorf("asked %d and %d times, want twice", a, b)
	}
}

// TestRotation finds a key that is new, and asks for unknown ones at most once a minute, whatever number of them there is.
func TestRotation(t *testing.T) {
	i := oidctest.New(t, "")
	k, c := newKeys(t, i)
	if _, err := k.Find(t.Context(), account, i.URL, "p256"); err != nil {
		t.Fatal(err)
	}
	i.Rotate(t, "p256", "new")
	c.turn(time.Minute)
	if _, err := k.Find(t.Context(), account, i.URL, "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Find(t.Context(), account, i.URL, "p256"); !errors.Is(err, discovery.ErrUnknownKey) {
		t.Errorf("the old key: %v", err)
	}
	_, before := count(i)
	for n := range 600 {
		c.turn(time.Second)
		if _, err := k.Find(t.Context(), account, i.URL, fmt.Sprint("unknown", n)); !errors.Is(err, discovery.ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if _, after := count(i); after-before != 10 {
		t.Errorf("asked %d times in 10 minutes", after-before)
	}
}

// TestCombined asks once for many who want keys at the same time, also when the first of them hangs up.
func TestCombined(t *testing.T) {
	i := oidctest.New(t, "")
	asked, release := make(chan struct{}, 100), make(chan struct{})
	i.Handler = func(http.ResponseWriter, *http.Request) bool {
		asked <- struct{}{}
		<-release
		return false
	}
	k, _ := newKeys(t, i)
	gone, hangUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := k.Find(gone, account, i.URL, "rsa")
		first <- err
	}()
	<-asked
	hangUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who hung up: %v", err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if a, b := count(i); a != 1 || b != 1 {
		t.Errorf("asked %d and %d times", a, b)
	}
}

// TestBadAnswers has providers that answer what cannot be used. Each is asked once until a while has passed.
func TestBadAnswers(t *testing.T) {
	elsewhere := oidctest.New(t, "")
	configuration := func(change func(i *oidctest.Issuer, c map[string]string)) func(*oidctest.Issuer, http.ResponseWriter, *http.Request) bool {
		return func(i *oidctest.Issuer, w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
				return false
			}
			c := map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
			change(i, c)
			json.NewEncoder(w).Encode(c) //nolint:errcheck // a test server
			return true
		}
	}
	keys := func(answer func(w http.ResponseWriter, r *http.Request)) func(*oidctest.Issuer, http.ResponseWriter, *http.Request) bool {
		return func(_ *oidctest.Issuer, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/keys" {
				answer(w, r)
				return true
			}
			return false
		}
	}
	all := func(answer func(w http.ResponseWriter, r *http.Request)) func(*oidctest.Issuer, http.ResponseWriter, *http.Request) bool {
		return func(_ *oidctest.Issuer, w http.ResponseWriter, r *http.Request) bool {
			answer(w, r)
			return true
		}
	}
	for name, test := range map[string]struct {
		answer func(*oidctest.Issuer, http.ResponseWriter, *http.Request) bool
		want   error
	}{
		"another issuer":         {configuration(func(_ *oidctest.Issuer, c map[string]string) { c["issuer"] = elsewhere.URL }), discovery.ErrAnswer},
		"an issuer with a slash": {configuration(func(i *oidctest.Issuer, c map[string]string) { c["issuer"] = i.URL + "/" }), discovery.ErrAnswer},
		"no issuer":              {configuration(func(_ *oidctest.Issuer, c map[string]string) { delete(c, "issuer") }), discovery.ErrAnswer},
		"keys over plain HTTP": {configuration(func(i *oidctest.Issuer, c map[string]string) {
			c["jwks_uri"] = strings.Replace(i.URL, "https", "http", 1) + "/keys"
		}), discovery.ErrAnswer},
		"keys in a file":       {configuration(func(_ *oidctest.Issuer, c map[string]string) { c["jwks_uri"] = "file:///etc/passwd" }), discovery.ErrAnswer},
		"keys with a password": {configuration(func(_ *oidctest.Issuer, c map[string]string) { c["jwks_uri"] = "https://a:b@127.0.0.1/keys" }), discovery.ErrAnswer},
		"keys at a private host": {configuration(func(_ *oidctest.Issuer, c map[string]string) {
			c["jwks_uri"] = "https://169.254.169.254/latest/meta-data"
		}), discovery.ErrAnswer},
		"no keys": {configuration(func(_ *oidctest.Issuer, c map[string]string) { delete(c, "jwks_uri") }), discovery.ErrAnswer},
		"a redirect": {all(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		}), discovery.ErrAnswer},
		"a redirect of the keys": {keys(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		}), discovery.ErrAnswer},
		"not found":            {all(http.NotFound), discovery.ErrAnswer},
		"trouble":              {all(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }), discovery.ErrUnreachable},
		"no JSON":              {all(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }), discovery.ErrAnswer}, //nolint:errcheck // a test server
		"a huge configuration": {all(func(w http.ResponseWriter, r *http.Request) { endless(w, r) }), discovery.ErrAnswer},
		"huge keys":            {keys(func(w http.ResponseWriter, r *http.Request) { endless(w, r) }), discovery.ErrAnswer},
		"10,000 keys": {keys(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[{}`+strings.Repeat(`,{}`, 9999)+`]}`)
		}), discovery.ErrAnswer}, //nolint:errcheck // a test server
		"a slow configuration": {all(func(_ http.ResponseWriter, r *http.Request) { never(r) }), discovery.ErrUnreachable},
		"slow keys":            {keys(func(_ http.ResponseWriter, r *http.Request) { never(r) }), discovery.ErrUnreachable},
		"keys that never end": {keys(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
			never(r)
		}), discovery.ErrUnreachable}, //nolint:errcheck // a test server
		"a connection that breaks": {all(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), discovery.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			i := oidctest.New(t, "")
			var well atomic.Bool
			i.Handler = func(w http.ResponseWriter, r *http.Request) bool { return !well.Load() && test.answer(i, w, r) }
			k, c := newKeys(t, i, func(c *discovery.Config) { c.Timeout = 300 * time.Millisecond })
			for range 3 {
				start := time.Now()
				if _, err := k.Find(t.Context(), account, i.URL, "rsa"); !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if time.Since(start) > 10*time.Second {
					t.Error("took too long")
				}
			}
			a, b := count(i)
			if b > 1 || a < 1 || a > 2 { // a connection that broke is tried again by net/http
				t.Errorf("asked %d and %d times", a, b)
			}
			well.Store(true)
			c.turn(time.Minute)
			if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
				t.Errorf("when it has got well: %v", err)
			}
		})
	}
	if n := elsewhere.Connections.Load(); n != 0 {
		t.Errorf("%d connections to whom nobody named", n)
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

// TestStale goes on with old keys for an hour when they cannot be fetched, and no longer.
func TestStale(t *testing.T) {
	i := oidctest.New(t, "")
	var down atomic.Bool
	i.Handler = func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down.Load()
	}
	k, c := newKeys(t, i)
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	c.turn(59 * time.Minute)
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Errorf("after 59 minutes: %v", err)
	}
	c.turn(time.Minute)
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); !errors.Is(err, discovery.ErrUnreachable) {
		t.Errorf("after an hour: %v", err)
	}
}

// TestPrivate connects to no private address that is not allowed, and to no server that no authority vouches for.
func TestPrivate(t *testing.T) {
	i := oidctest.New(t, "")
	k, _ := newKeys(t, i, func(c *discovery.Config) { c.AllowPrivate = nil })
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); !errors.Is(err, discovery.ErrAnswer) || i.Connections.Load() != 0 {
		t.Errorf("%v, %d connections", err, i.Connections.Load())
	}
	k, _ = newKeys(t, i, func(c *discovery.Config) { c.Roots = nil })
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); !errors.Is(err, discovery.ErrUnreachable) || i.Configurations.Load() != 0 {
		t.Errorf("%v", err)
	}
}

// TestStatic never asks an issuer whose keys are configured.
func TestStatic(t *testing.T) {
	i := oidctest.New(t, "")
	set, err := oidc.ParseKeySet(i.KeySet())
	if err != nil {
		t.Fatal(err)
	}
	k, _ := newKeys(t, i, func(c *discovery.Config) { c.Static = map[string]oidc.KeySet{i.URL: set} })
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Error(err)
	}
	if _, err := k.Find(t.Context(), account, i.URL, "unknown"); !errors.Is(err, discovery.ErrUnknownKey) {
		t.Error(err)
	}
	if n := i.Connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestManyIssuers remembers only so many, those used last.
func TestManyIssuers(t *testing.T) {
	i := oidctest.New(t, "")
	k, c := newKeys(t, i, func(c *discovery.Config) { c.AllowPrivate = loopback[:1] })
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Fatal(err)
	}
	for n := range 1100 {
		c.turn(time.Millisecond)
		if n == 600 { // used again, so not the oldest
			if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.Find(t.Context(), account, fmt.Sprintf("https://10.0.0.1/%d", n), "k"); !errors.Is(err, discovery.ErrAnswer) {
			t.Fatal(err)
		}
	}
	if _, err := k.Find(t.Context(), account, i.URL, "rsa"); err != nil {
		t.Fatal(err)
	}
	if a, _ := count(i); a != 1 {
		t.Errorf("asked %d times", a)
	}
	if n := k.Remembered(); n != 1024 {
		t.Errorf("%d issuers are remembered", n)
	}
}

// TestSlowProvidersOfOneAccount has an account with many providers that never answer: those of others are asked as ever.
func TestSlowProvidersOfOneAccount(t *testing.T) {
	hang := make(chan struct{})
	slow := oidctest.New(t, "/slow")
	slow.Handler = func(http.ResponseWriter, *http.Request) bool {
		<-hang
		return true
	}
	quick := oidctest.New(t, "/quick")
	roots := slow.Roots()
	roots.AppendCertsFromPEM(quick.CertificatePEM())
	k, _ := newKeys(t, quick, func(c *discovery.Config) { c.Roots, c.Timeout = roots, time.Minute })
	const providers, atOnce = 32, 4
	answers := make(chan error, providers)
	for n := range providers {
		go func() {
			_, err := k.Find(t.Context(), "999999999999", fmt.Sprintf("%s/%d", slow.URL, n), "rsa")
			answers <- err
		}()
	}
	for range providers - atOnce { // all but those who wait for an answer
		if err := <-answers; !errors.Is(err, discovery.ErrUnreachable) {
			t.Errorf("one provider too many: %v", err)
		}
	}
	if _, err := k.Find(t.Context(), account, quick.URL, "rsa"); err != nil {
		t.Errorf("another account's provider: %v", err)
	}
	close(hang)
	for range atOnce {
		if err := <-answers; err == nil {
			t.Error("a provider that gave no keys has one")
		}
	}
	if _, err := k.Find(t.Context(), "999999999999", quick.URL, "rsa"); err != nil {
		t.Errorf("the account's own other provider, now: %v", err)
	}
}
