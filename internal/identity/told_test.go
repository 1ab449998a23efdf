package identity_test

import (
	"slices"
	"testing"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

func compiled(t *testing.T, document string) *policy.Compiled {
	t.Helper()
	p, err := policy.ParseInForce([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return policy.Compile(p)
}

// TestRefusedTold: what refuses a call of IAM or STS is left for its audit record, but not what another account's trust policy says.
func TestRefusedTold(t *testing.T) {
	trust := compiled(t, `{"Version":"2012-10-17","Statement":[{"Sid":"no","Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`)
	caller := service.NewCaller(service.Caller{
		Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/ann", Type: "IAMUser", PrincipalID: "AIDA", UserName: "ann",
		Identity: &authz.Identity{Policies: []authz.Named{{Name: "mine", Compiled: compiled(t, `{"Version":"2012-10-17","Statement":[{"Sid":"all","Effect":"Allow","Action":"*","Resource":"*"}]}`)}}},
	})
	for account, want := range map[string][]string{"111122223333": {"no", "all"}, "999988887777": nil} {
		a := &service.Authorization{
			Tx: &service.Tx{Call: &service.Call{Caller: caller}}, Op: &service.Op{Service: "sts"},
			Target: &service.Target{Action: "sts:AssumeRole", Account: account, ARN: "arn:aws:iam::" + account + ":role/r", Policy: trust},
		}
		if err := identity.NewDirectory(identity.Config{}).Authorize(a); err == nil || a.Refused == nil {
			t.Fatalf("%s: %v, told %v", account, err, a.Refused)
		}
		var sids []string
		for _, s := range a.Refused.Statements {
			sids = append(sids, s.Sid)
		}
		verdict := authz.ExplicitDeny
		if want == nil {
			verdict = authz.Refused
		}
		if a.Refused.Verdict != verdict || a.Refused.By != authz.ResourcePolicy || !slices.Equal(sids, want) {
			t.Errorf("%s: told %+v", account, a.Refused)
		}
	}
}
