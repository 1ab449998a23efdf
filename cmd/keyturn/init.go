package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/shamir"
	"github.com/keyturn/keyturn/internal/service"
)

type initFlags struct {
	config     string
	account    string
	name       string
	newRootKey bool
	replace    string
	key        rootKeyFlags
	shares     shareKeeper
	output     outputFormat
}

func newInitCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init --config FILE",
		Short: "Set up a server: its seal, its store, and the first access key",
		Long: `Set up the server that a configuration file describes: the key file of its seal if that is not there, its
store, and an account that manages all others, with an access key of its root user. The access key is
shown this once; it is kept nowhere but sealed in the store.

With --new-root-key it makes another access key for the root user of an account, when the first one is
lost. That takes nothing but the configuration, the data directory and the seal, so guard these.

The server must not run meanwhile.`,
		Example: `  keyturn init --config server.yaml
  keyturn init --config server.yaml --account 111122223333 --credentials-file root.credentials
  keyturn init --config server.yaml --new-root-key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInit(cmd, f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "configuration `FILE` of the server (YAML)")
	fl.StringVar(&f.account, "account", "", "`ID` of the account, 12 digits (default: a random one; with --new-root-key: the one that manages the others)")
	fl.StringVar(&f.name, "name", "management", "name of the account")
	fl.BoolVar(&f.newRootKey, "new-root-key", false, "make another access key for the root user of an account that is there")
	fl.StringVar(&f.replace, "replace", "", "with --new-root-key: delete the access key of this `ID` with the same change")
	f.key.register(fl)
	fl.StringVar(&f.shares.dir, "shares-dir", "", "with seal.shamir: `FOLDER` to write the shares to, a new file each (mode 0600), instead of printing them")
	addOutputFlag(fl, &f.output)
	return cmd
}

// check refuses what makes no sense before anything is opened.
func (f *initFlags) check(named bool) error {
	switch {
	case f.config == "":
		return usagef("--config is missing")
	case f.account != "" && !service.IsAccountID(f.account):
		return usagef("--account %s: an account ID is 12 digits", printable(f.account))
	case f.newRootKey && named:
		return usagef("--name does not go with --new-root-key: the account has one")
	case !f.newRootKey && f.replace != "":
		return usagef("--replace is for --new-root-key")
	case f.newRootKey && f.shares.dir != "":
		return usagef("--shares-dir does not go with --new-root-key: the store is sealed already")
	}
	if err := f.request().Validate(); err != nil {
		return usagef("--name: it has 1 to 50 characters of ASCII")
	}
	return nil
}

func (f *initFlags) request() *api.CreateAccountRequest {
	q := &api.CreateAccountRequest{AccountName: api.Some(f.name)}
	if f.account != "" {
		q.AccountId = api.Some(f.account)
	}
	return q
}

func runInit(cmd *cobra.Command, f initFlags) (finished error) {
	if err := f.check(cmd.Flags().Changed("name")); err != nil {
		return err
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	regions, err := newRegions(c.Regions)
	if err != nil {
		return err
	}
	creds, err := c.credentials()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", f.config, err)
	}
	if err := c.checkShares(f.shares.dir); err != nil {
		return err
	}
	if f.newRootKey {
		if err := storeThere(c.DataDir); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hardenProcess(log)
	file, err := f.key.reserve()
	if err != nil {
		return err
	}
	if c.Seal.Shamir != nil {
		if !f.newRootKey && f.shares.dir == "" {
			if err := seen(cmd.OutOrStdout()); err != nil {
				file.discard()
				return err
			}
		}
		tell := func() error { return writeThrough(cmd.OutOrStdout(), f.shares.text(c.Seal.Shamir.Threshold)) }
		if f.output != jsonOutput { // there they are part of the answer
			f.shares.show = tell
		}
		defer func() { finished = errors.Join(finished, tell()) }() // whatever fails from here on: if there is a store, its shares are told
	}
	provider := func(created bool) (seal.Provider, error) {
		p, err := c.makeSeal(created)
		if err != nil {
			return nil, err
		}
		return f.shares.wrap(p), nil
	}
	if f.newRootKey {
		provider = c.existing
	}
	a, err := openApp(cmd.Context(), appConfig{
		DataDir: c.DataDir, Provider: provider, Previous: c.askPrevious(), Stay: true, Log: log, Now: time.Now, KMS: kms.Config{HasRegion: regions.has}, Regions: regions, Init: true,
		Credentials: func() (map[string]identity.Configured, error) { return creds, nil },
	})
	if err != nil {
		file.discard()
		return err
	}
	if a.previous {
		log.Warn(stillPrevious)
	}
	work := f.initialize
	if f.newRootKey {
		work = f.anotherKey
	}
	made, err := work(cmd.Context(), a, record.Owner{Region: regions.first})
	if err != nil {
		file.discard()
		return errors.Join(err, a.close())
	}
	hint := "make another with: keyturn init --config " + shellWord(f.config) + " --new-root-key --replace " + made.key.id
	if err = file.write(made.key); err == nil {
		if len(f.shares.lines) > 0 {
			hint = "nobody has its shares: remove the data directory, in which there is nothing else yet, and begin anew"
		}
		if err = f.print(cmd.OutOrStdout(), c, file, made); err != nil {
			err = &afterError{"access key " + made.key.id + " has been made, and could not be told", err}
		}
	}
	return errors.Join(withHint(err, hint), a.close())
}

// madeRootKey is what init has made.
type madeRootKey struct {
	key    rootKey
	name   string
	others []string // access keys that the root user has beside it
}

// initialize makes the account that manages the others, in one commit with its access key.
func (f *initFlags) initialize(ctx context.Context, a *app, owner record.Owner) (*madeRootKey, error) {
	if management, err := a.managedBy(ctx); err == nil {
		return nil, withHint(fmt.Errorf("the store has been initialized: account %s manages it", management), "if its access key is lost, make another with --new-root-key")
	} else if !errors.Is(err, errNotInitialized) {
		return nil, err
	}
	q := accounts.InitializeRequest{CreateAccountRequest: *f.request(), MayBeInUse: f.account != ""}
	if owner.Account = f.account; owner.Account == "" {
		owner.Account = identity.NewAccountID()
		q.AccountId = api.Some(owner.Account)
	}
	r, err := a.pipeline.DoInternal(ctx, a.accounts.Initialize, owner, time.Now(), 0, &q)
	if err != nil {
		return nil, initError(err)
	}
	resp := r.(*api.CreateAccountResponse)
	key, err := newRootKey(resp.Account.AccountId.V, resp.AccessKey)
	return &madeRootKey{key: key, name: f.name}, err
}

// anotherKey makes another access key for a root user.
func (f *initFlags) anotherKey(ctx context.Context, a *app, owner record.Owner) (*madeRootKey, error) {
	owner.Account = f.account
	if owner.Account == "" {
		var err error
		if owner.Account, err = a.managedBy(ctx); err != nil {
			return nil, err
		}
	}
	q := &api.CreateRootAccessKeyRequest{AccountId: api.Some(owner.Account)}
	if f.replace != "" {
		q.ReplacedAccessKeyId = api.Some(f.replace)
	}
	r, err := a.pipeline.DoInternal(ctx, a.accounts.RecoverRootKey, owner, time.Now(), 0, q)
	if err != nil {
		var e *api.Error
		full := errors.As(err, &e) && e.Code == api.LimitExceededException
		if err = initError(err); full {
			err = withHint(err, "delete one of them with the same change: --replace ACCESS-KEY-ID")
		}
		return nil, err
	}
	key, err := newRootKey(owner.Account, r.(*api.CreateRootAccessKeyResponse).AccessKey)
	if err != nil {
		return nil, err
	}
	made := &madeRootKey{key: key}
	prefix := record.AccessKeysPrefix(owner.Account, "")
	entries, err := a.pipeline.Store().Scan(ctx, prefix, "", 10)
	for _, e := range entries {
		if id := strings.TrimPrefix(e.Key, prefix); id != key.id {
			made.others = append(made.others, id)
		}
	}
	return made, err
}

// managedBy is the account that manages the others. The error is errNotInitialized if there is none yet.
func (a *app) managedBy(ctx context.Context) (string, error) {
	r, err := a.pipeline.Record(ctx, record.DeploymentStoreKey)
	if err != nil {
		return "", err
	}
	d, ok := r.(*record.Deployment)
	if !ok {
		return "", errNotInitialized
	}
	return d.Management, nil
}

var errNotInitialized = withHint(errors.New("the store has not been initialized"), "make a server of it with: keyturn init --config FILE")

// initError words what the operations refuse.
func initError(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == api.KMSInternalException && e.Message == "" {
		return errors.New("the store could not be written, see above")
	}
	return errors.New(e.Message)
}

// existing is the provider of a store that must be there.
func (c *serverConfig) existing(created bool) (seal.Provider, error) {
	if created {
		return nil, errNotInitialized
	}
	return c.provider(created)
}

// makeSeal is the provider of a store that may be new: then so may be the key file.
func (c *serverConfig) makeSeal(created bool) (seal.Provider, error) {
	switch {
	case created && c.Seal.Shamir != nil:
		return shamir.New(c.Seal.Shamir.Shares, c.Seal.Shamir.Threshold)
	case created && c.Seal.Passphrase != nil && c.Seal.Passphrase.Prompt:
		return new(typing), nil
	}
	path := c.Seal.KeyFile
	if path == "" || !created || strings.HasPrefix(path, probe.CredentialPrefix) {
		return c.provider(created)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := checkSealPlace(filepath.Dir(path)); err != nil {
			return nil, err
		}
		if err := seal.CreateKeyFile(path); err != nil {
			return nil, err
		}
	}
	return c.provider(created)
}

// checkShares refuses a folder for shares that there are not, or that is with the data.
func (c *serverConfig) checkShares(dir string) error {
	switch {
	case dir == "":
		return nil
	case c.Seal.Shamir == nil:
		return usagef("--shares-dir is for a configuration with seal.shamir")
	case within(c.DataDir, filepath.Join(dir, "share-1")) || within(c.DataDir, dir):
		return usagef("--shares-dir must not be in data_dir: whoever gets one would have both")
	}
	return nil
}

// checkSealPlace refuses a folder in which everybody could put another file in the key file's place.
func checkSealPlace(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the folder of seal.key_file: %w", err)
	}
	if openToAll(info, 0o002) && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("the folder of seal.key_file, %s, can be written by everybody (mode %v); take that away", dir, info.Mode().Perm())
	}
	return nil
}

func (f *initFlags) print(w io.Writer, c *serverConfig, file *keyFile, made *madeRootKey) error {
	if f.output == jsonOutput {
		m := file.made(made.key, made.name)
		m.Shares, m.ShareFiles = f.shares.lines, f.shares.files
		f.shares.lines, f.shares.files = nil, nil
		return writeJSON(w, m)
	}
	var b strings.Builder
	if c.Seal.Shamir != nil {
		b.WriteString(f.shares.text(c.Seal.Shamir.Threshold))
	}
	if f.newRootKey {
		fmt.Fprintf(&b, "The root user of account %s has a new access key, %s.\n", made.key.account, made.key.id)
		for _, id := range made.others {
			fmt.Fprintf(&b, "Its other one, %s, still works. Once nobody needs it:\n\n  aws iam delete-access-key --access-key-id %s\n\n", id, id)
		}
	} else {
		fmt.Fprintf(&b, "Account %s (%s) manages this deployment. Its root user has the access key %s.\n", made.key.account, made.name, made.key.id)
		if c.Seal.KeyFile != "" {
			fmt.Fprintf(&b, "Keep a copy of %s apart from the data directory: without it the data is lost.\n", c.Seal.KeyFile)
		}
	}
	if file == nil {
		b.WriteString("The access key is shown this once, and may do everything in the account: keep it safe.\n")
	} else {
		fmt.Fprintf(&b, "The access key is in %s, and may do everything in the account: keep it safe.\n", file.path)
	}
	b.WriteString("Use it to make IAM users and roles, and work as these.\n\n")
	if !f.newRootKey {
		fmt.Fprintf(&b, "  keyturn server --config %s\n\n", shellWord(f.config))
	}
	b.WriteString(file.exports(made.key))
	url := c.url()
	fmt.Fprintf(&b, "  export AWS_REGION=%s AWS_DEFAULT_REGION=%s\n", c.Regions[0], c.Regions[0])
	fmt.Fprintf(&b, "  export AWS_ENDPOINT_URL_KMS=%s AWS_ENDPOINT_URL_STS=%s AWS_ENDPOINT_URL_IAM=%s\n  aws sts get-caller-identity\n", url, url, url)
	_, err := io.WriteString(w, b.String())
	return err
}

// url is where clients find the server, as far as the configuration says.
func (c *serverConfig) url() string {
	scheme := "https://"
	if c.PlainHTTP {
		scheme = "http://"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return scheme + c.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "YOUR-HOST"
	}
	return scheme + net.JoinHostPort(host, port)
}
