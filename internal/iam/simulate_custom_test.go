package iam_test

import (
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
)

// simulateKeyPolicy is a key policy of one statement.
func simulateKeyPolicy(effect, principal string) api.Opt[string] {
	return api.Some(`{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:*","Resource":"*"}]}`)
}

// TestSimulateCustomPolicy has an answer for each rule of what takes part and how.
func TestSimulateCustomPolicy(t *testing.T) {
	b := newSimulateBench(t, nil)
	const (
		root  = `{"AWS":"arn:aws:iam::111122223333:root"}`
		alice = `{"AWS":"arn:aws:iam::111122223333:user/team/alice"}`
		role  = `{"AWS":"arn:aws:iam::111122223333:role/worker"}`
		eve   = `{"AWS":"arn:aws:iam::444455556666:user/eve"}`
	)
	aliceARN, eveARN := api.Some(simulateARN("user/team/alice")), api.Some("arn:aws:iam::444455556666:user/eve")
	allowAll, denyAll := simulatePolicy("Allow", "*", ""), simulatePolicy("Deny", "*", "")
	allowKMS, allowS3 := simulatePolicy("Allow", "kms:*", ""), simulatePolicy("Allow", "s3:*", "")
	onKey := []string{simulateKey}
	for _, c := range []struct {
		name   string
		action string // "" is kms:Decrypt
		q      api.SimulateCustomPolicyRequest
		want   string
	}{
		{"no policy", "", api.SimulateCustomPolicyRequest{}, "implicitDeny []"},
		{"one allows", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowS3, allowKMS}}, "allowed [PolicyInputList.2:none]"},
		{"two allow", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowAll, allowKMS}},
			"allowed [PolicyInputList.1:none PolicyInputList.2:none]"},
		{"names of actions have no case", "KMS:decrypt", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowKMS}}, "allowed [PolicyInputList.1:none]"},
		{"a denial alone is told", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowAll, denyAll}}, "explicitDeny [PolicyInputList.2:none]"},
		{"another resource", "", api.SimulateCustomPolicyRequest{
			PolicyInputList: []string{`{"Statement":{"Effect":"Allow","Action":"*","Resource":"` + simulateKey + `"}}`}}, "implicitDeny []"},
		{"the resource", "", api.SimulateCustomPolicyRequest{ResourceArns: onKey,
			PolicyInputList: []string{`{"Statement":{"Effect":"Allow","Action":"*","Resource":"` + simulateKey + `"}}`}}, "allowed [PolicyInputList.1:none]"},

		{"boundary allows", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowAll}, PermissionsBoundaryPolicyInputList: []string{allowKMS}},
			"allowed [PolicyInputList.1:none] boundary"},
		{"boundary leaves it out", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowAll}, PermissionsBoundaryPolicyInputList: []string{allowS3}},
			"implicitDeny [] boundary not"},
		{"boundary denies", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{allowAll}, PermissionsBoundaryPolicyInputList: []string{denyAll}},
			"explicitDeny [PermissionsBoundaryPolicyInputList.1:none] boundary not"},
		{"boundary alone allows", "", api.SimulateCustomPolicyRequest{PermissionsBoundaryPolicyInputList: []string{allowKMS}}, "implicitDeny [] boundary"},

		{"key policy names the user", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey, ResourcePolicy: simulateKeyPolicy("Allow", alice)},
			"allowed [ResourcePolicy:resource]"},
		{"key policy names the user, whom a boundary leaves out", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", alice), PermissionsBoundaryPolicyInputList: []string{allowS3}}, "allowed [ResourcePolicy:resource] boundary not"},
		{"key policy names the role", "", api.SimulateCustomPolicyRequest{CallerArn: api.Some(simulateARN("role/worker")), ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", role)}, "allowed [ResourcePolicy:resource]"},
		{"key policy names the role, whom a boundary leaves out", "", api.SimulateCustomPolicyRequest{CallerArn: api.Some(simulateARN("role/worker")), ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", role), PermissionsBoundaryPolicyInputList: []string{allowS3}}, "implicitDeny [] boundary not"},
		{"key policy opens the account", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey, ResourcePolicy: simulateKeyPolicy("Allow", root)},
			"implicitDeny []"},
		{"key policy opens the account to a policy", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", root), PolicyInputList: []string{allowKMS}}, "allowed [PolicyInputList.1:none ResourcePolicy:resource]"},
		{"key policy is about somebody else", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", role), PolicyInputList: []string{allowKMS}}, "implicitDeny []"},
		{"aliases are the account's", "kms:ListAliases", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", role), PolicyInputList: []string{allowKMS}}, "allowed [PolicyInputList.1:none]"},
		{"key policy denies", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Deny", alice), PolicyInputList: []string{allowKMS}}, "explicitDeny [ResourcePolicy:resource]"},
		{"NotPrincipal spares nobody who is bounded", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, ResourceArns: onKey,
			ResourcePolicy: api.Some(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},` +
				`{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/team/alice"]},"Action":"kms:*","Resource":"*"}]}`),
			PermissionsBoundaryPolicyInputList: []string{allowAll}}, "explicitDeny [ResourcePolicy:resource] boundary"},

		{"abroad, without a key policy", "", api.SimulateCustomPolicyRequest{CallerArn: eveARN, ResourceArns: onKey, PolicyInputList: []string{allowKMS}}, "implicitDeny []"},
		{"abroad, both sides", "", api.SimulateCustomPolicyRequest{CallerArn: eveARN, ResourceArns: onKey, ResourcePolicy: simulateKeyPolicy("Allow", eve),
			PolicyInputList: []string{allowKMS}}, "allowed [PolicyInputList.1:none ResourcePolicy:resource]"},
		{"abroad, the key's side only", "", api.SimulateCustomPolicyRequest{CallerArn: eveARN, ResourceArns: onKey, ResourcePolicy: simulateKeyPolicy("Allow", eve)},
			"implicitDeny []"},
		{"abroad, denied at home and not open", "", api.SimulateCustomPolicyRequest{CallerArn: eveARN, ResourceArns: onKey, ResourcePolicy: simulateKeyPolicy("Allow", role),
			PolicyInputList: []string{denyAll}}, "explicitDeny [PolicyInputList.1:none]"},
		{"abroad, what is never possible there", "kms:ScheduleKeyDeletion", api.SimulateCustomPolicyRequest{CallerArn: eveARN, ResourceArns: onKey,
			ResourcePolicy: simulateKeyPolicy("Allow", eve), PolicyInputList: []string{allowKMS}}, "implicitDeny []"},
		{"owner is another account", "s3:GetObject", api.SimulateCustomPolicyRequest{ResourceArns: []string{"arn:aws:s3:::bucket/x"},
			PolicyInputList: []string{allowAll}, ResourceOwner: api.Some("444455556666")}, "implicitDeny []"},
		{"owner is another account, as an ARN", "s3:GetObject", api.SimulateCustomPolicyRequest{ResourceArns: []string{"arn:aws:s3:::bucket/x"},
			PolicyInputList: []string{allowAll}, ResourceOwner: api.Some("arn:aws:iam::444455556666:root")}, "implicitDeny []"},
		{"owner is the caller's account", "s3:GetObject", api.SimulateCustomPolicyRequest{ResourceArns: []string{"arn:aws:s3:::bucket/x"},
			PolicyInputList: []string{allowAll}}, "allowed [PolicyInputList.1:none]"},
		{"what an ARN says comes first", "", api.SimulateCustomPolicyRequest{ResourceArns: onKey, PolicyInputList: []string{allowAll},
			ResourceOwner: api.Some("444455556666")}, "allowed [PolicyInputList.1:none]"},

		{"a condition without its value", "", api.SimulateCustomPolicyRequest{
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`)}}, "implicitDeny [] missing aws:SourceIp"},
		{"keys of statements about other actions are missing too", "", api.SimulateCustomPolicyRequest{
			PolicyInputList: []string{allowKMS, simulatePolicy("Allow", "s3:*", `,"Condition":{"Bool":{"aws:SecureTransport":true,"AWS:ViaAWSService":"false"}}`)}},
			"allowed [PolicyInputList.1:none] missing AWS:ViaAWSService aws:SecureTransport"},
		{"a variable without its value", "", api.SimulateCustomPolicyRequest{PolicyInputList: []string{
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:*:*:key/${aws:PrincipalTag/Team}"}}`}},
			"implicitDeny [] missing aws:PrincipalTag/Team"},
		{"what the caller's ARN says", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN, PolicyInputList: []string{simulatePolicy("Allow", "kms:*",
			`,"Condition":{"StringEquals":{"aws:username":"alice","aws:PrincipalType":"User","kms:CallerAccount":"111122223333"},`+
				`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/team/alice"}}`)}}, "allowed [PolicyInputList.1:none]"},
		{"what the request says comes first", "", api.SimulateCustomPolicyRequest{CallerArn: aliceARN,
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", `,"Condition":{"StringEquals":{"aws:username":"bob"}}`)},
			ContextEntries:  []api.ContextEntry{simulateEntry("AWS:UserName", "string", "bob")}}, "allowed [PolicyInputList.1:none]"},
		{"who is not known has no name", "", api.SimulateCustomPolicyRequest{
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", `,"Condition":{"StringEquals":{"aws:username":"bob","aws:PrincipalAccount":"111122223333"}}`)}},
			"implicitDeny [] missing aws:username"},
		{"whose resource it is", "", api.SimulateCustomPolicyRequest{ResourceArns: onKey,
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", `,"Condition":{"StringEquals":{"aws:ResourceAccount":"111122223333"}}`)}}, "allowed [PolicyInputList.1:none]"},
	} {
		c.q.ActionNames = []string{"kms:Decrypt"}
		if c.action != "" {
			c.q.ActionNames = []string{c.action}
		}
		got, err := b.custom(&c.q)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		if s := simulateShort(got[0]); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// TestSimulateAcrossAccounts looks at what each kind of policy is said to contribute.
func TestSimulateAcrossAccounts(t *testing.T) {
	b := newSimulateBench(t, nil)
	type details = map[string]api.PolicyEvaluationDecisionType
	eve := `{"AWS":"arn:aws:iam::444455556666:user/eve"}`
	for _, c := range []struct {
		name   string
		q      api.SimulateCustomPolicyRequest
		want   api.PolicyEvaluationDecisionType
		top    details
		onEach details // nil: absent
	}{
		{"AWS's example: open to her, but neither her policy nor her boundary allow it", api.SimulateCustomPolicyRequest{
			CallerArn: api.Some("arn:aws:iam::444455556666:user/eve"), ResourceArns: []string{simulateKey}, ResourcePolicy: simulateKeyPolicy("Allow", eve),
			PolicyInputList: []string{simulatePolicy("Allow", "iam:*", "")}, PermissionsBoundaryPolicyInputList: []string{simulatePolicy("Allow", "iam:*", "")},
		}, "implicitDeny", details{"IAM Policy": "implicitDeny", "Resource Policy": "allowed", "Permissions Boundary Policy": "implicitDeny"},
			details{"IAM Policy": "implicitDeny", "Resource Policy": "allowed", "Permissions Boundary Policy": "implicitDeny"}},
		{"allowed on both sides", api.SimulateCustomPolicyRequest{
			CallerArn: api.Some("arn:aws:iam::444455556666:user/eve"), ResourceArns: []string{simulateKey}, ResourcePolicy: simulateKeyPolicy("Allow", eve),
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", "")},
		}, "allowed", details{"IAM Policy": "allowed", "Resource Policy": "allowed"}, details{"IAM Policy": "allowed", "Resource Policy": "allowed"}},
		{"denied by the key", api.SimulateCustomPolicyRequest{
			CallerArn: api.Some("arn:aws:iam::444455556666:user/eve"), ResourceArns: []string{simulateKey}, ResourcePolicy: simulateKeyPolicy("Deny", eve),
			PolicyInputList: []string{simulatePolicy("Allow", "kms:*", "")},
		}, "explicitDeny", details{"IAM Policy": "allowed", "Resource Policy": "explicitDeny"}, details{"IAM Policy": "allowed", "Resource Policy": "explicitDeny"}},
		{"on anything, in another account", api.SimulateCustomPolicyRequest{
			ResourceOwner: api.Some("444455556666"), PolicyInputList: []string{simulatePolicy("Allow", "kms:*", "")},
		}, "implicitDeny", details{"IAM Policy": "allowed", "Resource Policy": "implicitDeny"}, nil},
		{"within an account, on a resource", api.SimulateCustomPolicyRequest{ResourceArns: []string{simulateKey}}, "implicitDeny", details{}, nil},
		{"within an account, on anything", api.SimulateCustomPolicyRequest{}, "implicitDeny", nil, nil},
	} {
		c.q.ActionNames = []string{"kms:Decrypt"}
		got, err := b.custom(&c.q)
		if err != nil || got[0].EvalDecision.V != c.want || !reflect.DeepEqual(got[0].EvalDecisionDetails, c.top) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
			continue
		}
		if each := got[0].ResourceSpecificResults; len(each) > 0 && !reflect.DeepEqual(each[0].EvalDecisionDetails, c.onEach) {
			t.Errorf("%s, on the resource: %v", c.name, each[0].EvalDecisionDetails)
		}
	}
}

func simulateEntry(name, kind string, values ...string) api.ContextEntry {
	return api.ContextEntry{ContextKeyName: api.Some(name), ContextKeyType: api.Some(api.ContextKeyTypeEnum(kind)), ContextKeyValues: values}
}

// TestSimulateContextEntries gives values of each type to a condition that holds for them only.
func TestSimulateContextEntries(t *testing.T) {
	b := newSimulateBench(t, nil)
	for _, c := range []struct{ kind, value, condition, refused string }{
		{"string", "a b", `"StringEquals":{"my:key":"a b"}`, ""},
		{"numeric", "1.5e3", `"NumericEquals":{"my:key":1500}`, "0x10"},
		{"boolean", "TRUE", `"Bool":{"my:key":"true"}`, "yes"},
		{"date", "2026-01-02T03:04:05Z", `"DateLessThan":{"my:key":"2027"}`, "tomorrow"},
		{"date", "1700000000", `"DateLessThan":{"my:key":"2027"}`, "01/02/2026"},
		{"ip", "10.1.2.3", `"IpAddress":{"my:key":"10.0.0.0/8"}`, "10.0.0.0/8"},
		{"ip", "2001:db8::1", `"IpAddress":{"my:key":"2001:db8::/32"}`, "10.0.0.256"},
		{"binary", base64.StdEncoding.EncodeToString([]byte{0, 0xff}), `"BinaryEquals":{"my:key":"AP8="}`, "AP8"},
	} {
		for _, list := range []string{"", "List"} {
			q := api.SimulateCustomPolicyRequest{
				ActionNames: []string{"kms:Decrypt"}, PolicyInputList: []string{simulatePolicy("Allow", "*", `,"Condition":{`+c.condition+`}`)},
				ContextEntries: []api.ContextEntry{simulateEntry("MY:Key", c.kind+list, c.value)},
			}
			if got, err := b.custom(&q); err != nil || got[0].EvalDecision.V != "allowed" || len(got[0].MissingContextValues) > 0 {
				t.Errorf("%s%s %s: %v, %v", c.kind, list, c.value, got, err)
			}
			if c.refused == "" {
				continue
			}
			q.ContextEntries = []api.ContextEntry{simulateEntry("my:key", c.kind+list, c.refused)}
			if got, err := b.custom(&q); err == nil || err.Code != api.InvalidInput {
				t.Errorf("%s%s %s: %v, %v", c.kind, list, c.refused, got, err)
			}
		}
	}
	all := api.SimulateCustomPolicyRequest{
		ActionNames: []string{"kms:Decrypt"}, PolicyInputList: []string{simulatePolicy("Allow", "*", `,"Condition":{"ForAllValues:StringLike":{"my:key":["a*","b*"]}}`)},
		ContextEntries: []api.ContextEntry{simulateEntry("my:key", "stringList", "a1", "b1")},
	}
	if got, err := b.custom(&all); err != nil || got[0].EvalDecision.V != "allowed" {
		t.Errorf("all values match: %v, %v", got, err)
	}
	all.ContextEntries[0].ContextKeyValues = append(all.ContextEntries[0].ContextKeyValues, "c1")
	if got, err := b.custom(&all); err != nil || got[0].EvalDecision.V != "implicitDeny" {
		t.Errorf("one value does not match: %v, %v", got, err)
	}
}

// TestSimulateRefused has what no simulation is made of.
func TestSimulateRefused(t *testing.T) {
	b := newSimulateBench(t, nil)
	allow := simulatePolicy("Allow", "*", "")
	alice := api.Some(simulateARN("user/alice"))
	entries := func(e ...api.ContextEntry) func(*api.SimulateCustomPolicyRequest) {
		return func(q *api.SimulateCustomPolicyRequest) { q.ContextEntries = e }
	}
	for _, c := range []struct {
		name   string
		change func(*api.SimulateCustomPolicyRequest)
		want   string // in the message
	}{
		{"no JSON", func(q *api.SimulateCustomPolicyRequest) { q.PolicyInputList = []string{allow, `{"Statement":`} }, "PolicyInputList.2: Syntax errors in policy."},
		{"duplicate names", func(q *api.SimulateCustomPolicyRequest) {
			q.PolicyInputList = []string{`{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}`}
		}, "PolicyInputList.1"},
		{"with a principal", func(q *api.SimulateCustomPolicyRequest) {
			q.PolicyInputList = []string{`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`}
		}, "PolicyInputList.1: Policy document should not specify a principal."},
		{"without a resource", func(q *api.SimulateCustomPolicyRequest) {
			q.PolicyInputList = []string{`{"Statement":{"Effect":"Allow","Action":"*"}}`}
		}, "PolicyInputList.1: Policy statement must contain resources."},
		{"too many documents", func(q *api.SimulateCustomPolicyRequest) { q.PolicyInputList = slices.Repeat([]string{allow}, 101) }, "At most 100 policies"},
		{"documents too long", func(q *api.SimulateCustomPolicyRequest) {
			q.PolicyInputList = slices.Repeat([]string{allow + strings.Repeat(" ", 100_000)}, 6)
		}, "524288 characters"},
		{"bad boundary", func(q *api.SimulateCustomPolicyRequest) { q.PermissionsBoundaryPolicyInputList = []string{`{}`} }, "PermissionsBoundaryPolicyInputList.1"},
		{"two boundaries", func(q *api.SimulateCustomPolicyRequest) {
			q.PermissionsBoundaryPolicyInputList = []string{allow, allow}
		}, "at most one"},
		{"service control policies", func(q *api.SimulateCustomPolicyRequest) {
			q.OrderedOrganizationPolicyInputList = []api.OrderedOrganizationPolicyType{{ServiceControlPolicyInputList: []string{allow}}}
		}, "OrderedOrganizationPolicyInputList is not supported"},
		{"none of them", func(q *api.SimulateCustomPolicyRequest) {
			q.OrderedOrganizationPolicyInputList = []api.OrderedOrganizationPolicyType{}
		}, "not supported"},
		{"no action", func(q *api.SimulateCustomPolicyRequest) { q.ActionNames = []string{} }, "ActionNames"},
		{"wildcard in an action", func(q *api.SimulateCustomPolicyRequest) { q.ActionNames = []string{"kms:Decrypt", "kms:*"} }, `"kms:*"`},
		{"action without a service", func(q *api.SimulateCustomPolicyRequest) { q.ActionNames = []string{"Decrypt"} }, "Decrypt"},
		{"too many actions", func(q *api.SimulateCustomPolicyRequest) { q.ActionNames = slices.Repeat([]string{"kms:Decrypt"}, 257) }, "at most 256"},
		{"too many combinations", func(q *api.SimulateCustomPolicyRequest) {
			q.ActionNames, q.ResourceArns = slices.Repeat([]string{"kms:Decrypt"}, 101), slices.Repeat([]string{"*"}, 100)
		}, "10000 combinations"},
		{"names too long", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourceArns = slices.Repeat([]string{simulateKey + strings.Repeat("x", 1900)}, 40)
		}, "65536 characters"},
		{"resource is no ARN", func(q *api.SimulateCustomPolicyRequest) { q.ResourceArns = []string{simulateKey, "1234abcd"} },
			"ResourceNames are not in a valid ARN format: 1234abcd."},
		{"owner", func(q *api.SimulateCustomPolicyRequest) { q.ResourceOwner = api.Some("1111-2222-3333") }, "'1111-2222-3333' is not a valid as a Resource Owner."},
		{"owner is a user", func(q *api.SimulateCustomPolicyRequest) { q.ResourceOwner = alice }, "is not a valid as a Resource Owner."},
		{"caller is no ARN", func(q *api.SimulateCustomPolicyRequest) { q.CallerArn = api.Some("alice") }, "Invalid caller"},
		{"caller is a session", func(q *api.SimulateCustomPolicyRequest) {
			q.CallerArn = api.Some("arn:aws:sts::111122223333:assumed-role/a/b")
		}, "Invalid caller"},
		{"caller is the root user", func(q *api.SimulateCustomPolicyRequest) { q.CallerArn = api.Some(simulateARN("root")) }, "Invalid caller"},
		{"caller of another partition", func(q *api.SimulateCustomPolicyRequest) {
			q.CallerArn = api.Some("arn:aws-cn:iam::111122223333:user/alice")
		}, "Invalid caller"},
		{"resource policy without a caller", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourcePolicy, q.ResourceArns = simulateKeyPolicy("Allow", `"*"`), []string{simulateKey}
		}, "Caller cannot be null or empty"},
		{"resource policy with a group", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourcePolicy, q.ResourceArns, q.CallerArn = simulateKeyPolicy("Allow", `"*"`), []string{simulateKey}, api.Some(simulateARN("group/devs"))
		}, "group"},
		{"resource policy on no resource", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourcePolicy, q.CallerArn = simulateKeyPolicy("Allow", `"*"`), alice
		}, "* is none"},
		{"resource policy on no key", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourcePolicy, q.CallerArn, q.ResourceArns = simulateKeyPolicy("Allow", `"*"`), alice, []string{"arn:aws:s3:::bucket"}
		}, "arn:aws:s3:::bucket is none"},
		{"resource policy is none of a key", func(q *api.SimulateCustomPolicyRequest) {
			q.ResourcePolicy, q.CallerArn, q.ResourceArns = api.Some(allow), alice, []string{simulateKey}
		}, "Invalid policy ResourcePolicy"},
		{"too many entries", entries(slices.Repeat([]api.ContextEntry{simulateEntry("a:bcd", "string", "v")}, 257)...), "at most 256"},
		{"values too long", entries(simulateEntry("a:bcd", "string", strings.Repeat("v", 40_000))), "32768"},
		{"entry without a name", entries(api.ContextEntry{ContextKeyType: api.Some(api.ContextKeyTypeEnumString), ContextKeyValues: []string{"v"}}), "prefix"},
		{"entry without a service", entries(simulateEntry("abcdef", "string", "v")), "prefix"},
		{"entry without a type", entries(api.ContextEntry{ContextKeyName: api.Some("aws:SourceIp"), ContextKeyValues: []string{"v"}}), "no ContextKeyType"},
		{"entry without a value", entries(simulateEntry("aws:SourceIp", "ip")), "no values"},
		{"one value too many", entries(simulateEntry("aws:TagKeys", "string", "a", "b")), "stringList"},
		{"twice, in different case", entries(simulateEntry("aws:SourceIp", "ip", "10.0.0.1"), simulateEntry("AWS:sourceip", "ip", "10.0.0.2")), "twice"},
	} {
		q := &api.SimulateCustomPolicyRequest{PolicyInputList: []string{allow}, ActionNames: []string{"kms:Decrypt"}}
		c.change(q)
		got, err := b.custom(q)
		if err == nil || err.Code != api.InvalidInput || !strings.Contains(err.Message, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestSimulateShape looks at what results have around their decision.
func TestSimulateShape(t *testing.T) {
	b := newSimulateBench(t, nil)
	got, err := b.custom(&api.SimulateCustomPolicyRequest{
		ActionNames: []string{"kms:Encrypt", "kms:Decrypt"}, ResourceArns: []string{"*", simulateKey}, ResourceHandlingOption: api.Some("EC2-VPC-EBS"),
		PolicyInputList: []string{"{\n  \"Statement\": [\n    {\"Effect\": \"Allow\", \"Action\": \"kms:Encrypt\", \"Resource\": \"*\"},\n" +
			"    {\"Effect\": \"Allow\", \"Action\": \"kms:Decrypt\", \"Resource\": \"*\"}\n  ]\n}"},
	})
	if err != nil || len(got) != 4 {
		t.Fatalf("%d results, %v", len(got), err)
	}
	for i, want := range []struct{ action, resource string }{
		{"kms:Encrypt", "*"}, {"kms:Encrypt", simulateKey}, {"kms:Decrypt", "*"}, {"kms:Decrypt", simulateKey},
	} {
		r := got[i]
		if r.EvalActionName.V != want.action || r.EvalResourceName.V != want.resource || r.EvalDecision.V != "allowed" {
			t.Errorf("%d: %+v", i, r)
		}
		start, end := r.MatchedStatements[0].StartPosition, r.MatchedStatements[0].EndPosition
		if i < 2 && (start.Line.V != 2 || start.Column.V != 17 || end.Line.V != 3 || end.Column.V != 66) ||
			i >= 2 && (start.Line.V != 3 || start.Column.V != 66 || end.Line.V != 4 || end.Column.V != 66) {
			t.Errorf("%d: from %+v to %+v", i, start, end)
		}
		if n := len(r.ResourceSpecificResults); n != i%2 {
			t.Errorf("%d: %d results for the resource", i, n)
		} else if n == 1 && (r.ResourceSpecificResults[0].EvalResourceName.V != simulateKey || r.ResourceSpecificResults[0].EvalResourceDecision.V != "allowed") {
			t.Errorf("%d: %+v", i, r.ResourceSpecificResults[0])
		}
	}
}
