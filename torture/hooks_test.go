//go:build torture

package torture

import (
	"os"
	"runtime"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/internal/disk/disktest"
)

func TestMain(m *testing.M) {
	// One goroutine at a time, so that a seed gives the same run again wherever only one has something to do.
	runtime.GOMAXPROCS(1)
	h := &bbolt.Hooks
	h.WriteAt = func(f *os.File, b []byte, off int64) (int, error) { return disktest.Of(f).WriteAt(f, b, off) }
	h.Truncate = func(f *os.File, size int64) error { return disktest.Of(f).Truncate(f, size) }
	h.Sync = func(f *os.File) error { return disktest.Of(f).Sync(f) }
	h.Map = func(f *os.File, size, prot, flags int) ([]byte, error) {
		if err := disktest.Of(f).Map(f); err != nil {
			return nil, err
		}
		return unix.Mmap(int(f.Fd()), 0, size, prot, flags)
	}
	h.Lock = func(_ *os.File, fd, how int) error { return syscall.Flock(fd, how) }
	os.Exit(m.Run())
}
