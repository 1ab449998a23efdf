package iam_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
)

// padded is a policy that counts for n characters, with white space that does not count.
func padded(n int) string {
	const frame = `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}]}`
	return strings.Replace(frame, `"Sid":""`, "\n\t \"Sid\": \""+strings.Repeat("a", n-len(frame))+`"`, 1)
}

func TestInlinePolicies(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.group("g")
	u, g, p, q := api.Some("u"), api.Some("g"), api.Some("p"), api.Some("q")
	doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:List*","Resource":"*","Condition":{"StringLike":{"aws:username":"a b+%ü"}}}]}`
	b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: q, PolicyDocument: api.Some(principalsDeny)})
	b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: p, PolicyDocument: api.Some(principalsAllow)})
	b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: p, PolicyDocument: api.Some(doc)})
	if got := principalsGet[api.GetUserPolicyResponse](b, "GetUserPolicy", &api.GetUserPolicyRequest{UserName: u, PolicyName: p}); got.UserName != u ||
		got.PolicyName != p || principalsDecoded(t, got.PolicyDocument.V) != doc {
		t.Errorf("%+v", got)
	}
	page := principalsGet[api.ListUserPoliciesResponse](b, "ListUserPolicies", &api.ListUserPoliciesRequest{UserName: u, MaxItems: api.Some(int64(1))})
	if !page.IsTruncated.V || !slices.Equal(page.PolicyNames, []string{"p"}) {
		t.Errorf("%+v", page)
	}
	page = principalsGet[api.ListUserPoliciesResponse](b, "ListUserPolicies", &api.ListUserPoliciesRequest{UserName: u, Marker: page.Marker})
	if page.IsTruncated.V || !slices.Equal(page.PolicyNames, []string{"q"}) {
		t.Errorf("%+v", page)
	}
	b.run("PutGroupPolicy", &api.PutGroupPolicyRequest{GroupName: g, PolicyName: p, PolicyDocument: api.Some(padded(5120))})
	if got := principalsGet[api.GetGroupPolicyResponse](b, "GetGroupPolicy", &api.GetGroupPolicyRequest{GroupName: g, PolicyName: p}); got.GroupName != g ||
		principalsDecoded(t, got.PolicyDocument.V) != padded(5120) {
		t.Errorf("%+v", got)
	}
	if got := principalsGet[api.ListGroupPoliciesResponse](b, "ListGroupPolicies", &api.ListGroupPoliciesRequest{GroupName: g}); !slices.Equal(got.PolicyNames, []string{"p"}) {
		t.Errorf("%+v", got)
	}
	rest := api.Some(padded(2048 - len(principalsDeny)))
	b.run("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: p, PolicyDocument: rest})

	b.refused("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: api.Some("r"), PolicyDocument: api.Some(principalsAllow)},
		api.LimitExceeded, "Maximum policy size of 2048 bytes exceeded for user u")
	b.refused("PutGroupPolicy", &api.PutGroupPolicyRequest{GroupName: g, PolicyName: p, PolicyDocument: api.Some(padded(5121))},
		api.LimitExceeded, "Maximum policy size of 5120 bytes exceeded for group g")
	b.refused("PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: p, PolicyDocument: api.Some(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`)},
		api.MalformedPolicyDocument, "Policy statement must contain resources.")
	b.refused("GetUserPolicy", &api.GetUserPolicyRequest{UserName: u, PolicyName: api.Some("P")}, api.NoSuchEntity, "The user policy with name P cannot be found.")
	b.refused("GetGroupPolicy", &api.GetGroupPolicyRequest{GroupName: g, PolicyName: q}, api.NoSuchEntity, "The group policy with name q cannot be found.")
	b.refused("DeleteGroupPolicy", &api.DeleteGroupPolicyRequest{GroupName: g, PolicyName: q}, api.NoSuchEntity, "The group policy with name q cannot be found.")
	b.refused("PutUserPolicy", &api.PutUserPolicyRequest{UserName: api.Some("nobody"), PolicyName: p, PolicyDocument: rest}, api.NoSuchEntity, "The user with name nobody cannot be found.")
	b.refused("PutUserPolicy", &api.PutUserPolicyRequest{UserName: api.Some("configured"), PolicyName: p, PolicyDocument: rest}, api.NoSuchEntity, "The user with name configured cannot be found.")
	b.refused("ListGroupPolicies", &api.ListGroupPoliciesRequest{GroupName: api.Some("G")}, api.NoSuchEntity, "The group with name G cannot be found.")
	b.refused("DeleteUser", &api.DeleteUserRequest{UserName: u}, api.DeleteConflict, "Cannot delete entity, must delete policies first.")
	b.run("DeleteUserPolicy", &api.DeleteUserPolicyRequest{UserName: u, PolicyName: p})
	b.run("DeleteUserPolicy", &api.DeleteUserPolicyRequest{UserName: u, PolicyName: q})
	b.run("DeleteGroupPolicy", &api.DeleteGroupPolicyRequest{GroupName: g, PolicyName: p})
	b.run("DeleteUser", &api.DeleteUserRequest{UserName: u})
}

func TestAttachedPolicies(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.group("g")
	u, g := api.Some("u"), api.Some("g")
	var arns []api.Opt[string]
	for i := range 11 {
		arns = append(arns, api.Some(b.policy(fmt.Sprintf("p%d", i), principalsAllow)))
	}
	pathed := principalsGet[api.CreatePolicyResponse](b, "CreatePolicy", &api.CreatePolicyRequest{
		PolicyName: api.Some("pathed"), Path: api.Some("/team/"), PolicyDocument: api.Some(principalsAllow),
	}).Policy
	for i := range 9 {
		b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arns[i]})
	}
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: pathed.Arn})
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arns[3]}) // once more
	b.run("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: arns[3]})
	b.run("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: u, PermissionsBoundary: arns[3]})
	list := principalsGet[api.ListAttachedUserPoliciesResponse](b, "ListAttachedUserPolicies", &api.ListAttachedUserPoliciesRequest{UserName: u})
	if len(list.AttachedPolicies) != 10 || list.AttachedPolicies[3].PolicyArn != arns[3] || list.AttachedPolicies[3].PolicyName.V != "p3" {
		t.Errorf("%+v", list)
	}
	list = principalsGet[api.ListAttachedUserPoliciesResponse](b, "ListAttachedUserPolicies", &api.ListAttachedUserPoliciesRequest{UserName: u, PathPrefix: api.Some("/team/")})
	if len(list.AttachedPolicies) != 1 || list.AttachedPolicies[0].PolicyArn != pathed.Arn {
		t.Errorf("%+v", list)
	}
	if p := principalsGet[api.GetPolicyResponse](b, "GetPolicy", &api.GetPolicyRequest{PolicyArn: arns[3]}).Policy; p.AttachmentCount.V != 2 || p.PermissionsBoundaryUsageCount.V != 1 {
		t.Errorf("%+v", p)
	}
	b.refused("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arns[10]}, api.LimitExceeded, "Cannot exceed quota for PoliciesPerUser: 10")
	b.refused("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: api.Some("arn:aws:iam::111122223333:policy/nonexistent")},
		api.NoSuchEntity, "Policy arn:aws:iam::111122223333:policy/nonexistent does not exist or is not attachable.")
	b.refused("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: api.Some("arn:aws:iam::111122223333:policy/pathed")},
		api.NoSuchEntity, "Policy arn:aws:iam::111122223333:policy/pathed does not exist or is not attachable.")
	b.refused("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: api.Some("arn:aws:iam::999999999999:policy/p1")},
		api.NoSuchEntity, "Policy arn:aws:iam::999999999999:policy/p1 does not exist or is not attachable.")
	b.refused("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: api.Some("longpolicynamebutnoarn")}, api.InvalidInput, "ARN longpolicynamebutnoarn is not valid.")
	b.refused("DetachUserPolicy", &api.DetachUserPolicyRequest{UserName: u, PolicyArn: api.Some("longpolicynamebutnoarn")}, api.InvalidInput, "ARN longpolicynamebutnoarn is not valid.")
	b.refused("DetachGroupPolicy", &api.DetachGroupPolicyRequest{GroupName: g, PolicyArn: arns[1]}, api.NoSuchEntity, "Policy "+arns[1].V+" was not found.")
	b.refused("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: pathed.Arn}, api.DeleteConflict, "Cannot delete a policy attached to entities.")
	b.refused("DeleteUser", &api.DeleteUserRequest{UserName: u}, api.DeleteConflict, "Cannot delete entity, must detach all policies first.")
	b.refused("DeleteGroup", &api.DeleteGroupRequest{GroupName: g}, api.DeleteConflict, "Cannot delete entity, must detach all policies first.")
	b.run("DetachUserPolicy", &api.DetachUserPolicyRequest{UserName: u, PolicyArn: arns[3]})
	b.run("DetachGroupPolicy", &api.DetachGroupPolicyRequest{GroupName: g, PolicyArn: arns[3]})
	b.refused("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arns[3]}, api.DeleteConflict, "Cannot delete a policy attached to entities.") // the boundary
	if got := principalsGet[api.GetUserResponse](b, "GetUser", &api.GetUserRequest{UserName: u}).User.PermissionsBoundary; got == nil || got.PermissionsBoundaryArn != arns[3] {
		t.Errorf("%+v", got)
	}
	for range 2 { // the second time there is nothing to do
		b.run("DeleteUserPermissionsBoundary", &api.DeleteUserPermissionsBoundaryRequest{UserName: u})
	}
	b.run("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arns[3]})
	b.run("DeleteGroup", &api.DeleteGroupRequest{GroupName: g})
}

func TestGroups(t *testing.T) {
	b := newPrincipalsBench(t)
	made := principalsGet[api.CreateGroupResponse](b, "CreateGroup", &api.CreateGroupRequest{GroupName: api.Some("Red"), Path: api.Some("/teams/")}).Group
	if made.Arn.V != "arn:aws:iam::111122223333:group/teams/Red" || !strings.HasPrefix(made.GroupId.V, "AGPA") || !made.CreateDate.V.Equal(principalsStart) {
		t.Errorf("%+v", made)
	}
	b.refused("CreateGroup", &api.CreateGroupRequest{GroupName: api.Some("RED")}, api.EntityAlreadyExists, "Group with name RED already exists.")
	b.group("teams-without-path")
	var users []string
	for i := range 3 {
		name := fmt.Sprintf("u%d", i)
		b.user(name)
		for range 2 { // which is idempotent
			b.run("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: api.Some("Red"), UserName: api.Some(name)})
		}
	}
	page := principalsGet[api.GetGroupResponse](b, "GetGroup", &api.GetGroupRequest{GroupName: api.Some("Red"), MaxItems: api.Some(int64(2))})
	if !page.IsTruncated.V || len(page.Users) != 2 || page.Group.GroupId != made.GroupId {
		t.Errorf("%+v", page)
	}
	for _, u := range append(page.Users, principalsGet[api.GetGroupResponse](b, "GetGroup", &api.GetGroupRequest{GroupName: api.Some("Red"), Marker: page.Marker}).Users...) {
		users = append(users, u.UserName.V)
	}
	if slices.Sort(users); !slices.Equal(users, []string{"u0", "u1", "u2"}) {
		t.Errorf("members: %v", users)
	}
	groups := principalsGet[api.ListGroupsResponse](b, "ListGroups", &api.ListGroupsRequest{PathPrefix: api.Some("/teams")}).Groups
	if len(groups) != 1 || groups[0].GroupName.V != "Red" {
		t.Errorf("%+v", groups)
	}
	b.refused("UpdateGroup", &api.UpdateGroupRequest{GroupName: api.Some("Red"), NewGroupName: api.Some("Teams-Without-Path")}, api.EntityAlreadyExists, "Group with name Teams-Without-Path already exists.")
	b.run("UpdateGroup", &api.UpdateGroupRequest{GroupName: api.Some("Red"), NewGroupName: api.Some("Blue"), NewPath: api.Some("/")})
	of := principalsGet[api.ListGroupsForUserResponse](b, "ListGroupsForUser", &api.ListGroupsForUserRequest{UserName: api.Some("u1")}).Groups
	if len(of) != 1 || of[0].Arn.V != "arn:aws:iam::111122223333:group/Blue" || of[0].GroupId != made.GroupId {
		t.Errorf("%+v", of)
	}
	nobody, none, blue := api.Some("nobody"), api.Some("none"), api.Some("Blue")
	b.refused("GetGroup", &api.GetGroupRequest{GroupName: api.Some("Red")}, api.NoSuchEntity, "The group with name Red cannot be found.")
	b.refused("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: blue, UserName: nobody}, api.NoSuchEntity, "The user with name nobody cannot be found.")
	b.refused("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: none, UserName: api.Some("u1")}, api.NoSuchEntity, "The group with name none cannot be found.")
	b.refused("RemoveUserFromGroup", &api.RemoveUserFromGroupRequest{GroupName: none, UserName: nobody}, api.NoSuchEntity, "The user with name nobody cannot be found.")
	b.refused("DeleteGroup", &api.DeleteGroupRequest{GroupName: blue}, api.DeleteConflict, "Cannot delete entity, must remove users from group first.")
	b.refused("DeleteUser", &api.DeleteUserRequest{UserName: api.Some("u1")}, api.DeleteConflict, "Cannot delete entity, must remove users from group first.")
	for i := range 3 {
		for range 2 { // nor does leaving again
			b.run("RemoveUserFromGroup", &api.RemoveUserFromGroupRequest{GroupName: blue, UserName: api.Some(fmt.Sprintf("u%d", i))})
		}
	}
	b.run("DeleteGroup", &api.DeleteGroupRequest{GroupName: blue})
	for i := range 11 {
		b.group(fmt.Sprintf("g%d", i))
		req := &api.AddUserToGroupRequest{GroupName: api.Some(fmt.Sprintf("g%d", i)), UserName: api.Some("u0")}
		if i < 10 {
			b.run("AddUserToGroup", req)
		} else {
			b.refused("AddUserToGroup", req, api.LimitExceeded, "Cannot exceed quota for GroupsPerUser: 10")
		}
	}
}

func TestManagedPolicies(t *testing.T) {
	b := newPrincipalsBench(t)
	tags := []api.IamTag{{Key: api.Some("b"), Value: api.Some("1")}, {Key: api.Some("B"), Value: api.Some("2")}}
	made := principalsGet[api.CreatePolicyResponse](b, "CreatePolicy", &api.CreatePolicyRequest{
		PolicyName: api.Some("P"), Path: api.Some("/a/b/"), PolicyDocument: api.Some(padded(6144)), Description: api.Some("text"), Tags: tags,
	}).Policy
	if made.Arn.V != "arn:aws:iam::111122223333:policy/a/b/P" || !strings.HasPrefix(made.PolicyId.V, "ANPA") || made.DefaultVersionId.V != "v1" || made.Description.Set ||
		!reflect.DeepEqual(made.Tags, tags) {
		t.Errorf("%+v", made)
	}
	arn := made.Arn
	if got := principalsGet[api.GetPolicyResponse](b, "GetPolicy", &api.GetPolicyRequest{PolicyArn: arn}).Policy; got.Description.V != "text" || got.AttachmentCount != api.Some(int64(0)) {
		t.Errorf("%+v", got)
	}
	b.refused("CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some("p"), PolicyDocument: api.Some(principalsAllow)}, api.EntityAlreadyExists, "A policy called p already exists. Duplicate names are not allowed.")
	b.refused("CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some("q"), PolicyDocument: api.Some(padded(6145))}, api.LimitExceeded, "Cannot exceed quota for PolicySize: 6144")
	b.refused("CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some("q"), PolicyDocument: api.Some(principalsAllow), Tags: append(tags, tags[0])}, api.InvalidInput, "Duplicate tag keys found.")
	b.refused("GetPolicy", &api.GetPolicyRequest{PolicyArn: api.Some("arn:aws:iam::111122223333:policy/P")}, api.NoSuchEntity, "Policy arn:aws:iam::111122223333:policy/P was not found.")
	b.refused("GetPolicy", &api.GetPolicyRequest{PolicyArn: api.Some("arn:aws:iam::111122223333:role/a/b/P")}, api.InvalidInput, "ARN arn:aws:iam::111122223333:role/a/b/P is not valid.")

	version := func(def bool) string {
		t.Helper()
		v := principalsGet[api.CreatePolicyVersionResponse](b, "CreatePolicyVersion", &api.CreatePolicyVersionRequest{PolicyArn: arn, PolicyDocument: api.Some(principalsDeny), SetAsDefault: api.Some(def)}).PolicyVersion
		if v.IsDefaultVersion.V != def || v.Document.Set {
			t.Errorf("%+v", v)
		}
		return v.VersionId.V
	}
	if a, b := version(false), version(true); a != "v2" || b != "v3" {
		t.Error(a, b)
	}
	version(false)
	version(false)
	b.refused("CreatePolicyVersion", &api.CreatePolicyVersionRequest{PolicyArn: arn, PolicyDocument: api.Some(principalsDeny)}, api.LimitExceeded,
		"A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	b.refused("DeletePolicyVersion", &api.DeletePolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v3")}, api.DeleteConflict, "Cannot delete the default version of a policy.")
	b.run("DeletePolicyVersion", &api.DeletePolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v5")})
	if v := version(false); v != "v6" {
		t.Error(v)
	}
	var ids []string
	for _, v := range principalsGet[api.ListPolicyVersionsResponse](b, "ListPolicyVersions", &api.ListPolicyVersionsRequest{PolicyArn: arn}).Versions {
		if v.IsDefaultVersion.V != (v.VersionId.V == "v3") || v.Document.Set {
			t.Errorf("%+v", v)
		}
		ids = append(ids, v.VersionId.V)
	}
	if !slices.Equal(ids, []string{"v6", "v4", "v3", "v2", "v1"}) {
		t.Error(ids)
	}
	if v := principalsGet[api.GetPolicyVersionResponse](b, "GetPolicyVersion", &api.GetPolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v1")}).PolicyVersion; principalsDecoded(t, v.Document.V) != padded(6144) {
		t.Errorf("%+v", v)
	}
	noVersion := "Policy " + arn.V + " version v5 does not exist or is not attachable."
	b.refused("GetPolicyVersion", &api.GetPolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v5")}, api.NoSuchEntity, noVersion)
	b.refused("DeletePolicyVersion", &api.DeletePolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v5")}, api.NoSuchEntity, noVersion)
	b.refused("SetDefaultPolicyVersion", &api.SetDefaultPolicyVersionRequest{PolicyArn: arn, VersionId: api.Some("v5")}, api.NoSuchEntity, noVersion)
	b.refused("SetDefaultPolicyVersion", &api.SetDefaultPolicyVersionRequest{PolicyArn: api.Some("arn:aws:iam::111122223333:policy/none"), VersionId: api.Some("v1")},
		api.NoSuchEntity, "Policy arn:aws:iam::111122223333:policy/none version v1 does not exist or is not attachable.")

	b.run("TagPolicy", &api.TagPolicyRequest{PolicyArn: arn, Tags: []api.IamTag{{Key: api.Some("b"), Value: api.Some("3")}, {Key: api.Some("a"), Value: api.Some("")}}})
	want := []api.IamTag{tags[1], {Key: api.Some("a"), Value: api.Some("")}, {Key: api.Some("b"), Value: api.Some("3")}}
	if got := principalsGet[api.ListPolicyTagsResponse](b, "ListPolicyTags", &api.ListPolicyTagsRequest{PolicyArn: arn}).Tags; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	b.run("UntagPolicy", &api.UntagPolicyRequest{PolicyArn: arn, TagKeys: []string{"B", "A"}})
	if got := principalsGet[api.ListPolicyTagsResponse](b, "ListPolicyTags", &api.ListPolicyTagsRequest{PolicyArn: arn}).Tags; !reflect.DeepEqual(got, want[1:]) {
		t.Errorf("%+v", got)
	}
	b.refused("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arn}, api.DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")

	admin := api.Some("arn:aws:iam::aws:policy/AdministratorAccess")
	if v := principalsGet[api.GetPolicyVersionResponse](b, "GetPolicyVersion", &api.GetPolicyVersionRequest{PolicyArn: admin, VersionId: api.Some("v1")}).PolicyVersion; !strings.Contains(principalsDecoded(t, v.Document.V), "Allow") {
		t.Errorf("%+v", v)
	}
	const outside = "Policy is outside your own account."
	for _, foreign := range []api.Opt[string]{admin, api.Some("arn:aws:iam::999999999999:policy/x")} {
		b.refused("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: foreign}, api.AccessDeniedException, outside)
		b.refused("CreatePolicyVersion", &api.CreatePolicyVersionRequest{PolicyArn: foreign, PolicyDocument: api.Some(principalsDeny)}, api.AccessDeniedException, outside)
		b.refused("SetDefaultPolicyVersion", &api.SetDefaultPolicyVersionRequest{PolicyArn: foreign, VersionId: api.Some("v1")}, api.AccessDeniedException, outside)
		b.refused("DeletePolicyVersion", &api.DeletePolicyVersionRequest{PolicyArn: foreign, VersionId: api.Some("v1")}, api.AccessDeniedException, outside)
		b.refused("TagPolicy", &api.TagPolicyRequest{PolicyArn: foreign, Tags: tags}, api.AccessDeniedException, outside)
		b.refused("UntagPolicy", &api.UntagPolicyRequest{PolicyArn: foreign, TagKeys: []string{"a"}}, api.AccessDeniedException, outside)
	}
}

// TestOtherPartitions has ARNs as they are in the partition of the call.
func TestOtherPartitions(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.policy("p", principalsAllow)
	call := func(op string, req api.Request) api.Response {
		t.Helper()
		resp, err := b.in("cn-north-1", op, req)
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		return resp
	}
	own, aws := api.Some("arn:aws-cn:iam::111122223333:policy/p"), api.Some("arn:aws-cn:iam::aws:policy/AdministratorAccess")
	call("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: own})
	call("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: aws})
	list := call("ListAttachedUserPolicies", &api.ListAttachedUserPoliciesRequest{UserName: api.Some("u")}).(*api.ListAttachedUserPoliciesResponse).AttachedPolicies
	if len(list) != 2 || list[0].PolicyArn != own || list[1].PolicyArn != aws {
		t.Errorf("%+v", list)
	}
	if got := call("GetPolicy", &api.GetPolicyRequest{PolicyArn: aws}).(*api.GetPolicyResponse).Policy; got.Arn != aws || got.AttachmentCount.V != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := b.in("cn-north-1", "GetPolicy", &api.GetPolicyRequest{PolicyArn: api.Some("arn:aws:iam::111122223333:policy/p")}); err == nil {
		t.Error("found by an ARN of another partition")
	}
}
