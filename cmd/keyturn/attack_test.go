package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/service"
)

// The attacks of this suite come through the AWS SDK, on a server that verifies signatures: what the attacker has that is not theirs to use
// is altered or used on the way. Every one must be refused, and be in a log: in the security log while nobody is known to have asked, in
// the audit log then. Each attack sends its name as the user agent's application, by which its record is found.

const (
	attackRegion = "us-east-1"
	victim       = "111122223333"
	stranger     = "444455556666"
	victimKey    = "AKIAVICTIMSROOTKEY00"
	strangerKey  = "AKIASTRANGERROOTKEY0"
)

// battlefield is a server under attack.
type battlefield struct {
	*testServer
	dir    string
	ahead  atomic.Int64 // how far the server's time is ahead
	expect []attack

	mu      sync.Mutex
	secrets []string // that must be in no log; guarded by mu
}

// secret notes what must be in no log.
func (f *battlefield) secret(list ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets = append(f.secrets, list...)
}

// attack is what a log must show of one.
type attack struct {
	name, code string
	known      bool // the attacker was authenticated, so the audit log has it
}

func newBattlefield(t *testing.T, more ...func(*appConfig)) *battlefield {
	t.Helper()
	f := &battlefield{dir: t.TempDir()}
	f.testServer = startDev(t, f.dir, append(more, func(c *appConfig) {
		c.Trust, c.Guard = false, nil
		c.Now = func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }
		c.Credentials = func() (map[string]identity.Configured, error) {
			return map[string]identity.Configured{
				victimKey:   {Secret: "the-victims-secret", Caller: service.RootCaller(victim, victimKey)},
				strangerKey: {Secret: "the-strangers-secret", Caller: service.RootCaller(stranger, strangerKey)},
			}, nil
		}
	})...)
	return f
}

var (
	victimRoot   = aws.Credentials{AccessKeyID: victimKey, SecretAccessKey: "the-victims-secret"}
	strangerRoot = aws.Credentials{AccessKeyID: strangerKey, SecretAccessKey: "the-strangers-secret"}
)

// tamper is an HTTP client that alters requests after they were signed.
type tamper func(*http.Request)

func (f tamper) Do(r *http.Request) (*http.Response, error) {
	if f != nil {
		f(r)
	}
	return http.DefaultClient.Do(r)
}

func (f *battlefield) kms(creds aws.Credentials, name string, t tamper) *awskms.Client {
	return awskms.New(awskms.Options{
		BaseEndpoint: &f.URL, Region: attackRegion, RetryMaxAttempts: 1, AppID: name, HTTPClient: t,
		Credentials: credentials.StaticCredentialsProvider{Value: creds},
	})
}

func (f *battlefield) iam(creds aws.Credentials, name string, t tamper) *awsiam.Client {
	return awsiam.New(awsiam.Options{
		BaseEndpoint: &f.URL, Region: attackRegion, RetryMaxAttempts: 1, AppID: name, HTTPClient: t,
		Credentials: credentials.StaticCredentialsProvider{Value: creds},
	})
}

func (f *battlefield) sts(creds aws.Credentials, name string, t tamper) *awssts.Client {
	return awssts.New(awssts.Options{
		BaseEndpoint: &f.URL, Region: attackRegion, RetryMaxAttempts: 1, AppID: name, HTTPClient: t,
		Credentials: credentials.StaticCredentialsProvider{Value: creds},
	})
}

// refused checks the answer to an attack, and notes what a log must say of it. KMS, IAM and STS have names of their own for some errors:
// in the logs they have that of KMS.
func (f *battlefield) refused(t *testing.T, name, code string, known bool, err error) {
	t.Helper()
	if got := apiCode(err); got != code {
		t.Errorf("%s: %v, want %s", name, err, code)
	}
	f.expect = append(f.expect, attack{name, logged(code), known})
}

// logged is the name that logs have for an error of IAM and STS.
func logged(code string) string {
	switch code {
	case "AccessDenied":
		return "AccessDeniedException"
	case "SignatureDoesNotMatch":
		return "InvalidSignatureException"
	case "InvalidClientTokenId":
		return "UnrecognizedClientException"
	case "Throttling":
		return "ThrottlingException"
	case "ExpiredToken":
		return "ExpiredTokenException"
	case "ValidationError":
		return "ValidationException"
	}
	return code
}

// inspect stops the server and looks for every attack in its log.
func (f *battlefield) inspect(t *testing.T) {
	t.Helper()
	f.stop()
	security, err := os.ReadFile(filepath.Join(f.dir, securityFile))
	if err != nil {
		t.Fatal(err)
	}
	var audited bytes.Buffer
	segments, err := filepath.Glob(filepath.Join(f.dir, auditDir, "audit-*.jsonl"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d audit segments, %v", len(segments), err)
	}
	for _, path := range segments {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		audited.Write(text)
	}
	for _, a := range f.expect {
		log, where := string(security), "security log"
		if a.known {
			log, where = audited.String(), "audit log"
		}
		found := false
		for line := range strings.SplitSeq(log, "\n") {
			if strings.Contains(line, "app/"+a.name+" ") || strings.Contains(line, "app/"+a.name+`"`) {
				found = found || strings.Contains(line, `"`+a.code+`"`)
			}
		}
		if !found {
			t.Errorf("%s: the %s has no record with %s", a.name, where, a.code)
		}
	}
	if len(f.expect) == 0 {
		t.Error("nothing was tried")
	}
	for _, s := range append(f.secrets, victimRoot.SecretAccessKey, strangerRoot.SecretAccessKey) {
		if s != "" && strings.Contains(string(security)+audited.String(), s) {
			t.Errorf("a log has a secret of %d characters", len(s))
		}
	}
}

// TestAttackSignatures alters requests of somebody else, or signs in their name.
func TestAttackSignatures(t *testing.T) {
	f := newBattlefield(t)
	ctx := t.Context()
	key, err := f.kms(victimRoot, "setup", nil).CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	id := key.KeyMetadata.KeyId
	describe := func(creds aws.Credentials, name string, alter tamper) error {
		_, err := f.kms(creds, name, alter).DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: id})
		return err
	}
	if err := describe(victimRoot, "untouched", func(*http.Request) {}); err != nil {
		t.Fatal(err)
	}
	const mismatch, incomplete = "InvalidSignatureException", "IncompleteSignatureException"
	f.refused(t, "wrong-secret", mismatch, false, describe(aws.Credentials{AccessKeyID: victimKey, SecretAccessKey: "a-guess-of-the-strangers"}, "wrong-secret", nil))
	f.refused(t, "unknown-key", "UnrecognizedClientException", false, describe(aws.Credentials{AccessKeyID: "AKIANOBODYATALL00000", SecretAccessKey: "a-guess-of-the-strangers"}, "unknown-key", nil))
	f.refused(t, "token-added", "UnrecognizedClientException", false, describe(
		aws.Credentials{AccessKeyID: victimKey, SecretAccessKey: victimRoot.SecretAccessKey, SessionToken: "any"}, "token-added", nil))
	for name, a := range map[string]struct {
		code  string
		alter tamper
	}{
		"body": {mismatch, func(r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte(`"KeyId"`), []byte(`"KeyID"`), 1)))
		}},
		"body-to-another-operation": {mismatch, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.ScheduleKeyDeletion") }},
		"path":                      {mismatch, func(r *http.Request) { r.URL.Path = "/x" }},
		"query":                     {mismatch, func(r *http.Request) { r.URL.RawQuery = "a=b" }},
		"host":                      {mismatch, func(r *http.Request) { r.Host = "kms.example.com" }},
		"date": {mismatch, func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(time.Second).Format("20060102T150405Z"))
		}},
		"signed-header-removed": {mismatch, func(r *http.Request) { r.Header.Del("X-Amz-Target") }},
		"signed-header-twice":   {incomplete, func(r *http.Request) { r.Header.Add("X-Amz-Target", "TrentService.ScheduleKeyDeletion") }},
		"header-not-signed":     {mismatch, func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "any") }},
		"region": {mismatch, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/"+attackRegion+"/", "/eu-central-1/", 1))
		}},
		"service": {mismatch, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/kms/", "/sts/", 1))
		}},
		"key-id": {mismatch, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), victimKey, strangerKey, 1))
		}},
		"no-signature":      {"MissingAuthenticationTokenException", func(r *http.Request) { r.Header.Del("Authorization") }},
		"also-in-the-query": {incomplete, func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=0" }},
	} {
		f.refused(t, name, a.code, false, describe(victimRoot, name, a.alter))
	}

	// A request with a header that says what to do, and is not among those signed.
	forged := f.request(t, "target-not-signed", `{"KeyId":"`+*id+`"}`)
	signAt(t, ctx, forged, victimRoot, "kms", time.Now())
	forged.Header.Set("X-Amz-Target", "TrentService.ScheduleKeyDeletion")
	f.refusedRaw(t, "target-not-signed", mismatch, forged)

	// A request that was right when it was sent, and is sent again later, or comes from a clock ahead.
	late := f.request(t, "replayed-late", `{"KeyId":"`+*id+`"}`)
	late.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
	signAt(t, ctx, late, victimRoot, "kms", time.Now())
	early := f.request(t, "from-the-future", `{"KeyId":"`+*id+`"}`)
	early.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
	signAt(t, ctx, early, victimRoot, "kms", time.Now().Add(6*time.Minute))
	f.refusedRaw(t, "from-the-future", mismatch, early)
	f.ahead.Store(int64(6 * time.Minute))
	f.refusedRaw(t, "replayed-late", mismatch, late)
	f.ahead.Store(0)
	f.inspect(t)
}

// request is a request to KMS that is not signed yet.
func (f *battlefield) request(t *testing.T, name, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("User-Agent", "app/"+name+" ")
	return r
}

// signAt signs a request with the SDK's signer, at a time.
func signAt(t *testing.T, ctx context.Context, r *http.Request, creds aws.Credentials, service string, at time.Time) {
	t.Helper()
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), service, attackRegion, at); err != nil {
		t.Fatal(err)
	}
}

// refusedRaw sends a request of KMS's and checks its answer.
func (f *battlefield) refusedRaw(t *testing.T, name, code string, r *http.Request) {
	t.Helper()
	status, body := do(t, r)
	if status == http.StatusOK || !strings.Contains(body, `"`+code+`"`) {
		t.Errorf("%s: %d %s, want %s", name, status, body, code)
	}
	f.expect = append(f.expect, attack{name, code, false})
}
