package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/keystores"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

// keyStoresConfig says what custom key stores may keep their keys in: key_stores of the configuration file, and the file that
// keyturn dev takes with --key-stores. Paths are relative to the file.
type keyStoresConfig struct {
	Clusters []clusterConfig `yaml:"clusters"`
	External *externalConfig `yaml:"external"`
}

type clusterConfig struct {
	ID          string            `yaml:"id"`      // cluster-...
	Account     string            `yaml:"account"` // whose custom key stores may use it
	Region      string            `yaml:"region"`
	Module      string            `yaml:"module"`       // the vendor's PKCS #11 library
	Token       string            `yaml:"token"`        // label or serial number
	TrustAnchor string            `yaml:"trust_anchor"` // PEM file; without it, any certificate is taken
	User        string            `yaml:"user"`         // put before the password, with a colon
	Helper      string            `yaml:"helper"`       // keyturn-pkcs11; without it, the one beside keyturn or in PATH
	Env         map[string]string `yaml:"env"`          // of the helper, for the module
}

type externalConfig struct {
	PrivateNetworks []string          `yaml:"private_networks"`
	CAFile          string            `yaml:"ca_file"` // PEM; without it, the system's authorities
	Ports           map[string]uint16 `yaml:"ports"`   // by host name
	Timeout         string            `yaml:"timeout"`
	Services        []serviceConfig   `yaml:"vpc_endpoint_services"`
}

type serviceConfig struct {
	Name           string   `yaml:"name"`
	Account        string   `yaml:"account"`
	PrivateDNSName string   `yaml:"private_dns_name"`
	Networks       []string `yaml:"networks"`
}

const helperName = "keyturn-pkcs11"

var (
	clusterID   = regexp.MustCompile(`^cluster-[2-7a-zA-Z]{11,16}$`)
	serviceName = regexp.MustCompile(`^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`)
	hostName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

// relative makes the paths relative to a folder.
func (c *keyStoresConfig) relative(dir string) {
	for i := range c.Clusters {
		cl := &c.Clusters[i]
		cl.Module, cl.TrustAnchor, cl.Helper = relativeTo(dir, cl.Module), relativeTo(dir, cl.TrustAnchor), relativeTo(dir, cl.Helper)
	}
	if c.External != nil {
		c.External.CAFile = relativeTo(dir, c.External.CAFile)
	}
}

// resolve checks the configuration and reads the files that it names. A nil configuration is nil: there are no custom key stores.
func (c *keyStoresConfig) resolve() (*keystores.Config, error) {
	if c == nil {
		return nil, nil
	}
	out := &keystores.Config{Now: time.Now}
	for i := range c.Clusters {
		cluster, err := c.Clusters[i].resolve()
		if err != nil {
			return nil, fmt.Errorf("key_stores.clusters, entry %d: %w", i+1, err)
		}
		out.Clusters = append(out.Clusters, *cluster)
	}
	if c.External != nil {
		var err error
		if out.Proxies, err = c.External.resolve(); err != nil {
			return nil, fmt.Errorf("key_stores.external: %w", err)
		}
	}
	return out, nil
}

func (c *clusterConfig) resolve() (*keystores.Cluster, error) {
	switch {
	case !clusterID.MatchString(c.ID):
		return nil, errors.New(`id must be "cluster-" and 11 to 16 letters or digits 2-7`)
	case !service.IsAccountID(c.Account):
		return nil, errors.New("account must be the 12 digits of the account whose custom key stores may use the cluster")
	case c.Region == "":
		return nil, errors.New("region is missing")
	case c.Module == "" || c.Token == "":
		return nil, errors.New("module and token are missing: the path of the PKCS #11 library, and the token's label or serial number")
	case strings.Contains(c.User, ":"):
		return nil, errors.New("user must not have a colon")
	}
	out := &keystores.Cluster{ID: c.ID, Account: c.Account, Region: c.Region, User: c.User, HSM: hsm.Config{Module: c.Module, Token: c.Token}}
	var err error
	if out.HSM.Helper, err = findHelper(c.Helper); err != nil {
		return nil, err
	}
	for _, path := range []string{c.Module, out.HSM.Helper} { // both are run
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if openToAll(info, 0o002) {
			return nil, fmt.Errorf("%s can be written by everybody (mode %v); take that away", path, info.Mode().Perm())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(c.Env[name], "\x00") {
			return nil, fmt.Errorf("env has the name or value of no variable: %q", name)
		}
		out.HSM.Env = append(out.HSM.Env, name+"="+c.Env[name])
	}
	if c.TrustAnchor != "" {
		text, err := readBounded(c.TrustAnchor, maxConfigBytes)
		if err != nil {
			return nil, err
		}
		if b, _ := pem.Decode(text); b == nil || b.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("trust_anchor %s is no certificate in PEM", c.TrustAnchor)
		}
		out.TrustAnchor = string(text)
	}
	return out, nil
}

// findHelper returns the path of keyturn-pkcs11.
func findHelper(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), helperName)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(helperName)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside keyturn nor in PATH; say where it is with helper", helperName)
	}
	return path, nil
}

func (c *externalConfig) resolve() (*keystores.Proxies, error) {
	out := &keystores.Proxies{Ports: make(map[string]uint16, len(c.Ports))}
	var err error
	if out.PrivateNetworks, err = prefixes(c.PrivateNetworks); err != nil {
		return nil, fmt.Errorf("private_networks: %w", err)
	}
	if c.CAFile != "" {
		text, err := readBounded(c.CAFile, maxConfigBytes)
		if err != nil {
			return nil, err
		}
		out.Roots = x509.NewCertPool()
		if !out.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file %s has no certificate in PEM", c.CAFile)
		}
	}
	for host, port := range c.Ports {
		if !hostName.MatchString(host) || port == 0 {
			return nil, fmt.Errorf("ports: %q must be a host name in lower case, with a port from 1 to 65535", host)
		}
		out.Ports[host] = port
	}
	if c.Timeout != "" {
		out.Timeout, err = time.ParseDuration(c.Timeout)
		// Two attempts must fit in the time that a custom key store has to connect.
		if err != nil || out.Timeout < 10*time.Millisecond || out.Timeout > 5*time.Second {
			return nil, errors.New("timeout must be 10ms to 5s, for example 250ms")
		}
	}
	for i, s := range c.Services {
		v := keystores.Service{Name: s.Name, Account: s.Account, PrivateDNSName: s.PrivateDNSName}
		if v.Networks, err = prefixes(s.Networks); err != nil {
			return nil, fmt.Errorf("vpc_endpoint_services, entry %d: networks: %w", i+1, err)
		}
		switch {
		case !serviceName.MatchString(s.Name):
			return nil, fmt.Errorf("vpc_endpoint_services, entry %d: name must be com.amazonaws.vpce.REGION.vpce-svc-ID", i+1)
		case !service.IsAccountID(s.Account):
			return nil, fmt.Errorf("vpc_endpoint_services, entry %d: account must be the 12 digits of the account whose custom key stores may use it", i+1)
		case !hostName.MatchString(s.PrivateDNSName):
			return nil, fmt.Errorf("vpc_endpoint_services, entry %d: private_dns_name must be a host name in lower case", i+1)
		}
		out.Services = append(out.Services, v)
	}
	return out, nil
}

func prefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s has bits set beyond its length", s)
		}
		out = append(out, p)
	}
	return out, nil
}

// devKeyStores is what keyturn dev has: what the file says, if there is one, for its own account and region unless that says otherwise,
// and proxies on this machine.
func devKeyStores(path string, regions regions) (*keystores.Config, error) {
	var c keyStoresConfig
	if path != "" {
		data, err := readBounded(path, maxConfigBytes)
		if err != nil {
			return nil, fmt.Errorf("reading the custom key stores: %w", err)
		}
		if err := decodeYAML(data, &c); err != nil {
			return nil, fmt.Errorf("custom key stores %s: %w", path, err)
		}
		c.relative(filepath.Dir(path))
	}
	for i := range c.Clusters {
		if c.Clusters[i].Account == "" {
			c.Clusters[i].Account = wire.DevAccount
		}
		if c.Clusters[i].Region == "" {
			c.Clusters[i].Region = regions.first
		}
	}
	if c.External == nil {
		c.External = new(externalConfig)
	}
	loopback := []string{"127.0.0.0/8", "::1/128"}
	c.External.PrivateNetworks = append(c.External.PrivateNetworks, loopback...)
	for i := range c.External.Services {
		s := &c.External.Services[i]
		s.Networks = append(s.Networks, loopback...)
		if s.Account == "" {
			s.Account = wire.DevAccount
		}
	}
	out, err := c.resolve()
	if err != nil {
		return nil, fmt.Errorf("custom key stores %s: %w", path, err)
	}
	return out, nil
}

// openKeyStores opens what custom key stores keep their keys in.
func (a *app) openKeyStores(c keystores.Config, log *slog.Logger) (*keystores.Stores, error) {
	c.Log = log
	for i := range c.Clusters {
		c.Clusters[i].HSM.Log = log
	}
	s, err := keystores.New(c)
	if err == nil {
		a.closers = append(a.closers, s.Close)
	}
	return s, err
}
