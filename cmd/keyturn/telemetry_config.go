package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/egress"
)

// metricsConfig is the section metrics of the configuration: /metrics on a listener of its own.
type metricsConfig struct {
	Listen string     `yaml:"listen"`
	Token  *secretRef `yaml:"token"` // a bearer token; needed where other machines can reach the listener
}

// debugConfig is the section debug: the Go runtime's profiles, on loopback only.
type debugConfig struct {
	Listen string `yaml:"listen"`
}

// logConfig is the section log.
type logConfig struct {
	Level    string `yaml:"level"`    // debug, info, warn or error; info
	Requests bool   `yaml:"requests"` // a line for each request, at level info
}

// tracingConfig is the section tracing: OpenTelemetry traces by OTLP over HTTP.
type tracingConfig struct {
	Endpoint    string     `yaml:"endpoint"`
	SampleRatio float64    `yaml:"sample_ratio"`
	Token       *secretRef `yaml:"token"`   // a bearer token for the collector
	CAFile      string     `yaml:"ca_file"` // authorities in place of the system's
	// AcceptTraceparent lets callers decide whether their requests are traced, and under which trace.
	AcceptTraceparent bool `yaml:"accept_traceparent"`
}

const (
	minToken    = 16 // characters of a bearer token
	defaultOTLP = "/v1/traces"
)

// watchRelative makes the paths of these sections relative to the configuration's folder.
func (c *serverConfig) watchRelative(dir string) {
	if c.Metrics != nil && c.Metrics.Token != nil {
		c.Metrics.Token.File = relativeTo(dir, c.Metrics.Token.File)
	}
	if c.Tracing != nil {
		c.Tracing.CAFile = relativeTo(dir, c.Tracing.CAFile)
		if c.Tracing.Token != nil {
			c.Tracing.Token.File = relativeTo(dir, c.Tracing.Token.File)
		}
	}
}

// checkWatch checks these sections, as far as it takes no files.
func (c *serverConfig) checkWatch() error {
	if m := c.Metrics; m != nil {
		switch {
		case !hostPort(m.Listen):
			return fmt.Errorf("metrics.listen %q is not HOST:PORT, for example 127.0.0.1:9464", m.Listen)
		case !isLoopback(m.Listen) && c.TLS == nil:
			return withHint(fmt.Errorf("metrics.listen %s can be reached from other machines, and there is no tls", m.Listen), "listen on 127.0.0.1, or configure tls")
		case !isLoopback(m.Listen) && m.Token == nil:
			return withHint(fmt.Errorf("metrics.listen %s can be reached from other machines, so metrics.token is needed", m.Listen),
				"listen on 127.0.0.1, or give Prometheus a token: metrics.token: {file: FILE}, and authorization.credentials_file in its configuration")
		}
	}
	if d := c.Debug; d != nil && (!hostPort(d.Listen) || !isLoopback(d.Listen)) {
		return withHint(fmt.Errorf("debug.listen %q is not a loopback address with a port", d.Listen),
			"profiles tell what the server does, so they are served on this machine only: listen on 127.0.0.1:6060, and come by ssh -L 6060:127.0.0.1:6060")
	}
	if err := c.checkListeners(); err != nil {
		return err
	}
	if _, err := c.Log.level(); err != nil {
		return err
	}
	if c.Tracing != nil {
		if _, err := c.Tracing.url(); err != nil {
			return fmt.Errorf("tracing: %w", err)
		}
		if r := c.Tracing.SampleRatio; !(r > 0 && r <= 1) { // nor NaN
			return errors.New("tracing.sample_ratio is the part of the requests that is traced, above 0 and at most 1, for example 0.01")
		}
	}
	return nil
}

// checkListeners refuses two listeners on one address.
func (c *serverConfig) checkListeners() error {
	names, addresses := []string{"listen"}, []string{c.Listen}
	if c.Metrics != nil {
		names, addresses = append(names, "metrics.listen"), append(addresses, c.Metrics.Listen)
	}
	if c.Debug != nil {
		names, addresses = append(names, "debug.listen"), append(addresses, c.Debug.Listen)
	}
	for i := range names {
		for j := range i {
			if collide(addresses[i], addresses[j]) {
				return withHint(fmt.Errorf("%s %s and %s %s are one address", names[i], addresses[i], names[j], addresses[j]), "give "+names[i]+" a port of its own")
			}
		}
	}
	return nil
}

// collide tells whether two addresses cannot be listened on at once, without looking up names.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	return strings.EqualFold(hostA, hostB) || everywhere(hostA) || everywhere(hostB)
}

func hostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

// level returns the level that is configured. A nil section is the default.
func (c *logConfig) level() (slog.Level, error) {
	if c == nil || c.Level == "" {
		return slog.LevelInfo, nil
	}
	level, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Level]
	switch {
	case !ok:
		return 0, fmt.Errorf("log.level %q is none of debug, info, warn, error", c.Level)
	case c.Requests && level > slog.LevelInfo:
		return 0, fmt.Errorf("log.requests writes lines of level info, which log.level %s leaves out: take one of the two away", c.Level)
	}
	return level, nil
}

// url returns where spans are sent.
func (c *tracingConfig) url() (string, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("endpoint is the URL of an OTLP/HTTP collector, for example https://collector.example.com:4318; without a user, a query or a fragment")
	case u.Scheme == "http" && isLoopback(net.JoinHostPort(u.Hostname(), "0")), u.Scheme == "https":
	default:
		return "", errors.New("endpoint must begin with https://; http:// is for a collector on this machine only")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = defaultOTLP
	}
	return u.String(), nil
}

// collectorNetworks are where a collector may be beside public addresses: the operator names it, and no caller can. Link-local addresses,
// where clouds keep their metadata, stay out.
var collectorNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// client returns what speaks to the collector.
func (c *tracingConfig) client() (*http.Client, error) {
	if strings.HasPrefix(c.Endpoint, "http:") { // on loopback
		return &http.Client{
			Transport:     &http.Transport{Proxy: nil, MaxConnsPerHost: 2, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: egress.DefaultTimeout},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       egress.DefaultTimeout,
		}, nil
	}
	cfg := egress.Config{AllowPrivate: collectorNetworks, MaxConns: 2}
	if c.CAFile != "" {
		pem, err := readBounded(c.CAFile, maxConfigBytes)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.Roots = x509.NewCertPool()
		if !cfg.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s has no certificate in PEM", c.CAFile)
		}
	}
	return egress.New(cfg)
}

// collector is where spans go.
type collector struct {
	url, token string
	client     *http.Client
}

// resolve reads what the section names.
func (c *tracingConfig) resolve() (to *collector, err error) {
	to = new(collector)
	if to.token, err = bearerToken(c.Token); err != nil {
		return nil, err
	}
	if to.url, err = c.url(); err != nil {
		return nil, err
	}
	to.client, err = c.client()
	return to, err
}

// bearerToken returns a bearer token; "" for a nil reference.
func bearerToken(r *secretRef) (string, error) {
	if r == nil {
		return "", nil
	}
	token, err := r.read()
	switch {
	case err != nil:
		return "", fmt.Errorf("token: %w", err)
	case len(token) < minToken || len(token) > 4096:
		return "", fmt.Errorf("token: it has %d characters; take %d to 4096, for example of: openssl rand -hex 32", len(token), minToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("token: it has characters that cannot stand in a header; take printable ASCII without spaces")
	}
	return token, nil
}
