package kms_test

import (
	"context"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
)

// TestTokenRecovers uses up all messages of a token key while the token cannot make another one, or does not encrypt at all: once it can
// again, so does the key.
func TestTokenRecovers(t *testing.T) {
	const limit = 5
	for name, fault := range map[string]struct {
		op    string
		fault kms.Fault
	}{"makes no keys": {"GenerateKey", kms.FaultInternal}, "away": {"", kms.FaultInactive}} {
		t.Run(name, func(t *testing.T) {
			b, f := storesBench(t, kms.Config{TokenMessages: limit})
			_, key := b.storeKey(t, true)
			encrypt := func() *api.Error {
				_, err := b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
				return err
			}
			f.fail(fault.op, &kms.StoreError{Fault: fault.fault})
			for range 2*limit + 1 {
				encrypt()
			}
			f.set(nil)
			encrypt() // may be told to try again
			if err := encrypt(); err != nil {
				t.Errorf("after the repair: %v", err)
			}
		})
	}
}

// TestDryRunStaysHere has a dry run reach out to nobody.
func TestDryRunStaysHere(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	_, key := b.storeKey(t, true)
	f.set(func(_ context.Context, call string) error {
		t.Errorf("a dry run called %s", call)
		return nil
	})
	_, err := b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x"), DryRun: api.Some(true)})
	refusal(t, "dry run", err, api.DryRunOperationException, "*")
}

// TestUpdateChecksWhatItWrites changes a key store's endpoint while another update, of its path, is asking the proxy: the pair that is
// written has been asked.
func TestUpdateChecksWhatItWrites(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	id := b.newStore(t, publicStore("xks", "proxy.example"))
	asked, changed := 0, false
	f.set(func(_ context.Context, call string) error {
		asked++
		if !changed {
			changed = true
			b.run(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), XksProxyUriEndpoint: str("https://other.example")})
		}
		return nil
	})
	b.run(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), XksProxyUriPath: str("/p/kms/xks/v1")})
	c := b.store(t, id).XksProxyConfiguration
	if asked != 3 || c.UriEndpoint.V != "https://other.example" || c.UriPath.V != "/p/kms/xks/v1" {
		t.Errorf("asked %d times; now %s%s", asked, c.UriEndpoint.V, c.UriPath.V)
	}
}
