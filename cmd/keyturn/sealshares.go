package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/seal"
)

// shareKeeper takes the shares that sealing makes: into files, before the store depends on them, or to be shown.
type shareKeeper struct {
	dir    string // "" to show them
	lines  []string
	files  []string
	made   bool  // there were shares, and people have them
	failed error // why they have not
	// show tells shares that are in no files, from inside Seal: an error of it keeps the store from depending on them. Nil: the command shows
	// them later, and before anything is in the store.
	show func() error
}

// wrap returns p, with its shares going to the keeper.
func (k *shareKeeper) wrap(p seal.Provider) seal.Provider {
	if _, ok := p.(seal.Handout); !ok {
		return p
	}
	return &keeping{p, k}
}

type keeping struct {
	seal.Provider
	keeper *shareKeeper
}

// Seal implements seal.Provider.
func (k *keeping) Seal(ctx context.Context, root []byte) ([]byte, error) {
	sealed, err := k.Provider.Seal(ctx, root)
	if err != nil {
		return nil, err
	}
	if lines := k.Provider.(seal.Handout).Handout(); len(lines) > 0 {
		if k.keeper.failed = k.keeper.take(lines); k.keeper.failed != nil {
			return nil, k.keeper.failed
		}
	}
	return sealed, nil
}

func (k *shareKeeper) take(lines []string) error {
	if k.dir == "" {
		k.lines = lines
		if k.show != nil {
			if err := k.show(); err != nil {
				return fmt.Errorf("showing the shares: %w", err)
			}
		}
		k.made = true
		return nil
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("the folder for the shares: %w", err)
	}
	var made []string
	undo := func(err error) error { // they are worth nothing: no store was sealed with them
		for _, m := range made {
			err = errors.Join(err, os.Remove(m))
		}
		return err
	}
	for i, line := range lines {
		path := filepath.Join(k.dir, fmt.Sprintf("share-%d", i+1))
		err := writeNew(path, line+"\n")
		if err == nil {
			made = append(made, path)
			continue
		}
		err = undo(err)
		if errors.Is(err, os.ErrExist) {
			return withHint(fmt.Errorf("%s is there already, and nothing is overwritten", path), "name another folder with --shares-dir; nothing was made")
		}
		return fmt.Errorf("writing the shares: %w", err)
	}
	err := disk.OS.SyncDir(k.dir)
	if err == nil {
		err = disk.SyncAbove(disk.OS, k.dir) // the folder's own name, and those of all folders that were made for it
	}
	if err != nil {
		return fmt.Errorf("writing the shares: %w", undo(err))
	}
	k.files, k.made = made, true
	return nil
}

// writeNew writes a file that is not there yet, mode 0600.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// text tells about the shares, "" if there are none. It tells them once.
func (k *shareKeeper) text(threshold int) string {
	var b strings.Builder
	switch {
	case len(k.lines) > 0:
		fmt.Fprintf(&b, "The key that seals the store is split into %d shares. Any %d of them unseal the server after each start. They are shown this once:\n\n", len(k.lines), threshold)
		for _, line := range k.lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		b.WriteString("\n")
	case len(k.files) > 0:
		fmt.Fprintf(&b, "The key that seals the store is split into %d shares. Any %d of them unseal the server after each start. They are in\n\n", len(k.files), threshold)
		for _, file := range k.files {
			fmt.Fprintf(&b, "  %s\n", file)
		}
		b.WriteString("\nHand them out, and delete these files. ")
	default:
		return ""
	}
	fmt.Fprintf(&b, "Each share is for another person, to be kept apart from the others and from the server. With fewer than %d of them the data is lost.\n\n", threshold)
	k.lines, k.files = nil, nil
	return b.String()
}
