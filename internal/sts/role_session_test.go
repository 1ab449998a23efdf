package sts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// TestSessionPolicies limit what a session may, and give nothing.
func TestSessionPolicies(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`"*"`, `"sts:AssumeRole"`), rolesAllow(`["iam:GetRole","iam:ListRoles"]`))
	h.store(&record.ManagedPolicy{
		Account: rolesAccount, ID: "ANPA1", Name: "Get", Path: "/p/", Default: 1, Last: 1, Versions: []record.PolicyVersion{{Number: 1, Document: rolesAllow(`"iam:GetRole"`)}},
	})
	get, list, users := &api.GetRoleRequest{RoleName: api.Some("r")}, &api.ListRolesRequest{}, &api.ListUsersRequest{}
	for _, c := range []struct {
		name, inline string
		arns         []string
		get, list    bool
	}{
		{"none", "", nil, true, true},
		{"inline", rolesAllow(`["iam:GetRole","iam:ListUsers"]`), nil, true, false},
		{"managed", "", []string{"arn:aws:iam::" + rolesAccount + ":policy/p/Get"}, true, false},
		{"of AWS", "", []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}, true, true},
		{"several", rolesAllow(`"iam:ListRoles"`), []string{"arn:aws:iam::" + rolesAccount + ":policy/p/Get"}, true, true},
		{"one that denies", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:Get*","Resource":"*"}]}`, []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}, false, true},
		{"one that allows nothing", rolesAllow(`"kms:*"`), nil, false, false},
	} {
		req := rolesAsk(arn)
		if c.inline != "" {
			req.Policy = api.Some(c.inline)
		}
		for _, arn := range c.arns {
			req.PolicyArns = append(req.PolicyArns, api.PolicyDescriptorType{Arn: api.Some(arn)})
		}
		session := h.assume(ann, req)
		for _, call := range []struct {
			req api.Request
			may bool
		}{{get, c.get}, {list, c.list}, {users, false}} {
			if _, err := h.as(session, call.req); (err == nil) != call.may {
				t.Errorf("%s: %T: %v", c.name, call.req, err)
			}
		}
	}
}

// TestBadSessionPolicies are refused.
func TestBadSessionPolicies(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`"*"`, `"sts:AssumeRole"`), "")
	for _, c := range []struct{ name, inline, managed, want string }{
		{"no JSON", "{", "", "MalformedPolicyDocument: "},
		{"a principal", rolesTrust(`"*"`, `"sts:AssumeRole"`), "", "MalformedPolicyDocument: "},
		{"no resource", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`, "", "MalformedPolicyDocument: "},
		{"2048 characters", rolesAllow(`"kms:*"`) + strings.Repeat(" ", 2048-len(rolesAllow(`"kms:*"`))), "", ""},
		{"2049 characters", rolesAllow(`"kms:*"`) + strings.Repeat(" ", 2049-len(rolesAllow(`"kms:*"`))), "", "ValidationException: "},
		{"no such policy", "", "arn:aws:iam::" + rolesAccount + ":policy/none", "ValidationException: Policy arn:aws:iam::" + rolesAccount + ":policy/none does not exist or is not attachable."},
		{"another account's", "", "arn:aws:iam::" + rolesOther + ":policy/p", "ValidationException: "},
		{"none of AWS's", "", "arn:aws:iam::aws:policy/None", "ValidationException: "},
		{"no policy at all", "", rolesAnn, "ValidationException: ARN " + rolesAnn + " is not valid."},
	} {
		req := rolesAsk(arn)
		if c.inline != "" {
			req.Policy = api.Some(c.inline)
		}
		if c.managed != "" {
			req.PolicyArns = []api.PolicyDescriptorType{{Arn: api.Some(c.managed)}}
		}
		if h.outcome(ann, c.want, req); t.Failed() {
			t.Fatal(c.name)
		}
	}
	h.store(&record.ManagedPolicy{Account: rolesOther, ID: "ANPA1", Name: "p", Path: "/", Default: 1, Last: 1, Versions: []record.PolicyVersion{{Number: 1, Document: rolesAllow(`"*"`)}}})
	req := rolesAsk(arn)
	req.PolicyArns = []api.PolicyDescriptorType{{Arn: api.Some("arn:aws:iam::" + rolesOther + ":policy/p")}}
	h.outcome(ann, "ValidationException: ", req)
	req.PolicyArns = nil
	for range 11 {
		req.PolicyArns = append(req.PolicyArns, api.PolicyDescriptorType{Arn: api.Some("arn:aws:iam::aws:policy/IAMReadOnlyAccess")})
	}
	h.outcome(ann, "ValidationException: 1 validation error detected: Value at 'policyArns'", req)
	req.PolicyArns = req.PolicyArns[:10]
	h.outcome(ann, "", req)
	req.ProvidedContexts = []api.ProvidedContext{{ProviderArn: api.Some("arn:aws:iam::aws:contextProvider/IdentityCenter"), ContextAssertion: api.Some("assertion")}}
	h.outcome(ann, "InvalidContextAssertion: ", req)
}

// TestPackedSize measures what goes into a token.
func TestPackedSize(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`"*"`, `["sts:AssumeRole","sts:TagSession"]`), "")
	req := rolesAsk(arn)
	last := int64(0)
	for i := range 10 {
		req.Tags = append(req.Tags, rolesTag(fmt.Sprint("tag", i), strings.Repeat("x", 250)))
		resp := h.outcome(ann, "", req).(*api.AssumeRoleResponse)
		if got := resp.PackedPolicySize.V; got <= last || got > 100 {
			t.Errorf("%d tags take %d%%", i+1, got)
		}
		last = resp.PackedPolicySize.V
	}
	for i := range 40 {
		req.Tags = append(req.Tags, rolesTag(fmt.Sprint("more", i), strings.Repeat("x", 250)))
	}
	h.outcome(ann, "PackedPolicyTooLarge: Packed size of session tags consumes 3", req)
	req.Policy = api.Some(rolesAllow(`"kms:*"`))
	h.outcome(ann, "PackedPolicyTooLarge: Packed policy consumes 3", req)
	// The largest that is taken fits, whatever else is in the token.
	req = rolesAsk(arn)
	req.RoleSessionName, req.SourceIdentity = api.Some(strings.Repeat("n", 64)), api.Some(strings.Repeat("i", 256))
	h.must(rolesAccount, &api.UpdateAssumeRolePolicyRequest{RoleName: api.Some("r"), PolicyDocument: api.Some(rolesTrust(`"*"`, `"sts:*"`))})
	for i := range 14 {
		req.Tags = append(req.Tags, rolesTag(fmt.Sprint("tag", 10+i), strings.Repeat("x", 256)))
	}
	req.Tags = append(req.Tags, rolesTag("rest", strings.Repeat("x", 110)))
	resp := h.outcome(ann, "", req).(*api.AssumeRoleResponse)
	if resp.PackedPolicySize.V < 99 {
		t.Errorf("that is %d%% only", resp.PackedPolicySize.V)
	}
	h.signs(resp.Credentials)
}

// TestSessionTags are the session's, before those of the role; only transitive ones go on.
func TestSessionTags(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	trust := rolesTrust(`"*"`, `["sts:AssumeRole","sts:TagSession"]`)
	iamTag := func(name, value string) api.IamTag { return api.IamTag{Key: api.Some(name), Value: api.Some(value)} }
	first := h.role(rolesAccount, "first", trust, "", iamTag("Heart", "role"), iamTag("Moon", "role"))
	second := h.role(rolesAccount, "second", trust, "", iamTag("Sun", "2"))
	third := h.role(rolesAccount, "third", trust, "", iamTag("STAR", "3"), iamTag("Lightning", "3"))
	req := rolesAsk(first)
	req.Tags, req.TransitiveTagKeys = []api.StsTag{rolesTag("Star", "1"), rolesTag("heart", "1"), rolesTag("Comet", "1")}, []string{"star", "Heart"}
	one := h.assume(ann, req)
	expect := func(c *service.Caller, want ...string) {
		t.Helper()
		var got []string
		for _, tag := range c.Tags {
			got = append(got, tag.Key+"="+tag.Value)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s has the tags %v, want %v", c.ARN, got, want)
		}
	}
	expect(one, "Star=1", "heart=1", "Comet=1", "Moon=role")
	two := h.assume(one, rolesAsk(second))
	expect(two, "Star=1", "heart=1", "Sun=2")
	if got := lastRecord(h); !strings.Contains(got, `"incomingTransitiveTags":{"Star":"1","heart":"1"}`) {
		t.Errorf("the audit record does not have the tags that came along: %s", got)
	}
	req = rolesAsk(third)
	req.Tags = []api.StsTag{rolesTag("New", "3")}
	expect(h.assume(two, req), "Star=1", "heart=1", "New=3", "Lightning=3")

	const invalid = "InvalidParameterValue: "
	for _, c := range []struct {
		name       string
		tags       []api.StsTag
		transitive []string
		want       string
	}{
		{"one of the caller's", []api.StsTag{rolesTag("HEART", "3")}, nil, invalid + "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."},
		{"one of the caller's, as it is", []api.StsTag{rolesTag("heart", "1")}, nil, invalid + "One of"},
		{"twice", []api.StsTag{rolesTag("a", "1"), rolesTag("A", "1")}, nil, invalid + "Duplicate tag keys found."},
		{"of AWS", []api.StsTag{rolesTag("aws:x", "1")}, nil, invalid + "System tags"},
		{"transitive without a tag", []api.StsTag{rolesTag("a", "1")}, []string{"b"}, invalid + "The specified transitive tag key must be included in the requested tags."},
		{"transitive again", nil, []string{"Star"}, invalid + "The specified"},
		{"no name", []api.StsTag{rolesTag("", "1")}, nil, "ValidationException: "},
		{"a bad name", []api.StsTag{rolesTag("a*", "1")}, nil, "ValidationException: "},
		{"fine", []api.StsTag{rolesTag("a", "")}, []string{"A"}, ""},
	} {
		req := rolesAsk(third)
		req.Tags, req.TransitiveTagKeys = c.tags, c.transitive
		if h.outcome(two, c.want, req); t.Failed() {
			t.Fatal(c.name)
		}
	}
	req = rolesAsk(third)
	for i := range 51 {
		req.Tags = append(req.Tags, rolesTag(fmt.Sprint(i), ""))
	}
	h.outcome(ann, "ValidationException: ", req)
	req.Tags = req.Tags[:50]
	h.outcome(ann, "", req)
}

// TestWhoMayTagSessions asks for sts:TagSession and its conditions, also for tags that come along.
func TestWhoMayTagSessions(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	plain := h.role(rolesAccount, "plain", rolesTrust(`"*"`, `"sts:AssumeRole"`), "")
	tagged := h.role(rolesAccount, "tagged", rolesTrust(`"*"`, `["sts:AssumeRole","sts:TagSession"]`), "")
	strict := h.role(rolesAccount, "strict", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},
		{"Effect":"Allow","Principal":"*","Action":"sts:TagSession","Condition":{"StringLike":{"aws:RequestTag/Project":"*"},
			"ForAllValues:StringEquals":{"aws:TagKeys":["Project","Team"],"sts:TransitiveTagKeys":["Project"]}}}]}`, "")
	const denied = "AccessDeniedException: User: " + rolesAnn + " is not authorized to perform: sts:TagSession on resource: arn:aws:iam::" + rolesAccount + ":role/"
	for _, c := range []struct {
		role       string
		tags       []api.StsTag
		transitive []string
		want       string
	}{
		{plain, []api.StsTag{rolesTag("Project", "x")}, nil, denied + "plain"},
		{plain, nil, nil, ""},
		{strict, nil, nil, ""},
		{strict, []api.StsTag{rolesTag("Project", "x")}, nil, ""},
		{strict, []api.StsTag{rolesTag("project", "x"), rolesTag("Team", "y")}, []string{"project"}, denied}, // TagKeys are compared with case
		{strict, []api.StsTag{rolesTag("Project", "x"), rolesTag("Team", "y")}, []string{"Project"}, ""},
		{strict, []api.StsTag{rolesTag("Team", "y")}, nil, denied + "strict"},
		{strict, []api.StsTag{rolesTag("Project", "x"), rolesTag("Team", "y")}, []string{"Team"}, denied},
		{strict, []api.StsTag{rolesTag("Project", "x"), rolesTag("Other", "y")}, nil, denied},
	} {
		req := rolesAsk(c.role)
		req.Tags, req.TransitiveTagKeys = c.tags, c.transitive
		h.outcome(ann, c.want, req)
	}
	req := rolesAsk(tagged)
	req.Tags, req.TransitiveTagKeys = []api.StsTag{rolesTag("a", "1")}, []string{"a"}
	session := h.assume(ann, req)
	h.outcome(session, "AccessDeniedException: User: "+session.ARN+" is not authorized to perform: sts:TagSession on resource: "+plain, rolesAsk(plain))
	h.outcome(session, "", rolesAsk(tagged))
}

// TestSourceIdentity stays with a session and all that follow.
func TestSourceIdentity(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	plain := h.role(rolesAccount, "plain", rolesTrust(`"*"`, `"sts:AssumeRole"`), "")
	set := h.role(rolesAccount, "set", rolesTrust(`"*"`, `["sts:AssumeRole","sts:SetSourceIdentity"]`, `,"Condition":{"StringEquals":{"sts:SourceIdentity":"ann"}}`),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:SourceIdentity":"ann"}}}]}`)
	with := func(role, id string) *api.AssumeRoleRequest {
		req := rolesAsk(role)
		req.SourceIdentity = api.Some(id)
		return req
	}
	h.outcome(ann, "AccessDeniedException: User: "+rolesAnn+" is not authorized to perform: sts:SetSourceIdentity on resource: "+plain, with(plain, "ann"))
	h.outcome(ann, "AccessDeniedException: User: "+rolesAnn+" is not authorized to perform: sts:AssumeRole on resource: "+set, rolesAsk(set))
	h.outcome(ann, "AccessDeniedException: ", with(set, "eve"))
	session := h.assume(ann, with(set, "ann"))
	h.outcome(session, "", &api.ListRolesRequest{})
	h.outcome(session, "AccessDeniedException: User: "+session.ARN+" is not authorized to perform: sts:SetSourceIdentity on resource: "+plain, rolesAsk(plain))
	h.outcome(session, "ValidationException: The source identity is already set for this assume role session", with(set, "eve"))
	for _, req := range []*api.AssumeRoleRequest{rolesAsk(set), with(set, "ann")} {
		resp := h.outcome(session, "", req).(*api.AssumeRoleResponse)
		if resp.SourceIdentity.V != "ann" || h.signs(resp.Credentials).Session.SourceIdentity != "ann" {
			t.Errorf("the source identity became %q", resp.SourceIdentity.V)
		}
	}
}
