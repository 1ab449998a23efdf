package helper

import (
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Token answers requests with a token.
type Token struct {
	m        Module
	sessions *pool
	keys     cache
	making   sync.Mutex  // held while a key is made
	makesIVs atomic.Bool // the token takes no IVs

	mu     sync.Mutex
	lastIV [hsmwire.IVSize]byte
}

// New returns a Token that opens at most sessions sessions, as they are needed.
func New(m Module, sessions int) *Token {
	return &Token{m: m, sessions: newPool(m, sessions)}
}

// Handle implements Handler.
func (t *Token) Handle(q hsmwire.Message) hsmwire.Message {
	var fields [][]byte
	err := t.sessions.with(func(s Session) (err error) {
		fields, err = t.do(s, q)
		return err
	})
	if err != nil {
		status, text := StatusOf(err)
		return hsmwire.Message{ID: q.ID, Code: byte(status), Fields: [][]byte{[]byte(text)}}
	}
	return hsmwire.Message{ID: q.ID, Code: byte(hsmwire.StatusOK), Fields: fields}
}

func (t *Token) do(s Session, q hsmwire.Message) ([][]byte, error) {
	f := q.Fields
	switch hsmwire.Op(q.Code) {
	case hsmwire.OpInfo:
		return t.info(s, f[0][0])
	case hsmwire.OpLogin:
		return nil, t.login(s, f[0])
	case hsmwire.OpLogout:
		return nil, t.logout(s)
	case hsmwire.OpGenerateKey:
		return nil, t.generateKey(s, string(f[0]))
	case hsmwire.OpEncrypt:
		iv, ciphertext, err := t.encrypt(s, string(f[0]), f[1], f[2])
		return [][]byte{iv, ciphertext}, err
	case hsmwire.OpDecrypt:
		plaintext, err := t.decrypt(s, string(f[0]), f[1], f[2], f[3])
		return [][]byte{plaintext}, err
	case hsmwire.OpDestroyKey:
		return nil, t.destroyKey(s, string(f[0]))
	case hsmwire.OpHasKey:
		has, err := t.hasKey(s, string(f[0]))
		return [][]byte{flag(has)}, err
	case hsmwire.OpRandom:
		n := hsmwire.Count(f[0])
		b, err := t.m.Random(s, n)
		if err == nil && len(b) != n {
			err = failure{hsmwire.StatusFailed, "C_GenerateRandom: unexpected length"}
		}
		return [][]byte{b}, err
	}
	return nil, failure{hsmwire.StatusFailed, "unknown operation"}
}

func (t *Token) info(s Session, version byte) ([][]byte, error) {
	if version != hsmwire.Version {
		return nil, failure{hsmwire.StatusFailed, "keyturn and keyturn-pkcs11 are of different versions"}
	}
	i, err := t.m.TokenInfo()
	if err != nil {
		return nil, err
	}
	in, err := t.m.LoggedIn(s)
	if err != nil {
		return nil, err
	}
	text := func(s string) []byte { return []byte(strings.TrimRight(s[:min(len(s), 64)], " \x00")) }
	free := binary.BigEndian.AppendUint64(nil, i.FreePrivateMemory)
	return [][]byte{text(i.Label), text(i.Manufacturer), text(i.Model), text(i.Serial), text(i.Firmware), free, flag(in)}, nil
}

// login logs in with this PIN and no other: where someone is logged in already, Cryptoki would not look at it.
func (t *Token) login(s Session, pin []byte) error {
	err := t.m.Login(s, pin)
	if isCKR(err, UserAlreadyLoggedIn) {
		if err := t.logout(s); err != nil {
			return err
		}
		err = t.m.Login(s, pin)
	}
	return err
}

// logout also forgets all handles, which logging out makes invalid.
func (t *Token) logout(s Session) error {
	err := t.m.Logout(s)
	t.keys.dropAll()
	if isCKR(err, UserNotLoggedIn) {
		return nil
	}
	return err
}

func flag(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

// Refusal answers every request with one status: why there is no token to ask.
type Refusal struct {
	Status hsmwire.Status
	Text   string
}

// Handle implements Handler.
func (r Refusal) Handle(q hsmwire.Message) hsmwire.Message {
	status, text := StatusOf(failure{r.Status, r.Text})
	return hsmwire.Message{ID: q.ID, Code: byte(status), Fields: [][]byte{[]byte(text)}}
}

// ErrTooMany is returned by Serve when more than hsmwire.MaxInFlight requests wait.
var ErrTooMany = errors.New("helper: too many requests at a time")
