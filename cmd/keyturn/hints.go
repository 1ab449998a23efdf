package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/awskms"
	"github.com/keyturn/keyturn/internal/store"
)

// hintFor says what to do about an error, "" if there is nothing to say.
func hintFor(err error) string {
	var h hintError
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, new(usageError)):
		return "see --help"
	case errors.Is(err, backup.ErrFIPS):
		return "run this command without GODEBUG=fips140=only if your rules allow it; or stop the server and copy its data directory"
	case errors.Is(err, seal.ErrNoKey):
		return "without the file that sealed it a store cannot be opened: put it back; for a new server make one with: keyturn seal generate FILE"
	case errors.Is(err, seal.ErrWrongKey):
		return "use the key file, passphrase, shares or KMS key that the store was sealed with; nothing was changed"
	case errors.Is(err, seal.ErrUnavailable):
		return "see whether the KMS can be reached, and lets these credentials encrypt and decrypt with the key; nothing was changed"
	case errors.Is(err, awskms.ErrOwnSeal):
		return "use a key of another KMS; nothing was changed"
	case errors.Is(err, seal.ErrFormat), errors.Is(err, store.ErrFormat):
		return "use the keyturn that made the data directory, or another data directory; nothing was changed"
	case errors.Is(err, store.ErrLocked):
		return "another keyturn is running on it: stop that one, or use another data directory"
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, audit.ErrNoSpace), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room on it and start again"
	case errors.Is(err, syscall.EIO), errors.Is(err, store.ErrUnknown), errors.Is(err, audit.ErrStopped):
		return "the disk fails: the system's log says more of it; see to it and start again"
	case errors.Is(err, fs.ErrPermission):
		return "run it as the user that the server runs as, whose files they are; or see who may use this one"
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, store.ErrDamaged), errors.Is(err, audit.ErrDamaged):
		return "the data is not what keyturn wrote: restore it from a copy; nothing was changed"
	}
	return ""
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, but was given %q", cmd.CommandPath(), args[0])}
	}
	return nil
}
