package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 5 * time.Second
	maxHealth     = 4 << 10 // bytes of an answer
)

func newHealthcheckCommand() *cobra.Command {
	var config string
	var ready bool
	cmd := &cobra.Command{
		Use:   "healthcheck --config FILE",
		Short: "Ask the server on this machine whether it is well, as a container's health check does",
		Long: `Ask the server that runs on this machine with a configuration file whether it answers; with --ready also whether it can do its work. It is for
containers, in which there is nothing else to ask with. The server's certificate is not looked at: one that is being renewed does not make it unwell.

Exit status: 0 it is well, 1 it is not.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usageError{errors.New("--config is missing")}
			}
			c, err := loadConfig(config)
			if err != nil {
				return err
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			return askHealth(cmd.Context(), c, path)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(flagError)
	cmd.Flags().StringVar(&config, "config", "", "configuration `FILE` of the server")
	cmd.Flags().BoolVar(&ready, "ready", false, "also whether it is ready: a server that waits to be unsealed, or whose disk is full, is not")
	return cmd
}

// askHealth asks the server of a configuration, on this machine.
func askHealth(ctx context.Context, c *serverConfig, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	transport := &http.Transport{DisableKeepAlives: true}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
		// Whoever listens there on this machine is asked, learns nothing, and is believed that it is well. The certificate in the file need not be the
		// one that is shown: while it is renewed, the server goes on with the one before.
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return withHint(fmt.Errorf("the server does not answer: %w", err), "is it running, with this configuration?")
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", path, resp.Status, printable(strings.TrimSpace(string(body))))
	}
	return nil
}
