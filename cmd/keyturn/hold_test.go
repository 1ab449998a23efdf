package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestHoldYourOwnKey has one keyturn hold the external keys of another: the holder rotates, goes away, comes back and says no.
func TestHoldYourOwnKey(t *testing.T) {
	ctx := t.Context()
	config := serverFiles(t, nil)
	dir := filepath.Dir(config)
	if err := runToEnd(t, "seal", "generate", filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	var state *tls.ConnectionState
	holder := func() (*awskms.Client, string, func() error) {
		ready := filepath.Join(dir, "ready")
		if err := os.RemoveAll(ready); err != nil {
			t.Fatal(err)
		}
		stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
		u := waitEndpoint(t, ready)
		return awskms.New(awskms.Options{BaseEndpoint: &u, Region: "eu-central-1", RetryMaxAttempts: 1, HTTPClient: httpsClient(&state),
			Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")}), u, stop
	}
	a, _, stop := holder()
	held, err := a.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err := errors.Join(err, stop()); err != nil {
		t.Fatal(err)
	}
	id := *held.KeyMetadata.KeyId
	proxyFiles(t, config, id)
	a, at, stop := holder()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	// From here on on the same port.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), "listen: 127.0.0.1:0", "listen: "+u.Host, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	stores := filepath.Join(dir, "stores.yaml")
	if err := os.WriteFile(stores, fmt.Appendf(nil, "external:\n  ca_file: cert.pem\n  timeout: 5s\n  ports: {%q: %s}\n", u.Hostname(), u.Port()), 0o600); err != nil {
		t.Fatal(err)
	}

	ready := filepath.Join(t.TempDir(), "ready")
	stopB := runCommand(t, "dev", "--listen", "127.0.0.1:0", "--in-memory", "--key-stores", stores, "--ready-file", ready, "--region", "us-east-1")
	b := kmsClient(waitEndpoint(t, ready), "AKIDANYBODY", "us-east-1")
	endpoint, path, name, keyID, secret := "https://"+u.Hostname(), "/hold/kms/xks/v1", "held", proxyKeyID, proxySecret
	store, err := b.CreateCustomKeyStore(ctx, &awskms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore, XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint,
		XksProxyUriEndpoint: &endpoint, XksProxyUriPath: &path,
		XksProxyAuthenticationCredential: &types.XksProxyAuthenticationCredentialType{AccessKeyId: &keyID, RawSecretAccessKey: &secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := connected(t, b, *store.CustomKeyStoreId); e.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("%s %s", e.ConnectionState, e.ConnectionErrorCode)
	}
	key, err := b.CreateKey(ctx, &awskms.CreateKeyInput{Origin: types.OriginTypeExternalKeyStore, CustomKeyStoreId: store.CustomKeyStoreId, XksKeyId: &id})
	if err != nil {
		t.Fatal(err)
	}
	context := map[string]string{"for": "a test"}
	before := roundTrip(t, b, *key.KeyMetadata.KeyId)
	for range 2 {
		if _, err := a.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	after := roundTrip(t, b, *key.KeyMetadata.KeyId)
	decryptsTo(t, b, before, context)
	u2, err := a.GetKeyLastUsage(ctx, &awskms.GetKeyLastUsageInput{KeyId: &id})
	if err != nil {
		t.Error(u2, err)
	}

	refused := func(what string) {
		t.Helper()
		start := time.Now()
		_, err := b.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: after, EncryptionContext: context})
		if !errors.As(err, new(*types.KMSInvalidStateException)) {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: refused after %v", what, took)
		}
	}
	if _, err := a.DisableKey(ctx, &awskms.DisableKeyInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	refused("the holder has disabled the key")
	if _, err := a.EnableKey(ctx, &awskms.EnableKeyInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	decryptsTo(t, b, after, context)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	refused("the holder is gone")
	_, _, stop = holder()
	decryptsTo(t, b, before, context)
	decryptsTo(t, b, after, context)
	if err := errors.Join(stopB(), stop()); err != nil {
		t.Error(err)
	}
}
