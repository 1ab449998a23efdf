package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/seal"
)

func newSealCommand() *cobra.Command {
	flags := new(sealFlags)
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "What seals a server's root key: show it, rotate it, move to another",
		Long: `What seals a server's root key: show it, rotate it, move to another provider.

A running server is asked through its endpoint, with credentials of the account that manages the others.
A data directory that no server uses is opened as --config says.

Without either it is the endpoint of keyturn dev:
` + devEndpoint,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.client.register(cmd.PersistentFlags())
	cmd.PersistentFlags().StringVar(&flags.config, "config", "", "configuration `FILE` of a server that does not run")
	cmd.AddCommand(newSealGenerateCommand(), newSealStatusCommand(flags), newSealRotateCommand(flags), newSealMigrateCommand(flags))
	return cmd
}

func newSealGenerateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "generate FILE",
		Short: "Make a key file for a server's seal.key_file (mode 0600; never overwrites)",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("the name of the file to make is missing")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			err := seal.CreateKeyFile(args[0])
			if errors.Is(err, fs.ErrExist) {
				err = withHint(fmt.Errorf("%s is there already, and nothing is overwritten", args[0]), "name a new file: what a key file has sealed opens with nothing else")
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s made. Whoever has it and the data directory has every key; without it the data directory is lost. Keep a copy apart from both.\n", args[0])
			return nil
		},
	}
}

func newSealStatusCommand(flags *sealFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the provider, the ages of root key and keyring, and how far sealing values anew is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out api.GetSealStatusResponse
			if err := flags.do(cmd, "GetSealStatus", &api.GetSealStatusRequest{}, &out); err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), &out, out.Seal)
		},
	}
}

func newSealRotateCommand(flags *sealFlags) *cobra.Command {
	var keyringOnly bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the root key, and add a version to the keyring",
		Long: `Replace the root key, and add a version to the keyring that seals everything from now on. The old root key
opens the store no more. A running server goes on serving, and seals the old values anew in the background.

With --keyring-only the root key stays. The keyring rotates by itself every 365 days.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keyringOnly {
				var out api.RotateKeyringResponse
				if err := flags.do(cmd, "RotateKeyring", &api.RotateKeyringRequest{}, &out); err != nil {
					return err
				}
				return flags.print(cmd.OutOrStdout(), &out, out.Seal)
			}
			var out api.RotateRootKeyResponse
			if err := flags.do(cmd, "RotateRootKey", &api.RotateRootKeyRequest{}, &out); err != nil {
				return err
			}
			return flags.print(cmd.OutOrStdout(), &out, out.Seal)
		},
	}
	cmd.Flags().BoolVar(&keyringOnly, "keyring-only", false, "add a version to the keyring, and keep the root key")
	return cmd
}

// sealFlags say which seal.
type sealFlags struct {
	client clientFlags
	config string
}

// do calls an operation on the seal, of a running server or of a data directory.
func (f *sealFlags) do(cmd *cobra.Command, operation string, in api.Request, out interface{ DecodeJSON([]byte) error }) error {
	if f.config != "" {
		if f.client.endpoint != "" {
			return usagef("--config is for a server that does not run, --endpoint for one that does")
		}
		return f.offline(cmd, operation, in, out, nil)
	}
	c, err := f.client.connect(cmd.Context(), devEndpoint)
	if err != nil {
		return err
	}
	if err := explainSeal(c, c.call(cmd.Context(), "Keyturn."+operation, in.(api.Response), out)); err != nil {
		return err
	}
	if done, ok := out.(*api.MigrateSealResponse); ok {
		tellMigrated(cmd.ErrOrStderr(), done.Seal, "", true)
	}
	return nil
}

const seeServerLog = "the server's log says more"

func explainSeal(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.AccessDeniedException:
		return withHint(err, "use credentials of the account that manages the others: of its root user, or of a principal that its IAM policies allow this")
	case api.UnknownOperationException:
		return withHint(c.explain(err), "only keyturn has a seal: is the endpoint one of it?")
	case api.KMSInternalException:
		return withHint(err, seeServerLog)
	}
	return c.explain(err)
}

// offline runs the operation in this process, on the data directory of a configuration, as the account that manages the others. keeper takes the
// shares of a new seal; nil: no operation makes any.
func (f *sealFlags) offline(cmd *cobra.Command, operation string, in api.Request, out interface{ DecodeJSON([]byte) error }, keeper *shareKeeper) (err error) {
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if err := storeThere(c.DataDir); err != nil {
		return err
	}
	regions, err := newRegions(c.Regions)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hardenProcess(log)
	provider, previous := c.existing, c.askPrevious()
	migration := operation == "MigrateSeal"
	if migration && previous != nil { // what seals the store now is expected to be the one before
		provider, previous = func(created bool) (seal.Provider, error) {
			if created {
				return nil, errNotInitialized
			}
			return c.Seal.Previous.ask("seal.previous", false)
		}, func() (seal.Provider, error) { return c.provider(false) }
	}
	made := c.Seal.newKeyFile()
	migrate := migrateTo(f.config, c.DataDir, "")
	if keeper != nil {
		migrate = keeper.migrateTo(migrate)
	}
	a, err := openApp(cmd.Context(), appConfig{
		DataDir: c.DataDir, Provider: provider, Previous: previous, Stay: true, Migrate: migrate, Management: c.ManagementAccount, Log: log, Now: time.Now,
		KMS: kms.Config{HasRegion: regions.has}, Regions: regions, Init: true,
		Credentials: func() (map[string]identity.Configured, error) { return nil, nil },
	})
	if err != nil {
		return inUse(err, "keyturn "+cmd.Parent().Name()+" "+cmd.Name())
	}
	defer func() { err = errors.Join(err, a.close()) }()
	switch {
	case a.previous && migration:
		fmt.Fprintln(cmd.ErrOrStderr(), alreadyMigrated)
		operation, in = "GetSealStatus", &api.GetSealStatusRequest{}
	case a.previous:
		log.Warn(stillPrevious)
	}
	for _, op := range a.operator.Operations() {
		if op.Name != operation {
			continue
		}
		resp, err := a.pipeline.DoInternal(cmd.Context(), op, a.operator.Owner(), time.Now(), 0, in)
		if err != nil {
			return initError(err)
		}
		if done, ok := resp.(*api.MigrateSealResponse); ok {
			tellMigrated(cmd.ErrOrStderr(), done.Seal, made, c.Seal.Previous != nil)
		}
		return out.DecodeJSON(resp.(api.Response).AppendJSON(nil))
	}
	return fmt.Errorf("no operation %s", operation)
}

// migrateTo returns the provider that the configuration file names now, for the data directory in use. process is that of a running server, see
// awskms.Config.Process, and "" for a command that a person runs.
func migrateTo(config, dataDir, process string) func(context.Context) (seal.Provider, error) {
	return func(ctx context.Context) (seal.Provider, error) {
		c, err := loadConfig(config)
		switch {
		case err != nil:
			return nil, err
		case c.DataDir != dataDir:
			return nil, fmt.Errorf("configuration %s: data_dir has changed; restart the server for that", config)
		case process != "" && c.Seal.KMS != nil:
			return c.Seal.open(ctx, "seal", true, process)
		case process != "" && c.Seal.Passphrase != nil && c.Seal.Passphrase.Prompt:
			return nil, errors.New("a new passphrase is typed where the server stands still: stop it, and run keyturn seal migrate --config")
		case process != "" && c.Seal.Shamir != nil:
			return nil, errors.New("shares are handed out where the server stands still: stop it, and run keyturn seal migrate --config")
		}
		return c.makeSeal(true)
	}
}

// print writes what an operation answered.
func (f *sealFlags) print(w io.Writer, resp api.Response, s *api.SealStatus) error {
	if f.client.output == jsonOutput {
		return writeWireJSON(w, resp)
	}
	if s == nil {
		return errors.New("the answer has no seal")
	}
	fields := [][2]string{
		{"deployment", s.DeploymentId.V},
		{"data format", number(s.DataFormat)},
		{"provider", s.Provider.V},
		{"root key made", wireTime(s.RootKeyCreationDate)},
		{"keyring version", number(s.KeyringVersion)},
		{"keyring made", wireTime(s.KeyringCreationDate)},
		{"next keyring", wireTime(s.NextKeyringRotationDate)},
		{"versions left", fmt.Sprintf("%d, of which %d on demand", s.KeyringVersionsLeft.V, s.KeyringRotationsLeft.V)},
	}
	if !s.KeyringVersionsLeft.Set { // an older server
		fields = fields[:len(fields)-1]
	}
	if !s.RootKeyCreationDate.Set {
		fields[3][1] = "before data format 2"
	}
	state := "all values by version " + number(s.ResealedVersion) + " or later"
	if p := s.Resealing; p != nil {
		state = "being sealed anew by version " + number(p.TargetVersion)
		if p.Total.V > 0 {
			state += fmt.Sprintf(", %d of about %d values (%d %%)", p.Done.V, p.Total.V, min(100, 100*p.Done.V/p.Total.V))
		}
	} else if s.ResealedVersion.V < s.KeyringVersion.V {
		state += ", to be sealed anew while a server runs"
	}
	fields = append(fields, [2]string{"values", state})
	if err := writeFields(w, fields); err != nil {
		return err
	}
	rows := make([][]string, len(s.KeyringVersions))
	for i, v := range s.KeyringVersions {
		rows[i] = []string{number(v.Version), wireTime(v.CreationDate), wireTime(v.RetirementDate), wireTime(v.DestructionDate)}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, []string{"KEYRING", "MADE", "RETIRED", "DESTROYED"}, rows)
}

func number(n api.Opt[int64]) string { return strconv.FormatInt(n.V, 10) }
