package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// serverConfig is the configuration file of keyturn server. Unknown keys are errors. Paths are relative to the file, or credential:NAME.
type serverConfig struct {
	Listen    string          `yaml:"listen"`
	DataDir   string          `yaml:"data_dir"`
	TLS       *tlsConfig      `yaml:"tls"`
	PlainHTTP bool            `yaml:"plain_http"` // on loopback only
	Regions   []string        `yaml:"regions"`
	Seal      sealConfig      `yaml:"seal"`
	Accounts  []accountConfig `yaml:"accounts"`
	// ManagementAccount manages the others where no keyturn init has said which does.
	ManagementAccount string             `yaml:"management_account"`
	Enclaves          enclaveConfig      `yaml:"enclaves"`
	XKSProxy          *xksProxyConfig    `yaml:"xks_proxy"`
	KeyStores         *keyStoresConfig   `yaml:"key_stores"`
	WebIdentity       *webIdentityConfig `yaml:"web_identity"`
	Check             *checkConfig       `yaml:"check"`
	Quotas            *quotasConfig      `yaml:"quotas"`
	Destruction       destructionConfig  `yaml:"destruction"`
	Metrics           *metricsConfig     `yaml:"metrics"`
	Debug             *debugConfig       `yaml:"debug"`
	Log               *logConfig         `yaml:"log"`
	Tracing           *tracingConfig     `yaml:"tracing"`
	Clock             *clockConfig       `yaml:"clock"`
}

type tlsConfig struct {
	Certificate string `yaml:"certificate"` // PEM, the chain with the leaf first
	Key         string `yaml:"key"`
}

// secretRef says where a secret is; the configuration itself never holds one.
type secretRef struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// UnmarshalYAML refuses a secret that stands there itself before an error can repeat it.
func (r *secretRef) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.AliasNode {
		return fmt.Errorf("line %d: a secret is {file: FILE} or {env: NAME}, never the secret itself", n.Line)
	}
	type plain secretRef
	return n.Load((*plain)(r), yaml.WithKnownFields())
}

type accountConfig struct {
	ID         string            `yaml:"id"`
	AccessKeys []accessKeyConfig `yaml:"access_keys"`
}

type accessKeyConfig struct {
	ID     string    `yaml:"id"`
	Secret secretRef `yaml:"secret"`
	User   string    `yaml:"user"` // empty for the root user
	// Policies are files with the user's IAM policies; Boundary is one with its permissions boundary. The root user has neither.
	Policies []string `yaml:"policies"`
	Boundary string   `yaml:"boundary"`
}

const maxConfigBytes = 1 << 20

// loadConfig reads and checks a configuration file.
func loadConfig(path string) (*serverConfig, error) {
	data, err := readBounded(path, maxConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var c serverConfig
	if err := decodeYAML(data, &c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	dir := filepath.Dir(path)
	for _, p := range []*string{&c.DataDir, &c.Enclaves.Roots} {
		*p = relativeTo(dir, *p)
	}
	c.Seal.relative(dir)
	if c.Seal.Previous != nil {
		c.Seal.Previous.relative(dir)
	}
	if c.TLS != nil {
		c.TLS.Certificate, c.TLS.Key = relativeTo(dir, c.TLS.Certificate), relativeTo(dir, c.TLS.Key)
	}
	if c.XKSProxy != nil {
		for i := range c.XKSProxy.Credentials {
			secret := &c.XKSProxy.Credentials[i].Secret
			secret.File = relativeTo(dir, secret.File)
		}
	}
	if c.KeyStores != nil {
		c.KeyStores.relative(dir)
	}
	if c.WebIdentity != nil {
		c.WebIdentity.relative(dir)
	}
	c.watchRelative(dir)
	for i := range c.Accounts {
		for j := range c.Accounts[i].AccessKeys {
			key := &c.Accounts[i].AccessKeys[j]
			key.Secret.File, key.Boundary = relativeTo(dir, key.Secret.File), relativeTo(dir, key.Boundary)
			for n := range key.Policies {
				key.Policies[n] = relativeTo(dir, key.Policies[n])
			}
		}
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return &c, nil
}

// decodeYAML reads exactly one document, with no key that v does not have.
func decodeYAML(data []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the file is empty")
		}
		return err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// readBounded reads a file of at most limit bytes. It may be a pipe that somebody writes into, such as a shell makes, but does not wait for one.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	if err == nil && len(data) == 0 {
		if info, statErr := f.Stat(); statErr == nil && info.Mode()&fs.ModeNamedPipe != 0 {
			err = fmt.Errorf("%s is a pipe that nobody writes into, and no file", path)
		}
	}
	return data, err
}

// readSecret reads a file that nobody but its owner and group may read.
func readSecret(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if openToAll(info, 0o007) {
		return nil, fmt.Errorf("%s can be read or written by everybody (mode %v); take that away", path, info.Mode().Perm())
	}
	return readBounded(path, limit)
}

// relativeTo returns a path of a configuration that is in dir. A credential of the service manager is in the folder that it made for this process;
// if it made none, the name stays as it is, which is no file.
func relativeTo(dir, path string) string {
	if name, ok := strings.CutPrefix(path, probe.CredentialPrefix); ok {
		if given := os.Getenv("CREDENTIALS_DIRECTORY"); given != "" {
			return filepath.Join(given, name)
		}
		return path
	}
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (c *serverConfig) check() error {
	_, _, listenErr := net.SplitHostPort(c.Listen)
	switch {
	case c.Listen == "":
		return errors.New("listen is missing, for example 0.0.0.0:8443")
	case listenErr != nil:
		return fmt.Errorf("listen %q is not HOST:PORT, for example 0.0.0.0:8443", c.Listen)
	case c.DataDir == "":
		return errors.New("data_dir is missing")
	case len(c.Regions) == 0:
		return errors.New("regions is missing: the list of region names that clients may use, for example [eu-central-1]")
	case c.PlainHTTP && c.TLS != nil:
		return errors.New("plain_http and tls exclude each other")
	case c.PlainHTTP && !isLoopback(c.Listen):
		return errors.New("plain_http is allowed on a loopback address only")
	case !c.PlainHTTP && (c.TLS == nil || c.TLS.Certificate == "" || c.TLS.Key == ""):
		return errors.New("tls.certificate and tls.key are missing")
	case c.ManagementAccount != "" && !service.IsAccountID(c.ManagementAccount):
		return fmt.Errorf("management_account %q is not 12 digits (write it in quotes)", c.ManagementAccount)
	}
	if err := c.Seal.check("seal", c.DataDir, c.Listen); err != nil {
		return err
	}
	if c.Seal.Previous != nil {
		if err := c.Seal.Previous.check("seal.previous", c.DataDir, c.Listen); err != nil {
			return err
		}
	}
	if c.TLS != nil {
		if info, err := os.Stat(c.TLS.Key); err == nil && openToAll(info, 0o007) {
			return fmt.Errorf("tls.key %s can be read or written by everybody (mode %v); take that away", c.TLS.Key, info.Mode().Perm())
		}
	}
	return c.checkWatch()
}

// realPath is the one name of a file, symbolic links followed as far as they exist.
func realPath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
		return filepath.Join(real, filepath.Base(p))
	}
	return p
}

// within tells whether a file is below a folder.
func within(dir, file string) bool {
	rel, err := filepath.Rel(realPath(dir), realPath(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// errUnset: the variable of a secret is empty or not set.
var errUnset = errors.New("the secret is empty")

// read returns the secret that a reference names, without a final newline.
func (r secretRef) read() (string, error) {
	var s string
	switch {
	case (r.File == "") == (r.Env == ""):
		return "", errors.New("a secret needs either file or env")
	case r.Env != "":
		if s = os.Getenv(r.Env); s == "" {
			return "", fmt.Errorf("%w: the environment variable %s is not set", errUnset, printable(r.Env))
		}
	default:
		b, err := readSecret(r.File, 64<<10)
		if err != nil {
			return "", err
		}
		s = strings.TrimRight(string(b), "\r\n")
	}
	if s == "" {
		return "", errors.New("the secret is empty")
	}
	return s, nil
}

// credentials returns the configured access keys.
func (c *serverConfig) credentials() (map[string]identity.Configured, error) {
	creds := make(map[string]identity.Configured)
	accounts := make(map[string]bool)
	users := make(map[string]struct { // by account and name
		key      accessKeyConfig // the first
		identity *authz.Identity
	})
	for _, a := range c.Accounts {
		if !service.IsAccountID(a.ID) {
			return nil, fmt.Errorf("accounts: id %q is not 12 digits (write it in quotes)", a.ID)
		}
		if accounts[a.ID] {
			return nil, fmt.Errorf("accounts: %s is there twice", a.ID)
		}
		accounts[a.ID] = true
		for _, k := range a.AccessKeys {
			if !accessKeyID(k.ID) {
				return nil, fmt.Errorf("account %s: access key ID %q must be 16 to 128 letters and digits", a.ID, k.ID)
			}
			if _, dup := creds[k.ID]; dup {
				return nil, fmt.Errorf("access key %s is there twice", k.ID)
			}
			secret, err := k.Secret.read()
			if err != nil {
				return nil, fmt.Errorf("access key %s: %w", k.ID, err)
			}
			if len(secret) < 16 {
				return nil, fmt.Errorf("access key %s: the secret is shorter than 16 characters", k.ID)
			}
			caller := service.RootCaller(a.ID, k.ID)
			if k.User != "" {
				if !userName(k.User) {
					return nil, fmt.Errorf("access key %s: %q is no user name", k.ID, k.User)
				}
				u, again := users[a.ID+"/"+k.User]
				if again && (!slices.Equal(u.key.Policies, k.Policies) || u.key.Boundary != k.Boundary) {
					return nil, fmt.Errorf("access key %s: user %s has other policies with access key %s; a user's access keys have the same", k.ID, k.User, u.key.ID)
				}
				if !again {
					if u.identity, err = k.identity(); err != nil {
						return nil, fmt.Errorf("access key %s: %w", k.ID, err)
					}
					u.key = k
					users[a.ID+"/"+k.User] = u
				}
				caller = service.NewCaller(service.Caller{
					Account: a.ID, ARN: "arn:aws:iam::" + a.ID + ":user/" + k.User, Type: "IAMUser", PrincipalID: "AIDA" + u.key.ID, UserName: k.User,
					AccessKeyID: k.ID, Identity: u.identity,
				})
			} else if len(k.Policies) > 0 || k.Boundary != "" {
				return nil, fmt.Errorf("access key %s: the root user has no policies; name a user", k.ID)
			}
			creds[k.ID] = identity.Configured{Secret: secret, Caller: caller}
		}
	}
	return creds, nil
}

// identity reads the policies of a user.
func (k *accessKeyConfig) identity() (*authz.Identity, error) {
	id := &authz.Identity{}
	for _, path := range k.Policies {
		p, err := readPolicy(path)
		if err != nil {
			return nil, err
		}
		id.Policies = append(id.Policies, *p)
	}
	if k.Boundary != "" {
		p, err := readPolicy(k.Boundary)
		if err != nil {
			return nil, err
		}
		id.Boundary = p
	}
	return id, nil
}

// readPolicy reads an identity policy, which has no Principal.
func readPolicy(path string) (*authz.Named, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	if openToAll(info, 0o002) {
		return nil, fmt.Errorf("policy %s can be written by everybody (mode %v); take that away", path, info.Mode().Perm())
	}
	text, err := readBounded(path, policy.MaxKeyPolicyBytes)
	if err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	p, err := policy.ParseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", path, err)
	}
	return &authz.Named{Name: filepath.Base(path), Compiled: policy.Compile(p)}, nil
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func accessKeyID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && madeOf(s, letters+"0123456789")
}

func userName(s string) bool {
	return s != "" && len(s) <= 64 && madeOf(s, letters+"0123456789+=,.@_-")
}

func madeOf(s, alphabet string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) < 0
}
