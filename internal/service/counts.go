package service

import (
	"fmt"
	"slices"

	"github.com/keyturn/keyturn/internal/record"
)

// Counts returns counters in the order asked, for lists. Nothing guards them.
func (tx *Tx) Counts(names []string) ([]int64, error) {
	counts := make([]int64, 0, len(names))
	for chunk := range slices.Chunk(names, 100) {
		entries, err := tx.p.store.Get(tx.ctx, chunk...)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			n, err := record.DecodeCounter(e.Value)
			if err != nil {
				return nil, fmt.Errorf("%w: %s", err, e.Key)
			}
			counts = append(counts, n)
		}
	}
	return counts, nil
}
