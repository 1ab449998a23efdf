package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/check/inside"
	"github.com/keyturn/keyturn/internal/service"
)

// checkConfig is the section check of the configuration: the server checks its own keys. Durations are written like 365d; what is left
// out is as with keyturn check.
type checkConfig struct {
	Every           string   `yaml:"every"`
	MaxAge          string   `yaml:"max_age"`
	MaxPeriod       string   `yaml:"max_period"`
	UnusedAfter     string   `yaml:"unused_after"`
	ExpiryWarning   string   `yaml:"expiry_warning"`
	MaxServices     int      `yaml:"max_services"`
	OwnerTags       []string `yaml:"owner_tags"`
	ClassTags       []string `yaml:"class_tags"`
	TrustedAccounts []string `yaml:"trusted_accounts"`
	Checks          []string `yaml:"checks"` // IDs
}

const (
	checkDir = "check" // in the data directory: what the last run found, a file an account
	// checkCalls is how many reads of a check run at once in a server: it has other things to do.
	checkCalls = 2 // for all accounts together
)

// serverChecks checks the keys of every account of a server.
type serverChecks struct {
	every    time.Duration
	settings check.Settings
	checks   []*check.Check
	accounts []string
	regions  []string

	log      *slog.Logger
	dir      string
	monitors map[string]*check.Monitor // by account; set by open, not changed after
}

// checks returns what the section asks for, nil without one.
func (c *serverConfig) checks(regions []string) (*serverChecks, error) {
	if c.Check == nil {
		return nil, nil
	}
	s := &serverChecks{settings: check.DefaultSettings(), regions: regions}
	for _, a := range c.Accounts {
		s.accounts = append(s.accounts, a.ID)
	}
	if err := c.Check.read(s); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return s, nil
}

func (c *checkConfig) read(s *serverChecks) (err error) {
	for _, d := range []struct {
		name, value string
		to          *time.Duration
	}{
		{"every", c.Every, &s.every}, {"max_age", c.MaxAge, &s.settings.MaxAge}, {"unused_after", c.UnusedAfter, &s.settings.UnusedAfter},
		{"expiry_warning", c.ExpiryWarning, &s.settings.ExpiryWarning},
	} {
		if d.value == "" {
			continue
		}
		if *d.to, err = parseDuration(d.value); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if s.every < minWatch {
		return fmt.Errorf("every is how often the keys are checked, for example 24h; it is at least %s", minWatch)
	}
	if c.MaxPeriod != "" {
		days, err := parseRotationPeriod(c.MaxPeriod)
		if err != nil {
			return fmt.Errorf("max_period: %w", err)
		}
		s.settings.MaxPeriod = int(days)
	}
	if c.MaxServices < 0 {
		return errors.New("max_services is at least 1")
	}
	if c.MaxServices > 0 {
		s.settings.MaxServices = c.MaxServices
	}
	for _, a := range c.TrustedAccounts {
		if !service.IsAccountID(a) {
			return fmt.Errorf("trusted_accounts: %q is not 12 digits (write it in quotes)", a)
		}
	}
	if len(c.OwnerTags) > 0 {
		s.settings.OwnerTags = c.OwnerTags
	}
	if len(c.ClassTags) > 0 {
		s.settings.ClassTags = c.ClassTags
	}
	s.settings.TrustedAccounts, s.settings.Checks = c.TrustedAccounts, c.Checks
	s.checks, err = s.settings.Selected()
	return err
}

// open takes up what earlier runs found.
func (s *serverChecks) open(c appConfig, p *service.Pipeline, ops []*service.Op) error {
	s.log, s.dir, s.monitors = c.Log, filepath.Join(c.DataDir, checkDir), map[string]*check.Monitor{}
	if err := os.MkdirAll(s.dir, 0o700); err != nil { // then nothing is kept, which each run says
		s.log.Error("the folder of findings cannot be made", "error", err)
	}
	limiter := check.NewLimiter(checkCalls)
	now := func(context.Context) time.Time { return p.Clock().Now() }
	for _, account := range s.accounts {
		var m *check.Monitor
		m, err := s.monitor(s.file(account), check.MonitorConfig{
			Now: now,
			Scan: func(ctx context.Context, emit func(*check.Finding) error) (check.Run, *check.Summary, error) {
				run := check.Run{Tool: "keyturn", Version: versionText(), Started: now(ctx), Account: account, Regions: s.regions}
				for _, c := range s.checks {
					run.Checks = append(run.Checks, c.ID)
				}
				scan := check.Scan{
					Source: inside.NewKeys(p, ops, account, s.regions[0]), Regions: s.regions, Settings: s.settings, Checks: s.checks, Now: now,
					Limiter: limiter,
				}
				summary, err := scan.Run(ctx, emit)
				return run, summary, err
			},
			After: func(ctx context.Context, r check.Report, changes []check.Transition, took time.Duration, err error) {
				if ctx.Err() != nil {
					return
				}
				s.log.Info("keys checked", "account", account, "keys", r.Summary.Keys, "counts", r.Summary.Counts, "changes", len(changes), "seconds", took.Seconds())
				if err = errors.Join(err, replaceOwnFile(s.file(account), m.Save)); err != nil {
					s.log.Error("the check of the keys did not end as it should", "account", account, "error", err)
				}
			},
		})
		if err != nil {
			return err
		}
		s.monitors[account] = m
	}
	return nil
}

// monitor returns the monitor of an account. What earlier runs found is worth something, and never as much as a server that starts:
// a file that cannot be read is put aside.
func (s *serverChecks) monitor(path string, c check.MonitorConfig) (*check.Monitor, error) {
	m, err := loadMonitor(path, c)
	if err == nil {
		return m, nil
	}
	s.log.Error("what earlier checks found cannot be read and is put aside", "file", path, "error", err)
	if err := os.Rename(path, path+".damaged"); err != nil {
		s.log.Error("the file of findings cannot be put aside", "file", path, "error", err)
	}
	return check.NewMonitor(c, nil)
}

func (s *serverChecks) file(account string) string { return filepath.Join(s.dir, account+".json") }

// report returns what the last check of an account found, nil if there was none.
func (s *serverChecks) report(account string) *check.Report {
	if m := s.monitors[account]; m != nil {
		return m.Report()
	}
	return nil
}

// run checks until ctx ends. After a restart a check begins when it would have without.
func (s *serverChecks) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, account := range s.accounts {
		m := s.monitors[account]
		first := time.Duration(0)
		if info, err := os.Stat(s.file(account)); err == nil {
			first = min(max(0, s.every-time.Since(info.ModTime())), s.every)
		}
		all.Go(func() { m.Loop(ctx, first, s.every) })
	}
	all.Wait()
}
