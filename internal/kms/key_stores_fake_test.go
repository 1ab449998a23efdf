package kms_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
)

const (
	clusterA  = "cluster-aaaaaaaaaaa"
	clusterB  = "cluster-bbbbbbbbbbb" // related to A
	clusterC  = "cluster-ccccccccccc" // not related
	password  = "correct horse"
	accessID  = "ABCDEFGHIJKLMNOPQRST"
	rawSecret = "ahTsecretsecretsecretsecretsecretsecretsecre"
	vpcName   = "com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0"
)

func anchor(text string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))
}

// fakeStores has tokens and a proxy in memory. Its hooks run before anything else of a call and can make it fail.
type fakeStores struct {
	mu       sync.Mutex
	anchors  map[string]string
	tokens   map[string]map[string]cipher.AEAD // by cluster, by name of the key
	external map[string]*fakeExternal          // by ID of the external key
	released []string
	calls    []kms.ProxyCall
	made     int // token keys
	hook     func(ctx context.Context, call string) error
	answer   func(call string, b []byte) []byte // changes what comes back
}

type fakeExternal struct {
	kms.ExternalKey
	aead cipher.AEAD
}

func newAEAD() cipher.AEAD {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func newFakeStores() *fakeStores {
	usable := func() *fakeExternal {
		return &fakeExternal{kms.ExternalKey{Spec: "AES_256", Status: "ENABLED", Usage: []string{"ENCRYPT", "DECRYPT", "WRAP"}}, newAEAD()}
	}
	f := &fakeStores{
		anchors:  map[string]string{clusterA: anchor("one"), clusterB: anchor("one"), clusterC: anchor("other")},
		tokens:   map[string]map[string]cipher.AEAD{clusterA: {}, clusterB: {}, clusterC: {}},
		external: map[string]*fakeExternal{"external-1": usable(), "external-2": usable()},
	}
	return f
}

// fail makes every call with a name fail from now on; "" for all.
func (f *fakeStores) fail(call string, err error) {
	f.set(func(_ context.Context, c string) error {
		if call == "" || call == c {
			return err
		}
		return nil
	})
}

func (f *fakeStores) set(hook func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *fakeStores) before(ctx context.Context, call string) error {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, call)
}

// fits refuses additional data that real tokens and proxies do not take.
func fits(ad []byte) error {
	if len(ad) > 8192 {
		return &kms.StoreError{Fault: kms.FaultInternal}
	}
	return nil
}

func (f *fakeStores) after(call string, b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer == nil {
		return b
	}
	return f.answer(call, b)
}

func (f *fakeStores) tokenKeys(cluster string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tokens[cluster])
}

func (f *fakeStores) Cluster(ctx context.Context, _ record.Owner, id string) (string, error) {
	f.mu.Lock()
	a, ok := f.anchors[id]
	f.mu.Unlock()
	if !ok {
		return "", &kms.StoreError{Fault: kms.FaultNoCluster}
	}
	return a, f.before(ctx, "Cluster")
}

func (f *fakeStores) Token(s *record.KeyStore) (kms.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.tokens[s.ClusterID]; !ok {
		return nil, &kms.StoreError{Fault: kms.FaultNoCluster}
	}
	return &fakeToken{f, s.ClusterID, s.Password}, nil
}

func (f *fakeStores) Proxy(s *record.KeyStore) (kms.Proxy, error) {
	if s.Proxy.Service != "" && s.Proxy.Service != vpcName {
		return nil, &kms.StoreError{Fault: kms.FaultNoService}
	}
	return fakeProxy{f, s.Proxy.SecretAccessKey}, nil
}

func (f *fakeStores) Release(_ context.Context, s *record.KeyStore) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.released = append(f.released, s.ID)
}

type fakeToken struct {
	f                 *fakeStores
	cluster, password string
}

func (t *fakeToken) Login(ctx context.Context) error {
	if err := t.f.before(ctx, "Login"); err != nil {
		return err
	}
	if t.password != password {
		return &kms.StoreError{Fault: kms.FaultPassword}
	}
	return nil
}

func (t *fakeToken) GenerateKey(ctx context.Context, name string) error {
	if err := t.f.before(ctx, "GenerateKey"); err != nil {
		return err
	}
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	t.f.tokens[t.cluster][name] = newAEAD()
	t.f.made++
	return nil
}

func (t *fakeToken) DestroyKey(ctx context.Context, name string) error {
	if err := t.f.before(ctx, "DestroyKey"); err != nil {
		return err
	}
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	if t.f.tokens[t.cluster][name] == nil {
		return &kms.StoreError{Fault: kms.FaultTokenKey}
	}
	delete(t.f.tokens[t.cluster], name)
	return nil
}

func (t *fakeToken) key(ctx context.Context, call, name string) (cipher.AEAD, error) {
	if err := t.f.before(ctx, call); err != nil {
		return nil, err
	}
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	if aead := t.f.tokens[t.cluster][name]; aead != nil {
		return aead, nil
	}
	return nil, &kms.StoreError{Fault: kms.FaultTokenKey}
}

func (t *fakeToken) Encrypt(ctx context.Context, name string, ad, plaintext []byte) (iv, sealed []byte, err error) {
	aead, err := t.key(ctx, "Encrypt", name)
	if err = errors.Join(err, fits(ad)); err != nil {
		return nil, nil, err
	}
	b := t.f.after("Encrypt", aead.Seal(nil, nil, plaintext, ad))
	return b[:12], b[12:], nil
}

func (t *fakeToken) Decrypt(ctx context.Context, name string, iv, ad, sealed []byte) ([]byte, error) {
	aead, err := t.key(ctx, "Decrypt", name)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, append(append([]byte(nil), iv...), sealed...), ad)
	if err != nil {
		return nil, keys.ErrCiphertext
	}
	return t.f.after("Decrypt", plaintext), nil
}

func (t *fakeToken) Random(ctx context.Context, n int) ([]byte, error) {
	if err := t.f.before(ctx, "Random"); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	rand.Read(b)
	return t.f.after("Random", b), nil
}

type fakeProxy struct {
	f      *fakeStores
	secret string
}

func (p fakeProxy) begin(ctx context.Context, call string, c kms.ProxyCall) error {
	p.f.mu.Lock()
	p.f.calls = append(p.f.calls, c)
	p.f.mu.Unlock()
	if p.secret != rawSecret {
		return &kms.StoreError{Fault: kms.FaultCredential}
	}
	return p.f.before(ctx, call)
}

func (p fakeProxy) Health(ctx context.Context, c kms.ProxyCall) error {
	return p.begin(ctx, "Health", c)
}

func (p fakeProxy) key(ctx context.Context, call, id string, c kms.ProxyCall) (*fakeExternal, error) {
	if err := p.begin(ctx, call, c); err != nil {
		return nil, err
	}
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if k := p.f.external[id]; k != nil {
		return k, nil
	}
	return nil, &kms.StoreError{Fault: kms.FaultKeyNotFound}
}

func (p fakeProxy) Key(ctx context.Context, id string, c kms.ProxyCall) (kms.ExternalKey, error) {
	k, err := p.key(ctx, "Key", id, c)
	if err != nil {
		return kms.ExternalKey{}, err
	}
	return k.ExternalKey, nil
}

func (p fakeProxy) Encrypt(ctx context.Context, id string, ad, plaintext []byte, c kms.ProxyCall) ([]byte, error) {
	k, err := p.key(ctx, "Encrypt", id, c)
	if err = errors.Join(err, fits(ad)); err != nil {
		return nil, err
	}
	return p.f.after("Encrypt", k.aead.Seal(nil, nil, plaintext, ad)), nil
}

func (p fakeProxy) Decrypt(ctx context.Context, id string, ad, sealed []byte, c kms.ProxyCall) ([]byte, error) {
	k, err := p.key(ctx, "Decrypt", id, c)
	if err != nil {
		return nil, err
	}
	plaintext, err := k.aead.Open(nil, nil, sealed, ad)
	if err != nil {
		return nil, &kms.StoreError{Fault: kms.FaultCiphertext}
	}
	return p.f.after("Decrypt", plaintext), nil
}

// storesBench is a bench with fake tokens and proxies.
func storesBench(t testing.TB, c kms.Config) (*bench, *fakeStores) {
	t.Helper()
	f := newFakeStores()
	c.KeyStores = f
	b := newBench(t, c)
	b.kms.Attach(b.p)
	t.Cleanup(func() { b.close(t) })
	return b, f
}

func tokenStore(name, cluster string) *api.CreateCustomKeyStoreRequest {
	return &api.CreateCustomKeyStoreRequest{
		CustomKeyStoreName: str(name), CloudHsmClusterId: str(cluster), KeyStorePassword: str(password), TrustAnchorCertificate: str(anchor("one")),
	}
}

func publicStore(name, host string) *api.CreateCustomKeyStoreRequest {
	return &api.CreateCustomKeyStoreRequest{
		CustomKeyStoreName: str(name), CustomKeyStoreType: str(api.CustomKeyStoreTypeExternalKeyStore),
		XksProxyConnectivity: str(api.XksProxyConnectivityTypePublicEndpoint), XksProxyUriEndpoint: str("https://" + host),
		XksProxyUriPath: str("/kms/xks/v1"),
		XksProxyAuthenticationCredential: &api.XksProxyAuthenticationCredentialType{
			AccessKeyId: str(accessID), RawSecretAccessKey: str(rawSecret),
		},
	}
}

func privateStore(name, host string) *api.CreateCustomKeyStoreRequest {
	q := publicStore(name, host)
	q.XksProxyConnectivity = str(api.XksProxyConnectivityTypeVpcEndpointService)
	q.XksProxyVpcEndpointServiceName = str(vpcName)
	return q
}

func (b *bench) newStore(t checker, q *api.CreateCustomKeyStoreRequest) string {
	t.Helper()
	return must[api.CreateCustomKeyStoreResponse](t, b, "CreateCustomKeyStore", q).CustomKeyStoreId.V
}

// runDue runs what is due now.
func (b *bench) runDue(t checker) {
	t.Helper()
	if err := b.runner.RunDue(context.Background()); err != nil {
		t.Fatalf("RunDue: %v", err)
	}
}

func (b *bench) connect(t checker, id string) {
	t.Helper()
	b.run(t, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
	b.runDue(t)
}

func (b *bench) disconnect(t checker, id string) {
	t.Helper()
	b.run(t, "DisconnectCustomKeyStore", &api.DisconnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
}

func (b *bench) store(t checker, id string) api.CustomKeyStoresListEntry {
	t.Helper()
	r := must[api.DescribeCustomKeyStoresResponse](t, b, "DescribeCustomKeyStores", &api.DescribeCustomKeyStoresRequest{CustomKeyStoreId: str(id)})
	if len(r.CustomKeyStores) != 1 {
		t.Fatalf("%d custom key stores of one ID", len(r.CustomKeyStores))
	}
	return r.CustomKeyStores[0]
}

func inToken(store string) *api.CreateKeyRequest {
	return &api.CreateKeyRequest{Origin: str(api.OriginTypeAwsCloudhsm), CustomKeyStoreId: str(store)}
}

func inProxy(store, external string) *api.CreateKeyRequest {
	return &api.CreateKeyRequest{Origin: str(api.OriginTypeExternalKeyStore), CustomKeyStoreId: str(store), XksKeyId: str(external)}
}

// refused runs an operation that has to fail with a code.
func (b *bench) refused(t checker, code api.ErrorCode, op string, req api.Request) *api.Error {
	t.Helper()
	_, err := b.do(t, op, req)
	if err == nil || err.Code != code {
		t.Errorf("%s: %v, want %s", op, err, code)
		return &api.Error{}
	}
	return err
}
