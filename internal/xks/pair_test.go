package xks

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	b, logged := newBackend(), &recorder{}
	c := pair(t, b, func(cfg *Config) { cfg.Log = logged.logger() })

	h, err := c.Health(t.Context(), testMetadata)
	if want := goodHealth(); err != nil || !reflect.DeepEqual(*h, want) || !h.Serving() {
		t.Errorf("health %+v, %v", h, err)
	}
	if want := (RequestMetadata{KMSOperation: testMetadata.KMSOperation, KMSRequestID: testMetadata.KMSRequestID}); b.metadata != want {
		t.Errorf("health came with %+v", b.metadata)
	}
	m, err := c.KeyMetadata(t.Context(), externalKey, testMetadata)
	if want := goodKey(); err != nil || !reflect.DeepEqual(*m, want) || !m.Usable() {
		t.Errorf("key %+v, %v", m, err)
	}
	if want := (Principal{AccessKeyID: testKeyID, Region: testRegion, Subject: "store 1"}); b.principal != want || b.metadata != testMetadata {
		t.Errorf("came as %+v with %+v", b.principal, b.metadata)
	}

	secret := []byte("plaintext that is in no log")
	for _, tt := range []struct{ plaintext, aad, extra []byte }{
		{secret, []byte("project=nile,department=marketing"), []byte("key_version=1")},
		{secret, nil, nil},
		{secret, []byte{}, bytes.Repeat([]byte{0xff}, MaxMetadata)},
		{[]byte{0}, []byte{0}, []byte{0}},
		{bytes.Repeat([]byte{0xff}, MaxPlaintext), bytes.Repeat([]byte{0xfe}, MaxAAD), nil}, // all slashes and letters
	} {
		b.extra = tt.extra
		ct, err := c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: tt.plaintext, AAD: tt.aad, RequestMetadata: testMetadata})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ct.Metadata, tt.extra) || len(ct.Data) != len(tt.plaintext) || bytes.Equal(ct.Data, tt.plaintext) {
			t.Errorf("%d bytes became %+v", len(tt.plaintext), ct)
		}
		// Through the encoding, as it is kept.
		kept, err := ct.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if ct, err = Unmarshal(kept); err != nil {
			t.Fatal(err)
		}
		got, err := c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: ct, AAD: tt.aad, RequestMetadata: testMetadata})
		if err != nil || !bytes.Equal(got, tt.plaintext) {
			t.Errorf("%d bytes back, %v", len(got), err)
		}
		_, err = c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: ct, AAD: append([]byte("x"), tt.aad[:min(1, len(tt.aad))]...), RequestMetadata: testMetadata})
		if nameOf(err) != InvalidCiphertextException {
			t.Errorf("other additional data: %v", err)
		}
	}
	log := logged.String()
	for _, secret := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), testSecret} {
		if strings.Contains(log, secret) {
			t.Error("the log has a secret")
		}
	}
	for _, want := range []string{testMetadata.KMSRequestID, testMetadata.AWSPrincipalARN, testKeyID, externalKey, `"operation":"Decrypt"`, `"error":"InvalidCiphertextException"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %s", want)
		}
	}
}

// Metadata and AAD cannot stand for each other.
func TestMetadataIsNotAAD(t *testing.T) {
	b := newBackend()
	c := pair(t, b, nil)
	ct, err := c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("p"), RequestMetadata: testMetadata})
	if err != nil {
		t.Fatal(err)
	}
	aad := ct.Metadata
	ct.Metadata = nil
	if _, err := c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: ct, AAD: aad, RequestMetadata: testMetadata}); nameOf(err) != InvalidCiphertextException {
		t.Errorf("%v", err)
	}
}

// errorCodes is the specification's table "Error codes".
var errorCodes = map[string]int{
	"ValidationException":           400,
	"InvalidStateException":         400,
	"InvalidCiphertextException":    400,
	"InvalidKeyUsageException":      400,
	"AuthenticationFailedException": 401,
	"AccessDeniedException":         403,
	"KeyNotFoundException":          404,
	"InvalidUriPathException":       404,
	"ThrottlingException":           429,
	"UnsupportedOperationException": 501,
	"DependencyTimeoutException":    503,
	"InternalException":             500,
}

func TestErrorCodes(t *testing.T) {
	b := newBackend()
	c := pair(t, b, nil)
	for name, status := range errorCodes {
		message := "Because of " + name + "."
		b.fail = fmt.Errorf("wrapped: %w", &Error{Name: name, Message: message, Status: 999})
		for op, err := range all(t, c) {
			want := &Error{Name: name, Message: message, Status: status}
			if name == InternalException {
				want.Message = ""
			}
			var e *Error
			if !errors.As(err, &e) || *e != *want {
				t.Errorf("%s: %v, want %v", op, err, want)
			}
			if !errors.Is(err, &Error{Name: name}) || errors.Is(err, &Error{Name: "Other"}) {
				t.Errorf("%s: errors.Is does not go by the name %s", op, name)
			}
			retryable := name == InternalException || name == DependencyTimeoutException || name == ThrottlingException
			if e.Retryable() != retryable {
				t.Errorf("%s is retryable: %v", name, !retryable)
			}
		}
	}
}

// What is no error of the specification says nothing outside, and everything in the log.
func TestBackendTrouble(t *testing.T) {
	const detail = "token 3 in slot 7 has PIN 1234"
	for _, tt := range []struct {
		name   string
		fail   error
		onCall func(context.Context)
		want   string
	}{
		{"plain", errors.New(detail), nil, InternalException},
		{"internal", &Error{Name: InternalException, Message: detail}, nil, InternalException},
		{"unknown name", &Error{Name: "OutOfCheeseException", Message: detail}, nil, InternalException},
		{"no name", &Error{Message: detail}, nil, InternalException},
		{"deadline", fmt.Errorf("%s: %w", detail, context.DeadlineExceeded), nil, DependencyTimeoutException},
		{"panic", nil, func(context.Context) { panic(detail) }, InternalException},
		{"hangs", nil, func(ctx context.Context) { <-ctx.Done() }, DependencyTimeoutException},
	} {
		b, logged := newBackend(), &recorder{}
		b.fail, b.onCall = tt.fail, tt.onCall
		c := pair(t, b, func(cfg *Config) {
			cfg.Log = logged.logger()
			if tt.name == "hangs" {
				cfg.BackendTimeout = 10 * time.Millisecond
			}
		})
		for op, err := range all(t, c) {
			if nameOf(err) != tt.want || strings.Contains(err.Error(), "1234") {
				t.Errorf("%s, %s: %v", tt.name, op, err)
			}
		}
		if tt.name != "hangs" && !strings.Contains(logged.String(), detail) {
			t.Errorf("%s: not in the log", tt.name)
		}
	}
}

func TestErrorMessages(t *testing.T) {
	b := newBackend()
	c := pair(t, b, nil)
	for message, want := range map[string]string{
		"":                       "",
		"As printable as can ~.": "As printable as can ~.",
		"two\nlines":             "",
		"Schlüssel":              "",
		"\x7f":                   "",
		strings.Repeat("x", 511): strings.Repeat("x", 511),
		strings.Repeat("x", 512): "",
	} {
		b.fail = &Error{Name: AccessDeniedException, Message: message}
		_, err := c.KeyMetadata(t.Context(), externalKey, testMetadata)
		var e *Error
		if !errors.As(err, &e) || e.Message != want {
			t.Errorf("%q: %v", message, err)
		}
	}
}

// The proxy does not hand out what breaks the specification, or what it could not decrypt.
func TestFaultyBackend(t *testing.T) {
	cut := func(change func(*Ciphertext)) func(*backend) { return func(b *backend) { b.spoil = change } }
	for _, tt := range []struct {
		name, op string
		change   func(*backend)
	}{
		{"flipped bit", "Encrypt", cut(func(c *Ciphertext) { c.Data[0] ^= 1 })},
		{"flipped metadata", "Encrypt", cut(func(c *Ciphertext) { c.Metadata[0] ^= 1 })},
		{"short data", "Encrypt", cut(func(c *Ciphertext) { c.Data = nil })},
		{"long data", "Encrypt", cut(func(c *Ciphertext) { c.Data = append(c.Data, 1) })},
		{"short IV", "Encrypt", cut(func(c *Ciphertext) { c.IV = c.IV[:11] })},
		{"long IV", "Encrypt", cut(func(c *Ciphertext) { c.IV = make([]byte, 17) })},
		{"short tag", "Encrypt", cut(func(c *Ciphertext) { c.Tag = c.Tag[:12] })},
		{"long metadata", "Encrypt", cut(func(c *Ciphertext) { c.Metadata = make([]byte, 21) })},
		{"no ciphertext", "Encrypt", func(b *backend) { b.ciphertext = func() *Ciphertext { return nil } }},
		{"decrypts to something else", "Encrypt", func(b *backend) { b.reveal = func(p []byte) []byte { return append(p, 0) } }},
		{"refuses to decrypt", "Encrypt", func(b *backend) { b.fail, b.failing = &Error{Name: AccessDeniedException}, "Decrypt" }},
		{"fails to decrypt", "Encrypt", func(b *backend) { b.fail, b.failing = errors.New("no"), "Decrypt" }},
		{"short plaintext", "Decrypt", func(b *backend) { b.reveal = func(p []byte) []byte { return p[1:] } }},
		{"no proxies", "Health", func(b *backend) { b.health = &Health{} }},
		{"bad health", "Health", func(b *backend) { h := goodHealth(); h.FleetDetails[0].HealthStatus = "FINE"; b.health = &h }},
		{"bad spec", "KeyMetadata", func(b *backend) { b.keyData = &KeyMetadata{Status: KeyEnabled} }},
		{"bad usage", "KeyMetadata", func(b *backend) { k := goodKey(); k.Usage = make([]string, 11); b.keyData = &k }},
	} {
		b := newBackend()
		c := pair(t, b, nil)
		var made *Ciphertext
		if tt.op == "Decrypt" {
			var err error
			if made, err = c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("abc"), RequestMetadata: testMetadata}); err != nil {
				t.Fatal(err)
			}
		}
		tt.change(b)
		err := all(t, c)[tt.op]
		if made != nil {
			_, err = c.Decrypt(t.Context(), externalKey, DecryptRequest{Ciphertext: made, RequestMetadata: testMetadata})
		}
		if nameOf(err) != InternalException {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDecryptCheck(t *testing.T) {
	for _, tt := range []struct {
		off  bool
		want string
	}{{false, "Encrypt Decrypt"}, {true, "Encrypt"}} {
		b := newBackend()
		c := pair(t, b, func(cfg *Config) { cfg.NoDecryptCheck = tt.off })
		if _, err := c.Encrypt(t.Context(), externalKey, EncryptRequest{Plaintext: []byte("p"), RequestMetadata: testMetadata}); err != nil {
			t.Fatal(err)
		}
		if b.called() != tt.want {
			t.Errorf("off %v: %s", tt.off, b.called())
		}
	}
}

// An empty keyUsage is an array, and a key that is of no use is no error.
func TestUselessKey(t *testing.T) {
	b := newBackend()
	c := pair(t, b, nil)
	for _, k := range []KeyMetadata{
		{Spec: "AES_128", Usage: []string{UsageEncrypt, UsageDecrypt}, Status: KeyEnabled},
		{Spec: KeySpecAES256, Usage: []string{UsageEncrypt}, Status: KeyEnabled},
		{Spec: KeySpecAES256, Usage: []string{UsageDecrypt, "SIGN"}, Status: KeyEnabled},
		{Spec: KeySpecAES256, Usage: []string{}, Status: KeyEnabled},
		{Spec: KeySpecAES256, Usage: []string{UsageEncrypt, UsageDecrypt}, Status: KeyDisabled},
	} {
		b.keyData = &k
		m, err := c.KeyMetadata(t.Context(), externalKey, testMetadata)
		if err != nil || !reflect.DeepEqual(*m, k) || m.Usable() {
			t.Errorf("%+v: %+v, %v", k, m, err)
		}
	}
	down := goodHealth()
	for i := range down.FleetDetails {
		down.FleetDetails[i].HealthStatus = HealthUnavailable
	}
	b.health = &down
	if h, err := c.Health(t.Context(), testMetadata); err != nil || h.Serving() {
		t.Errorf("%+v, %v", h, err)
	}
}
