package policy

import "testing"

// TestParseIdentity tells policies of identities from those of resources.
func TestParseIdentity(t *testing.T) {
	for members, want := range map[string]string{
		`"Effect":"Allow","Action":"kms:*","Resource":"*"`:                   "",
		`"Effect":"Deny","NotAction":"kms:*","NotResource":"arn:aws:s3:::b"`: "",
		`"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"`:       "Policy document should not specify a principal.",
		`"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"*"`:            "Policy document should not specify a principal.",
		`"Effect":"Allow","Action":"*"`:                                      msgNoResource,
		`"Effect":"Allow","Resource":"*"`:                                    msgNoActions,
	} {
		_, err := ParseIdentity([]byte(doc(members)))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
}
