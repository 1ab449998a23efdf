package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/wire"
)

// TestMalformedRequests sends what no SDK would and compares status and body with AWS's.
func TestMalformedRequests(t *testing.T) {
	s := startDev(t, t.TempDir())
	const json, form = "application/x-amz-json-1.1", "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, path, contentType, target, body string
		status                                        int
		want                                          string // in the answer
	}{
		{"unknown operation", "POST", "/", json, "TrentService.Nonsense", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"no target", "POST", "/", json, "", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"target of another service", "POST", "/", json, "DynamoDB_20120810.ListTables", "{}", 400, `UnknownOperationException`},
		{"malformed JSON", "POST", "/", json, "TrentService.ListKeys", `{"Limit":`, 400, `"__type":"SerializationException"`},
		{"an array", "POST", "/", json, "TrentService.ListKeys", `[]`, 400, `"__type":"SerializationException"`},
		{"trailing data", "POST", "/", json, "TrentService.ListKeys", `{}{}`, 400, `"__type":"SerializationException"`},
		{"wrong type", "POST", "/", json, "TrentService.ListKeys", `{"Limit":"5"}`, 400, `STRING_VALUE can not be converted to an Integer`},
		{"invalid UTF-8", "POST", "/", json, "TrentService.DescribeKey", "{\"KeyId\":\"a\xff\"}", 400, `"__type":"SerializationException"`},
		{"duplicate names", "POST", "/", json, "TrentService.DescribeKey", `{"KeyId":"a","KeyId":"b"}`, 400, `"__type":"SerializationException"`},
		{"duplicate context names", "POST", "/", json, "TrentService.Encrypt", `{"KeyId":"a","Plaintext":"YQ==","EncryptionContext":{"a":"b","a":"c"}}`, 400, `"__type":"SerializationException"`},
		{"too deep", "POST", "/", json, "TrentService.ListKeys", `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400, `"__type":"SerializationException"`},
		{"empty body", "POST", "/", json, "TrentService.ListKeys", "", 200, `{"Keys":[],"Truncated":false}`},
		{"unknown members", "POST", "/", json, "TrentService.ListKeys", `{"Whatever":{"a":[1]}}`, 200, `{"Keys":[]`},
		{"validation", "POST", "/", json, "TrentService.ListKeys", `{"Limit":0}`, 400,
			`"message":"1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"`},
		{"several validation errors", "POST", "/", json, "TrentService.CreateAlias", `{"AliasName":""}`, 400, `"message":"3 validation errors detected: `},
		{"sensitive values are not echoed", "POST", "/", json, "TrentService.Encrypt", `{"KeyId":"a","Plaintext":""}`, 400,
			`1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{"GET", "GET", "/", "", "", "", 404, "<UnknownOperationException/>"},
		{"PUT", "PUT", "/", json, "TrentService.ListKeys", "{}", 404, "<UnknownOperationException/>"},
		{"another content type", "POST", "/", "application/json", "TrentService.ListKeys", "{}", 404, "<UnknownOperationException/>"},
		{"content type with parameters", "POST", "/", json + "; charset=utf-8", "TrentService.ListKeys", "{}", 404, "<UnknownOperationException/>"},
		{"text/plain, which a page could send", "POST", "/", "text/plain", "TrentService.ListKeys", "{}", 404, "<UnknownOperationException/>"},
		{"another path", "POST", "/x", json, "TrentService.Nonsense", "{}", 400, "UnknownOperationException"},
		{"too large", "POST", "/", json, "TrentService.ListKeys", `{"x":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "RequestEntityTooLargeException"},
		{"health", "GET", "/healthz", "", "", "", 200, "ok"},
		{"readiness", "GET", "/readyz", "", "", "", 200, "ok"},
		{"reserved: metrics", "GET", "/metrics", "", "", "", 200, "# HELP go_"},
		{"reserved: console", "GET", "/console/", "", "", "", 404, "not found"},
		{"reserved: xks", "POST", "/kms/xks/v1/health", json, "TrentService.ListKeys", "{}", 404, "not found"},
		{"unsigned form, which a page could send", "POST", "/", form, "", "Action=GetCallerIdentity&Version=2011-06-15", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"unsigned form by GET", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", "", "", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"signed identity", "POST", "/", form + "; charset=utf-8", "sts", "Action=GetCallerIdentity&Version=2011-06-15", 200,
			"<GetCallerIdentityResult><UserId>111122223333</UserId><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:root</Arn></GetCallerIdentityResult>"},
		{"signed identity by GET", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "", "sts", "", 200, "<Account>111122223333</Account>"},
		{"unknown action", "POST", "/", form, "sts", "Action=Nonsense&Version=2011-06-15", 400, "<Code>InvalidAction</Code>"},
		{"unknown version", "POST", "/", form, "sts", "Action=GetCallerIdentity&Version=1999-01-01", 400, "<Code>InvalidAction</Code>"},
		{"action of another version", "POST", "/", form, "iam", "Action=GetCallerIdentity&Version=2010-05-08", 400, "<Code>InvalidAction</Code>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, s.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				req.Header.Set("Content-Type", c.contentType)
			}
			switch c.target {
			case "":
			case "sts", "iam": // a signature that keyturn dev does not look at
				req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-east-1/"+c.target+"/aws4_request, SignedHeaders=host, Signature=0")
			default:
				req.Header.Set("X-Amz-Target", c.target)
			}
			status, body := do(t, req)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %.300s\nwant %d %s", status, body, c.status, c.want)
			}
		})
	}
}

// TestRequestIDs checks the header that every answer carries, and that it is the audit record's.
func TestRequestIDs(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	req, err := http.NewRequest("POST", s.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	id := resp.Header.Get("x-amzn-RequestId")
	if len(id) != 36 || resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Errorf("headers %v", resp.Header)
	}
	found := 0
	for line, err := range audit.Read(dir+"/audit", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), `"requestID":"`+id+`"`) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("request %s is %d times in the audit log", id, found)
	}
}

// TestBrowsers shows that no web page can use a keyturn dev on the same machine.
func TestBrowsers(t *testing.T) {
	s := startDev(t, "")
	remote := startDev(t, "", func(c *appConfig) { c.Guard = wire.HostGuard{Remote: true, Names: []string{"kms.example.com"}}.Check })
	for _, c := range []struct {
		name    string
		headers map[string]string
		local   int
		remote  int
	}{
		{"an SDK", nil, 200, 200},
		{"localhost", map[string]string{"Host": "localhost:4599"}, 200, 200},
		{"IPv6 loopback", map[string]string{"Host": "[::1]:4599"}, 200, 200},
		{"rebound name", map[string]string{"Host": "attacker.example.net"}, 403, 403},
		{"rebound name with a port", map[string]string{"Host": "attacker.example.net:4599"}, 403, 403},
		{"localhost as part of a name", map[string]string{"Host": "localhost.example.net"}, 403, 403},
		{"address of the machine", map[string]string{"Host": "192.0.2.7:4599"}, 403, 200},
		{"name of a container", map[string]string{"Host": "keyturn:4599"}, 403, 200},
		{"configured name", map[string]string{"Host": "kms.example.com"}, 403, 200},
		{"cross-site fetch", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, 403},
		{"same-site fetch", map[string]string{"Sec-Fetch-Site": "same-site"}, 403, 403},
		{"own page", map[string]string{"Host": "localhost:1", "Origin": "http://localhost:1", "Sec-Fetch-Site": "same-origin"}, 200, 200},
		{"foreign origin", map[string]string{"Origin": "https://attacker.example.net"}, 403, 403},
		{"another port's origin", map[string]string{"Host": "localhost:1", "Origin": "http://localhost:2"}, 403, 403},
		{"opaque origin", map[string]string{"Origin": "null"}, 403, 403},
	} {
		for url, want := range map[string]int{s.URL: c.local, remote.URL: c.remote} {
			req, err := http.NewRequest("POST", url, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-amz-json-1.1")
			req.Header.Set("X-Amz-Target", "TrentService.ListKeys")
			for k, v := range c.headers {
				req.Header.Set(k, v)
			}
			if host := c.headers["Host"]; host != "" {
				req.Host = host
				req.Header.Del("Host")
			}
			if status, body := do(t, req); status != want {
				t.Errorf("%s (remote allowed: %v): %d %.100s, want %d", c.name, url == remote.URL, status, body, want)
			}
		}
	}
}

// TestHeaderLimit shows that headers are bounded.
func TestHeaderLimit(t *testing.T) {
	s := startDev(t, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\n")
		for i := range 10_000 {
			if _, err := fmt.Fprintf(conn, "X-Filler-%d: %s\r\n", i, strings.Repeat("a", 100)); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestStreamedBody sends a body of unannounced length, and one that is too long.
func TestStreamedBody(t *testing.T) {
	s := startDev(t, "")
	for body, want := range map[string]int{"{}": 200, `{"x":"` + strings.Repeat("a", 2<<20) + `"}`: 413} {
		req, err := http.NewRequest("POST", s.URL, io.MultiReader(strings.NewReader(body))) // no Content-Length
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "TrentService.ListKeys")
		if status, answer := do(t, req); status != want {
			t.Errorf("body of %d: %d %.100s, want %d", len(body), status, answer, want)
		}
	}
}
