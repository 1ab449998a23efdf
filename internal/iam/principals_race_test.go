package iam_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// race runs the functions at once, several rounds of them.
func race(rounds int, each func(round int) []func()) {
	for round := range rounds {
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, f := range each(round) {
			wg.Go(func() {
				<-start
				f()
			})
		}
		close(start)
		wg.Wait()
	}
}

const raceRounds = 50

// TestOvertaken has one change planned, another one made that it does not go together with, and only then the first committed.
func TestOvertaken(t *testing.T) {
	u, g, arn := api.Some("u"), api.Some("g"), api.Some("arn:aws:iam::"+principalsAccount+":policy/p")
	type change struct {
		op  string
		req api.Request
	}
	deletePolicy := change{"DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arn}}
	attachUser := change{"AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arn}}
	attachGroup := change{"AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: arn}}
	bound := change{"PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: u, PermissionsBoundary: arn}}
	deleteGroup := change{"DeleteGroup", &api.DeleteGroupRequest{GroupName: g}}
	join := change{"AddUserToGroup", &api.AddUserToGroupRequest{GroupName: g, UserName: u}}
	deleteUser := change{"DeleteUser", &api.DeleteUserRequest{UserName: u}}
	makeKey := change{"CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}}
	putUser := change{"PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: g, PolicyDocument: api.Some(padded(1100))}}
	putUserToo := change{"PutUserPolicy", &api.PutUserPolicyRequest{UserName: u, PolicyName: u, PolicyDocument: api.Some(padded(1100))}}
	makePolicy := change{"CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some("q"), PolicyDocument: api.Some(principalsAllow)}}
	makePolicyToo := change{"CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some("Q"), PolicyDocument: api.Some(principalsAllow)}}
	alias := change{"CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some("alias")}}
	tests := []struct {
		planned, made change
		code          api.ErrorCode
	}{
		{deletePolicy, attachUser, api.DeleteConflict},
		{deletePolicy, attachGroup, api.DeleteConflict},
		{deletePolicy, bound, api.DeleteConflict},
		{deletePolicy, change{"CreatePolicyVersion", &api.CreatePolicyVersionRequest{PolicyArn: arn, PolicyDocument: api.Some(principalsAllow)}}, api.DeleteConflict},
		{attachUser, deletePolicy, api.NoSuchEntity},
		{attachGroup, deletePolicy, api.NoSuchEntity},
		{bound, deletePolicy, api.NoSuchEntity},
		{attachUser, deleteUser, api.NoSuchEntity},
		{deleteUser, attachUser, api.DeleteConflict},
		{deleteGroup, join, api.DeleteConflict},
		{deleteGroup, attachGroup, api.DeleteConflict},
		{join, deleteGroup, api.NoSuchEntity},
		{join, deleteUser, api.NoSuchEntity},
		{deleteUser, join, api.DeleteConflict},
		{makeKey, deleteUser, api.NoSuchEntity},
		{deleteUser, makeKey, api.DeleteConflict},
		{putUser, putUserToo, api.LimitExceeded},
		{makePolicy, makePolicyToo, api.EntityAlreadyExists},
		{alias, alias, api.EntityAlreadyExists},
	}
	for _, test := range tests {
		t.Run(test.planned.op+" "+test.made.op, func(t *testing.T) {
			b := newPrincipalsBench(t)
			b.user("u")
			b.group("g")
			b.policy("p", principalsAllow)
			b.store.inNextChange(beforeCommitting, func() { b.run(test.made.op, test.made.req) })
			if err := b.do(test.planned.op, test.planned.req); err == nil || err.Code != test.code {
				t.Errorf("%v, want %s", err, test.code)
			}
		})
	}
}

// TestQuotasWhenOvertaken makes what there may be one more of, while somebody else makes it.
func TestQuotasWhenOvertaken(t *testing.T) {
	u := api.Some("u")
	join := func(i int) *api.AddUserToGroupRequest {
		return &api.AddUserToGroupRequest{GroupName: api.Some(fmt.Sprintf("g%d", i)), UserName: u}
	}
	for _, when := range []moment{beforeCounting, afterCounting, beforeCommitting} {
		t.Run(string(when), func(t *testing.T) {
			b := newPrincipalsBench(t)
			b.user("u")
			b.key("u")
			b.store.inNextChange(when, func() { b.key("u") })
			b.refused("CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}, api.LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: 2")
			for i := range 11 {
				b.group(fmt.Sprintf("g%d", i))
			}
			for i := range 9 {
				b.run("AddUserToGroup", join(i))
			}
			b.store.inNextChange(when, func() { b.run("AddUserToGroup", join(9)) })
			b.refused("AddUserToGroup", join(10), api.LimitExceeded, "Cannot exceed quota for GroupsPerUser: 10")
			for i := range 3 { // the first, then one in the place of another
				b.store.inNextChange(when, func() {
					b.run("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some(fmt.Sprintf("theirs-%d", i))})
				})
				b.run("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some(fmt.Sprintf("ours-%d", i))})
				if n := len(b.entries("na/")); n != 1 {
					t.Errorf("%d aliases", n)
				}
			}
		})
	}
}

// TestAttachWhileDeleting attaches a policy in each way there is while it is being deleted: nothing may name a policy that is gone.
func TestAttachWhileDeleting(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.group("g")
	u, g := api.Some("u"), api.Some("g")
	won := map[bool]int{}
	race(raceRounds, func(round int) []func() {
		arn := api.Some(b.policy(fmt.Sprintf("p%d", round), principalsAllow))
		return []func(){
			func() { b.do("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arn}) },
			func() { b.do("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arn}) },
			func() { b.do("AttachGroupPolicy", &api.AttachGroupPolicyRequest{GroupName: g, PolicyArn: arn}) },
			func() {
				b.do("PutUserPermissionsBoundary", &api.PutUserPermissionsBoundaryRequest{UserName: u, PermissionsBoundary: arn})
			},
			func() {
				b.do("CreateUser", &api.CreateUserRequest{UserName: api.Some(fmt.Sprintf("u%d", round)), PermissionsBoundary: arn})
			},
		}
	})
	check := func(p *record.Principal) {
		for _, arn := range append([]string{p.Boundary}, p.Attached...) {
			if arn == "" {
				continue
			}
			there := b.stored(record.PolicyStoreKey(principalsAccount, arn[strings.LastIndexByte(arn, '/')+1:])) != nil
			won[there]++
			if !there {
				t.Errorf("%s has %s, which is gone", p.Name, arn)
			}
		}
	}
	for _, key := range b.entries("p/" + principalsAccount + "/") {
		switch r := b.stored(key).(type) {
		case *record.User:
			check(&r.Principal)
		case *record.Group:
			check(&r.Principal)
		}
	}
	t.Logf("%d uses of policies that are there", won[true])
}

// TestDetachWhileDeleting lets go of a policy while it is being deleted: DeletePolicy either fails or leaves nothing behind.
func TestDetachWhileDeleting(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	u := api.Some("u")
	race(raceRounds, func(round int) []func() {
		arn := api.Some(b.policy(fmt.Sprintf("p%d", round), principalsAllow))
		b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: u, PolicyArn: arn})
		return []func(){
			func() { b.do("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arn}) },
			func() { b.run("DetachUserPolicy", &api.DetachUserPolicyRequest{UserName: u, PolicyArn: arn}) },
			func() { b.do("DeletePolicy", &api.DeletePolicyRequest{PolicyArn: arn}) },
		}
	})
	if left := b.entries("i/attached/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left := b.entries("c/attached/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestJoinWhileDeleting adds a user to a group that is being deleted, and gives a user that is being deleted an access key and a group.
func TestJoinWhileDeleting(t *testing.T) {
	b := newPrincipalsBench(t)
	race(raceRounds, func(round int) []func() {
		u, g := api.Some(fmt.Sprintf("u%d", round)), api.Some(fmt.Sprintf("g%d", round))
		b.user(u.V)
		b.group(g.V)
		return []func(){
			func() { b.do("DeleteGroup", &api.DeleteGroupRequest{GroupName: g}) },
			func() { b.do("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: g, UserName: u}) },
			func() { b.do("CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}) },
			func() { b.do("DeleteUser", &api.DeleteUserRequest{UserName: u}) },
		}
	})
	for _, key := range b.entries("p/" + principalsAccount + "/user/") {
		for _, g := range b.stored(key).(*record.User).Groups {
			if b.stored(record.PrincipalStoreKey(principalsAccount, record.GroupKind, g)) == nil {
				t.Errorf("%s is in a group that is gone", key)
			}
		}
	}
	for _, key := range b.entries("x/") {
		k := b.stored(key).(*record.AccessKey)
		if b.stored(record.PrincipalStoreKey(principalsAccount, record.UserKind, k.UserID)) == nil {
			t.Errorf("%s is of a user who is gone", k)
		}
	}
	for _, key := range b.entries("i/members/") {
		id := key[strings.LastIndexByte(key, '/')+1:]
		if b.stored(record.PrincipalStoreKey(principalsAccount, record.UserKind, id)) == nil {
			t.Errorf("%s: the user is gone", key)
		}
	}
}

// TestQuotasHoldInRaces makes access keys, memberships and account aliases at once: there are never more than there may be.
func TestQuotasHoldInRaces(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	u := api.Some("u")
	for i := range 12 {
		b.group(fmt.Sprintf("g%d", i))
	}
	race(1, func(int) (each []func()) {
		for i := range 12 {
			each = append(each,
				func() { b.do("CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}) },
				func() {
					b.do("AddUserToGroup", &api.AddUserToGroupRequest{GroupName: api.Some(fmt.Sprintf("g%d", i)), UserName: u})
				},
				func() {
					b.do("CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: api.Some(fmt.Sprintf("alias-%d", i))})
				})
		}
		return each
	})
	if n := len(b.entries("x/")); n != 2 {
		t.Errorf("%d access keys", n)
	}
	if n := len(b.entries("i/members/")); n != 10 {
		t.Errorf("%d memberships", n)
	}
	if n := len(b.entries("na/")); n != 1 {
		t.Errorf("%d aliases", n)
	}
}
