package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/keyturn/keyturn/internal/check"
)

// watchFlags are the flags of keyturn check --watch.
type watchFlags struct {
	every         string
	listen        string
	tokenFile     string
	state         string
	webhook       string
	webhookSecret string
	allowPrivate  []string
	readyFile     string
}

const (
	minWatch     = time.Minute
	watchAddress = "127.0.0.1:9599"
)

func (f *watchFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.every, "watch", "", "keep checking, once every `DURATION` (1m or more)")
	fs.StringVar(&f.listen, "listen", watchAddress, "with --watch: where /metrics, /findings and /healthz are served; empty for nowhere")
	fs.StringVar(&f.tokenFile, "token-file", "", "with --watch: `FILE` with the bearer token that callers have to show; needed where other machines reach --listen")
	fs.StringVar(&f.state, "state", "", "with --watch: `FILE` that remembers findings over restarts")
	fs.StringVar(&f.webhook, "webhook", "", "with --watch: https `URL` that changes are posted to")
	fs.StringVar(&f.webhookSecret, "webhook-secret-file", "", "with --webhook: `FILE` with the secret that signs what is posted")
	fs.StringSliceVar(&f.allowPrivate, "webhook-allow-private", nil, "with --webhook: address range that it may be in although it is not public (`CIDR`, repeatable)")
	fs.StringVar(&f.readyFile, "ready-file", "", "with --watch: `FILE` to write the URL to once it is served")
}

// together checks which flags go with which.
func (f *watchFlags) together(c *checkFlags) error {
	if f.every == "" {
		for name, set := range map[string]bool{
			"token-file": f.tokenFile != "", "state": f.state != "", "webhook": f.webhook != "", "ready-file": f.readyFile != "", "listen": f.listen != watchAddress,
		} {
			if set {
				return usagef("--%s goes with --watch", name)
			}
		}
		return nil
	}
	every, err := parseDuration(f.every)
	switch {
	case err != nil:
		return usagef("--watch: %w", err)
	case every < minWatch:
		return usagef("--watch: it is at least %s", minWatch)
	case c.fix, c.output != "", c.writeBaseline != "":
		return usagef("--watch goes with neither --fix, --output nor --write-baseline")
	case f.webhook == "" && (f.webhookSecret != "" || len(f.allowPrivate) > 0):
		return usagef("--webhook-secret-file and --webhook-allow-private go with --webhook")
	case f.listen != "" && !isLoopback(f.listen) && f.tokenFile == "":
		return withHint(usagef("--listen %s can be reached from other machines, and findings tell an attacker where to go", f.listen),
			"make callers show a token: --token-file")
	}
	return nil
}

// watch checks until it is interrupted.
func (c *checker) watch() error {
	f := &c.flags.watch
	every, err := parseDuration(f.every)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(c.cmd.ErrOrStderr(), nil))
	hook, err := f.newWebhook(log)
	if err != nil {
		return err
	}
	metrics := newCheckMetrics()
	var monitor *check.Monitor
	monitor, err = loadMonitor(f.state, check.MonitorConfig{
		Now: c.target.now,
		Scan: func(ctx context.Context, emit func(*check.Finding) error) (check.Run, *check.Summary, error) {
			run := c.target.run(c.options)
			s, err := c.scan(c.options.checks).Run(ctx, emit)
			return run, s, err
		},
		After: func(ctx context.Context, r check.Report, changes []check.Transition, took time.Duration, err error) {
			if ctx.Err() != nil {
				return
			}
			metrics.ran(r, took, err)
			log.Info("checked", "keys", r.Summary.Keys, "counts", r.Summary.Counts, "changes", len(changes), "seconds", took.Seconds())
			for _, e := range r.Summary.Errors {
				log.Warn("not everything could be read", "region", e.Region, "call", e.Call, "code", e.Code, "detail", e.Detail)
			}
			hook.post(ctx, r, changes, metrics)
			monitor.SetUndelivered(hook.undelivered()) // saved with the rest: what the webhook has not taken outlives this process
			if f.state != "" {
				if err := replaceFile(f.state, 0o600, monitor.Save); err != nil {
					log.Error("the state could not be written", "file", f.state, "error", err)
				}
			}
		},
	})
	if err != nil {
		return err
	}
	if r := monitor.Report(); r != nil && hook != nil {
		hook.waiting = r.Undelivered
	}
	ctx, cancel := context.WithCancel(c.cmd.Context())
	defer cancel()
	served := make(chan error, 1)
	if f.listen != "" {
		l, err := net.Listen("tcp", f.listen)
		if err != nil {
			return err
		}
		token, err := readToken(f.tokenFile)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		endpoint := "http://" + l.Addr().String()
		log.Info("serving", "endpoint", endpoint)
		go func() {
			served <- serveFindings(ctx, l, monitor, metrics, token)
			cancel()
		}()
		if f.readyFile != "" {
			if err := writeFileWhole(f.readyFile, []byte(endpoint+"\n"), 0o600); err != nil {
				return err
			}
		}
	} else {
		close(served)
	}
	monitor.Loop(ctx, 0, every)
	cancel()
	return <-served
}

func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := readSecret(path, 64<<10)
	if err != nil {
		return "", fmt.Errorf("reading --token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 {
		return "", errors.New("--token-file: the token is shorter than 16 characters")
	}
	return token, nil
}

// loadMonitor returns the monitor that goes on where the file was written, or a new one.
func loadMonitor(path string, m check.MonitorConfig) (*check.Monitor, error) {
	if path == "" {
		return check.NewMonitor(m, nil)
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return check.NewMonitor(m, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	defer file.Close()
	monitor, err := check.NewMonitor(m, file)
	if err != nil {
		return nil, withHint(fmt.Errorf("state %s: %w", path, err), "move the file away to begin anew")
	}
	return monitor, nil
}
