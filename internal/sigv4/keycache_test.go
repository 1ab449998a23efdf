package sigv4

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func (c *keyCache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.keys) != len(c.ring) {
		panic("the cache's map and ring disagree")
	}
	return len(c.ring)
}

// The chain of HMACs that the IAM user guide gives for a signing key, with new and with reused HMAC state.
func TestSigningKey(t *testing.T) {
	k, err := newSigningKey(keyName{"", "20120215", "us-east-1", "iam"}, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	want := refHMAC(refHMAC(refHMAC(refHMAC(refHMAC([]byte("AWS4"+testSecret), "20120215"), "us-east-1"), "iam"), "aws4_request"), "message")
	for range 3 {
		if got := k.sign(nil, []byte("message")); string(got) != string(want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	}
}

func TestWeakSecret(t *testing.T) {
	_, err := newSigningKey(keyName{"", "20120215", "us-east-1", "iam"}, "short")
	if want := fips140.Enforced(); errors.Is(err, ErrWeakSecret) != want {
		t.Fatalf("got %v with enforcement %v", err, want)
	}
}

func TestCacheFillsOnlyWithVerified(t *testing.T) {
	v := New(testConfig())
	for i := range 100 {
		d := newDraft()
		d.keyID = fmt.Sprintf("AKIDHOSTILE%d", i)
		if _, err := v.Verify(t.Context(), d.header(), testNow, "kms"); codeOf(t, err) != CodeUnrecognized {
			t.Fatal(err)
		}
	}
	d := newDraft()
	d.secret = testSecret2
	if _, err := v.Verify(t.Context(), d.header(), testNow, "kms"); codeOf(t, err) != CodeInvalid {
		t.Fatal(err)
	}
	if n := v.keys.len(); n != 0 {
		t.Fatalf("%d keys cached for strangers", n)
	}
	if _, err := v.Verify(t.Context(), newDraft().header(), testNow, "kms"); err != nil || v.keys.len() != 1 {
		t.Fatalf("%v, %d keys", err, v.keys.len())
	}
}

func TestChangedSecret(t *testing.T) {
	cfg := testConfig()
	secret := testSecret
	cfg.Lookup = func(context.Context, string, string) (Credential, error) {
		return Credential{SecretAccessKey: secret}, nil
	}
	v := New(cfg)
	old := newDraft().header()
	d := newDraft()
	d.secret = testSecret2
	fresh := d.header()
	for _, step := range []struct {
		secret string
		in     *Input
		want   string
	}{
		{testSecret, old, ""},
		{testSecret, fresh, CodeInvalid},
		{testSecret2, old, CodeInvalid}, // its derived key is still cached
		{testSecret2, fresh, ""},
		{testSecret2, old, CodeInvalid},
		{testSecret, old, ""},
	} {
		secret = step.secret
		if _, err := v.Verify(t.Context(), step.in, testNow, "kms"); codeOf(t, err) != step.want {
			t.Fatalf("got %v, want %q", err, step.want)
		}
	}
	if n := v.keys.len(); n != 1 {
		t.Fatalf("%d keys for one name", n)
	}
}

func TestEviction(t *testing.T) {
	const size = 8
	c := newKeyCache(size)
	name := func(i int) keyName { return keyName{fmt.Sprintf("AKID%d", i), "20260101", "eu-central-1", "kms"} }
	put := func(i int) {
		k, err := newSigningKey(name(i), testSecret)
		if err != nil {
			t.Fatal(err)
		}
		c.put(k)
	}
	for i := range 1000 {
		put(i)
		if c.get(name(0), testSecret) == nil {
			t.Fatalf("the key in constant use was evicted by key %d", i)
		}
		if c.get(name(i), testSecret2) != nil {
			t.Fatal("a key of another secret was handed out")
		}
	}
	if n := c.len(); n != size {
		t.Fatalf("%d keys, want %d", n, size)
	}
	if c.get(name(500), testSecret) != nil {
		t.Fatal("an old key is still there")
	}
	// Also when every key is in use something gives way.
	big := newKeyCache(4 * maxProbes)
	for i := range 8 * maxProbes {
		k, err := newSigningKey(name(i), testSecret)
		if err != nil {
			t.Fatal(err)
		}
		big.put(k)
		if big.get(name(i), testSecret) != k {
			t.Fatalf("key %d is not there after it was put", i)
		}
	}
	if n := big.len(); n != 4*maxProbes {
		t.Fatalf("%d keys", n)
	}
}

func TestConcurrentVerify(t *testing.T) {
	cfg := testConfig()
	cfg.CacheSize = 1 // so that keys are put and evicted all the time
	v := New(cfg)
	a, b := signed(t, testKeyID, "kms", testNow), signed(t, testTempID, "sts", testNow)
	bad := signed(t, testKeyID, "kms", testNow)
	bad.Body = []byte("other")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if id, err := v.Verify(t.Context(), a, testNow, "kms"); err != nil || id.Subject != "alice" {
					t.Errorf("%v, %v", id, err)
				}
				if id, err := v.Verify(t.Context(), b, testNow.Add(time.Second), "sts"); err != nil || id.Subject != "session" {
					t.Errorf("%v, %v", id, err)
				}
				if _, err := v.Verify(t.Context(), bad, testNow, "kms"); err == nil {
					t.Error("an altered body verifies")
				}
			}
		})
	}
	wg.Wait()
}

// A cached name must not keep the request alive, whose headers may be large.
func TestCachedNamesAreCopies(t *testing.T) {
	v := New(testConfig())
	in := newDraft().header()
	in.Header["Authorization"][0] = strings.Clone(in.Header["Authorization"][0])
	if _, err := v.Verify(t.Context(), in, testNow, "kms"); err != nil {
		t.Fatal(err)
	}
	got := v.keys.ring[0].name
	var s scratch
	if err := s.parse(in); err != nil {
		t.Fatal(err)
	}
	for _, p := range [][2]string{{got.accessKeyID, s.claim.keyID}, {got.date, s.claim.date}, {got.region, s.claim.region}, {got.service, s.claim.service}} {
		if p[0] != p[1] || sameBytes(p[0], p[1]) {
			t.Errorf("%q is not a copy", p[0])
		}
	}
}
