package audit

import (
	"errors"
	"syscall"

	"github.com/keyturn/keyturn/internal/disk"
)

// file is what the log needs of a file it writes; *os.File is one.
type file interface {
	Write(p []byte) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// files is the seam to the file system, where tests put its faults.
type files struct {
	open    func(name string, flag int) (file, error)
	syncDir func(dir string) error
	remove  func(name string) error
	mkdir   func(name string) error
}

func osFiles() files { return filesOf(disk.OS) }

func filesOf(fs disk.FS) files {
	return files{
		open: func(name string, flag int) (file, error) {
			// Not the *os.File itself: a nil one would be a file that is not nil.
			f, err := fs.OpenFile(name, flag, 0o600)
			if err != nil {
				return nil, err
			}
			return fs.File(f), nil
		},
		syncDir: fs.SyncDir,
		remove:  fs.Remove,
		mkdir:   func(name string) error { return fs.Mkdir(name, 0o700) },
	}
}

// or takes what f lacks from others.
func (f files) or(others files) files {
	if f.open == nil {
		return others
	}
	if f.remove == nil {
		f.remove = others.remove
	}
	if f.mkdir == nil {
		f.mkdir = others.mkdir
	}
	return f
}

// noSpace reports whether err says that the disk, or the owner's share of it, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
