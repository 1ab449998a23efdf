// Package disk is the file system as the store and the audit log change it: one seam for both, so that a test can stand for
// a disk that fails, fills up or loses power in the middle.
//
// What they read goes past it: a read changes nothing.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// FS changes files and names. All methods may be called from any goroutine. A written byte is durable once the file's Sync
// has returned nil, a name once SyncDir of its directory has; before, a machine that loses power may keep any part of it.
type FS interface {
	// OpenFile is os.OpenFile. The file takes its changes through WriteAt, Truncate and Sync of this interface if it is handed
	// to something that wants an *os.File, otherwise through File.
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	// File returns f as it is to be written.
	File(f *os.File) File
	// CreateTemp is os.CreateTemp.
	CreateTemp(dir, pattern string) (*os.File, error)
	Mkdir(name string, perm fs.FileMode) error
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	// RenameNew is Rename that replaces nothing: fs.ErrExist. errors.ErrUnsupported: this system or file system cannot.
	RenameNew(oldname, newname string) error
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Allocate sees to it that n bytes of the file from off on have room on the disk, and makes a shorter file that long.
	// errors.ErrUnsupported: this system or file system cannot say.
	Allocate(f *os.File, off, n int64) error
}

// File is a file that is written; *os.File is one.
type File interface {
	Write(p []byte) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// OS is the file system of the machine.
var OS FS = machine{}

type machine struct{}

func (machine) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
func (machine) File(f *os.File) File                             { return f }
func (machine) CreateTemp(dir, pattern string) (*os.File, error) { return os.CreateTemp(dir, pattern) }
func (machine) Mkdir(name string, perm fs.FileMode) error        { return os.Mkdir(name, perm) }
func (machine) Link(oldname, newname string) error               { return os.Link(oldname, newname) }
func (machine) Rename(oldname, newname string) error             { return os.Rename(oldname, newname) }
func (machine) RenameNew(oldname, newname string) error          { return renameNew(oldname, newname) }
func (machine) Remove(name string) error                         { return os.Remove(name) }
func (machine) Allocate(f *os.File, off, n int64) error          { return allocate(f, off, n) }

// SyncDir does nothing on Windows, which has no such call and journals names itself.
func (machine) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SyncNames makes the names in dir durable, unless the file system cannot do that, or who asks may not read the directory.
func SyncNames(fsys FS, dir string) error { return able(fsys.SyncDir(dir)) }

// SyncAbove makes durable the name of dir and of every directory that it is in, as SyncNames: this process or one before may have made any of them.
func SyncAbove(fsys FS, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for above := filepath.Dir(dir); above != dir; dir, above = above, filepath.Dir(above) {
		if err := SyncNames(fsys, above); err != nil {
			return err
		}
	}
	return nil
}

// Settle makes a file durable that somebody else has written, and its name: that process may have died before it did.
func Settle(fsys FS, name string) error {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	file := fsys.File(f)
	return errors.Join(able(file.Sync()), file.Close(), SyncNames(fsys, filepath.Dir(name)))
}

// able is the error of a sync, nil where it only says that there is none here. Windows syncs no file that is open for reading.
func able(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
