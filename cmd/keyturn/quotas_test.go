package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/throttle"
)

// TestThrottling sees AWS's SDK throttled, try again, and get through, while another account notices nothing.
func TestThrottling(t *testing.T) {
	var passed atomic.Int64 // the clock of the quotas
	dir := t.TempDir()
	s := startDev(t, dir, func(c *appConfig) {
		var err error
		c.Quotas, err = throttle.New(throttle.Config{
			Rates: map[throttle.Class]float64{throttle.STS: 1}, Now: func() time.Duration { return time.Duration(passed.Load()) },
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	ctx := t.Context()
	noisy, quiet := kmsClient(s.URL, "111122223333", "us-east-1"), kmsClient(s.URL, "444455556666", "us-east-1")
	alias := func(c *awskms.Client, target *string) error { // 5 a second
		_, err := c.UpdateAlias(ctx, &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: target})
		return err
	}
	keys := map[*awskms.Client]*string{}
	for _, c := range []*awskms.Client{noisy, quiet} {
		k, err := c.CreateKey(ctx, &awskms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		keys[c] = k.KeyMetadata.KeyId
		if _, err := c.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: keys[c]}); err != nil {
			t.Fatal(err)
		}
	}
	throttled := 0
	for i := range 50 {
		err := alias(noisy, keys[noisy])
		if got, want := apiCode(err) == "ThrottlingException", i >= 5; got != want {
			t.Fatalf("call %d: %v", i, err)
		}
		if e := smithy.APIError(nil); errors.As(err, &e) {
			throttled++
			if e.ErrorMessage() != service.TooManyCalls {
				t.Errorf("message %q", e.ErrorMessage())
			}
		}
		if i < 5 {
			if err := alias(quiet, keys[quiet]); err != nil {
				t.Errorf("the quiet account's call %d: %v", i, err)
			}
		}
	}

	retries := 0
	patient := awskms.New(awskms.Options{
		BaseEndpoint: &s.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("111122223333", "secret-of-the-client", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { // waits by the clock of the quotas
				retries++
				passed.Add(int64(100 * time.Millisecond))
				return 0, nil
			})
		}),
	})
	if err := alias(patient, keys[noisy]); err != nil || retries != 2 {
		t.Errorf("with %d retries: %v; want to get through after 200 ms", retries, err)
	}

	who := sts.New(sts.Options{
		BaseEndpoint: &s.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("111122223333", "secret-of-the-client", ""), RetryMaxAttempts: 1,
	})
	for _, want := range []string{"", "Throttling"} {
		if _, err := who.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); apiCode(err) != want {
			t.Errorf("GetCallerIdentity: %v, want %q", err, want)
		}
	}

	s.stop()
	recorded := 0
	for _, e := range auditEvents(t, dir) {
		if e.ErrorCode == "ThrottlingException" && e.EventName == "UpdateAlias" {
			recorded++
			if e.Parameters["aliasName"] != "alias/a" {
				t.Errorf("recorded with parameters %v", e.Parameters)
			}
		}
	}
	if want := throttled + retries; recorded != want {
		t.Errorf("%d throttled calls recorded, want %d", recorded, want)
	}
}

// readQuotas reads a configuration that has nothing but quotas.
func readQuotas(section string) (*throttle.Limiter, error) {
	var c struct {
		Quotas *quotasConfig `yaml:"quotas"`
	}
	if err := decodeYAML([]byte(section), &c); err != nil {
		return nil, err
	}
	return c.Quotas.limiter()
}

func TestQuotasConfig(t *testing.T) {
	scope := throttle.Scope{Account: "111122223333", Region: "eu-central-1"}
	for section, want := range map[string]int{ // CreateKey calls at once; -1: any number
		"quotas:\n":             5,
		"{}":                    5,
		"quotas: {off: false}":  5,
		"quotas: {off: true}":   -1,
		"quotas: {factor: 0.2}": 1,
		"quotas: {factor: 4}":   20,
		"quotas: {requests_per_second: {CreateKey: 7}}":                7,
		"quotas: {requests_per_second: {DescribeKey: 7}}":              5,
		"quotas: {factor: 2, requests_per_second: {CreateKey: 0.001}}": 1,
	} {
		l, err := readQuotas(section)
		if err != nil {
			t.Errorf("%s: %v", section, err)
			continue
		}
		if (l == nil) != (want < 0) {
			t.Errorf("%s: limiter %v", section, l)
		}
		if l == nil {
			continue
		}
		full := []throttle.Charge{{Scope: scope, Class: throttle.CreateKey, N: want}}
		if l.AllowAll([]throttle.Charge{{Scope: scope, Class: throttle.CreateKey, N: want}, {Scope: scope, Class: throttle.CreateKey, N: 1}}) {
			t.Errorf("%s: more than %d calls at once", section, want)
		}
		if !l.AllowAll(full) || l.AllowAll(full) {
			t.Errorf("%s: not %d calls at once", section, want)
		}
	}
	for section, want := range map[string]string{
		"quotas: {factor: 0}":                                "factor must be more than 0",
		"quotas: {factor: -1}":                               "factor must be more than 0",
		"quotas: {factor: .nan}":                             "factor must be more than 0",
		"quotas: {factor: .inf}":                             "factor must be more than 0",
		"quotas: {off: true, factor: 2}":                     "off goes with nothing else",
		"quotas: {off: true, requests_per_second: {STS: 1}}": "off goes with nothing else",
		"quotas: {requests_per_second: {CreateKeys: 1}}":     `there is no quota "CreateKeys"`,
		"quotas: {requests_per_second: {CreateKey: 0}}":      "CreateKey: 0 requests a second",
		"quotas: {requests_per_second: {CreateKey: .nan}}":   "CreateKey: NaN requests a second",
		"quotas: {requests_per_second: {CreateKey: 1e9}}":    "CreateKey: 1e+09 requests a second",
		"quotas: {burst: 2}":                                 "burst",
	} {
		if _, err := readQuotas(section); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", section, err, want)
		}
	}
}

// TestQuotasOfCommands starts the commands: a server throttles unless it is told not to, dev the other way round.
func TestQuotasOfCommands(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		for section, want := range map[string]bool{"": true, "quotas: {off: true}\n": false} {
			config := serverFiles(t, func(y string) string {
				return strings.Replace(y, "tls: {certificate: cert.pem, key: key.pem}", "plain_http: true", 1) + section
			})
			dir := filepath.Dir(config)
			if err := runToEnd(t, "seal", "generate", filepath.Join(dir, "seal.key")); err != nil {
				t.Fatal(err)
			}
			ready := filepath.Join(dir, "ready")
			stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
			url := waitEndpoint(t, ready)
			c := awskms.New(awskms.Options{BaseEndpoint: &url, Region: "eu-central-1", RetryMaxAttempts: 1,
				Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")})
			if got := isThrottled(t, c); got != want {
				t.Errorf("server with %q throttles: %v, want %v", section, got, want)
			}
			stop()
		}
	})
	t.Run("dev", func(t *testing.T) {
		for _, quotas := range []bool{false, true} {
			ready := filepath.Join(t.TempDir(), "ready")
			args := []string{"dev", "--in-memory", "--listen", "127.0.0.1:0", "--ready-file", ready}
			if quotas {
				args = append(args, "--quotas")
			}
			stop := runCommand(t, args...)
			if got := isThrottled(t, kmsClient(waitEndpoint(t, ready), "keyturn", "us-east-1")); got != quotas {
				t.Errorf("dev %v throttles: %v", args, got)
			}
			stop()
		}
	})
}

// isThrottled makes calls of which five a second are allowed, many more than a second has room for.
func isThrottled(t *testing.T, c *awskms.Client) bool {
	t.Helper()
	for range 500 {
		_, err := c.DescribeCustomKeyStores(context.Background(), &awskms.DescribeCustomKeyStoresInput{})
		switch code := apiCode(err); code {
		case "":
		case "ThrottlingException":
			return true
		default:
			t.Fatalf("DescribeCustomKeyStores: %v", err)
		}
	}
	return false
}

// TestQuotasAreDocumented looks for every name that the configuration takes in what is said of it, and reads the example there.
func TestQuotasAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(doc), "```yaml\nquotas:")
	example, _, ended := strings.Cut(example, "```")
	if l, err := readQuotas("quotas:" + example); !found || !ended || err != nil || l == nil {
		t.Errorf("the example in docs/server.md: %v", err)
	}
	for c := throttle.Class(1); c.String() != ""; c++ {
		if c >= throttle.CancelKeyDeletion && c <= throttle.UpdatePrimaryRegion {
			continue // by the operation's name, which the page says of all
		}
		if !strings.Contains(string(doc), "`"+c.String()+"`") && !strings.HasPrefix(c.String(), "GenerateDataKeyPair_") {
			t.Errorf("docs/server.md does not name the quota %s", c)
		}
	}
}
