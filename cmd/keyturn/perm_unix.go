//go:build unix

package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// openToAll tells whether a file has any of these permission bits.
func openToAll(info os.FileInfo, bits os.FileMode) bool { return info.Mode().Perm()&bits != 0 }

// checkDataDir refuses a data directory that somebody else could put files into.
func checkDataDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("data directory %s is not a directory", path)
	}
	if openToAll(info, 0o022) {
		return fmt.Errorf("data directory %s can be written by others (mode %v); it must have mode 0700", path, info.Mode().Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		owner := ownerName(st.Uid)
		return withHint(fmt.Errorf("data directory %s belongs to another user, %s", path, owner), "run it as that user, which the server runs as: sudo -u "+shellWord(owner))
	}
	return nil
}

// ownerName names a user as sudo takes it: #ID if the system has no name.
func ownerName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "#" + id
}
