package hsm

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

func TestWrongPIN(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		wantErr(t, token.Login(background, []byte("wrong")), ErrPIN)
		f.kill()
		time.Sleep(time.Hour)
		wantErr(t, token.Healthy(background), ErrNotLoggedIn)
		if n := softtoken.WrongPINs(f.dir); n != 1 {
			t.Fatalf("the token was given %d wrong PINs", n)
		}
		wantErr(t, token.Login(background, []byte("wrong")), ErrPIN)
		wantErr(t, token.Login(background, []byte("wrong")), ErrPIN)
		wantErr(t, token.Login(background, pin), ErrPINLocked)
	})
}

// The PIN is changed behind keyturn's back: the old one is tried once, whatever happens, and then forgotten.
func TestPINChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		must(t, token.GenerateKey(background, "a"))
		must(t, softtoken.ChangePIN(f.dir, "changed"))
		roundTrip(t, token)
		for range 20 {
			f.kill()
			time.Sleep(2 * time.Minute)
			_, _, err := token.Encrypt(background, "a", nil, []byte("x"))
			wantErr(t, err, ErrNotLoggedIn, ErrPIN)
			wantErr(t, token.Healthy(background), ErrNotLoggedIn, ErrPIN)
		}
		if n := softtoken.WrongPINs(f.dir); n != 1 {
			t.Errorf("the token was given %d wrong PINs", n)
		}
		must(t, token.Login(background, []byte("changed")))
		roundTrip(t, token)
		token.Logout(background)
		err := token.Healthy(background)
		wantErr(t, err, ErrNotLoggedIn)
		if err != ErrNotLoggedIn {
			t.Errorf("after a Logout: %v", err)
		}
	})
}

// An answer to a login that may mean anything counts as a refusal; a login that failed on the way does not.
func TestVagueLogin(t *testing.T) {
	for code, again := range map[helper.CKR]bool{
		helper.GeneralError:   false,
		helper.FunctionFailed: false,
		helper.ArgumentsBad:   false,
		helper.DeviceError:    true,
		helper.DeviceRemoved:  true,
	} {
		bubble(t, func(t *testing.T) {
			var logins atomic.Int32
			f := &fake{soft: func(n int, s *softtoken.Token) {
				s.Fault = func(call string) error {
					if call == "C_Login" && logins.Add(1) > 0 && n > 0 && n < 5 {
						return &helper.Error{Call: call, Code: code}
					}
					return nil
				}
			}}
			token := f.open(t, Config{})
			must(t, token.Login(background, pin))
			f.kill()
			time.Sleep(time.Hour)
			if again {
				must(t, token.Healthy(background))
			} else {
				wantErr(t, token.Healthy(background), ErrNotLoggedIn, ErrToken)
				if n := logins.Load(); n != 2 {
					t.Errorf("%v: %d logins", helper.Names[code], n)
				}
			}
		})
	}
}

func TestLoginAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		must(t, token.Login(background, pin))
		wantErr(t, token.Login(background, []byte("another")), ErrLoggedIn)
		must(t, token.Healthy(background))
		if n := softtoken.WrongPINs(f.dir); n != 0 {
			t.Error("the token was asked")
		}
		token.Logout(background)
		wantErr(t, token.Login(background, []byte("another")), ErrPIN)
		must(t, token.Login(background, pin))
	})
}

func TestLogout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		token.Logout(background) // nobody is logged in; nor need the helper be there
		must(t, token.Login(background, pin))
		must(t, token.GenerateKey(background, "a"))
		token.Logout(background)
		_, _, err := token.Encrypt(background, "a", nil, []byte("x"))
		wantErr(t, err, ErrNotLoggedIn)
		s, err := f.token().OpenSession()
		must(t, err)
		if in, err := f.token().LoggedIn(s); err != nil || in {
			t.Errorf("the token has somebody logged in: %v, %v", in, err)
		}
		f.kill()
		time.Sleep(time.Minute)
		wantErr(t, token.Healthy(background), ErrNotLoggedIn)
	})
}

// Logout while a helper is logging in again: it must not serve.
func TestLogoutDuringStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logins atomic.Int32
		f := &fake{wrap: func(killed <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
			if q.Code == byte(hsmwire.OpLogin) {
				logins.Add(1)
				select {
				case <-killed:
				case <-time.After(time.Second):
				}
			}
			return h.Handle(q)
		}}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		f.kill()
		time.Sleep(500 * time.Millisecond) // the next one is logging in
		token.Logout(background)
		time.Sleep(time.Minute)
		wantErr(t, token.Healthy(background), ErrNotLoggedIn)
		s, err := f.token().OpenSession()
		must(t, err)
		if in, _ := f.token().LoggedIn(s); in {
			t.Error("the helper is logged in")
		}
		if n := logins.Load(); n != 2 {
			t.Errorf("%d logins", n)
		}
	})
}

// A Logout that gets no answer ends the helper.
func TestLogoutHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{wrap: func(killed <-chan struct{}, h helper.Handler, q hsmwire.Message) answer {
			if q.Code == byte(hsmwire.OpLogout) {
				<-killed
			}
			return h.Handle(q)
		}}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		began := time.Now()
		token.Logout(background)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("took %v", waited)
		}
		wantErr(t, token.Healthy(background), ErrNotLoggedIn)
		synctest.Wait() // the next helper starts by itself
		if n := f.starts(); n != 2 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

// The connection to the token breaks and with it the login: a fresh helper logs in again.
func TestLoginLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := &fake{}
		token := f.open(t, Config{})
		must(t, token.Login(background, pin))
		must(t, token.GenerateKey(background, "a"))
		f.token().LoseSessions()
		_, err := token.HasKey(background, "a")
		wantErr(t, err, ErrUnavailable)
		roundTrip(t, token)
		time.Sleep(2 * time.Minute)
		f.token().LoseSessions()
		wantErr(t, token.Healthy(background), ErrUnavailable)
		must(t, token.Healthy(background))
		if n := f.starts(); n != 3 {
			t.Errorf("%d helpers were started", n)
		}
	})
}

func TestPINForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		token := (&fake{}).open(t, Config{})
		must(t, token.Login(background, pin))
		kept := token.pin
		token.Logout(background)
		if string(kept) != string(make([]byte, len(pin))) {
			t.Error("Logout left the PIN in memory")
		}
		must(t, token.Login(background, pin))
		kept = token.pin
		must(t, token.Close())
		if string(kept) != string(make([]byte, len(pin))) {
			t.Error("Close left the PIN in memory")
		}
	})
}
