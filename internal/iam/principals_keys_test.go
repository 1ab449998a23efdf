package iam_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func principalsRootOf(account string) *service.Caller { return service.RootCaller(account, "") }

func (b *principalsBench) keyIDs(user string) []string {
	b.t.Helper()
	q := &api.ListAccessKeysRequest{MaxItems: api.Some(int64(1))}
	if user != "" {
		q.UserName = api.Some(user)
	}
	var ids []string
	for {
		r := principalsGet[api.ListAccessKeysResponse](b, "ListAccessKeys", q)
		for _, k := range r.AccessKeyMetadata {
			ids = append(ids, k.AccessKeyId.V)
		}
		if !r.IsTruncated.V {
			return ids
		}
		q.Marker = r.Marker
	}
}

func TestAccessKeys(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.user("v")
	u, v := api.Some("u"), api.Some("v")
	made := principalsGet[api.CreateAccessKeyResponse](b, "CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}).AccessKey
	id := made.AccessKeyId
	if made.UserName != u || !strings.HasPrefix(id.V, "AKIA") || len(id.V) != 20 || len(made.SecretAccessKey.V) != 40 || made.Status.V != api.StatusTypeActive {
		t.Errorf("%+v", id)
	}
	c, err := b.directory.Lookup(t.Context(), id.V, "")
	if err != nil || c.Secret != made.SecretAccessKey.V || c.Caller.ARN != "arn:aws:iam::111122223333:user/u" {
		t.Errorf("%v, %v", c, err)
	}
	second := b.key("u")
	if got, want := b.keyIDs("u"), []string{id.V, second}; !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("%v, want %v", got, want)
	}
	cannot := "The Access Key with id " + id.V + " cannot be found."
	b.refused("CreateAccessKey", &api.CreateAccessKeyRequest{UserName: u}, api.LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: 2")
	b.refused("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: v, AccessKeyId: id, Status: api.Some(api.StatusTypeInactive)}, api.NoSuchEntity, cannot)
	b.refused("UpdateAccessKey", &api.UpdateAccessKeyRequest{AccessKeyId: id, Status: api.Some(api.StatusTypeInactive)}, api.NoSuchEntity, cannot) // not the root user's
	b.refused("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: u, AccessKeyId: id, Status: api.Some(api.StatusTypeExpired)}, api.InvalidInput, "Status must be Active or Inactive.")
	b.refused("DeleteAccessKey", &api.DeleteAccessKeyRequest{UserName: v, AccessKeyId: id}, api.NoSuchEntity, cannot)
	b.refused("DeleteUser", &api.DeleteUserRequest{UserName: u}, api.DeleteConflict, "Cannot delete entity, must delete access keys first.")
	b.refused("CreateAccessKey", &api.CreateAccessKeyRequest{UserName: api.Some("configured")}, api.NoSuchEntity, "The user with name configured cannot be found.")
	b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: u, AccessKeyId: id, Status: api.Some(api.StatusTypeInactive)})
	if k := b.stored(record.AccessKeyStoreKey(id.V)).(*record.AccessKey); k.Active || strings.Contains(k.String(), k.Secret) {
		t.Error("active, or told")
	}
	b.run("DeleteAccessKey", &api.DeleteAccessKeyRequest{UserName: u, AccessKeyId: id})
	if got := b.keyIDs("u"); !slices.Equal(got, []string{second}) {
		t.Error(got)
	}
	for line, err := range b.sink.Since(1) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), made.SecretAccessKey.V) {
			t.Error("a secret is in the audit log")
		}
	}
}

// TestOwnAccessKeys leaves out the user: it is the caller then, or the root user.
func TestOwnAccessKeys(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: api.Some("arn:aws:iam::aws:policy/IAMFullAccess")})
	key := b.key("u")
	resp, err := b.as(b.caller(key), "iam.CreateAccessKey", &api.CreateAccessKeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.keyIDs("u"), resp.(*api.CreateAccessKeyResponse).AccessKey.AccessKeyId.V; !slices.Contains(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	root := principalsGet[api.CreateAccessKeyResponse](b, "CreateAccessKey", &api.CreateAccessKeyRequest{}).AccessKey
	if c := b.caller(root.AccessKeyId.V); c == nil || c.ARN != "arn:aws:iam::111122223333:root" || c.Type != "Root" {
		t.Errorf("%+v", c)
	}
	if got := b.keyIDs(""); !slices.Equal(got, []string{root.AccessKeyId.V}) {
		t.Error(got)
	}
	b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{AccessKeyId: root.AccessKeyId, Status: api.Some(api.StatusTypeInactive)})
	if c := b.caller(root.AccessKeyId.V); c != nil {
		t.Errorf("%+v", c)
	}
	b.run("DeleteAccessKey", &api.DeleteAccessKeyRequest{AccessKeyId: root.AccessKeyId})
	session := service.NewCaller(service.Caller{
		Account: principalsAccount, ARN: "arn:aws:sts::111122223333:assumed-role/r/s", Type: "AssumedRole", PrincipalID: "AROA:s", Session: &service.Session{},
	})
	if _, err := b.as(session, "iam.CreateAccessKey", &api.CreateAccessKeyRequest{}); err == nil || err.Message != "Must specify userName when calling with non-User credentials" {
		t.Error(err)
	}
	// Somebody of the configuration file has no access keys here, whatever users are called.
	namesake := service.NewCaller(service.Caller{Account: principalsAccount, ARN: "arn:aws:iam::111122223333:user/u", Type: "IAMUser", PrincipalID: "AIDAOTHER", UserName: "u"})
	if _, err := b.as(namesake, "iam.CreateAccessKey", &api.CreateAccessKeyRequest{}); err == nil {
		t.Error("made a key of another user")
	}
}

// TestAccessKeyLastUsed uses keys and asks for it.
func TestAccessKeyLastUsed(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	key := b.key("u")
	last := func() (service, region string, at time.Time) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		r := principalsGet[api.GetAccessKeyLastUsedResponse](b, "GetAccessKeyLastUsed", &api.GetAccessKeyLastUsedRequest{AccessKeyId: api.Some(key)})
		if r.UserName.V != "u" {
			t.Errorf("user %q", r.UserName.V)
		}
		return r.AccessKeyLastUsed.ServiceName.V, r.AccessKeyLastUsed.Region.V, r.AccessKeyLastUsed.LastUsedDate.V
	}
	if b.may(key) {
		t.Fatal("allowed")
	}
	if s, r, at := last(); s != "N/A" || r != "N/A" || !at.IsZero() {
		t.Errorf("a call that was refused: %s, %s, %s", s, r, at)
	}
	b.run("AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: api.Some("u"), PolicyArn: api.Some("arn:aws:iam::aws:policy/AdministratorAccess")})
	if !b.may(key) {
		t.Fatal("refused")
	}
	if s, r, at := last(); s != "kms" || r != principalsRegion || !at.Equal(principalsStart) {
		t.Errorf("%s, %s, %s", s, r, at)
	}
	used := b.stored(record.AccessKeyUseStoreKey(key)).(*record.AccessKeyUse)
	b.may(key)
	if last(); b.stored(record.AccessKeyUseStoreKey(key)).(*record.AccessKeyUse).By.Version != used.By.Version {
		t.Error("written twice in a minute")
	}
	const unknown = "AKIAIOSFODNN7EXAMPLE"
	denied := "User: arn:aws:iam::111122223333:root is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key "
	b.refused("GetAccessKeyLastUsed", &api.GetAccessKeyLastUsedRequest{AccessKeyId: api.Some(unknown)}, api.AccessDeniedException, denied+unknown)
	mine := b.root
	b.root = principalsRootOf("999999999999")
	b.refused("GetAccessKeyLastUsed", &api.GetAccessKeyLastUsedRequest{AccessKeyId: api.Some(key)}, api.AccessDeniedException, strings.Replace(denied, principalsAccount, "999999999999", 1)+key)
	b.root = mine
	b.run("DeleteAccessKey", &api.DeleteAccessKeyRequest{UserName: api.Some("u"), AccessKeyId: api.Some(key)})
	if left := b.entries("xu/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, id := range []string{b.root.AccessKeyID, "AKIACONFIGURED000000"} {
		if b.stored(record.AccessKeyUseStoreKey(id)) != nil {
			t.Errorf("the use of %s, which is no record, was written", id)
		}
	}
}

// TestMade tells credentials that were made here, of any worth or not, from those that nobody ever heard of.
func TestMade(t *testing.T) {
	b := newPrincipalsBench(t)
	b.user("u")
	key := b.key("u")
	b.run("UpdateAccessKey", &api.UpdateAccessKeyRequest{UserName: api.Some("u"), AccessKeyId: api.Some(key), Status: api.Some(api.StatusTypeInactive)})
	gone, err := identity.Mint(b.p.Keyring(), identity.Session{Kind: identity.UserSession, Account: principalsAccount, PrincipalID: "AIDAGONE"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		id, token string
		want      bool
	}{
		{key, "", true},
		{"AKIACONFIGURED000000", "", true},
		{gone.AccessKeyID, gone.SessionToken, true},
		{gone.AccessKeyID, gone.SessionToken + "x", false},
		{identity.NewAccessKeyID(identity.LongTermPrefix, "000000000000"), "", true}, // once, in keyturn dev
		{identity.NewAccessKeyID(identity.LongTermPrefix, principalsAccount), "", false},
		{"AKIAIOSFODNN7EXAMPLE", "", false}, {"any", "any", false}, {"123456789012", "", false}, {"", "", false},
	} {
		if got := b.directory.Made(t.Context(), test.id, test.token); got != test.want {
			t.Errorf("%q, %d characters of token: %v", test.id, len(test.token), got)
		}
	}
}
