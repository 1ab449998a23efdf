package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/wire"
)

// dueJitter spreads rotations and deletions of keys that were made together.
const dueJitter = 15 * time.Minute

func newServerCommand() *cobra.Command {
	var config, readyFile string
	cmd := &cobra.Command{
		Use:   "server --config FILE",
		Short: "Run the server: TLS, a sealed store, signatures verified",
		Long: `Run the server as a configuration file says, see docs/server.md. It listens with TLS, verifies every signature, and lets callers do
what key policies, grants and IAM policies allow them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServer(cmd, config, readyFile, false) },
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file (YAML)")
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write the endpoint URL to once it is served")
	return cmd
}

// runServer runs keyturn server; with proxyOnly, keyturn xks-proxy.
func runServer(cmd *cobra.Command, path, readyFile string, proxyOnly bool) error {
	if path == "" {
		return usageError{errors.New("--config is missing")}
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	regions, err := newRegions(c.Regions)
	if err != nil {
		return err
	}
	creds, err := c.credentials()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	extend, err := c.proxyHandler(regions.has, proxyOnly)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	stores, err := c.KeyStores.resolve()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	webIdentity, err := c.WebIdentity.resolve()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	checks, err := c.checks(regions.names)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	destruction, err := c.Destruction.resolve()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	quotas, err := c.Quotas.limiter()
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
	hardenProcess(log)
	tuneRuntime()
	enclaves, err := attestation(c.Enclaves)
	if err != nil {
		return err
	}
	scheme := "http://"
	var certs *certificates
	if c.TLS != nil {
		if certs, err = newCertificates(c.TLS, log, time.Now); err != nil {
			return err
		}
		scheme = "https://"
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	defer l.Close()
	a, err := openApp(cmd.Context(), appConfig{
		DataDir: c.DataDir, Provider: c.provider, Previous: c.previous(), Migrate: migrateTo(path, c.DataDir), Management: c.ManagementAccount,
		Log: log, Now: time.Now,
		KMS:         kms.Config{MaxJitter: dueJitter, HasRegion: regions.has, Attestation: enclaves},
		Stores:      stores,
		WebIdentity: webIdentity,
		Regions:     regions,
		Checks:      checks,
		Quotas:      quotas,
		Destruction: destruction,
		Credentials: func() (map[string]identity.Configured, error) { return creds, nil },
		Extend:      extend,
	})
	if err != nil {
		return err
	}
	srv := wire.NewServer(a.Handler, log)
	if certs != nil {
		// Key exchange is Go's default, which prefers X25519MLKEM768.
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
	}
	endpoint := scheme + l.Addr().String()
	log.Info("serving", "endpoint", endpoint, "regions", c.Regions)
	if readyFile != "" {
		if err := writeFileWhole(readyFile, []byte(endpoint+"\n"), 0o600); err != nil {
			return errors.Join(err, a.close())
		}
	}
	return a.serve(cmd.Context(), l, srv)
}

// certificates serves the certificate in two files and reads them again when they change. A pair that cannot be read leaves the
// old one in use.
type certificates struct {
	files tlsConfig
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	checked time.Time
	stamp   [2]fileStamp
}

type fileStamp struct {
	modified time.Time
	size     int64
}

const certificateCheck = time.Second

func newCertificates(files *tlsConfig, log *slog.Logger, now func() time.Time) (*certificates, error) {
	c := &certificates{files: *files, log: log, now: now}
	stamp, err := c.stat()
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	c.current, c.stamp, c.checked = &pair, stamp, now()
	return c, nil
}

func (c *certificates) stat() (stamp [2]fileStamp, err error) {
	for i, path := range []string{c.files.Certificate, c.files.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return stamp, err
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamp, nil
}

// get is a tls.Config.GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		c.reload()
	}
	return c.current, nil
}

func (c *certificates) reload() {
	stamp, err := c.stat()
	if err == nil && stamp == c.stamp {
		return
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	}
	if err != nil {
		// Both files are rarely replaced in one instant: try again at the next handshake after the next check.
		c.log.Warn("the new certificate cannot be read; the old one stays in use", "error", err)
		return
	}
	c.current, c.stamp = &pair, stamp
	c.log.Info("certificate reloaded")
}
