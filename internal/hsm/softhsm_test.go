package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/hsm/hsmtest"
)

// These tests run the real helper on SoftHSM 2. See hsmtest.ModuleEnv.

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func open(t *testing.T, cfg hsm.Config) *hsm.Token {
	t.Helper()
	token := hsm.Open(cfg)
	t.Cleanup(func() { must(t, token.Close()) })
	return token
}

func login(t *testing.T, cfg hsm.Config) *hsm.Token {
	t.Helper()
	token := open(t, cfg)
	must(t, token.Login(ctx, []byte(hsmtest.PIN)))
	return token
}

// again calls f, at most for a minute, until it does not say ErrUnavailable.
func again(t *testing.T, token *hsm.Token, f func() error) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		changed := token.Changed()
		err := f()
		if !errors.Is(err, hsm.ErrUnavailable) {
			if err != nil {
				t.Error(err)
			}
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Error(err)
			return
		}
	}
}

func roundTrip(token *hsm.Token, id string, aad, plaintext []byte) error {
	iv, ciphertext, err := token.Encrypt(ctx, id, aad, plaintext)
	if err != nil {
		return err
	}
	got, err := token.Decrypt(ctx, id, iv, aad, ciphertext)
	if err == nil && !bytes.Equal(got, plaintext) {
		err = fmt.Errorf("decrypted %x", got)
	}
	return err
}

func TestSoftHSMOperations(t *testing.T) {
	token := login(t, hsmtest.New(t).Config)
	info, err := token.Info(ctx)
	must(t, err)
	if info.Label != hsmtest.Label || info.Manufacturer != "SoftHSM project" || info.Serial == "" {
		t.Errorf("info: %+v", info)
	}
	must(t, token.Healthy(ctx))
	const id = "1234abcd-12ab-34cd-56ef-1234567890ab"
	wantErr(t, token.DestroyKey(ctx, id), hsm.ErrKeyNotFound)
	must(t, token.GenerateKey(ctx, id))
	must(t, token.GenerateKey(ctx, "other"))
	wantErr(t, token.GenerateKey(ctx, id), hsm.ErrKeyExists)
	if has, err := token.HasKey(ctx, id); err != nil || !has {
		t.Errorf("HasKey: %v, %v", has, err)
	}
	long := bytes.Repeat([]byte{9}, hsm.MaxAAD)
	for _, n := range []int{1, 15, 16, 17, 4096, hsm.MaxPlaintext} {
		must(t, roundTrip(token, id, nil, long[:n]))
		must(t, roundTrip(token, id, long, long[:n]))
	}

	aad, plaintext := []byte("beside"), []byte("plaintext")
	iv, ciphertext, err := token.Encrypt(ctx, id, aad, plaintext)
	must(t, err)
	flip := func(b []byte, i int) []byte { b = bytes.Clone(b); b[i] ^= 1; return b }
	for name, decrypt := range map[string]func() ([]byte, error){
		"IV":         func() ([]byte, error) { return token.Decrypt(ctx, id, flip(iv, 0), aad, ciphertext) },
		"AAD":        func() ([]byte, error) { return token.Decrypt(ctx, id, iv, flip(aad, 5), ciphertext) },
		"no AAD":     func() ([]byte, error) { return token.Decrypt(ctx, id, iv, nil, ciphertext) },
		"ciphertext": func() ([]byte, error) { return token.Decrypt(ctx, id, iv, aad, flip(ciphertext, 0)) },
		"tag":        func() ([]byte, error) { return token.Decrypt(ctx, id, iv, aad, flip(ciphertext, len(ciphertext)-1)) },
		"cut short":  func() ([]byte, error) { return token.Decrypt(ctx, id, iv, aad, ciphertext[1:]) },
		"key":        func() ([]byte, error) { return token.Decrypt(ctx, "other", iv, aad, ciphertext) },
	} {
		if got, err := decrypt(); !errors.Is(err, hsm.ErrCiphertext) || got != nil {
			t.Errorf("%s changed: %q, %v", name, got, err)
		}
	}
	random, err := token.Random(ctx, hsm.MaxRandom)
	if err != nil || len(random) != hsm.MaxRandom || bytes.Equal(random, make([]byte, hsm.MaxRandom)) {
		t.Errorf("random: %d bytes, %v", len(random), err)
	}

	must(t, token.DestroyKey(ctx, id))
	if has, err := token.HasKey(ctx, id); err != nil || has {
		t.Errorf("HasKey: %v, %v", has, err)
	}
	_, err = token.Decrypt(ctx, id, iv, aad, ciphertext)
	wantErr(t, err, hsm.ErrKeyNotFound)
	must(t, roundTrip(token, "other", aad, plaintext))
	token.Logout(ctx)
	wantErr(t, roundTrip(token, "other", aad, plaintext), hsm.ErrNotLoggedIn)
	must(t, token.Login(ctx, []byte(hsmtest.PIN)))
	must(t, roundTrip(token, "other", aad, plaintext))
}

// Two processes, as two keyturns, on one token: what one makes or destroys, the other sees.
func TestSoftHSMTwoHelpers(t *testing.T) {
	kit := hsmtest.New(t)
	one, two := login(t, kit.Config), login(t, kit.Config)
	must(t, one.GenerateKey(ctx, "a"))
	iv, ciphertext, err := one.Encrypt(ctx, "a", nil, []byte("x"))
	must(t, err)
	if got, err := two.Decrypt(ctx, "a", iv, nil, ciphertext); err != nil || string(got) != "x" {
		t.Errorf("decrypted %q, %v", got, err)
	}
	wantErr(t, two.GenerateKey(ctx, "a"), hsm.ErrKeyExists)
	must(t, two.DestroyKey(ctx, "a"))
	_, err = one.Decrypt(ctx, "a", iv, nil, ciphertext)
	wantErr(t, err, hsm.ErrKeyNotFound)
	must(t, one.GenerateKey(ctx, "a"))
	_, err = two.Decrypt(ctx, "a", iv, nil, ciphertext)
	wantErr(t, err, hsm.ErrCiphertext)
	must(t, roundTrip(two, "a", nil, []byte("y")))
}

func TestSoftHSMTokens(t *testing.T) {
	kit := hsmtest.New(t)
	token := open(t, kit.Config)
	wantErr(t, token.Login(ctx, []byte("wrong-1234")), hsm.ErrPIN)
	wantErr(t, token.Healthy(ctx), hsm.ErrNotLoggedIn)
	must(t, token.Login(ctx, []byte(hsmtest.PIN)))
	info, err := token.Info(ctx)
	must(t, err)

	bySerial := kit.Config
	bySerial.Token = info.Serial
	must(t, login(t, bySerial).Healthy(ctx))

	kit.AddToken(t, "twice")
	kit.AddToken(t, "twice")
	notAModule := filepath.Join(t.TempDir(), "module.so")
	must(t, os.WriteFile(notAModule, []byte("text"), 0o600))
	for name, test := range map[string]struct {
		change func(*hsm.Config)
		want   error
	}{
		"no such token":     {func(c *hsm.Config) { c.Token = "none" }, hsm.ErrNoToken},
		"two such tokens":   {func(c *hsm.Config) { c.Token = "twice" }, hsm.ErrNoToken},
		"no such module":    {func(c *hsm.Config) { c.Module = "/no/such/module.so" }, hsm.ErrNoModule},
		"not a module":      {func(c *hsm.Config) { c.Module = notAModule }, hsm.ErrNoModule},
		"another library":   {func(c *hsm.Config) { c.Module = c.Helper }, hsm.ErrNoModule},
		"a relative path":   {func(c *hsm.Config) { c.Module = "libsofthsm2.so" }, hsm.ErrNoModule},
		"a directory":       {func(c *hsm.Config) { c.Module = "/" }, hsm.ErrNoModule},
		"module unprepared": {func(c *hsm.Config) { c.Env = []string{"SOFTHSM2_CONF=/no/such/file"} }, hsm.ErrNoModule},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := kit.Config
			test.change(&cfg)
			wantErr(t, open(t, cfg).Login(ctx, []byte(hsmtest.PIN)), test.want)
		})
	}
}

func TestSoftHSMConcurrent(t *testing.T) {
	token := login(t, hsmtest.New(t).Config)
	var wg sync.WaitGroup
	var ivs sync.Map
	for w := range 10 {
		wg.Go(func() {
			id := fmt.Sprint("key-", w%3)
			if err := token.GenerateKey(ctx, id); err != nil && !errors.Is(err, hsm.ErrKeyExists) {
				t.Error(err)
			}
			for i := range 100 {
				plaintext := fmt.Appendf(nil, "message %d of %d", i, w)
				iv, ciphertext, err := token.Encrypt(ctx, id, []byte(id), plaintext)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := ivs.LoadOrStore(string(iv), true); twice {
					t.Error("an IV came twice")
				}
				got, err := token.Decrypt(ctx, id, iv, []byte(id), ciphertext)
				if err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("decrypted %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// pids remembers the process IDs that a log tells, and what helpers printed.
type pids struct {
	slog.Handler
	mu      sync.Mutex
	list    []int
	printed chan string
}

func (p *pids) Enabled(context.Context, slog.Level) bool { return true }

func (p *pids) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "pid" {
			p.mu.Lock()
			p.list = append(p.list, int(a.Value.Int64()))
			p.mu.Unlock()
		}
		if a.Key == "line" && p.printed != nil {
			select {
			case p.printed <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

func (p *pids) WithAttrs([]slog.Attr) slog.Handler { return p }

// last returns the present helper, and how many there were.
func (p *pids) last() (pid, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[len(p.list)-1], len(p.list)
}

// The helper is killed, or frozen, with calls under way: they end in time, and the next helper serves, logged in.
func TestSoftHSMSignals(t *testing.T) {
	for name, signal := range map[string]string{"killed": "KILL", "frozen": "STOP"} {
		t.Run(name, func(t *testing.T) {
			kit := hsmtest.New(t)
			seen := &pids{Handler: slog.DiscardHandler}
			kit.Config.Log = slog.New(seen)
			if signal == "STOP" {
				kit.Config.Timeout = 3 * time.Second
			}
			token := open(t, kit.Config)
			again(t, token, func() error { return token.Login(ctx, []byte(hsmtest.PIN)) })
			must(t, token.GenerateKey(ctx, "a"))
			began := time.Now()
			var failures atomic.Int32
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for failures.Load() == 0 {
						if err := roundTrip(token, "a", nil, []byte("x")); errors.Is(err, hsm.ErrUnavailable) {
							failures.Add(1)
						} else if err != nil {
							t.Error(err)
							return
						}
					}
					again(t, token, func() error { return roundTrip(token, "a", nil, []byte("x")) })
				})
			}
			pid, _ := seen.last()
			for failures.Load() == 0 && !t.Failed() {
				must(t, exec.Command("kill", "-s", signal, fmt.Sprint(pid)).Run())
				next := pid
				for next == pid && failures.Load() == 0 {
					changed := token.Changed()
					if next, _ = seen.last(); next == pid {
						<-changed // the next helper changes it again
					}
				}
				if failures.Load() == 0 {
					pid = next // no call was under way: once more
				}
			}
			wg.Wait()
			if waited := time.Since(began); waited > 50*time.Second {
				t.Errorf("took %v", waited)
			}
			if next, _ := seen.last(); next == pid {
				t.Error("no other helper was started")
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the helper is still there, perhaps as a zombie: %v", err)
			}
		})
	}
}

// A module in C that crashes, hangs, or writes over its memory.
func TestSoftHSMModuleFails(t *testing.T) {
	kit := hsmtest.New(t)
	shim := filepath.Join(t.TempDir(), "shim.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", shim, "testdata/shim.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	kit.Config.Env = append(kit.Config.Env, "SHIM_MODULE="+kit.Config.Module)
	kit.Config.Module = shim
	seen := &pids{Handler: slog.DiscardHandler, printed: make(chan string, 10)}
	kit.Config.Log = slog.New(seen)

	token := login(t, kit.Config)
	must(t, token.GenerateKey(ctx, "a"))
	for _, word := range []string{"print", "read"} {
		must(t, roundTrip(token, "a", nil, []byte(word)))
	}
	for want, deadline := "a module that talks too much", time.After(time.Minute); want != ""; {
		select {
		case line := <-seen.printed:
			if line == want {
				want = ""
			}
		case <-deadline:
			t.Fatal("what the module prints is not logged")
		}
	}
	pid, _ := seen.last()
	if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err == nil {
		if _, line, ok := strings.Cut(string(limits), "Max core file size"); !ok || strings.Fields(line)[0] != "0" {
			t.Errorf("core dumps are on: %s", line)
		}
	}
	for _, word := range []string{"crash", "abort", "exit"} {
		before, _ := seen.last()
		wantErr(t, roundTrip(token, "a", nil, []byte(word)), hsm.ErrUnavailable)
		again(t, token, func() error { return roundTrip(token, "a", nil, []byte("fine")) })
		if after, _ := seen.last(); after == before {
			t.Errorf("%s: no other helper was started", word)
		}
	}

	kit.Config.Timeout = 2 * time.Second
	token = open(t, kit.Config)
	again(t, token, func() error { return token.Login(ctx, []byte(hsmtest.PIN)) })
	for _, word := range []string{"hang", "smash"} { // with its stack overwritten, a process may die at once or spin forever
		began := time.Now()
		wantErr(t, roundTrip(token, "a", nil, []byte(word)), hsm.ErrUnavailable)
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("%s: failed after %v", word, waited)
		}
		again(t, token, func() error { return roundTrip(token, "a", nil, []byte("fine")) })
	}
}
