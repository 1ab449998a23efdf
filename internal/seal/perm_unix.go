//go:build unix

package seal

import (
	"os"
	"path/filepath"
	"syscall"
)

// openNonblock opens a pipe without waiting for somebody to write into it.
const openNonblock = syscall.O_NONBLOCK

// readableByOthers tells whether somebody beside the file's owner may read or write it. A credential that systemd hands over is root's, and the
// service reads it by an access control list, which shows as the bits of the group (systemd.exec(5), LoadCredential=).
func readableByOthers(path string, info os.FileInfo) bool {
	bits := os.FileMode(0o077)
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && isCredential(path) {
		bits = 0o037
	}
	return info.Mode().Perm()&bits != 0
}

// isCredential tells whether a file stands directly in the folder that the service manager made for this process's credentials.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return filepath.IsAbs(dir) && filepath.Dir(filepath.Clean(path)) == filepath.Clean(dir)
}
