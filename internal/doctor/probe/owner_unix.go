//go:build unix

package probe

import (
	"io/fs"
	"syscall"

	"github.com/keyturn/keyturn/internal/doctor"
)

// owner notes whose a file is, and on which file system.
func owner(info fs.FileInfo, file *doctor.File) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		file.UID, file.Device = int(st.Uid), uint64(st.Dev)
	}
}
