package memstore_test

import (
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
