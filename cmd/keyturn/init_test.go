package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/seal"
)

// initFiles writes a configuration without accounts into a folder.
func initFiles(t *testing.T, lines string) (config string) {
	t.Helper()
	config = filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(config, []byte("listen: 127.0.0.1:0\nplain_http: true\ndata_dir: data\nregions: [us-east-1]\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

const keyFileSeal = "seal: {key_file: seal.key}\n"

// runInitCommand runs keyturn init and returns the access key that it printed.
func runInitCommand(t *testing.T, args ...string) (identity.Credentials, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newRootCommand()
	cmd.SetArgs(append([]string{"init", "-o", "json"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(testWriter{t})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		if out.Len() > 0 {
			t.Errorf("it failed and printed %s", out.String())
		}
		return identity.Credentials{}, err
	}
	var made madeKey
	if err := json.Unmarshal(out.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	return identity.Credentials{AccessKeyID: made.AccessKeyID, SecretAccessKey: made.SecretAccessKey}, nil
}

// usable runs the server and signs a call.
func usable(t *testing.T, config string, who identity.Credentials) {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
	if _, err := kmsOf(waitEndpoint(t, ready), who).CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
		t.Errorf("a call signed with the new key: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestInitAfterACrash begins with all that an init which was killed can have left.
func TestInitAfterACrash(t *testing.T) {
	sealed := func(t *testing.T, config string) { // everything but the commit of the account
		c, err := loadConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		a, err := openApp(t.Context(), appConfig{
			DataDir: c.DataDir, Provider: c.makeSeal, Log: slog.New(slog.DiscardHandler), Now: time.Now, Regions: regionsOf(t, c.Regions), Init: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(t *testing.T, config string){
		"nothing": func(*testing.T, string) {},
		"the key file": func(t *testing.T, config string) {
			if err := seal.CreateKeyFile(filepath.Join(filepath.Dir(config), "seal.key")); err != nil {
				t.Fatal(err)
			}
		},
		"a store without anything, made by a server that did not start": func(t *testing.T, config string) {
			if err := runToEnd(t, "server", "--config", config); !errors.Is(err, errNoAccessKey) {
				t.Fatal(err)
			}
		},
		"a sealed store": sealed,
		"a sealed store that a server did not start on": func(t *testing.T, config string) {
			sealed(t, config)
			if err := runToEnd(t, "server", "--config", config); !errors.Is(err, errNoAccessKey) {
				t.Fatal(err)
			}
		},
		"a sealed store for which there is no other key": func(t *testing.T, config string) {
			sealed(t, config)
			if _, err := runInitCommand(t, "--config", config, "--new-root-key"); !errors.Is(err, errNotInitialized) {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := initFiles(t, keyFileSeal)
			prepare(t, config)
			key, err := runInitCommand(t, "--config", config)
			if err != nil {
				t.Fatal(err)
			}
			usable(t, config, key)
			if _, err := runInitCommand(t, "--config", config); err == nil || !strings.Contains(err.Error(), "has been initialized") {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// TestInitRefuses shows what init does not do, and that nothing is there afterwards that was not there before.
func TestInitRefuses(t *testing.T) {
	key := func(mode os.FileMode) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "seal.key")
			if err := errors.Join(seal.CreateKeyFile(path), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, seal string
		prepare    func(t *testing.T, dir string)
		want       string
		posix      bool
	}{
		{"key file in the data directory", "seal: {key_file: data/seal.key}\n", nil, "must not be in data_dir", false},
		{"key file that others can read", keyFileSeal, key(0o644), "can be read by others", true},
		{"no folder for the key file", "seal: {key_file: nowhere/seal.key}\n", nil, "the folder of seal.key_file", false},
		{"key file where everybody can write", "seal: {key_file: open/seal.key}\n", func(t *testing.T, dir string) {
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "open"), 0o700), os.Chmod(filepath.Join(dir, "open"), 0o777)); err != nil {
				t.Fatal(err)
			}
		}, "can be written by everybody", true},
		{"something else at its place", keyFileSeal, func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "seal.key"), []byte("notes"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not a keyturn key file", false},
		{"no passphrase", "seal: {passphrase: {env: KEYTURN_TEST_NO_PASSPHRASE}}\n", nil, "the environment variable KEYTURN_TEST_NO_PASSPHRASE is not set", false},
		{"a store that is gone", keyFileSeal, func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "data", "audit"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "data", "audit", "audit-00000000000000000001.jsonl"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "has an audit log but its store", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.posix && runtime.GOOS == "windows" {
				t.Skip("no permission bits")
			}
			config := initFiles(t, c.seal)
			dir := filepath.Dir(config)
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			before, _ := os.ReadFile(filepath.Join(dir, "seal.key"))
			_, err := runInitCommand(t, "--config", config, "--credentials-file", filepath.Join(dir, "credentials"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "credentials")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the credentials file is there: %v", err)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, "seal.key")); !bytes.Equal(before, after) {
				t.Error("the key file is another")
			}
		})
	}
}

// TestInitPassphrase needs no key file.
func TestInitPassphrase(t *testing.T) {
	t.Setenv("KEYTURN_TEST_PASSPHRASE", "correct horse battery staple")
	config := initFiles(t, "seal: {passphrase: {env: KEYTURN_TEST_PASSPHRASE}}\n")
	key, err := runInitCommand(t, "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	usable(t, config, key)
}

// TestInitLostKeyFile: a store's key file that is missing is not made anew, which would not open it.
func TestInitLostKeyFile(t *testing.T) {
	config := initFiles(t, keyFileSeal)
	if _, err := runInitCommand(t, "--config", config); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(config), "seal.key")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--config", config}, {"--config", config, "--new-root-key"}} {
		if _, err := runInitCommand(t, args...); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestInitBesideConfigured: the configured accounts stay, and one of them can manage the others.
func TestInitBesideConfigured(t *testing.T) {
	for _, account := range []string{"", "111122223333"} {
		t.Run(account, func(t *testing.T) {
			config := serverFiles(t, func(yaml string) string {
				return strings.ReplaceAll(yaml, "tls: {certificate: cert.pem, key: key.pem}", "plain_http: true")
			})
			args := []string{"--config", config}
			if account != "" {
				args = append(args, "--account", account)
			}
			key, err := runInitCommand(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := identity.AccountOf(key.AccessKeyID); account != "" && got != account || got == "" {
				t.Errorf("the key is of account %q", got)
			}
			ready := filepath.Join(t.TempDir(), "ready")
			runCommand(t, "server", "--config", config, "--ready-file", ready)
			url := waitEndpoint(t, ready)
			for name, who := range map[string]identity.Credentials{
				"new": key, "configured": {AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
			} {
				c := kmsOf(url, who)
				if _, err := c.CreateKey(context.Background(), &awskms.CreateKeyInput{}, func(o *awskms.Options) { o.Region = "eu-central-1" }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestConfiguredAgain: what IAM has made cannot stand in the configuration as well, for then two would answer to one name.
func TestConfiguredAgain(t *testing.T) {
	config := serverFiles(t, replace("tls: {certificate: cert.pem, key: key.pem}", "plain_http: true"))
	if err := runToEnd(t, "seal", "generate", filepath.Join(filepath.Dir(config), "seal.key")); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
	url := waitEndpoint(t, ready)
	iam := awsiam.New(awsiam.Options{
		BaseEndpoint: &url, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""),
	})
	if _, err := iam.CreateUser(t.Context(), &awsiam.CreateUserInput{UserName: aws.String("Bob")}); err != nil {
		t.Fatal(err)
	}
	made, err := iam.CreateAccessKey(t.Context(), &awsiam.CreateAccessKeyInput{UserName: aws.String("Bob")})
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want string }{
		{"{id: AKIABOBBOBBOBBOBBOB2, secret: {file: secret}, user: bob}", "has an IAM user named bob already"},
		{"{id: " + *made.AccessKey.AccessKeyId + ", secret: {file: secret}, user: carol}", "was made by IAM"},
	} {
		if err := os.WriteFile(config, append(bytes.Clone(before), "      - "+c.line+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := runToEnd(t, "server", "--config", config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.line, err, c.want)
		}
	}
}

// TestServerDocs does what docs/server.md begins with.
func TestServerDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	i := slices.IndexFunc(blocks, func(b []string) bool { return strings.HasPrefix(b[1], "accounts:") })
	if i < 1 {
		t.Fatal("the configuration, and then that of accounts, are not there")
	}
	for name, yaml := range map[string]string{"without accounts": blocks[0][1], "with accounts": blocks[0][1] + blocks[i][1]} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeCertificate(t, dir, "server")
			for from, to := range map[string]string{
				"/etc/keyturn/": dir + "/", "/var/lib/keyturn": dir + "/data", "0.0.0.0:8443": "127.0.0.1:0", "tls.crt": "cert.pem", "tls.key": "key.pem",
			} {
				yaml = strings.ReplaceAll(yaml, from, to)
			}
			for name, text := range map[string]string{"keyturn.yaml": yaml, "root.secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "alice.json": alicePolicy} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("ALICE_SECRET", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")
			config := filepath.Join(dir, "keyturn.yaml")
			if _, err := runInitCommand(t, "--config", config); err != nil {
				t.Fatal(err)
			}
			ready := filepath.Join(dir, "ready")
			stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
			waitEndpoint(t, ready)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestForgedKey: what a service answers for an access key could be lines of its own, for a credentials file or a terminal.
func TestForgedKey(t *testing.T) {
	const id, secret = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	for _, k := range []*api.RootAccessKey{
		nil, {}, {AccessKeyId: api.Some(id)}, {SecretAccessKey: api.Some(secret)},
		{AccessKeyId: api.Some(id + "\ncredential_process = sh"), SecretAccessKey: api.Some(secret)},
		{AccessKeyId: api.Some(id), SecretAccessKey: api.Some(secret + "\n[other]")}, {AccessKeyId: api.Some(id), SecretAccessKey: api.Some("$(sh)")},
	} {
		if key, err := newRootKey("111122223333", k); err == nil {
			t.Errorf("%+v was taken for %v", k, key)
		}
	}
	key, err := newRootKey("111122223333", &api.RootAccessKey{AccessKeyId: api.Some(id), SecretAccessKey: api.Some(secret)})
	if err != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", key, key, key), secret) {
		t.Errorf("%v, %v", key, err)
	}
}
