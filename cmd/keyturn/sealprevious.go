package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	stillPrevious   = "seal.previous still seals the store; keyturn seal migrate moves it to what seal names"
	sameSeal        = "write the new seal into the configuration as seal, and this one as seal.previous (or if it was moved before, take that out); for a new root key alone: keyturn seal rotate"
	alreadyMigrated = "The store is already sealed by what seal names: take seal.previous out of the configuration."
)

// openEither opens a store with one provider, or if that is not what seals it with another; second may be nil. It migrates nothing. Between a
// change of the configuration and keyturn seal migrate, only seal.previous opens the store, and the key file of seal may not be there yet.
func openEither(ctx context.Context, raw store.Store, o seal.Options, first, second func() (seal.Provider, error)) (_ *seal.Store, bySecond bool, err error) {
	open := func(provider func() (seal.Provider, error)) (*seal.Store, error) {
		p, err := provider()
		if err != nil {
			return nil, err
		}
		o.Provider = p
		return seal.Open(ctx, raw, o)
	}
	sealed, err := open(first)
	if second == nil || !errors.Is(err, seal.ErrWrongKey) && !errors.Is(err, seal.ErrNoKey) {
		return sealed, false, err
	}
	sealed, other := open(second)
	if other != nil {
		return nil, false, fmt.Errorf("neither seal nor seal.previous opens the store: %w; %w", err, other)
	}
	return sealed, true, nil
}

// askPrevious returns the provider before, for a command that a person runs; nil if there is none.
func (c *serverConfig) askPrevious() func() (seal.Provider, error) {
	if c.Seal.Previous == nil {
		return nil
	}
	return func() (seal.Provider, error) { return c.Seal.Previous.ask("seal.previous", false) }
}

// newKeyFile returns a key file that is not there yet, "" if it is there or the seal has none.
func (s *sealProvider) newKeyFile() string {
	if s.KeyFile == "" || strings.HasPrefix(s.KeyFile, probe.CredentialPrefix) {
		return ""
	}
	if _, err := os.Lstat(s.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return s.KeyFile
}

// madeKeyFile tells of a key file that was made along the way, nothing for "".
func madeKeyFile(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf("The key file %s was made. Keep a copy of it apart from the data directory: without it the data is lost.\n", path)
}

// tellMigrated writes what is left to do after a migration. made is the key file that this process made, "" if it does not know of one; previous
// tells whether the configuration has a seal.previous, as far as it is known.
func tellMigrated(w io.Writer, s *api.SealStatus, made string, previous bool) {
	text := madeKeyFile(made)
	if text == "" && s != nil && s.Provider.V == (*seal.KeyFile)(nil).Name() {
		text = "Keep a copy of the new key file apart from the data directory: without it the data is lost.\n"
	}
	if previous {
		text += "Take seal.previous out of the configuration.\n"
	}
	fmt.Fprint(w, text)
}
