package sigv4

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// draft is a request that is signed correctly for whatever it states, right or wrong: a refusal of it is due to a rule, not to the
// signature.
type draft struct {
	in      Input
	keyID   string
	stamp   string
	scope   string // without the key ID
	names   string
	secret  string
	expires string // query form only
	extra   string // more of the query
}

func newDraft() *draft {
	return &draft{
		in: Input{Method: "POST", Path: "/", Host: "kms.example", Body: []byte(testBody), Header: http.Header{
			"X-Amz-Date":   {"20260101T001000Z"},
			"X-Amz-Target": {"TrentService.Encrypt"},
		}},
		keyID: testKeyID, stamp: "20260101T001000Z", scope: "20260101/eu-central-1/kms/aws4_request",
		names: "host;x-amz-date;x-amz-target", secret: testSecret, expires: "60",
	}
}

func (d *draft) header() *Input {
	d.in.Header["Authorization"] = []string{fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		d.keyID, d.scope, d.names, refSignature(&d.in, d.secret, d.stamp, d.scope, strings.Split(d.names, ";"), false))}
	return &d.in
}

func (d *draft) query() *Input {
	d.in.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + url.QueryEscape(d.keyID+"/"+d.scope) + "&X-Amz-Date=" +
		d.stamp + "&X-Amz-Expires=" + url.QueryEscape(d.expires) + "&X-Amz-SignedHeaders=" + url.QueryEscape(d.names) + d.extra
	d.in.RawQuery += "&X-Amz-Signature=" + refSignature(&d.in, d.secret, d.stamp, d.scope, strings.Split(d.names, ";"), true)
	return &d.in
}

func (d *draft) forQuery() *draft {
	delete(d.in.Header, "X-Amz-Date")
	d.names = "host;x-amz-target"
	return d
}

const mismatch = "The request signature we calculated does not match"

type refusal struct {
	name    string
	in      *Input
	code    string // "" for accepted
	message string // a part of it
}

func runRefusals(t *testing.T, cases []refusal) {
	t.Helper()
	v := New(testConfig())
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), tc.in, testNow, "kms")
			if codeOf(t, err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.message) {
				t.Fatalf("got %v, want %s %q", err, tc.code, tc.message)
			}
			if (id == nil) != (err != nil) {
				t.Fatalf("identity %v with error %v", id, err)
			}
		})
	}
}

func TestRefuseHeaderForm(t *testing.T) {
	with := func(change func(*draft)) *Input {
		d := newDraft()
		change(d)
		return d.header()
	}
	after := func(change func(*Input)) *Input {
		in := newDraft().header()
		change(in)
		return in
	}
	auth := func(from, to string) *Input {
		return after(func(in *Input) {
			h := in.Header["Authorization"][0]
			if !strings.Contains(h, from) {
				t.Fatalf("no %q in the header", from)
			}
			in.Header["Authorization"][0] = strings.Replace(h, from, to, 1)
		})
	}
	setHeader := func(name, value string) *Input { return after(func(in *Input) { in.Header.Set(name, value) }) }
	many := make([]string, 0, 66)
	for i := range 66 {
		many = append(many, fmt.Sprintf("a-%03d", i))
	}
	runRefusals(t, []refusal{
		{"accepted", newDraft().header(), "", ""},
		{"accepted without spaces", auth(", SignedHeaders", ",SignedHeaders"), "", ""},
		{"accepted with Date", with(func(d *draft) {
			d.in.Header.Del("X-Amz-Date")
			d.in.Header.Set("Date", d.stamp)
			d.names = "host;x-amz-target"
		}), "", ""},
		{"accepted with an empty path", with(func(d *draft) { d.in.Path = "" }), "", ""},

		{"none", after(func(in *Input) { in.Header.Del("Authorization") }), CodeMissing, "Missing Authentication Token"},
		{"empty", setHeader("Authorization", ""), CodeMissing, ""},
		{"other scheme", setHeader("Authorization", "Bearer hunter2"), CodeIncomplete, "algorithm"},
		{"other algorithm", auth("SHA256", "SHA1"), CodeIncomplete, "algorithm"},
		{"asymmetric", auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), CodeIncomplete, "algorithm"},
		{"twice", after(func(in *Input) { in.Header.Add("Authorization", in.Header.Get("Authorization")) }), CodeIncomplete, "more than one"},
		{"too long", auth("Credential", strings.Repeat(" ", maxAuthorization)+"Credential"), CodeIncomplete, "too long"},
		{"only algorithm", setHeader("Authorization", "AWS4-HMAC-SHA256"), CodeIncomplete, "Authorization header requires 'Credential' parameter. " +
			"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		{"no date", after(func(in *Input) { in.Header.Del("X-Amz-Date") }), CodeIncomplete, "'X-Amz-Date' or a 'Date'"},
		{"no pair", auth(", Signature=", ", Signature:"), CodeIncomplete, "key=value"},
		{"unknown parameter", auth(", Signature=", ", Other=x, Signature="), CodeIncomplete, "unknown"},
		{"parameter twice", auth(", Signature=", ", SignedHeaders=host, Signature="), CodeIncomplete, "more than once"},
		{"trailing comma", auth(", Signature=", ", ,Signature="), CodeIncomplete, "key=value"},
		{"comma at the end", after(func(in *Input) { in.Header["Authorization"][0] += "," }), CodeIncomplete, "key=value"},

		{"four elements", auth("/aws4_request", ""), CodeIncomplete, "5 slash-delimited"},
		{"six elements", auth("/aws4_request", "/aws4_request/x"), CodeIncomplete, "5 slash-delimited"},
		{"empty key ID", auth(testKeyID, ""), CodeIncomplete, "5 slash-delimited"},
		{"long key ID", auth(testKeyID, strings.Repeat("A", maxKeyID+1)), CodeIncomplete, "5 slash-delimited"},
		{"terminator", with(func(d *draft) { d.scope = "20260101/eu-central-1/kms/aws5_request" }), CodeInvalid, "valid terminator: 'aws4_request'"},
		{"region", with(func(d *draft) { d.scope = "20260101/us-east-1/kms/aws4_request" }), CodeInvalid, "Credential should be scoped to a valid region."},
		{"service", with(func(d *draft) { d.scope = "20260101/eu-central-1/sts/aws4_request" }), CodeInvalid, "Credential should be scoped to correct service: 'kms'."},
		{"unknown service", with(func(d *draft) { d.scope = "20260101/eu-central-1/s3/aws4_request" }), CodeInvalid, "correct service: 'kms'."},
		{"scope's date", with(func(d *draft) { d.scope = "20251231/eu-central-1/kms/aws4_request" }), CodeInvalid,
			"'20251231' != '20260101', from '20260101T001000Z'"},

		{"host not signed", with(func(d *draft) { d.names = "x-amz-date;x-amz-target" }), CodeInvalid, "'Host' or ':authority' must be"},
		{"date not signed", with(func(d *draft) { d.names = "host;x-amz-target" }), CodeInvalid, "'X-Amz-Date' must be a 'SignedHeader'"},
		{"target not signed", with(func(d *draft) { d.names = "host;x-amz-date" }), CodeInvalid, "'X-Amz-Target' must be a 'SignedHeader'"},
		{"lower-case map key", after(func(in *Input) { in.Header["x-amz-other"] = []string{"x"} }), CodeInvalid, "'x-amz-other' must be"},
		{"strange name", after(func(in *Input) { in.Header["X-Amz-<script>"] = []string{"x"} }), CodeInvalid, "'X-Amz-*' must be"},
		{"target twice", with(func(d *draft) { d.in.Header.Add("X-Amz-Target", "TrentService.Decrypt") }), CodeIncomplete, "more than once"},
		{"date twice", with(func(d *draft) { d.in.Header.Add("X-Amz-Date", d.stamp) }), CodeIncomplete, "more than one X-Amz-Date"},
		{"signed but absent", with(func(d *draft) { d.names = "host;range;x-amz-date;x-amz-target" }), CodeInvalid, "not in the request"},
		{"no host", with(func(d *draft) { d.in.Host = "" }), CodeInvalid, "no valid value"},
		{"unsorted", with(func(d *draft) { d.names = "x-amz-date;host;x-amz-target" }), CodeIncomplete, "sorted"},
		{"duplicate name", with(func(d *draft) { d.names = "host;host;x-amz-date;x-amz-target" }), CodeIncomplete, "unique"},
		{"upper case", with(func(d *draft) { d.names = "Host;x-amz-date;x-amz-target" }), CodeIncomplete, "lower case"},
		{"empty name", with(func(d *draft) { d.names = "host;x-amz-date;x-amz-target;" }), CodeIncomplete, "header names"},
		{"too many names", with(func(d *draft) { d.names = strings.Join(many, ";") }), CodeIncomplete, "too many"},
		{"line break in a value", with(func(d *draft) {
			d.in.Header.Set("A", "x\nb:y")
			d.names = "a;host;x-amz-date;x-amz-target"
		}), CodeInvalid, "no valid value"},
		{"delete in a value", with(func(d *draft) {
			d.in.Header.Set("A", "x\x7f")
			d.names = "a;host;x-amz-date;x-amz-target"
		}), CodeInvalid, "no valid value"},
		{"tab in a value", with(func(d *draft) {
			d.in.Header.Set("A", "\t x\t  y \t")
			d.names = "a;host;x-amz-date;x-amz-target"
		}), "", ""},
		{"huge value", with(func(d *draft) {
			d.in.Header.Set("A", strings.Repeat("x", maxCanonical))
			d.names = "a;host;x-amz-date;x-amz-target"
		}), CodeInvalid, "too large"},
		{"very many values", with(func(d *draft) {
			d.in.Header["A"] = make([]string, maxCanonical)
			d.names = "a;host;x-amz-date;x-amz-target"
		}), CodeInvalid, "too large"},

		{"date format", with(func(d *draft) { d.in.Header.Set("X-Amz-Date", "Thu, 01 Jan 2026 00:10:00 GMT") }), CodeIncomplete, "basic format"},
		{"date with fraction", with(func(d *draft) { d.in.Header.Set("X-Amz-Date", "20260101T001000.5Z") }), CodeIncomplete, "basic format"},
		{"no such date", with(func(d *draft) { d.in.Header.Set("X-Amz-Date", "20260132T001000Z") }), CodeIncomplete, "basic format"},

		{"method", with(func(d *draft) { d.in.Method = "POST\n/" }), CodeInvalid, "method"},
		{"relative path", with(func(d *draft) { d.in.Path = "*" }), CodeInvalid, "path"},
		{"long path", with(func(d *draft) { d.in.Path = "/" + strings.Repeat("x", maxPath) }), CodeInvalid, "path"},
		{"query encoding", with(func(d *draft) { d.in.RawQuery = "a=%zz" }), CodeIncomplete, "encoded"},
		{"long query", with(func(d *draft) { d.in.RawQuery = strings.Repeat("x", maxQuery+1) }), CodeIncomplete, "too long"},
		{"many parameters", with(func(d *draft) { d.in.RawQuery = strings.Repeat("x&", maxParams+1) }), CodeIncomplete, "too many"},
		{"both forms", with(func(d *draft) { d.in.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }), CodeIncomplete, "Only one"},
		{"token in the query", with(func(d *draft) { d.in.RawQuery = "X-Amz-Security-Token=x" }), CodeIncomplete, "Only one"},

		{"content hash right", with(func(d *draft) {
			d.in.Header.Set(paramContentSHA256, hexSum(testBody))
			d.names = "host;x-amz-content-sha256;x-amz-date;x-amz-target"
		}), "", ""},
		{"content hash wrong", with(func(d *draft) {
			d.in.Header.Set(paramContentSHA256, hexSum("other"))
			d.names = "host;x-amz-content-sha256;x-amz-date;x-amz-target"
		}), CodeInvalid, "x-amz-content-sha256"},
		{"unsigned payload", with(func(d *draft) {
			d.in.Header.Set(paramContentSHA256, "UNSIGNED-PAYLOAD")
			d.names = "host;x-amz-content-sha256;x-amz-date;x-amz-target"
		}), CodeInvalid, "x-amz-content-sha256"},

		{"body", after(func(in *Input) { in.Body = []byte("x") }), CodeInvalid, mismatch},
		{"host altered", after(func(in *Input) { in.Host = "kms.other" }), CodeInvalid, mismatch},
		{"path altered", after(func(in *Input) { in.Path = "/x" }), CodeInvalid, mismatch},
		{"method altered", after(func(in *Input) { in.Method = "PUT" }), CodeInvalid, mismatch},
		{"query altered", after(func(in *Input) { in.RawQuery = "x" }), CodeInvalid, mismatch},
		{"wrong secret", with(func(d *draft) { d.secret = testSecret2 }), CodeInvalid, mismatch},
		{"upper-case signature", after(func(in *Input) {
			alg, sig, _ := strings.Cut(in.Header["Authorization"][0], "Signature=")
			in.Header["Authorization"][0] = alg + "Signature=" + strings.ToUpper(sig)
		}), CodeInvalid, mismatch},
		{"short signature", after(func(in *Input) {
			h := in.Header["Authorization"][0]
			in.Header["Authorization"][0] = h[:len(h)-2]
		}), CodeInvalid, mismatch},

		{"unknown key", with(func(d *draft) { d.keyID = "AKIDNOBODY" }), CodeUnrecognized, "The security token included in the request is invalid."},
		{"unknown key, dummy secret", with(func(d *draft) { d.keyID, d.secret = "AKIDNOBODY", dummySecret }), CodeUnrecognized, ""},
		{"key without a secret", with(func(d *draft) { d.keyID, d.secret = "EMPTY", "" }), CodeUnrecognized, ""},
		{"expired session", with(func(d *draft) { d.keyID = "EXPIRED" }), CodeExpired, "expired"},
	})
}

func TestRefuseSessionToken(t *testing.T) {
	sign := func(keyID, secret, token string) *Input {
		d := newDraft()
		d.keyID, d.secret = keyID, secret
		if token != "" {
			d.in.Header.Set(paramToken, token)
			d.names = "host;x-amz-date;x-amz-security-token;x-amz-target"
		}
		return d.header()
	}
	unsigned := newDraft()
	unsigned.keyID, unsigned.secret = testTempID, testSecret2
	unsigned.in.Header.Set(paramToken, testToken)
	inQuery := newDraft().forQuery()
	inQuery.keyID, inQuery.secret, inQuery.extra = testTempID, testSecret2, "&X-Amz-Security-Token="+url.QueryEscape(testToken)
	wrongInQuery := newDraft().forQuery()
	wrongInQuery.keyID, wrongInQuery.secret, wrongInQuery.extra = testTempID, testSecret2, "&X-Amz-Security-Token=x"
	twice := newDraft()
	twice.keyID, twice.secret, twice.names = testTempID, testSecret2, "host;x-amz-date;x-amz-security-token;x-amz-target"
	twice.in.Header[paramToken] = []string{testToken, testToken}
	runRefusals(t, []refusal{
		{"right", sign(testTempID, testSecret2, testToken), "", ""},
		{"right in the query", inQuery.query(), "", ""},
		{"absent", sign(testTempID, testSecret2, ""), CodeUnrecognized, "invalid."},
		{"wrong", sign(testTempID, testSecret2, testToken+"x"), CodeUnrecognized, "invalid."},
		{"wrong in the query", wrongInQuery.query(), CodeUnrecognized, "invalid."},
		{"for a long-term key", sign(testKeyID, testSecret, testToken), CodeUnrecognized, "invalid."},
		{"not signed", unsigned.header(), CodeInvalid, "'X-Amz-Security-Token' must be"},
		{"twice", twice.header(), CodeIncomplete, "more than one"},
		{"right, secret wrong", sign(testTempID, testSecret, testToken), CodeInvalid, mismatch},
	})
}

func TestRefuseQueryForm(t *testing.T) {
	with := func(change func(*draft)) *Input {
		d := newDraft().forQuery()
		change(d)
		return d.query()
	}
	without := func(param string) *Input {
		in := newDraft().forQuery().query()
		var kept []string
		for p := range strings.SplitSeq(in.RawQuery, "&") {
			if !strings.HasPrefix(p, param+"=") {
				kept = append(kept, p)
			}
		}
		in.RawQuery = strings.Join(kept, "&")
		return in
	}
	cases := []refusal{
		{"accepted", newDraft().forQuery().query(), "", ""},
		{"expires 604800", with(func(d *draft) { d.expires = "604800" }), "", ""},
		{"expires 604801", with(func(d *draft) { d.expires = "604801" }), CodeIncomplete, "between 1 and 604800"},
		{"expires 0", with(func(d *draft) { d.expires = "0" }), CodeIncomplete, "between 1"},
		{"expires -1", with(func(d *draft) { d.expires = "-1" }), CodeIncomplete, "number"},
		{"expires 1.5", with(func(d *draft) { d.expires = "1.5" }), CodeIncomplete, "number"},
		{"expires huge", with(func(d *draft) { d.expires = "99999999999999999999" }), CodeIncomplete, "number"},
		{"date in a header too", with(func(d *draft) {
			d.in.Header.Set("X-Amz-Date", d.stamp)
			d.names = "host;x-amz-date;x-amz-target"
		}), CodeIncomplete, "Only one"},
		{"token in a header", with(func(d *draft) {
			d.in.Header.Set(paramToken, testToken)
			d.names = "host;x-amz-security-token;x-amz-target"
			d.keyID, d.secret = testTempID, testSecret2
		}), CodeIncomplete, "Only one"},
		{"expires twice", with(func(d *draft) { d.extra = "&X-Amz-Expires=60" }), CodeIncomplete, "more than once"},
		{"signature twice, once disguised", with(func(d *draft) { d.extra = "&X-Amz-%53ignature=00" }), CodeIncomplete, "more than once"},
		{"target not signed", with(func(d *draft) { d.names = "host" }), CodeInvalid, "'X-Amz-Target' must be"},
		{"host not signed", with(func(d *draft) { d.names = "x-amz-target" }), CodeInvalid, "'Host'"},
		{"wrong secret", with(func(d *draft) { d.secret = testSecret2 }), CodeInvalid, mismatch},
		{"service", with(func(d *draft) { d.scope = "20260101/eu-central-1/sts/aws4_request" }), CodeInvalid, "correct service"},
		{"unknown key", with(func(d *draft) { d.keyID = "AKIDNOBODY" }), CodeUnrecognized, ""},
		{"plus read as a plus", func() *Input {
			in := with(func(d *draft) { d.extra = "&A=1%2B2" })
			in.RawQuery = strings.Replace(in.RawQuery, "1%2B2", "1+2", 1) // a handler would read a space
			return in
		}(), CodeInvalid, mismatch},
		{"semicolon is no separator", with(func(d *draft) { d.extra = "&A=1%3BB=2" }), "", ""},
	}
	for _, p := range []string{paramAlgorithm, paramCredential, paramSignature, paramSignedHeaders, paramDate} {
		cases = append(cases, refusal{"without " + p, without(p), CodeIncomplete, "AWS query-string parameters must include '" + p +
			"'. Re-examine the query-string parameters."})
	}
	other := newDraft().forQuery().query()
	other.RawQuery = strings.Replace(other.RawQuery, "HMAC-SHA256", "HMAC-SHA1", 1)
	cases = append(cases, refusal{"algorithm", other, CodeIncomplete, "algorithm"})
	runRefusals(t, cases)
}
