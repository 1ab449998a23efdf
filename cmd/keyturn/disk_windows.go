package main

import (
	"fmt"

	"golang.org/x/sys/windows"

	"github.com/keyturn/keyturn/internal/telemetry"
)

// diskSpace returns the space of the volume that path is on. Free is what is left for this user.
func diskSpace(path string) (telemetry.Disk, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return telemetry.Disk{}, err
	}
	var d telemetry.Disk
	if err := windows.GetDiskFreeSpaceEx(name, &d.Free, &d.Size, nil); err != nil {
		return telemetry.Disk{}, fmt.Errorf("space of %s: %w", path, err)
	}
	return d, nil
}
