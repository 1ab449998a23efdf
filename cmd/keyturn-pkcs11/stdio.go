//go:build cgo && unix

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// privateStdio takes stdin and stdout away from whatever the module does: the protocol goes over descriptors of its own, which
// child processes do not get; stdin becomes empty, and what is printed to stdout goes to stderr.
func privateStdio() (in, out *os.File, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	inFD, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, nil, fmt.Errorf("stdin: %w", err)
	}
	outFD, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, nil, fmt.Errorf("stdout: %w", err)
	}
	if err := dup2(int(null.Fd()), 0); err != nil {
		return nil, nil, fmt.Errorf("stdin: %w", err)
	}
	if err := dup2(2, 1); err != nil {
		return nil, nil, fmt.Errorf("stdout: %w", err)
	}
	return os.NewFile(uintptr(inFD), "requests"), os.NewFile(uintptr(outFD), "replies"), nil
}
