package authz

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

const (
	own   = "111122223333"
	other = "444455556666"
	key   = "arn:aws:kms:us-east-1:111122223333:key/k"
	ann   = "arn:aws:iam::111122223333:user/ann"
	ops   = "arn:aws:iam::111122223333:role/ops"
	opsS  = "arn:aws:sts::111122223333:assumed-role/ops/s"
	bob   = "arn:aws:iam::444455556666:user/bob"
)

func compiled(t *testing.T, statements string) *policy.Compiled {
	t.Helper()
	p, err := policy.ParseInForce([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return policy.Compile(p)
}

func onKey(effect, principal string) string {
	return fmt.Sprintf(`{"Sid":%q,"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}`, effect+principal[max(0, len(principal)-4):], effect, principal)
}

// onKeyList allows a list of principals.
func onKeyList(principals ...string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":["%s"]},"Action":"kms:*","Resource":"*"}`, strings.Join(principals, `","`))
}

// everybodyWho allows everybody whose aws:PrincipalArn an operator finds to be arn.
func everybodyWho(operator, arn string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{%q:{"aws:PrincipalArn":%q}}}`, operator, arn)
}

const (
	allow = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`
	deny  = `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}`
	elsew = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
)

var (
	root  = &policy.Who{Kind: policy.Root, ARN: "arn:aws:iam::111122223333:root", Account: own}
	user  = &policy.Who{Kind: policy.User, ARN: ann, Account: own}
	role  = &policy.Who{Kind: policy.RoleSession, ARN: opsS, Role: ops, Account: own}
	alien = &policy.Who{Kind: policy.User, ARN: bob, Account: other}
	logs  = &policy.Who{Kind: policy.Service, Service: "logs.us-east-1.amazonaws.com"}
)

// TestDecide goes through the documented order: who, what the key policy says, what IAM says, and the answer.
func TestDecide(t *testing.T) {
	type identity struct{ policies, boundary, session []string }
	tests := []struct {
		name  string
		who   *policy.Who
		key   []string // statements of the key policy; nil: the resource has none
		id    identity
		grant bool
		want  string // the deciding kind; "!" for refused, "!!" for an explicit deny
	}{
		// The account's own users. The key policy is the root of trust.
		{"the key policy opens the account, IAM allows", user, []string{onKey("Allow", own)}, identity{policies: []string{allow}}, false, "identity-based policy"},
		{"the key policy opens the account, IAM is silent", user, []string{onKey("Allow", own)}, identity{policies: []string{elsew}}, false, "!identity-based policy"},
		{"the key policy does not open the account, IAM allows", user, []string{onKey("Allow", ops)}, identity{policies: []string{allow}}, false, "!resource-based policy"},
		{"the key policy names the user", user, []string{onKey("Allow", ann)}, identity{}, false, "resource-based policy"},
		{"named, and IAM denies", user, []string{onKey("Allow", ann)}, identity{policies: []string{deny}}, false, "!!identity-based policy"},
		{"the key policy denies the account", user, []string{onKey("Allow", ann), onKey("Deny", own)}, identity{policies: []string{allow}}, false, "!!resource-based policy"},
		{"everybody", user, []string{onKey("Allow", "*")}, identity{}, false, "resource-based policy"},
		{"nothing at all", user, []string{elsewOnKey}, identity{}, false, "!resource-based policy"},
		{"no key policy: IAM decides", user, nil, identity{policies: []string{allow}}, false, "identity-based policy"},
		{"no key policy and no IAM policy", user, nil, identity{}, false, "!identity-based policy"},
		// The root user needs no IAM policy, but the key policy.
		{"root where the account is open", root, []string{onKey("Allow", own)}, identity{}, false, "root user"},
		{"root where it is not", root, []string{onKey("Allow", ann)}, identity{}, false, "!resource-based policy"},
		{"root denied", root, []string{onKey("Allow", own), onKey("Deny", own)}, identity{}, false, "!!resource-based policy"},
		{"root on no key", root, nil, identity{}, false, "root user"},
		// Permissions boundaries.
		{"within the boundary", user, []string{onKey("Allow", own)}, identity{policies: []string{allow}, boundary: []string{allow}}, false, "identity-based policy"},
		{"beyond the boundary", user, []string{onKey("Allow", own)}, identity{policies: []string{allow}, boundary: []string{elsew}}, false, "!permissions boundary"},
		{"a named user is not bound by what the boundary leaves out", user, []string{onKey("Allow", ann)}, identity{boundary: []string{elsew}}, false, "resource-based policy"},
		{"but by what it denies", user, []string{onKey("Allow", ann)}, identity{boundary: []string{deny}}, false, "!!permissions boundary"},
		{"a named role is bound", role, []string{onKey("Allow", ops)}, identity{boundary: []string{elsew}}, false, "!permissions boundary"},
		{"its named session is not", role, []string{onKey("Allow", opsS)}, identity{boundary: []string{elsew}, session: []string{elsew}}, false, "resource-based policy"},
		// "*" stands for whoever asks, a session too: "How AWS enforcement code logic evaluates requests to allow or deny access".
		{"everybody, beyond the boundary", user, []string{onKey("Allow", "*")}, identity{boundary: []string{elsew}}, false, "resource-based policy"},
		{"everybody, beyond the session policy", role, []string{onKey("Allow", "*")}, identity{session: []string{elsew}}, false, "resource-based policy"},
		{"everybody by the ARN of a role, beyond both", role, []string{everybodyWho("ArnEquals", ops)}, identity{boundary: []string{elsew}, session: []string{elsew}}, false, "resource-based policy"},
		{"everybody, denied by the boundary", role, []string{onKey("Allow", "*")}, identity{boundary: []string{deny}}, false, "!!permissions boundary"},
		{"everybody, listed beside the account", user, []string{onKeyList("*", own)}, identity{}, false, "resource-based policy"},
		{"everybody, listed beside the role", role, []string{onKeyList(ops, "*")}, identity{session: []string{elsew}}, false, "resource-based policy"},
		// Session policies.
		{"within the session policy", role, []string{onKey("Allow", own)}, identity{policies: []string{allow}, session: []string{elsew, allow}}, false, "identity-based policy"},
		{"beyond it", role, []string{onKey("Allow", own)}, identity{policies: []string{allow}, session: []string{elsew}}, false, "!session policy"},
		{"a named role beyond it", role, []string{onKey("Allow", ops)}, identity{session: []string{elsew}}, false, "!session policy"},
		{"a session policy allows nothing by itself", role, []string{onKey("Allow", own)}, identity{session: []string{allow}}, false, "!identity-based policy"},
		{"it denies", role, []string{onKey("Allow", opsS)}, identity{session: []string{deny}}, false, "!!session policy"},
		// Another account: both must allow.
		{"both accounts", alien, []string{onKey("Allow", other)}, identity{policies: []string{allow}}, false, "resource-based policy"},
		{"named, and its account allows", alien, []string{onKey("Allow", bob)}, identity{policies: []string{allow}}, false, "resource-based policy"},
		{"named, but its account is silent", alien, []string{onKey("Allow", bob)}, identity{}, false, "!identity-based policy"},
		{"everybody, but its account is silent", alien, []string{onKey("Allow", "*")}, identity{}, false, "!identity-based policy"},
		{"its account allows, the key's does not", alien, []string{onKey("Allow", own)}, identity{policies: []string{allow}}, false, "!resource-based policy"},
		{"everybody, but beyond its boundary", alien, []string{onKey("Allow", "*")}, identity{policies: []string{allow}, boundary: []string{elsew}}, false, "!permissions boundary"},
		{"beyond its boundary", alien, []string{onKey("Allow", bob)}, identity{policies: []string{allow}, boundary: []string{elsew}}, false, "!permissions boundary"},
		{"its own account denies it", alien, []string{onKey("Allow", bob)}, identity{policies: []string{allow, deny}}, false, "!!identity-based policy"},
		{"its own account denies what is not open to it", alien, []string{onKey("Allow", own)}, identity{policies: []string{deny}}, false, "!resource-based policy"},
		{"denied by the key's account", alien, []string{onKey("Allow", bob), onKey("Deny", bob)}, identity{policies: []string{allow}}, false, "!!resource-based policy"},
		{"its own account denies what is not there", alien, nil, identity{policies: []string{deny}}, false, "!resource-based policy"},
		{"where there is no key", alien, nil, identity{policies: []string{allow}}, false, "!resource-based policy"},
		// Grants count as an allow of the key's account; a deny wins over them.
		{"granted", user, []string{onKey("Allow", ops)}, identity{}, true, "grant"},
		{"granted where IAM is silent", user, []string{onKey("Allow", own)}, identity{}, true, "grant"},
		{"granted and denied", user, []string{onKey("Deny", ann)}, identity{}, true, "!!resource-based policy"},
		{"granted, beyond the session policy", role, []string{onKey("Allow", own)}, identity{session: []string{elsew}}, true, "!session policy"},
		{"granted to another account", alien, []string{onKey("Allow", own)}, identity{policies: []string{allow}}, true, "grant"},
		{"granted to another account, which is silent", alien, []string{onKey("Allow", own)}, identity{}, true, "!identity-based policy"},
		// Services have no IAM policies, strangers nothing.
		{"a service that is named", logs, []string{`{"Effect":"Allow","Principal":{"Service":"logs.us-east-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}`}, identity{}, false, "resource-based policy"},
		{"a service that is not", logs, []string{onKey("Allow", own)}, identity{}, false, "!resource-based policy"},
		{"a stranger", &policy.Who{}, []string{onKey("Allow", "*")}, identity{}, false, "!resource-based policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := &Question{Who: tt.who, Action: "kms:Decrypt", Resource: key, ResourceAccount: own, Grant: func() (bool, error) { return tt.grant, nil },
				Value: func(name string) ([]string, bool) {
					return []string{cmp.Or(tt.who.Role, tt.who.ARN)}, name == "aws:principalarn"
				}}
			if tt.key != nil {
				q.OnResource = compiled(t, strings.Join(tt.key, ","))
			}
			q.Identity = &Identity{Limited: tt.id.session != nil}
			for _, p := range tt.id.policies {
				q.Identity.Policies = append(q.Identity.Policies, Named{"p", compiled(t, p)})
			}
			for _, p := range tt.id.boundary {
				q.Identity.Boundary = &Named{"b", compiled(t, p)}
			}
			for _, p := range tt.id.session {
				q.Identity.Session = append(q.Identity.Session, Named{"s", compiled(t, p)})
			}
			d, err := Decide(q)
			if err != nil {
				t.Fatal(err)
			}
			got := d.By.String()
			if !d.Allowed {
				got = "!" + got
			}
			if d.Explicit {
				got = "!" + got
			}
			if got != tt.want {
				t.Errorf("%s, want %s; %+v", got, tt.want, d.Statements)
			}
			if len(tt.id.policies)+len(tt.id.boundary)+len(tt.id.session) == 0 {
				q.Identity = nil // nothing attached is the same as none
				if again, err := Decide(q); err != nil || again.Allowed != d.Allowed || again.By != d.By {
					t.Errorf("without an identity: %+v, %v", again, err)
				}
			}
		})
	}
}

const elsewOnKey = `{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}`

// A grant that cannot be looked up allows nothing, and is only looked up when it matters.
func TestGrantAsked(t *testing.T) {
	fault := errors.New("store")
	asked := 0
	q := &Question{Who: user, Action: "kms:Decrypt", Resource: key, ResourceAccount: own, OnResource: compiled(t, onKey("Allow", ann)),
		Grant: func() (bool, error) { asked++; return false, fault }}
	if d, err := Decide(q); err != nil || !d.Allowed || asked > 0 {
		t.Errorf("%+v, %v, asked %d times", d, err, asked)
	}
	q.OnResource = compiled(t, onKey("Allow", own))
	if d, err := Decide(q); !errors.Is(err, fault) || d.Allowed || asked != 1 {
		t.Errorf("%+v, %v, asked %d times", d, err, asked)
	}
}

// Every statement that took part is named, with the policy it is in.
func TestReasons(t *testing.T) {
	q := &Question{
		Who: user, Action: "kms:Decrypt", Resource: key, ResourceAccount: own, OnResource: compiled(t, onKey("Allow", own)+","+onKey("Allow", ops)), Reasons: true,
		Identity: &Identity{Policies: []Named{{"admins", compiled(t, elsew+","+allow)}, {"guard", compiled(t, deny)}}},
	}
	d, err := Decide(q)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range d.Statements {
		got = append(got, fmt.Sprintf("%s %q %s %d", s.Kind, s.Policy, s.Effect, s.Index))
	}
	if want := `resource-based policy "" Allow 0; identity-based policy "admins" Allow 1; identity-based policy "guard" Deny 0`; strings.Join(got, "; ") != want {
		t.Errorf("%s, want %s", strings.Join(got, "; "), want)
	}
}

func TestMessage(t *testing.T) {
	for _, tt := range []struct {
		d    Decision
		want string
	}{
		{Decision{By: IdentityPolicy}, "User: U is not authorized to perform: kms:Decrypt on resource: R because no identity-based policy allows the kms:Decrypt action"},
		{Decision{By: ResourcePolicy}, "User: U is not authorized to perform: kms:Decrypt on resource: R because no resource-based policy allows the kms:Decrypt action"},
		{Decision{By: ResourcePolicy, Explicit: true}, "User: U is not authorized to perform: kms:Decrypt on resource: R with an explicit deny in a resource-based policy"},
		{Decision{By: IdentityPolicy, Explicit: true}, "User: U is not authorized to perform: kms:Decrypt on resource: R with an explicit deny in an identity-based policy"},
		{Decision{By: ResourcePolicy, CrossAccount: true}, "User: U is not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"},
		{Decision{By: ResourcePolicy, CrossAccount: true, Explicit: true}, "User: U is not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"},
		{Decision{By: IdentityPolicy, CrossAccount: true}, "User: U is not authorized to perform: kms:Decrypt on resource: R because no identity-based policy allows the kms:Decrypt action"},
	} {
		if got := tt.d.Message("U", "kms:Decrypt", "R"); got != tt.want {
			t.Errorf("%s\nwant %s", got, tt.want)
		}
	}
}
