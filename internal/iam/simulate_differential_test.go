package iam_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// TestSimulateAsReal has users with policies by chance call AWS KMS, and compares with what a simulation of them said: with the policies of
// the store, the policy of the key, and of the request's values those that are no principal's.
func TestSimulateAsReal(t *testing.T) {
	b := newSimulateBench(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[random.IntN(len(of))] }

	newKey := func(policy string) (arn, document string) {
		q := &api.CreateKeyRequest{BypassPolicyLockoutSafetyCheck: api.Some(true)}
		if policy != "" {
			q.Policy = api.Some(policy)
		}
		resp, err := b.as(b.root, "kms.CreateKey", q)
		if err != nil {
			t.Fatal(err)
		}
		arn = resp.(*api.CreateKeyResponse).KeyMetadata.Arn.V
		if policy != "" {
			return arn, policy
		}
		got, err := b.as(b.root, "kms.GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: api.Some(arn)})
		if err != nil {
			t.Fatal(err)
		}
		return arn, got.(*api.GetKeyPolicyResponse).Policy.V
	}
	rootStatement := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`
	type key struct{ arn, policy string }
	var keys []key
	for _, policy := range []string{
		"", // the default: IAM decides
		`{"Version":"2012-10-17","Statement":[` + rootStatement + `,{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:user/u1","arn:aws:iam::111122223333:user/u4",` +
			`"arn:aws:iam::111122223333:user/u7"]},"Action":["kms:Describe*","kms:Encrypt"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"red"}}}]}`,
		`{"Version":"2012-10-17","Statement":[` + rootStatement + `,{"Effect":"Deny","Principal":"*","Action":"kms:Enable*","Resource":"*",` +
			`"Condition":{"StringNotEquals":{"aws:username":["u2","u5","u8"]},"ArnLike":{"aws:PrincipalArn":"*:user/*"}}}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}}]}`,
	} {
		arn, document := newKey(policy)
		keys = append(keys, key{arn, document})
	}

	document := func() string {
		var statements []string
		for range 1 + random.IntN(3) {
			condition := one("", "", "", `,"Condition":{"StringEquals":{"aws:username":"u`+strconv.Itoa(random.IntN(40))+`"}}`,
				`,"Condition":{"StringEquals":{"aws:PrincipalTag/Team":"red"}}`, `,"Condition":{"StringLike":{"aws:userid":"IDUSERU?"}}`,
				`,"Condition":{"StringEquals":{"aws:ResourceAccount":"111122223333"}}`, `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`,
				`,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`, `,"Condition":{"Null":{"aws:TokenIssueTime":"true"}}`,
				`,"Condition":{"StringNotEqualsIfExists":{"kms:KeySpec":"RSA_2048"}}`)
			effect := one("Allow", "Allow", "Allow", "Deny")
			action := one(`"*"`, `"kms:*"`, `"kms:Describe*"`, `["kms:Encrypt","kms:ListKeys"]`, `"kms:GenerateDataKey*"`, `["kms:enable*","kms:CreateKey"]`, `"s3:*"`)
			field := "Action"
			if random.IntN(8) == 0 {
				field = "NotAction"
			}
			resource := one(`"*"`, `"*"`, `"arn:aws:kms:*:${aws:PrincipalAccount}:key/*"`, `"`+keys[0].arn+`"`, `["`+keys[1].arn+`","`+keys[2].arn+`"]`, `"arn:aws:s3:::*"`)
			statements = append(statements, fmt.Sprintf(`{"Effect":%q,%q:%s,"Resource":%s%s}`, effect, field, action, resource, condition))
		}
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	inline := func() (list []record.Inline) {
		for i := range random.IntN(3) {
			list = append(list, record.Inline{Name: "p" + strconv.Itoa(i), Document: document()})
		}
		return list
	}
	var managed, groups []string
	for i := range 5 {
		m := &record.ManagedPolicy{
			Account: simulateAccount, ID: "ANPA" + strconv.Itoa(i), Name: "m" + strconv.Itoa(i), Path: one("/", "/x/"), Default: 1,
			Versions: []record.PolicyVersion{{Number: 1, Document: document()}},
		}
		b.store(m)
		managed = append(managed, m.ARN())
		g := &record.Group{Principal: record.Principal{Name: "g" + strconv.Itoa(i), Inline: inline(), Attached: []string{m.ARN()}}}
		b.store(g)
		groups = append(groups, g.ID)
	}
	managed = append(managed, "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser", "arn:aws:iam::aws:policy/AdministratorAccess")

	calls := []struct {
		action string
		onKey  bool
		q      func(arn string) api.Request
	}{
		{"DescribeKey", true, func(arn string) api.Request { return &api.DescribeKeyRequest{KeyId: api.Some(arn)} }},
		{"Encrypt", true, func(arn string) api.Request { return &api.EncryptRequest{KeyId: api.Some(arn), Plaintext: []byte("x")} }},
		{"GenerateDataKey", true, func(arn string) api.Request {
			return &api.GenerateDataKeyRequest{KeyId: api.Some(arn), KeySpec: api.Some(api.DataKeySpecAes256)}
		}},
		{"EnableKey", true, func(arn string) api.Request { return &api.EnableKeyRequest{KeyId: api.Some(arn)} }},
		{"ListKeys", false, func(string) api.Request { return &api.ListKeysRequest{} }},
	}
	seen := map[api.PolicyEvaluationDecisionType]int{}
	for i := range 40 {
		u := &record.User{Principal: record.Principal{Name: "u" + strconv.Itoa(i), Inline: inline(), Tags: []record.Tag{{Key: "team", Value: one("red", "blue")}}}}
		if random.IntN(2) == 0 {
			u.Attached = []string{one(managed...)}
		}
		if random.IntN(3) == 0 {
			u.Boundary = one(managed...)
		}
		if g := random.IntN(2 * len(groups)); g < len(groups) {
			u.Groups = []string{groups[g]}
		}
		b.store(u)
		arn := simulateARN("user/" + u.Name)
		caller := b.caller(arn)
		for _, k := range keys {
			for _, c := range calls {
				seen[b.sameAsReal(caller, arn, k.arn, k.policy, c.action, c.onKey, c.q(k.arn))]++
			}
		}
	}
	t.Logf("decisions: %v", seen)
	for _, d := range api.PolicyEvaluationDecisionType("").Values() {
		if seen[d] < 50 {
			t.Errorf("only %d decisions are %s, which proves little", seen[d], d)
		}
	}
}

// sameAsReal simulates a user's call, makes it, and returns the decision of the simulation.
func (b *simulateBench) sameAsReal(caller *service.Caller, arn, keyARN, keyPolicy, action string, onKey bool, q api.Request) api.PolicyEvaluationDecisionType {
	b.t.Helper()
	s := &api.SimulatePrincipalPolicyRequest{
		PolicySourceArn: api.Some(arn), ActionNames: []string{"kms:" + action},
		ContextEntries: []api.ContextEntry{simulateEntry("aws:SourceIp", "ip", "192.0.2.1"), simulateEntry("aws:SecureTransport", "boolean", "false")},
	}
	if onKey {
		s.ResourceArns, s.ResourcePolicy = []string{keyARN}, api.Some(keyPolicy)
		s.ContextEntries = append(s.ContextEntries, simulateEntry("kms:KeySpec", "string", "SYMMETRIC_DEFAULT"))
	} else {
		s.ContextEntries = append(s.ContextEntries, simulateEntry("aws:ResourceAccount", "string", simulateAccount))
	}
	got, err := b.principal(s)
	if err != nil {
		b.t.Fatalf("%s, kms:%s on %s: %v", arn, action, keyARN, err)
	}
	_, real := b.as(caller, "kms."+action, q)
	if real != nil && real.Code != api.AccessDeniedException {
		b.t.Fatalf("%s, kms:%s on %s: %v", arn, action, keyARN, real)
	}
	decision := got[0].EvalDecision.V
	explicit := real != nil && strings.Contains(real.Message, "explicit deny")
	want := map[bool]api.PolicyEvaluationDecisionType{true: api.PolicyEvaluationDecisionTypeExplicitDeny, false: api.PolicyEvaluationDecisionTypeImplicitDeny}[explicit]
	if real == nil {
		want = api.PolicyEvaluationDecisionTypeAllowed
	}
	if decision != want {
		b.t.Errorf("%s, kms:%s on %s: simulated %s, really %v", arn, action, keyARN, decision, real)
	}
	return decision
}
