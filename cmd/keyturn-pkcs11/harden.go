//go:build cgo && unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the PIN and plaintext out of core dumps.
func harden() {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		complain(fmt.Errorf("cannot switch off core dumps: %w", err))
	}
	if err := hideMemory(); err != nil {
		complain(fmt.Errorf("cannot keep other processes out of this one's memory: %w", err))
	}
}
