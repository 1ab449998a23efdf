package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/disk"
)

// restoreDir is a data directory that is being made by a restore: empty but for its lock, and the folder that the restore works in.
type restoreDir struct {
	*backup.Dir
	unlock func() error
}

// beginRestore locks an empty directory, which it makes if need be.
func beginRestore(path string) (*restoreDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if err := disk.SyncAbove(disk.OS, path); err != nil {
		return nil, fmt.Errorf("making the name of the data directory durable: %w", err)
	}
	if err := checkDataDir(path); err != nil {
		return nil, err
	}
	if err := emptyButLock(path); err != nil {
		return nil, err
	}
	unlock, err := lockDataDir(path)
	if err != nil {
		return nil, err
	}
	r := &restoreDir{unlock: unlock}
	if err = emptyButLock(path); err == nil { // once more, now that nobody else makes it something
		r.Dir, err = backup.BeginDir(disk.OS, path, restoringDir, auditDir, storeFile)
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
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

// close gives the directory back, empty again if it was not published.
func (r *restoreDir) close() error {
	return errors.Join(r.Close(sealKeyFile), r.unlock()) // the key file of keyturn dev
}
