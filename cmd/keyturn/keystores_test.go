package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/hsm"
	"github.com/keyturn/keyturn/internal/hsm/hsmtest"
	"github.com/keyturn/keyturn/internal/sigv4"
	"github.com/keyturn/keyturn/internal/xks"
)

// keyManager is an external key manager with one key, "k".
type keyManager struct{ aead cipher.AEAD }

func newKeyManager(t *testing.T) *keyManager {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &keyManager{aead}
}

func (m *keyManager) Health(context.Context, xks.RequestMetadata) (xks.Health, error) {
	return xks.Health{FleetSize: 1, Vendor: "v", Model: "m", KeyManager: "k", FleetDetails: []xks.KeyManager{{ID: "1", Model: "m", HealthStatus: xks.HealthActive}}}, nil
}

func (m *keyManager) KeyMetadata(_ context.Context, _ xks.Principal, id string, _ xks.RequestMetadata) (xks.KeyMetadata, error) {
	if id != "k" {
		return xks.KeyMetadata{}, &xks.Error{Name: xks.KeyNotFoundException}
	}
	return xks.KeyMetadata{Spec: xks.KeySpecAES256, Usage: []string{xks.UsageEncrypt, xks.UsageDecrypt}, Status: xks.KeyEnabled}, nil
}

func (m *keyManager) Encrypt(_ context.Context, _ xks.Principal, _ string, plaintext, aad []byte, _ xks.RequestMetadata) (*xks.Ciphertext, error) {
	b := m.aead.Seal(nil, nil, plaintext, aad)
	return &xks.Ciphertext{IV: b[:12], Data: b[12 : len(b)-16], Tag: b[len(b)-16:]}, nil
}

func (m *keyManager) Decrypt(_ context.Context, _ xks.Principal, _ string, c *xks.Ciphertext, aad []byte, _ xks.RequestMetadata) ([]byte, error) {
	p, err := m.aead.Open(nil, nil, append(append(append([]byte(nil), c.IV...), c.Data...), c.Tag...), aad)
	if err != nil {
		return nil, &xks.Error{Name: xks.InvalidCiphertextException}
	}
	return p, nil
}

// startProxy serves an external key store proxy in front of a key manager, over TLS, and returns its host name and the file for
// --key-stores that makes it reachable.
func startProxy(t *testing.T, region string) (srv *httptest.Server, host, file string) {
	t.Helper()
	h, err := xks.NewHandler(xks.Config{
		Backend: newKeyManager(t), Prefix: "/kms/xks/v1", Regions: []string{region}, Now: time.Now,
		Lookup: func(_ context.Context, id, _ string) (sigv4.Credential, error) {
			if id != proxyKeyID {
				return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
			}
			return sigv4.Credential{SecretAccessKey: proxySecret}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv = httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file = filepath.Join(dir, "stores.yaml")
	for name, text := range map[string]string{
		"stores.yaml": fmt.Sprintf("external:\n  ca_file: ca.pem\n  timeout: 5s\n  ports: {%q: %s}\n", u.Hostname(), u.Port()),
		"ca.pem":      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return srv, u.Hostname(), file
}

// devWith runs keyturn dev over a data directory with custom key stores.
func devWith(t *testing.T, dir, stores string) (c *awskms.Client, stop func() error) {
	t.Helper()
	ready := filepath.Join(dir, "ready")
	if err := os.RemoveAll(ready); err != nil {
		t.Fatal(err)
	}
	stop = runCommand(t, "dev", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"), "--key-stores", stores, "--ready-file", ready,
		"--region", "eu-central-1")
	return kmsClient(waitEndpoint(t, ready), "AKIDANYBODY", "eu-central-1"), stop
}

// connected connects a custom key store and waits for the outcome.
func connected(t *testing.T, c *awskms.Client, id string) types.CustomKeyStoresListEntry {
	t.Helper()
	if _, err := c.ConnectCustomKeyStore(t.Context(), &awskms.ConnectCustomKeyStoreInput{CustomKeyStoreId: &id}); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for poll := time.NewTicker(20 * time.Millisecond); ; {
		out, err := c.DescribeCustomKeyStores(t.Context(), &awskms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &id})
		if err != nil {
			t.Fatal(err)
		}
		if e := out.CustomKeyStores[0]; e.ConnectionState != types.ConnectionStateTypeConnecting {
			poll.Stop()
			return e
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("still connecting after a minute")
		}
	}
}

func roundTrip(t *testing.T, c *awskms.Client, keyID string) (blob []byte) {
	t.Helper()
	context := map[string]string{"for": "a test"}
	out, err := c.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &keyID, Plaintext: []byte("in a key store"), EncryptionContext: context})
	if err != nil {
		t.Fatal(err)
	}
	decryptsTo(t, c, out.CiphertextBlob, context)
	return out.CiphertextBlob
}

func decryptsTo(t *testing.T, c *awskms.Client, blob []byte, context map[string]string) {
	t.Helper()
	out, err := c.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Plaintext) != "in a key store" {
		t.Errorf("decrypted to %q", out.Plaintext)
	}
}

// TestExternalKeyStore uses an external key store with the SDK: from its making over a restart to a proxy that is gone.
func TestExternalKeyStore(t *testing.T) {
	proxy, host, file := startProxy(t, "eu-central-1")
	dir := t.TempDir()
	c, stop := devWith(t, dir, file)
	endpoint, path, name := "https://"+host, "/kms/xks/v1", "external"
	keyID, secret := proxyKeyID, strings.Repeat("x", 43)
	in := &awskms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore, XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint,
		XksProxyUriEndpoint: &endpoint, XksProxyUriPath: &path,
		XksProxyAuthenticationCredential: &types.XksProxyAuthenticationCredentialType{AccessKeyId: &keyID, RawSecretAccessKey: &secret},
	}
	if _, err := c.CreateCustomKeyStore(t.Context(), in); !errors.As(err, new(*types.XksProxyIncorrectAuthenticationCredentialException)) {
		t.Fatalf("a wrong secret: %v", err)
	}
	secret = proxySecret
	store, err := c.CreateCustomKeyStore(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if e := connected(t, c, *store.CustomKeyStoreId); e.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("%s %s", e.ConnectionState, e.ConnectionErrorCode)
	}
	unknown, known := "other", "k"
	create := &awskms.CreateKeyInput{Origin: types.OriginTypeExternalKeyStore, CustomKeyStoreId: store.CustomKeyStoreId, XksKeyId: &unknown}
	if _, err := c.CreateKey(t.Context(), create); !errors.As(err, new(*types.XksKeyNotFoundException)) {
		t.Errorf("an unknown external key: %v", err)
	}
	create.XksKeyId = &known
	key, err := c.CreateKey(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	blob := roundTrip(t, c, *key.KeyMetadata.KeyId)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	c, _ = devWith(t, dir, file)
	decryptsTo(t, c, blob, map[string]string{"for": "a test"})
	proxy.Close()
	_, err = c.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"for": "a test"}})
	if e := (*types.KMSInvalidStateException)(nil); !errors.As(err, &e) || !strings.Contains(e.ErrorMessage(), "cannot communicate with the external key store proxy") {
		t.Errorf("without its proxy: %v", err)
	}
	other, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, *other.KeyMetadata.KeyId)
}

// TestTokenKeyStore uses a key store over a real PKCS #11 token: a wrong password, keys, a restart, deletion.
func TestTokenKeyStore(t *testing.T) {
	kit := hsmtest.New(t)
	const clusterID = "cluster-softhsmtest"
	dir := t.TempDir()
	var env strings.Builder
	for _, v := range kit.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&env, "%s: %q, ", name, value)
	}
	writeCertificate(t, dir, "anchor")
	anchor, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "stores.yaml")
	text := fmt.Sprintf("clusters:\n  - id: %s\n    module: %q\n    token: %s\n    helper: %q\n    trust_anchor: cert.pem\n    env: {%s}\n",
		clusterID, kit.Config.Module, kit.Config.Token, kit.Config.Helper, strings.TrimSuffix(env.String(), ", "))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, stop := devWith(t, dir, file)
	name, cluster, password, certificate := "hsm", clusterID, "not the PIN", string(anchor)
	store, err := c.CreateCustomKeyStore(t.Context(), &awskms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CloudHsmClusterId: &cluster, KeyStorePassword: &password, TrustAnchorCertificate: &certificate,
	})
	if err != nil {
		t.Fatal(err)
	}
	id := store.CustomKeyStoreId
	if e := connected(t, c, *id); e.ConnectionErrorCode != types.ConnectionErrorCodeTypeInvalidCredentials {
		t.Fatalf("with a wrong password: %s %s", e.ConnectionState, e.ConnectionErrorCode)
	}
	password = hsmtest.PIN
	if _, err := c.DisconnectCustomKeyStore(t.Context(), &awskms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateCustomKeyStore(t.Context(), &awskms.UpdateCustomKeyStoreInput{CustomKeyStoreId: id, KeyStorePassword: &password}); err != nil {
		t.Fatal(err)
	}
	if e := connected(t, c, *id); e.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("%s %s", e.ConnectionState, e.ConnectionErrorCode)
	}
	key, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: id})
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(filepath.Dir(strings.TrimPrefix(kit.Config.Env[0], "SOFTHSM2_CONF=")), "tokens")
	if n := tokenObjects(t, tokens); n != 1 {
		t.Errorf("%d objects are on the token, want the key", n)
	}
	blob := roundTrip(t, c, *key.KeyMetadata.KeyId)
	n := int32(32)
	random, err := c.GenerateRandom(t.Context(), &awskms.GenerateRandomInput{NumberOfBytes: &n, CustomKeyStoreId: id})
	if err != nil || len(random.Plaintext) != 32 {
		t.Errorf("random: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	c, stop = devWith(t, dir, file)
	decryptsTo(t, c, blob, map[string]string{"for": "a test"})
	_, err = c.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"for": "another"}})
	if !errors.As(err, new(*types.InvalidCiphertextException)) {
		t.Errorf("another encryption context: %v", err)
	}
	if _, err := c.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: key.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	endpoint, err := os.ReadFile(filepath.Join(dir, "ready"))
	if err != nil {
		t.Fatal(err)
	}
	(&testServer{URL: strings.TrimSpace(string(endpoint))}).advance(t, 31*24*time.Hour)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := tokenObjects(t, tokens); n != 0 {
		t.Errorf("%d objects are left on the token", n)
	}
}

// tokenObjects counts the objects of SoftHSM's only token.
func tokenObjects(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.object"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if filepath.Base(f) != "token.object" {
			n++
		}
	}
	return n
}

// TestKeyStoresConfiguration has what key_stores may not say.
func TestKeyStoresConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"module.so": 0o600, "open.so": 0o606, helperName: 0o700, "junk.pem": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cluster := func(more string) string {
		return `{id: cluster-aaaaaaaaaaa, account: "111122223333", region: eu-central-1, module: module.so, token: t, helper: ` + helperName + more + "}"
	}
	for name, c := range map[string]struct{ section, want string }{
		"unknown key":    {"hsm: 1", "hsm"},
		"cluster ID":     {"clusters: [{id: hsm}]", "id must be"},
		"account":        {"clusters: [{id: cluster-aaaaaaaaaaa}]", "12 digits"},
		"region":         {`clusters: [{id: cluster-aaaaaaaaaaa, account: "111122223333"}]`, "region is missing"},
		"module":         {`clusters: [{id: cluster-aaaaaaaaaaa, account: "111122223333", region: eu-central-1}]`, "module and token"},
		"no module":      {"clusters: [" + strings.Replace(cluster(""), "module.so", "none.so", 1) + "]", "none.so"},
		"open module":    {"clusters: [" + strings.Replace(cluster(""), "module.so", "open.so", 1) + "]", "written by everybody"},
		"no helper":      {"clusters: [" + strings.Replace(cluster(""), "helper: "+helperName, "helper: none", 1) + "]", "none"},
		"user":           {"clusters: [" + cluster(`, user: "a:b"`) + "]", "colon"},
		"environment":    {"clusters: [" + cluster(`, env: {"A=B": x}`) + "]", "variable"},
		"trust anchor":   {"clusters: [" + cluster(", trust_anchor: junk.pem") + "]", "no certificate"},
		"cluster twice":  {"clusters: [" + cluster("") + ", " + cluster("") + "]", "twice"},
		"network":        {"external: {private_networks: [10.0.0.1/8]}", "bits set"},
		"no network":     {"external: {private_networks: [everything]}", "private_networks"},
		"authorities":    {"external: {ca_file: junk.pem}", "no certificate"},
		"port":           {"external: {ports: {proxy.example: 0}}", "ports"},
		"port's host":    {"external: {ports: {PROXY.example: 1}}", "lower case"},
		"timeout":        {"external: {timeout: 1h}", "timeout"},
		"service":        {"external: {vpc_endpoint_services: [{name: mine}]}", "name must be"},
		"service's name": {`external: {vpc_endpoint_services: [{name: com.amazonaws.vpce.eu-central-1.vpce-svc-0a, account: "111122223333"}]}`, "private_dns_name"},
	} {
		config := serverFiles(t, func(y string) string { return y + "key_stores:\n  " + c.section + "\n" })
		for _, f := range []string{"module.so", "open.so", helperName, "junk.pem"} {
			if err := os.Symlink(filepath.Join(dir, f), filepath.Join(filepath.Dir(config), f)); err != nil {
				t.Fatal(err)
			}
		}
		if err := runToEnd(t, "seal", "generate", filepath.Join(filepath.Dir(config), "seal.key")); err != nil {
			t.Fatal(err)
		}
		if err := runToEnd(t, "server", "--config", config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestServerKeyStores is what a whole section becomes.
func TestServerKeyStores(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"module.so", helperName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := serverFiles(t, func(y string) string {
		return y + fmt.Sprintf(`key_stores:
  clusters:
    - id: cluster-aaaaaaaaaaa
      account: "111122223333"
      region: eu-central-1
      module: %[1]s/module.so
      token: keyturn
      user: kmsuser
      helper: %[1]s/%[2]s
      env: {B: "2", A: "1"}
  external:
    private_networks: [10.20.0.0/16]
    ports: {xks.example.com: 8443}
    timeout: 400ms
    vpc_endpoint_services:
      - name: com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0
        account: "111122223333"
        private_dns_name: xks.internal.example
        networks: [10.30.0.0/16]
`, dir, helperName)
	})
	c, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.KeyStores.resolve()
	if err != nil {
		t.Fatal(err)
	}
	cl := got.Clusters[0]
	want := hsm.Config{Module: dir + "/module.so", Token: "keyturn", Helper: dir + "/" + helperName, Env: []string{"A=1", "B=2"}}
	if fmt.Sprint(cl.HSM.Module, cl.HSM.Token, cl.HSM.Helper, cl.HSM.Env) != fmt.Sprint(want.Module, want.Token, want.Helper, want.Env) ||
		cl.User != "kmsuser" || cl.Account != "111122223333" || cl.Region != "eu-central-1" {
		t.Errorf("%+v", cl)
	}
	p := got.Proxies
	if fmt.Sprint(p.PrivateNetworks) != "[10.20.0.0/16]" || p.Ports["xks.example.com"] != 8443 || p.Timeout != 400*time.Millisecond ||
		len(p.Services) != 1 || p.Services[0].PrivateDNSName != "xks.internal.example" || fmt.Sprint(p.Services[0].Networks) != "[10.30.0.0/16]" {
		t.Errorf("%+v", p)
	}
	// Without the section there is nothing.
	if got, err := (*keyStoresConfig)(nil).resolve(); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}
