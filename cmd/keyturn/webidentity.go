package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sts"
)

// webIdentityConfig says where the keys of OpenID Connect providers come from: web_identity of the configuration file, and the file that
// keyturn dev takes with --web-identity. Paths are relative to the file. Which providers an account trusts is no matter of it: accounts say
// that with IAM.
type webIdentityConfig struct {
	Issuers      []issuerConfig `yaml:"issuers"`
	AllowPrivate []string       `yaml:"allow_private"` // networks that providers may be in although they are not public
	CAFile       string         `yaml:"ca_file"`       // PEM; authorities beside the system's
}

// issuerConfig is a provider that is not asked for its keys.
type issuerConfig struct {
	Issuer   string `yaml:"issuer"` // as tokens have it
	KeysFile string `yaml:"keys_file"`
}

// relative makes the paths relative to a folder.
func (c *webIdentityConfig) relative(dir string) {
	c.CAFile = relativeTo(dir, c.CAFile)
	for i := range c.Issuers {
		c.Issuers[i].KeysFile = relativeTo(dir, c.Issuers[i].KeysFile)
	}
}

// resolve checks the configuration and reads the files that it names. Without any, providers at public addresses are asked for their keys.
func (c *webIdentityConfig) resolve() (*discovery.Config, error) {
	out := &discovery.Config{Static: make(map[string]oidc.KeySet)}
	if c == nil {
		return out, nil
	}
	for i, issuer := range c.Issuers {
		if _, twice := out.Static[issuer.Issuer]; twice {
			return nil, fmt.Errorf("web_identity.issuers: %s is there twice", issuer.Issuer)
		}
		keys, err := issuer.resolve()
		if err != nil {
			return nil, fmt.Errorf("web_identity.issuers, entry %d: %w", i+1, err)
		}
		out.Static[issuer.Issuer] = keys
	}
	var err error
	if out.AllowPrivate, err = prefixes(c.AllowPrivate); err != nil {
		return nil, fmt.Errorf("web_identity.allow_private: %w", err)
	}
	if c.CAFile != "" {
		if out.Roots, err = besideSystem(c.CAFile); err != nil {
			return nil, fmt.Errorf("web_identity.ca_file: %w", err)
		}
	}
	return out, nil
}

func (c *issuerConfig) resolve() (oidc.KeySet, error) {
	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(c.Issuer, "?#") {
		return nil, fmt.Errorf("issuer %q must be an https URL without a query, just as tokens have it in iss", c.Issuer)
	}
	if c.KeysFile == "" {
		return nil, errors.New("keys_file is missing: a JSON Web Key Set. Issuers that can be asked for their keys need no entry")
	}
	text, err := readBounded(c.KeysFile, oidc.MaxKeySet)
	if err != nil {
		return nil, err
	}
	keys, err := oidc.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("keys_file %s: %w", c.KeysFile, err)
	}
	return keys, nil
}

// besideSystem are the system's certificate authorities and those in a file.
func besideSystem(path string) (*x509.CertPool, error) {
	text, err := readBounded(path, maxConfigBytes)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return roots, nil
}

// devWebIdentity is what keyturn dev has: what the file says, if there is one. A file that names authorities of its own lets providers on
// this machine be asked, too.
func devWebIdentity(path string) (*discovery.Config, error) {
	if path == "" {
		return (*webIdentityConfig)(nil).resolve()
	}
	data, err := readBounded(path, maxConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the web identity configuration: %w", err)
	}
	var c webIdentityConfig
	if err := decodeYAML(data, &c); err != nil {
		return nil, fmt.Errorf("web identity configuration %s: %w", path, err)
	}
	c.relative(filepath.Dir(path))
	if c.CAFile != "" {
		c.AllowPrivate = append(c.AllowPrivate, "127.0.0.0/8", "::1/128")
	}
	out, err := c.resolve()
	if err != nil {
		return nil, fmt.Errorf("web identity configuration %s: %w", path, err)
	}
	return out, nil
}

// openWebIdentity returns how the callers of unsigned requests are found out. A nil configuration is an empty one.
func (a *app) openWebIdentity(c appConfig, records identity.Records) (func(context.Context, api.Request) (*service.Caller, string, error), error) {
	var config discovery.Config
	if c.WebIdentity != nil {
		config = *c.WebIdentity
	}
	config.Now, config.Log = c.Now, a.log // real time, as sessions have it, wherever the service's own has been turned
	keys, err := discovery.New(config)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, keys.Close)
	w := &sts.WebIdentities{
		Records: records, Keys: keys, Region: c.Regions.ofPartition, RealTime: c.Now,
		Retry: func(err error) bool { return errors.Is(err, discovery.ErrUnreachable) },
	}
	return w.Bearer, nil
}

// ofPartition is the region of calls to STS that name none: the first, or if that is of another partition, the first of this by name; "" for none.
func (r regions) ofPartition(partition string) string {
	if !r.inHome(partition) {
		return ""
	}
	i := slices.IndexFunc(append([]string{r.first}, r.names...), func(name string) bool { return record.Partition(name) == partition })
	switch {
	case i < 0:
		return ""
	case i == 0:
		return r.first
	}
	return r.names[i-1]
}
