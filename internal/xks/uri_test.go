package xks

import (
	"strings"
	"testing"
)

func TestCheckEndpoint(t *testing.T) {
	long := strings.Repeat("a", 116) + ".com"
	for e, want := range map[string]bool{
		"https://xks.example.com":             true,
		"https://xks.example.com:443":         true,
		"https://xks.example.com:8443":        true,
		"https://XKS-1.example":               true,
		"https://10.0.0.1":                    true, // whether it may be reached is not decided here
		"https://" + long:                     true,
		"https://" + long + "x":               false,
		"":                                    false,
		"https://":                            false,
		"https://:443":                        false,
		"http://xks.example.com":              false,
		"HTTPS://xks.example.com":             false,
		"xks.example.com":                     false,
		"https://xks.example.com/":            false,
		"https://xks.example.com/kms/xks/v1":  false,
		"https://xks.example.com?x":           false,
		"https://xks.example.com#x":           false,
		"https://user@xks.example.com":        false,
		"https://user:pass@xks.example.com":   false,
		"https://xks.example.com:":            false,
		"https://xks.example.com:0":           false,
		"https://xks.example.com:65535":       true,
		"https://xks.example.com:65536":       false,
		"https://xks.example.com:0443":        false,
		"https://xks.example.com:+443":        false,
		"https://xks.example.com:443:443":     false,
		"https://[::1]":                       false,
		"https://.example.com":                false,
		"https://-.example.com":               false,
		"https://xks..example.com":            false,
		"https://xks_1.example.com":           false,
		"https://xks.example.com\n":           false,
		"https://xks.example.com\\@evil":      false,
		"https://xn--bcher-kva.example":       true,
		"https://b\u00fccher.example":         false,
		"https://xks.example.com%2e":          false,
		"https://xks.example.com https://b.c": false,
	} {
		if err := CheckEndpoint(e); (err == nil) != want {
			t.Errorf("%q: %v", e, err)
		}
	}
}

func TestCheckURIPath(t *testing.T) {
	for p, want := range map[string]bool{
		"/kms/xks/v1":                            true,
		"/a/kms/xks/v1":                          true,
		testPrefix:                               true,
		"/a_b-C/9/kms/xks/v1":                    true,
		"/kms/xks/v1/kms/xks/v1":                 true,
		"/" + strings.Repeat("a", 116) + apiPath: true,
		"/" + strings.Repeat("a", 117) + apiPath: false,
		"":                                       false,
		"/":                                      false,
		"kms/xks/v1":                             false,
		"a/kms/xks/v1":                           false,
		"/kms/xks/v1/":                           false,
		"/kms/xks/v2":                            false,
		"/kms/xks/v10":                           false,
		"/KMS/xks/v1":                            false,
		"//kms/xks/v1":                           false,
		"/a//kms/xks/v1":                         false,
		"/a//b/kms/xks/v1":                       false,
		"/./kms/xks/v1":                          false,
		"/../kms/xks/v1":                         false,
		"/a.b/kms/xks/v1":                        false,
		"/a%2fb/kms/xks/v1":                      false,
		"/a?b/kms/xks/v1":                        false,
		"/a b/kms/xks/v1":                        false,
	} {
		if err := CheckURIPath(p); (err == nil) != want {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestCheckCredential(t *testing.T) {
	for _, tt := range []struct {
		id, secret string
		want       bool
	}{
		{strings.Repeat("A", 20), strings.Repeat("a", 43), true},
		{strings.Repeat("7", 30), strings.Repeat("=", 64), true},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ2345", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+", true},
		{testKeyID, testSecret, true},
		{"", testSecret, false},
		{testKeyID, "", false},
		{strings.Repeat("A", 19), testSecret, false},
		{strings.Repeat("A", 31), testSecret, false},
		{strings.Repeat("A", 19) + "1", testSecret, false},
		{strings.Repeat("A", 19) + "a", testSecret, false},
		{testKeyID, strings.Repeat("a", 42), false},
		{testKeyID, strings.Repeat("a", 65), false},
		{testKeyID, strings.Repeat("a", 43) + "-", false},
		{testKeyID, strings.Repeat("a", 43) + "\n", false},
	} {
		err := CheckCredential(tt.id, tt.secret)
		if (err == nil) != tt.want {
			t.Errorf("%q, %q: %v", tt.id, tt.secret, err)
		}
		if err != nil && tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
			t.Error("the error has the secret")
		}
	}
}

func TestValidKeyID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, externalKey: true, "...": true, ".a": true, "-": true, "_": true, strings.Repeat("k", 128): true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a%20b": false, "\u00e4": false, "a\n": false, strings.Repeat("k", 129): false,
	} {
		if ValidKeyID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

// Every operation's URI leads back to it, and what is not one of them leads nowhere.
func TestRoute(t *testing.T) {
	for op := opHealth; op <= opDecrypt; op++ {
		id := externalKey
		if op == opHealth {
			id = ""
		}
		if got, keyID, ok := route(uriPath("", op, id)); !ok || got != op || keyID != id {
			t.Errorf("%v: %v %q %v", op, got, keyID, ok)
		}
	}
	for _, rest := range []string{"", "/", "/keys", "/keys/", "/keys/a", "/keys/a/", "/keys/a/encrypt/", "/keys/a/b/encrypt", "/health/x", "health", "/Health"} {
		if op, _, ok := route(rest); ok {
			t.Errorf("%q leads to %v", rest, op)
		}
	}
}
