//go:build unix

package main

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// hardenProcess keeps key material out of core dumps.
func hardenProcess(log *slog.Logger) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("cannot switch off core dumps", "error", err)
	}
	if err := hideMemory(); err != nil {
		log.Warn("cannot keep other processes out of this one's memory", "error", err)
	}
}
