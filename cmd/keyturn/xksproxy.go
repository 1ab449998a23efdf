package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/ekm"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sigv4"
	"github.com/keyturn/keyturn/internal/xks"
)

func newXKSProxyCommand() *cobra.Command {
	var config, readyFile string
	cmd := &cobra.Command{
		Use:   "xks-proxy --config FILE",
		Short: "Serve keys as the external keys of AWS KMS (hold your own key)",
		Long: `Serve the AWS External Key Store Proxy API over keys of this server, so that AWS KMS, or another keyturn, can use them
as external keys. The configuration file is that of 'keyturn server', with the section xks_proxy; see docs/server.md.

This command serves nothing else. 'keyturn server' with the same file serves both APIs.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd, config, readyFile, true, false)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file (YAML)")
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write the endpoint URL to once it is served")
	return cmd
}

// xksProxyConfig is the section xks_proxy of the configuration.
type xksProxyConfig struct {
	URIPath     string                `yaml:"uri_path"`    // ends in /kms/xks/v1
	AWSRegions  []string              `yaml:"aws_regions"` // whose KMS may ask
	Credentials []xksCredentialConfig `yaml:"credentials"`
}

// xksCredentialConfig is a credential that another KMS signs with, and what it may use.
type xksCredentialConfig struct {
	AccessKeyID string    `yaml:"access_key_id"`
	Secret      secretRef `yaml:"secret"`
	Account     string    `yaml:"account"` // whose keys
	Region      string    `yaml:"region"`  // where they are
	Keys        []string  `yaml:"keys"`    // their IDs
}

// lookup checks the section and returns its credentials.
func (c *xksProxyConfig) lookup(hasRegion func(string) bool) (map[string]sigv4.Credential, error) {
	if err := xks.CheckURIPath(c.URIPath); err != nil {
		return nil, fmt.Errorf("uri_path %q must be /kms/xks/v1, with a prefix or without", c.URIPath)
	}
	if len(c.AWSRegions) == 0 {
		return nil, errors.New("aws_regions is missing: the regions whose KMS may use the proxy, for example [us-east-1]")
	}
	creds := make(map[string]sigv4.Credential)
	for _, k := range c.Credentials {
		secret, err := k.Secret.read()
		if err != nil {
			return nil, fmt.Errorf("credential %q: %w", k.AccessKeyID, err)
		}
		if err := xks.CheckCredential(k.AccessKeyID, secret); err != nil {
			return nil, fmt.Errorf("credential %q: the access key ID must be 20 to 30 of A-Z and 2-7, the secret 43 to 64 of letters, digits and /+=", k.AccessKeyID)
		}
		if _, dup := creds[k.AccessKeyID]; dup {
			return nil, fmt.Errorf("credential %s is there twice", k.AccessKeyID)
		}
		if !service.IsAccountID(k.Account) || !hasRegion(k.Region) {
			return nil, fmt.Errorf("credential %s needs account, 12 digits in quotes, and region, one of this server's", k.AccessKeyID)
		}
		for _, id := range k.Keys {
			if _, ok := keys.ParseKeyID(id); !ok {
				return nil, fmt.Errorf("credential %s: %q is no key ID", k.AccessKeyID, id)
			}
		}
		identity, err := k.identity()
		if err != nil {
			return nil, fmt.Errorf("credential %s: %w", k.AccessKeyID, err)
		}
		caller := service.NewCaller(service.Caller{
			Account: k.Account, ARN: "arn:aws:iam::" + k.Account + ":user/xks-proxy/" + k.AccessKeyID, Type: "IAMUser",
			PrincipalID: "AIDA" + k.AccessKeyID, UserName: k.AccessKeyID, AccessKeyID: k.AccessKeyID, Identity: identity,
		})
		creds[k.AccessKeyID] = sigv4.Credential{
			SecretAccessKey: secret, Subject: &ekm.Subject{Caller: caller.In(k.Region), Region: k.Region, Keys: slices.Clone(k.Keys)},
		}
	}
	if len(creds) == 0 {
		return nil, errors.New("credentials is missing, so nobody could use the proxy")
	}
	return creds, nil
}

// identity is what the configuration permits the credential, as an IAM policy. The key policy has to open the key to those, as it does by
// default.
func (k *xksCredentialConfig) identity() (*authz.Identity, error) {
	p := &policy.Policy{Version: policy.Version2012, Statements: []policy.Statement{{
		Effect: policy.Allow, Actions: []string{"kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"},
	}}}
	for _, id := range k.Keys {
		p.Statements[0].Resources = append(p.Statements[0].Resources, record.KeyARN(record.Owner{Account: k.Account, Region: k.Region}, id))
	}
	p, err := policy.Parse(p.AppendJSON(nil))
	if err != nil {
		return nil, err
	}
	return &authz.Identity{Policies: []authz.Named{{Name: "xks_proxy", Compiled: policy.Compile(p)}}}, nil
}

// proxyHandler returns what adds the proxy to a server's handler; only: it takes the other API's place.
func (c *serverConfig) proxyHandler(hasRegion func(string) bool, only bool) (func(*appParts) (http.Handler, error), error) {
	if c.XKSProxy == nil {
		if only {
			return nil, errors.New("the configuration has no xks_proxy")
		}
		return nil, nil
	}
	creds, err := c.XKSProxy.lookup(hasRegion)
	if err != nil {
		return nil, fmt.Errorf("xks_proxy: %w", err)
	}
	prefix := c.XKSProxy.URIPath
	return func(a *appParts) (http.Handler, error) {
		proxy, err := xks.NewHandler(xks.Config{
			Backend: ekm.New(a.Pipeline, a.KMS, versionText()), Prefix: prefix, Regions: c.XKSProxy.AWSRegions, Now: time.Now,
			Lookup: func(_ context.Context, id, _ string) (sigv4.Credential, error) {
				cred, ok := creds[id]
				if !ok {
					return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
				}
				return cred, nil
			},
			Log: a.Log,
			Refused: func(r *http.Request, reason string) {
				host, _, _ := net.SplitHostPort(r.RemoteAddr)
				ip, _ := netip.ParseAddr(host)
				a.Security.Report(audit.Failure{RemoteIP: ip, Reason: "xks-proxy: " + reason, UserAgent: r.UserAgent()})
			},
			NoDecryptCheck: true, // the same process sealed it
		})
		if err != nil {
			return nil, err
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			health := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
			// A wrong prefix is the proxy's to refuse.
			if !health && (only || strings.Contains(r.URL.EscapedPath(), "/kms/xks/v1")) {
				proxy.ServeHTTP(w, r)
				return
			}
			a.API.ServeHTTP(w, r)
		}), nil
	}, nil
}

// appParts is what a handler beside the API's needs of an app.
type appParts struct {
	API      http.Handler
	Pipeline *service.Pipeline
	KMS      *kms.KMS
	Security *audit.SecurityLog
	Log      *slog.Logger
}

// versionText is the version of this program.
func versionText() string {
	info, _ := debug.ReadBuildInfo()
	return readVersion(info).Version
}
