package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/telemetry"
)

// marked are texts that stand for secrets, or for what a caller says: no signal may have them.
const (
	markPlaintext   = "marker-plaintext-of-a-caller"
	markContext     = "marker-encryption-context"
	markAlias       = "marker-alias-name"
	markDescription = "marker-description"
	markTag         = "marker-tag-value"
	markUser        = "marker-user-name"
	markHeader      = "marker-of-a-header"
	markOperation   = "MarkerOperation"
	markSecret      = "marker-secret-access-key"
	markToken       = "marker-bearer-token"
)

// TestSignalsTellNoSecrets drives operations of every kind, well and badly, with everything switched on, and looks for what callers said in
// the log, the metrics and the traces. Account, key IDs and access keys must be in neither metrics nor traces.
func TestSignalsTellNoSecrets(t *testing.T) {
	var traces struct {
		sync.Mutex
		bytes.Buffer
	}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		traces.Lock()
		defer traces.Unlock()
		_, _ = io.Copy(&traces, r.Body)
	}))
	defer collector.Close()
	log := &keptLog{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := newWatch(logger)
	w.observer.Log = logger
	w.exporter = telemetry.NewExporter(collector.URL+"/v1/traces", markToken, collector.Client(), logger)
	var err error
	w.observer.Tracer, err = telemetry.NewTracer(t.Context(), telemetry.TracerConfig{Export: w.exporter, Ratio: 1, Accept: true, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s := startDev(t, t.TempDir(), func(c *appConfig) { c.Log, c.Watch = logger, w })

	ctx := t.Context()
	const account = "111122223333"
	creds := credentials.NewStaticCredentialsProvider(account, markSecret, "")
	c := awskms.New(awskms.Options{BaseEndpoint: &s.URL, Region: "us-east-1", Credentials: creds, RetryMaxAttempts: 1})
	k, err := c.CreateKey(ctx, &awskms.CreateKeyInput{Description: aws.String(markDescription), Tags: []types.Tag{{TagKey: aws.String("t"), TagValue: aws.String(markTag)}}})
	if err != nil {
		t.Fatal(err)
	}
	id := k.KeyMetadata.KeyId
	encryptionContext := map[string]string{"tenant": markContext}
	blob, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: id, Plaintext: []byte(markPlaintext), EncryptionContext: encryptionContext})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob.CiphertextBlob, EncryptionContext: encryptionContext}); err != nil {
		t.Fatal(err)
	}
	data, err := c.GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{KeyId: id, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	// What follows is refused in part, and part of the game.
	other := "alias/" + markAlias
	_, _ = c.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: &other, TargetKeyId: id})
	_, _ = c.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String("alias/" + markAlias + "-absent")})
	_, _ = c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: []byte(markPlaintext)})
	_, _ = c.PutKeyPolicy(ctx, &awskms.PutKeyPolicyInput{KeyId: id, Policy: aws.String(`{"Statement":"` + markDescription + `"`)})
	_, _ = c.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: id})
	_, _ = iam.New(iam.Options{BaseEndpoint: &s.URL, Region: "us-east-1", Credentials: creds, RetryMaxAttempts: 1}).CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(markUser)})
	for _, header := range []map[string]string{
		{"X-Amz-Target": "TrentService." + markOperation},
		{"X-Amz-Target": "TrentService.Encrypt", "Authorization": "AWS4-HMAC-SHA256 Credential=" + markSecret},
		{"X-Amz-Target": "TrentService.Encrypt", "Content-Type": markHeader},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/", strings.NewReader(`{"Plaintext":"`+markPlaintext+`"`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("User-Agent", markHeader)
		req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		req.Header.Set("Tracestate", "vendor="+markHeader)
		req.Header.Set("Baggage", "user="+markHeader)
		for name, value := range header {
			req.Header.Set(name, value)
		}
		do(t, req)
	}
	do(t, mustGet(t, s.URL+"/?Action="+markOperation+"&Version=2010-05-08"))

	_, metrics := ask(t, http.DefaultClient, s.URL+"/metrics", "")
	s.stop()
	w.close()
	traces.Lock()
	defer traces.Unlock()
	if !strings.Contains(metrics, `operation="GenerateDataKey"`) || !bytes.Contains(traces.Bytes(), []byte("kms.GenerateDataKey")) || strings.Count(log.String(), `"msg":"request"`) < 12 {
		t.Fatal("the signals do not have the calls")
	}
	secrets := []string{
		markPlaintext, markContext, markAlias, markDescription, markTag, markUser, markHeader, markOperation, markSecret, markToken, string(data.Plaintext), string(blob.CiphertextBlob),
		"bWFya2VyLXBsYWludGV4dC1vZi1hLWNhbGxlcg", // the plaintext in Base64, as the wire has it
	}
	for where, text := range map[string]string{"the log": log.String(), "the metrics": metrics, "the traces": traces.String()} {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s has %q", where, s)
			}
		}
		if where == "the log" {
			continue
		}
		for _, s := range []string{*id, *k.KeyMetadata.Arn, account, "alias/"} {
			if strings.Contains(text, s) {
				t.Errorf("%s has %q", where, s)
			}
		}
	}
}

func mustGet(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
