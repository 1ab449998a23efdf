//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/internal/telemetry"
)

// diskSpace returns the space of the file system that path is on. Free is what is left for others than root.
func diskSpace(path string) (telemetry.Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return telemetry.Disk{}, fmt.Errorf("space of %s: %w", path, err)
	}
	size := uint64(s.Bsize)
	return telemetry.Disk{Free: uint64(s.Bavail) * size, Size: uint64(s.Blocks) * size}, nil
}
