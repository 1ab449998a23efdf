package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate uses fallocate(2). On a file system that copies what it overwrites the room is not promised; there the engine's
// other means have to do.
func allocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errors.ErrUnsupported
		case err != nil:
			return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}
