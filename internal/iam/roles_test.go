package iam_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// TestRoles takes a role through its life.
func TestRoles(t *testing.T) {
	h := newRolesHouse(t)
	boundary := h.managed("Most", rolesAllow(`"kms:*"`))
	req := rolesCreate("Deploy")
	req.Path, req.Description, req.MaxSessionDuration = api.Some("/ci/"), api.Some("deploys"), api.Some(int64(7200))
	req.PermissionsBoundary, req.Tags = api.Some(boundary), []api.IamTag{{Key: api.Some("Team"), Value: api.Some("a")}}
	made := h.must(req).(*api.CreateRoleResponse).Role
	if made.Arn.V != "arn:aws:iam::"+rolesAccount+":role/ci/Deploy" || !strings.HasPrefix(made.RoleId.V, "AROA") {
		t.Errorf("made %+v", made)
	}
	get := func() *api.Role {
		return h.must(&api.GetRoleRequest{RoleName: api.Some("Deploy")}).(*api.GetRoleResponse).Role
	}
	r := get()
	document, err := url.PathUnescape(r.AssumeRolePolicyDocument.V)
	if err != nil || document != rolesTrustAccount || strings.ContainsAny(r.AssumeRolePolicyDocument.V, `{" `) {
		t.Errorf("the trust policy comes back as %s", r.AssumeRolePolicyDocument.V)
	}
	if r.RoleLastUsed == nil || made.RoleLastUsed != nil || r.PermissionsBoundary.PermissionsBoundaryType.V != "Policy" {
		t.Errorf("role %+v", r)
	}
	if r.MaxSessionDuration.V != 7200 || r.Description.V != "deploys" || r.PermissionsBoundary.PermissionsBoundaryArn.V != boundary || len(r.Tags) != 1 {
		t.Errorf("got %+v", r)
	}

	h.refused("EntityAlreadyExists: Role with name DEPLOY already exists.", rolesCreate("DEPLOY"))
	h.refused("NoSuchEntity: The role with name deploy cannot be found.", &api.GetRoleRequest{RoleName: api.Some("deploy")})
	h.refused("InvalidInput: MaxSigninSessionDuration", &api.UpdateRoleRequest{RoleName: api.Some("Deploy"), MaxSigninSessionDuration: api.Some(int64(3600))})
	h.refused("ValidationException: ", &api.UpdateRoleRequest{RoleName: api.Some("Deploy"), MaxSessionDuration: api.Some(int64(3599))})
	h.refused("ValidationException: ", &api.UpdateRoleRequest{RoleName: api.Some("Deploy"), MaxSessionDuration: api.Some(int64(43201))})
	h.must(&api.UpdateRoleRequest{RoleName: api.Some("Deploy"), MaxSessionDuration: api.Some(int64(3600))})
	if r := get(); r.MaxSessionDuration.V != 3600 || r.Description.V != "deploys" {
		t.Errorf("updated: %+v", r)
	}
	h.must(&api.UpdateRoleRequest{RoleName: api.Some("Deploy"), Description: api.Some("")})
	if r := get(); r.Description.Set || r.MaxSessionDuration.V != 3600 {
		t.Errorf("updated: %+v", r)
	}
	answer := h.must(&api.UpdateRoleDescriptionRequest{RoleName: api.Some("Deploy"), Description: api.Some("again")}).(*api.UpdateRoleDescriptionResponse)
	if answer.Role.Description.V != "again" || get().Description.V != "again" {
		t.Errorf("described: %+v", answer.Role)
	}

	h.must(&api.TagRoleRequest{RoleName: api.Some("Deploy"), Tags: []api.IamTag{{Key: api.Some("team"), Value: api.Some("b")}, {Key: api.Some("x"), Value: api.Some("")}}})
	h.refused("InvalidInput: Duplicate tag keys", &api.TagRoleRequest{RoleName: api.Some("Deploy"), Tags: []api.IamTag{{Key: api.Some("y"), Value: api.Some("")}, {Key: api.Some("Y"), Value: api.Some("")}}})
	h.must(&api.UntagRoleRequest{RoleName: api.Some("Deploy"), TagKeys: []string{"X"}})
	tags := h.must(&api.ListRoleTagsRequest{RoleName: api.Some("Deploy")}).(*api.ListRoleTagsResponse).Tags
	if len(tags) != 1 || tags[0].Key.V != "team" || tags[0].Value.V != "b" {
		t.Errorf("tags: %+v", tags)
	}
	profiles := h.must(&api.ListInstanceProfilesForRoleRequest{RoleName: api.Some("Deploy")}).(*api.ListInstanceProfilesForRoleResponse)
	if len(profiles.InstanceProfiles) != 0 || profiles.IsTruncated.V {
		t.Errorf("instance profiles: %+v", profiles)
	}
	h.refused("NoSuchEntity: ", &api.ListInstanceProfilesForRoleRequest{RoleName: api.Some("gone")})

	h.must(&api.DeleteRoleRequest{RoleName: api.Some("Deploy")})
	h.refused("NoSuchEntity: The role with name Deploy cannot be found.", &api.DeleteRoleRequest{RoleName: api.Some("Deploy")})
	if again := h.must(rolesCreate("deploy")).(*api.CreateRoleResponse).Role; again.RoleId.V == made.RoleId.V {
		t.Error("a role made anew has the ID of the old one")
	}
}

// TestListRoles pages through roles by path.
func TestListRoles(t *testing.T) {
	h := newRolesHouse(t)
	for i := range 5 {
		req := rolesCreate(fmt.Sprint("r", i))
		req.Path = api.Some([]string{"/a/", "/b/"}[i%2])
		h.must(req)
	}
	var names []string
	marker := api.Opt[string]{}
	for {
		page := h.must(&api.ListRolesRequest{PathPrefix: api.Some("/a/"), MaxItems: api.Some(int64(2)), Marker: marker}).(*api.ListRolesResponse)
		for _, r := range page.Roles {
			names = append(names, r.RoleName.V)
		}
		if !page.IsTruncated.V {
			break
		}
		marker = page.Marker
	}
	if got := strings.Join(names, " "); got != "r0 r2 r4" {
		t.Errorf("listed %s", got)
	}
}

// TestRoleQuota counts what an account has.
func TestRoleQuota(t *testing.T) {
	h := newRolesHouse(t)
	for from := 0; from < 999; from += 30 { // a commit has its bounds
		h.edit(func(tx *service.Tx) error {
			for i := from; i < min(from+30, 999); i++ {
				r := &record.Role{Principal: record.Principal{Account: rolesAccount, ID: fmt.Sprint("AROA", i), Name: fmt.Sprint("r", i), Path: "/"}, Trust: rolesTrustAccount}
				if _, err := service.Lookup[*record.Role](tx, r.StoreKey()); err != nil {
					return err
				}
				tx.Put(r)
			}
			return nil
		})
	}
	h.must(rolesCreate("last"))
	h.refused("LimitExceeded: Cannot exceed quota for RolesPerAccount: 1000", rolesCreate("more"))
	h.must(&api.DeleteRoleRequest{RoleName: api.Some("last")})
	h.must(rolesCreate("more"))
}

// TestTrustPolicies are documents that are taken and refused.
func TestTrustPolicies(t *testing.T) {
	h := newRolesHouse(t)
	h.user(rolesAccount, "ann", "")
	h.user(rolesOther, "bob", "")
	h.must(rolesCreate("first"))
	h.store(&record.OIDCProvider{Account: rolesAccount, URL: "idp.example.com/x"})
	h.store(&record.OIDCProvider{Account: rolesOther, URL: "idp.example.org"})
	of := func(account, what string) string { return `{"AWS":"arn:aws:iam::` + account + ":" + what + `"}` }
	none := func(kind, id string) string {
		return fmt.Sprintf("MalformedPolicyDocument: Invalid principal in policy: %q:%q", kind, id)
	}
	for _, c := range []struct{ name, document, want string }{
		{"everybody", rolesTrust(`"*"`), ""},
		{"every account", rolesTrust(`{"AWS":"*"}`), ""},
		{"an account without anything", rolesTrust(`{"AWS":"999999999999"}`), ""},
		{"its root", rolesTrust(of("999999999999", "root")), ""},
		{"a user", rolesTrust(of(rolesAccount, "user/ann")), ""},
		{"a user of the configuration", rolesTrust(of(rolesAccount, "user/machine")), ""},
		{"a user of another account", rolesTrust(of(rolesOther, "user/bob")), ""},
		{"a role", rolesTrust(of(rolesAccount, "role/first")), ""},
		{"a session", rolesTrust(`{"AWS":["arn:aws:sts::` + rolesAccount + `:assumed-role/first/s"]}`), ""},
		{"a service", rolesTrust(`{"Service":"ec2.amazonaws.com"}`), ""},
		{"a public provider", rolesTrust(`{"Federated":"accounts.google.com"}`), ""},
		{"a provider", rolesTrust(`{"Federated":"arn:aws:iam::` + rolesAccount + `:oidc-provider/idp.example.com/x"}`), ""},

		{"no such user", rolesTrust(of(rolesAccount, "user/bob")), none("AWS", "arn:aws:iam::"+rolesAccount+":user/bob")},
		{"another path", rolesTrust(of(rolesAccount, "user/x/ann")), none("AWS", "arn:aws:iam::"+rolesAccount+":user/x/ann")},
		{"another case", rolesTrust(of(rolesAccount, "user/Ann")), none("AWS", "arn:aws:iam::"+rolesAccount+":user/Ann")},
		{"no such user elsewhere", rolesTrust(of("999999999999", "user/ann")), none("AWS", "arn:aws:iam::999999999999:user/ann")},
		{"no such role", rolesTrust(of(rolesAccount, "role/second")), none("AWS", "arn:aws:iam::"+rolesAccount+":role/second")},
		{"a session of none", rolesTrust(`{"AWS":"arn:aws:sts::` + rolesAccount + `:assumed-role/second/s"}`), none("AWS", "arn:aws:sts::"+rolesAccount+":assumed-role/second/s")},
		{"a wildcard", rolesTrust(of(rolesAccount, "user/*")), none("AWS", "arn:aws:iam::"+rolesAccount+":user/*")},
		{"a unique ID", rolesTrust(`{"AWS":"AIDAEXAMPLE"}`), none("AWS", "AIDAEXAMPLE")},
		{"a group", rolesTrust(of(rolesAccount, "group/g")), none("AWS", "arn:aws:iam::"+rolesAccount+":group/g")},
		{"another partition", rolesTrust(`{"AWS":"arn:aws-cn:iam::` + rolesAccount + `:user/ann"}`), none("AWS", "arn:aws-cn:iam::"+rolesAccount+":user/ann")},
		{"no such provider", rolesTrust(`{"Federated":"arn:aws:iam::` + rolesAccount + `:oidc-provider/other"}`), none("FEDERATED", "arn:aws:iam::"+rolesAccount+":oidc-provider/other")},
		{"another account's provider", rolesTrust(`{"Federated":"arn:aws:iam::` + rolesOther + `:oidc-provider/idp.example.org"}`), none("FEDERATED", "arn:aws:iam::"+rolesOther+":oidc-provider/idp.example.org")},
		{"any provider", rolesTrust(`{"Federated":"idp.example.com"}`), none("FEDERATED", "idp.example.com")},
		{"a denial of nobody", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotPrincipal":` + of(rolesAccount, "user/eve") + `,"Action":"sts:AssumeRole"}]}`, none("AWS", "arn:aws:iam::"+rolesAccount+":user/eve")},

		{"no JSON", "{", "MalformedPolicyDocument: "},
		{"no principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`, "MalformedPolicyDocument: AssumeRole policy must contain a principal"},
		{"a resource", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}]}`, "MalformedPolicyDocument: Has prohibited field Resource"},
		{"another service", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt"}]}`, "MalformedPolicyDocument: AssumeRole policy may only specify STS AssumeRole actions."},
		{"too long", rolesTrust(`{"AWS":["` + strings.Repeat(rolesAccount+`","`, 150) + rolesAccount + `"]}`), "LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"},
		{"long for its white space", strings.Repeat(" \n\t", 1000) + rolesTrust(`"*"`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := api.Some("r" + strings.ReplaceAll(strings.ReplaceAll(c.name, " ", "-"), "'", ""))
			create := &api.CreateRoleRequest{RoleName: name, AssumeRolePolicyDocument: api.Some(c.document)}
			update := &api.UpdateAssumeRolePolicyRequest{RoleName: api.Some("first"), PolicyDocument: api.Some(c.document)}
			if c.want != "" {
				h.refused(c.want, create)
				h.refused(c.want, update)
				return
			}
			h.must(update)
			made := h.must(create).(*api.CreateRoleResponse).Role
			if document, _ := url.PathUnescape(made.AssumeRolePolicyDocument.V); document != c.document {
				t.Errorf("it comes back as %s", document)
			}
		})
	}
}

// TestTrustedNames deletes and renames whom trust policies name: they are trusted for who they are, not for their names.
func TestTrustedNames(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := "arn:aws:iam::" + rolesAccount + ":user/ann"
	document := `{ "Version": "2012-10-17", "Statement": {"Sid":"` + arn[:3] + `","Effect":"Allow","Principal":{"AWS":["` + arn + `","` + rolesOther + `"]},"Action":"sts:AssumeRole",` +
		`"Condition":{"StringEquals":{"aws:PrincipalArn":"` + arn + `"}}} }`
	h.must(&api.CreateRoleRequest{RoleName: api.Some("r"), AssumeRolePolicyDocument: api.Some(document)})
	shown := func() string {
		list := h.must(&api.ListRolesRequest{}).(*api.ListRolesResponse).Roles
		one := h.must(&api.GetRoleRequest{RoleName: api.Some("r")}).(*api.GetRoleResponse).Role
		if list[0].AssumeRolePolicyDocument.V != one.AssumeRolePolicyDocument.V {
			t.Error("GetRole and ListRoles show different documents")
		}
		s, _ := url.PathUnescape(one.AssumeRolePolicyDocument.V)
		return s
	}
	if got := shown(); got != document {
		t.Errorf("shown as %s", got)
	}
	h.must(&api.UpdateUserRequest{UserName: api.Some("ann"), NewUserName: api.Some("anna"), NewPath: api.Some("/p/")})
	moved := strings.Replace(document, `["`+arn+`"`, `["arn:aws:iam::`+rolesAccount+`:user/p/anna"`, 1)
	if got := shown(); got != moved {
		t.Errorf("renamed, shown as %s", got)
	}
	h.must(&api.DeleteUserRequest{UserName: api.Some("anna")})
	h.user(rolesAccount, "ann", "")
	gone := strings.Replace(document, `["`+arn+`"`, `["`+ann.PrincipalID+`"`, 1)
	if got := shown(); got != gone {
		t.Errorf("deleted, shown as %s", got)
	}
}

// TestWhoMayChangeRoles asks for the conditions that IAM's own keys make.
func TestWhoMayChangeRoles(t *testing.T) {
	h := newRolesHouse(t)
	boundary, other := h.managed("Boundary", rolesAllow(`"*"`)), h.managed("Other", rolesAllow(`"*"`))
	deputy := h.user(rolesAccount, "deputy", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:CreateRole","iam:PutRolePolicy","iam:DeleteRolePolicy","iam:PutRolePermissionsBoundary","iam:DeleteRolePermissionsBoundary"],"Resource":"arn:aws:iam::*:role/d/*",
			"Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+boundary+`"}}},
		{"Effect":"Allow","Action":["iam:AttachRolePolicy","iam:DetachRolePolicy"],"Resource":"*",
			"Condition":{"ArnEquals":{"iam:PolicyARN":"`+other+`"}}},
		{"Effect":"Allow","Action":"iam:TagRole","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"a"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}},
		{"Effect":"Allow","Action":"iam:GetRole","Resource":"*","Condition":{"StringEquals":{"iam:ResourceTag/team":"a"}}}]}`)
	in := func(name, path, boundary string, tags ...api.IamTag) *api.CreateRoleRequest {
		req := rolesCreate(name)
		req.Path, req.Tags = api.Some(path), tags
		if boundary != "" {
			req.PermissionsBoundary = api.Some(boundary)
		}
		return req
	}
	team := func(v string) api.IamTag { return api.IamTag{Key: api.Some("team"), Value: api.Some(v)} }
	const denied = "AccessDeniedException: User: arn:aws:iam::" + rolesAccount + ":user/deputy is not authorized to perform: "
	h.refusedAs(deputy, denied+"iam:CreateRole on resource: arn:aws:iam::"+rolesAccount+":role/d/x", in("x", "/d/", ""))
	h.refusedAs(deputy, denied+"iam:CreateRole", in("x", "/d/", other))
	h.refusedAs(deputy, denied+"iam:CreateRole", in("x", "/e/", boundary))
	h.refusedAs(deputy, denied+"iam:TagRole", in("x", "/d/", boundary, team("b")))
	if _, err := h.as(deputy, in("x", "/d/", boundary, team("a"))); err != nil {
		t.Fatal(err)
	}
	h.must(in("free", "/d/", ""))
	allowed := func(req api.Request) {
		t.Helper()
		if _, err := h.as(deputy, req); err != nil {
			t.Errorf("%T: %v", req, err)
		}
	}
	inline := func(name string) *api.PutRolePolicyRequest {
		return &api.PutRolePolicyRequest{RoleName: api.Some(name), PolicyName: api.Some("p"), PolicyDocument: api.Some(rolesAllow(`"*"`))}
	}
	allowed(inline("x"))
	h.refusedAs(deputy, denied+"iam:PutRolePolicy", inline("free"))
	allowed(&api.DeleteRolePolicyRequest{RoleName: api.Some("x"), PolicyName: api.Some("p")})
	h.refusedAs(deputy, denied+"iam:DeleteRolePolicy", &api.DeleteRolePolicyRequest{RoleName: api.Some("free"), PolicyName: api.Some("p")})
	allowed(&api.AttachRolePolicyRequest{RoleName: api.Some("free"), PolicyArn: api.Some(other)})
	h.refusedAs(deputy, denied+"iam:AttachRolePolicy", &api.AttachRolePolicyRequest{RoleName: api.Some("free"), PolicyArn: api.Some(boundary)})
	allowed(&api.DetachRolePolicyRequest{RoleName: api.Some("free"), PolicyArn: api.Some(other)})
	h.refusedAs(deputy, denied+"iam:PutRolePermissionsBoundary", &api.PutRolePermissionsBoundaryRequest{RoleName: api.Some("x"), PermissionsBoundary: api.Some(other)})
	allowed(&api.PutRolePermissionsBoundaryRequest{RoleName: api.Some("free"), PermissionsBoundary: api.Some(boundary)})
	h.must(&api.PutRolePermissionsBoundaryRequest{RoleName: api.Some("free"), PermissionsBoundary: api.Some(other)})
	h.refusedAs(deputy, denied+"iam:DeleteRolePermissionsBoundary", &api.DeleteRolePermissionsBoundaryRequest{RoleName: api.Some("free")})
	allowed(&api.DeleteRolePermissionsBoundaryRequest{RoleName: api.Some("x")})
	if r := h.must(&api.GetRoleRequest{RoleName: api.Some("x")}).(*api.GetRoleResponse).Role; r.PermissionsBoundary != nil {
		t.Error("the boundary is still there")
	}
	allowed(&api.GetRoleRequest{RoleName: api.Some("x")})
	h.refusedAs(deputy, denied+"iam:GetRole", &api.GetRoleRequest{RoleName: api.Some("free")})
	h.refusedAs(deputy, denied+"iam:GetRole", &api.GetRoleRequest{RoleName: api.Some("gone")}) // and not that it is gone
	h.refusedAs(deputy, denied+"iam:UpdateAssumeRolePolicy", &api.UpdateAssumeRolePolicyRequest{RoleName: api.Some("x"), PolicyDocument: api.Some(rolesTrustAccount)})
}

// TestRolePolicies sets, reads and removes what a role may do.
func TestRolePolicies(t *testing.T) {
	h := newRolesHouse(t)
	h.must(rolesCreate("r"))
	put := func(name, document string) *api.PutRolePolicyRequest {
		return &api.PutRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some(name), PolicyDocument: api.Some(document)}
	}
	h.must(put("b", rolesAllow(`"kms:Encrypt"`)))
	h.must(put("a", rolesAllow(`"kms:Sign"`)))
	h.must(put("b", rolesAllow(`"kms:Decrypt"`)))
	names := h.must(&api.ListRolePoliciesRequest{RoleName: api.Some("r")}).(*api.ListRolePoliciesResponse).PolicyNames
	if strings.Join(names, " ") != "a b" {
		t.Errorf("inline policies: %v", names)
	}
	got := h.must(&api.GetRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some("b")}).(*api.GetRolePolicyResponse)
	if document, _ := url.PathUnescape(got.PolicyDocument.V); document != rolesAllow(`"kms:Decrypt"`) {
		t.Errorf("document %s", document)
	}
	h.refused("MalformedPolicyDocument: Policy document should not specify a principal.", put("c", rolesTrustAccount))
	h.refused("MalformedPolicyDocument: Policy statement must contain resources.", put("c", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`))
	h.refused("LimitExceeded: Maximum policy size of 10240 bytes exceeded for role r", put("c", rolesAllow(`["kms:`+strings.Repeat("x", 10200)+`"]`)))
	h.must(put("c", rolesAllow(`["kms:`+strings.Repeat("x", 9800)+`"]`)+strings.Repeat(" ", 5000)))
	h.refused("LimitExceeded: Maximum", put("d", rolesAllow(`["kms:`+strings.Repeat("x", 300)+`"]`)))
	h.refused("NoSuchEntity: The role policy with name B cannot be found.", &api.GetRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some("B")})
	h.refused("DeleteConflict: Cannot delete entity, must delete policies first.", &api.DeleteRoleRequest{RoleName: api.Some("r")})
	for _, name := range []string{"a", "b", "c"} {
		h.must(&api.DeleteRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some(name)})
	}
	h.refused("NoSuchEntity: The role policy with name a cannot be found.", &api.DeleteRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some("a")})

	attach := func(arn string) *api.AttachRolePolicyRequest {
		return &api.AttachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: api.Some(arn)}
	}
	h.must(attach("arn:aws:iam::aws:policy/IAMReadOnlyAccess"))
	var arns []string
	for i := range 10 {
		arns = append(arns, h.managed(fmt.Sprint("p", i), rolesAllow(`"kms:*"`)))
	}
	for _, arn := range arns[:9] {
		h.must(attach(arn))
	}
	h.must(attach(arns[0])) // is there already
	h.refused("LimitExceeded: Cannot exceed quota for PoliciesPerRole: 10", attach(arns[9]))
	h.refused("NoSuchEntity: Policy arn:aws:iam::"+rolesAccount+":policy/none does not exist or is not attachable.", attach("arn:aws:iam::"+rolesAccount+":policy/none"))
	h.refused("NoSuchEntity: ", attach("arn:aws:iam::"+rolesOther+":policy/p0"))
	h.refused("InvalidInput: ARN arn:aws:iam::"+rolesAccount+":role/r is not valid.", attach("arn:aws:iam::"+rolesAccount+":role/r"))
	page := h.must(&api.ListAttachedRolePoliciesRequest{RoleName: api.Some("r"), MaxItems: api.Some(int64(1))}).(*api.ListAttachedRolePoliciesResponse)
	if len(page.AttachedPolicies) != 1 || page.AttachedPolicies[0].PolicyName.V != "IAMReadOnlyAccess" || !page.IsTruncated.V {
		t.Errorf("attached: %+v", page)
	}
	rest := h.must(&api.ListAttachedRolePoliciesRequest{RoleName: api.Some("r"), Marker: page.Marker}).(*api.ListAttachedRolePoliciesResponse)
	if len(rest.AttachedPolicies) != 9 || rest.AttachedPolicies[0].PolicyArn.V != arns[0] || rest.IsTruncated.V {
		t.Errorf("the rest: %+v", rest)
	}
	h.refused("DeleteConflict: Cannot delete entity, must detach all policies first.", &api.DeleteRoleRequest{RoleName: api.Some("r")})
	h.refused("NoSuchEntity: Policy "+arns[9]+" was not found.", &api.DetachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: api.Some(arns[9])})
	for _, a := range append(page.AttachedPolicies, rest.AttachedPolicies...) {
		h.must(&api.DetachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: a.PolicyArn})
	}
	h.must(&api.DeleteRoleRequest{RoleName: api.Some("r")})
}

// TestRolesInChina has the ARNs of another partition on the outside.
func TestRolesInChina(t *testing.T) {
	h := newRolesHouse(t)
	h.region = "cn-north-1"
	h.user(rolesAccount, "ann", "")
	trust := rolesTrust(`{"AWS":"arn:aws-cn:iam::` + rolesAccount + `:user/ann"}`)
	made := h.must(&api.CreateRoleRequest{RoleName: api.Some("r"), AssumeRolePolicyDocument: api.Some(trust)}).(*api.CreateRoleResponse).Role
	if document, _ := url.PathUnescape(made.AssumeRolePolicyDocument.V); document != trust || made.Arn.V != "arn:aws-cn:iam::"+rolesAccount+":role/r" {
		t.Errorf("made %s with %s", made.Arn.V, document)
	}
	h.must(&api.AttachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: api.Some("arn:aws-cn:iam::aws:policy/IAMReadOnlyAccess")})
	h.refused("InvalidInput: ARN arn:aws:iam::aws:policy/IAMReadOnlyAccess is not valid.", &api.AttachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: api.Some("arn:aws:iam::aws:policy/IAMReadOnlyAccess")})
	list := h.must(&api.ListAttachedRolePoliciesRequest{RoleName: api.Some("r")}).(*api.ListAttachedRolePoliciesResponse).AttachedPolicies
	if len(list) != 1 || list[0].PolicyArn.V != "arn:aws-cn:iam::aws:policy/IAMReadOnlyAccess" {
		t.Errorf("attached: %+v", list)
	}
	h.must(&api.DetachRolePolicyRequest{RoleName: api.Some("r"), PolicyArn: list[0].PolicyArn})
}
