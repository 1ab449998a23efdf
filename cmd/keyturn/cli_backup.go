package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/seal"
)

// maxStateBytes is the size of a state file at most.
const maxStateBytes = 2048

const sinceHint = "without --since the backup is a full one, which goes on from nothing"

type backupFlags struct {
	client         clientFlags
	data           dataFlags
	recipients     []string
	recipientFiles []string
	toSeal         bool
	output         string
	since          string
	state          string
	noAudit        bool
}

func newBackupCommand() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "backup (--recipient age1... | --to-seal) --output FILE",
		Short: "Write a backup of everything into one encrypted file",
		Long: `Write a backup: the store at one moment, the keys that open it, and the audit log up to the same moment, in one
age file. With --recipient whoever has the identity restores it, with nothing else; with --to-seal it takes what
seals the deployment today.

A running server is asked through its endpoint, with credentials of the account that manages the others. With
--config or --data-dir a directory that no server uses is read. Without either it is the endpoint of keyturn dev:
` + devEndpoint,
		Example: `  age-keygen -pq -o identity.txt        # once; keep it where this machine's end does not reach
  keyturn backup --endpoint https://kms.example.com:8443 --recipients-file recipients.txt --output monday.backup --state last.json
  keyturn backup --endpoint https://kms.example.com:8443 --recipients-file recipients.txt --output tuesday.backup --since last.json
  keyturn backup --config server.yaml --to-seal --output offline.backup`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := cmd.Flags()
	f.client.registerEndpoint(fl)
	fl.StringVar(&f.client.region, "region", "", "AWS region (default: from the AWS environment)")
	f.data.register(fl)
	fl.StringArrayVar(&f.recipients, "recipient", nil, "age `RECIPIENT` that can restore it: age1..., age1pq1..., ssh-ed25519 ... (repeatable)")
	fl.StringArrayVar(&f.recipientFiles, "recipients-file", nil, "`FILE` of recipients, one a line (repeatable)")
	fl.BoolVar(&f.toSeal, "to-seal", false, "encrypt it to the seal instead: to restore it takes the key file or passphrase of today")
	fl.StringVar(&f.output, "output", "", "new `FILE` for the backup (mode 0600), or - for standard output")
	fl.StringVar(&f.state, "state", "", "`FILE` to write what the next incremental backup goes on from; no secrets")
	fl.StringVar(&f.since, "since", "", "make an incremental backup that goes on from the one that wrote this state `FILE`")
	fl.BoolVar(&f.noAudit, "no-audit", false, "leave out the audit log")
	return cmd
}

func (f *backupFlags) run(cmd *cobra.Command) error {
	offline := f.data != (dataFlags{})
	switch {
	case f.output == "":
		return usagef("--output is missing")
	case f.toSeal == (len(f.recipients)+len(f.recipientFiles) > 0):
		return usagef("a backup is either for recipients (--recipient, --recipients-file) or for the seal (--to-seal)")
	case offline && f.client.endpoint != "":
		return usagef("--config and --data-dir are for a directory that no server uses, --endpoint is for one that runs")
	case f.output == "-" && f.state != "":
		return withHint(usagef("--state does not go with --output -: whether what was sent there was kept is not known here, and the next backup would go on from it"),
			"name a file with --output")
	case f.noAudit && f.since != "":
		return usagef("--no-audit does not go with --since: an incremental backup has the audit log if the one has that it goes on from")
	}
	if isTerminal(cmd.OutOrStdout()) && f.output == "-" {
		return usagef("a backup is no text for a terminal: send it elsewhere, or name a file with --output")
	}
	recipients, err := f.parseRecipients()
	if err != nil {
		return err
	}
	since, err := f.readSince()
	if err != nil {
		return err
	}
	if err := f.checkState(); err != nil {
		return err
	}
	out, err := newOutput(f.output, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer out.discard()
	add, finish := startBytes(cmd.ErrOrStderr(), "backup", 0)
	out.written = add
	var state *backup.Position
	if offline {
		state, err = f.offline(cmd, out, recipients, since)
	} else {
		state, err = f.online(cmd.Context(), out, recipients, since)
	}
	if err == nil {
		err = out.publish()
	}
	finish(err)
	if err != nil {
		return err
	}
	if f.state != "" {
		text, err := backup.MarshalPosition(state)
		if err == nil { // once more: the backup itself may be there now under another name
			err = f.checkState()
		}
		if err == nil {
			err = writeFileWhole(f.state, text, 0o600)
		}
		if err != nil {
			return &afterError{"the backup is made", fmt.Errorf("writing its state: %w", err)}
		}
	}
	kind := "full"
	if since != nil {
		kind = "incremental"
	}
	w := cmd.OutOrStdout()
	if f.output == "-" {
		w = cmd.ErrOrStderr()
	}
	_, err = fmt.Fprintf(w, "Backup %s: %s, revision %d, audit log up to line %d, %d bytes.\n", state.Backup, kind, state.Revision, state.Next-1, out.n)
	return err
}

// parseRecipients returns them all, nil if there are none.
func (f *backupFlags) parseRecipients() (*backup.Recipients, error) {
	if f.toSeal {
		return nil, nil
	}
	r := new(backup.Recipients)
	for i, text := range f.recipients {
		if err := r.Add(text); err != nil {
			return nil, usagef("--recipient number %d: %w", i+1, err)
		}
	}
	for _, path := range f.recipientFiles {
		text, err := readBounded(path, 1<<20)
		if err == nil {
			err = r.AddFile(text)
		}
		if err != nil {
			return nil, fmt.Errorf("recipients file %s: %w", path, err)
		}
	}
	return r, nil
}

func (f *backupFlags) readSince() (*backup.Position, error) {
	if f.since == "" {
		return nil, nil
	}
	text, err := readBounded(f.since, maxStateBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	p, err := backup.ParsePosition(text)
	if err != nil {
		return nil, withHint(fmt.Errorf("state file %s: %w", f.since, err), "name the file that --state wrote with the backup before, or make a full one without --since")
	}
	return p, nil
}

// checkState refuses a state file in whose place something else is, such as the backup itself: only an earlier state is overwritten.
func (f *backupFlags) checkState() error {
	if f.state == "" {
		return nil
	}
	if realPath(f.state) == realPath(f.output) {
		return usagef("--output and --state are one file")
	}
	info, err := os.Stat(f.state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the state file: %w", err)
	}
	if info.Mode().IsRegular() && info.Size() <= maxStateBytes {
		text, err := readBounded(f.state, maxStateBytes)
		if err != nil {
			return fmt.Errorf("the state file: %w", err)
		}
		if _, err := backup.ParsePosition(text); err == nil {
			return nil
		}
	}
	return withHint(fmt.Errorf("%s is there already and is no state of a backup, and nothing else is overwritten", f.state),
		"name a new file with --state, or the state of an earlier backup")
}

// online asks a running server.
func (f *backupFlags) online(ctx context.Context, w io.Writer, recipients *backup.Recipients, since *backup.Position) (*backup.Position, error) {
	c, err := f.client.connect(ctx, devEndpoint)
	if err != nil {
		return nil, err
	}
	in := new(api.CreateBackupRequest)
	if recipients != nil {
		in.Recipients = recipients.Names()
	}
	if f.toSeal {
		in.ToSeal = api.Some(true)
	}
	if f.noAudit {
		in.NoAudit = api.Some(true)
	}
	if since != nil {
		text, err := backup.MarshalPosition(since)
		if err != nil {
			return nil, err
		}
		in.Since = api.Some(string(text))
	}
	resp, err := c.stream(ctx, "Keyturn.CreateBackup", in)
	if err != nil {
		return nil, explainBackup(c, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	state, err := backup.ParsePosition([]byte(resp.Header.Get("X-Keyturn-" + operator.BackupState)))
	if err != nil {
		return nil, withHint(errors.New("the answer is no backup"), "only keyturn makes backups: is the endpoint one of it?")
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.As(err, new(*outputError)) {
			return nil, err
		}
		return nil, withHint(fmt.Errorf("the server broke the backup off: %w", err), "its log says why; what has arrived was thrown away")
	}
	return state, nil
}

func explainBackup(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.AccessDeniedException:
		return withHint(err, "use credentials of the account that manages the others: of its root user, or of a principal that its IAM policies allow keyturn:CreateBackup")
	case api.UnknownOperationException:
		return withHint(c.explain(err), "only keyturn makes backups: is the endpoint one of it?")
	case api.ValidationException:
		return withHint(err, sinceHint)
	case api.KMSInternalException:
		return withHint(err, seeServerLog)
	}
	return c.explain(err)
}

// offline reads a data directory that no server uses, and changes nothing in it.
func (f *backupFlags) offline(cmd *cobra.Command, w io.Writer, recipients *backup.Recipients, since *backup.Position) (_ *backup.Position, err error) {
	d, err := f.data.resolve()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hardenProcess(log)
	if err := storeThere(d.path); err != nil {
		return nil, err
	}
	a := &app{log: log}
	defer func() { err = errors.Join(err, a.close()) }()
	c := appConfig{DataDir: d.path}
	raw, _, err := a.openStore(c)
	if err != nil {
		return nil, inUse(err, "keyturn backup")
	}
	ctx := cmd.Context()
	options := backup.Options{Recipients: recipients, Since: since, NoAudit: f.noAudit || since != nil && !since.Audit}
	if !options.NoAudit { // what is restored without the log it had looks tampered with, record for record
		if err := c.auditLogThere(ctx, raw); err != nil {
			return nil, withHint(err, "put the folder back, or mount the disk that it is on; without it: --no-audit")
		}
	}
	sealed, previous, err := openEither(ctx, raw, seal.Options{Dev: d.dev, Now: time.Now()}, d.open, d.previous)
	if err != nil {
		return nil, err
	}
	if previous {
		log.Warn(stillPrevious)
	}
	b, err := backup.Take(ctx, backup.Source{
		Seal: sealed, Log: backup.DirLog(filepath.Join(d.path, auditDir)), Keyturn: programVersion(), Now: time.Now,
	}, options)
	switch {
	case errors.Is(err, backup.ErrChain):
		err = withHint(err, sinceHint)
	case errors.Is(err, backup.ErrLog):
		err = withHint(err, "put the lines that are missing back; without the log: --no-audit")
	}
	if err != nil {
		return nil, err
	}
	defer b.Close()
	_, err = b.Write(ctx, w)
	return &b.Position, err
}
