package hsm

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Login logs the token's normal user in. Some tokens want more than digits: AWS CloudHSM "user:password". The PIN, 1 to 256
// bytes, is given to the token once. If it is right it is kept in memory until Logout or Close, and a helper that had to be
// started again logs in with it; as soon as the token refuses it, it is forgotten, and nobody is logged in until the next Login.
//
// The errors are ErrPIN, ErrPINLocked, ErrUserNotInitialized, and ErrLoggedIn if another PIN is in use. After ErrUnavailable
// nobody is logged in, but the token may have counted a wrong PIN.
func (t *Token) Login(ctx context.Context, pin []byte) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	if err := t.lockLogin(ctx); err != nil {
		return err
	}
	defer t.unlockLogin()

	t.mu.Lock()
	current := t.pin != nil
	same := subtle.ConstantTimeCompare(t.pin, pin) == 1
	t.mu.Unlock()
	if current && !same {
		return ErrLoggedIn
	}
	if current {
		return t.Healthy(ctx)
	}
	pin = bytes.Clone(pin)
	if _, err := t.call(ctx, open, hsmwire.OpLogin, pin); err != nil {
		clear(pin)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing.Err() != nil {
		clear(pin)
		return unavailable("closed")
	}
	t.pin, t.refused = pin, nil
	t.logins++
	return nil
}

// Logout logs out and forgets the PIN. Other calls then return ErrNotLoggedIn. A helper that does not confirm is ended.
func (t *Token) Logout(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	t.forget(nil)
	if err := t.lockLogin(ctx); err != nil {
		t.mu.Lock()
		c := t.conn
		t.mu.Unlock()
		if c != nil {
			c.fail(fmt.Errorf("%w: logged out", ErrUnavailable))
		}
		return
	}
	defer t.unlockLogin()
	t.forget(nil) // what a Login before this has left

	t.mu.Lock()
	c := t.conn
	t.mu.Unlock()
	if c == nil {
		return // one that is being started will find that the PIN is gone
	}
	if _, err := c.ask(ctx, t.cfg.Timeout, hsmwire.Message{Code: byte(hsmwire.OpLogout)}); err != nil {
		c.fail(fmt.Errorf("%w: logged out", ErrUnavailable))
	}
}

func (t *Token) lockLogin(ctx context.Context) error {
	select {
	case t.login <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable("another login is under way: %w", context.Cause(ctx))
	}
}

func (t *Token) unlockLogin() { <-t.login }

// forget wipes the PIN. why is nil if somebody wanted that.
func (t *Token) forget(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.pin)
	t.pin, t.refused = nil, why
	t.logins++
}

// checkLogin returns ErrNotLoggedIn, with the reason, if nobody is logged in.
func (t *Token) checkLogin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.pin != nil:
		return nil
	case t.refused != nil:
		return fmt.Errorf("%w: the PIN is not accepted any more: %w", ErrNotLoggedIn, t.refused)
	}
	return ErrNotLoggedIn
}
