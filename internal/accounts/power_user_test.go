package accounts

import (
	"testing"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
)

// TestPowerUserAccess asks the policy for everything but managing identities about every action on accounts: whoever makes an access key of a root
// user is the root user.
func TestPowerUserAccess(t *testing.T) {
	p, err := policy.Parse([]byte(identity.ManagedByARN("arn:aws:iam::aws:policy/PowerUserAccess").Document))
	if err != nil {
		t.Fatal(err)
	}
	compiled := policy.Compile(p)
	allows := func(action string) bool {
		var out policy.Outcome
		compiled.EvaluateIdentityInto(&policy.Request{
			Who: &policy.Who{Kind: policy.User}, Action: action, Resource: "arn:aws:keyturn::111122223333:account/444455556666",
			Value: func(string) ([]string, bool) { return nil, false },
		}, &out)
		return len(out.Allow) > 0
	}
	for _, op := range New(Config{}).Operations() {
		for _, action := range op.Actions {
			if allows(action) {
				t.Errorf("%s is allowed", action)
			}
		}
	}
	if !allows("keyturn:ListFindings") || !allows("kms:Decrypt") {
		t.Error("what power users may do is not allowed")
	}
}
