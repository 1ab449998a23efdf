package iam_test

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// TestGetAccountSummary counts one account's things while another has some, too.
func TestGetAccountSummary(t *testing.T) {
	b := newSimulateBench(t, nil)
	summary := func(caller *service.Caller) map[string]int64 {
		t.Helper()
		resp, err := b.as(caller, "iam.GetAccountSummary", &api.GetAccountSummaryRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp.(*api.GetAccountSummaryResponse).SummaryMap
	}
	expect := func(when string, want map[string]int64) {
		t.Helper()
		got := summary(b.root)
		for key, n := range want {
			if have, ok := got[key]; !ok || have != n {
				t.Errorf("%s: %s is %d (there: %v), want %d", when, key, have, ok, n)
			}
		}
	}
	expect("in the beginning", map[string]int64{
		"Users": 0, "UsersQuota": 5000, "Groups": 0, "GroupsQuota": 300, "Roles": 0, "RolesQuota": 1000, "Policies": 0, "PoliciesQuota": 1500,
		"PolicyVersionsInUse": 0, "PolicyVersionsInUseQuota": 10000, "VersionsPerPolicyQuota": 5, "PolicySizeQuota": 6144, "MFADevices": 0, "MFADevicesInUse": 0,
		"AccountMFAEnabled": 0, "AccountAccessKeysPresent": 0, "AccountPasswordPresent": 0, "AccessKeysPerUserQuota": 2, "GroupsPerUserQuota": 10,
		"UserPolicySizeQuota": 2048, "GroupPolicySizeQuota": 5120, "RolePolicySizeQuota": 10240, "AssumeRolePolicySizeQuota": 2048,
		"AttachedPoliciesPerUserQuota": 10, "AttachedPoliciesPerGroupQuota": 10, "AttachedPoliciesPerRoleQuota": 10, "Providers": 0, "GlobalEndpointTokenVersion": 2,
	})
	policy := &record.ManagedPolicy{Account: simulateAccount, Name: "p", Path: "/", Default: 1, Versions: []record.PolicyVersion{{Number: 1, Document: "{}"}, {Number: 2, Document: "{}"}}}
	device := &record.MFADevice{Account: simulateAccount, Name: "d1", Path: "/", UserID: "IDUSERU1", Enabled: time.Unix(1, 0)}
	b.store(
		&record.User{Principal: record.Principal{Name: "u1"}}, &record.User{Principal: record.Principal{Name: "u2"}},
		&record.User{Principal: record.Principal{Account: simulateOther, Name: "u3"}}, &record.Group{Principal: record.Principal{Name: "g"}},
		&record.Role{Principal: record.Principal{Name: "r"}, Trust: "{}"}, policy, device, &record.MFADevice{Account: simulateAccount, Name: "d2", Path: "/"},
		&record.OIDCProvider{Account: simulateAccount, URL: "idp.example.com"},
		&record.AccessKey{ID: "AKIA1", Account: simulateAccount, Secret: "s"}, &record.AccessKey{ID: "AKIA2", Account: simulateAccount, Secret: "s"},
	)
	expect("with some of each", map[string]int64{
		"Users": 2, "Groups": 1, "Roles": 1, "Policies": 1, "PolicyVersionsInUse": 2, "MFADevices": 2, "MFADevicesInUse": 1, "Providers": 1,
		"AccountAccessKeysPresent": 1, "AccountMFAEnabled": 0,
	})
	policy.Versions, device.UserID = policy.Versions[:1], record.RootUser
	b.store(policy, device)
	expect("after a change", map[string]int64{"PolicyVersionsInUse": 1, "Policies": 1, "MFADevicesInUse": 1, "AccountMFAEnabled": 1})
	device.UserID = ""
	b.store(device)
	expect("after another", map[string]int64{"MFADevices": 2, "MFADevicesInUse": 0, "AccountMFAEnabled": 0})
	if got := summary(service.RootCaller(simulateOther, "AKIAOTHER")); got["Users"] != 1 || got["Policies"] != 0 {
		t.Errorf("another account: %v", got)
	}
	if _, err := b.as(b.caller(simulateARN("user/u1")), "iam.GetAccountSummary", &api.GetAccountSummaryRequest{}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("without permission: %v", err)
	}
}
