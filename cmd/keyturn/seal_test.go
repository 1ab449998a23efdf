package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/seal"
)

// TestSealUnderLoad rotates the root key and the keyring, and moves between two seals, over and over, while callers create, rotate, encrypt
// and decrypt. No call fails; every ciphertext opens, also after a restart; every old root key and seal is refused.
func TestSealUnderLoad(t *testing.T) {
	const rounds = 12
	dir := t.TempDir()
	var generation atomic.Int64
	provider := func(n int64) seal.Provider { return seal.NewKeyFile(bytes.Repeat([]byte{byte(n + 1)}, 32)) }
	s := startDev(t, dir, func(c *appConfig) {
		c.Provider = func(bool) (seal.Provider, error) { return provider(0), nil }
		c.Migrate = func(context.Context) (seal.Provider, error) { return provider(generation.Load()), nil }
	})
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var calls atomic.Int64
	made := make([][][]byte, 4)
	for w := range made {
		wg.Go(func() {
			k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; ctx.Err() == nil; i++ {
				if i%10 == 9 && i < 200 {
					_, err = c.RotateKeyOnDemand(t.Context(), &awskms.RotateKeyOnDemandInput{KeyId: k.KeyMetadata.KeyId})
				}
				if err != nil {
					t.Errorf("rotating: %v", err)
					return
				}
				text := fmt.Sprint("text ", w, i)
				sealed, err := c.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte(text)})
				if err != nil {
					t.Errorf("encrypting: %v", err)
					return
				}
				made[w] = append(made[w], sealed.CiphertextBlob)
				for _, blob := range [][]byte{sealed.CiphertextBlob, made[w][len(made[w])/2]} {
					if _, err := c.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob}); err != nil {
						t.Errorf("decrypting: %v", err)
						return
					}
				}
				calls.Add(3)
			}
		})
	}
	for round := range rounds {
		before := calls.Load()
		for _, target := range []string{"Keyturn.RotateRootKey", "Keyturn.MigrateSeal", "Keyturn.RotateKeyring"} {
			if target == "Keyturn.MigrateSeal" {
				generation.Add(1)
			}
			if status, body := s.post(t, target, "{}"); status != 200 {
				t.Fatalf("round %d, %s: %d %s", round, target, status, body)
			}
		}
		for calls.Load() < before+20 && !t.Failed() {
			if _, err := c.ListAliases(t.Context(), &awskms.ListAliasesInput{Limit: aws.Int32(1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	wg.Wait()
	s.stop()
	if t.Failed() {
		return
	}
	for n := range generation.Load() {
		if err := openWith(t, dir, provider(n)); err == nil {
			t.Errorf("the seal of generation %d opens the store", n)
		}
	}
	s = startDev(t, dir, func(c *appConfig) {
		c.Provider = func(bool) (seal.Provider, error) { return provider(generation.Load()), nil }
	})
	c = kmsClient(s.URL, "keyturn", "us-east-1")
	for w, blobs := range made {
		for i, blob := range blobs {
			if out, err := c.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob}); err != nil || string(out.Plaintext) != fmt.Sprint("text ", w, i) {
				t.Fatalf("after a restart: %v", err)
			}
		}
	}
	t.Logf("%d calls, keyring version %d", calls.Load(), s.app.operator.Status().Version)
}

// openWith tries to open the store of a data directory with a provider.
func openWith(t *testing.T, dir string, p seal.Provider) error {
	t.Helper()
	a := &app{}
	defer a.close() //nolint:errcheck // nothing was written
	raw, _, err := a.openStore(appConfig{DataDir: filepath.Clean(dir)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = seal.Open(t.Context(), raw, seal.Options{Provider: p, Dev: true})
	return err
}
