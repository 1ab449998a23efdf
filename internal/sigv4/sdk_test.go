package sigv4

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func TestSDKHeaderForm(t *testing.T) {
	targets := []string{"/", "", "/?a=b&a=a&B=%2F+c&%E1%88%B4=x", "/a%20b/c~d/$e", "/k%2Fx/?x=1&x-y=2&x%20=3"}
	v := New(testConfig())
	for _, keyID := range []string{testKeyID, testTempID} {
		for _, target := range targets {
			for _, body := range []string{testBody, ""} {
				r := newHTTP(t, target, body)
				r.Header.Add("X-Custom", "  spaced   out ")
				r.Header.Add("X-Custom", "second")
				r.Header.Set(paramContentSHA256, hexSum(body))
				if err := signer.NewSigner().SignHTTP(t.Context(), credentialsOf(keyID), r, hexSum(body), "kms", "eu-central-1", testNow); err != nil {
					t.Fatal(err)
				}
				in := toInput(r, body)
				id, err := v.Verify(t.Context(), in, testNow.Add(time.Minute), "kms")
				if err != nil {
					t.Fatalf("%s %q: %v", keyID, target, err)
				}
				want := Identity{AccessKeyID: keyID, Region: "eu-central-1", Service: "kms", Subject: "alice"}
				if keyID == testTempID {
					want.Subject = "session"
				}
				if *id != want {
					t.Fatalf("identity %+v, want %+v", *id, want)
				}
				in.Header.Set("X-Amz-Target", "TrentService.Decrypt")
				if _, err := v.Verify(t.Context(), in, testNow, "kms"); codeOf(t, err) != CodeInvalid {
					t.Fatalf("altered target: %v", err)
				}
			}
		}
	}
}

func TestSDKQueryForm(t *testing.T) {
	v := New(testConfig())
	for _, keyID := range []string{testKeyID, testTempID} {
		in := presigned(t, keyID, "sts", "900", testNow)
		for _, at := range []time.Time{testNow, testNow.Add(-5 * time.Minute), testNow.Add(900 * time.Second)} {
			id, err := v.Verify(t.Context(), in, at, "sts")
			if err != nil {
				t.Fatalf("%s at %v: %v", keyID, at, err)
			}
			if !id.Presigned || id.AccessKeyID != keyID || id.Service != "sts" {
				t.Fatalf("identity %+v", id)
			}
		}
		altered := *in
		altered.Body = []byte("other")
		if _, err := v.Verify(t.Context(), &altered, testNow, "sts"); codeOf(t, err) != CodeInvalid {
			t.Fatalf("altered body: %v", err)
		}
		altered = *in
		altered.RawQuery += "&Extra=1"
		if _, err := v.Verify(t.Context(), &altered, testNow, "sts"); codeOf(t, err) != CodeInvalid {
			t.Fatalf("added parameter: %v", err)
		}
	}
}

// A presigned request that states the hash of its body, in the query or in a signed header, has to state the right one.
func TestPresignedContentSHA256(t *testing.T) {
	sign := func(query, header string) *Input {
		r := newHTTP(t, "/?X-Amz-Expires=60"+query, testBody)
		if header != "" {
			r.Header.Set(paramContentSHA256, header)
		}
		payload := hexSum(testBody)
		signedURL, h, err := signer.NewSigner().PresignHTTP(t.Context(), credentialsOf(testKeyID), r, payload, "kms", "eu-central-1", testNow)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signedURL)
		if err != nil {
			t.Fatal(err)
		}
		return &Input{Method: http.MethodPost, RawQuery: u.RawQuery, Host: u.Host, Header: h, Body: []byte(testBody)}
	}
	right, wrong := hexSum(testBody), hexSum("other")
	for _, tc := range []struct {
		name, query, header string
		want                string
	}{
		{"absent", "", "", ""},
		{"right in query", "&X-Amz-Content-Sha256=" + right, "", ""},
		{"wrong in query", "&X-Amz-Content-Sha256=" + wrong, "", CodeInvalid},
		{"unsigned payload", "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "", CodeInvalid},
		{"right in header", "", right, ""},
		{"wrong in header", "", wrong, CodeInvalid},
		{"unsigned in header", "", "UNSIGNED-PAYLOAD", CodeInvalid},
		{"wrong and right", "&X-Amz-Content-Sha256=" + wrong, right, CodeInvalid},
		{"right and wrong", "&X-Amz-Content-Sha256=" + right, wrong, CodeInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(testConfig()).Verify(t.Context(), sign(tc.query, tc.header), testNow, "kms")
			if codeOf(t, err) != tc.want {
				t.Fatalf("got %v, want code %q", err, tc.want)
			}
		})
	}
}
