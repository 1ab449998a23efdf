package seal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/xaes"
)

// DataFormat is the version of everything the store holds. A store of a higher one is refused; one of a lower one is read, and
// becomes one of this version when its keyring next changes.
//
// Version 2 has keyrings with destroyed versions, and the dates of root keys.
const DataFormat = 2

// metaKey is the one value that is not sealed by the keyring: it holds the keyring, wrapped by the root key.
const metaKey = "sys/meta"

type revision = store.Rev

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
	var r *ring
	if entries[0].Rev == 0 {
		any, err := raw.Scan(ctx, "", "", 1)
		if err != nil {
			return nil, err
		}
		if len(any) > 0 {
			return nil, fmt.Errorf("%w: the store holds data but no keyring", ErrDamaged)
		}
		r, err = create(ctx, raw, o)
		if err != nil {
			return nil, err
		}
	} else if r, err = load(ctx, entries[0], o); err != nil {
		return nil, err
	}
	return newStore(raw, r, o.Provider), nil
}

func create(ctx context.Context, raw store.Store, o Options) (*ring, error) {
	root := random(xaes.KeySize)
	m := meta{Deployment: keys.NewKeyID().String(), Dev: o.Dev, Provider: o.Provider.Name()}
	bind(o.Provider, m.Deployment)
	var err error
	if m.Root, err = o.Provider.Seal(ctx, root); err != nil {
		return nil, fmt.Errorf("sealing the root key: %w", err)
	}
	first := newKey(1, o.Now)
	if o.Dev && o.FixedMAC != nil {
		first.MAC = o.FixedMAC
	}
	r, err := wrap(m, root, keyringData{Keys: []keyringKey{first}, Resealed: 1, RootCreated: o.Now.UTC()})
	if err != nil {
		return nil, err
	}
	if err := r.write(ctx, raw, 0); err != nil {
		return nil, fmt.Errorf("writing the new keyring: %w", err)
	}
	return r, nil
}

// newKey makes a version.
func newKey(version uint32, now time.Time) keyringKey {
	return keyringKey{Version: version, Created: now.UTC(), Seal: random(xaes.KeySize), MAC: random(32)}
}

// wrap puts a keyring under a root key, in the present format.
func wrap(m meta, root []byte, data keyringData) (*ring, error) {
	m.Format = DataFormat
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
	return newRing(m, root, data)
}

// write stores the ring in place of the one at a revision, 0 for none, and sets its own.
func (r *ring) write(ctx context.Context, raw store.Store, before revision) error {
	value, err := json.Marshal(&r.meta)
	if err != nil {
		return fmt.Errorf("seal: encoding: %w", err)
	}
	r.rev, err = raw.Commit(ctx, store.Batch{Checks: []store.Check{{Key: metaKey, Rev: before}}, Writes: []store.Write{{Key: metaKey, Value: value}}})
	return err
}

// parseMeta reads a stored value.
func parseMeta(value []byte) (meta, error) {
	// The format first, alone: what a newer one looks like is not known.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return meta{}, fmt.Errorf("%w: the store's description is not readable", ErrDamaged)
	}
	if head.Format < 1 || head.Format > DataFormat {
		return meta{}, fmt.Errorf("%w: the store has data format %d, this keyturn knows up to %d", ErrFormat, head.Format, DataFormat)
	}
	var m meta
	if err := json.Unmarshal(value, &m, json.RejectUnknownMembers(true)); err != nil {
		return meta{}, fmt.Errorf("%w: the store's description is not readable", ErrDamaged)
	}
	return m, nil
}

func load(ctx context.Context, e store.Entry, o Options) (*ring, error) {
	m, err := parseMeta(e.Value)
	switch {
	case err != nil:
		return nil, err
	case m.Dev && !o.Dev:
		return nil, fmt.Errorf("%w: the store was made by 'keyturn dev', which accepts any credentials; a server does not open it", ErrFormat)
	case !m.Dev && o.Dev:
		return nil, fmt.Errorf("%w: the store was made by 'keyturn server'; 'keyturn dev', which accepts any credentials, does not open it", ErrFormat)
	case m.Provider != o.Provider.Name():
		return nil, fmt.Errorf("%w: the store is sealed by provider %q, configured is %q", ErrWrongKey, m.Provider, o.Provider.Name())
	}
	bind(o.Provider, m.Deployment)
	root, err := o.Provider.Unseal(ctx, m.Root)
	if err != nil {
		return nil, err
	}
	return unwrap(m, e.Rev, root)
}

// unwrap opens a keyring with the root key.
func unwrap(m meta, rev revision, root []byte) (*ring, error) {
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
	r, err := newRing(m, root, data)
	if err != nil {
		return nil, err
	}
	r.rev = rev
	return r, nil
}

func newRing(m meta, root []byte, data keyringData) (*ring, error) {
	data.Resealed = max(data.Resealed, 1) // nothing is older than the first version
	r := &ring{meta: m, root: root, data: data}
	for i, k := range data.Keys {
		var e keyringEntry
		var err error
		if len(k.Seal) > 0 || k.Destroyed.IsZero() {
			e.aead, err = xaes.New(k.Seal)
		}
		if err != nil || int64(k.Version) != int64(i)+1 || len(k.MAC) < 16 {
			return nil, fmt.Errorf("%w: keyring key %d is malformed", ErrDamaged, i+1)
		}
		e.mac = keys.NewMACKey(k.Version, k.MAC)
		r.versions = append(r.versions, e)
	}
	for i := len(r.versions) - 2; i >= 0; i-- {
		r.versions[i].retired = data.Keys[i+1].Created
		if next := r.versions[i+1].retired; !next.IsZero() && next.Before(r.versions[i].retired) {
			r.versions[i].retired = next
		}
	}
	if len(r.versions) == 0 || r.versions[len(r.versions)-1].aead == nil || data.Resealed > r.current() {
		return nil, fmt.Errorf("%w: the keyring has no current key", ErrDamaged)
	}
	return r, nil
}

// clone is a copy of the data that can be changed.
func (d keyringData) clone() keyringData {
	d.Keys = slices.Clone(d.Keys)
	return d
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// IsDamage tells whether an error means that stored data is broken, rather than busy or unreachable.
func IsDamage(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, store.ErrDamaged) }
