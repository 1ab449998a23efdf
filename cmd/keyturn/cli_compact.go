package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

func newCompactCommand() *cobra.Command {
	flags := new(compactFlags)
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Overwrite what is left of destroyed keys and secrets in the data directory",
		Long: `Overwrite what is left of destroyed keys and secrets in the data directory. A server does so by itself within
a day of each destruction; this is for whoever does not want to wait.

A running server is asked through its endpoint, with credentials of the account that manages the others. It
overwrites the unused parts of its file and goes on serving; the file keeps its size. With --keyring it also
rotates its keyring, seals every value anew, and destroys the old version 48 hours later: then a sealed value
that is left somewhere on the disk opens no more. docs/destruction.md says what that is good for.

The data directory of a server that does not run is compacted with --config: its file is written anew without
the unused parts, compared, and put in the place of the old one, which is overwritten and removed.`,
		Example: `  keyturn compact --endpoint https://kms.example.com:8443
  keyturn compact --endpoint https://kms.example.com:8443 --keyring
  keyturn compact --config server.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.config == "":
				return flags.online(cmd)
			case flags.client.endpoint != "":
				return usagef("--config is for a server that does not run, --endpoint for one that does")
			case flags.keyring:
				return usagef("--keyring needs a running server, which seals the values anew; or see: keyturn seal rotate --keyring-only --config")
			}
			return flags.offline(cmd)
		},
	}
	flags.client.register(cmd.Flags())
	cmd.Flags().StringVar(&flags.config, "config", "", "configuration `FILE` of a server that does not run")
	cmd.Flags().BoolVar(&flags.keyring, "keyring", false, "rotate the keyring too")
	return cmd
}

type compactFlags struct {
	client  clientFlags
	config  string
	keyring bool
}

// compactPoll is how often a running server is asked how far it is.
const compactPoll = 300 * time.Millisecond

func (f *compactFlags) online(cmd *cobra.Command) error {
	ctx := cmd.Context()
	c, err := f.client.connect(ctx, devEndpoint)
	if err != nil {
		return err
	}
	var begun api.CompactStoreResponse
	in := &api.CompactStoreRequest{}
	if f.keyring {
		in.RotateKeyring = api.Some(true)
	}
	if err := explainSeal(c, c.call(ctx, "Keyturn.CompactStore", in, &begun)); err != nil {
		return err
	}
	if begun.Compaction == nil {
		return errors.New("the answer has no compaction")
	}
	var out api.GetCompactionResponse
	err = withBar(cmd.ErrOrStderr(), "overwriting", func(set func(done, total int64)) error {
		return f.wait(ctx, c, begun.Compaction.Number.V, set, &out)
	})
	if err != nil {
		return err
	}
	if f.client.output == jsonOutput {
		return writeWireJSON(cmd.OutOrStdout(), &out)
	}
	done := out.Compaction
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "The file has %s, of which %s are not in use; %s of them were overwritten.\n",
		bytesText(done.FileBytes.V), bytesText(done.FreeBytes.V), bytesText(done.OverwrittenBytes.V))
	if at := done.OldVersionsDestroyedAfter; at.Set {
		_, err = fmt.Fprintf(w, "Values are sealed by version %d of the keyring, or will be soon; older versions are destroyed after %s.\n",
			done.KeyringVersion.V, wireTime(at))
	}
	return err
}

// wait asks until the compaction of a number is done.
func (f *compactFlags) wait(ctx context.Context, c *connection, number int64, set func(done, total int64), out *api.GetCompactionResponse) error {
	ticker := time.NewTicker(compactPoll)
	defer ticker.Stop()
	for {
		if err := explainSeal(c, c.call(ctx, "Keyturn.GetCompaction", &api.GetCompactionRequest{}, out)); err != nil {
			return err
		}
		switch now := out.Compaction; {
		case now == nil:
			return errors.New("the answer has no compaction")
		case now.CompletedNumber.V >= number:
			return nil
		case now.State.V == api.CompactionStateTypeFailed:
			return withHint(errors.New("the server could not overwrite everything"), "its log says why; it tries again by itself")
		case now.State.V == api.CompactionStateTypeIdle:
			return withHint(errors.New("the server has forgotten the compaction: it was started anew"), "start it once more")
		case now.State.V == api.CompactionStateTypeRunning && now.Number.V == number:
			set(now.Done.V, now.Total.V)
		}
		select {
		case <-ctx.Done():
			return withHint(ctx.Err(), "the server goes on without you")
		case <-ticker.C:
		}
	}
}

func (f *compactFlags) offline(cmd *cobra.Command) (err error) {
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if err := storeThere(c.DataDir); err != nil {
		return err
	}
	if err := checkDataDir(c.DataDir); err != nil {
		return err
	}
	unlock, err := lockDataDir(c.DataDir)
	if err != nil {
		return inUse(err, "keyturn compact")
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := noRestore(c.DataDir); err != nil {
		return err
	}
	var did boltstore.Compacted
	err = withBar(cmd.ErrOrStderr(), "compacting", func(set func(done, total int64)) (err error) {
		did, err = boltstore.Compact(cmd.Context(), filepath.Join(c.DataDir, storeFile), boltstore.CompactOptions{Progress: set})
		return err
	})
	if errors.Is(err, boltstore.ErrSpace) {
		return withHint(err, "make room, or let a running server overwrite its file in place: keyturn compact --endpoint URL")
	}
	if err != nil {
		return err
	}
	if f.client.output == jsonOutput {
		return writeJSON(cmd.OutOrStdout(), map[string]any{
			"FileBytesBefore": did.Before, "FileBytes": did.After, "Entries": did.Entries, "Revision": did.Head, "OldFileOverwritten": did.Overwritten,
		})
	}
	old := "The old file was overwritten and removed."
	if !did.Overwritten {
		old = "The old file was removed, but not overwritten: the file system cannot name a file twice."
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d entries at revision %d, the same as before, in %s where there were %s. %s\n",
		did.Entries, did.Head, bytesText(did.After), bytesText(did.Before), old)
	return err
}

func bytesText(n int64) string { return progress.FormatBytes(n) }

// withBar runs f with a progress bar on w, if that is a terminal. set takes how much is done, of how much.
func withBar(w io.Writer, what string, f func(set func(done, total int64)) error) error {
	if !isTerminal(w) {
		return f(func(int64, int64) {})
	}
	bar := progress.NewWriter()
	bar.SetOutputWriter(w)
	bar.SetAutoStop(true)
	bar.SetTrackerLength(30)
	tracker := &progress.Tracker{Message: what, Units: progress.UnitsBytes}
	bar.AppendTracker(tracker)
	drawn := make(chan struct{})
	go func() {
		bar.Render()
		close(drawn)
	}()
	err := f(func(done, total int64) {
		tracker.UpdateTotal(total)
		tracker.SetValue(done)
	})
	if err != nil {
		tracker.MarkAsErrored()
	} else {
		tracker.MarkAsDone()
	}
	<-drawn
	return err
}
