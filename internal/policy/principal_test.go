package policy

import (
	"strings"
	"testing"
)

func TestPrincipals(t *testing.T) {
	const canonical = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
	tests := []struct {
		kind string
		id   string
		ok   bool
	}{
		{"AWS", "*", true},
		{"AWS", "111122223333", true},
		{"AWS", "arn:aws:iam::111122223333:root", true},
		{"AWS", "arn:aws-cn:iam::111122223333:root", true},
		{"AWS", "arn:aws:iam::111122223333:user/alice", true},
		{"AWS", "arn:aws:iam::111122223333:user/div/team/alice@example.com", true},
		{"AWS", "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/Role", true},
		{"AWS", "arn:aws:sts::111122223333:assumed-role/Deploy/session", true},
		{"AWS", "arn:aws:sts::111122223333:federated-user/bob", true},
		{"AWS", "", false},
		{"AWS", "11112222333", false},
		{"AWS", "1111222233334", false},
		{"AWS", "11112222333x", false},
		{"AWS", "AIDAEXAMPLEEXAMPLE", false},
		{"AWS", "alice", false},
		{"AWS", "arn:aws:iam:us-east-1:111122223333:root", false},
		{"AWS", "arn:aws:iam::111122223333:group/admins", false},
		{"AWS", "arn:aws:iam::111122223333:user/*", false},
		{"AWS", "arn:aws:iam::111122223333:user/", false},
		{"AWS", "arn:aws:iam::111122223333:user/team/", false},
		{"AWS", "arn:aws:iam::111122223333:user", false},
		{"AWS", "arn:aws:iam::111122223333:user/te?m/alice", false},
		{"AWS", "arn:aws:iam::*:root", false},
		{"AWS", "arn:gcp:iam::111122223333:root", false},
		{"AWS", "arn:aws:s3::111122223333:root", false},
		{"AWS", "arn:aws:sts::111122223333:assumed-role/Deploy", false},
		{"AWS", "arn:aws:sts::111122223333:assumed-role/Deploy/a/b", false},
		{"AWS", "arn::111122223333:root", false},
		{"AWS", "arn:aws:iam::111122223333:user/" + strings.Repeat("p/", 600) + "a", false},
		{"Service", "cloudtrail.amazonaws.com", true},
		{"Service", "cloudtrail", false},
		{"Service", "*", false},
		{"Service", "a..b", false},
		{"Service", "-a.b", false},
		{"Service", "a_b.com", false},
		{"Federated", "accounts.google.com", true},
		{"Federated", "arn:aws:iam::111122223333:saml-provider/Okta", true},
		{"Federated", "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC", true},
		{"Federated", "arn:aws:iam::111122223333:role/x", false},
		{"Federated", "arn:aws:iam::111122223333:saml-provider/", false},
		{"CanonicalUser", canonical, true},
		{"CanonicalUser", canonical[1:], false},
		{"CanonicalUser", "g" + canonical[1:], false},
	}
	for _, tt := range tests {
		_, err := Parse([]byte(doc(`"Effect":"Allow","Action":"kms:*","Principal":{"` + tt.kind + `":"` + tt.id + `"}`)))
		switch {
		case tt.ok && err != nil:
			t.Errorf("%s %q: %v", tt.kind, tt.id, err)
		case !tt.ok && (err == nil || err.Error() != msgPrincipals):
			t.Errorf("%s %q: error %v, want %q", tt.kind, tt.id, err, msgPrincipals)
		}
	}
}
