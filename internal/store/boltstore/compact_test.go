package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// hauntedFile is a closed store whose file has copies of what was deleted.
func hauntedFile(t *testing.T) (path string, left map[string]string, head store.Rev) {
	t.Helper()
	path = newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	left = haunted(t, s)
	head = s.head
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, left, head
}

// wantAlone checks that the store is the only file, and that what was deleted is nowhere.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("in the directory are %v, %v", files, err)
	}
	for _, f := range files {
		if bytes.Contains(readFile(t, filepath.Join(filepath.Dir(path), f.Name())), []byte(mark)) {
			t.Errorf("%s has a copy of what was deleted", f.Name())
		}
	}
}

func TestCompact(t *testing.T) {
	path, left, head := hauntedFile(t)
	var done, total int64
	did, err := Compact(t.Context(), path, CompactOptions{Progress: func(d, of int64) {
		if d < done || d > of {
			t.Errorf("progress went from %d to %d of %d", done, d, of)
		}
		done, total = d, of
	}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if did.Entries != int64(len(left)) || did.Head != head || did.After != info.Size() || did.After*2 > did.Before || !did.Overwritten {
		t.Errorf("%+v; there were %d entries at revision %d, the file has %d bytes", did, len(left), head, info.Size())
	}
	if done != total || total == 0 {
		t.Errorf("progress ended with %d of %d", done, total)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	wantAlone(t, path)
	s := mustOpen(t, path, Options{})
	wantContent(t, s, left)
	if rev, err := s.Commit(t.Context(), batch("k/00", left["k/00"])); err != nil || rev != head+1 {
		t.Errorf("the next commit is %d, %v", rev, err)
	}
	if _, err := Compact(t.Context(), path, CompactOptions{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("of a store in use: %v", err)
	}
	s.Close()
	if _, err := Compact(t.Context(), path+"x", CompactOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of none: %v", err)
	}
}

// TestCompactCrash: a directory as it is at any step opens, is whole, and the next Open removes what the compaction has left.
func TestCompactCrash(t *testing.T) {
	path, left, _ := hauntedFile(t)
	steps := make(map[string]int)
	_, err := Compact(t.Context(), path, CompactOptions{failpoint: func(step string) error {
		steps[step]++
		crashed := newPath(t)
		copyFiles(t, filepath.Dir(path), filepath.Dir(crashed))
		s := mustOpen(t, crashed, Options{})
		wantContent(t, s, left)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if step == "renamed" || step == "erasing" {
			wantAlone(t, crashed)
		}
		if _, err := Compact(t.Context(), crashed, CompactOptions{}); err != nil {
			t.Errorf("after a crash when %s: %v", step, err)
		}
		wantAlone(t, crashed)
		s = mustOpen(t, crashed, Options{})
		wantContent(t, s, left)
		s.Close()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"copied", "written", "linked", "renamed", "erasing"} {
		if steps[step] == 0 {
			t.Errorf("no crash when %s", step)
		}
	}
}

// copyFiles copies a directory; two names of one file stay that.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	var seen []os.FileInfo
next:
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range seen {
			if os.SameFile(info, other) {
				if err := os.Link(filepath.Join(to, other.Name()), filepath.Join(to, f.Name())); err != nil {
					t.Fatal(err)
				}
				continue next
			}
		}
		seen = append(seen, info)
		if err := os.WriteFile(filepath.Join(to, f.Name()), readFile(t, filepath.Join(from, f.Name())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompactFails: whatever stops it, the store is as it was, and nothing is left beside it.
func TestCompactFails(t *testing.T) {
	stop := errors.New("stopped")
	for _, step := range []string{"copied", "written", "canceled"} {
		path, left, _ := hauntedFile(t)
		before := readFile(t, path)
		ctx, cancel := context.WithCancel(t.Context())
		o := CompactOptions{failpoint: func(at string) error {
			if at == step {
				return stop
			}
			return nil
		}}
		if step == "canceled" {
			stop = context.Canceled
			o.Progress = func(int64, int64) { cancel() }
		}
		if _, err := Compact(ctx, path, o); !errors.Is(err, stop) {
			t.Errorf("%s: %v", step, err)
		}
		cancel()
		if !bytes.Equal(readFile(t, path), before) {
			t.Errorf("%s: the store was changed", step)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
			t.Errorf("%s: left are %v, %v", step, files, err)
		}
		wantContent(t, mustOpen(t, path, Options{}), left)
	}
}

// TestCompactCompares: a copy that is not the same does not take the store's place.
func TestCompactCompares(t *testing.T) {
	path, left, _ := hauntedFile(t)
	_, err := Compact(t.Context(), path, CompactOptions{failpoint: func(at string) error {
		if at != "copied" {
			return nil
		}
		copied := readFile(t, copyName(path))
		i := bytes.Index(copied, []byte(left["k/42"]))
		copied[i] ^= 1
		return os.WriteFile(copyName(path), copied, 0o600)
	}})
	if err == nil || !strings.Contains(err.Error(), "not what was copied") {
		t.Errorf("an altered copy: %v", err)
	}
	wantContent(t, mustOpen(t, path, Options{}), left)
}

// TestOpenKeepsCopies: copies that people make beside the store are theirs, whatever an editor, or cp, would call them.
func TestOpenKeepsCopies(t *testing.T) {
	path, _, _ := hauntedFile(t)
	copied := readFile(t, path)
	names := []string{path + ".old", path + ".compact", path + ".bak", path + "~"}
	for _, name := range names {
		if err := os.WriteFile(name, copied, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := mustOpen(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Compact(t.Context(), path, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !bytes.Equal(readFile(t, name), copied) {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestOpenKeepsNewer: what a compaction has left is not erased if the store beside it is of before, as when somebody puts a copy in its place.
func TestOpenKeepsNewer(t *testing.T) {
	path, left, head := hauntedFile(t)
	before := readFile(t, path)
	s := mustOpen(t, path, Options{})
	if _, err := s.Commit(t.Context(), batch("k/00", "of after")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := readFile(t, path)
	if err := errors.Join(os.Rename(path, oldName(path)), os.WriteFile(path, before, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is of revision %d", head+1)) {
		t.Errorf("Open beside a newer store: %v", err)
	}
	if _, err := Compact(t.Context(), path, CompactOptions{}); err == nil || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("Compact beside a newer store: %v", err)
	}
	if !bytes.Equal(readFile(t, oldName(path)), newer) {
		t.Error("the newer store was changed")
	}
	if err := os.Remove(oldName(path)); err != nil {
		t.Fatal(err)
	}
	wantContent(t, mustOpen(t, path, Options{}), left)
}

// TestCompactLink: of a store that is a symbolic link the file is compacted, where it is, and the link stays one.
func TestCompactLink(t *testing.T) {
	real, left, _ := hauntedFile(t)
	link := filepath.Join(t.TempDir(), "store.db")
	if err := os.Symlink(real, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	for _, step := range []string{"linked", "renamed", ""} {
		_, err := Compact(t.Context(), link, CompactOptions{failpoint: func(at string) error {
			if at == step {
				crashed := newPath(t)
				copyFiles(t, filepath.Dir(real), filepath.Dir(crashed))
				other := filepath.Join(t.TempDir(), "store.db")
				if err := os.Symlink(crashed, other); err != nil {
					t.Fatal(err)
				}
				s := mustOpen(t, other, Options{})
				wantContent(t, s, left)
				if err := errors.Join(s.InPlace(), s.Close()); err != nil {
					t.Error(err)
				}
				if step == "renamed" {
					wantAlone(t, crashed)
				}
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantAlone(t, real)
		if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("the link is %v, %v", info, err)
		}
		if files, err := os.ReadDir(filepath.Dir(link)); err != nil || len(files) != 1 {
			t.Errorf("beside the link are %v, %v", files, err)
		}
	}
	wantContent(t, mustOpen(t, link, Options{}), left)
}
