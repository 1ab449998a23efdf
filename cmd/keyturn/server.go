package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/unseal"
	"github.com/keyturn/keyturn/internal/wire"
)

// dueJitter spreads rotations and deletions of keys that were made together.
const dueJitter = 15 * time.Minute

func newServerCommand() *cobra.Command {
	var config, readyFile string
	var newAuditLog bool
	cmd := &cobra.Command{
		Use:   "server --config FILE",
		Short: "Run the server: TLS, a sealed store, signatures verified",
		Long: `Run the server as a configuration file says, see docs/server.md. It listens with TLS, verifies every signature, and lets callers do
what key policies, grants and IAM policies allow them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd, config, readyFile, false, newAuditLog)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file (YAML)")
	cmd.Flags().BoolVar(&newAuditLog, "new-audit-log", false, "begin another audit log, because the one that belongs to the store is lost; the new log says so")
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write the endpoint URL to once it is served, or waits to be unsealed")
	return cmd
}

// runServer runs keyturn server; with proxyOnly, keyturn xks-proxy.
func runServer(cmd *cobra.Command, path, readyFile string, proxyOnly, newAuditLog bool) error {
	if path == "" {
		return usageError{errors.New("--config is missing")}
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	resolved, err := c.resolve(cmd.ErrOrStderr(), proxyOnly)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, refusals(err)[0]) // keyturn doctor lists them all
	}
	log, regions, certs := resolved.log, resolved.regions, resolved.certificates
	hardenProcess(log)
	tuneRuntime()
	scheme := "http://"
	if certs != nil {
		scheme = "https://"
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return listenError(err)
	}
	defer l.Close()
	watch, err := c.watch(cmd.Context(), resolved)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	defer watch.close()
	gate := unseal.New(unseal.Config{Log: log, Now: time.Now, Process: newProcessID()})
	srv := wire.NewServer(gate, log)
	if certs != nil {
		// Key exchange is Go's default, which prefers X25519MLKEM768.
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
	}
	endpoint := scheme + l.Addr().String()
	return serveGated(cmd.Context(), l, srv, gate, appConfig{
		DataDir: c.DataDir, Log: log, Now: time.Now,
		Provider: func(created bool) (seal.Provider, error) { return c.gated(cmd.Context(), gate, created) },
		Previous: c.previous(cmd.Context(), gate), Migrate: migrateTo(path, c.DataDir, gate.Process), Management: c.ManagementAccount,
		Security:    gate.SetSecurity,
		KMS:         kms.Config{MaxJitter: dueJitter, HasRegion: regions.has, Attestation: resolved.enclaves},
		Stores:      resolved.stores,
		WebIdentity: resolved.webIdentity,
		Regions:     regions,
		Checks:      resolved.checks,
		Quotas:      resolved.quotas,
		Destruction: resolved.destruction,
		NewAuditLog: newAuditLog,
		Believed:    resolved.clock,
		Credentials: func() (map[string]identity.Configured, error) { return resolved.credentials, nil },
		Extend:      resolved.proxy,
		Watch:       watch,
	}, func() error {
		watch.announce()
		if readyFile != "" {
			if err := writeFileWhole(readyFile, []byte(endpoint+"\n"), 0o600); err != nil {
				return err
			}
		}
		announce(cmd.Context(), log)
		return nil
	}, func() { log.Info("serving", "endpoint", endpoint, "regions", c.Regions) })
}

// listenError adds to what keeps a server from its address what to do about it.
func listenError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return withHint(err, "another server has the address, perhaps this one that runs already: stop it, or choose another as listen in the configuration")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "choose a port above 1023 as listen in the configuration, or allow the lower ones (CAP_NET_BIND_SERVICE)")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return withHint(err, "this machine has no such address: choose another as listen in the configuration")
	}
	return err
}

// serveGated serves the gate at once, and everything else from when the store is open. listens is called when the server can be used, or waits to be
// unsealed; open when it can be used.
func serveGated(ctx context.Context, l net.Listener, srv *http.Server, gate *unseal.Gate, c appConfig, listens func() error, open func()) error {
	serving := listenOn(ctx, l, srv)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		app *app
		err error
	}
	opened := make(chan result, 1)
	go func() {
		a, err := openApp(ctx, c)
		opened <- result{a, err}
	}()
	// fail ends what there is. The store is being opened, and that is waited for.
	fail := func(err error) error {
		cancel()
		if r := <-opened; r.app != nil {
			err = errors.Join(err, r.app.close())
		}
		return errors.Join(err, serving.wait(ctx, c.Log))
	}
	waiting := gate.Waiting()
	for {
		select {
		case r := <-opened:
			if r.err != nil {
				stopped := ctx.Err() != nil && errors.Is(r.err, context.Canceled)
				cancel()
				log := c.Log
				if !stopped { // nothing was served: the error is all there is to say
					log = slog.New(slog.DiscardHandler)
				}
				err := serving.wait(ctx, log)
				if stopped { // it was asked to stop while it was sealed
					return err
				}
				return errors.Join(r.err, err)
			}
			gate.Open(r.app.Handler)
			open()
			if waiting != nil {
				if err := listens(); err != nil {
					cancel()
					return errors.Join(err, r.app.run(ctx, serving))
				}
			}
			return r.app.run(ctx, serving)
		case <-waiting:
			waiting = nil
			if c.Watch != nil {
				c.Watch.sealed.Store(true)
			}
			if err := listens(); err != nil {
				return fail(err)
			}
		case err := <-serving.ended:
			serving.ended <- err // for wait
			return fail(nil)
		}
	}
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
	pair, err := files.load()
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	c.current, c.stamp, c.checked = &pair, stamp, now()
	return c, nil
}

// load reads certificate and key.
func (f *tlsConfig) load() (tls.Certificate, error) {
	chain, err := readBounded(f.Certificate, maxRootsBytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readBounded(f.Key, maxConfigBytes)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
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
		pair, err = c.files.load()
	}
	if err != nil {
		// Both files are rarely replaced in one instant: try again at the next handshake after the next check.
		c.log.Warn("the new certificate cannot be read; the old one stays in use", "error", err)
		return
	}
	c.current, c.stamp = &pair, stamp
	c.log.Info("certificate reloaded")
}
