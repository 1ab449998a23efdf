package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keystores"
	"github.com/keyturn/keyturn/internal/nitro"
	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/throttle"
)

// sections are what a configuration comes to, with the files that it names; without the seal, which is asked for once the store is open.
type sections struct {
	log          *slog.Logger
	regions      regions
	credentials  map[string]identity.Configured
	proxy        func(*appParts) (http.Handler, error)
	stores       *keystores.Config
	webIdentity  *discovery.Config
	checks       *serverChecks
	destruction  operator.Destruction
	quotas       *throttle.Limiter
	clock        clock.Limits
	enclaves     *nitro.Verifier
	certificates *certificates // nil: plain HTTP
	metricsToken string
	collector    *collector // nil: nothing is traced
}

// resolve reads every section, and returns all that a server refuses to start with: keyturn server and keyturn doctor both ask here, so that
// they agree. The log goes to w.
func (c *serverConfig) resolve(w io.Writer, proxyOnly bool) (*sections, error) {
	s := new(sections)
	var errs []error
	try := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	level, err := c.Log.level()
	try(err)
	s.log = slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	if s.regions, err = newRegions(c.Regions); err != nil {
		return nil, err // others depend on it
	}
	s.credentials, err = c.credentials()
	try(err)
	s.proxy, err = c.proxyHandler(s.regions.has, proxyOnly)
	try(err)
	s.stores, err = c.KeyStores.resolve()
	try(err)
	s.webIdentity, err = c.WebIdentity.resolve()
	try(err)
	s.checks, err = c.checks(s.regions.names)
	try(err)
	s.destruction, err = c.Destruction.resolve()
	try(err)
	s.quotas, err = c.Quotas.limiter()
	try(err)
	s.clock, err = c.Clock.limits()
	try(err)
	s.enclaves, err = attestation(c.Enclaves)
	try(err)
	if c.TLS != nil {
		s.certificates, err = newCertificates(c.TLS, s.log, time.Now)
		try(err)
	}
	if c.Metrics != nil {
		if s.metricsToken, err = bearerToken(c.Metrics.Token); err != nil {
			try(fmt.Errorf("metrics.%w", err))
		}
	}
	if c.Tracing != nil {
		if s.collector, err = c.Tracing.resolve(); err != nil {
			try(fmt.Errorf("tracing: %w", err))
		}
	}
	return s, errors.Join(errs...)
}

// refusals are the errors of resolve, one by one.
func refusals(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
