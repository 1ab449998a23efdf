package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/seal"
)

func newSealMigrateCommand(flags *sealFlags) *cobra.Command {
	var shares shareKeeper
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move to the seal that the configuration file names by now",
		Long: `Move to another seal: another provider, or the same kind with another key. First write the new one into
the server's configuration file as seal, and the old one as seal.previous. A running server reads that when
it is told to migrate, makes a new root key and seals it with the new provider; it goes on serving. What
sealed it before opens it no more: take seal.previous out.

Shares, and a passphrase that is typed, are for people to keep before anything depends on them: stop the
server, and use --config. The shares are shown, or are in the files of --shares-dir, before the store changes.

A server that starts with seal.previous in its configuration migrates by itself.`,
		Example: `  keyturn seal migrate --endpoint https://kms.example.com:8443
  keyturn seal migrate --config server.yaml
  keyturn seal migrate --config server.yaml --shares-dir shares`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.migrate(cmd, &shares) },
	}
	cmd.Flags().StringVar(&shares.dir, "shares-dir", "", "with --config and seal.shamir: `FOLDER` to write the shares to, a new file each (mode 0600), instead of printing them")
	return cmd
}

func (f *sealFlags) migrate(cmd *cobra.Command, shares *shareKeeper) error {
	var out api.MigrateSealResponse
	if f.config == "" || f.client.endpoint != "" {
		if shares.dir != "" {
			return usagef("--shares-dir goes with --config: a running server hands out no shares")
		}
		if err := f.do(cmd, "MigrateSeal", &api.MigrateSealRequest{}, &out); err != nil {
			return explainSame(err)
		}
		return f.print(cmd.OutOrStdout(), &out, out.Seal)
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if err := c.checkShares(shares.dir); err != nil {
		return err
	}
	threshold := 0
	if c.Seal.Shamir != nil {
		if threshold = c.Seal.Shamir.Threshold; shares.dir == "" && f.client.output == jsonOutput {
			return usagef("--output json goes with --shares-dir here: the shares are told before there is an answer")
		}
	}
	if c.Seal.Shamir != nil && shares.dir == "" {
		if err := seen(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	shares.show = func() error { return writeThrough(cmd.OutOrStdout(), shares.text(threshold)) }
	err = f.offline(cmd, "MigrateSeal", &api.MigrateSealRequest{}, &out, shares)
	switch {
	case err != nil && shares.made:
		return withHint(err, "keep the new shares and what sealed the store before, until you know which opens it: keyturn seal status --config "+
			shellWord(f.config)+" asks for the shares of one set, or says what else seals the store")
	case err != nil && shares.failed != nil: // the operation's error has no hint any more
		return withHint(err, cmp.Or(hintFor(shares.failed), "see to it and try again; nothing was changed"))
	case err != nil:
		return explainSame(err)
	}
	if f.client.output != jsonOutput {
		if _, err := io.WriteString(cmd.OutOrStdout(), shares.text(threshold)); err != nil {
			return err
		}
	}
	return f.print(cmd.OutOrStdout(), &out, out.Seal)
}

// explainSame adds to an error that the seal stays the same what may have been meant. The operation's answer has but its text.
func explainSame(err error) error {
	if strings.Contains(err.Error(), seal.ErrSame.Error()) {
		return withHint(err, sameSeal)
	}
	return err
}

// migrateTo returns next's provider, with its shares going to the keeper.
func (k *shareKeeper) migrateTo(next func(context.Context) (seal.Provider, error)) func(context.Context) (seal.Provider, error) {
	return func(ctx context.Context) (seal.Provider, error) {
		p, err := next(ctx)
		if err != nil {
			return nil, err
		}
		return k.wrap(p), nil
	}
}

// seen refuses to tell what is told once where nobody sees it: to the null device, which a closed standard output is, too.
func seen(w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	null, nullErr := os.Stat(os.DevNull)
	if err == nil && nullErr == nil && os.SameFile(info, null) {
		return withHint(errors.New("the shares are shown once, and standard output leads nowhere"), "let it lead to you, or name a folder with --shares-dir")
	}
	return nil
}

// writeThrough writes text, if there is any, and if w is a file on a disk waits until it is there.
func writeThrough(w io.Writer, text string) error {
	if text == "" {
		return nil
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("writing %s to the disk", file.Name()), err)
	}
	return nil
}
