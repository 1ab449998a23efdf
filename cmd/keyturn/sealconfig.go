package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskmsapi "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/logging"
	"go.yaml.in/yaml/v4"

	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/awskms"
	"github.com/keyturn/keyturn/internal/seal/shamir"
	"github.com/keyturn/keyturn/internal/unseal"
)

// sealConfig says what seals the root key. With previous, a store that is still sealed by that is migrated at the start.
type sealConfig struct {
	sealProvider `yaml:",inline"`
	Previous     *sealProvider `yaml:"previous"`
}

// sealProvider is exactly one of these. See docs/sealing.md.
type sealProvider struct {
	KeyFile    string            `yaml:"key_file"`
	Passphrase *passphraseConfig `yaml:"passphrase"`
	Shamir     *shamirConfig     `yaml:"shamir"`
	KMS        *kmsSealConfig    `yaml:"kms"`
}

// passphraseConfig is where a passphrase comes from: a secretRef, or a person.
type passphraseConfig struct {
	File   string `yaml:"file"`
	Env    string `yaml:"env"`
	Prompt bool   `yaml:"prompt"`
}

// UnmarshalYAML refuses a passphrase that stands there itself, as secretRef does.
func (p *passphraseConfig) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.AliasNode {
		return fmt.Errorf("line %d: a passphrase is {file: FILE}, {env: NAME} or {prompt: true}, never the passphrase itself", n.Line)
	}
	type plain passphraseConfig
	return n.Load((*plain)(p), yaml.WithKnownFields())
}

// shamirConfig says into how many shares keyturn init splits the key, and how many open the store. A store that is there has its own numbers.
type shamirConfig struct {
	Shares    int `yaml:"shares"`
	Threshold int `yaml:"threshold"`
}

// kmsSealConfig is a key of another key management service.
type kmsSealConfig struct {
	KeyID    string `yaml:"key_id"`   // ID, ARN or alias
	Region   string `yaml:"region"`   // what calls are signed for
	Endpoint string `yaml:"endpoint"` // URL; without, AWS's own or that of the AWS environment
	CAFile   string `yaml:"ca_file"`  // authorities in place of the system's, PEM
	// An access key, or a profile of the AWS configuration files; without, the SDK's default chain.
	AccessKeyID     string        `yaml:"access_key_id"`
	SecretAccessKey *secretRef    `yaml:"secret_access_key"`
	Profile         string        `yaml:"profile"`
	Timeout         configSeconds `yaml:"timeout"` // of one call with its retries
}

// configSeconds is a time as the configuration has it, 1s to 5m.
type configSeconds time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *configSeconds) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Second || d > 5*time.Minute {
		return errors.New("timeout is a time from 1s to 5m, like 20s")
	}
	*s = configSeconds(d)
	return nil
}

// relative makes paths relative to a folder.
func (s *sealProvider) relative(dir string) {
	s.KeyFile = relativeTo(dir, s.KeyFile)
	if s.Passphrase != nil {
		s.Passphrase.File = relativeTo(dir, s.Passphrase.File)
	}
	if s.KMS != nil {
		s.KMS.CAFile = relativeTo(dir, s.KMS.CAFile)
		if s.KMS.SecretAccessKey != nil {
			s.KMS.SecretAccessKey.File = relativeTo(dir, s.KMS.SecretAccessKey.File)
		}
	}
}

// check refuses what cannot seal a store in dataDir by a server that listens on listen. name is where it stands.
func (s *sealProvider) check(name, dataDir, listen string) error {
	n := 0
	for _, there := range []bool{s.KeyFile != "", s.Passphrase != nil, s.Shamir != nil, s.KMS != nil} {
		if there {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%s needs exactly one of key_file, passphrase, shamir and kms", name)
	}
	files := map[string]string{"key_file": s.KeyFile}
	switch {
	case s.Passphrase != nil:
		p := s.Passphrase
		if p.Prompt && (p.File != "" || p.Env != "") {
			return fmt.Errorf("%s.passphrase: prompt goes with neither file nor env", name)
		}
		files["passphrase.file"] = p.File
	case s.Shamir != nil:
		if _, err := shamir.New(s.Shamir.Shares, s.Shamir.Threshold); err != nil {
			return fmt.Errorf("%s.shamir: %w, for example {shares: 5, threshold: 3}", name, err)
		}
	case s.KMS != nil:
		if err := s.KMS.check(listen); err != nil {
			return fmt.Errorf("%s.kms: %w", name, err)
		}
		if s.KMS.SecretAccessKey != nil {
			files["kms.secret_access_key.file"] = s.KMS.SecretAccessKey.File
		}
	}
	for key, file := range files {
		if file != "" && !strings.HasPrefix(file, probe.CredentialPrefix) && within(dataDir, file) {
			return fmt.Errorf("%s.%s must not be in data_dir: whoever gets one would have both", name, key)
		}
	}
	return nil
}

func (k *kmsSealConfig) check(listen string) error {
	switch {
	case k.KeyID == "" || len(k.KeyID) > 2048:
		return errors.New("key_id is missing: the ID, ARN or alias of a symmetric encryption key")
	case k.Region == "":
		return errors.New("region is missing")
	case (k.AccessKeyID == "") != (k.SecretAccessKey == nil):
		return errors.New("access_key_id and secret_access_key go together")
	case k.AccessKeyID != "" && k.Profile != "":
		return errors.New("profile does not go with access_key_id")
	}
	if k.Endpoint == "" {
		return nil
	}
	if err := checkEndpoint(k.Endpoint, false); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	if ownEndpoint(k.Endpoint, listen) {
		return fmt.Errorf("endpoint is this server's own: %w", awskms.ErrOwnSeal)
	}
	return nil
}

// ownEndpoint tells whether a URL leads to what listens on an address of this machine, as far as can be told without looking up names. What it
// cannot see, awskms.ProcessHeader shows.
func ownEndpoint(endpoint, listen string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host, listenPort, err := net.SplitHostPort(listen)
	if err != nil || port != listenPort || port == "0" {
		return false
	}
	if strings.EqualFold(host, u.Hostname()) {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if strings.EqualFold(u.Hostname(), "localhost") {
		ip, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err != nil {
		return false
	}
	if on, err := netip.ParseAddr(host); host != "" && (err != nil || !on.IsUnspecified()) {
		return err == nil && on.Unmap() == ip.Unmap() || isLoopback(listen) && ip.IsLoopback()
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip.Unmap() {
			return true
		}
	}
	return false
}

// provider makes the KMS's. It asks nobody yet. process is awskms.Config.Process.
func (k *kmsSealConfig) provider(ctx context.Context, process string) (seal.Provider, error) {
	options := []func(*config.LoadOptions) error{config.WithRegion(k.Region), config.WithLogger(logging.Nop{})}
	switch {
	case k.AccessKeyID != "":
		secret, err := k.SecretAccessKey.read()
		if err != nil {
			return nil, fmt.Errorf("kms.secret_access_key: %w", err)
		}
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(k.AccessKeyID, secret, "")))
	case k.Profile != "":
		options = append(options, config.WithSharedConfigProfile(k.Profile))
	}
	if k.CAFile != "" {
		pem, err := readBounded(k.CAFile, maxConfigBytes)
		if err != nil {
			return nil, fmt.Errorf("kms.ca_file: %w", err)
		}
		options = append(options, config.WithCustomCABundle(bytes.NewReader(pem)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("kms: the AWS configuration cannot be used: %w", err)
	}
	endpoint := k.Endpoint
	if endpoint == "" {
		if found := awskmsapi.NewFromConfig(cfg).Options().BaseEndpoint; found != nil {
			if endpoint = *found; checkEndpoint(endpoint, false) != nil {
				return nil, errors.New("kms: the endpoint of the AWS environment is not an https URL")
			}
		}
	}
	return awskms.New(awskms.Config{KeyID: k.KeyID, Endpoint: endpoint, AWS: cfg, Process: process, Timeout: time.Duration(k.Timeout)}), nil
}

// newProcessID is what this process calls itself towards a KMS.
func newProcessID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

var errNeedsPeople = withHint(errors.New("the store is new, and only keyturn init can seal it with what people keep"), "run keyturn init with the same configuration")

// open returns the provider. A seal.Attended one has been given nothing. process is awskms.Config.Process.
func (s *sealProvider) open(ctx context.Context, name string, created bool, process string) (p seal.Provider, err error) {
	switch {
	case strings.HasPrefix(s.KeyFile, probe.CredentialPrefix):
		return nil, withHint(fmt.Errorf("%w: %s: this process was given no credentials", seal.ErrNoKey, s.KeyFile),
			"only the service manager has it: run the command with systemd-run, as docs/deploying.md says, while the service does not run")
	case s.KeyFile != "":
		return seal.OpenKeyFile(s.KeyFile)
	case s.KMS != nil:
		if p, err = s.KMS.provider(ctx, process); err != nil {
			return nil, fmt.Errorf("%s.%w", name, err)
		}
		return p, nil
	case created && (s.Shamir != nil || s.Passphrase.Prompt):
		return nil, errNeedsPeople
	case s.Shamir != nil:
		return shamir.New(s.Shamir.Shares, s.Shamir.Threshold)
	case s.Passphrase.Prompt:
		return seal.NewTypedPassphrase(), nil
	}
	passphrase, err := secretRef{File: s.Passphrase.File, Env: s.Passphrase.Env}.read()
	if err != nil {
		return nil, fmt.Errorf("%s.passphrase: %w", name, err)
	}
	return seal.NewPassphrase(passphrase)
}

// ask is open for a command that a person runs: what people have is asked for, on the terminal or from standard input.
func (s *sealProvider) ask(name string, created bool) (seal.Provider, error) {
	p, err := s.open(context.Background(), name, created, "")
	if a, ok := p.(seal.Attended); ok && err == nil {
		return &asking{a}, nil
	}
	return p, err
}

// provider returns the seal provider that is configured, for a command that a person runs.
func (c *serverConfig) provider(created bool) (seal.Provider, error) {
	return c.Seal.ask("seal", created)
}

// gated returns it for a server: the gate waits for what it needs.
func (c *serverConfig) gated(ctx context.Context, gate *unseal.Gate, created bool) (seal.Provider, error) {
	p, err := c.Seal.open(ctx, "seal", created, gate.Process)
	if errors.Is(err, seal.ErrNoKey) && c.Seal.Previous != nil && !created {
		err = withHint(err, "seal.previous seals the store until it is moved: keyturn seal migrate --config FILE makes the new key file, and moves it")
	}
	if err != nil {
		return nil, err
	}
	return gate.Provider(p), nil
}

// previous returns the one before, for a server; nil if there is none.
func (c *serverConfig) previous(ctx context.Context, gate *unseal.Gate) func() (seal.Provider, error) {
	if c.Seal.Previous == nil {
		return nil
	}
	return func() (seal.Provider, error) {
		p, err := c.Seal.Previous.open(ctx, "seal.previous", false, gate.Process)
		if err != nil {
			return nil, err
		}
		return gate.Provider(p), nil
	}
}
