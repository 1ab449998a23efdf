package sigv4

import (
	"net/http"
	"strings"
	"testing"
	"unsafe"
)

func sameBytes(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) }

func TestPeek(t *testing.T) {
	in := func(auth, query string) *Input {
		in := &Input{Header: http.Header{}, RawQuery: query}
		if auth != "" {
			in.Header.Set("Authorization", auth)
		}
		return in
	}
	for _, tc := range []struct {
		name string
		in   *Input
		want [3]string // all empty: not ok
	}{
		{"header", newDraft().header(), [3]string{testKeyID, "eu-central-1", "kms"}},
		{"query", newDraft().forQuery().query(), [3]string{testKeyID, "eu-central-1", "kms"}},
		{"sdk header", signed(t, testTempID, "sts", testNow), [3]string{testTempID, "eu-central-1", "sts"}},
		{"sdk query", presigned(t, testTempID, "sts", "60", testNow), [3]string{testTempID, "eu-central-1", "sts"}},
		{"credential only", in("AWS4-HMAC-SHA256 Credential=test/x/us-east-1/kms", ""), [3]string{"test", "us-east-1", "kms"}},
		{"other algorithm", in("AWS4-X Signature=1,Credential=test/x/us-east-1/kms/y,SignedHeaders=a", ""), [3]string{"test", "us-east-1", "kms"}},
		{"header before query", in("AWS4-HMAC-SHA256 Credential=a/x/r1/kms/t", "X-Amz-Credential=b/x/r2/kms/t"), [3]string{"a", "r1", "kms"}},
		{"query after a useless header", in("Bearer x", "a=b&X-Amz-Credential=b%2Fx%2Fr2%2Fkms%2Ft"), [3]string{"b", "r2", "kms"}},
		{"nothing", in("", ""), [3]string{}},
		{"three elements", in("AWS4-HMAC-SHA256 Credential=a/x/r1", ""), [3]string{}},
		{"empty key ID", in("AWS4-HMAC-SHA256 Credential=/x/r1/kms/t", ""), [3]string{}},
		{"control character", in("AWS4-HMAC-SHA256 Credential=a\x00/x/r1/kms/t", ""), [3]string{}},
		{"long key ID", in("AWS4-HMAC-SHA256 Credential="+strings.Repeat("a", 129)+"/x/r1/kms/t", ""), [3]string{}},
		{"long header", in("AWS4-HMAC-SHA256 Credential=a/x/r1/kms/t,"+strings.Repeat("a", maxAuthorization), ""), [3]string{}},
		{"long query", in("", "X-Amz-Credential=b/x/r2/kms/t&"+strings.Repeat("a", maxQuery)), [3]string{}},
		{"bad encoding", in("", "X-Amz-Credential=b/x/r2/kms/%zz"), [3]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, region, service, ok := Peek(tc.in)
			if got := [3]string{id, region, service}; got != tc.want || ok != (tc.want != [3]string{}) {
				t.Fatalf("got %q, %v; want %q", got, ok, tc.want)
			}
		})
	}
}
