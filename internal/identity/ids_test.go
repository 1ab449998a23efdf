package identity

import (
	"encoding/base32"
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/service"
)

func TestAccessKeyIDs(t *testing.T) {
	for _, account := range []string{"000000000000", "111122223333", "999999999999", "000000000001"} {
		seen := map[string]bool{}
		for range 100 {
			id := NewAccessKeyID(TemporaryPrefix, account)
			if len(id) != 20 || !strings.HasPrefix(id, "ASIA") || seen[id] {
				t.Fatalf("access key ID %s", id)
			}
			seen[id] = true
			if got := AccountOf(id); got != account {
				t.Fatalf("%s is of account %q, want %s", id, got, account)
			}
		}
	}
	for _, id := range []string{"", "AKIA", "AKIAIOSFODNN7EXAMPLE", "AKIA2222222222222222X", "AKIA!!!!!!!!!!!!!!!!", "AKIA" + base32.StdEncoding.EncodeToString(make([]byte, 10))} {
		if got := AccountOf(id); got != "" {
			t.Errorf("%q is of account %s", id, got)
		}
	}
	// What public writings about AWS's own access key IDs say of this one.
	if got := AccountOf("ASIAQNZGKIQY56JQ7WML"); got != "029608264753" {
		t.Errorf("an ID that AWS made is of account %s", got)
	}
	if a, b := NewSecret(), NewSecret(); len(a) != 40 || a == b {
		t.Errorf("secrets %d characters long", len(a))
	}
	if id := NewUniqueID(RoleIDPrefix); len(id) != 21 || !strings.HasPrefix(id, "AROA") {
		t.Errorf("unique ID %s", id)
	}
	for range 100 {
		if id := NewAccountID(); len(id) != 12 || id[0] == '0' {
			t.Fatalf("account ID %s", id)
		}
	}
}

func TestParseARN(t *testing.T) {
	for _, tc := range []struct {
		arn  string
		want Parsed
		own  string
	}{
		{"arn:aws:iam::111122223333:root", Parsed{"aws", "iam", "111122223333", "root", "", ""}, ""},
		{"arn:aws:iam::111122223333:user/Ann", Parsed{"aws", "iam", "111122223333", "user", "/", "Ann"}, ""},
		{"arn:aws-cn:iam::111122223333:role/a/b/Deploy", Parsed{"aws-cn", "iam", "111122223333", "role", "/a/b/", "Deploy"}, "arn:aws:iam::111122223333:role/a/b/Deploy"},
		{"arn:aws:iam::aws:policy/AdministratorAccess", Parsed{"aws", "iam", "aws", "policy", "/", "AdministratorAccess"}, ""},
		{"arn:aws:iam::111122223333:oidc-provider/oidc.example/id/1", Parsed{"aws", "iam", "111122223333", "oidc-provider", "", "oidc.example/id/1"}, ""},
		{"arn:aws:sts::111122223333:assumed-role/Deploy/ci", Parsed{"aws", "sts", "111122223333", "assumed-role", "", "Deploy/ci"}, ""},
	} {
		got, ok := ParseARN(tc.arn)
		if !ok || got != tc.want {
			t.Errorf("%s: %+v, %t", tc.arn, got, ok)
		}
		want := tc.own
		if want == "" {
			want = tc.arn
		}
		if got.Own() != want {
			t.Errorf("%s is stored as %s", tc.arn, got.Own())
		}
	}
	for _, arn := range []string{
		"", "arn:aws:iam::111122223333", "arn:aws:iam::111122223333:user", "arn:aws:iam::111122223333:user/", "arn:aws:iam::111122223333:user/a/",
		"arn:aws:iam:us-east-1:111122223333:user/a", "arn:aws:kms::111122223333:key/a", "arn:aws:iam::1234:user/a", "arn:aws:sts::111122223333:root",
		"arn:aws:iam::111122223333:/a",
	} {
		if p, ok := ParseARN(arn); ok {
			t.Errorf("%q: %+v", arn, p)
		}
	}
}

// TestNothingPrintsSecrets prints what has secrets.
func TestNothingPrintsSecrets(t *testing.T) {
	const secret = "not-for-printing"
	session := Session{AccessKeyID: "ASIAEXAMPLE", Secret: secret}
	caller := service.RootCaller("111122223333", "AKIAEXAMPLE")
	for _, v := range []any{
		session, &session, Credentials{SecretAccessKey: secret, SessionToken: secret}, Credential{Secret: secret, SessionToken: secret, Caller: caller},
		Configured{Secret: secret, Caller: caller}, Config{Configured: map[string]Configured{"AKIAEXAMPLE": {Secret: secret, Caller: caller}}},
	} {
		for _, format := range []string{"%v", "%+v", "%s"} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, secret) {
				t.Errorf("%T prints %s", v, text)
			}
		}
	}
}
