package seal

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/xaes"
)

// KeyringPeriod is the cryptoperiod of a version of the keyring: the same year that keys have by default.
const KeyringPeriod = 365 * 24 * time.Hour

// maxVersions bounds what a keyring can grow to, since all of it is in one value, and the MAC keys of old versions stay as long as there may be
// ciphertexts: for ever. The last keptVersions are for rotations that are due and for new root keys: whoever may only rotate the keyring cannot
// use them up. Restoring a backup adds a version beyond any bound; the value has room for three times as many.
const (
	maxVersions  = 1000
	keptVersions = 200
)

// ErrTooMany: the keyring has as many versions as it can have. ErrKept: those that it can still have are not for rotation on demand.
var (
	ErrTooMany = fmt.Errorf("seal: the keyring has %d versions, and cannot have more", maxVersions)
	ErrKept    = fmt.Errorf("seal: the keyring can have %d versions, and the last %d are kept for rotations that are due and for new root keys", maxVersions, keptVersions)
)

// RotateKeyring adds a version to the keyring because somebody wants it to, as RotateDue does. ErrKept, ErrTooMany.
func (s *Store) RotateKeyring(ctx context.Context, now time.Time) error {
	return s.addVersion(ctx, now, keptVersions)
}

// RotateDue adds a version to the keyring, which seals everything from then on. Older versions go on opening what they sealed until Maintain has
// sealed all of that anew and TokenLife has passed. ErrTooMany.
func (s *Store) RotateDue(ctx context.Context, now time.Time) error {
	return s.addVersion(ctx, now, 0)
}

func (s *Store) addVersion(ctx context.Context, now time.Time, kept int) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	r := s.ring.now.Load()
	if err := r.room(kept); err != nil {
		return err
	}
	return s.replace(ctx, r, r.meta, r.root, r.withVersion(now))
}

// room tells whether the keyring can have one more version with so many left after it.
func (r *ring) room(kept int) error {
	switch left := maxVersions - int(r.current()); {
	case left <= 0:
		return ErrTooMany
	case left <= kept:
		return ErrKept
	}
	return nil
}

// RotateRoot replaces the root key, and adds a version to the keyring: who has the old root key, and a copy of the store from before,
// opens nothing that is sealed from then on. It is one commit, whatever the store holds. ErrTooMany: without another version the old root key
// would go on opening what comes.
func (s *Store) RotateRoot(ctx context.Context, now time.Time) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.reroot(ctx, s.provider, now)
}

// ErrSame: what the store is to be moved to is what seals it.
var ErrSame = errors.New("seal: this is what seals the store already")

// Migrate is RotateRoot with the new root key sealed by another provider, or by the same kind with another key. The old one opens the
// store no more. ErrSame.
func (s *Store) Migrate(ctx context.Context, p Provider, now time.Time) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	bind(p, s.ring.deployment)
	if m := s.ring.now.Load().meta; m.Provider == p.Name() {
		if _, err := p.Unseal(ctx, m.Root); err == nil {
			return ErrSame
		}
	}
	if err := s.reroot(ctx, p, now); err != nil {
		return err
	}
	s.provider = p
	return nil
}

// reroot makes a root key and seals it with p. What p sealed is unsealed once before anything depends on it. The caller holds changing: a
// provider may take its time, and nothing but another change of the seal waits for it.
func (s *Store) reroot(ctx context.Context, p Provider, now time.Time) error {
	if err := s.ring.now.Load().room(0); err != nil { // before a provider hands anything out
		return err
	}
	root := random(xaes.KeySize)
	bind(p, s.ring.deployment)
	sealed, err := p.Seal(ctx, root)
	if err != nil {
		return fmt.Errorf("sealing the root key: %w", err)
	}
	back, err := p.Unseal(ctx, sealed)
	if err != nil {
		return fmt.Errorf("trying whether the new root key unseals: %w", err)
	}
	if subtle.ConstantTimeCompare(back, root) != 1 {
		return errors.New("seal: the provider unseals another root key than it sealed")
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	r := s.ring.now.Load()
	if err := r.room(0); err != nil {
		return err
	}
	m := r.meta
	m.Provider, m.Root = p.Name(), sealed
	data := r.withVersion(now)
	data.RootCreated = now.UTC()
	return s.replace(ctx, r, m, root, data)
}

// withVersion is the ring's data with another version.
func (r *ring) withVersion(now time.Time) keyringData {
	data := r.data.clone()
	data.Keys = append(data.Keys, newKey(r.current()+1, now))
	return data
}

// replace commits a ring in another's place, and then uses it. The caller holds admin.
func (s *Store) replace(ctx context.Context, old *ring, m meta, root []byte, data keyringData) error {
	r, err := wrap(m, root, data)
	if err != nil {
		return err
	}
	// Once begun it is not given up half-way: whether it was written must be known.
	if err := r.write(context.WithoutCancel(ctx), s.raw, old.rev); err != nil {
		if errors.Is(err, store.ErrConflict) {
			err = fmt.Errorf("seal: the keyring was changed by somebody else: %w", err)
		}
		return s.note(err)
	}
	s.sealing.Lock()
	s.ring.now.Store(r)
	s.sealing.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Status says how the store is sealed. Nothing of it is secret.
type Status struct {
	Deployment string
	Format     int
	Provider   string
	// RootCreated is when the root key was made; zero if the store is older than that date and its root key too.
	RootCreated time.Time
	Version     uint32    // of the keyring
	Created     time.Time // its
	Rotation    time.Time // when it is due for the next
	Versions    []Version
	// Left is how many versions the keyring can still have, LeftOnDemand how many of these RotateKeyring can make.
	Left, LeftOnDemand int
	// Resealed: every value is sealed by this version or a later one.
	Resealed uint32
	Progress *Progress // nil: no values are being sealed anew
}

// Version is one of the keyring's.
type Version struct {
	Version uint32
	Created time.Time
	// Retired is when another one took over; zero for the current one.
	Retired time.Time
	// Destroyed is when the key that sealed values was destroyed; zero as long as it is there.
	Destroyed time.Time
}

// Progress is how far sealing the values anew has come.
type Progress struct {
	Target uint32 // the version that all will be sealed by at least
	Done   int64  // values looked at
	Total  int64  // about how many there are; 0 while they are being counted
}

// Status returns it.
func (s *Store) Status() Status {
	r := s.ring.now.Load()
	st := Status{
		Deployment: r.meta.Deployment, Format: r.meta.Format, Provider: r.meta.Provider, RootCreated: r.data.RootCreated,
		Version: r.current(), Resealed: r.data.Resealed, Progress: s.passing.get(),
		Left: max(0, maxVersions-int(r.current())), LeftOnDemand: max(0, maxVersions-keptVersions-int(r.current())),
	}
	for i, k := range r.data.Keys {
		st.Versions = append(st.Versions, Version{Version: k.Version, Created: k.Created, Retired: r.versions[i].retired, Destroyed: k.Destroyed})
	}
	st.Created = r.data.Keys[len(r.data.Keys)-1].Created
	st.Rotation = st.Created.Add(KeyringPeriod)
	return st
}
