package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/store"
)

// What keeps a server from starting says what to do about it.
func TestHintsAboutTheDisk(t *testing.T) {
	for _, tt := range []struct {
		err  error
		hint string
	}{
		{fmt.Errorf("%w: %w", store.ErrNoSpace, &os.PathError{Op: "allocate", Path: "store.db", Err: syscall.ENOSPC}), "make room"},
		{fmt.Errorf("opening: %w", audit.ErrNoSpace), "make room"},
		{&os.PathError{Op: "write", Path: "seal.key", Err: syscall.EDQUOT}, "make room"},
		{fmt.Errorf("%w: %w", store.ErrUnknown, syscall.EIO), "the disk fails"},
		{fmt.Errorf("%w: fsync", audit.ErrStopped), "the disk fails"},
		{fmt.Errorf("%w: line 3", audit.ErrDamaged), "restore it from a copy"},
		{fmt.Errorf("locking the data directory: %w", &os.PathError{Op: "open", Path: "lock", Err: syscall.EACCES}), "run it as the user that the server runs as"},
		{&os.PathError{Op: "open", Path: "seal.key", Err: syscall.EPERM}, "run it as the user that the server runs as"},
		{listenError(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}), "another server"},
		{listenError(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}), "above 1023"},
		{fmt.Errorf("%w: page 3", store.ErrDamaged), "restore it from a copy"},
	} {
		if got := hintFor(tt.err); !strings.Contains(got, tt.hint) {
			t.Errorf("%v: hint %q, want %q", tt.err, got, tt.hint)
		}
	}
}
