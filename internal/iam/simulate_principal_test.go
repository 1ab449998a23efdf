package iam_test

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// simulateHouse has a user with policies of every origin, her groups, and a role.
func simulateHouse(t *testing.T) *simulateBench {
	t.Helper()
	document := func(action string) string {
		return "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\"Effect\": \"Allow\", \"Action\": \"" + action + "\", \"Resource\": \"*\"}\n  ]\n}"
	}
	p, err := policy.Parse([]byte(document("kms:Sign")))
	if err != nil {
		t.Fatal(err)
	}
	named := authz.Named{Name: "sign.json", Compiled: policy.Compile(p)}
	b := newSimulateBench(t, map[string]identity.Configured{"AKIACONFIGURED": {Secret: "s", Caller: service.NewCaller(service.Caller{
		Account: simulateAccount, ARN: simulateARN("user/conf"), Type: "IAMUser", PrincipalID: "AIDACONF", UserName: "conf",
		Identity: &authz.Identity{Policies: []authz.Named{named}, Boundary: &named},
	})}})
	own := &record.ManagedPolicy{
		Account: simulateAccount, ID: "ANPAX", Name: "Encrypting", Path: "/apps/", Default: 2,
		Versions: []record.PolicyVersion{{Number: 1, Document: document("kms:Verify")}, {Number: 2, Document: document("kms:Encrypt")}},
	}
	devs := &record.Group{Principal: record.Principal{
		Name: "devs", Inline: []record.Inline{{Name: "g", Document: document("kms:Decrypt")}}, Attached: []string{own.ARN()},
	}}
	ops := &record.Group{Principal: record.Principal{Name: "ops", Attached: []string{"arn:aws:iam::aws:policy/IAMFullAccess"}}}
	b.store(own, devs, ops)
	b.store(&record.User{
		Principal: record.Principal{
			Name: "alice", Path: "/team/", Tags: []record.Tag{{Key: "Team", Value: "red"}},
			Inline: []record.Inline{
				{Name: "deny", Document: simulatePolicy("Deny", "kms:ScheduleKeyDeletion", "")},
				{Name: "tags", Document: simulatePolicy("Allow", "kms:TagResource", `,"Condition":{"StringEquals":{"aws:PrincipalTag/team":"red","aws:username":"alice",`+
					`"aws:userid":"IDUSERALICE"}}`)},
			},
			Attached: []string{"arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser"}, Boundary: own.ARN(),
		},
		Groups: []string{devs.ID, ops.ID},
	}, &record.User{Principal: record.Principal{Name: "bob"}}, &record.Role{
		Principal: record.Principal{Name: "worker", Path: "/svc/", Tags: []record.Tag{{Key: "Team", Value: "blue"}},
			Inline: []record.Inline{{Name: "w", Document: simulatePolicy("Allow", "kms:Encrypt", `,"Condition":{"StringEquals":{"aws:PrincipalTag/Team":"blue"},`+
				`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/svc/worker"}}`)}}},
		Trust: `{}`,
	})
	return b
}

// TestSimulatePrincipalPolicy simulates principals with what is attached to them. Alice's boundary allows kms:Encrypt only.
func TestSimulatePrincipalPolicy(t *testing.T) {
	b := simulateHouse(t)
	allowAll := simulatePolicy("Allow", "*", "")
	noBoundary := []api.PolicyIdentifier{{PolicyType: api.Some(api.PolicyIdentifierPolicyTypePermissionBoundary)}}
	without := func(more api.PolicyIdentifier) []api.PolicyIdentifier { return append(noBoundary[:1:1], more) }
	inline := func(name, kind, holder string) api.PolicyIdentifier {
		return api.PolicyIdentifier{InlinePolicyIdentifier: &api.InlinePolicyIdentifierType{
			PolicyName: api.Some(name), AttachmentType: api.Some(api.AttachmentType(kind)), AttachmentName: api.Some(holder),
		}}
	}
	managed := func(arn string) api.PolicyIdentifier { return api.PolicyIdentifier{PolicyArn: api.Some(arn)} }
	kind := func(k api.PolicyIdentifierPolicyType) api.PolicyIdentifier {
		return api.PolicyIdentifier{PolicyType: api.Some(k)}
	}
	for _, c := range []struct {
		name, of, action string
		q                api.SimulatePrincipalPolicyRequest
		want             string
	}{
		{"managed, through a group, in its version in force", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{},
			"allowed [Encrypting:user-managed] boundary"},
		{"inline of a group, beyond the boundary", "user/team/alice", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{}, "implicitDeny [] boundary not"},
		{"inline of a group", "user/team/alice", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: noBoundary}, "allowed [group_devs_g:group]"},
		{"managed by AWS", "user/team/alice", "kms:CreateKey", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: noBoundary},
			"allowed [AWSKeyManagementServicePowerUser:aws-managed]"},
		{"denied by an inline policy", "user/team/alice", "kms:ScheduleKeyDeletion", api.SimulatePrincipalPolicyRequest{PolicyInputList: []string{allowAll}},
			"explicitDeny [user_alice_deny:user] boundary not"},
		{"her own name, ID and tags", "user/team/alice", "kms:TagResource", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: noBoundary},
			"allowed [AWSKeyManagementServicePowerUser:aws-managed user_alice_tags:user]"},
		{"another boundary", "user/team/alice", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{PermissionsBoundaryPolicyInputList: []string{allowAll}},
			"allowed [group_devs_g:group] boundary"},
		{"another policy beside", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{PolicyInputList: []string{allowAll}},
			"allowed [Encrypting:user-managed PolicyInputList.1:none] boundary"},
		{"as somebody else", "user/team/alice", "kms:TagResource", api.SimulatePrincipalPolicyRequest{
			CallerArn: api.Some(simulateARN("user/bob")), PolicyExclusionList: without(kind("aws-managed"))}, "implicitDeny [] missing aws:PrincipalTag/team aws:userid"},
		{"nobody else's either", "user/bob", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{}, "implicitDeny []"},

		{"without an inline policy", "user/team/alice", "kms:ScheduleKeyDeletion", api.SimulatePrincipalPolicyRequest{PolicyInputList: []string{allowAll},
			PolicyExclusionList: without(inline("deny", "user", "alice"))}, "allowed [PolicyInputList.1:none]"},
		{"without another's inline policy", "user/team/alice", "kms:ScheduleKeyDeletion", api.SimulatePrincipalPolicyRequest{
			PolicyExclusionList: without(inline("deny", "group", "alice"))}, "explicitDeny [user_alice_deny:user]"},
		{"without any inline policy", "user/team/alice", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: without(kind("inline"))}, "implicitDeny []"},
		{"without what the account manages", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: without(kind("user-managed"))}, "implicitDeny []"},
		{"without what AWS manages", "user/team/alice", "kms:CreateKey", api.SimulatePrincipalPolicyRequest{PolicyExclusionList: without(kind("aws-managed"))}, "implicitDeny []"},
		{"without a managed policy", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{
			PolicyExclusionList: without(managed(simulateARN("policy/apps/Encrypting")))}, "implicitDeny []"},
		{"without managed policies of a pattern", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{
			PolicyExclusionList: without(managed(simulateARN("policy/apps/?nc*ing")))}, "implicitDeny []"},
		{"a pattern that does not match", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{
			PolicyExclusionList: without(managed(simulateARN("policy/apps/??nc*ing")))}, "allowed [Encrypting:user-managed]"},
		{"kinds that nothing here has", "user/team/alice", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{
			PolicyExclusionList: append(without(kind("scp")), kind("rcp"))}, "allowed [Encrypting:user-managed]"},

		{"a group", "group/devs", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{}, "allowed [group_devs_g:group]"},
		{"managed, of a group, in its version in force", "group/devs", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{}, "allowed [Encrypting:user-managed]"},
		{"managed, of a group, in an earlier version", "group/devs", "kms:Verify", api.SimulatePrincipalPolicyRequest{}, "implicitDeny []"},
		{"a group has no name of a user", "group/devs", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{
			PolicyInputList: []string{simulatePolicy("Deny", "*", `,"Condition":{"Null":{"aws:username":"true"}}`)}}, "explicitDeny [PolicyInputList.1:none] missing aws:username"},
		{"a role", "role/svc/worker", "kms:Encrypt", api.SimulatePrincipalPolicyRequest{}, "allowed [role_worker_w:role]"},
		{"a role that the key policy names", "role/svc/worker", "kms:Decrypt", api.SimulatePrincipalPolicyRequest{ResourceArns: []string{simulateKey},
			ResourcePolicy: simulateKeyPolicy("Allow", `{"AWS":"arn:aws:iam::111122223333:role/svc/worker"}`)}, "allowed [ResourcePolicy:resource]"},
		{"a user that the key policy names by her ID", "user/team/alice", "kms:Verify", api.SimulatePrincipalPolicyRequest{ResourceArns: []string{simulateKey},
			ResourcePolicy: simulateKeyPolicy("Allow", `{"AWS":"arn:aws:iam::111122223333:user/team/alice"}`)}, "allowed [ResourcePolicy:resource] boundary not"},
		{"a user of the configuration file", "user/conf", "kms:Sign", api.SimulatePrincipalPolicyRequest{}, "allowed [user_conf_sign.json:user] boundary"},
	} {
		c.q.PolicySourceArn, c.q.ActionNames = api.Some(simulateARN(c.of)), []string{c.action}
		got, err := b.principal(&c.q)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		if s := simulateShort(got[0]); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
		for _, s := range got[0].MatchedStatements {
			if want := s.SourcePolicyType.V != "user" || !strings.Contains(s.SourcePolicyId.V, "conf"); want != (s.StartPosition != nil && s.EndPosition != nil) {
				t.Errorf("%s: position of %s is %v", c.name, s.SourcePolicyId.V, s.StartPosition)
			}
		}
	}
	got, err := b.principal(&api.SimulatePrincipalPolicyRequest{PolicySourceArn: api.Some(simulateARN("group/devs")), ActionNames: []string{"kms:Decrypt"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := got[0].MatchedStatements[0]; s.StartPosition.Line.V != 3 || s.StartPosition.Column.V != 17 || s.EndPosition.Line.V != 4 || s.EndPosition.Column.V != 66 {
		t.Errorf("from %+v to %+v", s.StartPosition, s.EndPosition)
	}
}

// TestSimulatePrincipalRefused has what is no principal, or not to be asked about.
func TestSimulatePrincipalRefused(t *testing.T) {
	b := simulateHouse(t)
	for _, c := range []struct {
		name, arn string
		code      api.ErrorCode
		want      string
	}{
		{"nobody", simulateARN("user/nobody"), api.NoSuchEntity, "The user with name nobody cannot be found."},
		{"no such role", simulateARN("role/nobody"), api.NoSuchEntity, "The role with name nobody cannot be found."},
		{"no such group", simulateARN("group/nobody"), api.NoSuchEntity, "The group with name nobody cannot be found."},
		{"another path", simulateARN("user/alice"), api.NoSuchEntity, "The user with name alice cannot be found."},
		{"a group of another path", simulateARN("group/x/devs"), api.NoSuchEntity, "The group with name devs cannot be found."},
		{"another case", simulateARN("user/team/Alice"), api.NoSuchEntity, "The user with name Alice cannot be found."},
		{"the root user", simulateARN("root"), api.InvalidInput, "Invalid Entity Arn: arn:aws:iam::111122223333:root does not clearly define entity type and name."},
		{"a session", "arn:aws:sts::111122223333:assumed-role/worker/s", api.InvalidInput, "does not clearly define entity type and name."},
		{"a policy", simulateARN("policy/apps/Encrypting"), api.InvalidInput, "does not clearly define entity type and name."},
		{"no ARN", "alice-who-is-in-no-path", api.InvalidInput, "does not clearly define entity type and name."},
		{"another partition", "arn:aws-cn:iam::111122223333:user/team/alice", api.InvalidInput, "does not clearly define entity type and name."},
		{"another account", "arn:aws:iam::444455556666:user/eve", api.InvalidInput, "account 111122223333 does not have access to policies in account 444455556666"},
	} {
		got, err := b.principal(&api.SimulatePrincipalPolicyRequest{PolicySourceArn: api.Some(c.arn), ActionNames: []string{"kms:Decrypt"}})
		if err == nil || err.Code != c.code || !strings.Contains(err.Message, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		_, err = b.as(b.root, "iam.GetContextKeysForPrincipalPolicy", &api.GetContextKeysForPrincipalPolicyRequest{PolicySourceArn: api.Some(c.arn)})
		if err == nil || err.Code != c.code {
			t.Errorf("%s, its context keys: %v", c.name, err)
		}
	}
	for _, x := range []api.PolicyIdentifier{
		{},
		{PolicyType: api.Some(api.PolicyIdentifierPolicyTypeInline), PolicyArn: api.Some(simulateARN("policy/apps/Encrypting"))},
		{PolicyArn: api.Some(simulateARN("user/team/alice"))},
		{PolicyArn: api.Some(simulateARN("policy/*/Encrypting*"))},
		{PolicyArn: api.Some("arn:aws:iam::1111222233*:policy/a")},
		{PolicyArn: api.Some("arn:a*:iam::111122223333:policy/a")},
	} {
		got, err := b.principal(&api.SimulatePrincipalPolicyRequest{
			PolicySourceArn: api.Some(simulateARN("user/bob")), ActionNames: []string{"kms:Decrypt"}, PolicyExclusionList: []api.PolicyIdentifier{x},
		})
		if err == nil || err.Code != api.InvalidInput || !strings.Contains(err.Message, "PolicyExclusionList.1") {
			t.Errorf("exclusion %+v: %v, %v", x, got, err)
		}
	}
	got, err := b.principal(&api.SimulatePrincipalPolicyRequest{
		PolicySourceArn: api.Some(simulateARN("group/devs")), ActionNames: []string{"kms:Decrypt"}, ResourceArns: []string{simulateKey},
		ResourcePolicy: simulateKeyPolicy("Allow", `"*"`),
	})
	if err == nil || err.Code != api.InvalidInput || !strings.Contains(err.Message, "Caller cannot be null") {
		t.Errorf("a group and a resource policy: %v, %v", got, err)
	}
}

// TestSimulateAuthorization: the principal's ARN is what the permission is on, and nobody learns without it who there is.
func TestSimulateAuthorization(t *testing.T) {
	b := simulateHouse(t)
	grant := func(name, document string) *service.Caller {
		b.store(&record.User{Principal: record.Principal{Name: name, Inline: []record.Inline{{Name: "p", Document: document}}}})
		return b.caller(simulateARN("user/" + name))
	}
	nothing := b.caller(simulateARN("user/bob"))
	teams := grant("teams", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:SimulatePrincipalPolicy","iam:GetContextKeysForPrincipalPolicy"],`+
		`"Resource":"arn:aws:iam::111122223333:user/team/*"}}`)
	red := grant("red", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"red"}}}}`)
	custom := grant("custom", simulatePolicy("Allow", "iam:SimulateCustomPolicy", ""))
	readonly := grant("readonly", simulatePolicy("Allow", "iam:GetContextKeysForCustomPolicy", ""))
	of := func(arn string) *api.SimulatePrincipalPolicyRequest {
		return &api.SimulatePrincipalPolicyRequest{PolicySourceArn: api.Some(simulateARN(arn)), ActionNames: []string{"kms:Decrypt"}}
	}
	keysOf := func(arn string) *api.GetContextKeysForPrincipalPolicyRequest {
		return &api.GetContextKeysForPrincipalPolicyRequest{PolicySourceArn: api.Some(simulateARN(arn))}
	}
	simulateCustom := &api.SimulateCustomPolicyRequest{PolicyInputList: []string{simulatePolicy("Allow", "*", "")}, ActionNames: []string{"kms:Decrypt"}}
	keysOfCustom := &api.GetContextKeysForCustomPolicyRequest{PolicyInputList: []string{simulatePolicy("Allow", "*", "")}}
	for _, c := range []struct {
		name   string
		caller *service.Caller
		op     string
		q      api.Request
		want   api.ErrorCode // "" is allowed
	}{
		{"no permission", nothing, "SimulatePrincipalPolicy", of("user/team/alice"), api.AccessDeniedException},
		{"oneself, without permission", nothing, "SimulatePrincipalPolicy", of("user/bob"), api.AccessDeniedException},
		{"no permission, nobody there", nothing, "SimulatePrincipalPolicy", of("user/nobody"), api.AccessDeniedException},
		{"permission on the path", teams, "SimulatePrincipalPolicy", of("user/team/alice"), ""},
		{"on another path", teams, "SimulatePrincipalPolicy", of("user/bob"), api.AccessDeniedException},
		{"on the path, nobody there", teams, "SimulatePrincipalPolicy", of("user/team/nobody"), api.NoSuchEntity},
		{"keys, permission on the path", teams, "GetContextKeysForPrincipalPolicy", keysOf("user/team/alice"), ""},
		{"keys, on another path", teams, "GetContextKeysForPrincipalPolicy", keysOf("role/svc/worker"), api.AccessDeniedException},
		{"by the principal's tag", red, "SimulatePrincipalPolicy", of("user/team/alice"), ""},
		{"by another tag", red, "SimulatePrincipalPolicy", of("role/svc/worker"), api.AccessDeniedException},
		{"custom", custom, "SimulateCustomPolicy", simulateCustom, ""},
		{"custom is not principal", custom, "SimulatePrincipalPolicy", of("user/custom"), api.AccessDeniedException},
		{"no custom", teams, "SimulateCustomPolicy", simulateCustom, api.AccessDeniedException},
		{"keys of custom", readonly, "GetContextKeysForCustomPolicy", keysOfCustom, ""},
		{"no keys of custom", custom, "GetContextKeysForCustomPolicy", keysOfCustom, api.AccessDeniedException},
	} {
		_, err := b.as(c.caller, "iam."+c.op, c.q)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Code != c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestSimulatePages reads results page by page, however pages end.
func TestSimulatePages(t *testing.T) {
	b := newSimulateBench(t, nil)
	var actions []string
	for i := range 150 {
		actions = append(actions, "kms:Op"+strconv.Itoa(i))
	}
	request := func() *api.SimulateCustomPolicyRequest {
		return &api.SimulateCustomPolicyRequest{
			PolicyInputList: []string{simulatePolicy("Allow", "kms:Op*", "")}, ActionNames: actions, ResourceArns: []string{"*", simulateKey},
		}
	}
	pages := func(q *api.SimulateCustomPolicyRequest) (sizes []int) {
		t.Helper()
		seen := 0
		for {
			resp, err := b.as(b.root, "iam.SimulateCustomPolicy", q)
			if err != nil {
				t.Fatal(err)
			}
			r := resp.(*api.SimulatePolicyResponse)
			for _, e := range r.EvaluationResults {
				if want := q.ActionNames[seen/len(q.ResourceArns)] + q.ResourceArns[seen%len(q.ResourceArns)]; e.EvalActionName.V+e.EvalResourceName.V != want {
					t.Fatalf("result %d is of %s on %s", seen, e.EvalActionName.V, e.EvalResourceName.V)
				}
				seen++
			}
			sizes = append(sizes, len(r.EvaluationResults))
			if r.IsTruncated.V != r.Marker.Set {
				t.Fatalf("truncated %v, marker %v", r.IsTruncated, r.Marker)
			}
			if !r.IsTruncated.V {
				if want := len(q.ActionNames) * len(q.ResourceArns); seen != want {
					t.Fatalf("%d results, want %d", seen, want)
				}
				return sizes
			}
			q.Marker = r.Marker
		}
	}
	if got := pages(request()); !reflect.DeepEqual(got, []int{100, 100, 100}) {
		t.Errorf("pages of %v by default", got)
	}
	q := request()
	q.MaxItems = api.Some[int64](1000)
	if got := pages(q); !reflect.DeepEqual(got, []int{300}) {
		t.Errorf("pages of %v with 1000", got)
	}
	q = request()
	q.MaxItems = api.Some[int64](299)
	if got := pages(q); !reflect.DeepEqual(got, []int{299, 1}) {
		t.Errorf("pages of %v with 299", got)
	}

	// Many statements in each result end a page early.
	many := `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}` + strings.Repeat(`,{"Effect":"Allow","Action":"*","Resource":"*"}`, 499) + `]}`
	q = &api.SimulateCustomPolicyRequest{PolicyInputList: []string{many}, ActionNames: actions[:45], ResourceArns: []string{"*"}}
	if got := pages(q); !reflect.DeepEqual(got, []int{20, 20, 5}) {
		t.Errorf("pages of %v with many statements", got)
	}

	// So does time.
	now := b.now()
	b.now = func() time.Time { now = now.Add(700 * time.Millisecond); return now }
	q = request()
	q.ActionNames = actions[:5]
	if got := pages(q); !reflect.DeepEqual(got, []int{3, 3, 3, 1}) {
		t.Errorf("pages of %v with time going by", got)
	}
	b.now = func() time.Time { now = now.Add(time.Hour); return now }
	q = request()
	q.ActionNames = actions[:2]
	if got := pages(q); !reflect.DeepEqual(got, []int{1, 1, 1, 1}) {
		t.Errorf("pages of %v with much time going by", got)
	}

	for _, marker := range []string{"x", "MS9zaW11bGF0aW9uLzA", "MS9zaW11bGF0aW9uLzMwMA", "MS9zaW11bGF0aW9uLy0x", "MS90YWdzLzE"} { // 1/simulation/0, .../300, .../-1; 1/tags/1
		q := request()
		q.Marker = api.Some(marker)
		if _, err := b.custom(q); err == nil || err.Code != api.ValidationException {
			t.Errorf("marker %s: %v", marker, err)
		}
	}
}

// TestSimulateContextKeys lists the keys that policies name, as they are written.
func TestSimulateContextKeys(t *testing.T) {
	b := simulateHouse(t)
	for _, c := range []struct {
		name      string
		documents []string
		want      []string
	}{
		{"none", []string{simulatePolicy("Allow", "*", "")}, []string{}},
		{"AWS's example", []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",` +
			`"Resource":"arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2015-08-16T12:00:00Z"}}}}`},
			[]string{"aws:CurrentTime", "aws:username"}},
		{"in values, with defaults and characters", []string{simulatePolicy("Allow", "*", `,"Condition":{"StringLike":{"s3:prefix":["home/${aws:PrincipalTag/Team, 'none'}/${*}",`+
			`"${ aws:userid }","${broken","${nocolon}"]}}`)}, []string{"aws:PrincipalTag/Team", "aws:userid", "s3:prefix"}},
		{"several in one value", []string{simulatePolicy("Allow", "*", `,"Condition":{"StringEquals":{"s3:prefix":"${aws:UserName}/${aws:UserID}${aws:PrincipalType}"}}`)},
			[]string{"aws:PrincipalType", "aws:UserID", "aws:UserName", "s3:prefix"}},
		{"in ARNs", []string{simulatePolicy("Allow", "*", `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:iam::*:user/${aws:UserName}"}}`)},
			[]string{"aws:SourceArn", "aws:UserName"}},
		{"variables of the old version are text", []string{`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}"}}`}, []string{}},
		{"one key, whatever its case", []string{
			simulatePolicy("Allow", "*", `,"Condition":{"StringEquals":{"AWS:UserName":"a"},"StringLike":{"aws:username":"b"}}`),
			simulatePolicy("Allow", "*", `,"Condition":{"StringEquals":{"aws:USERNAME":"a"}}`)}, []string{"AWS:UserName"}},
		{"a resource policy", []string{`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s"}}}}`},
			[]string{"kms:ViaService"}},
	} {
		resp, err := b.as(b.root, "iam.GetContextKeysForCustomPolicy", &api.GetContextKeysForCustomPolicyRequest{PolicyInputList: c.documents})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := resp.(*api.GetContextKeysForPolicyResponse).ContextKeyNames; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	_, err := b.as(b.root, "iam.GetContextKeysForCustomPolicy", &api.GetContextKeysForCustomPolicyRequest{PolicyInputList: []string{simulatePolicy("Allow", "*", ""), "{"}})
	if err == nil || err.Code != api.InvalidInput || !strings.Contains(err.Message, "PolicyInputList.2") {
		t.Errorf("a broken document: %v", err)
	}
	resp, err := b.as(b.root, "iam.GetContextKeysForPrincipalPolicy", &api.GetContextKeysForPrincipalPolicyRequest{
		PolicySourceArn: api.Some(simulateARN("user/team/alice")),
		PolicyInputList: []string{simulatePolicy("Allow", "*", `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"aws:PrincipalTag/team", "aws:SourceIp", "aws:userid", "aws:username"}
	if got := resp.(*api.GetContextKeysForPolicyResponse).ContextKeyNames; !reflect.DeepEqual(got, want) {
		t.Errorf("alice's keys: %q, want %q", got, want)
	}
}
