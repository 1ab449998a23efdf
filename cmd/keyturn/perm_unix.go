//go:build unix

package main

import (
	"fmt"
	"os"
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
		return fmt.Errorf("data directory %s belongs to another user", path)
	}
	return nil
}
