package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/xks"
)

const (
	proxyKeyID  = "ABCDEFGHIJKLMNOPQRST"
	proxySecret = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
)

// proxyFiles is serverFiles with a proxy for one key.
func proxyFiles(t *testing.T, config, keyID string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	section := `
xks_proxy:
  uri_path: /hold/kms/xks/v1
  aws_regions: [us-east-1]
  credentials:
    - access_key_id: ` + proxyKeyID + `
      secret: {file: proxy.secret}
      account: "111122223333"
      region: eu-central-1
      keys: [` + keyID + `]
`
	for file, data := range map[string]string{config: string(text) + section, filepath.Join(filepath.Dir(config), "proxy.secret"): proxySecret + "\n"} {
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestXKSProxy uses a key as another KMS would, from both commands that serve it, across rotations.
func TestXKSProxy(t *testing.T) {
	config := serverFiles(t, nil)
	dir := filepath.Dir(config)
	if err := runToEnd(t, "seal", "generate", filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if err := runToEnd(t, "xks-proxy", "--config", config); err == nil || !strings.Contains(err.Error(), "has no xks_proxy") {
		t.Errorf("without a configuration: %v", err)
	}
	ctx := t.Context()
	var state *tls.ConnectionState
	serve := func(command string) (*awskms.Client, *xks.Client, func() error) {
		ready := filepath.Join(dir, "ready")
		if err := os.RemoveAll(ready); err != nil {
			t.Fatal(err)
		}
		stop := runCommand(t, command, "--config", config, "--ready-file", ready)
		url := waitEndpoint(t, ready)
		c := awskms.New(awskms.Options{BaseEndpoint: &url, Region: "eu-central-1", RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""), HTTPClient: httpsClient(&state)})
		p, err := xks.NewClient(xks.ClientConfig{
			URIEndpoint: url, URIPath: "/hold/kms/xks/v1", AccessKeyID: proxyKeyID, SecretAccessKey: proxySecret, Region: "us-east-1",
			HTTP: httpsClient(&state), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c, p, stop
	}

	c, _, stop := serve("server")
	mine, err1 := c.CreateKey(ctx, &awskms.CreateKeyInput{})
	other, err2 := c.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err := errors.Join(err1, err2, stop()); err != nil {
		t.Fatal(err)
	}
	id := *mine.KeyMetadata.KeyId
	proxyFiles(t, config, id)

	c, p, stop := serve("server")
	m := xks.RequestMetadata{AWSPrincipalARN: "arn:aws:iam::444455556666:user/far", KMSKeyARN: "arn:aws:kms:us-east-1:444455556666:key/far", KMSOperation: "Encrypt", KMSRequestID: "r1"}
	if h, err := p.Health(ctx, m); err != nil || !h.Serving() {
		t.Errorf("health %+v, %v", h, err)
	}
	if k, err := p.KeyMetadata(ctx, id, m); err != nil || !k.Usable() {
		t.Errorf("key metadata %+v, %v", k, err)
	}
	notFound := &xks.Error{Name: xks.KeyNotFoundException}
	for _, name := range []string{*other.KeyMetadata.KeyId, "00000000-0000-4000-8000-000000000000", "x"} {
		if _, err := p.KeyMetadata(ctx, name, m); !errors.Is(err, notFound) {
			t.Errorf("a key that is not offered, %s: %v", name, err)
		}
	}
	seal := func() *xks.Ciphertext {
		t.Helper()
		sealed, err := p.Encrypt(ctx, id, xks.EncryptRequest{Plaintext: []byte("their ciphertext"), AAD: []byte("aad"), RequestMetadata: m})
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	open := func(sealed *xks.Ciphertext, aad string) ([]byte, error) {
		return p.Decrypt(ctx, id, xks.DecryptRequest{Ciphertext: sealed, AAD: []byte(aad), RequestMetadata: m})
	}
	before := seal()
	if _, err := c.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	after := seal()
	if bytes.Equal(before.Metadata[:5], after.Metadata[:5]) {
		t.Error("the ciphertext after the rotation names the material before it")
	}
	mixed := *after
	mixed.Metadata = append(bytes.Clone(before.Metadata[:5]), after.Metadata[5:]...)
	gone := *after
	gone.Metadata = bytes.Clone(after.Metadata)
	gone.Metadata[4] = 99
	invalid := &xks.Error{Name: xks.InvalidCiphertextException}
	for name, c := range map[string]*xks.Ciphertext{"another material": &mixed, "no material": &gone} {
		if _, err := open(c, "aad"); !errors.Is(err, invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := open(after, "AAD"); !errors.Is(err, invalid) {
		t.Errorf("other additional data: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	// Alone, the proxy serves nothing else.
	c, p, stop = serve("xks-proxy")
	for name, sealed := range map[string]*xks.Ciphertext{"before": before, "after": after} {
		if plain, err := open(sealed, "aad"); err != nil || string(plain) != "their ciphertext" {
			t.Errorf("sealed %s the rotation: %q, %v", name, plain, err)
		}
	}
	if _, err := c.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: &id}); err == nil {
		t.Error("xks-proxy serves the KMS API")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	c, p, stop = serve("server")
	if _, err := c.DisableKey(ctx, &awskms.DisableKeyInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	if _, err := open(after, "aad"); !errors.Is(err, &xks.Error{Name: xks.InvalidStateException}) {
		t.Errorf("disabled: %v", err)
	}
	if k, err := p.KeyMetadata(ctx, id, m); err != nil || k.Status != xks.KeyDisabled {
		t.Errorf("disabled: %+v, %v", k, err)
	}
	u, err := c.GetKeyLastUsage(ctx, &awskms.GetKeyLastUsageInput{KeyId: &id})
	if err != nil || u.KeyLastUsage == nil || u.KeyLastUsage.Operation != types.KeyLastUsageTrackingOperationDecrypt {
		t.Errorf("last usage %+v, %v", u, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "data", auditDir, "audit-00000000000000000001.jsonl"))
	if err != nil {
		files, _ := filepath.Glob(filepath.Join(dir, "data", auditDir, "*"))
		t.Fatal(err, files)
	}
	for _, want := range []string{`"eventSource":"xks.keyturn"`, `"principalArn":"arn:aws:iam::444455556666:user/far"`, `"userName":"` + proxyKeyID} {
		if !bytes.Contains(log, []byte(want)) {
			t.Errorf("the audit log has no %s", want)
		}
	}
	if bytes.Contains(log, []byte("their ciphertext")) {
		t.Error("the audit log has a plaintext")
	}
}
