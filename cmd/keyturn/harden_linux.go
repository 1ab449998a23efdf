package main

import "golang.org/x/sys/unix"

// hideMemory also stops debuggers of the same user.
func hideMemory() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
