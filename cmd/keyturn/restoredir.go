package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"

	"github.com/keyturn/keyturn/internal/store"
)

// restoreDir is a data directory that is being made by a restore: empty but for its lock, and the folder that the restore works in.
type restoreDir struct {
	path string
	work string
	lock *flock.Flock
	done bool
}

// beginRestore locks an empty directory, which it makes if need be.
func beginRestore(path string) (*restoreDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if err := checkDataDir(path); err != nil {
		return nil, err
	}
	if err := emptyButLock(path); err != nil {
		return nil, err
	}
	r := &restoreDir{path: path, work: filepath.Join(path, restoringDir), lock: flock.New(filepath.Join(path, lockFile), flock.SetPermissions(0o600))}
	ok, err := r.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: data directory %s", store.ErrLocked, path)
	}
	if err = emptyButLock(path); err == nil { // once more, now that nobody else makes it something
		err = os.Mkdir(r.work, 0o700)
	}
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		return nil, errors.Join(err, r.lock.Close())
	}
	return r, nil
}

// emptyButLock returns an error if there is anything that a restore could spoil.
func emptyButLock(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, "lost+found":
		case restoringDir:
			return noRestore(path)
		default:
			return withHint(fmt.Errorf("the data directory %s is not empty: it has %s", path, printable(e.Name())), "restore into a new directory; nothing was changed")
		}
	}
	return nil
}

// publish makes the directory what it was restored to. The folder goes last: until then nothing opens the directory.
func (r *restoreDir) publish() error {
	for _, name := range []string{auditDir, storeFile} {
		if err := os.Rename(filepath.Join(r.work, name), filepath.Join(r.path, name)); err != nil {
			return err
		}
	}
	if err := errors.Join(syncFolder(r.path), syncFolder(r.work)); err != nil {
		return err
	}
	if err := os.Remove(r.work); err != nil {
		return err
	}
	r.done = true
	return syncFolder(r.path)
}

// close gives the directory back, empty again if it was not published.
func (r *restoreDir) close() error {
	var err error
	if !r.done {
		err = os.RemoveAll(r.work)
		for _, name := range []string{auditDir, storeFile, sealKeyFile} { // the key file of keyturn dev; the others of a publish that failed half-way
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.path, name)))
		}
	}
	return errors.Join(err, r.lock.Close())
}

// syncFolder makes names in a folder durable. Windows has no such call.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
