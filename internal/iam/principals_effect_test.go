package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
)

// TestChangesAreInForceAtOnce makes a change and looks at the very next call that an access key signs.
func TestChangesAreInForceAtOnce(t *testing.T) {
	const user = "alice"
	name := api.Some(user)
	tests := []struct {
		name          string
		prepare       func(b *principalsBench, key string)
		change        func(b *principalsBench, key string)
		before, after bool
	}{
		{"attached", nil, func(b *principalsBench, _ string) {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: api.Some(b.policy("p", principalsAllow))})
		}, false, true},
		{"detached", func(b *principalsBench, _ string) {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: api.Some(b.policy("p", principalsAllow))})
		}, func(b *principalsBench, _ string) {
			b.run("DetachUserPolicy", &api.DetachUserPolicyRequest{UserName: name, PolicyArn: api.Some("arn:aws:iam::" + principalsAccount + ":policy/p")})
		}, true, false},
		{"AWS managed", nil, func(b *principalsBench, _ string) {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: api.Some("arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser")})
		}, false, true},
		{"inline", nil, func(b *principalsBench, _ string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, false, true},
		{"inline deleted", func(b *principalsBench, _ string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, func(b *principalsBench, _ string) {
			b.run("DeleteUserPolicy", &api.DeleteUserPolicyRequest{UserName: name, PolicyName: api.Some("p")})
		}, true, false},
		{"version switched", func(b *principalsBench, _ string) {
			arn := api.Some(b.policy("p", principalsAllow))
			b.run("CreatePolicyVersion", &api.CreatePolicyVersionRequest{PolicyArn: arn, PolicyDocument: api.Some(principalsDeny)})
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: arn})
		}, func(b *principalsBench, _ string) {
			b.run("SetDefaultPolicyVersion", &api.SetDefaultPolicyVersionRequest{
				PolicyArn: api.Some("arn:aws:iam::" + principalsAccount + ":policy/p"), VersionId: api.Some("v2"),
			})
		}, true, false},
		{"group joined", func(b *principalsBench, _ string) {
			b.group("g")
			b.run("PutGroupPolicy", &api.PutGroupPolicyRequest{GroupName: api.Some("g"), PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, func(b *principalsBench, _ string) {
			b.run("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: api.Some("g"), UserName: name})
		}, false, true},
		{"group left", func(b *principalsBench, _ string) {
			b.group("g")
			b.run("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: api.Some("g"), UserName: name})
			b.run("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: api.Some("g"), PolicyArn: api.Some("arn:aws:iam::aws:policy/AdministratorAccess")})
		}, func(b *principalsBench, _ string) {
			b.run("RemoveUserFromGroup", &api.RemoveUserFromGroupRequest{GroupName: api.Some("g"), UserName: name})
		}, true, false},
		{"boundary", func(b *principalsBench, _ string) {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: api.Some("arn:aws:iam::aws:policy/AdministratorAccess")})
		}, func(b *principalsBench, _ string) {
			b.run("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: name, PermissionsBoundary: api.Some("arn:aws:iam::aws:policy/IAMFullAccess")})
		}, true, false},
		{"boundary gone", func(b *principalsBench, _ string) {
			b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: name, PolicyArn: api.Some("arn:aws:iam::aws:policy/AdministratorAccess")})
			b.run("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: name, PermissionsBoundary: api.Some("arn:aws:iam::aws:policy/IAMFullAccess")})
		}, func(b *principalsBench, _ string) {
			b.run("DeleteUserPermissionsBoundary", &api.DeleteUserPermissionsBoundaryRequest{UserName: name})
		}, false, true},
		{"key deactivated", func(b *principalsBench, _ string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, func(b *principalsBench, key string) {
			b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: name, AccessKeyId: api.Some(key), Status: api.Some(api.StatusTypeInactive)})
		}, true, false},
		{"key activated", func(b *principalsBench, key string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
			b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: name, AccessKeyId: api.Some(key), Status: api.Some(api.StatusTypeInactive)})
		}, func(b *principalsBench, key string) {
			b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: name, AccessKeyId: api.Some(key), Status: api.Some(api.StatusTypeActive)})
		}, false, true},
		{"key deleted", func(b *principalsBench, _ string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, func(b *principalsBench, key string) {
			b.run("DeleteAccessKey", &api.DeleteAccessKeyRequest{UserName: name, AccessKeyId: api.Some(key)})
		}, true, false},
		{"user deleted", func(b *principalsBench, _ string) {
			b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: name, PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)})
		}, func(b *principalsBench, key string) {
			b.run("DeleteUserPolicy", &api.DeleteUserPolicyRequest{UserName: name, PolicyName: api.Some("p")})
			b.run("DeleteAccessKey", &api.DeleteAccessKeyRequest{UserName: name, AccessKeyId: api.Some(key)})
			b.run("DeleteUser", &api.DeleteUserRequest{UserName: name})
			b.user(user) // another of the same name
		}, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newPrincipalsBench(t)
			b.user(user)
			key := b.key(user)
			if test.prepare != nil {
				test.prepare(b, key)
			}
			for range 2 { // from the directory's cache, the second time
				if got := b.may(key); got != test.before {
					t.Fatalf("before: %v", got)
				}
			}
			test.change(b, key)
			for range 2 {
				if got := b.may(key); got != test.after {
					t.Errorf("after: %v", got)
				}
			}
		})
	}
}

// TestPolicyConditions has users who may change policies of others only so far as condition keys let them.
func TestPolicyConditions(t *testing.T) {
	const boundary = "arn:aws:iam::aws:policy/PowerUserAccess"
	b := newPrincipalsBench(t)
	for _, name := range []string{"admin", "bounded", "free"} {
		b.user(name)
	}
	b.group("g")
	b.run("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: api.Some("bounded"), PermissionsBoundary: api.Some(boundary)})
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("free"), PolicyArn: api.Some("arn:aws:iam::aws:policy/IAMFullAccess")})
	key := b.key("admin")
	allow := func(action, condition string) {
		b.t.Helper()
		b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: api.Some("admin"), PolicyName: api.Some("p"), PolicyDocument: api.Some(fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":"arn:aws:iam::%s:*","Condition":{"StringEquals":{%s}}}]}`,
			action, principalsAccount, condition))})
	}
	onlyPolicy := `"iam:PolicyARN":"arn:aws:iam::aws:policy/IAMReadOnlyAccess"`
	onlyBounded := fmt.Sprintf(`"iam:PermissionsBoundary":%q`, boundary)
	readOnly, full := api.Some("arn:aws:iam::aws:policy/IAMReadOnlyAccess"), api.Some("arn:aws:iam::aws:policy/IAMFullAccess")
	bounded, free, g, doc := api.Some("bounded"), api.Some("free"), api.Some("g"), api.Some(principalsAllow)
	tests := []struct {
		op, condition string
		req           api.Request
		want          bool
	}{
		{"AttachUserPolicy", onlyPolicy, &api.AttachUserPolicyRequest{UserName: free, PolicyArn: full}, false},
		{"AttachUserPolicy", onlyPolicy, &api.AttachUserPolicyRequest{UserName: free, PolicyArn: readOnly}, true},
		{"AttachUserPolicy", onlyBounded, &api.AttachUserPolicyRequest{UserName: free, PolicyArn: readOnly}, false},
		{"AttachUserPolicy", onlyBounded, &api.AttachUserPolicyRequest{UserName: bounded, PolicyArn: full}, true},
		{"DetachUserPolicy", onlyPolicy, &api.DetachUserPolicyRequest{UserName: free, PolicyArn: full}, false},
		{"DetachUserPolicy", onlyPolicy, &api.DetachUserPolicyRequest{UserName: free, PolicyArn: readOnly}, true},
		{"DetachUserPolicy", onlyBounded, &api.DetachUserPolicyRequest{UserName: free, PolicyArn: full}, false},
		{"DetachUserPolicy", onlyBounded, &api.DetachUserPolicyRequest{UserName: bounded, PolicyArn: full}, true},
		{"AttachGroupPolicy", onlyPolicy, &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: full}, false},
		{"AttachGroupPolicy", onlyPolicy, &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: readOnly}, true},
		{"DetachGroupPolicy", onlyPolicy, &api.DetachGroupPolicyRequest{GroupName: g, PolicyArn: full}, false},
		{"DetachGroupPolicy", onlyPolicy, &api.DetachGroupPolicyRequest{GroupName: g, PolicyArn: readOnly}, true},
		{"PutUserPolicy", onlyBounded, &api.PutUserPolicyRequest{UserName: free, PolicyName: g, PolicyDocument: doc}, false},
		{"PutUserPolicy", onlyBounded, &api.PutUserPolicyRequest{UserName: bounded, PolicyName: g, PolicyDocument: doc}, true},
		{"DeleteUserPolicy", onlyBounded, &api.DeleteUserPolicyRequest{UserName: free, PolicyName: g}, false},
		{"DeleteUserPolicy", onlyBounded, &api.DeleteUserPolicyRequest{UserName: bounded, PolicyName: g}, true},
		{"PutUserPermissionsBoundary", onlyBounded, &api.PutUserPermissionsBoundaryRequest{UserName: bounded, PermissionsBoundary: full}, false},
		{"PutUserPermissionsBoundary", onlyBounded, &api.PutUserPermissionsBoundaryRequest{UserName: bounded, PermissionsBoundary: api.Some(boundary)}, true},
		{"DeleteUserPermissionsBoundary", onlyBounded, &api.DeleteUserPermissionsBoundaryRequest{UserName: free}, false},
		{"DeleteUserPermissionsBoundary", onlyBounded, &api.DeleteUserPermissionsBoundaryRequest{UserName: bounded}, true},
		{"CreatePolicy", `"aws:RequestTag/team":"red"`, &api.CreatePolicyRequest{PolicyName: api.Some("t"), PolicyDocument: doc}, false},
		{"CreatePolicy", `"aws:TagKeys":"team"`, &api.CreatePolicyRequest{PolicyName: api.Some("t"), PolicyDocument: doc}, false},
	}
	for i, test := range tests {
		allow("iam:"+test.op, test.condition)
		_, err := b.as(b.caller(key), "iam."+test.op, test.req)
		if (err == nil) != test.want || err != nil && err.Code != api.AccessDeniedException {
			t.Errorf("%d: %s under %s: %v", i, test.op, test.condition, err)
		}
	}
}

// TestRefusalsTellNoPaths asks about principals that are not there, and about some that have a path, for who may do nothing: the answers are
// the same, but for the name.
func TestRefusalsTellNoPaths(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("nobody")
	caller := b.caller(b.key("nobody"))
	path := api.Some("/secret/")
	b.run("CreateUser", &api.CreateUserRequest{UserName: api.Some("there"), Path: path})
	b.run("CreateGroup", &api.CreateGroupRequest{GroupName: api.Some("there"), Path: path})
	b.run("CreateRole", &api.CreateRoleRequest{RoleName: api.Some("there"), Path: path, AssumeRolePolicyDocument: api.Some(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principalsAccount + `"},"Action":"sts:AssumeRole"}}`)})
	for op, req := range map[string]func(name api.Opt[string]) api.Request{
		"GetUser":         func(n api.Opt[string]) api.Request { return &api.GetUserRequest{UserName: n} },
		"GetUserPolicy":   func(n api.Opt[string]) api.Request { return &api.GetUserPolicyRequest{UserName: n, PolicyName: n} },
		"CreateAccessKey": func(n api.Opt[string]) api.Request { return &api.CreateAccessKeyRequest{UserName: n} },
		"UpdateUser": func(n api.Opt[string]) api.Request {
			return &api.UpdateUserRequest{UserName: n, NewUserName: api.Some("x")}
		},
		"GetGroup":     func(n api.Opt[string]) api.Request { return &api.GetGroupRequest{GroupName: n} },
		"DeleteGroup":  func(n api.Opt[string]) api.Request { return &api.DeleteGroupRequest{GroupName: n} },
		"GetRole":      func(n api.Opt[string]) api.Request { return &api.GetRoleRequest{RoleName: n} },
		"ListRoleTags": func(n api.Opt[string]) api.Request { return &api.ListRoleTagsRequest{RoleName: n} },
	} {
		_, there := b.as(caller, "iam."+op, req(api.Some("there")))
		_, missing := b.as(caller, "iam."+op, req(api.Some("missing")))
		if there == nil || missing == nil || there.Code != api.AccessDeniedException || strings.ReplaceAll(there.Message, "there", "missing") != missing.Message {
			t.Errorf("%s: %v, if it is not there: %v", op, there, missing)
		}
	}
}

// TestTagsAsConditionsSeeThem gives a tag a name that is another for conditions, in which a letter is no ASCII letter but has one as its lower
// case: who may not touch the tag "rank" does not take it away by that.
func TestTagsAsConditionsSeeThem(t *testing.T) {
	b := newPrincipalsBench(t)
	b.run("CreateUser", &api.CreateUserRequest{UserName: api.Some("tagger"), Tags: []api.IamTag{{Key: api.Some("rank"), Value: api.Some("low")}}})
	b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: api.Some("tagger"), PolicyName: api.Some("p"), PolicyDocument: api.Some(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:TagUser","Resource":"*"},
			{"Effect":"Deny","Action":"iam:TagUser","Resource":"*","Condition":{"Null":{"aws:RequestTag/rank":"false"}}}]}`)})
	tagger := b.caller(b.key("tagger"))
	for name, want := range map[string]api.ErrorCode{"rank": api.AccessDeniedException, "RANK": api.AccessDeniedException, "ran\u212a": ""} {
		_, err := b.as(tagger, "iam.TagUser", &api.TagUserRequest{UserName: api.Some("tagger"), Tags: []api.IamTag{{Key: api.Some(name), Value: api.Some("high")}}})
		if (err == nil) != (want == "") || err != nil && err.Code != want {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	for _, tag := range principalsGet[api.GetUserResponse](b, "GetUser", &api.GetUserRequest{UserName: api.Some("tagger")}).User.Tags {
		if tag.Key.V == "rank" && tag.Value.V == "low" {
			return
		}
	}
	t.Error("the tag is gone")
}
