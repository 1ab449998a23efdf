package sigv4

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	v := New(testConfig())
	in := signed(t, testKeyID, "kms", testNow)
	query := newDraft().forQuery()
	query.expires = "90"
	pre := query.query()
	for _, tc := range []struct {
		name string
		in   *Input
		at   time.Duration
		want string
	}{
		{"at the past limit", in, 5 * time.Minute, ""},
		{"within its last second", in, 5*time.Minute + 999*time.Millisecond, ""},
		{"past it", in, 5*time.Minute + time.Second, CodeInvalid + ": Signature expired: 20260101T001000Z is now earlier than 20260101T001001Z (20260101T001501Z - 5 min.)"},
		{"at the future limit", in, -5 * time.Minute, ""},
		{"beyond it", in, -5*time.Minute - time.Second, CodeInvalid + ": Signature not yet current: 20260101T001000Z is still later than 20260101T000959Z (20260101T000459Z + 5 min.)"},
		{"presigned, last second", pre, 90 * time.Second, ""},
		{"presigned, over", pre, 91 * time.Second, CodeInvalid + ": Signature expired: 20260101T001000Z is now earlier than 20260101T001001Z (20260101T001131Z - 90 sec.)"},
		{"presigned, early", pre, -5 * time.Minute, ""},
		{"presigned, too early", pre, -5*time.Minute - time.Second, CodeInvalid + ": Signature not yet current: 20260101T001000Z is still later than 20260101T000959Z (20260101T000459Z + 5 min.)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Another zone must make no difference.
			_, err := v.Verify(t.Context(), tc.in, testNow.Add(tc.at).In(time.FixedZone("x", 3600)), "kms")
			if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

// A malformed signature must not pass for the one that its well-formed part and zeros would make.
func TestMalformedSignature(t *testing.T) {
	v := New(testConfig())
	d := newDraft()
	for i := 0; ; i++ {
		d.in.Body = []byte(fmt.Sprint(i))
		in := d.header()
		h, zeros := strings.CutSuffix(in.Header["Authorization"][0], "00")
		if !zeros {
			continue
		}
		if _, err := v.Verify(t.Context(), in, testNow, "kms"); err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"", "0", "zz", "0z", "000", "0000"} {
			in.Header["Authorization"][0] = h + end
			if _, err := v.Verify(t.Context(), in, testNow, "kms"); codeOf(t, err) != CodeInvalid {
				t.Errorf("00 replaced by %q: %v", end, err)
			}
		}
		return
	}
}

func TestConfig(t *testing.T) {
	in := signed(t, testKeyID, "sts", testNow)
	if id, err := New(testConfig()).Verify(t.Context(), in, testNow, ""); err != nil || id.Service != "sts" {
		t.Fatalf("any service: %v, %v", id, err)
	}
	for name, change := range map[string]func(*Config){
		"no lookup":   func(c *Config) { c.Lookup = nil },
		"no services": func(c *Config) { c.Services = nil },
		"no region":   func(c *Config) { c.Region = nil },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg).Verify(t.Context(), in, testNow, ""); codeOf(t, err) == "" {
			t.Errorf("%s: accepted", name)
		}
	}
	cfg := testConfig()
	cfg.MaxSkew, cfg.MaxExpires = time.Minute, time.Hour
	v := New(cfg)
	if _, err := v.Verify(t.Context(), in, testNow.Add(61*time.Second), ""); err == nil || !strings.Contains(err.Error(), "- 1 min.") {
		t.Errorf("MaxSkew: %v", err)
	}
	if _, err := v.Verify(t.Context(), presigned(t, testKeyID, "kms", "3601", testNow), testNow, ""); codeOf(t, err) != CodeIncomplete {
		t.Errorf("MaxExpires: %v", err)
	}
	cfg.MaxExpires = 365 * 24 * time.Hour
	if _, err := New(cfg).Verify(t.Context(), presigned(t, testKeyID, "kms", "604801", testNow), testNow, ""); codeOf(t, err) != CodeIncomplete {
		t.Errorf("MaxExpires is not capped: %v", err)
	}
}

// A lookup that fails is not the client's fault, and must not look like it.
func TestLookupFailure(t *testing.T) {
	d := newDraft()
	d.keyID = "BROKEN"
	_, err := New(testConfig()).Verify(t.Context(), d.header(), testNow, "kms")
	var e *Error
	if !errors.Is(err, errBroken) || errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	cred := Credential{SecretAccessKey: testSecret, SessionToken: testToken}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "credential", cred, "pointer", &cred)
	text, _ := cred.MarshalText()
	out := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		out += fmt.Sprintf(verb, cred) + fmt.Sprintf(verb, &cred) + fmt.Sprintf(verb, []Credential{cred})
	}
	if strings.Contains(out, testSecret[:8]) || strings.Contains(out, testToken[:8]) || strings.Contains(out, fmt.Sprintf("%x", testSecret[:8])) {
		t.Fatalf("printed: %s", out)
	}
	// Refusals never repeat the header.
	for _, h := range []string{"hunter2", "AWS4-HMAC-SHA256 hunter2", "AWS4-HMAC-SHA256 hunter2=hunter2", "AWS4-HMAC-SHA256 Credential=hunter2,SignedHeaders=hunter2,Signature=hunter2"} {
		in := newDraft().header()
		in.Header.Set("Authorization", h)
		if _, err := New(testConfig()).Verify(t.Context(), in, testNow, "kms"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", h, err)
		}
	}
}
