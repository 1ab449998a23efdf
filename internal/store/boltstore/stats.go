package boltstore

import (
	"fmt"
	"os"

	"github.com/keyturn/keyturn/internal/store"
)

var _ store.Statser = (*Store)(nil)

// Stats implements store.Statser.
func (s *Store) Stats() (store.Stats, error) {
	stats := s.meter.Stats()
	stats.Head = store.Rev(s.shown.Load())
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return stats, fmt.Errorf("store: %w", err)
	}
	stats.Bytes = info.Size()
	return stats, nil
}
