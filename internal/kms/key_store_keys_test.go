package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
)

// storeKey makes a connected custom key store with a key in it.
func (b *bench) storeKey(t checker, token bool) (store, key string) {
	t.Helper()
	if token {
		store = b.newStore(t, tokenStore("hsm", clusterA))
		b.connect(t, store)
		key, _ = b.newKey(t, inToken(store))
		return store, key
	}
	store = b.newStore(t, publicStore("xks", "proxy.example"))
	b.connect(t, store)
	key, _ = b.newKey(t, inProxy(store, "external-1"))
	return store, key
}

func (b *bench) encrypt(t checker, key, plaintext string) []byte {
	t.Helper()
	return must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte(plaintext)}).CiphertextBlob
}

func (b *bench) decrypts(t checker, blob []byte, plaintext string) {
	t.Helper()
	if r := must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob}); string(r.Plaintext) != plaintext {
		t.Errorf("decrypted to %q, want %q", r.Plaintext, plaintext)
	}
}

// TestStoreKeyUse uses keys of both types in every operation that can.
func TestStoreKeyUse(t *testing.T) {
	for _, token := range []bool{true, false} {
		b, f := storesBench(t, kms.Config{})
		store, key := b.storeKey(t, token)
		m := must[api.DescribeKeyResponse](t, b, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(key)}).KeyMetadata
		if m.CustomKeyStoreId.V != store || m.CurrentKeyMaterialId.Set || m.KeyState.V != api.KeyStateEnabled || (m.CloudHsmClusterId.V == clusterA) != token ||
			(m.XksKeyConfiguration == nil) != token {
			t.Errorf("token %v: %+v", token, m)
		}
		if token && f.tokenKeys(clusterA) != 1 {
			t.Errorf("%d keys in the token", f.tokenKeys(clusterA))
		}

		long := map[string]string{"a": strings.Repeat("x", 8000), "b": strings.Repeat("y", 180)} // longer than tokens and proxies take
		for _, context := range []map[string]string{nil, {"k": "v"}, long} {
			blob := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: bytes.Repeat([]byte{7}, 4096), EncryptionContext: context}).CiphertextBlob
			r := must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: context})
			if !bytes.Equal(r.Plaintext, bytes.Repeat([]byte{7}, 4096)) || r.KeyMaterialId.Set {
				t.Errorf("token %v: decrypted to something else, material %v", token, r.KeyMaterialId)
			}
			wrong := api.InvalidCiphertextException
			if !token {
				wrong = api.KMSInvalidStateException // what a proxy refuses, whatever the reason
			}
			b.refused(t, wrong, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: map[string]string{"other": ""}})
			blob[len(blob)-1] ^= 1
			b.refused(t, api.InvalidCiphertextException, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, EncryptionContext: context})
		}

		data := must[api.GenerateDataKeyResponse](t, b, "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(key), KeySpec: str(api.DataKeySpecAes256)})
		b.decrypts(t, data.CiphertextBlob, string(data.Plaintext))
		// The two operations' pages: not with a KMS key in a custom key store.
		p256 := str(api.DataKeyPairSpecEccNistP256)
		b.refused(t, api.UnsupportedOperationException, "GenerateDataKeyPair", &api.GenerateDataKeyPairRequest{KeyId: str(key), KeyPairSpec: p256})
		b.refused(t, api.UnsupportedOperationException, "GenerateDataKeyPairWithoutPlaintext", &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: str(key), KeyPairSpec: p256})

		plain, _ := b.newKey(t, &api.CreateKeyRequest{})
		out := must[api.ReEncryptResponse](t, b, "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: b.encrypt(t, key, "there"), DestinationKeyId: str(plain)})
		back := must[api.ReEncryptResponse](t, b, "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: out.CiphertextBlob, DestinationKeyId: str(key)})
		if out.SourceKeyMaterialId.Set || back.DestinationKeyMaterialId.Set {
			t.Error("a material that nobody is told of is named")
		}
		b.decrypts(t, back.CiphertextBlob, "there")

		for op, q := range map[string]api.Request{
			"EnableKeyRotation": &api.EnableKeyRotationRequest{KeyId: str(key)}, "RotateKeyOnDemand": &api.RotateKeyOnDemandRequest{KeyId: str(key)},
		} {
			b.refused(t, api.UnsupportedOperationException, op, q)
		}
		if !token {
			for _, c := range f.calls {
				if c.Operation == "Encrypt" && (c.KeyARN != m.Arn.V || c.Principal != b.caller.ARN || c.RequestID == "") {
					t.Errorf("the proxy was told %+v", c)
				}
			}
			f.mu.Lock()
			delete(f.external, "external-1")
			f.mu.Unlock()
			b.refused(t, api.KMSInvalidStateException, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
		}
	}
}

// TestStoreKeyTwoLayers shows that what an external key manager decrypts is not the plaintext.
func TestStoreKeyTwoLayers(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	_, key := b.storeKey(t, false)
	var inner []byte
	f.answer = func(call string, p []byte) []byte {
		if call == "Decrypt" {
			inner = bytes.Clone(p)
		}
		return p
	}
	b.decrypts(t, b.encrypt(t, key, "a secret of some length"), "a secret of some length")
	if len(inner) == 0 || bytes.Contains(inner, []byte("secret")) {
		t.Errorf("the proxy sees %q", inner)
	}
}

// TestStoreKeyOrigin makes keys that cannot be.
func TestStoreKeyOrigin(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	token, external := b.newStore(t, tokenStore("hsm", clusterA)), b.newStore(t, publicStore("xks", "proxy.example"))
	b.connect(t, token)
	b.connect(t, external)
	b.newKey(t, inProxy(external, "external-1"))
	with := func(q *api.CreateKeyRequest, change func(*api.CreateKeyRequest)) *api.CreateKeyRequest {
		change(q)
		return q
	}
	for _, c := range []struct {
		code api.ErrorCode
		q    *api.CreateKeyRequest
	}{
		{api.ValidationException, inToken(external)},
		{api.ValidationException, inProxy(token, "external-2")},
		{api.ValidationException, &api.CreateKeyRequest{CustomKeyStoreId: str(token)}},
		{api.UnsupportedOperationException, with(inToken(token), func(q *api.CreateKeyRequest) { q.MultiRegion = api.Some(true) })},
		{api.XksKeyAlreadyInUseException, inProxy(external, "external-1")},
		{api.XksKeyNotFoundException, inProxy(external, "external-3")},
	} {
		b.refused(t, c.code, "CreateKey", c.q)
	}
	for what, change := range map[string]func(*fakeExternal){
		"The key spec of the external key must be AES_256. The key spec of specified external key is RSA_2048.": func(k *fakeExternal) { k.Spec = "RSA_2048" },
		"The status of the external key must be ENABLED. The status of specified external key is DISABLED.":     func(k *fakeExternal) { k.Status = "DISABLED" },
		"The key usage of the external key must include ENCRYPT and DECRYPT. The key usage of specified external key is DECRYPT.": func(k *fakeExternal) {
			k.Usage = []string{"DECRYPT"}
		},
	} {
		f.external["external-4"] = &fakeExternal{f.external["external-2"].ExternalKey, newAEAD()}
		change(f.external["external-4"])
		if e := b.refused(t, api.XksKeyInvalidConfigurationException, "CreateKey", inProxy(external, "external-4")); e.Message != what {
			t.Errorf("%s, want %s", e.Message, what)
		}
	}
}

// TestStoreKeyFaults has what a token or proxy can do wrong when a key is made, and when it is used.
func TestStoreKeyFaults(t *testing.T) {
	const badStore, badKey = api.CustomKeyStoreInvalidStateException, api.KMSInvalidStateException
	for _, c := range []struct {
		fault       kms.Fault
		token       bool
		create, use api.ErrorCode
	}{
		{kms.FaultInactive, true, api.DependencyTimeoutException, api.KeyUnavailableException},
		{kms.FaultNoToken, true, api.CloudHsmClusterInvalidConfigurationException, api.KeyUnavailableException},
		{kms.FaultModule, true, api.CloudHsmClusterInvalidConfigurationException, api.KeyUnavailableException},
		{kms.FaultPassword, true, badStore, badKey},
		{kms.FaultLocked, true, badStore, badKey},
		{kms.FaultTokenKey, true, api.KMSInternalException, badKey},
		{kms.FaultInternal, true, api.KMSInternalException, api.KMSInternalException},
		{kms.FaultBusy, true, api.ThrottlingException, api.ThrottlingException},
		{kms.FaultNoCluster, true, badStore, badKey},
		{kms.FaultTimeout, false, badStore, badKey},
		{kms.FaultUnreachable, false, badStore, badKey},
		{kms.FaultTLS, false, badStore, badKey},
		{kms.FaultPath, false, badStore, badKey},
		{kms.FaultCredential, false, badStore, badKey},
		{kms.FaultDenied, false, badStore, badKey},
		{kms.FaultResponse, false, badStore, badKey},
		{kms.FaultManager, false, badStore, badKey},
		{kms.FaultThrottled, false, badStore, badKey},
		{kms.FaultUnsupported, false, api.UnsupportedOperationException, badKey},
		{kms.FaultKeyNotFound, false, api.XksKeyNotFoundException, badKey},
		{kms.FaultKeyDisabled, false, api.XksKeyInvalidConfigurationException, badKey},
		{kms.FaultKeyUsage, false, api.XksKeyInvalidConfigurationException, badKey},
		{kms.FaultCiphertext, false, badStore, badKey},
		{kms.FaultBusy, false, api.ThrottlingException, api.ThrottlingException},
	} {
		b, f := storesBench(t, kms.Config{})
		store, key := b.storeKey(t, c.token)
		blob := b.encrypt(t, key, "x")
		other, _ := b.newKey(t, &api.CreateKeyRequest{})
		f.fail("", &kms.StoreError{Fault: c.fault, Err: fmt.Errorf("a detail nobody is told")})
		create := inProxy(store, "external-2")
		if c.token {
			create = inToken(store)
		}
		b.refused(t, c.create, "CreateKey", create)
		for op, q := range map[string]api.Request{
			"Encrypt":                         &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")},
			"Decrypt":                         &api.DecryptRequest{CiphertextBlob: blob},
			"ReEncrypt":                       &api.ReEncryptRequest{CiphertextBlob: blob, DestinationKeyId: str(other)},
			"GenerateDataKeyWithoutPlaintext": &api.GenerateDataKeyWithoutPlaintextRequest{KeyId: str(key), KeySpec: str(api.DataKeySpecAes128)},
		} {
			if e := b.refused(t, c.use, op, q); strings.Contains(e.Message, "detail") || e.Message == "" {
				t.Errorf("fault %d: message %q", c.fault, e.Message)
			}
		}
		// Other keys go on, and this one when the fault is gone.
		b.decrypts(t, b.encrypt(t, other, "y"), "y")
		f.set(nil)
		b.decrypts(t, blob, "x")
	}
}

// TestStoreKeyLies has tokens and proxies answer with something else than they were asked for.
func TestStoreKeyLies(t *testing.T) {
	for _, c := range []struct {
		token bool
		call  string
		code  api.ErrorCode
		lie   func([]byte) []byte
	}{
		{true, "Encrypt", api.KMSInternalException, func(b []byte) []byte { return b[:len(b)-1] }},
		{true, "Encrypt", api.KMSInternalException, func(b []byte) []byte { return append(b, 0) }},
		{true, "Decrypt", api.KMSInternalException, func(b []byte) []byte { return append(b, 0) }},
		{true, "Decrypt", api.KMSInternalException, func([]byte) []byte { return nil }},
		{false, "Decrypt", api.KMSInvalidStateException, func(b []byte) []byte { b[0] ^= 1; return b }},
		{false, "Decrypt", api.KMSInvalidStateException, func([]byte) []byte { return []byte("a plaintext") }},
		{false, "Decrypt", api.KMSInvalidStateException, func([]byte) []byte { return nil }},
	} {
		b, f := storesBench(t, kms.Config{})
		_, key := b.storeKey(t, c.token)
		blob := b.encrypt(t, key, "a plaintext")
		f.answer = func(call string, answer []byte) []byte {
			if call == c.call {
				return c.lie(bytes.Clone(answer))
			}
			return answer
		}
		if c.call == "Encrypt" {
			b.refused(t, c.code, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
		} else {
			b.refused(t, c.code, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
		}
	}
}

// TestStoreKeyHangs has everything behind a custom key store stop answering: every operation ends in bounded time.
func TestStoreKeyHangs(t *testing.T) {
	for _, token := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeStores()
			b := newBench(t, kms.Config{KeyStores: f})
			defer b.close(t)
			b.kms.Attach(b.p)
			store, key := b.storeKey(t, token)
			blob := b.encrypt(t, key, "x")
			f.set(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
			began := time.Now()
			create := inProxy(store, "external-2")
			if token {
				create = inToken(store)
			}
			b.refused(t, api.DependencyTimeoutException, "CreateKey", create)
			b.refused(t, api.DependencyTimeoutException, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
			b.refused(t, api.DependencyTimeoutException, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
			b.disconnect(t, store)
			b.connect(t, store)
			if e := b.store(t, store); e.ConnectionErrorCode.V != api.ConnectionErrorCodeTypeNetworkErrors {
				t.Errorf("%+v", e)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestStoreKeyUnavailable disconnects: keys cannot be used, but managed; connecting brings them back as they were.
func TestStoreKeyUnavailable(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	store, key := b.storeKey(t, true)
	blob := b.encrypt(t, key, "x")
	b.disconnect(t, store)
	state := func() api.KeyState {
		return must[api.DescribeKeyResponse](t, b, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(key)}).KeyMetadata.KeyState.V
	}
	if s := state(); s != api.KeyStateUnavailable {
		t.Errorf("state %s", s)
	}
	b.refused(t, api.KMSInvalidStateException, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	b.connect(t, store)
	if s := state(); s != api.KeyStateEnabled {
		t.Errorf("state %s", s)
	}
	b.decrypts(t, blob, "x")
}

// TestStoreRandom draws from a token.
func TestStoreRandom(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	token, external := b.newStore(t, tokenStore("hsm", clusterA)), b.newStore(t, publicStore("xks", "proxy.example"))
	b.connect(t, token)
	b.connect(t, external)
	q := &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](1024), CustomKeyStoreId: str(token)}
	if r := must[api.GenerateRandomResponse](t, b, "GenerateRandom", q); len(r.Plaintext) != 1024 {
		t.Errorf("%d bytes", len(r.Plaintext))
	}
	f.answer = func(string, []byte) []byte { return []byte{4} }
	b.refused(t, api.KMSInternalException, "GenerateRandom", q)
	f.fail("Random", &kms.StoreError{Fault: kms.FaultInactive})
	b.refused(t, api.DependencyTimeoutException, "GenerateRandom", q)
	q.CustomKeyStoreId = str(external)
	b.refused(t, api.UnsupportedOperationException, "GenerateRandom", q)
}

// TestTokenKeyConflict makes a key in the middle of making another: the plan of the first runs again, its token key is made once.
func TestTokenKeyConflict(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	store := b.newStore(t, tokenStore("hsm", clusterA))
	b.connect(t, store)
	nested := false
	f.set(func(_ context.Context, call string) error {
		if call == "GenerateKey" && !nested {
			nested = true
			b.newKey(t, inToken(store))
		}
		return nil
	})
	key, _ := b.newKey(t, inToken(store))
	if f.made != 2 {
		t.Errorf("the token made %d keys, want 2", f.made)
	}
	b.decrypts(t, b.encrypt(t, key, "x"), "x")
}

// TestTokenKeyDeletion deletes keys: their materials go from the token if it is there, and the log tells if they did not.
func TestTokenKeyDeletion(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(b *bench, f *fakeStores, store string)
		left   int
		status string // "" for no attempt
	}{
		{"connected", func(*bench, *fakeStores, string) {}, 0, "SUCCESS"},
		{"disconnected", func(b *bench, _ *fakeStores, store string) { b.disconnect(t, store) }, 1, ""},
		{"failing", func(_ *bench, f *fakeStores, _ string) { f.fail("", &kms.StoreError{Fault: kms.FaultInactive}) }, 1, "FAILURE"},
		{"gone already", func(_ *bench, f *fakeStores, _ string) { clear(f.tokens[clusterA]) }, 0, "SUCCESS"},
	} {
		b, f := storesBench(t, kms.Config{})
		store, key := b.storeKey(t, true)
		b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(key), PendingWindowInDays: api.Some[int64](7)})
		c.before(b, f, store)
		b.advance(t, 8*24*time.Hour)
		if n := f.tokenKeys(clusterA); n != c.left {
			t.Errorf("%s: %d keys left in the token, want %d", c.name, n, c.left)
		}
		b.refused(t, api.NotFoundException, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(key)})
		status := ""
		for _, e := range b.events(t) {
			if e.EventName == "DeleteKey" && (len(e.Details["backingKeys"].([]any)) != 1 || e.Details["clusterId"] != clusterA) {
				t.Errorf("%s: the record of the deletion has %v", c.name, e.Details)
			}
		}
		for line, err := range b.sink.Since(1) {
			var e struct {
				EventName string `json:"eventName"`
				Response  struct {
					Status []string `json:"backingKeysDeletionStatus"`
				} `json:"responseElements"`
			}
			if err = errors.Join(err, json.Unmarshal(line.JSON, &e)); err != nil {
				t.Fatal(err)
			}
			if e.EventName == "DeleteBackingKeys" {
				status += strings.Join(e.Response.Status, " ")
			}
		}
		if status != c.status {
			t.Errorf("%s: status %q, want %q", c.name, status, c.status)
		}
		if c.name != "disconnected" {
			b.disconnect(t, store)
		}
		b.run(t, "DeleteCustomKeyStore", &api.DeleteCustomKeyStoreRequest{CustomKeyStoreId: str(store)})
	}
}

// TestExternalKeyDeletion leaves the external key alone, and free for another KMS key.
func TestExternalKeyDeletion(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	store, key := b.storeKey(t, false)
	b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(key), PendingWindowInDays: api.Some[int64](7)})
	b.refused(t, api.XksKeyAlreadyInUseException, "CreateKey", inProxy(store, "external-1"))
	b.advance(t, 8*24*time.Hour)
	if f.external["external-1"] == nil {
		t.Error("the external key is gone")
	}
	b.newKey(t, inProxy(store, "external-1"))
}

// tokenMaterial is the stored record of a material.
func (b *bench) tokenMaterial(t checker, key, id string) *record.Material {
	t.Helper()
	at := record.MaterialStoreKey(record.Owner{Account: account, Region: region}, key, id)
	entries, err := b.sealed.Get(context.Background(), at)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, err := record.Decode(at, entries[0].Value)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r.(*record.Material)
}

func (b *bench) currentMaterial(t checker, key string) string {
	t.Helper()
	at := record.KeyStoreKey(record.Owner{Account: account, Region: region}, key)
	entries, err := b.sealed.Get(context.Background(), at)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, err := record.Decode(at, entries[0].Value)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r.(*record.Key).Current
}

// TestTokenMessages lets a key encrypt more than one token key may: another takes its place, and everything decrypts.
func TestTokenMessages(t *testing.T) {
	const limit = 5
	b, f := storesBench(t, kms.Config{TokenMessages: limit})
	_, key := b.storeKey(t, true)
	first := b.currentMaterial(t, key)
	var blobs [][]byte
	for i := range 12 {
		blobs = append(blobs, b.encrypt(t, key, fmt.Sprint(i)))
	}
	for i, blob := range blobs {
		b.decrypts(t, blob, fmt.Sprint(i))
	}
	if f.made != 3 {
		t.Errorf("the token has made %d keys for 12 messages, want 3", f.made)
	}
	if m := b.tokenMaterial(t, key, first); m.Messages != limit {
		t.Errorf("the first key was to encrypt %d messages, want %d", m.Messages, limit)
	}
	renewed := 0
	for _, e := range b.events(t) {
		if e.EventName == "RenewTokenKey" && e.ErrorCode == "" && e.Details["keyId"] == key {
			renewed++
		}
	}
	if renewed != 2 {
		t.Errorf("%d records of new token keys, want 2", renewed)
	}
}

// TestTokenMessagesRestart restarts again and again: no message is counted less than once.
func TestTokenMessagesRestart(t *testing.T) {
	b, f := storesBench(t, kms.Config{TokenMessages: 1 << 20}) // reserved 512 at a time
	_, key := b.storeKey(t, true)
	first := b.currentMaterial(t, key)
	for range 3 {
		again := kms.New(kms.Config{KeyStores: f, TokenMessages: 1 << 20})
		again.Attach(b.p)
		for _, op := range again.Operations() {
			b.ops["kms."+op.Name] = op
		}
		b.encrypt(t, key, "x")
		b.encrypt(t, key, "y")
	}
	if m := b.tokenMaterial(t, key, first); m.Messages != 3*512 {
		t.Errorf("%d messages reserved, want %d", m.Messages, 3*512)
	}
}

// TestTokenMessagesFull has a token that cannot make another key: the old one goes on up to twice its share, and no further.
func TestTokenMessagesFull(t *testing.T) {
	const limit = 5
	b, f := storesBench(t, kms.Config{TokenMessages: limit})
	_, key := b.storeKey(t, true)
	f.fail("GenerateKey", &kms.StoreError{Fault: kms.FaultInternal})
	blob := []byte(nil)
	for range 2 * limit {
		blob = b.encrypt(t, key, "x")
	}
	b.refused(t, api.KMSInvalidStateException, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
	b.decrypts(t, blob, "x")
	failures := 0
	for _, e := range b.events(t) {
		if e.EventName == "RenewTokenKey" && e.ErrorCode != "" {
			failures++
		}
	}
	if failures != limit+1 {
		t.Errorf("%d records of failures, want %d", failures, limit+1)
	}
}
