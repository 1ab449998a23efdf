package schedule_test

import (
	"context"
	"crypto/fips140"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
)

// mute is a KeyStores with one proxy, which answers nothing any more once it is told to hang.
type mute struct {
	kms.KeyStores
	hang  atomic.Bool
	asked atomic.Int64
}

func (m *mute) Proxy(*record.KeyStore) (kms.Proxy, error) { return muteProxy{m: m}, nil }

func (m *mute) Release(context.Context, *record.KeyStore) {}

type muteProxy struct {
	kms.Proxy
	m *mute
}

func (p muteProxy) Health(ctx context.Context, _ kms.ProxyCall) error {
	if !p.m.hang.Load() {
		return nil
	}
	p.m.asked.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

// muteStore asks for a custom key store behind the proxy.
func muteStore() *api.CreateCustomKeyStoreRequest {
	return &api.CreateCustomKeyStoreRequest{
		CustomKeyStoreName: api.Some("mute"), CustomKeyStoreType: api.Some(api.CustomKeyStoreTypeExternalKeyStore),
		XksProxyConnectivity: api.Some(api.XksProxyConnectivityTypePublicEndpoint), XksProxyUriEndpoint: api.Some("https://xks.example"),
		XksProxyUriPath: api.Some("/kms/xks/v1"), XksProxyAuthenticationCredential: &api.XksProxyAuthenticationCredentialType{
			AccessKeyId: api.Some("ABCDEFGHIJKLMNOPQRST"), RawSecretAccessKey: api.Some("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst"),
		},
	}
}

// TestConnectBeside connects custom key stores that hang: rotations go on meanwhile, and each connection is tried once.
func TestConnectBeside(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, func(t *testing.T) {
		stores := &mute{}
		s := newSite(t, clock.System{}, kms.Config{KeyStores: stores})
		s.kms.Attach(s.p)
		ctx, cancel := context.WithCancel(t.Context())
		id := s.newKey(90)
		<-time.After(90*day - 2*time.Second)
		made := s.must("kms.CreateCustomKeyStore", muteStore()).(*api.CreateCustomKeyStoreResponse)
		stores.hang.Store(true)
		s.must("kms.ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: made.CustomKeyStoreId})
		stopped := make(chan struct{})
		go func() { s.runner.Run(ctx); close(stopped) }()
		<-time.After(4 * time.Second)
		synctest.Wait()
		state := func() api.ConnectionStateType {
			r := s.must("kms.DescribeCustomKeyStores", &api.DescribeCustomKeyStoresRequest{CustomKeyStoreId: made.CustomKeyStoreId}).(*api.DescribeCustomKeyStoresResponse)
			return r.CustomKeyStores[0].ConnectionState.V
		}
		if got := state(); got != api.ConnectionStateTypeConnecting {
			t.Fatalf("the key store is %s: it does not hang", got)
		}
		if n := len(s.rotations(id)); n != 1 {
			t.Errorf("%d rotations while a key store hangs, want 1", n)
		}
		<-time.After(20 * time.Second)
		synctest.Wait()
		if got := state(); got != api.ConnectionStateTypeFailed || stores.asked.Load() != 1 {
			t.Errorf("the key store is %s, and was asked %d times", got, stores.asked.Load())
		}
		cancel()
		<-stopped
		s.close()
	})
}
