//go:build !linux && !darwin && !freebsd

package boltstore

import "errors"

// freeSpace cannot tell here; a copy that finds no room fails, and is removed.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
