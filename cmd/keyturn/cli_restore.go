package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age/plugin"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

const (
	maxIdentityBytes = 1 << 20
	// maxInputs is how many backups may go on from each other: each is open at once.
	maxInputs = 500
)

type restoreFlags struct {
	inputs     []string
	identities []string
	oldConfig  string
	data       dataFlags
	verify     bool
	dryRun     bool
	shares     shareKeeper
}

func newRestoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --input FILE --identity FILE (--config FILE | --data-dir DIR)",
		Short: "Make a data directory from a backup",
		Long: `Make a data directory from a backup: a full one, or a full one and all incremental ones that go on from it, in
their order. The directory must be empty.

The restored server has a new root key under the seal that --config names, and a new version of the keyring.
That it was restored is the next line of its audit log. See docs/disaster-recovery.md.

A backup that was made with --to-seal is opened by what sealed the deployment then: --old-config names its
configuration, and without it the seal is that of --config.`,
		Example: `  keyturn restore --input monday.backup --identity identity.txt --config server.yaml
  keyturn restore --input monday.backup --input tuesday.backup --identity identity.txt --config server.yaml --verify
  keyturn restore --input monday.backup --identity identity.txt --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.inputs, "input", nil, "`FILE` of a backup, or - for standard input; repeated, those that go on from the one before")
	fl.StringArrayVar(&f.identities, "identity", nil, "`FILE` of age identities, or an SSH private key, or - for standard input (repeatable)")
	fl.StringVar(&f.oldConfig, "old-config", "", "configuration `FILE` whose seal opens a backup made with --to-seal")
	f.data.register(fl)
	fl.StringVar(&f.shares.dir, "shares-dir", "", "new `DIR`ectory for the shares of the new seal, instead of showing them (with seal.shamir)")
	fl.BoolVar(&f.verify, "verify", false, "first read it all, and open and decode every value; nothing is written if one does not open")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only do what --verify does")
	return cmd
}

func (f *restoreFlags) run(cmd *cobra.Command) error {
	if len(f.inputs) == 0 {
		return usagef("--input is missing")
	}
	if len(f.inputs) > maxInputs {
		return usagef("more than %d backups: make a full one from time to time", maxInputs)
	}
	fromStdin := 0
	for _, path := range slices.Concat(f.inputs, f.identities) {
		if path == "-" {
			fromStdin++
		}
	}
	if fromStdin > 1 {
		return usagef("standard input can be read once: - goes with one --input or one --identity")
	}
	ctx := cmd.Context()
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hardenProcess(log)
	var d *dataDir
	var err error
	if !f.dryRun || f.data != (dataFlags{}) {
		if d, err = f.data.resolve(); err != nil {
			return err
		}
	}
	if d == nil && f.shares.dir != "" {
		return usagef("--shares-dir does not go with --dry-run: there is no new seal")
	}
	if d != nil {
		if err := d.checkShares(f.shares.dir); err != nil {
			return err
		}
		if d.threshold > 0 && f.shares.dir == "" && !f.dryRun {
			if err := seen(cmd.OutOrStdout()); err != nil {
				return err
			}
		}
	}
	if !f.dryRun { // before hours of reading; and once more when the directory is locked
		if err := emptyButLock(d.path); err != nil {
			return err
		}
	}
	identities, err := f.openIdentities(cmd, d)
	if err != nil {
		return err
	}
	if f.verify || f.dryRun {
		found, last, err := f.check(ctx, cmd.ErrOrStderr(), identities)
		if err != nil {
			return err
		}
		if err := printVerified(cmd.OutOrStdout(), found, last); err != nil || f.dryRun {
			return err
		}
	}
	return f.restore(cmd, d, identities, log)
}

// openIdentities reads whatever may open the backup.
func (f *restoreFlags) openIdentities(cmd *cobra.Command, d *dataDir) ([]backup.Identity, error) {
	var list []backup.Identity
	tell := func(format string, v ...any) { cmd.PrintErrf(format+"\n", v...) }
	for _, path := range f.identities {
		text, err := readIdentities(path)
		if err != nil {
			return nil, fmt.Errorf("reading an identity: %w", err)
		}
		ids, err := backup.ParseIdentities(text, plugin.NewTerminalUI(tell, tell))
		if err != nil {
			return nil, fmt.Errorf("identity file %s: %w", path, err)
		}
		list = append(list, ids...)
	}
	switch {
	case f.oldConfig != "":
		c, err := loadConfig(f.oldConfig)
		if err != nil {
			return nil, err
		}
		p, err := c.provider(false)
		if err != nil {
			return nil, err
		}
		list = append(list, backup.NewSealIdentity(cmd.Context(), p))
	case len(list) == 0 && d == nil:
		return nil, usagef("--identity is missing, or --old-config for a backup that was made with --to-seal")
	case len(list) == 0:
		p, err := d.open()
		if errors.Is(err, seal.ErrNoKey) {
			return nil, withHint(usagef("--identity is missing, and there is no seal that could open the backup: %w", err),
				"give --identity FILE, or --old-config FILE for a backup that was made with --to-seal")
		}
		if err != nil {
			return nil, err
		}
		list = append(list, backup.NewSealIdentity(cmd.Context(), p))
	}
	return list, nil
}

// readIdentities reads a file of identities; - is standard input.
func readIdentities(path string) ([]byte, error) {
	if path != "-" {
		return readSecret(path, maxIdentityBytes)
	}
	text, err := io.ReadAll(io.LimitReader(os.Stdin, maxIdentityBytes+1))
	if err == nil && len(text) > maxIdentityBytes {
		err = fmt.Errorf("standard input has more than %d bytes", maxIdentityBytes)
	}
	return text, err
}

// open opens the files as a chain. add is told of what is read.
func (f *restoreFlags) open(stdin io.Reader, add func(int), identities []backup.Identity) (_ *backup.Chain, closeAll func(), err error) {
	var files []io.Closer
	closeAll = func() {
		for _, c := range files {
			c.Close() //nolint:errcheck // it was only read
		}
	}
	var readers []io.Reader
	for _, path := range f.inputs {
		r := stdin
		if path != "-" {
			file, err := os.Open(path)
			if err != nil {
				closeAll()
				return nil, nil, fmt.Errorf("opening a backup: %w", err)
			}
			files, r = append(files, file), file
		}
		readers = append(readers, &countingReader{r, add})
	}
	chain, err := backup.Open(readers, identities...)
	if err != nil {
		closeAll()
		return nil, nil, f.explain(err)
	}
	return chain, closeAll, nil
}

type countingReader struct {
	r   io.Reader
	add func(int)
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.add(n)
	return n, err
}

// size is how many bytes all files have, 0 if that is not known.
func (f *restoreFlags) size() int64 {
	n := int64(0)
	for _, path := range f.inputs {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return 0
		}
		n += info.Size()
	}
	return n
}

// check reads everything.
func (f *restoreFlags) check(ctx context.Context, stderr io.Writer, identities []backup.Identity) (*backup.Verified, *backup.Header, error) {
	for _, path := range f.inputs {
		if path == "-" && !f.dryRun {
			return nil, nil, usagef("--verify reads the backup twice, and standard input can be read once: save it to a file")
		}
	}
	add, finish := startBytes(stderr, "verify", f.size())
	chain, closeAll, err := f.open(os.Stdin, add, identities)
	if err != nil {
		finish(err)
		return nil, nil, err
	}
	defer closeAll()
	found, err := backup.Verify(ctx, chain)
	finish(err)
	return found, chain.Last().Header(), f.explain(err)
}

func printVerified(w io.Writer, v *backup.Verified, h *backup.Header) error {
	_, err := fmt.Fprintf(w, "Verified: every value opens. %d keys, %d entries in all, %d audit lines; revision %d of deployment %s, from %s.\n",
		v.Kinds["k"], v.Entries, v.Lines, h.Revision, printable(h.Deployment), h.Time.Format(time.RFC3339))
	return err
}

func (f *restoreFlags) restore(cmd *cobra.Command, d *dataDir, identities []backup.Identity, log *slog.Logger) (err error) {
	add, finish := startBytes(cmd.ErrOrStderr(), "restore", f.size())
	defer func() { finish(err) }()
	chain, closeAll, err := f.open(os.Stdin, add, identities)
	if err != nil {
		return err
	}
	defer closeAll()
	switch dev := chain.Last().Header().Dev; {
	case dev && !d.dev:
		return withHint(errors.New("the backup is of keyturn dev, which accepts any credentials; a server does not open it"),
			"restore it with --data-dir alone, for keyturn dev")
	case !dev && d.dev:
		return withHint(errors.New("the backup is of a server, and nothing says what is to seal the restored one"),
			"give --config FILE, or --seal-key-file FILE with --data-dir")
	}
	dir, err := beginRestore(d.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.close()) }()
	made := d.newKey()
	provider, err := d.create()
	if err != nil {
		return err
	}
	provider = f.shares.wrap(provider)
	r, err := backup.Restore(cmd.Context(), chain, backup.Target{
		Load: func(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error) {
			path := filepath.Join(dir.Work, storeFile)
			if err := boltstore.Load(ctx, disk.OS, path, head, entries); err != nil {
				return nil, err
			}
			return boltstore.Open(path, boltstore.Options{})
		},
		AuditDir: filepath.Join(dir.Work, auditDir), Provider: provider, Node: nodeOf, Owner: record.Owner{Account: d.management, Region: d.region},
		Now: time.Now, Log: log,
	})
	if err != nil {
		return f.explain(err)
	}
	// People have the shares before anything depends on them.
	if _, err := io.WriteString(cmd.OutOrStdout(), f.shares.text(d.threshold)); err != nil {
		return err
	}
	if err := dir.Publish(); err != nil {
		return err
	}
	return printRestored(cmd.OutOrStdout(), d.path, r, made)
}

func printRestored(w io.Writer, path string, r *backup.Restored, keyFile string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Restored into %s: deployment %s, revision %d, from %s.\n", path, printable(r.Deployment), r.Revision, r.BackupTime.Format(time.RFC3339))
	fmt.Fprintf(&b, "Restore %s is line %d of its audit log. What was done after the backup is lost.\n", r.ID, r.Lines)
	b.WriteString(madeKeyFile(keyFile))
	b.WriteString("A server deletes, expires and rotates nothing in it until you have looked at what is pending deletion and said: keyturn clock accept DATE\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// explain adds what can be done.
func (f *restoreFlags) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backup.ErrIdentity):
		return withHint(err, "give the --identity of one of its recipients, or for one made with --to-seal --old-config with the seal of that time")
	case errors.Is(err, backup.ErrFormat):
		return withHint(err, "name a file that keyturn backup wrote, and use a keyturn that is as new as the one that wrote it")
	case errors.Is(err, backup.ErrChain):
		return withHint(err, "name the full backup first and then every incremental one that goes on from it, in their order")
	case errors.Is(err, backup.ErrDamaged), errors.Is(err, record.ErrDecode), seal.IsDamage(err):
		return withHint(err, "use another copy of the file, or an earlier backup; nothing was restored")
	}
	return err
}
