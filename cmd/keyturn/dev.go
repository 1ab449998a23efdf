package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

type devFlags struct {
	listen       string
	dataDir      string
	inMemory     bool
	strict       bool
	allowRemote  bool
	hosts        []string
	regions      []string
	enclaveRoots string
	seedFile     string
	readyFile    string
	keyStores    string
	webIdentity  string
	quotas       bool
}

func newDevCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a KMS for development: no setup, any credentials, a clock you can turn",
		Long: `Run a KMS for development and tests.

It accepts any credentials, also none, as the root user of account 000000000000, or of the account whose 12 digits are
the access key ID. With --strict it verifies signatures like the real server, against an access key that it makes.
Its clock can be turned forward: keyturn clock advance 91d.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd, f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", "127.0.0.1:4599", "address to listen on; port 0 picks a free one")
	fl.StringVar(&f.dataDir, "data-dir", "./keyturn-data", "where everything is kept")
	fl.BoolVar(&f.inMemory, "in-memory", false, "keep nothing on disk")
	fl.BoolVar(&f.strict, "strict", false, "verify signatures; the access key is in DATA-DIR/credentials, profile keyturn")
	fl.BoolVar(&f.allowRemote, "allow-remote", false, "allow --listen addresses that other machines can reach")
	fl.StringArrayVar(&f.hosts, "host", nil, "a further host name to answer to (repeatable)")
	fl.StringVar(&f.enclaveRoots, "enclave-roots", "", "PEM file of the roots that attestation documents must lead to (default: that of AWS Nitro Enclaves)")
	fl.StringArrayVar(&f.regions, "region", nil, "a region to serve (repeatable; default: every AWS region); the first is that of unsigned requests")
	fl.BoolVar(&f.quotas, "quotas", false, "throttle callers as AWS KMS does, with its default request quotas")
	fl.StringVar(&f.seedFile, "seed-file", "", "YAML file of keys to make at the start, see docs/seed-file.md")
	fl.StringVar(&f.keyStores, "key-stores", "", "YAML file of tokens and proxies for custom key stores, see docs/server.md; proxies on this machine need none")
	fl.StringVar(&f.webIdentity, "web-identity", "", "YAML file of where the keys of OpenID Connect providers come from, see docs/web-identity.md; public providers need none")
	fl.StringVar(&f.readyFile, "ready-file", "", "file to write the endpoint URL to once it is served")
	return cmd
}

func runDev(cmd *cobra.Command, f devFlags) error {
	if !isLoopback(f.listen) && !f.allowRemote {
		return withHint(fmt.Errorf("--listen %s can be reached from other machines, and this server trusts everybody", f.listen),
			"listen on 127.0.0.1, or say --allow-remote if that is what you want")
	}
	if f.inMemory && f.strict {
		return usageError{errors.New("--strict needs a data directory for its access key; it does not go with --in-memory")}
	}
	regions, err := newRegions(f.regions)
	if err != nil {
		return usageError{err}
	}
	enclaves, err := attestation(enclaveConfig{Roots: f.enclaveRoots})
	if err != nil {
		return err
	}
	stores, err := devKeyStores(f.keyStores, regions)
	if err != nil {
		return err
	}
	webIdentity, err := devWebIdentity(f.webIdentity)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	hardenProcess(log)
	tuneRuntime()
	c := appConfig{
		DataDir: f.dataDir, Dev: true, Log: log, Now: time.Now,
		Guard:       wire.HostGuard{Names: f.hosts, Remote: f.allowRemote}.Check,
		KMS:         kms.Config{HasRegion: regions.has, Attestation: enclaves},
		Stores:      stores,
		WebIdentity: webIdentity,
		Regions:     regions,
		Trust:       true,
		Provider: func(created bool) (seal.Provider, error) {
			path := filepath.Join(f.dataDir, sealKeyFile)
			if _, err := os.Stat(path); created && errors.Is(err, os.ErrNotExist) {
				if err := seal.CreateKeyFile(path); err != nil {
					return nil, err
				}
			}
			return seal.OpenKeyFile(path)
		},
	}
	if f.quotas {
		if c.Quotas, err = (*quotasConfig)(nil).limiter(); err != nil {
			return err
		}
	}
	if f.inMemory {
		c.DataDir = ""
		c.Provider = func(bool) (seal.Provider, error) { return seal.NewKeyFile(make([]byte, 32)), nil } // protects nothing: memory only
	}
	if f.seedFile != "" {
		seeds, err := readSeedFile(f.seedFile, regions)
		if err != nil {
			return err
		}
		// The same for every store made from a seed file, so that ciphertexts under its keys open in all of them.
		mac := sha256.Sum256([]byte("keyturn dev seed"))
		c.FixedMAC = mac[:]
		c.Prepare = func(ctx context.Context, p *service.Pipeline, k *kms.KMS) error { return applySeeds(ctx, p, k, seeds) }
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return withHint(err, "another server may have the address: choose one with --listen")
	}
	defer l.Close()
	if f.strict {
		c.Trust = false
		c.Credentials = func() (map[string]identity.Configured, error) {
			return devCredentials(filepath.Join(f.dataDir, credentialsFile))
		}
	}
	a, err := openApp(cmd.Context(), c)
	if err != nil {
		return err
	}
	endpoint := "http://" + l.Addr().String()
	printDevBanner(cmd, f, endpoint, regions.first)
	if f.readyFile != "" {
		if err := writeFileWhole(f.readyFile, []byte(endpoint+"\n"), 0o600); err != nil {
			return errors.Join(err, a.close())
		}
	}
	return a.serve(cmd.Context(), l, wire.NewServer(a.Handler, log))
}

// devCredentials is the access key of keyturn dev --strict, the root user's of wire.DevAccount. It is made if there is none.
func devCredentials(path string) (map[string]identity.Configured, error) {
	key, err := devAccessKey(path)
	if err != nil {
		return nil, err
	}
	return map[string]identity.Configured{key.id: {Secret: key.secret, Caller: service.RootCaller(wire.DevAccount, key.id)}}, nil
}

func printDevBanner(cmd *cobra.Command, f devFlags, endpoint, region string) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "keyturn dev: a KMS for development and tests\n\nendpoint: %s\n", endpoint)
	if f.inMemory {
		fmt.Fprintln(out, "data:     in memory")
	} else {
		fmt.Fprintf(out, "data:     %s\n", f.dataDir)
	}
	fmt.Fprintf(out, "\n  export AWS_ENDPOINT_URL_KMS=%s AWS_ENDPOINT_URL_STS=%s AWS_ENDPOINT_URL_IAM=%s\n", endpoint, endpoint, endpoint)
	if f.strict {
		fmt.Fprintf(out, "  export AWS_SHARED_CREDENTIALS_FILE=%s AWS_PROFILE=%s\n", shellWord(filepath.Join(f.dataDir, credentialsFile)), devProfile)
	} else {
		fmt.Fprintln(out, "  export AWS_ACCESS_KEY_ID=keyturn AWS_SECRET_ACCESS_KEY=needs-no-secret")
	}
	fmt.Fprintf(out, "  export AWS_REGION=%s AWS_DEFAULT_REGION=%s\n\n", region, region)
}
