package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awskmsapi "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/awskms"
)

// front is an address whose server can change, or be away.
type front struct {
	*httptest.Server
	target atomic.Pointer[httputil.ReverseProxy]
}

func newFront(t *testing.T, target string) *front {
	t.Helper()
	f := new(front)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := f.target.Load(); p != nil {
			p.ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}))
	t.Cleanup(f.Close)
	f.leadTo(t, target)
	return f
}

// leadTo changes the server; "" takes it away.
func (f *front) leadTo(t *testing.T, target string) {
	t.Helper()
	if target == "" {
		f.target.Store(nil)
		return
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f.target.Store(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u) // and so the Host, which the signature covers: keyturn dev without --strict asks for none
	}})
}

// kmsSealed makes a KMS with a key, and a configuration whose seal it is.
func kmsSealed(t *testing.T) (outer *testServer, f *front, keyID, config string) {
	t.Helper()
	outer = startDev(t, "")
	f = newFront(t, outer.URL)
	k, err := kmsClient(outer.URL, "111122223333", "us-east-1").CreateKey(t.Context(), &awskmsapi.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	keyID = *k.KeyMetadata.KeyId
	t.Setenv("KEYTURN_TEST_KMS_SECRET", "secret-of-the-outer-kms")
	return outer, f, keyID, initFiles(t, kmsSeal(keyID, f.URL, "111122223333"))
}

func kmsSeal(keyID, endpoint, account string) string {
	return "seal: {kms: {key_id: " + keyID + ", region: us-east-1, endpoint: \"" + endpoint + "\", timeout: 5s, access_key_id: \"" + account +
		"\", secret_access_key: {env: KEYTURN_TEST_KMS_SECRET}}}\n"
}

func replaceIn(t *testing.T, file, old, with string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), old, with)
	if changed == string(text) {
		t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readyz(t *testing.T, endpoint string) (int, string) {
	t.Helper()
	resp, err := http.Get(endpoint + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestKMSSeal seals a store with a key of another keyturn, through the real SDK, and takes that away in several ways.
func TestKMSSeal(t *testing.T) {
	outer, f, keyID, config := kmsSealed(t)
	who, err := runInitCommand(t, "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	usable(t, config, who)

	inner := kmsClient(outer.URL, "111122223333", "us-east-1")
	for name, c := range map[string]struct{ away, back func() }{
		"it does not answer": {func() { f.leadTo(t, "") }, func() { f.leadTo(t, outer.URL) }},
		"its key is disabled": {func() {
			if _, err := inner.DisableKey(t.Context(), &awskmsapi.DisableKeyInput{KeyId: &keyID}); err != nil {
				t.Fatal(err)
			}
		}, func() {
			if _, err := inner.EnableKey(t.Context(), &awskmsapi.EnableKeyInput{KeyId: &keyID}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.away()
			ready := filepath.Join(t.TempDir(), "ready")
			stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
			endpoint := waitEndpoint(t, ready)
			if status, text := readyz(t, endpoint); status != 503 || text != "not ready: sealed: waiting for the KMS that holds its key\n" {
				t.Errorf("%d %q", status, text)
			}
			if _, err := kmsOf(endpoint, who).ListKeys(t.Context(), &awskmsapi.ListKeysInput{}); apiCode(err) != "ServiceUnavailableException" || !retry.NewStandard().IsErrorRetryable(err) {
				t.Errorf("a call meanwhile: %v", err)
			}
			c.back()
			deadline := time.After(30 * time.Second)
			for poll := time.NewTicker(20 * time.Millisecond); ; {
				if status, _ := readyz(t, endpoint); status == 200 {
					poll.Stop()
					break
				}
				select {
				case <-poll.C:
				case <-deadline:
					t.Fatal("the server did not open its store although the KMS is back")
				}
			}
			if _, err := kmsOf(endpoint, who).ListKeys(t.Context(), &awskmsapi.ListKeysInput{}); err != nil {
				t.Errorf("a call once the KMS is back: %v", err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}

	t.Run("the root key rotates, and it does not answer", func(t *testing.T) {
		ready := filepath.Join(t.TempDir(), "ready")
		stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
		endpoint := waitEndpoint(t, ready)
		f.leadTo(t, "")
		clientEnvironment(t)
		t.Setenv("AWS_ACCESS_KEY_ID", who.AccessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", who.SecretAccessKey)
		_, _, err := printed(t, "seal", "rotate", "--endpoint", endpoint)
		if err == nil || !strings.Contains(err.Error(), "The seal is as it was: sealing the root key: ") || !strings.Contains(err.Error(), "the KMS cannot be reached") || hintFor(err) == "" {
			t.Errorf("%v, with the hint %q", err, hintFor(err))
		}
		f.leadTo(t, outer.URL)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("another key", func(t *testing.T) {
		other, err := inner.CreateKey(t.Context(), &awskmsapi.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		replaceIn(t, config, keyID, *other.KeyMetadata.KeyId)
		defer replaceIn(t, config, *other.KeyMetadata.KeyId, keyID)
		if err := runToEnd(t, "server", "--config", config); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), keyID) {
			t.Errorf("%v", err)
		}
	})
	t.Run("stopped while it waits", func(t *testing.T) {
		f.leadTo(t, "")
		defer f.leadTo(t, outer.URL)
		ready := filepath.Join(t.TempDir(), "ready")
		stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
		waitEndpoint(t, ready)
		if err := stop(); err != nil {
			t.Errorf("%v", err)
		}
	})
	usable(t, config, who) // nothing of all that did harm
}

// TestKMSSealOwn: a server whose KMS turns out to be itself ends and says so.
func TestKMSSealOwn(t *testing.T) {
	_, f, _, config := kmsSealed(t)
	if _, err := runInitCommand(t, "--config", config); err != nil {
		t.Fatal(err)
	}
	f.leadTo(t, "")
	ready := filepath.Join(t.TempDir(), "ready")
	ended := make(chan error, 1)
	go func() { ended <- runToEnd(t, "server", "--config", config, "--ready-file", ready) }()
	f.leadTo(t, waitEndpoint(t, ready))
	if err := <-ended; !errors.Is(err, awskms.ErrOwnSeal) || hintFor(err) == "" {
		t.Errorf("%v", err)
	}
}

// TestKMSSealInit: init says what is wrong, and makes no store with it.
func TestKMSSealInit(t *testing.T) {
	outer, f, keyID, _ := kmsSealed(t)
	rsa, err := kmsClient(outer.URL, "111122223333", "us-east-1").CreateKey(t.Context(), &awskmsapi.CreateKeyInput{KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT"})
	if err != nil {
		t.Fatal(err)
	}
	foreign := "arn:aws:kms:us-east-1:111122223333:key/" + keyID
	for name, c := range map[string]struct{ seal, want string }{
		"another account": {kmsSeal(foreign, f.URL, "444455556666"), "the KMS denies the use of key"},
		"no such key":     {kmsSeal("00000000-0000-4000-8000-000000000000", f.URL, "111122223333"), "the KMS has no key"},
		"an RSA key":      {kmsSeal(*rsa.KeyMetadata.KeyId, f.URL, "111122223333"), "it must be a symmetric encryption key"},
		"nobody there":    {kmsSeal(keyID, "http://127.0.0.1:1", "111122223333"), "the KMS cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			config := initFiles(t, c.seal)
			if _, err := runInitCommand(t, "--config", config); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-of-the-outer-kms") {
				t.Fatalf("%v, want %q", err, c.want)
			}
			// The same folder is as good as new.
			replaceIn(t, config, "seal: {kms:", "# {kms:")
			file, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteString(keyFileSeal)
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := runInitCommand(t, "--config", config); err != nil {
				t.Errorf("with a key file instead: %v", err)
			}
		})
	}
}

// TestKMSSealPolicy narrows a key of another account to seals, with the statement of docs/sealing.md, and to another deployment.
func TestKMSSealPolicy(t *testing.T) {
	outer, f, _, _ := kmsSealed(t)
	doc, err := os.ReadFile("../../docs/sealing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, statement, _ := strings.Cut(string(doc), "```json\n")
	statement, _, ok := strings.Cut(statement, "```")
	if !ok {
		t.Fatal("docs/sealing.md has no key policy")
	}
	statement = strings.Replace(statement, "111122223333:user/keyturn", "444455556666:root", 1)
	for name, c := range map[string]struct{ statement, want string }{
		"seals":              {statement, ""},
		"another purpose":    {strings.Replace(statement, `"seal"`, `"other"`, 1), "the KMS denies"},
		"another deployment": {strings.Replace(statement, `keyturn:purpose": "seal"`, `keyturn:deployment": "00000000-0000-4000-8000-000000000000"`, 1), "the KMS denies"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},` + c.statement + `]}`
			k, err := kmsClient(outer.URL, "111122223333", "us-east-1").CreateKey(t.Context(), &awskmsapi.CreateKeyInput{Policy: &policy})
			if err != nil {
				t.Fatal(err)
			}
			_, err = runInitCommand(t, "--config", initFiles(t, kmsSeal(*k.KeyMetadata.Arn, f.URL, "444455556666")))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestSealConfig(t *testing.T) {
	base := "listen: 127.0.0.1:8443\nplain_http: true\ndata_dir: data\nregions: [us-east-1]\n"
	for name, c := range map[string]struct{ seal, want string }{
		"nothing":               {"seal: {}", "seal needs exactly one of"},
		"two":                   {"seal: {key_file: k, shamir: {shares: 3, threshold: 2}}", "seal needs exactly one of"},
		"unknown":               {"seal: {shamir: {shares: 3, threshold: 2, parts: 1}}", "parts"},
		"previous, nothing":     {"seal: {key_file: k, previous: {}}", "seal.previous needs exactly one of"},
		"the passphrase itself": {"seal: {passphrase: correct horse battery}", "never the passphrase itself"},
		"prompt and file":       {"seal: {passphrase: {prompt: true, file: f}}", "prompt goes with neither"},
		"no key":                {"seal: {kms: {region: us-east-1}}", "key_id is missing"},
		"no region":             {"seal: {kms: {key_id: alias/x}}", "region is missing"},
		"half a credential":     {"seal: {kms: {key_id: alias/x, region: us-east-1, access_key_id: AKIAIOSFODNN7EXAMPLE}}", "go together"},
		"two credentials":       {"seal: {kms: {key_id: alias/x, region: us-east-1, access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: {env: X}, profile: p}}", "profile does not go with"},
		"the secret itself":     {"seal: {kms: {key_id: alias/x, region: us-east-1, access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY}}", "never the secret itself"},
		"the secret inside":     {"seal: {kms: {key_id: alias/x, region: us-east-1, access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: {file: data/secret}}}", "must not be in data_dir"},
		"plain http":            {"seal: {kms: {key_id: alias/x, region: us-east-1, endpoint: 'http://kms.example.com'}}", "neither secret nor authentic"},
		"its own endpoint":      {"seal: {kms: {key_id: alias/x, region: us-east-1, endpoint: 'http://localhost:8443'}}", "a keyturn cannot be its own seal"},
		"a timeout":             {"seal: {kms: {key_id: alias/x, region: us-east-1, timeout: 1h}}", "timeout is a time from 1s to 5m"},
	} {
		t.Run(name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "server.yaml")
			if err := os.WriteFile(config, []byte(base+c.seal+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := loadConfig(config); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "EXAMPLEKEY") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOwnEndpoint(t *testing.T) {
	for _, c := range []struct {
		endpoint, listen string
		own              bool
	}{
		{"https://127.0.0.1:8443", "0.0.0.0:8443", true},
		{"https://localhost:8443/", "[::]:8443", true},
		{"https://localhost:8443", "127.0.0.1:8443", true},
		{"https://KMS.example.com:8443", "kms.example.com:8443", true},
		{"https://127.0.0.1", ":443", true},
		{"http://127.0.0.1", "127.0.0.1:80", true},
		{"https://127.0.0.1:8443", "127.0.0.1:8444", false},
		{"https://127.0.0.1:8443", "192.0.2.1:8443", false},
		{"https://kms.example.com:8443", "0.0.0.0:8443", false}, // no name is looked up
		{"https://192.0.2.77:8443", "0.0.0.0:8443", false},
		{"http://127.0.0.1:0", "127.0.0.1:0", false},
	} {
		if own := ownEndpoint(c.endpoint, c.listen); own != c.own {
			t.Errorf("%s on %s: %v", c.endpoint, c.listen, own)
		}
	}
}
