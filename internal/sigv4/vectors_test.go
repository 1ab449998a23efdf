package sigv4

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// suite is testdata/aws4_testsuite.json.
type suite struct {
	Source          string
	AccessKeyID     string
	SecretAccessKey string
	Region          string
	Service         string
	Time            string
	Vectors         []vector
}

type vector struct {
	Name             string
	Request          string
	CanonicalRequest string
	StringToSign     string
	Authorization    string
	SessionToken     string
}

// parseRaw reads a request as the suite writes it. net/http cannot: it refuses the space and the bare UTF-8 in some paths and the
// folded header lines, all of which are in the suite to test canonicalization. So no vector has to be left out.
func parseRaw(t *testing.T, raw string) *Input {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok {
		t.Fatalf("request line %q", lines[0])
	}
	in := &Input{Method: method, Header: http.Header{}, Body: []byte(body)}
	in.Path, in.RawQuery, _ = strings.Cut(target, "?")
	var name string
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, " ") {
			values := in.Header[name]
			values[len(values)-1] += " " + strings.TrimSpace(line)
			continue
		}
		var value string
		name, value, ok = strings.Cut(line, ":")
		if !ok {
			t.Fatalf("header line %q", line)
		}
		name = http.CanonicalHeaderKey(name)
		in.Header.Add(name, value)
	}
	in.Host = in.Header.Get("Host")
	in.Header.Del("Host")
	return in
}

func TestAWSTestSuite(t *testing.T) {
	data, err := os.ReadFile("testdata/aws4_testsuite.json")
	if err != nil {
		t.Fatal(err)
	}
	var s suite
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Vectors) != 34 {
		t.Fatalf("%d vectors, want 34", len(s.Vectors))
	}
	now, err := time.Parse(stampLayout, s.Time)
	if err != nil {
		t.Fatal(err)
	}
	for _, vec := range s.Vectors {
		t.Run(vec.Name, func(t *testing.T) {
			in := parseRaw(t, vec.Request)
			if vec.SessionToken != "" {
				in.Header.Set(paramToken, vec.SessionToken)
			}
			in.Header.Set("Authorization", vec.Authorization)
			cfg := Config{
				Services: []string{s.Service},
				Region:   func(_, r string) bool { return r == s.Region },
				Lookup: func(_ context.Context, id, _ string) (Credential, error) {
					if id != s.AccessKeyID {
						return Credential{}, ErrUnknownAccessKey
					}
					return Credential{SecretAccessKey: s.SecretAccessKey, SessionToken: in.Header.Get(paramToken)}, nil
				},
			}

			var sc scratch
			if err := sc.parse(in); err != nil {
				t.Fatal(err)
			}
			if err := sc.checkHeaders(in); err != nil {
				t.Fatal(err)
			}
			if err := sc.canonicalize(in); err != nil {
				t.Fatal(err)
			}
			if got := string(sc.buf); got != vec.CanonicalRequest {
				t.Errorf("canonical request\n%s\nwant\n%s", got, vec.CanonicalRequest)
			}
			if got := string(sc.stringToSign()); got != vec.StringToSign {
				t.Errorf("string to sign\n%s\nwant\n%s", got, vec.StringToSign)
			}

			v := New(cfg)
			for range 2 { // the second time with the key from the cache
				id, err := v.Verify(t.Context(), in, now, s.Service)
				if err != nil {
					t.Fatal(err)
				}
				if id.AccessKeyID != s.AccessKeyID || id.Region != s.Region || id.Service != s.Service || id.Presigned {
					t.Fatalf("identity %+v", id)
				}
			}
			in.Body = append(in.Body, 'x')
			if _, err := v.Verify(t.Context(), in, now, s.Service); err == nil {
				t.Fatal("an altered body verifies")
			}
		})
	}
}
