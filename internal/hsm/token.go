package hsm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Token is one token behind a helper process. Its methods may be called from several goroutines. Each returns within
// Config.Timeout, whatever its ctx allows; the errors common to all are ErrUnavailable, ErrNoModule, ErrNoToken and ErrToken.
type Token struct {
	cfg   Config
	slots chan struct{} // one element for each call under way
	login chan struct{} // has room for one: who logs in or out

	closing context.Context // ends with Close
	close   context.CancelFunc
	ended   chan struct{} // the supervisor has returned, and no helper is left

	mu      sync.Mutex
	conn    *conn         // nil while there is no helper
	down    error         // why there is none; nil while one is being started
	changed chan struct{} // closed and made anew when conn or down change
	pin     []byte        // nil unless logged in; the helper, when started again, is logged in with it
	refused error         // why the PIN was forgotten, if the token did not take it any more
	logins  int           // grows with every Login and Logout
}

// Open returns a Token and begins to start its helper. What is wrong with cfg, or with the module, the calls tell; keyturn can
// serve other keys meanwhile, and a module or token that turns up later is found.
func Open(cfg Config) *Token {
	cfg.setDefaults()
	t := &Token{
		cfg:     cfg,
		slots:   make(chan struct{}, cfg.MaxInFlight),
		login:   make(chan struct{}, 1),
		ended:   make(chan struct{}),
		changed: make(chan struct{}),
	}
	t.closing, t.close = context.WithCancel(context.Background())
	go t.supervise()
	return t
}

// Close ends the helper and forgets the PIN. It waits for the helper's end; ErrUnavailable says that the helper did not end in
// Config.Timeout even when killed, being stuck in a device driver.
func (t *Token) Close() error {
	t.close()
	t.forget(nil)
	timer := time.NewTimer(t.cfg.Timeout + t.cfg.timing.grace)
	defer timer.Stop()
	select {
	case <-t.ended:
		return nil
	case <-timer.C:
		return unavailable("the helper does not end")
	}
}

// Info describes a token. The texts are its own and prove nothing.
type Info struct {
	Label, Manufacturer, Model, Serial, Firmware string
	FreePrivateMemory                            int64 // bytes; -1 if the token does not tell
}

// Info asks for the token's description. It needs no login.
func (t *Token) Info(ctx context.Context) (Info, error) {
	f, err := t.call(ctx, open, hsmwire.OpInfo, []byte{hsmwire.Version})
	if err != nil {
		return Info{}, err
	}
	return makeInfo(f), nil
}

func makeInfo(f [][]byte) Info {
	i := Info{printable(f[0]), printable(f[1]), printable(f[2]), printable(f[3]), printable(f[4]), -1}
	if free := binary.BigEndian.Uint64(f[5]); free <= math.MaxInt64 {
		i.FreePrivateMemory = int64(free)
	}
	return i
}

// Healthy returns nil if the token answers and somebody is logged in, else the reason.
func (t *Token) Healthy(ctx context.Context) error {
	_, err := t.call(ctx, loggedIn, hsmwire.OpInfo, []byte{hsmwire.Version})
	return err
}

// GenerateKey makes a 256-bit AES key that cannot leave the token, for Encrypt and Decrypt only. An id is 1 to 64 letters,
// digits, '-', '_' and '.'; the key's label on the token is "keyturn:" and the id. After ErrUnavailable it is not known
// whether there is a key; HasKey tells.
func (t *Token) GenerateKey(ctx context.Context, id string) error {
	_, err := t.call(ctx, loggedIn, hsmwire.OpGenerateKey, []byte(id))
	return err
}

// Encrypt encrypts 1 to MaxPlaintext bytes with AES-256-GCM and returns the IV, 12 bytes, and the ciphertext, followed by the
// tag, 16 bytes. aad has at most MaxAAD bytes.
//
// The IV is random, so a key must not encrypt more than 2^32 messages (NIST SP 800-38D, section 8.3); the caller sees to that.
// With tokens that cannot say what was wrong, SoftHSM 2.6 for one, the helper adds a message of its own after a bad ciphertext,
// once per key while it runs and remembers the key.
func (t *Token) Encrypt(ctx context.Context, id string, aad, plaintext []byte) (iv, ciphertext []byte, err error) {
	f, err := t.call(ctx, loggedIn, hsmwire.OpEncrypt, []byte(id), aad, plaintext)
	if err != nil {
		return nil, nil, err
	}
	return f[0], f[1], nil
}

// Decrypt is the reverse of Encrypt. ErrCiphertext says that any of iv, aad, ciphertext or key is not what Encrypt had or
// returned.
func (t *Token) Decrypt(ctx context.Context, id string, iv, aad, ciphertext []byte) ([]byte, error) {
	f, err := t.call(ctx, loggedIn, hsmwire.OpDecrypt, []byte(id), iv, aad, ciphertext)
	if err != nil {
		return nil, err
	}
	return f[0], nil
}

// DestroyKey destroys a key; ErrKeyNotFound if there is none.
func (t *Token) DestroyKey(ctx context.Context, id string) error {
	_, err := t.call(ctx, loggedIn, hsmwire.OpDestroyKey, []byte(id))
	return err
}

// HasKey tells whether the token has a key with this ID.
func (t *Token) HasKey(ctx context.Context, id string) (bool, error) {
	f, err := t.call(ctx, loggedIn, hsmwire.OpHasKey, []byte(id))
	return err == nil && f[0][0] == 1, err
}

// Random returns n bytes, 1 to MaxRandom, of the token's random generator.
func (t *Token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > MaxRandom {
		return nil, ErrInvalid
	}
	f, err := t.call(ctx, loggedIn, hsmwire.OpRandom, hsmwire.PutCount(n))
	if err != nil {
		return nil, err
	}
	return f[0], nil
}

// need is what a call needs.
type need bool

const (
	open     need = false // nobody logged in
	loggedIn need = true
)

// call makes one call and returns the fields of its reply.
func (t *Token) call(ctx context.Context, n need, op hsmwire.Op, fields ...[]byte) ([][]byte, error) {
	q := hsmwire.Message{Code: byte(op), Fields: fields}
	if hsmwire.CheckRequest(q) != nil {
		return nil, ErrInvalid
	}
	select {
	case t.slots <- struct{}{}:
	default:
		return nil, unavailable("too many calls at a time")
	}
	release := func() { <-t.slots }

	ctx, cancel := context.WithTimeoutCause(ctx, t.cfg.Timeout, errors.New("no answer in time"))
	defer cancel()
	c, err := t.ready(ctx)
	if err == nil && n == loggedIn {
		err = t.checkLogin()
	}
	if err != nil {
		release()
		return nil, err
	}
	sent, err := c.send(q, t.cfg.Timeout, release)
	if err != nil {
		return nil, err
	}
	m, err := c.await(ctx, sent)
	if err != nil {
		return nil, err
	}
	if err := replyError(m); err != nil {
		return nil, t.judge(c, err)
	}
	if op == hsmwire.OpInfo && n == loggedIn && m.Fields[6][0] == 0 {
		return nil, t.judge(c, ErrNotLoggedIn)
	}
	return m.Fields, nil
}

// ready returns the conversation with the helper, waiting while it is being started.
func (t *Token) ready(ctx context.Context) (*conn, error) {
	for {
		t.mu.Lock()
		c, down, changed := t.conn, t.down, t.changed
		t.mu.Unlock()
		if t.closing.Err() != nil {
			return nil, unavailable("closed")
		}
		if down != nil {
			return nil, down
		}
		if c != nil {
			select {
			case <-c.done: // the supervisor is about to notice
			default:
				return c, nil
			}
		}
		select {
		case <-changed:
		case <-t.closing.Done():
		case <-ctx.Done():
			return nil, unavailable("the helper is being started: %w", context.Cause(ctx))
		}
	}
}

// judge ends a helper whose error says that only a fresh start can help, and returns the error to tell the caller.
func (t *Token) judge(c *conn, err error) error {
	switch {
	case errors.Is(err, ErrNotLoggedIn):
		if loginErr := t.checkLogin(); loginErr != nil {
			return loginErr // there was a Logout meanwhile
		}
		err = fmt.Errorf("%w: the token has ended the login", ErrUnavailable)
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrNoToken), errors.Is(err, ErrNoModule):
	default:
		return err
	}
	c.fail(err)
	return err
}
