package seal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/xaes"
)

// DataFormat is the version of everything the store holds. A store of a higher one is refused.
const DataFormat = 1

// metaKey is the one value that is not sealed by the keyring: it holds the keyring, wrapped by the root key.
const metaKey = "sys/meta"

// meta is stored as JSON.
type meta struct {
	Format     int    `json:"format"`
	Deployment string `json:"deployment"` // random, made with the store
	Dev        bool   `json:"dev"`        // made by keyturn dev: a server never opens it
	Provider   string `json:"provider"`
	Root       []byte `json:"root"`    // the root key, sealed by the provider
	Keyring    []byte `json:"keyring"` // keyringData, sealed by the root key
}

// binding is the additional data of the wrapped keyring: nobody can turn a development store into another one.
func (m *meta) binding() []byte {
	b := binary.BigEndian.AppendUint32([]byte("keyturn keyring"), uint32(m.Format))
	dev := byte(0)
	if m.Dev {
		dev = 1
	}
	return append(append(b, dev), m.Deployment...)
}

type keyringData struct {
	Keys []keyringKey `json:"keys"` // by version, 1 first
}

type keyringKey struct {
	Version uint32    `json:"version"`
	Created time.Time `json:"created"`
	Seal    []byte    `json:"seal"` // seals values
	MAC     []byte    `json:"mac"`  // authenticates ciphertexts
}

// Keyring holds the service's own keys, by version. It is immutable and safe for concurrent use.
type Keyring struct {
	deployment string
	dev        bool
	versions   []keyringEntry // index is version-1
}

type keyringEntry struct {
	aead *xaes.AEAD
	mac  *keys.MACKey
}

// Deployment is the random ID made with the store.
func (k *Keyring) Deployment() string { return k.deployment }

// Dev tells whether the store was made by keyturn dev.
func (k *Keyring) Dev() bool { return k.dev }

// CurrentMAC returns the MAC key for new ciphertexts.
func (k *Keyring) CurrentMAC() *keys.MACKey { return k.versions[len(k.versions)-1].mac }

// MACKey returns the MAC key of a version, nil if there is none.
func (k *Keyring) MACKey(version uint32) *keys.MACKey {
	if version == 0 || int64(version) > int64(len(k.versions)) {
		return nil
	}
	return k.versions[version-1].mac
}

// SealToken seals something for a caller to keep. purpose must differ from that of every other use, and says what opens it again.
func (k *Keyring) SealToken(plaintext []byte, purpose string) ([]byte, error) {
	version := len(k.versions)
	header := binary.BigEndian.AppendUint32([]byte{tokenV1}, uint32(version))
	return k.versions[version-1].aead.Seal(header, plaintext, tokenData(header, purpose))
}

// OpenToken opens what SealToken sealed for the same purpose. The error is ErrToken.
func (k *Keyring) OpenToken(token []byte, purpose string) ([]byte, error) {
	if len(token) < headerSize || token[0] != tokenV1 {
		return nil, ErrToken
	}
	version := binary.BigEndian.Uint32(token[1:])
	if version == 0 || int64(version) > int64(len(k.versions)) {
		return nil, ErrToken
	}
	plain, err := k.versions[version-1].aead.Open(nil, token[headerSize:], tokenData(token[:headerSize], purpose))
	if err != nil {
		return nil, ErrToken
	}
	return plain, nil
}

// ErrToken: these bytes were not sealed as a token for this purpose.
var ErrToken = errors.New("seal: invalid token")

// tokenV1 is the format of a token: this byte, 4 bytes keyring version, then XAES-256-GCM.
const tokenV1 = 1

func tokenData(header []byte, purpose string) []byte {
	b := append([]byte("keyturn token"), header[:headerSize]...)
	return append(b, purpose...)
}

// Options say what Open may do and expects.
type Options struct {
	Provider Provider
	Dev      bool // make a development store; a store is opened only by the kind that made it
	// FixedMAC replaces the random MAC key of a new development store, so that ciphertexts under seeded keys open in every
	// store made from the same seed. Ignored unless Dev.
	FixedMAC []byte
	Now      time.Time
}

// Open unseals the store's keyring and returns the store with every value sealed under it; for an empty store it makes root key
// and keyring first. ErrWrongKey, ErrDamaged, ErrFormat; nothing is written if it fails.
func Open(ctx context.Context, raw store.Store, o Options) (*Store, error) {
	entries, err := raw.Get(ctx, metaKey)
	if err != nil {
		return nil, err
	}
	if entries[0].Rev == 0 {
		any, err := raw.Scan(ctx, "", "", 1)
		if err != nil {
			return nil, err
		}
		if len(any) > 0 {
			return nil, fmt.Errorf("%w: the store holds data but no keyring", ErrDamaged)
		}
		ring, err := create(ctx, raw, o)
		if err != nil {
			return nil, err
		}
		return newStore(raw, ring), nil
	}
	ring, err := load(ctx, entries[0].Value, o)
	if err != nil {
		return nil, err
	}
	return newStore(raw, ring), nil
}

func create(ctx context.Context, raw store.Store, o Options) (*Keyring, error) {
	root := random(xaes.KeySize)
	m := meta{Format: DataFormat, Deployment: keys.NewKeyID().String(), Dev: o.Dev, Provider: o.Provider.Name()}
	bind(o.Provider, m.Deployment)
	var err error
	if m.Root, err = o.Provider.Seal(ctx, root); err != nil {
		return nil, fmt.Errorf("sealing the root key: %w", err)
	}
	mac := random(32)
	if o.Dev && o.FixedMAC != nil {
		mac = o.FixedMAC
	}
	data := keyringData{Keys: []keyringKey{{Version: 1, Created: o.Now.UTC(), Seal: random(xaes.KeySize), MAC: mac}}}
	plain, err := json.Marshal(&data)
	if err != nil {
		return nil, fmt.Errorf("seal: encoding the keyring: %w", err)
	}
	aead, err := xaes.New(root)
	if err != nil {
		return nil, err
	}
	if m.Keyring, err = aead.Seal(nil, plain, m.binding()); err != nil {
		return nil, err
	}
	value, err := json.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("seal: encoding: %w", err)
	}
	ring, err := newKeyring(&m, &data)
	if err != nil {
		return nil, err
	}
	_, err = raw.Commit(ctx, store.Batch{Checks: []store.Check{{Key: metaKey}}, Writes: []store.Write{{Key: metaKey, Value: value}}})
	if err != nil {
		return nil, fmt.Errorf("writing the new keyring: %w", err)
	}
	return ring, nil
}

func load(ctx context.Context, value []byte, o Options) (*Keyring, error) {
	// The format first, alone: what a newer one looks like is not known.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return nil, fmt.Errorf("%w: the store's description is not readable", ErrDamaged)
	}
	if head.Format != DataFormat {
		return nil, fmt.Errorf("%w: the store has data format %d, this keyturn knows %d", ErrFormat, head.Format, DataFormat)
	}
	var m meta
	if err := json.Unmarshal(value, &m, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: the store's description is not readable", ErrDamaged)
	}
	if m.Dev && !o.Dev {
		return nil, fmt.Errorf("%w: the store was made by 'keyturn dev', which accepts any credentials; a server does not open it", ErrFormat)
	}
	if !m.Dev && o.Dev {
		return nil, fmt.Errorf("%w: the store was made by 'keyturn server'; 'keyturn dev', which accepts any credentials, does not open it", ErrFormat)
	}
	if m.Provider != o.Provider.Name() {
		return nil, fmt.Errorf("%w: the store is sealed by provider %q, configured is %q", ErrWrongKey, m.Provider, o.Provider.Name())
	}
	bind(o.Provider, m.Deployment)
	root, err := o.Provider.Unseal(ctx, m.Root)
	if err != nil {
		return nil, err
	}
	aead, err := xaes.New(root)
	if err != nil {
		return nil, fmt.Errorf("%w: root key of %d bytes", ErrDamaged, len(root))
	}
	plain, err := aead.Open(nil, m.Keyring, m.binding())
	if err != nil {
		return nil, fmt.Errorf("%w: the keyring does not open under the root key", ErrDamaged)
	}
	var data keyringData
	if err := json.Unmarshal(plain, &data, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: the keyring is not readable", ErrDamaged) // its bytes are secret: no detail
	}
	return newKeyring(&m, &data)
}

func newKeyring(m *meta, data *keyringData) (*Keyring, error) {
	ring := &Keyring{deployment: m.Deployment, dev: m.Dev}
	for i, k := range data.Keys {
		aead, err := xaes.New(k.Seal)
		if err != nil || int64(k.Version) != int64(i)+1 || len(k.MAC) < 16 {
			return nil, fmt.Errorf("%w: keyring key %d is malformed", ErrDamaged, i+1)
		}
		ring.versions = append(ring.versions, keyringEntry{aead: aead, mac: keys.NewMACKey(k.Version, k.MAC)})
	}
	if len(ring.versions) == 0 {
		return nil, fmt.Errorf("%w: the keyring is empty", ErrDamaged)
	}
	return ring, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// IsDamage tells whether an error means that stored data is broken, rather than busy or unreachable.
func IsDamage(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, store.ErrDamaged) }
