package seal

import (
	"context"
	"errors"

	"github.com/keyturn/keyturn/internal/store"
)

// Scrubs tells whether the engine leaves copies behind that Scrub overwrites.
func (s *Store) Scrubs() bool {
	_, ok := s.raw.(store.Scrubber)
	return ok
}

// Scrub implements store.Scrubber, where the engine does: errors.ErrUnsupported. It reaches older keyrings and root keys too.
func (s *Store) Scrub(ctx context.Context, o store.ScrubOptions) (store.Scrubbed, error) {
	engine, ok := s.raw.(store.Scrubber)
	if !ok {
		return store.Scrubbed{}, errors.ErrUnsupported
	}
	did, err := engine.Scrub(ctx, o)
	return did, s.note(err)
}

// KeyringRevision is the revision at which the keyring was last written. It changes with the root key, and when a version is added, is
// needed for nothing any more, or is destroyed.
func (s *Store) KeyringRevision() store.Rev { return s.ring.now.Load().rev }
