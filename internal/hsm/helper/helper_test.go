package helper_test

import (
	"bytes"
	"crypto/fips140"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// rig is a Token on a softtoken, asked directly.
type rig struct {
	t     *testing.T
	soft  *softtoken.Token
	token *helper.Token
}

func newRig(t *testing.T, soft *softtoken.Token) *rig {
	soft.Dir = t.TempDir()
	return &rig{t, soft, helper.New(soft, 4)}
}

func loggedIn(t *testing.T, soft *softtoken.Token) *rig {
	r := newRig(t, soft)
	r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
	return r
}

func (r *rig) ask(op hsmwire.Op, fields ...string) (hsmwire.Status, [][]byte) {
	q := hsmwire.Message{ID: 1, Code: byte(op)}
	for _, f := range fields {
		q.Fields = append(q.Fields, []byte(f))
	}
	if err := hsmwire.CheckRequest(q); err != nil {
		r.t.Errorf("%d: %v", op, err)
	}
	m := r.token.Handle(q)
	if err := hsmwire.CheckReply(q, m); err != nil {
		r.t.Errorf("operation %d, reply %d %q: %v", op, m.Code, m.Fields, err)
	}
	return hsmwire.Status(m.Code), m.Fields
}

func (r *rig) want(status hsmwire.Status, op hsmwire.Op, fields ...string) [][]byte {
	r.t.Helper()
	got, f := r.ask(op, fields...)
	if got != status {
		r.t.Fatalf("operation %d: status %d %q, want %d", op, got, f, status)
	}
	return f
}

func (r *rig) has(id string) bool {
	r.t.Helper()
	return r.want(hsmwire.StatusOK, hsmwire.OpHasKey, id)[0][0] == 1
}

// roundTrip encrypts and decrypts, and returns the IV.
func (r *rig) roundTrip(id string) []byte {
	r.t.Helper()
	f := r.want(hsmwire.StatusOK, hsmwire.OpEncrypt, id, "beside", "plaintext")
	got := r.want(hsmwire.StatusOK, hsmwire.OpDecrypt, id, string(f[0]), "beside", string(f[1]))
	if string(got[0]) != "plaintext" {
		r.t.Errorf("decrypted %q", got[0])
	}
	return f[0]
}

func TestOperations(t *testing.T) {
	r := newRig(t, &softtoken.Token{})
	version := string([]byte{hsmwire.Version})
	info := r.want(hsmwire.StatusOK, hsmwire.OpInfo, version)
	if string(info[0]) != "soft" || info[6][0] != 0 {
		t.Errorf("info: %q", info)
	}
	r.want(hsmwire.StatusFailed, hsmwire.OpInfo, "\x63")
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpGenerateKey, "a")
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpHasKey, "a")
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpEncrypt, "a", "", "x")
	r.want(hsmwire.StatusOK, hsmwire.OpLogout)
	r.want(hsmwire.StatusPIN, hsmwire.OpLogin, "wrong")
	r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
	if info = r.want(hsmwire.StatusOK, hsmwire.OpInfo, version); info[6][0] != 1 {
		t.Error("info says that nobody is logged in")
	}

	if r.has("a") {
		t.Error("there is a key before it was made")
	}
	r.want(hsmwire.StatusKeyNotFound, hsmwire.OpEncrypt, "a", "", "x")
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
	r.want(hsmwire.StatusKeyExists, hsmwire.OpGenerateKey, "a")
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "b")
	if !r.has("a") {
		t.Error("no key after it was made")
	}
	r.roundTrip("a")
	f := r.want(hsmwire.StatusOK, hsmwire.OpEncrypt, "a", "beside", "plaintext")
	iv, ciphertext := string(f[0]), string(f[1])
	for name, fields := range map[string][]string{
		"another key":        {"b", iv, "beside", ciphertext},
		"another IV":         {"a", strings.Repeat("x", 12), "beside", ciphertext},
		"other things aside": {"a", iv, "Beside", ciphertext},
		"another ciphertext": {"a", iv, "beside", strings.Repeat("x", len(ciphertext))},
	} {
		if status, _ := r.ask(hsmwire.OpDecrypt, fields...); status != hsmwire.StatusCiphertext {
			t.Errorf("%s: status %d", name, status)
		}
	}

	r.want(hsmwire.StatusOK, hsmwire.OpRandom, string(hsmwire.PutCount(1024)))
	r.want(hsmwire.StatusOK, hsmwire.OpDestroyKey, "a")
	r.want(hsmwire.StatusKeyNotFound, hsmwire.OpDestroyKey, "a")
	r.want(hsmwire.StatusKeyNotFound, hsmwire.OpDecrypt, "a", iv, "beside", ciphertext)
	r.roundTrip("b")
	r.want(hsmwire.StatusOK, hsmwire.OpLogout)
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpEncrypt, "b", "", "x")
}

// A PIN is always looked at, even where somebody is logged in.
func TestLoginAgain(t *testing.T) {
	r := loggedIn(t, &softtoken.Token{})
	r.want(hsmwire.StatusPIN, hsmwire.OpLogin, "wrong")
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpHasKey, "a")
	r.want(hsmwire.StatusPIN, hsmwire.OpLogin, "wrong")
	r.want(hsmwire.StatusPIN, hsmwire.OpLogin, "wrong")
	r.want(hsmwire.StatusPINLocked, hsmwire.OpLogin, softtoken.PIN)
}

func TestKindsOfIVs(t *testing.T) {
	for kind, want := range map[softtoken.IVs]hsmwire.Status{
		softtoken.TakesIVs:   hsmwire.StatusOK,
		softtoken.IgnoresIVs: hsmwire.StatusOK,
		softtoken.WantsZeros: hsmwire.StatusOK,
		softtoken.BadIVs:     hsmwire.StatusFailed,
	} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			if kind == softtoken.BadIVs && fips140.Enforced() {
				t.Skip("FIPS 140-only mode makes all IVs at random")
			}
			r := loggedIn(t, &softtoken.Token{IVs: kind})
			r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
			if want != hsmwire.StatusOK {
				r.want(want, hsmwire.OpEncrypt, "a", "", "x")
				return
			}
			seen := map[string]bool{}
			for range 100 {
				seen[string(r.roundTrip("a"))] = true
			}
			if len(seen) != 100 {
				t.Errorf("%d IVs for 100 messages", len(seen))
			}
		})
	}
}

// constantRandom is a token whose random generator is stuck.
type constantRandom struct{ helper.Module }

func (constantRandom) Random(helper.Session, int) ([]byte, error) {
	return bytes.Repeat([]byte{7}, 12), nil
}

func (c constantRandom) Encrypt(s helper.Session, o helper.Object, iv, aad, plaintext []byte) ([]byte, []byte, error) {
	_, ciphertext, err := c.Module.Encrypt(s, o, iv, aad, plaintext)
	return iv, ciphertext, err
}

func TestRepeatedIV(t *testing.T) {
	r := newRig(t, &softtoken.Token{})
	r.token = helper.New(constantRandom{r.soft}, 1)
	r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
	r.want(hsmwire.StatusOK, hsmwire.OpEncrypt, "a", "", "x")
	r.want(hsmwire.StatusFailed, hsmwire.OpEncrypt, "a", "", "y")
}

// A token whose every failure looks alike: the bad ciphertext is told from the broken token, at the price of one message.
func TestVagueErrors(t *testing.T) {
	var encrypted atomic.Int32
	var broken atomic.Bool
	soft := &softtoken.Token{VagueErrors: true}
	soft.Fault = func(call string) error {
		switch {
		case call == "C_Encrypt":
			encrypted.Add(1)
		case call == "C_Decrypt" && broken.Load():
			return &helper.Error{Call: call, Code: helper.GeneralError}
		}
		return nil
	}
	r := loggedIn(t, soft)
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
	for range 10 {
		r.want(hsmwire.StatusCiphertext, hsmwire.OpDecrypt, "a", strings.Repeat("i", 12), "", strings.Repeat("c", 17))
	}
	if n := encrypted.Load(); n != 1 {
		t.Errorf("%d samples were encrypted, want 1", n)
	}
	broken.Store(true)
	r.want(hsmwire.StatusFailed, hsmwire.OpDecrypt, "a", strings.Repeat("i", 12), "", strings.Repeat("c", 17))
}

func TestHandles(t *testing.T) {
	r := loggedIn(t, &softtoken.Token{})
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "b")
	r.roundTrip("a")

	// Another application logs out and in: handles change.
	f := r.want(hsmwire.StatusOK, hsmwire.OpEncrypt, "a", "", "x")
	s, err := r.soft.OpenSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.soft.Logout(s); err != nil {
		t.Fatal(err)
	}
	if err := r.soft.Login(s, []byte(softtoken.PIN)); err != nil {
		t.Fatal(err)
	}
	r.want(hsmwire.StatusOK, hsmwire.OpDecrypt, "a", string(f[0]), "", string(f[1]))

	// The handle of a comes to be that of b: neither encrypts with b, nor fails.
	r.soft.ReuseHandle("a", "b")
	f = r.want(hsmwire.StatusOK, hsmwire.OpEncrypt, "a", "", "x")
	r.want(hsmwire.StatusCiphertext, hsmwire.OpDecrypt, "b", string(f[0]), "", string(f[1]))
	r.soft.ReuseHandle("a", "b")
	r.want(hsmwire.StatusOK, hsmwire.OpDecrypt, "a", string(f[0]), "", string(f[1]))
}

func TestForeignKeys(t *testing.T) {
	r := loggedIn(t, &softtoken.Token{})
	if err := r.soft.Plant("loose", true); err != nil {
		t.Fatal(err)
	}
	r.want(hsmwire.StatusFailed, hsmwire.OpEncrypt, "loose", "", "x")
	r.want(hsmwire.StatusFailed, hsmwire.OpHasKey, "loose")
	r.want(hsmwire.StatusFailed, hsmwire.OpGenerateKey, "loose")

	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "twice")
	if err := r.soft.Plant("twice#2", false); err != nil {
		t.Fatal(err)
	}
	r.want(hsmwire.StatusFailed, hsmwire.OpHasKey, "twice")
	r.want(hsmwire.StatusFailed, hsmwire.OpDestroyKey, "twice")
}

// Two processes make the same key at the same time: the later one takes its own back.
func TestGenerateRace(t *testing.T) {
	soft := &softtoken.Token{}
	soft.Fault = func(call string) error {
		if call == "C_GenerateKey" {
			return soft.Plant("a", false)
		}
		return nil
	}
	r := loggedIn(t, soft)
	r.want(hsmwire.StatusKeyExists, hsmwire.OpGenerateKey, "a")
	if !r.has("a") {
		t.Error("the other's key is gone, or there are two")
	}
}

// A key is made, but what follows fails: it is not told that there is none, or that there was one.
func TestGenerateUnknown(t *testing.T) {
	soft := &softtoken.Token{}
	var made, failing atomic.Bool
	soft.Fault = func(call string) error {
		switch {
		case call == "C_GenerateKey":
			made.Store(true)
		case made.Load() && failing.Load():
			return &helper.Error{Call: call, Code: helper.SessionHandleInvalid}
		}
		return nil
	}
	r := loggedIn(t, soft)
	failing.Store(true)
	r.want(hsmwire.StatusDevice, hsmwire.OpGenerateKey, "a")
	failing.Store(false)
	if !r.has("a") {
		t.Error("the key is not there")
	}
}

func TestLostSessions(t *testing.T) {
	r := loggedIn(t, &softtoken.Token{})
	r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
	r.soft.LoseSessions()
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpEncrypt, "a", "", "x")
	r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpHasKey, "a")
	r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
	r.roundTrip("a")
	if n := r.soft.Sessions(); n != 1 {
		t.Errorf("%d sessions for one call at a time", n)
	}
}

func TestStuckSession(t *testing.T) {
	soft := &softtoken.Token{}
	var stuck atomic.Int32
	soft.Fault = func(call string) error {
		if call == "C_Encrypt" && stuck.Add(-1) >= 0 {
			return &helper.Error{Call: call, Code: helper.OperationActive}
		}
		return nil
	}
	for _, limit := range []int{0, 1} {
		soft.MaxSessions = limit
		r := newRig(t, soft)
		r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
		r.want(hsmwire.StatusOK, hsmwire.OpGenerateKey, "a")
		stuck.Store(1)
		if limit == 0 {
			r.roundTrip("a")
			stuck.Store(2)
			r.want(hsmwire.StatusDevice, hsmwire.OpEncrypt, "a", "", "x")
		} else { // the only session had to be closed, which logs out
			r.want(hsmwire.StatusNotLoggedIn, hsmwire.OpEncrypt, "a", "", "x")
			r.want(hsmwire.StatusOK, hsmwire.OpLogin, softtoken.PIN)
			r.roundTrip("a")
		}
		soft.LoseSessions()
	}
}

func TestConcurrentFewSessions(t *testing.T) {
	for _, limit := range []int{0, 2} {
		r := loggedIn(t, &softtoken.Token{MaxSessions: limit})
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				id := fmt.Sprint("key-", w%4)
				for range 25 {
					if status, _ := r.ask(hsmwire.OpGenerateKey, id); status != hsmwire.StatusOK && status != hsmwire.StatusKeyExists {
						t.Errorf("generate: status %d", status)
					}
					status, f := r.ask(hsmwire.OpEncrypt, id, "", "x")
					if status != hsmwire.StatusOK {
						t.Errorf("encrypt: status %d %q", status, f)
						return
					}
					if status, f = r.ask(hsmwire.OpDecrypt, id, string(f[0]), "", string(f[1])); status != hsmwire.StatusOK || string(f[0]) != "x" {
						t.Errorf("decrypt: status %d %q", status, f)
					}
				}
			})
		}
		wg.Wait()
		if n := r.soft.Sessions(); n > 4 || limit > 0 && n > limit {
			t.Errorf("%d sessions", n)
		}
	}
}

func TestStatuses(t *testing.T) {
	for code, want := range map[helper.CKR]hsmwire.Status{
		helper.PINExpired:            hsmwire.StatusPIN,
		helper.PINLocked:             hsmwire.StatusPINLocked,
		helper.UserPINNotInitialized: hsmwire.StatusUserNotInitialized,
		helper.DeviceRemoved:         hsmwire.StatusNoToken,
		helper.DeviceError:           hsmwire.StatusDevice,
		helper.GeneralError:          hsmwire.StatusFailed,
		helper.MechanismInvalid:      hsmwire.StatusFailed,
		0x80001234:                   hsmwire.StatusFailed,
	} {
		status, text := helper.StatusOf(fmt.Errorf("wrapped: %w", &helper.Error{Call: "C_X", Code: code}))
		if status != want || !strings.HasPrefix(text, "wrapped: C_X: CKR") {
			t.Errorf("%v: %d %q", code, status, text)
		}
	}
	if _, text := helper.StatusOf(fmt.Errorf("%s", strings.Repeat("x", 1000))); len(text) > hsmwire.MaxText {
		t.Error("the text is too long to send")
	}
}
