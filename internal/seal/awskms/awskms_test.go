package awskms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/keyturn/keyturn/internal/seal"
)

var root = bytes.Repeat([]byte{9}, 32)

// call is a request as the KMS sees it.
type call struct {
	operation string
	process   string
	body      struct {
		KeyID             string `json:"KeyId"`
		Plaintext         []byte
		CiphertextBlob    []byte
		EncryptionContext map[string]string
	}
}

// fake answers as answer says and notes what it is asked.
func fake(t *testing.T, answer func(call) (status int, body string)) (*Provider, *[]call) {
	t.Helper()
	calls := new([]call)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{operation: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService."), process: r.Header.Get(ProcessHeader)}
		if err := json.NewDecoder(r.Body).Decode(&c.body); err != nil {
			t.Error(err)
		}
		*calls = append(*calls, c)
		status, body := answer(c)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		w.Write([]byte(body)) //nolint:errcheck // the client's trouble
	}))
	t.Cleanup(s.Close)
	p := New(Config{KeyID: "alias/seal", Endpoint: s.URL, Process: "this process", Timeout: 5 * time.Second, AWS: aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret-of-the-client", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}})
	p.Bind("the deployment")
	return p, calls
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestCalls(t *testing.T) {
	p, calls := fake(t, func(c call) (int, string) {
		if c.operation == "Encrypt" {
			return 200, jsonOf(map[string]any{"KeyId": "arn:aws:kms:us-east-1:111122223333:key/k", "CiphertextBlob": []byte("the ciphertext")})
		}
		return 200, jsonOf(map[string]any{"Plaintext": root})
	})
	sealed, err := p.Seal(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Unseal(t.Context(), sealed); err != nil || !bytes.Equal(got, root) {
		t.Errorf("Unseal: %v", err)
	}
	if len(*calls) != 2 {
		t.Fatalf("%d calls", len(*calls))
	}
	for _, c := range *calls {
		b := c.body
		if b.KeyID != "alias/seal" || len(b.EncryptionContext) != 2 || b.EncryptionContext[ContextDeployment] != "the deployment" || b.EncryptionContext[ContextPurpose] != "seal" || c.process != "this process" {
			t.Errorf("%s: key %q, context %v, process %q", c.operation, b.KeyID, b.EncryptionContext, c.process)
		}
	}
	if c := (*calls)[1]; string(c.body.CiphertextBlob) != "the ciphertext" {
		t.Errorf("it asks to decrypt %q", c.body.CiphertextBlob)
	}
	for n := range len(sealed) - len("the ciphertext") {
		if _, err := p.Unseal(t.Context(), sealed[:n]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	altered := bytes.Clone(sealed)
	altered[0]++
	if _, err := p.Unseal(t.Context(), altered); !errors.Is(err, seal.ErrFormat) {
		t.Errorf("another version: %v", err)
	}
	if _, err := p.Unseal(t.Context(), append(sealed, make([]byte, maxCiphertext)...)); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("too long: %v", err)
	}
	if len(*calls) != 2 {
		t.Error("the KMS was asked about what cannot be")
	}
}

func TestErrors(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		want   error // nil: none of those that say what to do by themselves
		says   string
	}{
		"IncorrectKeyException":       {400, seal.ErrWrongKey, `sealed by "the key"`},
		"InvalidCiphertextException":  {400, seal.ErrWrongKey, "another KMS sealed it"},
		"AccessDeniedException":       {400, seal.ErrUnavailable, "denies"},
		"NotFoundException":           {400, seal.ErrUnavailable, "no key"},
		"DisabledException":           {400, seal.ErrUnavailable, "enable it"},
		"KMSInvalidStateException":    {400, seal.ErrUnavailable, "cancel its deletion"},
		"UnrecognizedClientException": {400, seal.ErrUnavailable, "refuses"},
		"KMSInternalException":        {500, seal.ErrUnavailable, "refuses"},
		"ServiceUnavailableException": {503, seal.ErrUnavailable, "refuses"},
		"InvalidKeyUsageException":    {400, nil, "symmetric encryption key"},
		OwnSealCode:                   {400, ErrOwnSeal, "its own seal"},
	} {
		p, _ := fake(t, func(call) (int, string) { return c.status, `{"__type":"` + code + `","message":"line one\nline two"}` })
		_, err := p.Unseal(t.Context(), seal.Unbound([]byte("\x00\x07the key..")))
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v", code, err, c.want)
		}
		if c.want == nil && (errors.Is(err, seal.ErrUnavailable) || errors.Is(err, seal.ErrWrongKey)) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestHostile: a KMS that lies gets nobody to store a root key in the clear, or to open with another.
func TestHostile(t *testing.T) {
	for name, c := range map[string]string{
		"no ciphertext":           `{"KeyId":"k"}`,
		"the root key in it":      jsonOf(map[string]any{"KeyId": "k", "CiphertextBlob": append([]byte("x"), root...)}),
		"a large ciphertext":      jsonOf(map[string]any{"KeyId": "k", "CiphertextBlob": make([]byte, maxCiphertext+1)}),
		"a large key ID":          jsonOf(map[string]any{"KeyId": strings.Repeat("k", maxARN+1), "CiphertextBlob": []byte("x")}),
		"an answer without end":   `{"KeyId":"` + strings.Repeat("k", maxAnswer) + `"}`,
		"no JSON":                 `<html>`,
		"a root key of 31 bytes":  jsonOf(map[string]any{"Plaintext": root[1:]}),
		"no root key":             `{}`,
		"a root key that is text": jsonOf(map[string]any{"Plaintext": "%"}),
	} {
		p, _ := fake(t, func(call) (int, string) { return 200, c })
		if _, err := p.Seal(t.Context(), root); err == nil {
			t.Errorf("%s: sealed", name)
		}
		if _, err := p.Unseal(t.Context(), seal.Unbound([]byte("\x00\x01kcc"))); err == nil {
			t.Errorf("%s: unsealed", name)
		}
	}
}

func TestStopped(t *testing.T) {
	p, calls := fake(t, func(call) (int, string) { return 200, `{}` })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Seal(ctx, root); !errors.Is(err, context.Canceled) || errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if len(*calls) != 0 {
		t.Error("it called")
	}
	p.timeout = time.Nanosecond
	if _, err := p.Seal(t.Context(), root); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("without time: %v", err)
	}
}
