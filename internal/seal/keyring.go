package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/xaes"
)

// keyringData is stored as JSON, sealed by the root key.
type keyringData struct {
	Keys []keyringKey `json:"keys"` // by version, 1 first
	// Resealed: every value is sealed by this version or a later one.
	Resealed uint32 `json:"resealed,omitzero"`
	// RootCreated is when the root key was made; zero in stores older than this field.
	RootCreated time.Time `json:"rootCreated,omitzero"`
}

// keyringKey is one version. The MAC key stays for ever, since ciphertexts do; the key that seals values goes once nothing is
// sealed by it any more.
type keyringKey struct {
	Version   uint32    `json:"version"`
	Created   time.Time `json:"created"`
	Seal      []byte    `json:"seal,omitempty"` // seals values and tokens
	MAC       []byte    `json:"mac"`            // authenticates ciphertexts
	Destroyed time.Time `json:"destroyed,omitzero"`
}

// ring is the keyring at one moment, with what it was read from. It is immutable.
type ring struct {
	meta     meta
	rev      revision // of the stored value
	root     []byte
	data     keyringData
	versions []keyringEntry // index is version-1
}

type keyringEntry struct {
	aead *xaes.AEAD // nil once destroyed
	mac  *keys.MACKey
	// retired is when it was replaced, zero for the current one: the earliest date that a later one has, so that a date which a wrong clock made too
	// late counts until the next rotation only.
	retired time.Time
}

// Keyring holds the service's own keys, by version. It is safe for concurrent use. It changes when a version is added or destroyed.
type Keyring struct {
	deployment string
	dev        bool
	now        atomic.Pointer[ring]
}

func newKeyring(r *ring) *Keyring {
	k := &Keyring{deployment: r.meta.Deployment, dev: r.meta.Dev}
	k.now.Store(r)
	return k
}

// Deployment is the random ID made with the store.
func (k *Keyring) Deployment() string { return k.deployment }

// Dev tells whether the store was made by keyturn dev.
func (k *Keyring) Dev() bool { return k.dev }

// CurrentMAC returns the MAC key for new ciphertexts.
func (k *Keyring) CurrentMAC() *keys.MACKey {
	versions := k.now.Load().versions
	return versions[len(versions)-1].mac
}

// MACKey returns the MAC key of a version, nil if there is none.
func (k *Keyring) MACKey(version uint32) *keys.MACKey {
	e := k.now.Load().version(version)
	if e == nil {
		return nil
	}
	return e.mac
}

// destroyed tells whether a version sealed values and does so no more.
func (r *ring) destroyed(version uint32) bool {
	e := r.version(version)
	return e != nil && e.aead == nil
}

// version returns one, nil if there is none.
func (r *ring) version(version uint32) *keyringEntry {
	if version == 0 || int64(version) > int64(len(r.versions)) {
		return nil
	}
	return &r.versions[version-1]
}

// current is the newest version.
func (r *ring) current() uint32 { return uint32(len(r.versions)) }

// A sealed value: 1 byte format version, 4 bytes keyring version, then XAES-256-GCM with the header and the store key as
// additional data, so that no value can be moved to another key.
const (
	valueV1    = 1
	headerSize = 5
)

func additionalData(header []byte, key string) []byte {
	b := make([]byte, 0, 24+headerSize+len(key))
	b = append(b, "keyturn value"...)
	b = append(b, header[:headerSize]...)
	return append(b, key...)
}

func (r *ring) sealValue(key string, value []byte) ([]byte, error) {
	header := binary.BigEndian.AppendUint32([]byte{valueV1}, r.current())
	return r.versions[len(r.versions)-1].aead.Seal(header, value, additionalData(header, key))
}

// valueVersion is the version that sealed a value. The error is ErrDamaged.
func valueVersion(key string, sealed []byte) (uint32, error) {
	if len(sealed) < headerSize {
		return 0, fmt.Errorf("%w: value of %s is cut short", ErrDamaged, key)
	}
	if sealed[0] != valueV1 {
		return 0, fmt.Errorf("%w: value of %s has format %d", ErrDamaged, key, sealed[0])
	}
	return binary.BigEndian.Uint32(sealed[1:]), nil
}

func (r *ring) openValue(key string, sealed []byte) ([]byte, error) {
	version, err := valueVersion(key, sealed)
	if err != nil {
		return nil, err
	}
	e := r.version(version)
	switch {
	case e == nil:
		return nil, fmt.Errorf("%w: value of %s is sealed by keyring version %d, which does not exist", ErrDamaged, key, version)
	case e.aead == nil:
		return nil, fmt.Errorf("%w: value of %s is sealed by keyring version %d, which was destroyed", ErrDamaged, key, version)
	}
	plain, err := e.aead.Open(make([]byte, 0, len(sealed)), sealed[headerSize:], additionalData(sealed, key))
	if err != nil {
		return nil, fmt.Errorf("%w: value of %s does not open", ErrDamaged, key)
	}
	return plain, nil
}

// OpenValue opens a sealed value of the store key. The error is ErrDamaged.
func (k *Keyring) OpenValue(key string, sealed []byte) ([]byte, error) {
	return k.now.Load().openValue(key, sealed)
}

// SealToken seals something for a caller to keep. purpose must differ from that of every other use, and says what opens it again.
func (k *Keyring) SealToken(plaintext []byte, purpose string) ([]byte, error) {
	r := k.now.Load()
	header := binary.BigEndian.AppendUint32([]byte{tokenV1}, r.current())
	return r.versions[len(r.versions)-1].aead.Seal(header, plaintext, tokenData(header, purpose))
}

// OpenToken opens what SealToken sealed for the same purpose, for TokenLife at least. The error is ErrToken.
func (k *Keyring) OpenToken(token []byte, purpose string) ([]byte, error) {
	if len(token) < headerSize || token[0] != tokenV1 {
		return nil, ErrToken
	}
	e := k.now.Load().version(binary.BigEndian.Uint32(token[1:]))
	if e == nil || e.aead == nil {
		return nil, ErrToken
	}
	plain, err := e.aead.Open(nil, token[headerSize:], tokenData(token[:headerSize], purpose))
	if err != nil {
		return nil, ErrToken
	}
	return plain, nil
}

// TokenRetired is when the version that sealed a token was replaced; zero if it is the current one, or unknown. Whoever had the keyring before
// that can still make such tokens, so what says of itself that it was made later was not made here.
func (k *Keyring) TokenRetired(token []byte) time.Time {
	if len(token) < headerSize {
		return time.Time{}
	}
	e := k.now.Load().version(binary.BigEndian.Uint32(token[1:]))
	if e == nil {
		return time.Time{}
	}
	return e.retired
}

// ErrToken: these bytes were not sealed as a token for this purpose, or so long ago that their key is gone.
var ErrToken = errors.New("seal: invalid token")

// TokenLife is how long a token opens at least. The longest-lived that keyturn hands out, a session's, is good for 36 hours.
const TokenLife = 48 * time.Hour

// tokenV1 is the format of a token: this byte, 4 bytes keyring version, then XAES-256-GCM.
const tokenV1 = 1

func tokenData(header []byte, purpose string) []byte {
	b := append([]byte("keyturn token"), header[:headerSize]...)
	return append(b, purpose...)
}
