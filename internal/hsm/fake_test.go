package hsm

import (
	"context"
	"crypto/fips140"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// fake makes helpers that are goroutines, for tests within a synctest bubble.
type fake struct {
	dir  string
	soft func(n int, s *softtoken.Token)                                          // sets up the n-th helper's token; from 0
	wrap func(killed <-chan struct{}, h helper.Handler, q hsmwire.Message) answer // stands before the token, if not nil
	fail func(n int) error                                                        // keeps the n-th helper from being started, if not nil
	hold bool                                                                     // killed helpers do not end until release

	mu      sync.Mutex
	began   []time.Time
	tokens  []*softtoken.Token
	kills   []func()
	release chan struct{}
}

type answer = hsmwire.Message

// die is what wrap returns to end the helper without a reply.
var die = hsmwire.Message{ID: ^uint64(0)}

func (f *fake) spawn(c *Config) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.began)
	f.began = append(f.began, time.Now())
	if f.fail != nil {
		if err := f.fail(n); err != nil {
			return nil, err
		}
	}
	soft := &softtoken.Token{Dir: f.dir}
	if f.soft != nil {
		f.soft(n, soft)
	}
	in, requests := io.Pipe()
	replies, out := io.Pipe()
	killed, exited := make(chan struct{}), make(chan struct{})
	kill := sync.OnceFunc(func() {
		close(killed)
		in.CloseWithError(io.ErrClosedPipe)
		if !f.hold {
			out.Close()
			close(exited)
			return
		}
		go func() { <-f.release; out.Close(); close(exited) }()
	})
	f.tokens = append(f.tokens, soft)
	f.kills = append(f.kills, kill)
	token := helper.New(soft, c.Sessions)
	go func() {
		_ = helper.Serve(in, out, c.Sessions, handlerFunc(func(q hsmwire.Message) hsmwire.Message {
			if f.wrap == nil {
				return token.Handle(q)
			}
			m := f.wrap(killed, token, q)
			if m.ID == die.ID {
				kill()
			}
			return m
		}))
		kill()
	}()
	return &process{in: requests, out: replies, kill: kill, exited: exited}, nil
}

type handlerFunc func(hsmwire.Message) hsmwire.Message

func (f handlerFunc) Handle(m hsmwire.Message) hsmwire.Message { return f(m) }

// bubble runs a test where time is faked, and which fails if it leaves a goroutine behind.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, f)
}

// open opens a Token with fake helpers, which ends with the test.
func (f *fake) open(t *testing.T, cfg Config) *Token {
	t.Helper()
	if f.dir == "" {
		f.dir = t.TempDir()
	}
	cfg.spawn = f.spawn
	token := Open(cfg)
	t.Cleanup(func() { _ = token.Close() })
	return token
}

// starts counts the helpers started.
func (f *fake) starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.began)
}

// times tells when they were started.
func (f *fake) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.began)
}

// kill kills the present helper.
func (f *fake) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kills[len(f.kills)-1]()
}

// token returns the present helper's.
func (f *fake) token() *softtoken.Token {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tokens[len(f.tokens)-1]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error %v, want %v", err, w)
		}
	}
}

var (
	background = context.Background()
	pin        = []byte(softtoken.PIN)
)

// roundTrip encrypts and decrypts with the key "a".
func roundTrip(t *testing.T, token *Token) {
	t.Helper()
	iv, ciphertext, err := token.Encrypt(background, "a", []byte("beside"), []byte("plaintext"))
	must(t, err)
	plaintext, err := token.Decrypt(background, "a", iv, []byte("beside"), ciphertext)
	must(t, err)
	if string(plaintext) != "plaintext" {
		t.Errorf("decrypted %q", plaintext)
	}
}
