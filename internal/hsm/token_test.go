package hsm

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

func TestOperations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		info, err := token.Info(background)
		must(t, err)
		if want := (Info{"soft", "keyturn", "softtoken", "1", "1.0", -1}); info != want {
			t.Errorf("info %v, want %v", info, want)
		}
		wantErr(t, token.Healthy(background), ErrNotLoggedIn)
		wantErr(t, token.GenerateKey(background, "a"), ErrNotLoggedIn)
		must(t, token.Login(background, pin))
		must(t, token.Healthy(background))

		has := func(want bool) {
			t.Helper()
			if got, err := token.HasKey(background, "a"); err != nil || got != want {
				t.Errorf("HasKey: %v, %v", got, err)
			}
		}
		has(false)
		wantErr(t, token.DestroyKey(background, "a"), ErrKeyNotFound)
		must(t, token.GenerateKey(background, "a"))
		wantErr(t, token.GenerateKey(background, "a"), ErrKeyExists)
		has(true)
		roundTrip(t, token)
		_, err = token.Decrypt(background, "a", make([]byte, 12), nil, make([]byte, 32))
		wantErr(t, err, ErrCiphertext)
		long := bytes.Repeat([]byte{7}, MaxAAD)
		iv, ciphertext, err := token.Encrypt(background, "a", long, long[:MaxPlaintext])
		must(t, err)
		plaintext, err := token.Decrypt(background, "a", iv, long, ciphertext)
		if err != nil || !bytes.Equal(plaintext, long[:MaxPlaintext]) {
			t.Errorf("the longest message: %d bytes, %v", len(plaintext), err)
		}
		b, err := token.Random(background, 100)
		if err != nil || len(b) != 100 {
			t.Errorf("random: %d bytes, %v", len(b), err)
		}
		must(t, token.DestroyKey(background, "a"))
		has(false)
		if n := f.starts(); n != 1 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

func TestInvalid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		token := (&fake{}).open(t, Config{})
		must(t, token.Login(background, pin))
		calls := map[string]func() error{
			"no ID":        func() error { return token.GenerateKey(background, "") },
			"strange ID":   func() error { return token.GenerateKey(background, "a/b") },
			"long ID":      func() error { return token.DestroyKey(background, strings.Repeat("a", 65)) },
			"no plaintext": func() error { _, _, err := token.Encrypt(background, "a", nil, nil); return err },
			"long plaintext": func() error {
				_, _, err := token.Encrypt(background, "a", nil, make([]byte, MaxPlaintext+1))
				return err
			},
			"long AAD": func() error { _, _, err := token.Encrypt(background, "a", make([]byte, MaxAAD+1), pin); return err },
			"short IV": func() error {
				_, err := token.Decrypt(background, "a", make([]byte, 11), nil, make([]byte, 32))
				return err
			},
			"no ciphertext": func() error {
				_, err := token.Decrypt(background, "a", make([]byte, 12), nil, make([]byte, 16))
				return err
			},
			"no random":   func() error { _, err := token.Random(background, 0); return err },
			"much random": func() error { _, err := token.Random(background, 1<<16+1); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		token.Logout(background)
		wantErr(t, token.Login(background, nil), ErrInvalid)
		wantErr(t, token.Login(background, make([]byte, 257)), ErrInvalid)
	})
}

// hang makes helpers that never answer for a key called "hang", and in a second for one called "slow".
func hang(killed <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
	if len(q.Fields) > 0 {
		switch string(q.Fields[0]) {
		case "hang":
			<-killed
		case "slow":
			select {
			case <-killed:
			case <-time.After(time.Second):
			}
		}
	}
	return h.Handle(q)
}

func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: hang}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		must(t, token.GenerateKey(background, "a"))
		began := time.Now()
		_, err := token.HasKey(background, "hang")
		wantErr(t, err, ErrUnavailable)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("failed after %v", waited)
		}
		synctest.Wait()
		roundTrip(t, token) // waits for the next helper, which is logged in
		if n := f.starts(); n != 2 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

// A caller that leaves early takes nothing with it: neither the helper nor the bound on calls.
func TestCallerLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: hang}
		token := f.open(t, Config{MaxInFlight: 1})
		must(t, token.Login(background, pin))
		ctx, cancel := context.WithTimeout(background, 400*time.Millisecond)
		defer cancel()
		_, err := token.HasKey(ctx, "slow")
		wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
		_, err = token.HasKey(background, "a")
		wantErr(t, err, ErrUnavailable)
		if !strings.Contains(err.Error(), "too many") {
			t.Error(err)
		}
		time.Sleep(700 * time.Millisecond)
		must(t, token.GenerateKey(background, "a"))

		// One that waits for what never comes is left too, but then the helper ends in time.
		ctx, cancel = context.WithTimeout(background, time.Second)
		defer cancel()
		_, err = token.HasKey(ctx, "hang")
		wantErr(t, err, ErrUnavailable)
		time.Sleep(3 * time.Second)
		if n := f.starts(); n != 1 {
			t.Errorf("killed early: %d helpers", n)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		roundTrip(t, token)
		if n := f.starts(); n != 2 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

func TestInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		token := (&fake{wrap: hang}).open(t, Config{MaxInFlight: 20, Sessions: 4})
		must(t, token.Login(background, pin))
		var wg sync.WaitGroup
		var mu sync.Mutex
		var done, refused int
		began := time.Now()
		for range 30 {
			wg.Go(func() {
				_, err := token.HasKey(background, "slow")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				} else if errors.Is(err, ErrUnavailable) && time.Since(began) == 0 {
					refused++
				}
			})
		}
		wg.Wait()
		// Four at a time, a second each: the fifth round begins at 4 s and ends with the deadline, at 5 s.
		if refused != 10 || done < 16 || done > 20 {
			t.Errorf("%d done, %d refused at once", done, refused)
		}
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fixed atomic.Bool
		f := &fake{}
		f.fail = func(int) error {
			if !fixed.Load() {
				return errors.New("no such file")
			}
			return nil
		}
		token := f.open(t, Config{})
		time.Sleep(3 * time.Minute)
		var gaps []time.Duration
		began := f.times()
		for i := 1; i < len(began); i++ {
			gaps = append(gaps, began[i].Sub(began[i-1]))
		}
		ms := time.Millisecond
		want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30000 * ms}
		if len(gaps) < len(want) || !slices.Equal(gaps[:len(want)], want) {
			t.Errorf("gaps between starts: %v", gaps)
		}
		// Meanwhile calls fail at once, and say why.
		asked := time.Now()
		err := token.Healthy(background)
		wantErr(t, err, ErrUnavailable)
		if !strings.Contains(err.Error(), "no such file") || time.Since(asked) != 0 {
			t.Errorf("%v, after %v", err, time.Since(asked))
		}
		// It comes back by itself. A helper that lives a minute is replaced at once, one that does not is not.
		fixed.Store(true)
		time.Sleep(31 * time.Second)
		must(t, token.Login(background, pin))
		time.Sleep(2 * time.Minute)
		n := f.starts()
		f.kill()
		synctest.Wait()
		must(t, token.Healthy(background))
		f.kill()
		synctest.Wait()
		if began := time.Now(); token.Healthy(background) == nil || time.Since(began) != 0 {
			t.Error("no pause after two failures in a row")
		}
		time.Sleep(101 * time.Millisecond)
		must(t, token.Healthy(background))
		if got := f.starts(); got != n+2 {
			t.Errorf("%d starts instead of 2", got-n)
		}
	})
}

func TestNoToken(t *testing.T) {
	for status, want := range map[hsmwire.Status]error{
		hsmwire.StatusNoModule: ErrNoModule,
		hsmwire.StatusNoToken:  ErrNoToken,
		hsmwire.StatusFailed:   ErrToken,
		hsmwire.StatusDevice:   ErrUnavailable,
	} {
		bubble(t, func(t *testing.T) {
			var plugged atomic.Bool
			f := &fake{wrap: func(_ <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
				if plugged.Load() {
					return h.Handle(q)
				}
				return helper.Refusal{Status: status, Text: "why\nnot"}.Handle(q)
			}}
			token := f.open(t, Config{})
			time.Sleep(time.Second)
			err := token.Login(background, pin)
			wantErr(t, err, want)
			if !strings.HasSuffix(err.Error(), ": why?not") {
				t.Error(err)
			}
			plugged.Store(true)
			time.Sleep(time.Minute)
			must(t, token.Login(background, pin))
		})
	}
}

func TestSlowStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: func(killed <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
			if q.Code == byte(hsmwire.OpInfo) {
				select {
				case <-killed:
				case <-time.After(8 * time.Second):
				}
			}
			return h.Handle(q)
		}}
		token := f.open(t, Config{})
		began := time.Now()
		wantErr(t, token.Login(background, pin), ErrUnavailable)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("failed after %v", waited)
		}
		must(t, token.Login(background, pin)) // at 8 s
		if n := f.starts(); n != 1 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

// The helper dies between making a key and telling of it.
func TestGenerateUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: func(_ <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
			m := h.Handle(q)
			if q.Code == byte(hsmwire.OpGenerateKey) {
				return die
			}
			return m
		}}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		wantErr(t, token.GenerateKey(background, "a"), ErrUnavailable)
		if has, err := token.HasKey(background, "a"); err != nil || !has {
			t.Errorf("HasKey: %v, %v", has, err)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		token := (&fake{wrap: hang}).open(t, Config{})
		must(t, token.Login(background, pin))
		failed := make(chan error, 1)
		go func() { _, err := token.HasKey(background, "hang"); failed <- err }()
		synctest.Wait()
		began := time.Now()
		must(t, token.Close())
		// The helper ends by itself, after the two seconds that it leaves for what is under way.
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("closed after %v", waited)
		}
		wantErr(t, <-failed, ErrUnavailable)
		wantErr(t, token.Healthy(background), ErrUnavailable)
		wantErr(t, token.Login(background, pin), ErrUnavailable)
		must(t, token.Close())
	})
}

// A process in a device driver's uninterruptible sleep does not end when killed.
func TestUnkillable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: hang, hold: true, release: make(chan struct{})}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		_, err := token.HasKey(background, "hang")
		wantErr(t, err, ErrUnavailable)
		time.Sleep(2 * time.Second)
		began := time.Now()
		wantErr(t, token.Healthy(background), ErrUnavailable)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("failed after %v", waited)
		}
		time.Sleep(time.Hour)
		if n := f.starts(); n != 1 {
			t.Errorf("%d helpers beside one that does not end", n)
		}
		wantErr(t, token.Close(), ErrUnavailable)
		close(f.release)
		must(t, token.Close())
	})
}
