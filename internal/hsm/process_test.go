package hsm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
)

// These tests start real processes: the test binary itself, which behaves as fakeHelper says. Time is real here, so its limits
// are short where something is to hang and generous where not.

// processes opens a Token whose helpers are processes, and remembers them.
type processes struct {
	mu      sync.Mutex
	started []*process
}

func (p *processes) open(t *testing.T, cfg Config) *Token {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cfg.Helper, cfg.Module, cfg.Token = exe, t.TempDir(), "soft"
	cfg.Env = append(cfg.Env, fakeHelperEnv+"=1")
	cfg.timing.firstDelay = time.Millisecond
	cfg.timing.maxDelay = time.Millisecond
	cfg.spawn = func(c *Config) (*process, error) {
		proc, err := spawn(c)
		if err == nil {
			p.mu.Lock()
			p.started = append(p.started, proc)
			p.mu.Unlock()
		}
		return proc, err
	}
	token := Open(cfg)
	t.Cleanup(func() { p.close(t, token) })
	return token
}

// close closes the Token and checks that every process has ended and was waited for.
func (p *processes) close(t *testing.T, token *Token) {
	t.Helper()
	must(t, token.Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proc := range p.started {
		select {
		case <-proc.exited:
		default:
			t.Error("a helper outlived Close")
		}
	}
}

func (p *processes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.started)
}

// untilUp calls f until it does not say ErrUnavailable, waiting for a change in between.
func untilUp(t *testing.T, token *Token, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	for {
		token.mu.Lock()
		changed := token.changed
		token.mu.Unlock()
		err := f()
		if !errors.Is(err, ErrUnavailable) {
			if err != nil {
				t.Error(err)
			}
			return
		}
		c, readyErr := token.ready(ctx)
		if readyErr == nil && c != nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Errorf("not up again after a minute: %v", err)
			return
		}
	}
}

func login(t *testing.T, token *Token) {
	t.Helper()
	untilUp(t, token, func() error { return token.Login(background, pin) })
	must(t, token.GenerateKey(background, "a"))
}

func TestProcess(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the helper ends if it sees this")
	p := &processes{}
	token := p.open(t, Config{Timeout: time.Minute})
	login(t, token)
	for range 20 {
		roundTrip(t, token)
	}
	if n := p.count(); n != 1 {
		t.Errorf("%d helpers were started", n)
	}
}

// Whatever a helper does, calls end in time, the next helper is logged in, and its predecessor is gone.
func TestMisbehaviour(t *testing.T) {
	for _, name := range misbehaviours {
		t.Run(name, func(t *testing.T) {
			if name == "stop" && runtime.GOOS == "windows" {
				t.Skip("no SIGSTOP on Windows")
			}
			t.Parallel()
			p := &processes{}
			timeout := time.Minute
			if strings.HasPrefix(name, "hang") || name == "stop" {
				timeout = 2 * time.Second
			}
			token := p.open(t, Config{Timeout: timeout})
			login(t, token)
			var failed atomic.Int32
			var wg sync.WaitGroup
			began := time.Now()
			for range 3 {
				wg.Go(func() {
					_, err := token.HasKey(background, name)
					if errors.Is(err, ErrUnavailable) || name == "twice" && err == nil { // the first reply was a good one
						failed.Add(1)
					} else {
						t.Errorf("HasKey: %v", err)
					}
				})
			}
			wg.Wait()
			if waited := time.Since(began); failed.Load() != 3 || waited > 45*time.Second {
				t.Errorf("%d of 3 calls failed as they should, after %v", failed.Load(), waited)
			}
			untilUp(t, token, func() error { return token.Healthy(background) })
			untilUp(t, token, func() error {
				_, _, err := token.Encrypt(background, "a", nil, []byte("x"))
				return err
			})
			if n := p.count(); n < 2 {
				t.Error("no other helper was started")
			}
			if n := softtoken.WrongPINs(token.cfg.Module); n != 0 {
				t.Errorf("%d wrong PINs", n)
			}
		})
	}
}

// Calls from many goroutines while helpers are killed: each ends well or with ErrUnavailable, and none with another's result.
func TestKilledUnderLoad(t *testing.T) {
	p := &processes{}
	token := p.open(t, Config{Timeout: time.Minute})
	login(t, token)
	var wg sync.WaitGroup
	var bad atomic.Int32
	for w := range 8 {
		wg.Go(func() {
			plaintext := bytes.Repeat([]byte{byte(w + 1)}, 100+w)
			for range 50 {
				untilUp(t, token, func() error {
					iv, ciphertext, err := token.Encrypt(background, "a", nil, plaintext)
					if err != nil {
						bad.Add(1)
						return err
					}
					got, err := token.Decrypt(background, "a", iv, nil, ciphertext)
					if err != nil {
						bad.Add(1)
					} else if !bytes.Equal(got, plaintext) {
						t.Errorf("decrypted %x", got)
					}
					return err
				})
			}
		})
	}
	for range 3 {
		untilUp(t, token, func() error { return token.Healthy(background) })
		p.mu.Lock()
		proc := p.started[len(p.started)-1]
		p.mu.Unlock()
		proc.kill()
		<-proc.exited
	}
	wg.Wait()
	untilUp(t, token, func() error { return token.Healthy(background) })
	roundTrip(t, token)
	t.Logf("%d calls failed", bad.Load())
}

// A child of the helper that holds its pipes open does not keep anything from ending, and ends with it.
func TestGrandchild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux are children that outlive the helper found")
	}
	p := &processes{}
	token := p.open(t, Config{Timeout: time.Minute})
	login(t, token)
	_, err := token.HasKey(background, "fork")
	wantErr(t, err, ErrUnavailable)
	untilUp(t, token, func() error { return token.Healthy(background) })
	child, err := os.ReadFile(filepath.Join(token.cfg.Module, "child"))
	must(t, err)
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		stat, err := os.ReadFile("/proc/" + string(child) + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) || bytes.Contains(stat, []byte(") X ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the child lives: %s", stat)
		}
	}
}

func TestNoHelper(t *testing.T) {
	token := Open(Config{Helper: filepath.Join(t.TempDir(), "none"), Module: "/m", Token: "t", timing: timing{firstDelay: time.Hour}})
	defer func() { must(t, token.Close()) }()
	err := token.Healthy(background)
	wantErr(t, err, ErrUnavailable, os.ErrNotExist)
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	in := "first\n\nesc\x1b[31m\xff\n" + strings.Repeat("x", 5000) + "\n" + strings.Repeat("more\n", 500) + "cut off"
	logLines(strings.NewReader(in), slog.New(slog.NewTextHandler(&out, nil)))
	got := out.String()
	if n := strings.Count(got, "\n"); n != linesPerMinute+1 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"line=first\n", "line=esc?[31m?\n", "line=" + strings.Repeat("x", maxLine) + "\n", "left out"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %.40q in the log", want)
		}
	}
}
