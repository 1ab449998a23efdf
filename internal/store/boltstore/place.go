package boltstore

import (
	"fmt"
	"os"

	"github.com/keyturn/keyturn/internal/store"
)

// InPlace returns an error if the open file is no longer the one that has the store's name: store.ErrReplaced if it was removed, moved or
// replaced. Everything goes on then, in a file that nobody finds any more once it is closed.
func (s *Store) InPlace() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	path := s.file.Name()
	held, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	named, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrReplaced, err)
	}
	if !os.SameFile(named, held) {
		return fmt.Errorf("%w: %s is another file now", store.ErrReplaced, path)
	}
	return nil
}
