package boltstore

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// TestInPlace takes the file away under an open store, puts another in its place, and the file back.
func TestInPlace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nobody can rename an open file there")
	}
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	for _, step := range []struct {
		name string
		do   func() error
		want error
	}{
		{"as it was opened", func() error { return nil }, nil},
		{"moved away", func() error { return os.Rename(path, path+".moved") }, store.ErrReplaced},
		{"another in its place", func() error { return os.WriteFile(path, []byte("another"), 0o600) }, store.ErrReplaced},
		{"back", func() error { return os.Rename(path+".moved", path) }, nil},
		{"removed", func() error { return os.Remove(path) }, store.ErrReplaced},
		{"closed", s.Close, store.ErrClosed},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if err := s.InPlace(); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
}
