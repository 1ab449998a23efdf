package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/xaes"
)

// Snapshot is a store at one moment, with the keyring that opens it. It implements store.Snapshot, values opened.
type Snapshot struct {
	raw  store.Snapshot
	ring *ring
}

// Snapshot implements store.Store.
func (s *Store) Snapshot(ctx context.Context) (store.Snapshot, error) { return s.TakeSnapshot(ctx) }

// TakeSnapshot is Snapshot with what only this package's stores can do. It must be closed.
func (s *Store) TakeSnapshot(ctx context.Context) (*Snapshot, error) {
	s.admin.Lock() // the keyring must be the one of the snapshot
	defer s.admin.Unlock()
	raw, err := s.raw.Snapshot(ctx)
	if err != nil {
		return nil, s.note(err)
	}
	return &Snapshot{raw: raw, ring: s.ring.now.Load()}, nil
}

// Rev implements store.Snapshot.
func (sn *Snapshot) Rev() store.Rev { return sn.raw.Rev() }

// Close implements store.Snapshot.
func (sn *Snapshot) Close() { sn.raw.Close() }

// Get implements store.Snapshot.
func (sn *Snapshot) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	for _, k := range keys {
		if err := reserved(k); err != nil {
			return nil, err
		}
	}
	entries, err := sn.raw.Get(ctx, keys...)
	return sn.openAll(entries, err)
}

// Scan implements store.Snapshot.
func (sn *Snapshot) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	entries, err := sn.ScanSealed(ctx, prefix, after, limit)
	return sn.openAll(entries, err)
}

func (sn *Snapshot) openAll(entries []store.Entry, err error) ([]store.Entry, error) {
	if err == nil {
		err = sn.ring.openAll(entries)
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// ScanSealed is Scan with the values as they stand in the store. It leaves out what is this package's own.
func (sn *Snapshot) ScanSealed(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	return scanUnreserved(ctx, sn.raw, prefix, after, limit)
}

// Open opens the value of an entry of ScanSealed. The error is ErrDamaged.
func (sn *Snapshot) Open(e store.Entry) ([]byte, error) { return sn.ring.openValue(e.Key, e.Value) }

// Escrow returns what opens the snapshot's values without the seal.
func (sn *Snapshot) Escrow() (*Escrow, error) {
	value, err := json.Marshal(&sn.ring.meta)
	if err != nil {
		return nil, fmt.Errorf("seal: encoding: %w", err)
	}
	return &Escrow{Meta: value, Root: sn.ring.root}, nil
}

// Escrow is the keyring of a store, wrapped, with the root key that opens it: whoever has it and the sealed values has everything.
// It prints nothing.
type Escrow struct {
	Meta []byte // the keyring, wrapped by the root key, which is sealed by a provider
	Root []byte // the root key itself; nil: only the provider opens Meta
}

// String implements fmt.Stringer.
func (*Escrow) String() string { return "seal.Escrow" }

// GoString implements fmt.GoStringer.
func (*Escrow) GoString() string { return "seal.Escrow" }

// Unseal finds out the root key with the provider that sealed it. ErrWrongKey, ErrDamaged, ErrFormat.
func (e *Escrow) Unseal(ctx context.Context, p Provider) error {
	m, err := parseMeta(e.Meta)
	if err != nil {
		return err
	}
	if m.Provider != p.Name() {
		return fmt.Errorf("%w: sealed by provider %q, given is %q", ErrWrongKey, m.Provider, p.Name())
	}
	bind(p, m.Deployment)
	e.Root, err = p.Unseal(ctx, m.Root)
	return err
}

func (e *Escrow) open() (*ring, error) {
	m, err := parseMeta(e.Meta)
	if err != nil {
		return nil, err
	}
	return unwrap(m, 0, e.Root)
}

// Keyring returns the keyring. ErrDamaged, ErrFormat.
func (e *Escrow) Keyring() (*Keyring, error) {
	r, err := e.open()
	if err != nil {
		return nil, err
	}
	return newKeyring(r), nil
}

// DerivedKey returns 32 bytes that follow from the root key and a purpose (HKDF-SHA-256, RFC 5869).
func (e *Escrow) DerivedKey(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, e.Root, nil, "keyturn root key "+purpose, 32)
}

// Restore writes the keyring into a store that has none, under a new root key that the provider seals, and with a new version: from then on
// the store shares no key with the one that it came from. However many versions there are: a backup must be good for something. It is the last thing to
// be written: before it, nothing opens the store.
func (e *Escrow) Restore(ctx context.Context, raw store.Store, p Provider, now time.Time) error {
	r, err := e.open()
	if err != nil {
		return err
	}
	root := random(xaes.KeySize)
	m := r.meta
	m.Provider = p.Name()
	bind(p, m.Deployment)
	if m.Root, err = p.Seal(ctx, root); err != nil {
		return fmt.Errorf("sealing the root key: %w", err)
	}
	data := r.withVersion(now)
	data.RootCreated = now.UTC()
	if r, err = wrap(m, root, data); err != nil {
		return err
	}
	return r.write(ctx, raw, 0)
}
