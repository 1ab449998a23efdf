package keystores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
)

const (
	account   = "111122223333"
	region    = "eu-central-1"
	clusterID = "cluster-aaaaaaaaaaa"
)

// fakeDevice is a token that counts logins and locks after three wrong ones.
type fakeDevice struct {
	pin      string // the right one
	current  string // who is logged in; "" for nobody
	tries    int
	wrong    int
	logouts  int
	err      error // of everything that needs a login
	infoErr  error
	block    chan struct{} // Random waits for it, if it is not nil
	answered int
}

func (d *fakeDevice) Login(_ context.Context, pin []byte) error {
	d.tries++
	switch {
	case d.current != "" && d.current != string(pin):
		return hsm.ErrLoggedIn
	case d.wrong >= 3:
		return hsm.ErrPINLocked
	case string(pin) != d.pin:
		d.wrong++
		return fmt.Errorf("%w: said the token", hsm.ErrPIN)
	}
	d.current, d.wrong = string(pin), 0
	return nil
}

func (d *fakeDevice) Logout(context.Context) { d.logouts++; d.current = "" }
func (d *fakeDevice) Close() error           { return nil }
func (d *fakeDevice) Info(context.Context) (hsm.Info, error) {
	return hsm.Info{}, d.infoErr
}

func (d *fakeDevice) call() error {
	if d.err != nil {
		return d.err
	}
	if d.current == "" {
		return hsm.ErrNotLoggedIn
	}
	d.answered++
	return nil
}

func (d *fakeDevice) GenerateKey(context.Context, string) error { return d.call() }
func (d *fakeDevice) DestroyKey(context.Context, string) error  { return d.call() }
func (d *fakeDevice) Encrypt(_ context.Context, _ string, _, p []byte) ([]byte, []byte, error) {
	return []byte("iv"), p, d.call()
}
func (d *fakeDevice) Decrypt(_ context.Context, _ string, _, _, c []byte) ([]byte, error) {
	return c, d.call()
}
func (d *fakeDevice) Random(_ context.Context, n int) ([]byte, error) {
	if d.block != nil {
		<-d.block
	}
	return make([]byte, n), d.call()
}

// withToken returns Stores with a fake token, and what they log.
func withToken(t *testing.T, d *fakeDevice) (*Stores, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	now := time.Unix(0, 0)
	s, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { now = now.Add(quiet); return now }})
	if err != nil {
		t.Fatal(err)
	}
	s.clusters[clusterID] = newCluster(Cluster{ID: clusterID, Account: account, Region: region, TrustAnchor: "anchor"}, s.newHealth("cluster", clusterID))
	s.clusters[clusterID].token = d
	return s, &log
}

func tokenStore(password string) *record.KeyStore {
	return &record.KeyStore{
		Owner: record.Owner{Account: account, Region: region}, ID: "cks-1", Type: record.TokenStore, ClusterID: clusterID, Password: password,
		Connection: record.Connected,
	}
}

func token(t *testing.T, s *Stores, password string) kms.Token {
	t.Helper()
	k, err := s.Token(tokenStore(password))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func faultOf(err error) kms.Fault {
	e := (*kms.StoreError)(nil)
	if !errors.As(err, &e) {
		return 255
	}
	return e.Fault
}

// TestTokenLogsIn logs in when it is needed, as after a restart, and once for all.
func TestTokenLogsIn(t *testing.T) {
	d := &fakeDevice{pin: "right password"}
	s, _ := withToken(t, d)
	k := token(t, s, "right password")
	for range 3 {
		if _, err := k.Random(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
	}
	if d.tries != 1 || d.answered != 3 {
		t.Errorf("%d logins for %d calls", d.tries, d.answered)
	}
	s.Release(t.Context(), tokenStore("right password"))
	if d.logouts != 1 || d.current != "" {
		t.Error("nobody logged out")
	}
}

// TestTokenWrongPassword tries a wrong password once, however often it is used, until somebody insists.
func TestTokenWrongPassword(t *testing.T) {
	d := &fakeDevice{pin: "right password"}
	s, log := withToken(t, d)
	for range 10 {
		if err := token(t, s, "wrong password").GenerateKey(t.Context(), "k"); faultOf(err) != kms.FaultPassword {
			t.Fatalf("%v", err)
		}
	}
	if d.tries != 1 {
		t.Errorf("the token was given the wrong password %d times", d.tries)
	}
	if err := token(t, s, "wrong password").Login(t.Context()); faultOf(err) != kms.FaultPassword || d.tries != 2 {
		t.Errorf("%v after %d tries", err, d.tries)
	}
	// Another password is another matter.
	if err := token(t, s, "right password").GenerateKey(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "password\"") || strings.Contains(log.String(), "right password") || strings.Contains(log.String(), "wrong password") {
		t.Errorf("a password is in the log: %s", log)
	}
}

// TestTokenLocked runs into the lock by insisting.
func TestTokenLocked(t *testing.T) {
	d := &fakeDevice{pin: "right password"}
	s, _ := withToken(t, d)
	k := token(t, s, "wrong password")
	for range 3 {
		if err := k.Login(t.Context()); faultOf(err) != kms.FaultPassword {
			t.Fatal(err)
		}
	}
	if err := k.Login(t.Context()); faultOf(err) != kms.FaultLocked {
		t.Error(err)
	}
}

// TestTokenPasswordChanged connects with a new password while the token is logged in with the old one.
func TestTokenPasswordChanged(t *testing.T) {
	d := &fakeDevice{pin: "new password", current: "old password"}
	s, _ := withToken(t, d)
	if err := token(t, s, "new password").Login(t.Context()); err != nil || d.current != "new password" {
		t.Errorf("%v, logged in with %q", err, d.current)
	}
	// A password that used to work and is refused after the helper's restart is not tried again.
	d.err, d.tries = fmt.Errorf("%w: the PIN is not accepted any more: %w", hsm.ErrNotLoggedIn, hsm.ErrPIN), 0
	for range 3 {
		if _, err := token(t, s, "new password").Random(t.Context(), 1); faultOf(err) != kms.FaultPassword {
			t.Error(err)
		}
	}
	d.err, d.current = nil, ""
	if _, err := token(t, s, "new password").Random(t.Context(), 1); faultOf(err) != kms.FaultPassword || d.tries != 0 {
		t.Errorf("%v after %d tries", err, d.tries)
	}
}

// TestTokenUser puts the user before the password.
func TestTokenUser(t *testing.T) {
	d := &fakeDevice{pin: "kmsuser:right password"}
	s, _ := withToken(t, d)
	s.clusters[clusterID].User = "kmsuser"
	if err := token(t, s, "right password").Login(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTokenOfOthers keeps a cluster from other accounts and regions.
func TestTokenOfOthers(t *testing.T) {
	s, _ := withToken(t, &fakeDevice{})
	for _, o := range []record.Owner{{Account: "999988887777", Region: region}, {Account: account, Region: "us-east-1"}} {
		if _, err := s.Cluster(t.Context(), o, clusterID); faultOf(err) != kms.FaultNoCluster {
			t.Errorf("%v: %v", o, err)
		}
		if _, err := s.Token(&record.KeyStore{Owner: o, Type: record.TokenStore, ClusterID: clusterID}); faultOf(err) != kms.FaultNoCluster {
			t.Errorf("%v: %v", o, err)
		}
	}
	if a, err := s.Cluster(t.Context(), record.Owner{Account: account, Region: region}, clusterID); err != nil || a != "anchor" {
		t.Errorf("%q, %v", a, err)
	}
}

// TestTokenBusy has more calls than a token may have: those fail at once.
func TestTokenBusy(t *testing.T) {
	d := &fakeDevice{pin: "p", current: "p", block: make(chan struct{})}
	s, _ := withToken(t, d)
	c := s.clusters[clusterID]
	for range callsPerStore - 1 {
		if _, err := c.calls.take(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() {
		_, err := token(t, s, "p").Random(t.Context(), 1)
		done <- err
	}()
	d.block <- struct{}{} // it is under way now
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.calls.take(); err != nil { // the call has given its slot back
		t.Fatal(err)
	}
	if _, err := token(t, s, "p").Random(t.Context(), 1); faultOf(err) != kms.FaultBusy {
		t.Error(err)
	}
	if _, err := s.Cluster(t.Context(), record.Owner{Account: account, Region: region}, clusterID); faultOf(err) != kms.FaultBusy {
		t.Error(err)
	}
}

func TestTokenFaults(t *testing.T) {
	for _, c := range []struct {
		err   error
		fault kms.Fault
	}{
		{hsm.ErrUnavailable, kms.FaultInactive}, {hsm.ErrNoModule, kms.FaultModule}, {hsm.ErrNoToken, kms.FaultNoToken}, {hsm.ErrPIN, kms.FaultPassword},
		{hsm.ErrPINLocked, kms.FaultLocked}, {hsm.ErrUserNotInitialized, kms.FaultNoUser}, {hsm.ErrLoggedIn, kms.FaultLoggedIn},
		{hsm.ErrNotLoggedIn, kms.FaultInactive}, {hsm.ErrKeyNotFound, kms.FaultTokenKey}, {hsm.ErrKeyExists, kms.FaultInternal},
		{hsm.ErrToken, kms.FaultInternal}, {hsm.ErrInvalid, kms.FaultInternal}, {context.DeadlineExceeded, kms.FaultInactive},
	} {
		if got := faultOf(tokenFault(fmt.Errorf("about: %w", c.err))); got != c.fault {
			t.Errorf("%v is fault %d, want %d", c.err, got, c.fault)
		}
	}
	if err := tokenFault(fmt.Errorf("about: %w", hsm.ErrCiphertext)); !errors.Is(err, keys.ErrCiphertext) {
		t.Error(err)
	}
	if err := tokenFault(context.Canceled); !errors.Is(err, context.Canceled) || faultOf(err) != 255 {
		t.Error(err)
	}
}

// TestHealthLog logs changes of state, and no call twice.
func TestHealthLog(t *testing.T) {
	d := &fakeDevice{pin: "p", current: "p"}
	s, log := withToken(t, d)
	k := token(t, s, "p")
	for _, err := range []error{nil, hsm.ErrUnavailable, hsm.ErrUnavailable, hsm.ErrKeyNotFound, hsm.ErrUnavailable, hsm.ErrNoToken, nil, nil} {
		d.err = err
		_, _ = k.Random(t.Context(), 1)
	}
	if n := strings.Count(log.String(), "custom key store failed"); n != 2 {
		t.Errorf("%d failures logged, want 2:\n%s", n, log)
	}
	if n := strings.Count(log.String(), "works again"); n != 1 {
		t.Errorf("%d recoveries logged, want 1:\n%s", n, log)
	}
}
