package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
)

// policyNames reads a list of policies to its end, a page of a size at a time.
func (b *principalsBench) policyNames(q api.ListPoliciesRequest, size int64) (names []string, pages int) {
	b.t.Helper()
	q.MaxItems = api.Some(size)
	for {
		pages++
		r := principalsGet[api.ListPoliciesResponse](b, "ListPolicies", &q)
		if int64(len(r.Policies)) > size || pages > 1000 {
			b.t.Fatalf("page %d has %d items", pages, len(r.Policies))
		}
		for _, p := range r.Policies {
			names = append(names, p.PolicyName.V)
		}
		if !r.IsTruncated.V {
			return names, pages
		}
		q.Marker = r.Marker
	}
}

// TestMarkersOfLongPaths: what a page ends with can be named in the next request, however long its path and name are.
func TestMarkersOfLongPaths(t *testing.T) {
	b := newPrincipalsBench(t)
	path := "/" + strings.Repeat("p", 510) + "/"
	name := func(i, length int) api.Opt[string] { return api.Some(fmt.Sprint(i) + strings.Repeat("n", length-1)) }
	for i := range 3 {
		b.run("CreateUser", &api.CreateUserRequest{UserName: name(i, 64), Path: api.Some(path)})
		b.run("CreatePolicy", &api.CreatePolicyRequest{PolicyName: name(i, 128), Path: api.Some(path), PolicyDocument: api.Some(principalsAllow)})
		b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name(i, 64), PolicyArn: api.Some("arn:aws:iam::aws:policy/IAMFullAccess")})
	}
	if names, pages := b.policyNames(api.ListPoliciesRequest{Scope: api.Some(api.PolicyScopeTypeLocal)}, 1); len(names) != 3 || pages != 3 {
		t.Errorf("policies %d on %d pages", len(names), pages)
	}
	one := api.Some[int64](1)
	var users, entities api.Opt[string]
	for i := range 3 {
		list := principalsGet[api.ListUsersResponse](b, "ListUsers", &api.ListUsersRequest{MaxItems: one, Marker: users})
		if users = list.Marker; len(list.Users) != 1 || list.Users[0].UserName != name(i, 64) {
			t.Errorf("users on page %d: %+v", i, list.Users)
		}
		used := principalsGet[api.ListEntitiesForPolicyResponse](b, "ListEntitiesForPolicy",
			&api.ListEntitiesForPolicyRequest{PolicyArn: api.Some("arn:aws:iam::aws:policy/IAMFullAccess"), MaxItems: one, Marker: entities})
		if entities = used.Marker; len(used.PolicyUsers) != 1 {
			t.Errorf("entities on page %d: %+v", i, used.PolicyUsers)
		}
	}
}

func TestListPolicies(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	var aws, own, team []string
	for _, m := range identity.AWSManaged() {
		aws = append(aws, m.Name)
	}
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		b.policy(name, principalsAllow)
		own = append(own, name)
	}
	long := strings.Repeat("n", 128)
	for _, name := range []string{"A-team", "B-team", long} {
		b.run("CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some(name), Path: api.Some("/team/x/"), PolicyDocument: api.Some(principalsAllow)})
		team = append(team, name)
	}
	b.policy("team", principalsAllow) // its ARN begins as those of the team do
	own = append(own, slices.Concat([]string{"team"}, team)...)
	attach := func(arn string) {
		b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: api.Some(arn)})
	}
	attach("arn:aws:iam::aws:policy/IAMFullAccess")
	attach("arn:aws:iam::111122223333:policy/p5")
	attach("arn:aws:iam::111122223333:policy/team/x/B-team")
	b.run("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: api.Some("u"), PermissionsBoundary: api.Some("arn:aws:iam::111122223333:policy/p2")})
	all := slices.Concat(aws, own)
	attached := []string{"IAMFullAccess", "p5", "B-team"}
	without := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "p2" })
	tests := []struct {
		q    api.ListPoliciesRequest
		want []string
	}{
		{api.ListPoliciesRequest{}, all},
		{api.ListPoliciesRequest{Scope: api.Some(api.PolicyScopeTypeAll)}, all},
		{api.ListPoliciesRequest{Scope: api.Some(api.PolicyScopeTypeAws)}, aws},
		{api.ListPoliciesRequest{Scope: api.Some(api.PolicyScopeTypeLocal)}, own},
		{api.ListPoliciesRequest{PathPrefix: api.Some("/team/")}, team},
		{api.ListPoliciesRequest{PathPrefix: api.Some("/none/")}, nil},
		{api.ListPoliciesRequest{OnlyAttached: api.Some(true)}, attached},
		{api.ListPoliciesRequest{OnlyAttached: api.Some(true), Scope: api.Some(api.PolicyScopeTypeLocal), PathPrefix: api.Some("/team/x/")}, attached[2:]},
		{api.ListPoliciesRequest{PolicyUsageFilter: api.Some(api.PolicyUsageTypePermissionsBoundary)}, []string{"p2"}},
		{api.ListPoliciesRequest{PolicyUsageFilter: api.Some(api.PolicyUsageTypePermissionsPolicy)}, without},
	}
	for i, test := range tests {
		for _, size := range []int64{1, 2, 3, 100, 1000} {
			if got, _ := b.policyNames(test.q, size); !slices.Equal(got, test.want) {
				t.Errorf("%d, %d a page: %v, want %v", i, size, got, test.want)
			}
		}
	}
	if _, pages := b.policyNames(api.ListPoliciesRequest{}, 1000); pages != 1 {
		t.Errorf("%d pages", pages)
	}
	b.refused("ListPolicies", &api.ListPoliciesRequest{Marker: api.Some("x")}, api.ValidationException, "Invalid Marker.")
}

// TestListPoliciesLooksBoundedly has more policies than one call looks at, of which the last is the one that is wanted.
func TestListPoliciesLooksBoundedly(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	for i := range 110 {
		b.policy(fmt.Sprintf("p%03d", i), principalsAllow)
	}
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: api.Some("arn:aws:iam::111122223333:policy/p109")})
	names, pages := b.policyNames(api.ListPoliciesRequest{OnlyAttached: api.Some(true)}, 10)
	if !slices.Equal(names, []string{"p109"}) || pages != 2 {
		t.Errorf("%v in %d pages", names, pages)
	}
}

func TestListEntitiesForPolicy(t *testing.T) {
	b := newPrincipalsBench(t)
	arn := api.Some(b.policy("p", principalsAllow))
	other := api.Some(b.policy("q", principalsAllow))
	for i := range 4 {
		name := api.Some(fmt.Sprintf("u%d", i))
		b.run("CreateUser", &api.CreateUserRequest{UserName: name, Path: api.Some([]string{"/", "/a/"}[i%2]), PermissionsBoundary: arn})
		if i < 2 {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: arn})
		} else {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: other})
		}
	}
	b.group("g")
	b.run("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: api.Some("g"), PolicyArn: arn})
	tests := []struct {
		q    api.ListEntitiesForPolicyRequest
		want []string
	}{
		{api.ListEntitiesForPolicyRequest{}, []string{"g", "u0", "u1", "u2", "u3"}},
		{api.ListEntitiesForPolicyRequest{EntityFilter: api.Some(api.EntityTypeUser)}, []string{"u0", "u1", "u2", "u3"}},
		{api.ListEntitiesForPolicyRequest{EntityFilter: api.Some(api.EntityTypeGroup)}, []string{"g"}},
		{api.ListEntitiesForPolicyRequest{EntityFilter: api.Some(api.EntityTypeRole)}, nil},
		{api.ListEntitiesForPolicyRequest{EntityFilter: api.Some(api.EntityTypeLocalManagedPolicy)}, nil},
		{api.ListEntitiesForPolicyRequest{PathPrefix: api.Some("/a/")}, []string{"u1", "u3"}},
		{api.ListEntitiesForPolicyRequest{PolicyUsageFilter: api.Some(api.PolicyUsageTypePermissionsPolicy)}, []string{"g", "u0", "u1"}},
		{api.ListEntitiesForPolicyRequest{PolicyUsageFilter: api.Some(api.PolicyUsageTypePermissionsBoundary)}, []string{"u0", "u1", "u2", "u3"}},
		{api.ListEntitiesForPolicyRequest{PolicyUsageFilter: api.Some(api.PolicyUsageTypePermissionsBoundary), PathPrefix: api.Some("/a/")}, []string{"u1", "u3"}},
	}
	for i, test := range tests {
		for _, size := range []int64{1, 2, 4, 1000} {
			q := test.q
			q.PolicyArn, q.MaxItems = arn, api.Some(size)
			var got []string
			for pages := 0; ; pages++ {
				r := principalsGet[api.ListEntitiesForPolicyResponse](b, "ListEntitiesForPolicy", &q)
				n := len(r.PolicyUsers) + len(r.PolicyGroups) + len(r.PolicyRoles)
				if int64(n) > size || pages > 100 {
					t.Fatalf("%d: page %d has %d items", i, pages, n)
				}
				for _, u := range r.PolicyUsers {
					got = append(got, u.UserName.V)
				}
				for _, g := range r.PolicyGroups {
					got = append(got, g.GroupName.V)
				}
				if !r.IsTruncated.V {
					break
				}
				q.Marker = r.Marker
			}
			if slices.Sort(got); !slices.Equal(got, test.want) {
				t.Errorf("%d, %d a page: %v, want %v", i, size, got, test.want)
			}
		}
	}
	b.refused("ListEntitiesForPolicy", &api.ListEntitiesForPolicyRequest{PolicyArn: api.Some("arn:aws:iam::111122223333:policy/none")}, api.NoSuchEntity, "Policy arn:aws:iam::111122223333:policy/none was not found.")
}

// TestPathPrefixesAreOfPaths has names that begin as a path does.
func TestPathPrefixesAreOfPaths(t *testing.T) {
	b := newPrincipalsBench(t)
	b.run("CreateUser", &api.CreateUserRequest{UserName: api.Some("u"), Path: api.Some("/division/")})
	b.user("division-u")
	users := principalsGet[api.ListUsersResponse](b, "ListUsers", &api.ListUsersRequest{PathPrefix: api.Some("/division")}).Users
	if len(users) != 1 || users[0].UserName.V != "u" {
		t.Errorf("%+v", users)
	}
}

func TestAccountAliases(t *testing.T) {
	b := newPrincipalsBench(t)
	list := func() []string {
		return principalsGet[api.ListAccountAliasesResponse](b, "ListAccountAliases", &api.ListAccountAliasesRequest{}).AccountAliases
	}
	if got := list(); got == nil || len(got) != 0 {
		t.Errorf("%#v", got)
	}
	b.run("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some("first")})
	b.run("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some("second")})
	if got := list(); !slices.Equal(got, []string{"second"}) {
		t.Error(got)
	}
	mine := b.root
	b.root = principalsRootOf("999999999999")
	b.refused("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some("second")}, api.EntityAlreadyExists, "The account alias second already exists.")
	b.refused("DeleteAccountAlias", &api.DeleteAccountAliasRequest{AccountAlias: api.Some("second")}, api.NoSuchEntity, "The account alias with name second cannot be found.")
	b.run("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some("first")})
	b.root = mine
	b.run("DeleteAccountAlias", &api.DeleteAccountAliasRequest{AccountAlias: api.Some("second")})
	if got := list(); len(got) != 0 {
		t.Error(got)
	}
	b.refused("DeleteAccountAlias", &api.DeleteAccountAliasRequest{AccountAlias: api.Some("second")}, api.NoSuchEntity, "The account alias with name second cannot be found.")
}

// TestWhatUsersDoNotHave is what Terraform asks for before it deletes a user.
func TestWhatUsersDoNotHave(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	u, nobody := api.Some("u"), api.Some("nobody")
	if r := principalsGet[api.ListSSHPublicKeysResponse](b, "ListSSHPublicKeys", &api.ListSSHPublicKeysRequest{UserName: u}); r.SSHPublicKeys == nil || r.IsTruncated != api.Some(false) {
		t.Errorf("%+v", r)
	}
	if r := principalsGet[api.ListSigningCertificatesResponse](b, "ListSigningCertificates", &api.ListSigningCertificatesRequest{UserName: u}); r.Certificates == nil {
		t.Errorf("%+v", r)
	}
	for _, q := range []*api.ListServiceSpecificCredentialsRequest{{UserName: u}, {AllUsers: api.Some(true)}} {
		if r := principalsGet[api.ListServiceSpecificCredentialsResponse](b, "ListServiceSpecificCredentials", q); r.ServiceSpecificCredentials == nil {
			t.Errorf("%+v", r)
		}
	}
	b.refused("GetLoginProfile", &api.GetLoginProfileRequest{UserName: u}, api.NoSuchEntity, "Login Profile for User u cannot be found.")
	b.refused("DeleteLoginProfile", &api.DeleteLoginProfileRequest{UserName: u}, api.NoSuchEntity, "Login Profile for User u cannot be found.")
	for op, req := range map[string]api.Request{
		"ListSSHPublicKeys": &api.ListSSHPublicKeysRequest{UserName: nobody}, "ListSigningCertificates": &api.ListSigningCertificatesRequest{UserName: nobody},
		"ListServiceSpecificCredentials": &api.ListServiceSpecificCredentialsRequest{UserName: nobody},
		"GetLoginProfile":                &api.GetLoginProfileRequest{UserName: nobody}, "DeleteLoginProfile": &api.DeleteLoginProfileRequest{UserName: nobody},
	} {
		b.refused(op, req, api.NoSuchEntity, "The user with name nobody cannot be found.")
	}
}
