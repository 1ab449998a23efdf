package memstore

import (
	"context"
	"iter"

	"github.com/keyturn/keyturn/internal/store"
)

// Load returns a store of entries at the revision head. See package store.
func Load(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (*Store, error) {
	s := &Store{head: head, history: store.NewHistory(head)}
	n := 0
	for e, err := range store.Loadable(head, entries) {
		if err != nil {
			return nil, err
		}
		s.data.set(e.Key, copyOf(e.Value), e.Rev)
		if n++; n%scanCheck == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return s, ctx.Err()
}
