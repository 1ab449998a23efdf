package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/shamir"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// unknowing is a store whose commits are written, and say that nobody knows.
type unknowing struct {
	store.Store
	before func()
}

func (u *unknowing) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	u.before()
	if _, err := u.Store.Commit(ctx, b); err != nil {
		return 0, err
	}
	return 0, store.ErrUnknown
}

// TestSealSharesFirst: whatever becomes of the migration, people have the shares before the store depends on them.
func TestSealSharesFirst(t *testing.T) {
	for _, files := range []bool{false, true} {
		t.Run(fmt.Sprintf("files %v", files), func(t *testing.T) {
			var out bytes.Buffer
			keeper := new(shareKeeper)
			keeper.show = func() error { return writeThrough(&out, keeper.text(2)) }
			if files {
				keeper.dir = filepath.Join(t.TempDir(), "shares")
			}
			told := func() []string {
				var lines []string
				if !files {
					for line := range strings.Lines(out.String()) {
						if line = strings.TrimSpace(line); strings.HasPrefix(line, "keyturn-share") {
							lines = append(lines, line)
						}
					}
					return lines
				}
				names, _ := filepath.Glob(filepath.Join(keeper.dir, "share-*"))
				for _, name := range names {
					text, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					lines = append(lines, string(text))
				}
				return lines
			}
			raw := memstore.New()
			old := seal.NewKeyFile(bytes.Repeat([]byte{1}, 32))
			if _, err := seal.Open(t.Context(), raw, seal.Options{Provider: old, Now: time.Unix(1e9, 0)}); err != nil {
				t.Fatal(err)
			}
			commits := 0
			fails := &unknowing{raw, func() {
				if commits++; len(told()) != 3 {
					t.Errorf("%d shares are told when the store is written", len(told()))
				}
			}}
			s, err := seal.Open(t.Context(), fails, seal.Options{Provider: old})
			if err != nil {
				t.Fatal(err)
			}
			p, err := keeper.migrateTo(func(context.Context) (seal.Provider, error) { return shamir.New(3, 2) })(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Migrate(t.Context(), p, time.Unix(1e9, 0)); !errors.Is(err, store.ErrUnknown) || commits != 1 || !keeper.made {
				t.Fatalf("%v after %d commits, made %v", err, commits, keeper.made)
			}
			again := new(shamir.Provider)
			if _, err := seal.Open(t.Context(), raw, seal.Options{Provider: &giving{again, told()[1:]}}); err != nil {
				t.Errorf("the shares do not open the store: %v", err)
			}
		})
	}
}

// giving is a provider that is given shares when it is asked.
type giving struct {
	*shamir.Provider
	shares []string
}

func (g *giving) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	for _, share := range g.shares {
		if _, err := g.Give(sealed, []byte(share)); err != nil {
			return nil, err
		}
	}
	return g.Provider.Unseal(ctx, sealed)
}

// TestSealSharesRefused: what cannot be told, or written, leaves the store as it is.
func TestSealSharesRefused(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "share-2"), []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	for name, keeper := range map[string]*shareKeeper{
		"shown nowhere":     {show: func() error { return no }},
		"a file in the way": {dir: full},
	} {
		raw := memstore.New()
		old := seal.NewKeyFile(bytes.Repeat([]byte{1}, 32))
		s, err := seal.Open(t.Context(), raw, seal.Options{Provider: old, Now: time.Unix(1e9, 0)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := shamir.New(3, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context(), keeper.wrap(p), time.Unix(1e9, 0)); err == nil || !errors.Is(err, keeper.failed) || keeper.made {
			t.Errorf("%s: %v, made %v", name, err, keeper.made)
		}
		if _, err := seal.Open(t.Context(), raw, seal.Options{Provider: old}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(full, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(full, "share-2")}) {
		t.Errorf("in the folder: %v, %v", left, err)
	}
}

// TestSealNoSharesInAnswer: the operation takes no provider that hands something out, whatever the configuration made of it.
func TestSealNoSharesInAnswer(t *testing.T) {
	s := startDev(t, t.TempDir(), func(c *appConfig) {
		c.Migrate = func(context.Context) (seal.Provider, error) { return shamir.New(3, 2) }
	})
	before := s.app.operator.Status()
	status, body := s.post(t, "Keyturn.MigrateSeal", "{}")
	if status != 400 || !strings.Contains(string(body), "The seal was not migrated") || strings.Contains(string(body), "keyturn-share") {
		t.Errorf("%d %s", status, body)
	}
	if after := s.app.operator.Status(); after.Provider != before.Provider || after.Version != before.Version {
		t.Errorf("%+v, before %+v", after, before)
	}
}

// syncing notes which directories are synced.
type syncing struct {
	disk.FS
	dirs []string
}

func (s *syncing) SyncDir(dir string) error {
	s.dirs = append(s.dirs, dir)
	return s.FS.SyncDir(dir)
}

// TestSharesFolders: every folder that was made for the shares has its name on the disk when they are told to be there. So has a data directory.
func TestSharesFolders(t *testing.T) {
	real := disk.OS
	defer func() { disk.OS = real }()
	top := t.TempDir()
	for what, make := range map[string]func(dir string) error{
		"shares": func(dir string) error { return (&shareKeeper{dir: dir}).take([]string{"keyturn-share"}) },
		"data directory": func(dir string) error {
			a := new(app)
			_, _, err := a.openStore(appConfig{DataDir: dir})
			return errors.Join(err, a.close())
		},
		"restored data directory": func(dir string) error {
			r, err := beginRestore(dir)
			return errors.Join(err, r.close())
		},
	} {
		s := &syncing{FS: real}
		disk.OS = s
		dir := filepath.Join(top, what, "a", "b")
		if err := make(dir); err != nil {
			t.Fatal(what, err)
		}
		for _, want := range []string{dir, filepath.Join(top, what, "a"), filepath.Join(top, what), top} {
			if !slices.Contains(s.dirs, want) {
				t.Errorf("%s: %s was not synced, but %q", what, want, s.dirs)
			}
		}
	}
}
