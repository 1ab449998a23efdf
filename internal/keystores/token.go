package keystores

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
)

// device is what is needed of an hsm.Token.
type device interface {
	Login(ctx context.Context, pin []byte) error
	Logout(ctx context.Context)
	Info(ctx context.Context) (hsm.Info, error)
	GenerateKey(ctx context.Context, id string) error
	DestroyKey(ctx context.Context, id string) error
	Encrypt(ctx context.Context, id string, aad, plaintext []byte) (iv, ciphertext []byte, err error)
	Decrypt(ctx context.Context, id string, iv, aad, ciphertext []byte) ([]byte, error)
	Random(ctx context.Context, n int) ([]byte, error)
	Close() error
}

// cluster is a token and what is known of logging in to it.
type cluster struct {
	Cluster
	token  device
	calls  slots
	health *health
	login  chan struct{} // has room for one: who is logging in

	releases atomic.Uint64 // grows when the key store is released; changed with login held

	mu      sync.Mutex
	refused [sha256.Size]byte // of the PIN that the token refused last; guarded by mu
	refusal error             // why; nil if it has refused none; guarded by mu
}

func newCluster(c Cluster, h *health) *cluster {
	return &cluster{Cluster: c, calls: newSlots(callsPerStore), health: h, login: make(chan struct{}, 1)}
}

func (c *cluster) pin(password string) []byte {
	if c.User != "" {
		return []byte(c.User + ":" + password)
	}
	return []byte(password)
}

// active returns nil if the token answers.
func (c *cluster) active(ctx context.Context) error {
	release, err := c.calls.take()
	if err != nil {
		return err
	}
	defer release()
	_, err = c.token.Info(ctx)
	return c.health.note(tokenFault(err))
}

// release logs out; calls that are under way do not log in again.
func (c *cluster) release(ctx context.Context) {
	select {
	case c.login <- struct{}{}:
		defer func() { <-c.login }()
	case <-ctx.Done():
	}
	c.releases.Add(1)
	c.token.Logout(ctx)
}

// session is a token with the PIN of a custom key store. Nothing logs in before it is needed: so a key store that is connected is that
// after a restart too.
type session struct {
	*cluster
	pin      []byte
	releases uint64 // as of when the session was made: one from before a release logs nobody in any more
}

var _ kms.Token = (*session)(nil)

// Login implements kms.Token.
func (s *session) Login(ctx context.Context) error {
	release, err := s.calls.take()
	if err != nil {
		return err
	}
	defer release()
	return s.health.note(tokenFault(s.logIn(ctx, true)))
}

// logIn logs in, unless the token has refused this very PIN and nobody insists: it would lock after a few more.
func (s *session) logIn(ctx context.Context, insist bool) error {
	select {
	case s.login <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.login }()
	if !insist && s.releases != s.cluster.releases.Load() {
		return hsm.ErrNotLoggedIn
	}
	sum := sha256.Sum256(s.pin)
	s.mu.Lock()
	refusal := s.refusal
	if subtle.ConstantTimeCompare(sum[:], s.refused[:]) != 1 {
		refusal = nil
	}
	s.mu.Unlock()
	if refusal != nil && !insist {
		return refusal
	}
	err := s.token.Login(ctx, bytes.Clone(s.pin))
	if errors.Is(err, hsm.ErrLoggedIn) { // with the PIN from before a change
		s.token.Logout(ctx)
		err = s.token.Login(ctx, bytes.Clone(s.pin))
	}
	s.learn(err)
	return err
}

// refusals are a token's answers to a PIN that will not be different next time.
var refusals = []error{hsm.ErrPIN, hsm.ErrPINLocked, hsm.ErrUserNotInitialized}

// learn remembers that the token has refused the PIN, or taken it.
func (s *session) learn(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.refused, s.refusal = [sha256.Size]byte{}, nil
		return
	}
	if isRefusal(err) {
		s.refused, s.refusal = sha256.Sum256(s.pin), err
	}
}

func isRefusal(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// do makes a call, logging in first if nobody is.
func (s *session) do(ctx context.Context, call func() error) error {
	release, err := s.calls.take()
	if err != nil {
		return err
	}
	defer release()
	err = call()
	if errors.Is(err, hsm.ErrNotLoggedIn) {
		if isRefusal(err) { // a PIN that used to work
			s.learn(err)
		} else if err = s.logIn(ctx, false); err == nil {
			err = call()
		}
	}
	return s.health.note(tokenFault(err))
}

// GenerateKey implements kms.Token.
func (s *session) GenerateKey(ctx context.Context, name string) error {
	return s.do(ctx, func() error { return s.token.GenerateKey(ctx, name) })
}

// DestroyKey implements kms.Token.
func (s *session) DestroyKey(ctx context.Context, name string) error {
	return s.do(ctx, func() error { return s.token.DestroyKey(ctx, name) })
}

// Encrypt implements kms.Token.
func (s *session) Encrypt(ctx context.Context, name string, additionalData, plaintext []byte) (iv, ciphertext []byte, err error) {
	err = s.do(ctx, func() (err error) {
		iv, ciphertext, err = s.token.Encrypt(ctx, name, additionalData, plaintext)
		return err
	})
	return iv, ciphertext, err
}

// Decrypt implements kms.Token.
func (s *session) Decrypt(ctx context.Context, name string, iv, additionalData, ciphertext []byte) (plaintext []byte, err error) {
	err = s.do(ctx, func() (err error) {
		plaintext, err = s.token.Decrypt(ctx, name, iv, additionalData, ciphertext)
		return err
	})
	return plaintext, err
}

// Random implements kms.Token.
func (s *session) Random(ctx context.Context, n int) (b []byte, err error) {
	err = s.do(ctx, func() (err error) {
		b, err = s.token.Random(ctx, n)
		return err
	})
	return b, err
}

// tokenFaults says what an error of package hsm means, the first that fits.
var tokenFaults = []struct {
	err   error
	fault kms.Fault
}{
	{hsm.ErrPINLocked, kms.FaultLocked},
	{hsm.ErrUserNotInitialized, kms.FaultNoUser},
	{hsm.ErrPIN, kms.FaultPassword},
	{hsm.ErrKeyNotFound, kms.FaultTokenKey},
	{hsm.ErrNoModule, kms.FaultModule},
	{hsm.ErrNoToken, kms.FaultNoToken},
	{hsm.ErrNotLoggedIn, kms.FaultInactive},
	{hsm.ErrLoggedIn, kms.FaultLoggedIn},
	{hsm.ErrUnavailable, kms.FaultInactive},
}

// tokenFault turns an error of package hsm into one of package kms.
func tokenFault(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, hsm.ErrCiphertext):
		return keys.ErrCiphertext
	case errors.Is(err, context.DeadlineExceeded):
		return &kms.StoreError{Fault: kms.FaultInactive, Err: err}
	}
	for _, f := range tokenFaults {
		if errors.Is(err, f.err) {
			return &kms.StoreError{Fault: f.fault, Err: err}
		}
	}
	return &kms.StoreError{Fault: kms.FaultInternal, Err: err}
}
