package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/storetest"
)

func TestLoad(t *testing.T) {
	storetest.RunLoad(t, func(t *testing.T, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
		path := newPath(t)
		err := Load(t.Context(), disk.OS, path, head, entries)
		if err != nil {
			left, globErr := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			if len(left) > 0 || globErr != nil {
				t.Errorf("a failed Load leaves %v (%v)", left, globErr)
			}
			return nil, err
		}
		return mustOpen(t, path, Options{}), nil
	})
}

// TestLoadBeside: a store that is there stays as it is, and what an interrupted Load left is no hindrance.
func TestLoadBeside(t *testing.T) {
	none := func(func(store.Entry, error) bool) {}
	path := newPath(t)
	if err := os.WriteFile(path+".loading", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Load(t.Context(), disk.OS, path, 3, none); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Load(t.Context(), disk.OS, path, 9, none); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Load over a store: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the store has changed (%v)", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Load(canceled, disk.OS, newPath(t), 3, none); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled Load: %v", err)
	}
}
