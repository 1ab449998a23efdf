// Package softtoken is a PKCS#11 token made of files and the standard library, for tests: it behaves well by default, and
// badly where a test wants it to. It protects nothing.
package softtoken

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/keyturn/keyturn/internal/hsm/helper"
)

// IVs says how a token treats the IV that it is given.
type IVs int

// Kinds of tokens.
const (
	TakesIVs   IVs = iota // uses it. Not where GODEBUG=fips140=only forbids that: there the token is one that ignores it
	IgnoresIVs            // puts its own in its place
	WantsZeros            // refuses all but zeros, and puts its own in their place
	BadIVs                // refuses all but zeros, and uses them
)

// PIN is the token's, and it locks after MaxWrong wrong ones.
const (
	PIN      = "softtoken-1234"
	MaxWrong = 3
)

// Token implements helper.Module. Set the fields before the first call.
type Token struct {
	Dir         string // holds the keys, so that they outlive the process
	IVs         IVs
	MaxSessions int                     // none if 0
	Fault       func(call string) error // asked before each call does anything, if not nil; not under the lock
	VagueErrors bool                    // a wrong tag is CKR_GENERAL_ERROR, as with SoftHSM 2.6

	mu       sync.Mutex
	next     uint
	sessions map[helper.Session]bool
	loggedIn bool
	handles  map[helper.Object]string // IDs; "id#2" for a second key with an ID
}

var _ helper.Module = (*Token)(nil)

// enter begins every call: it locks, unless there is an error.
func (t *Token) enter(call string, s helper.Session) error {
	if t.Fault != nil {
		if err := t.Fault(call); err != nil {
			return err
		}
	}
	t.mu.Lock()
	if s != 0 && !t.sessions[s] {
		t.mu.Unlock()
		return ckr(call, helper.SessionHandleInvalid)
	}
	return nil
}

func ckr(call string, code helper.CKR) error { return &helper.Error{Call: call, Code: code} }

// TokenInfo implements helper.Module.
func (t *Token) TokenInfo() (helper.TokenInfo, error) {
	if err := t.enter("C_GetTokenInfo", 0); err != nil {
		return helper.TokenInfo{}, err
	}
	defer t.mu.Unlock()
	return helper.TokenInfo{Label: "soft", Manufacturer: "keyturn", Model: "softtoken", Serial: "1", Firmware: "1.0", FreePrivateMemory: ^uint64(0)}, nil
}

// OpenSession implements helper.Module.
func (t *Token) OpenSession() (helper.Session, error) {
	if err := t.enter("C_OpenSession", 0); err != nil {
		return 0, err
	}
	defer t.mu.Unlock()
	if t.MaxSessions > 0 && len(t.sessions) >= t.MaxSessions {
		return 0, ckr("C_OpenSession", helper.SessionCount)
	}
	if t.sessions == nil {
		t.sessions = map[helper.Session]bool{}
	}
	t.next++
	t.sessions[helper.Session(t.next)] = true
	return helper.Session(t.next), nil
}

// CloseSession implements helper.Module. Closing the last one logs out.
func (t *Token) CloseSession(s helper.Session) error {
	if err := t.enter("C_CloseSession", s); err != nil {
		return err
	}
	defer t.mu.Unlock()
	delete(t.sessions, s)
	t.loggedIn = t.loggedIn && len(t.sessions) > 0
	return nil
}

// LoseSessions makes all sessions invalid, and so the login, as a token does whose connection broke.
func (t *Token) LoseSessions() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions, t.loggedIn = nil, false
}

// Sessions counts the open sessions.
func (t *Token) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)
}

// Login implements helper.Module.
func (t *Token) Login(s helper.Session, pin []byte) error {
	const call = "C_Login"
	if err := t.enter(call, s); err != nil {
		return err
	}
	defer t.mu.Unlock()
	if t.loggedIn {
		return ckr(call, helper.UserAlreadyLoggedIn)
	}
	wrong, _ := os.ReadFile(filepath.Join(t.Dir, "wrong"))
	if len(wrong) >= MaxWrong {
		return ckr(call, helper.PINLocked)
	}
	right := PIN
	if changed, err := os.ReadFile(filepath.Join(t.Dir, "pin")); err == nil {
		right = string(changed)
	}
	if string(pin) != right {
		if err := os.WriteFile(filepath.Join(t.Dir, "wrong"), append(wrong, 'x'), 0o600); err != nil {
			return ckr(call, helper.DeviceError)
		}
		return ckr(call, helper.PINIncorrect)
	}
	_ = os.Remove(filepath.Join(t.Dir, "wrong"))
	t.loggedIn = true
	return nil
}

// ChangePIN changes the PIN of the token in dir, as another application may.
func ChangePIN(dir, pin string) error {
	return os.WriteFile(filepath.Join(dir, "pin"), []byte(pin), 0o600)
}

// WrongPINs counts the wrong PINs since the last right one that the token in dir was given.
func WrongPINs(dir string) int {
	wrong, _ := os.ReadFile(filepath.Join(dir, "wrong"))
	return len(wrong)
}

// Logout implements helper.Module.
func (t *Token) Logout(s helper.Session) error {
	if err := t.enter("C_Logout", s); err != nil {
		return err
	}
	defer t.mu.Unlock()
	if !t.loggedIn {
		return ckr("C_Logout", helper.UserNotLoggedIn)
	}
	t.loggedIn, t.handles = false, nil
	return nil
}

// LoggedIn implements helper.Module.
func (t *Token) LoggedIn(s helper.Session) (bool, error) {
	if err := t.enter("C_GetSessionInfo", s); err != nil {
		return false, err
	}
	defer t.mu.Unlock()
	return t.loggedIn, nil
}

func (t *Token) path(name string) string {
	return filepath.Join(t.Dir, "key-"+hex.EncodeToString([]byte(name)))
}

// handle returns the handle of a key, the same each time.
func (t *Token) handle(name string) helper.Object {
	for o, n := range t.handles {
		if n == name {
			return o
		}
	}
	if t.handles == nil {
		t.handles = map[helper.Object]string{}
	}
	t.next++
	t.handles[helper.Object(t.next)] = name
	return helper.Object(t.next)
}

// ReuseHandle gives the handle of a key to another.
func (t *Token) ReuseHandle(from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handles[t.handle(from)] = to
}

// Find implements helper.Module. It shows nothing while nobody is logged in.
func (t *Token) Find(s helper.Session, label, id string, limit int) ([]helper.Object, error) {
	if err := t.enter("C_FindObjects", s); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	var found []helper.Object
	for _, name := range []string{id, id + "#2"} {
		if _, err := os.Stat(t.path(name)); err == nil && t.loggedIn && label == helper.LabelPrefix+id && len(found) < limit {
			found = append(found, t.handle(name))
		}
	}
	return found, nil
}

// key returns the name and the value of a key.
func (t *Token) key(call string, o helper.Object, invalid helper.CKR) (string, []byte, error) {
	if !t.loggedIn {
		return "", nil, ckr(call, helper.UserNotLoggedIn)
	}
	name, ok := t.handles[o]
	if !ok {
		return "", nil, ckr(call, invalid)
	}
	value, err := os.ReadFile(t.path(name))
	if err != nil || len(value) < 32 {
		return "", nil, ckr(call, invalid)
	}
	return name, value, nil
}

// Attributes implements helper.Module. A key whose file has more than 32 bytes, see Plant, is extractable.
func (t *Token) Attributes(s helper.Session, o helper.Object) (helper.Attributes, error) {
	const call = "C_GetAttributeValue"
	if err := t.enter(call, s); err != nil {
		return helper.Attributes{}, err
	}
	defer t.mu.Unlock()
	name, value, err := t.key(call, o, helper.ObjectHandleInvalid)
	if err != nil {
		return helper.Attributes{}, err
	}
	return helper.Attributes{ID: []byte(strings.TrimSuffix(name, "#2")), Sensitive: true, Extractable: len(value) > 32}, nil
}

// Plant puts a key onto the token, as another application may: one that is extractable, or a second one with the ID "id" if
// the name is "id#2".
func (t *Token) Plant(name string, extractable bool) error {
	value := make([]byte, 32, 33)
	rand.Read(value)
	if extractable {
		value = append(value, 0)
	}
	return os.WriteFile(t.path(name), value, 0o600)
}

// GenerateKey implements helper.Module.
func (t *Token) GenerateKey(s helper.Session, _, id string) (helper.Object, error) {
	const call = "C_GenerateKey"
	if err := t.enter(call, s); err != nil {
		return 0, err
	}
	defer t.mu.Unlock()
	if !t.loggedIn {
		return 0, ckr(call, helper.UserNotLoggedIn)
	}
	if _, err := os.Stat(t.path(id)); err == nil {
		id += "#2"
	}
	if t.Plant(id, false) != nil {
		return 0, ckr(call, helper.DeviceMemory)
	}
	return t.handle(id), nil
}

// DestroyKey implements helper.Module.
func (t *Token) DestroyKey(s helper.Session, o helper.Object) error {
	const call = "C_DestroyObject"
	if err := t.enter(call, s); err != nil {
		return err
	}
	defer t.mu.Unlock()
	name, _, err := t.key(call, o, helper.ObjectHandleInvalid)
	if err != nil {
		return err
	}
	delete(t.handles, o)
	if os.Remove(t.path(name)) != nil {
		return ckr(call, helper.DeviceError)
	}
	return nil
}

// Encrypt implements helper.Module.
func (t *Token) Encrypt(s helper.Session, o helper.Object, iv, aad, plaintext []byte) ([]byte, []byte, error) {
	const call = "C_Encrypt"
	if err := t.enter(call, s); err != nil {
		return nil, nil, err
	}
	defer t.mu.Unlock()
	_, value, err := t.key(call, o, helper.KeyHandleInvalid)
	if err != nil {
		return nil, nil, err
	}
	if t.IVs >= WantsZeros && string(iv) != string(make([]byte, len(iv))) {
		return nil, nil, ckr(call, helper.MechanismParamInvalid)
	}
	block, err := aes.NewCipher(value[:32])
	if err != nil {
		return nil, nil, err
	}
	if (t.IVs == TakesIVs || t.IVs == BadIVs) && !fips140.Enforced() {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, nil, err
		}
		return iv, gcm.Seal(nil, iv, plaintext, aad), nil
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, nil, err
	}
	sealed := gcm.Seal(nil, nil, plaintext, aad)
	return sealed[:12], sealed[12:], nil
}

// Decrypt implements helper.Module.
func (t *Token) Decrypt(s helper.Session, o helper.Object, iv, aad, ciphertext []byte) ([]byte, error) {
	const call = "C_Decrypt"
	if err := t.enter(call, s); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	_, value, err := t.key(call, o, helper.KeyHandleInvalid)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(value[:32])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(nil, nil, append(append([]byte{}, iv...), ciphertext...), aad)
	if err != nil && t.VagueErrors {
		return nil, ckr(call, helper.GeneralError)
	} else if err != nil {
		return nil, ckr(call, helper.EncryptedDataInvalid)
	}
	return plaintext, nil
}

// Random implements helper.Module.
func (t *Token) Random(s helper.Session, n int) ([]byte, error) {
	if err := t.enter("C_GenerateRandom", s); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	b := make([]byte, n)
	rand.Read(b)
	return b, nil
}
