package authz

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// TestWorkIsShared has a policy that takes all the work that a decision may cost: what comes after it is not known, and so denies.
func TestWorkIsShared(t *testing.T) {
	compile := func(statements string) *policy.Compiled {
		t.Helper()
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		return policy.Compile(p)
	}
	value := `"*?` + strings.Repeat("a", 4000) + `b"`
	slow := compile(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a":[` + value + `,` + value + `,` + value + `]}}}`)
	honest := compile(`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}`)
	decide := func(context string) Decision {
		t.Helper()
		d, err := Decide(&Question{
			Who: &policy.Who{Kind: policy.User, ARN: "arn:aws:iam::111122223333:user/u", Account: "111122223333"}, Action: "kms:Decrypt", Resource: "*", ResourceAccount: "111122223333",
			Value:    func(string) ([]string, bool) { return []string{context}, true },
			Identity: &Identity{Policies: []Named{{Name: "slow", Compiled: slow}, {Name: "honest", Compiled: honest}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := decide("short"); !d.Allowed {
		t.Errorf("what costs little: %+v", d)
	}
	if d := decide(strings.Repeat("a", 8192)); d.Allowed || !d.Explicit {
		t.Errorf("what costs too much: %+v", d)
	}
}
