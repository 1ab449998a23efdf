package memstore

import "github.com/keyturn/keyturn/internal/store"

var _ store.Statser = (*Store)(nil)

// Stats implements store.Statser. Nothing is on a disk.
func (s *Store) Stats() (store.Stats, error) {
	stats := s.meter.Stats()
	s.mu.RLock()
	defer s.mu.RUnlock()
	stats.Head = s.head
	return stats, nil
}
