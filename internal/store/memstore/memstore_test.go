package memstore_test

import (
	"iter"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() }) // most tests have closed it
		return s
	}, nil)
}

func BenchmarkStore(b *testing.B) {
	s := memstore.New()
	defer s.Close()
	storetest.Bench(b, s, 1_000_000)
}

func TestLoad(t *testing.T) {
	storetest.RunLoad(t, func(t *testing.T, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
		s, err := memstore.Load(t.Context(), head, entries)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, nil
	})
}
