package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

// watched is the machine's file system, with notes of what is done, and with failures.
type watched struct {
	disk.FS
	mu       sync.Mutex
	notes    []string
	allocate error
	sync     error
}

func (w *watched) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *watched) fail(allocate, sync error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allocate, w.sync = allocate, sync
}

func (w *watched) failures() (allocate, sync error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.allocate, w.sync
}

func (w *watched) File(f *os.File) disk.File { return watchedFile{f, w} }

func (w *watched) SyncDir(dir string) error {
	w.note("syncdir")
	return w.FS.SyncDir(dir)
}

func (w *watched) Allocate(f *os.File, off, n int64) error {
	if err, _ := w.failures(); err != nil {
		return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
	}
	return w.FS.Allocate(f, off, n)
}

type watchedFile struct {
	*os.File
	w *watched
}

func (f watchedFile) WriteAt(p []byte, off int64) (int, error) {
	f.w.note("write %d at %d", len(p), off)
	return f.File.WriteAt(p, off)
}

func (f watchedFile) Sync() error {
	f.w.note("sync")
	if _, err := f.w.failures(); err != nil {
		return err
	}
	return f.File.Sync()
}

// What Open reads may be in the kernel only, after a process that died before its fsync or whose fsync failed. It is written once
// more, and its name is made durable, before anybody is told of it.
func TestOpenMakesDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path, Options{Create: true})
	if _, err := s.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: "k", Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{FS: disk.OS}
	s = mustOpen(t, path, Options{FS: w})
	page := s.pageSize
	want := []string{fmt.Sprintf("write %d at 0", page), "sync", fmt.Sprintf("write %d at %d", page, page), "sync", "syncdir"}
	if !slices.Equal(w.notes, want) {
		t.Errorf("Open did %q, want %q", w.notes, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, before) {
		t.Errorf("the file is another after Open (%v)", err)
	}
	w.fail(nil, syscall.EIO)
	if s, err := Open(path, Options{FS: w}); !errors.Is(err, syscall.EIO) {
		t.Errorf("Open with a failing fsync: %v", err)
		_ = s.Close()
	}
	w.fail(nil, nil)
	if err := mustOpen(t, path, Options{FS: w}).Close(); err != nil { // the lock is free again
		t.Error(err)
	}
}

// A full disk is found out before anything is written: the commit fails, everything can be read, and it goes on when there is room.
func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	w := &watched{FS: disk.OS}
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"), Options{Create: true, FS: w})
	batch := func(n int) store.Batch {
		return store.Batch{Writes: []store.Write{{Key: fmt.Sprintf("k%d", n), Value: make([]byte, 100_000)}}}
	}
	// One commit makes room for many. Then there is none for another.
	rev, err := s.Commit(ctx, batch(0))
	if err != nil {
		t.Fatal(err)
	}
	w.fail(syscall.ENOSPC, nil)
	full := 0
	for n := 1; full == 0 && n < 200; n++ {
		switch got, err := s.Commit(ctx, batch(n)); {
		case errors.Is(err, store.ErrNoSpace):
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrUnknown) {
				t.Errorf("Commit: %v", err)
			}
			full = n
		case err != nil || got != rev+1:
			t.Fatalf("Commit = %d, %v after %d", got, err, rev)
		default:
			rev = got
		}
	}
	if full < 2 {
		t.Fatalf("commit %d was the first without room", full)
	}
	entries, err := s.Get(ctx, fmt.Sprintf("k%d", full-1), fmt.Sprintf("k%d", full))
	if err != nil || entries[0].Rev != rev || entries[1].Rev != 0 {
		t.Errorf("on a full disk: %v, %v", entries, err)
	}
	w.fail(nil, nil)
	if got, err := s.Commit(ctx, batch(full)); err != nil || got != rev+1 {
		t.Errorf("with room again: Commit = %d, %v after %d", got, err, rev)
	}
	// A disk that fails otherwise stops the engine; nothing of the commit was written.
	w.fail(syscall.EIO, nil)
	for n := 300; err == nil && n < 500; n++ {
		_, err = s.Commit(ctx, batch(n))
	}
	if !errors.Is(err, syscall.EIO) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := s.Get(ctx, "k0"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after it: %v", err)
	}
}

// Where nobody can say whether there is room, it is found out when it is written.
func TestAllocateUnsupported(t *testing.T) {
	w := &watched{FS: disk.OS, allocate: errors.ErrUnsupported}
	s := mustOpen(t, filepath.Join(t.TempDir(), "store.db"), Options{Create: true, FS: w})
	for n := range 3 {
		if _, err := s.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: fmt.Sprint(n), Value: make([]byte, 500_000)}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// What a compaction has left is erased only once it is durable which file has the store's name: a power cut could give the name back to the
// one that was erased.
func TestOpenSyncsNamesBeforeErasing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := mustOpen(t, path, Options{Create: true}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(oldName(path), make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &watched{FS: disk.OS}
	s := mustOpen(t, path, Options{FS: w})
	if len(w.notes) < 3 || !slices.Equal(w.notes[:3], []string{"syncdir", "write 100 at 0", "sync"}) {
		t.Errorf("Open did %q", w.notes)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(oldName(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
}
