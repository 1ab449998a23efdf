package sigv4

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testKeyID   = "AKIDEXAMPLE"
	testTempID  = "ASIDEXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testSecret2 = "another/secret+of+forty+characters/012345"
	testToken   = "FwoGZXIvYXdzEJr//////////wEaDExample+Token=="
	testBody    = `{"KeyId":"alias/app","Plaintext":"aGVsbG8="}`
)

var testNow = time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)

func testLookup(_ context.Context, id, _ string) (Credential, error) {
	switch id {
	case testKeyID:
		return Credential{SecretAccessKey: testSecret, Subject: "alice"}, nil
	case testTempID:
		return Credential{SecretAccessKey: testSecret2, SessionToken: testToken, Subject: "session"}, nil
	case "EXPIRED":
		return Credential{}, fmt.Errorf("wrapped: %w", ErrExpiredToken)
	case "BROKEN":
		return Credential{}, errBroken
	case "EMPTY":
		return Credential{}, nil
	}
	return Credential{}, ErrUnknownAccessKey
}

var errBroken = errors.New("disk on fire")

func testConfig() Config {
	return Config{
		Lookup:   testLookup,
		Services: []string{"kms", "sts"},
		Region:   func(_, r string) bool { return r == "eu-central-1" },
	}
}

func credentialsOf(keyID string) aws.Credentials {
	switch keyID {
	case testTempID:
		return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: testSecret2, SessionToken: testToken}
	default:
		return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: testSecret}
	}
}

// newHTTP is a KMS request, unsigned.
func newHTTP(t testing.TB, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("POST", "https://kms.eu-central-1.example"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	r.Header.Set("User-Agent", "test/1")
	return r
}

func toInput(r *http.Request, body string) *Input {
	return &Input{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone(), Body: []byte(body)}
}

func hexSum(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// signed is a KMS request signed by the SDK in its header.
func signed(t testing.TB, keyID, service string, at time.Time) *Input {
	t.Helper()
	r := newHTTP(t, "/", testBody)
	if err := signer.NewSigner().SignHTTP(t.Context(), credentialsOf(keyID), r, hexSum(testBody), service, "eu-central-1", at); err != nil {
		t.Fatal(err)
	}
	return toInput(r, testBody)
}

// presigned is a KMS request signed by the SDK in its query.
func presigned(t testing.TB, keyID, service, expires string, at time.Time) *Input {
	t.Helper()
	r := newHTTP(t, "/?X-Amz-Expires="+expires+"&Action=a%20b%2Bc&Empty", testBody)
	signedURL, header, err := signer.NewSigner().PresignHTTP(t.Context(), credentialsOf(keyID), r, hexSum(testBody), service, "eu-central-1", at)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signedURL)
	if err != nil {
		t.Fatal(err)
	}
	header.Del("Host")
	return &Input{Method: r.Method, Path: u.EscapedPath(), RawQuery: u.RawQuery, Host: u.Host, Header: header, Body: []byte(testBody)}
}

// refSignature is the signature of a request by a second, naive reading of the specification, in its own words: strings, maps
// and regular expressions. The names of the signed headers and the scope are given.
func refSignature(in *Input, secret, stamp, scope string, names []string, presigned bool) string {
	var segments []string
	for seg := range strings.SplitSeq(in.Path, "/") {
		switch {
		case seg == "" || seg == ".":
		case seg != "..":
			segments = append(segments, refEscape(seg))
		case len(segments) > 0:
			segments = segments[:len(segments)-1]
		}
	}
	path := "/" + strings.Join(segments, "/")
	if strings.HasSuffix(in.Path, "/") && path != "/" {
		path += "/"
	}

	query, _ := url.ParseQuery(in.RawQuery)
	if presigned {
		delete(query, "X-Amz-Signature")
	}
	byKey := map[string][]string{}
	for k, values := range query {
		for _, v := range values {
			byKey[refEscape(k)] = append(byKey[refEscape(k)], refEscape(v))
		}
	}
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		for _, v := range slices.Sorted(slices.Values(byKey[k])) {
			pairs = append(pairs, k+"="+v)
		}
	}

	var headers strings.Builder
	for _, name := range names {
		values := in.Header.Values(name)
		if name == "host" {
			values = []string{in.Host}
		} else if name == "content-length" && len(values) == 0 {
			values = []string{fmt.Sprint(len(in.Body))}
		}
		var folded []string
		for _, v := range values {
			folded = append(folded, regexp.MustCompile(" +").ReplaceAllString(strings.Trim(v, " \t"), " "))
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.Join(folded, ","))
	}
	canonical := strings.Join([]string{in.Method, path, strings.Join(pairs, "&"), headers.String(), strings.Join(names, ";"),
		hexSum(string(in.Body))}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hexSum(canonical)}, "\n")
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = refHMAC(key, part)
	}
	return hex.EncodeToString(refHMAC(key, toSign))
}

func refHMAC(key []byte, s string) []byte {
	if pad := sha256.BlockSize - len(key); pad > 0 { // as HMAC itself does; FIPS 140-only mode would refuse a short test key
		key = append(slices.Clone(key), make([]byte, pad)...)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func refEscape(s string) string {
	var b bytes.Buffer
	for _, c := range []byte(s) {
		if regexp.MustCompile(`^[A-Za-z0-9_.~-]$`).Match([]byte{c}) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// codeOf is the code of a refusal, "" for none.
func codeOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e.Code
}
