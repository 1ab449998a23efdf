package audit

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// file is what the log needs of a file it writes; *os.File is one.
type file interface {
	Write(p []byte) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// files is the seam to the file system, where tests put its faults.
type files struct {
	open    func(name string, flag int) (file, error)
	syncDir func(dir string) error
}

func osFiles() files {
	return files{
		open: func(name string, flag int) (file, error) {
			// Not the *os.File itself: a nil one would be a file that is not nil.
			f, err := os.OpenFile(name, flag, 0o600)
			if err != nil {
				return nil, err
			}
			return f, nil
		},
		syncDir: syncDir,
	}
}

// syncDir makes the names in dir durable. Windows neither needs it nor can do it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// noSpace reports whether err says that the disk, or the owner's share of it, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
