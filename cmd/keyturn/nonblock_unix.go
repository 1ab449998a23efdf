//go:build unix

package main

import "syscall"

// openNonblock opens a pipe without waiting for somebody to write into it.
const openNonblock = syscall.O_NONBLOCK
