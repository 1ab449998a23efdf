package kms_test

import (
	"context"
	"crypto/fips140"
	"log/slog"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/throttle"
)

// TestEveryOperationHasAQuota checks the table of quotas against the operations, those that are not built included.
func TestEveryOperationHasAQuota(t *testing.T) {
	used := map[throttle.Class]bool{}
	for _, op := range kms.New(kms.Config{}).Operations() {
		q := op.Quota
		used[q.Class] = true
		if q.Class == 0 && q.Request == nil && q.Targets == nil {
			t.Errorf("%s counts toward no quota", op.Name)
		}
		if q.Class != 0 && q.Class.String() != op.Name && op.Name != "GenerateRandom" {
			t.Errorf("%s counts toward %v", op.Name, q.Class)
		}
	}
	for c := throttle.CancelKeyDeletion; c <= throttle.UpdatePrimaryRegion; c++ {
		if !used[c] {
			t.Errorf("nothing counts toward %v", c)
		}
	}
	for _, op := range kms.New(kms.Config{}).Internal() {
		if op.Quota.Class != 0 || op.Quota.Request != nil || op.Quota.Targets != nil {
			t.Errorf("%s, which the service does by itself, counts toward a quota", op.Name)
		}
	}
}

// limit puts quotas before the operations of a bench: those of rates, and for the rest a million calls a second. Time stands still.
func (b *bench) limit(t testing.TB, rates map[throttle.Class]float64) {
	t.Helper()
	b.limitAt(t, rates, func() time.Duration { return 0 })
}

func (b *bench) limitAt(t testing.TB, rates map[throttle.Class]float64, now func() time.Duration) {
	t.Helper()
	l, err := throttle.New(throttle.Config{Factor: throttle.MaxRate, Rates: rates, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	b.close(t)
	b.p, err = service.New(context.Background(), service.Config{
		Store: b.sealed, Keyring: b.sealed.Keyring(), Clock: b.clock, Audit: b.sink, NodeID: "n1", Log: slog.New(slog.DiscardHandler),
		Authorize: b.kms.Authorize, Exclusive: true, Quotas: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.kms.Attach(b.p)
}

// TestKeyQuotas uses a key of every spec with quotas of one call for each class but its own: its class is the one that runs out.
func TestKeyQuotas(t *testing.T) {
	specs := map[api.KeySpec]throttle.Class{
		"SYMMETRIC_DEFAULT": throttle.CryptographicSymmetric,
		"HMAC_224":          throttle.CryptographicSymmetric, "HMAC_256": throttle.CryptographicSymmetric,
		"HMAC_384": throttle.CryptographicSymmetric, "HMAC_512": throttle.CryptographicSymmetric,
		"RSA_2048": throttle.CryptographicRSA, "RSA_3072": throttle.CryptographicRSA, "RSA_4096": throttle.CryptographicRSA,
		"ECC_NIST_P256": throttle.CryptographicECC, "ECC_NIST_P384": throttle.CryptographicECC, "ECC_NIST_P521": throttle.CryptographicECC,
		"ECC_SECG_P256K1": throttle.CryptographicECC, "ECC_NIST_EDWARDS25519": throttle.CryptographicECC, "SM2": throttle.CryptographicECC,
		"ML_DSA_44": throttle.CryptographicMLDSA, "ML_DSA_65": throttle.CryptographicMLDSA, "ML_DSA_87": throttle.CryptographicMLDSA,
		"ML_KEM_512": throttle.CryptographicMLKEM, "ML_KEM_768": throttle.CryptographicMLKEM, "ML_KEM_1024": throttle.CryptographicMLKEM,
	}
	usages := map[throttle.Class]api.KeyUsageType{
		throttle.CryptographicRSA: "SIGN_VERIFY", throttle.CryptographicECC: "SIGN_VERIFY",
		throttle.CryptographicMLDSA: "SIGN_VERIFY", throttle.CryptographicMLKEM: api.KeyUsageTypeEncapsulateDecapsulate,
	}
	b := testBench(t)
	ids := map[api.KeySpec]string{}
	for _, spec := range api.KeySpec("").Values() {
		class, ok := specs[spec]
		if !ok {
			t.Errorf("key spec %s is not in this test", spec)
			continue
		}
		usage := usages[class]
		if class == throttle.CryptographicSymmetric && spec != "SYMMETRIC_DEFAULT" {
			usage = "GENERATE_VERIFY_MAC"
		} else if usage == "" {
			usage = "ENCRYPT_DECRYPT"
		}
		resp, err := b.do(t, "CreateKey", &api.CreateKeyRequest{KeySpec: str(spec), KeyUsage: str(usage)})
		switch {
		case err == nil:
			ids[spec] = resp.(*api.CreateKeyResponse).KeyMetadata.KeyId.V
		case !fips140.Enforced(): // which has not all of them
			t.Fatal(err)
		}
	}
	for spec, class := range specs {
		if ids[spec] == "" {
			continue
		}
		// A dry run counts as any call; whether the key could do what is asked of it does not matter here.
		sign := &api.SignRequest{KeyId: str(ids[spec]), Message: []byte("m"), SigningAlgorithm: str(api.SigningAlgorithmSpec("ECDSA_SHA_256")), DryRun: api.Some(true)}
		rates := map[throttle.Class]float64{
			throttle.CryptographicSymmetric: 1, throttle.CryptographicRSA: 1, throttle.CryptographicECC: 1,
			throttle.CryptographicMLDSA: 1, throttle.CryptographicMLKEM: 1,
		}
		delete(rates, class)
		b.limit(t, rates)
		for range 3 {
			if _, err := b.do(t, "Sign", sign); err != nil && err.Code == api.ThrottlingException {
				t.Errorf("a key of spec %s counts toward more than %v", spec, class)
			}
		}
		b.limit(t, map[throttle.Class]float64{class: 1})
		for i, want := range []bool{false, true} {
			if _, err := b.do(t, "Sign", sign); (err != nil && err.Code == api.ThrottlingException) != want {
				t.Errorf("spec %s, call %d with one of %v allowed: %v", spec, i, class, err)
			}
		}
	}
}

// TestRequestQuotas makes calls that count in several places, each with a quota of its own.
func TestRequestQuotas(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{MultiRegion: api.Some(true)})
	rsa, _ := b.newKey(t, &api.CreateKeyRequest{KeySpec: str(api.KeySpecRsa2048), KeyUsage: str(api.KeyUsageTypeEncryptDecrypt)})
	blob := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("p")}).CiphertextBlob
	reEncrypt := func(to string) *api.ReEncryptRequest {
		q := &api.ReEncryptRequest{CiphertextBlob: blob, DestinationKeyId: str(to)}
		if to == rsa {
			q.DestinationEncryptionAlgorithm = str(api.EncryptionAlgorithmSpecRsaesOaepSha256)
		}
		return q
	}
	pair := func(spec api.DataKeyPairSpec) api.Request {
		return &api.GenerateDataKeyPairRequest{KeyId: str(id), KeyPairSpec: str(spec), DryRun: api.Some(true)}
	}
	sealedPair := func(spec api.DataKeyPairSpec) api.Request {
		return &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: str(id), KeyPairSpec: str(spec), DryRun: api.Some(true)}
	}
	replicate := &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str("us-east-1")}
	move := &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str("us-west-2")} // no replica there: it fails, and counts
	type call struct {
		op  string
		req api.Request
	}
	for name, test := range map[string]struct {
		class throttle.Class
		rate  float64
		calls []call // all but the last are within the quota
	}{
		"symmetric, shared": {throttle.CryptographicSymmetric, 2, []call{
			{"Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("p")}}, {"GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8)}},
			{"Decrypt", &api.DecryptRequest{CiphertextBlob: blob}},
		}},
		"no such key": {throttle.CryptographicSymmetric, 1, []call{{"Encrypt", &api.EncryptRequest{KeyId: str("alias/no"), Plaintext: []byte("p")}}, {"Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("p")}}}},
		"managed key, dry": {throttle.CryptographicSymmetric, 1, []call{ // not there yet
			{"Encrypt", &api.EncryptRequest{KeyId: str("alias/aws/ebs"), Plaintext: []byte("p"), DryRun: api.Some(true)}},
			{"Encrypt", &api.EncryptRequest{KeyId: str("alias/aws/ebs"), Plaintext: []byte("p"), DryRun: api.Some(true)}},
		}},
		"managed key": {throttle.CryptographicSymmetric, 1, []call{ // made, and used: one call
			{"Encrypt", &api.EncryptRequest{KeyId: str("alias/aws/s3"), Plaintext: []byte("p")}},
			{"Encrypt", &api.EncryptRequest{KeyId: str("alias/aws/s3"), Plaintext: []byte("p")}},
		}},
		"no ciphertext":             {throttle.CryptographicSymmetric, 1, []call{{"Decrypt", &api.DecryptRequest{CiphertextBlob: []byte("x")}}, {"Decrypt", &api.DecryptRequest{CiphertextBlob: blob}}}},
		"ReEncrypt, one kind":       {throttle.CryptographicSymmetric, 1, []call{{"ReEncrypt", reEncrypt(id)}, {"ReEncrypt", reEncrypt(id)}}},
		"ReEncrypt, two kinds":      {throttle.CryptographicRSA, 1, []call{{"ReEncrypt", reEncrypt(rsa)}, {"ReEncrypt", reEncrypt(rsa)}}},
		"GetPublicKey is no crypto": {throttle.CryptographicRSA, 1, []call{{"GetPublicKey", &api.GetPublicKeyRequest{KeyId: str(rsa)}}, {"ReEncrypt", reEncrypt(rsa)}, {"ReEncrypt", reEncrypt(rsa)}}},
		"pairs by spec": {throttle.DataKeyPairRSA3072, 1, []call{
			{"GenerateDataKeyPair", pair("RSA_2048")}, {"GenerateDataKeyPair", pair("RSA_3072")}, {"GenerateDataKeyPairWithoutPlaintext", sealedPair("RSA_3072")},
		}},
		"pairs are no crypto": {throttle.CryptographicSymmetric, 1, []call{
			{"GenerateDataKeyPair", pair("RSA_2048")}, {"Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("p")}}, {"ReEncrypt", reEncrypt(id)},
		}},
		"CreateKey": {throttle.CreateKey, 2, []call{
			{"CreateKey", &api.CreateKeyRequest{}}, {"CreateKey", &api.CreateKeyRequest{}}, {"CreateKey", &api.CreateKeyRequest{}},
		}},
		"ReplicateKey is two CreateKeys there": {throttle.CreateKey, 3, []call{
			{"CreateKey", &api.CreateKeyRequest{}}, {"CreateKey", &api.CreateKeyRequest{}}, {"CreateKey", &api.CreateKeyRequest{}},
			{"ReplicateKey", replicate}, {"ReplicateKey", replicate},
		}},
		"UpdatePrimaryRegion": {throttle.UpdatePrimaryRegion, 1, []call{{"UpdatePrimaryRegion", move}, {"UpdatePrimaryRegion", move}}},
		"ListKeys":            {throttle.ListKeys, 1, []call{{"ListKeys", &api.ListKeysRequest{}}, {"ListKeys", &api.ListKeysRequest{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			b.limit(t, map[throttle.Class]float64{test.class: test.rate})
			for i, c := range test.calls {
				_, err := b.do(t, c.op, c.req)
				if got, want := err != nil && err.Code == api.ThrottlingException, i == len(test.calls)-1; got != want {
					t.Errorf("call %d, %s: %v", i, c.op, err)
				}
			}
		})
	}
}

// TestKeyStoreQuotas uses keys in two custom key stores: each store has its quota, beside the account's.
func TestKeyStoreQuotas(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	token, inToken := b.storeKey(t, true)
	_, inProxy := b.storeKey(t, false)
	random := func(store string) api.Request {
		return &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8), CustomKeyStoreId: str(store)}
	}
	b.limit(t, map[throttle.Class]float64{throttle.CustomKeyStore: 2, throttle.CryptographicSymmetric: 7})
	blob := b.encrypt(t, inToken, "p")
	for _, want := range []api.ErrorCode{api.CustomKeyStoreNotFoundException, api.CustomKeyStoreNotFoundException} {
		b.refused(t, want, "GenerateRandom", random("cks-00000000000000000")) // counts toward no store, but toward the account
	}
	must[api.GenerateRandomResponse](t, b, "GenerateRandom", random(token))
	b.refused(t, api.ThrottlingException, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	b.refused(t, api.ThrottlingException, "GenerateRandom", random(token)) // the fifth that counts toward the account: Decrypt did not
	b.decrypts(t, b.encrypt(t, inProxy, "p"), "p")
	b.refused(t, api.ThrottlingException, "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](8)})
}

// TestPairSpecsHaveQuotas checks that every spec of data key pairs has a quota of its own.
func TestPairSpecsHaveQuotas(t *testing.T) {
	seen := map[throttle.Class]bool{}
	for _, op := range kms.New(kms.Config{}).Operations() {
		if op.Name != "GenerateDataKeyPair" {
			continue
		}
		for _, spec := range api.DataKeyPairSpec("").Values() {
			c := op.Quota.Request(&api.GenerateDataKeyPairRequest{KeyPairSpec: str(spec)})
			if want := "GenerateDataKeyPair_" + string(spec); c.String() != want || seen[c] {
				t.Errorf("%s counts toward %v", spec, c)
			}
			seen[c] = true
		}
		if c := op.Quota.Request(&api.GenerateDataKeyPairRequest{}); c != throttle.DataKeyPairRSA4096 {
			t.Errorf("a pair without a spec counts toward %v", c)
		}
	}
}

// BenchmarkQuotas is an Encrypt with quotas and without.
func BenchmarkQuotas(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			k := testBench(b)
			id, _ := k.newKey(b, &api.CreateKeyRequest{})
			if on {
				start := time.Now()
				k.limitAt(b, nil, func() time.Duration { return time.Since(start) })
			}
			req := &api.EncryptRequest{KeyId: str(id), Plaintext: make([]byte, 32)}
			b.ReportAllocs()
			for b.Loop() {
				k.run(b, "Encrypt", req)
			}
		})
	}
}
