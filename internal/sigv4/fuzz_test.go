package sigv4

import (
	"net/http"
	"strings"
	"testing"
)

// fuzzHeaders reads "Name: value" lines into a header map as net/http would have left it.
func fuzzHeaders(blob string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(blob, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

func headerBlob(h http.Header) string {
	var b strings.Builder
	for name, values := range h {
		for _, v := range values {
			if name != "Authorization" {
				b.WriteString(name + ": " + v + "\n")
			}
		}
	}
	return b.String()
}

// FuzzVerify changes signed requests at will. Nothing may panic, and what is accepted must be what the holder of the secret
// would sign: a second implementation of the specification arrives at the signature that the request carries.
func FuzzVerify(f *testing.F) {
	for _, in := range []*Input{
		newDraft().header(), newDraft().forQuery().query(), signed(f, testKeyID, "kms", testNow), signed(f, testTempID, "kms", testNow),
		presigned(f, testKeyID, "kms", "60", testNow), presigned(f, testTempID, "kms", "60", testNow),
	} {
		f.Add(in.Method, in.Path, in.RawQuery, in.Host, headerBlob(in.Header), in.Body, in.Header.Get("Authorization"))
	}
	v := New(testConfig())
	f.Fuzz(func(t *testing.T, method, path, query, host, headers string, body []byte, auth string) {
		in := &Input{Method: method, Path: path, RawQuery: query, Host: host, Header: fuzzHeaders(headers), Body: body}
		if auth != "" {
			in.Header.Set("Authorization", auth)
		}
		Peek(in)
		id, err := v.Verify(t.Context(), in, testNow, "kms")
		if err != nil {
			if id != nil || codeOf(t, err) == "" {
				t.Fatalf("identity %v, error %v", id, err)
			}
			return
		}
		var s scratch
		if err := s.parse(in); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		c := s.claim
		secret := map[string]string{testKeyID: testSecret, testTempID: testSecret2}[id.AccessKeyID]
		want := refSignature(in, secret, c.stamp, c.scope, strings.Split(c.signedHeaders, ";"), id.Presigned)
		if !strings.Contains(auth+query, want) {
			t.Fatalf("accepted, but signed anew it has the signature %s", want)
		}
		if peeked, _, _, ok := Peek(in); !ok || peeked != id.AccessKeyID {
			t.Fatalf("Peek found %q, Verify %q", peeked, id.AccessKeyID)
		}
	})
}

// FuzzSigned signs arbitrary requests by the second implementation. They must be accepted, unless a rule of form refuses them,
// and never after a change of the body or the signature.
func FuzzSigned(f *testing.F) {
	f.Add("/", "", true, "b", []byte(testBody), true)
	f.Add("/a/../b//c/.", "b=1&a=2&a=1&a-b=%20+", false, " a  b\t ", []byte{}, false)
	f.Add("/..", "x&=&;", true, " a  b\t ", []byte("x"), true)
	f.Fuzz(func(t *testing.T, path, query string, custom bool, value string, body []byte, inHeader bool) {
		d := newDraft()
		d.in.Path, d.in.Body = path, body
		sign := d.header
		if inHeader {
			d.in.RawQuery = query
		} else {
			d.forQuery()
			if query != "" {
				d.extra = "&" + query
			}
			sign = d.query
		}
		if custom {
			d.in.Header.Set("A", value)
			d.names = "a;" + d.names
		}
		in := sign()
		v := New(testConfig())
		if _, err := v.Verify(t.Context(), in, testNow, "kms"); err != nil {
			if codeOf(t, err) == CodeInvalid && strings.Contains(err.Error(), mismatch) {
				// url.ParseQuery drops what has a semicolon; a handler would not see it either.
				if strings.Contains(query, ";") {
					return
				}
				t.Fatalf("the two implementations disagree on %+v", in)
			}
			return
		}
		in.Body = append([]byte("x"), body...)
		if _, err := v.Verify(t.Context(), in, testNow, "kms"); codeOf(t, err) != CodeInvalid {
			t.Fatalf("altered body: %v", err)
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add(newDraft().header().Header.Get("Authorization"))
	f.Add("AWS4-HMAC-SHA256 Signature=0,Credential=a/b/c/d/aws4_request , SignedHeaders=host")
	f.Add("AWS4-HMAC-SHA256 Credential==,,")
	f.Add("AWS4-HMAC-SHA256")
	f.Fuzz(func(t *testing.T, h string) {
		a, err := parseAuthorization(h)
		if err != nil {
			codeOf(t, err)
			return
		}
		// What was understood says everything: written anew, it reads the same.
		var parts []string
		for _, p := range [][2]string{{"Credential", a.credential}, {"SignedHeaders", a.signedHeaders}, {"Signature", a.signature}} {
			if p[1] != "" {
				parts = append(parts, p[0]+"="+p[1])
			}
		}
		again, err := parseAuthorization("AWS4-HMAC-SHA256 " + strings.Join(parts, ", "))
		if err != nil || again != a {
			t.Fatalf("%q reads as %+v, then as %+v, %v", h, a, again, err)
		}
		if n := len(algorithm) + len(strings.Join(parts, ",")); n > len(h)+1 {
			t.Fatalf("more was read than there is: %q", h)
		}
	})
}
