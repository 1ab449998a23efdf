package probe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/internal/doctor"
)

// kinds are file systems by their magic numbers (statfs(2)).
var kinds = map[uint32]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs",
	unix.SMB_SUPER_MAGIC: "smb", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "cifs", unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "fuse",
	unix.CEPH_SUPER_MAGIC: "ceph", unix.MSDOS_SUPER_MAGIC: "vfat",
}

func disk(what, path string) doctor.Disk {
	d := doctor.Disk{What: what, Path: path}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		d.Err = err.Error()
		return d
	}
	size := uint64(max(st.Bsize, 0))
	d.Kind, d.Free, d.Total = kinds[uint32(st.Type)], st.Bavail*size, st.Blocks*size
	d.FreeInodes, d.Inodes = st.Ffree, st.Files
	d.ReadOnly = st.Flags&unix.ST_RDONLY != 0
	return d
}

const (
	latencyWrites = 15
	latencyBudget = 3 * time.Second
)

// latency writes some pages into a file that never has a name, and so is gone in any case.
func latency(dir string) doctor.Fact[time.Duration] {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return doctor.Unknown[time.Duration](fmt.Sprintf("nothing can be written to %s without a trace: %v", dir, err))
	}
	defer unix.Close(fd) //nolint:errcheck // nothing in it is of use
	page := make([]byte, 4096)
	rand.Read(page) // a file system may leave out zeros
	var times []time.Duration
	for began := time.Now(); len(times) < latencyWrites && time.Since(began) < latencyBudget; {
		start := time.Now()
		if _, err := unix.Pwrite(fd, page, int64(len(times)*len(page))); err != nil {
			return doctor.Unknown[time.Duration](fmt.Sprintf("writing to %s: %v", dir, err))
		}
		if err := unix.Fsync(fd); err != nil && !errors.Is(err, unix.EINTR) {
			return doctor.Unknown[time.Duration](fmt.Sprintf("fsync in %s: %v", dir, err))
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return doctor.Got(times[len(times)/2])
}
