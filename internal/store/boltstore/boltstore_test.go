package boltstore

import (
	"path/filepath"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

// mustOpen opens the store and closes it at the end of the test, if the test has not.
func mustOpen(tb testing.TB, path string, opts Options) *Store {
	tb.Helper()
	s, err := Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func newPath(tb testing.TB) string { return filepath.Join(tb.TempDir(), "keyturn.db") }

func TestStore(t *testing.T) {
	open := func(t *testing.T) store.Store {
		return mustOpen(t, newPath(t), Options{Create: true})
	}
	reopen := func(t *testing.T, s store.Store) store.Store {
		path := s.(*Store).file.Name()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return mustOpen(t, path, Options{})
	}
	storetest.Run(t, open, reopen)
}
