package sts_test

import (
	"crypto/fips140"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	rolesAnn   = "arn:aws:iam::" + rolesAccount + ":user/ann"
	rolesBob   = "arn:aws:iam::" + rolesOther + ":user/bob"
	rolesOwner = `{"AWS":"` + rolesAccount + `"}`
)

// TestAssumeRole makes a session, looks at all of the answer, and at what the audit log says.
func TestAssumeRole(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`{"AWS":"`+rolesAnn+`"}`, `"sts:*"`), "")
	req := rolesAsk(arn)
	req.SourceIdentity = api.Some("ann.example")
	resp := h.outcome(ann, "", req).(*api.AssumeRoleResponse)
	c := resp.Credentials
	if !strings.HasPrefix(c.AccessKeyId.V, "ASIA") || len(c.SecretAccessKey.V) != 40 || !c.Expiration.V.Equal(h.now.Add(time.Hour)) {
		t.Errorf("credentials %+v", c)
	}
	role := h.must(rolesAccount, &api.GetRoleRequest{RoleName: api.Some("r")}).(*api.GetRoleResponse).Role
	if resp.AssumedRoleUser.Arn.V != "arn:aws:sts::"+rolesAccount+":assumed-role/r/session" || resp.AssumedRoleUser.AssumedRoleId.V != role.RoleId.V+":session" {
		t.Errorf("user %+v", resp.AssumedRoleUser)
	}
	if resp.PackedPolicySize.Set || resp.SourceIdentity.V != "ann.example" || resp.SessionTokenSize.V != int64(len(c.SessionToken.V)) || resp.SessionTokenUtilization.V < 1 {
		t.Errorf("answer %+v", resp)
	}
	session := h.signs(c)
	me := h.outcome(session, "", &api.GetCallerIdentityRequest{}).(*api.GetCallerIdentityResponse)
	if me.Arn.V != resp.AssumedRoleUser.Arn.V || me.UserId.V != resp.AssumedRoleUser.AssumedRoleId.V || me.Account.V != rolesAccount {
		t.Errorf("the session is %+v", me)
	}
	h.now = h.now.Add(time.Hour)
	if _, err := h.directory.Lookup(t.Context(), c.AccessKeyId.V, c.SessionToken.V); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("after an hour: %v", err)
	}

	found := false
	for line := range h.sink.Since(1) {
		s := string(line.JSON)
		if strings.Contains(s, c.SecretAccessKey.V) || strings.Contains(s, c.SessionToken.V[:40]) {
			t.Errorf("the audit log tells a secret: %s", s)
		}
		if strings.Contains(s, `"eventName":"AssumeRole"`) {
			found = true
			for _, want := range []string{
				`"roleArn":"` + arn + `"`, `"roleSessionName":"session"`, `"sourceIdentity":"ann.example"`, `"eventSource":"sts.amazonaws.com"`,
				`"credentials":{"accessKeyId":"` + c.AccessKeyId.V + `","expiration":"2026-03-04T06:06:07Z"}`, `"assumedRoleId":"` + role.RoleId.V + `:session"`,
			} {
				if !strings.Contains(s, want) {
					t.Errorf("the audit record lacks %s: %s", want, s)
				}
			}
		}
	}
	if !found {
		t.Error("there is no audit record")
	}
}

// TestWhoMayAssume has trust policies and what IAM says of the caller, and who may then.
func TestWhoMayAssume(t *testing.T) {
	const (
		assume = `"sts:AssumeRole"`
		allow  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::` + rolesAccount + `:role/r"}]}`
		deny   = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}]}`
		nobody = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`
		other  = `{"AWS":"arn:aws:iam::` + rolesOther + `:root"}`
		direct = `{"AWS":["` + rolesAnn + `","` + rolesBob + `"]}`
	)
	for _, c := range []struct {
		name, trust string
		iam         string // the caller's policy
		ann, bob    bool   // who may, of the role's account and of another
	}{
		{"named, no IAM", rolesTrust(direct, assume), "", true, false},
		{"named, IAM", rolesTrust(direct, assume), allow, true, true},
		{"named, denied by IAM", rolesTrust(direct, assume), deny, false, false},
		{"the role's account, no IAM", rolesTrust(rolesOwner, assume), "", false, false},
		{"the role's account, IAM", rolesTrust(rolesOwner, assume), allow, true, false},
		{"another account, no IAM", rolesTrust(other, assume), "", false, false},
		{"another account, IAM", rolesTrust(other, assume), allow, false, true},
		{"everybody, no IAM", rolesTrust(`"*"`, assume), "", true, false},
		{"everybody, IAM", rolesTrust(`{"AWS":"*"}`, assume), allow, true, true},
		{"a service, IAM", rolesTrust(`{"Service":"ec2.amazonaws.com"}`, assume), allow, false, false},
		{"denied by the trust policy", nobody, allow, false, false},
		{"another action", rolesTrust(direct, `"sts:AssumeRoleWithWebIdentity"`), allow, false, false},
		{"a condition that holds", rolesTrust(direct, assume, `,"Condition":{"StringEquals":{"sts:RoleSessionName":"session"}}`), allow, true, true},
		{"a condition that does not", rolesTrust(direct, assume, `,"Condition":{"StringEquals":{"sts:RoleSessionName":"${aws:username}"}}`), allow, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newRolesHouse(t)
			callers := []*service.Caller{h.user(rolesAccount, "ann", c.iam), h.user(rolesOther, "bob", c.iam)}
			arn := h.role(rolesAccount, "r", c.trust, "")
			for i, may := range []bool{c.ann, c.bob} {
				want := "AccessDeniedException: User: " + callers[i].ARN + " is not authorized to perform: sts:AssumeRole on resource: " + arn
				if may {
					want = ""
				}
				h.outcome(callers[i], want, rolesAsk(arn))
			}
		})
	}
}

// TestRolesThatAreNotThere are refused in the words for those that one may not assume, whatever else one may.
func TestRolesThatAreNotThere(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", rolesAllow(`"*"`))
	h.role(rolesAccount, "closed", rolesTrust(`{"Service":"ec2.amazonaws.com"}`, `"sts:AssumeRole"`), "")
	h.role(rolesAccount, "open", rolesTrust(rolesOwner, `"sts:AssumeRole"`), "")
	h.role(rolesOther, "far", rolesTrust(`{"AWS":"`+rolesAccount+`"}`, `"sts:AssumeRole"`), "")
	for _, arn := range []string{
		"arn:aws:iam::" + rolesAccount + ":role/closed", "arn:aws:iam::" + rolesAccount + ":role/gone", "arn:aws:iam::" + rolesAccount + ":role/Open",
		"arn:aws:iam::" + rolesAccount + ":role/path/open", "arn:aws:iam::" + rolesOther + ":role/gone", "arn:aws:iam::999999999999:role/open",
	} {
		_, err := h.as(ann, rolesAsk(arn))
		want := "AccessDeniedException: User: " + rolesAnn + " is not authorized to perform: sts:AssumeRole on resource: " + arn
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", arn, err)
		}
	}
	h.outcome(ann, "", rolesAsk("arn:aws:iam::"+rolesAccount+":role/open"))
	h.outcome(ann, "", rolesAsk("arn:aws:iam::"+rolesOther+":role/far"))
	h.store(&record.Account{ID: rolesOther, Suspended: h.now})
	h.outcome(ann, "AccessDeniedException: User: ", rolesAsk("arn:aws:iam::"+rolesOther+":role/far"))
	for _, arn := range []string{
		"arn:aws-cn:iam::" + rolesAccount + ":role/open", "arn:aws:iam::" + rolesAccount + ":user/ann", "arn:aws:iam::12:role/open/and/so/on",
		"arn:aws:sts::" + rolesAccount + ":assumed-role/open/x", "arn:aws:iam:eu-central-1:" + rolesAccount + ":role/open", "twenty characters long",
		"arn:aws:iam::aws:role/open/and/more",
	} {
		h.outcome(ann, "ValidationException: "+arn+" is invalid", rolesAsk(arn))
	}
	h.outcome(service.RootCaller(rolesAccount, ""), "AccessDeniedException: Roles may not be assumed by root accounts.", rolesAsk("arn:aws:iam::"+rolesAccount+":role/open"))
}

// TestConfusedDeputy has the external ID that a third party is asked for.
func TestConfusedDeputy(t *testing.T) {
	h := newRolesHouse(t)
	bob := h.user(rolesOther, "bob", rolesAllow(`"sts:AssumeRole"`))
	arn := h.role(rolesAccount, "r", rolesTrust(`{"AWS":"`+rolesOther+`"}`, `"sts:AssumeRole"`, `,"Condition":{"StringEquals":{"sts:ExternalId":"customer-1"}}`), "")
	for id, want := range map[string]string{"": "AccessDeniedException: ", "customer-2": "AccessDeniedException: ", "Customer-1": "AccessDeniedException: ", "customer-1": ""} {
		req := rolesAsk(arn)
		if id != "" {
			req.ExternalId = api.Some(id)
		}
		h.outcome(bob, want, req)
	}
}

// TestRolesThatTrustRoles names roles and their sessions.
func TestRolesThatTrustRoles(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", rolesAllow(`"sts:AssumeRole"`))
	first := h.role(rolesAccount, "first", rolesTrust(rolesOwner, `"sts:AssumeRole"`), "")
	byRole := h.role(rolesAccount, "by-role", rolesTrust(`{"AWS":"`+first+`"}`, `"sts:AssumeRole"`), "")
	bySession := h.role(rolesAccount, "by-session", rolesTrust(`{"AWS":"arn:aws:sts::`+rolesAccount+`:assumed-role/first/session"}`, `"sts:AssumeRole"`), "")
	byAccount := h.role(rolesAccount, "by-account", rolesTrust(rolesOwner, `"sts:AssumeRole"`), "")
	session := h.assume(ann, rolesAsk(first))
	req := rolesAsk(first)
	req.RoleSessionName = api.Some("another")
	another := h.assume(ann, req)
	req = rolesAsk(first)
	req.Policy = api.Some(rolesAllow(`"kms:*"`))
	limited := h.assume(ann, req)
	for _, c := range []struct {
		name   string
		caller *service.Caller
		role   string
		may    bool
	}{
		{"its session, by the role", session, byRole, true},
		{"another, by the role", another, byRole, true},
		{"its session, by the session", session, bySession, true},
		{"another, by the session", another, bySession, false},
		{"a session without IAM, by the account", session, byAccount, false},
		{"a user, by the role", ann, byRole, false},
		{"a session whose policies leave it out, by the role", limited, byRole, false},
	} {
		want := "AccessDeniedException: User: " + c.caller.ARN
		if c.may {
			want = ""
		}
		if h.outcome(c.caller, want, rolesAsk(c.role)); t.Failed() {
			t.Fatal(c.name)
		}
	}
}

// TestBoundaryOfWhoAssumes: a trust policy that names a user does not reach beyond the user's boundary.
func TestBoundaryOfWhoAssumes(t *testing.T) {
	h := newRolesHouse(t)
	h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`{"AWS":"`+rolesAnn+`"}`, `"sts:AssumeRole"`), "")
	for name, want := range map[string]string{"IAMReadOnlyAccess": "AccessDeniedException: ", "PowerUserAccess": ""} {
		h.edit(func(tx *service.Tx) error {
			n, err := service.Lookup[*record.Name](tx, record.NameStoreKey(rolesAccount, record.UserKind, "ann"))
			if err != nil {
				return err
			}
			u, err := service.Lookup[*record.User](tx, record.PrincipalStoreKey(rolesAccount, record.UserKind, n.ID))
			u.Boundary = "arn:aws:iam::aws:policy/" + name
			tx.Put(u)
			return err
		})
		ann, err := h.directory.Principal(t.Context(), rolesAnn)
		if err != nil {
			t.Fatal(err)
		}
		h.outcome(ann, want, rolesAsk(arn))
	}
}

// TestSessionDuration has its bounds: the role's, and an hour in a chain.
func TestSessionDuration(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`"*"`, `"sts:AssumeRole"`), "")
	h.must(rolesAccount, &api.UpdateRoleRequest{RoleName: api.Some("r"), MaxSessionDuration: api.Some(int64(7200))})
	session := h.assume(ann, rolesAsk(arn))
	for _, c := range []struct {
		caller  *service.Caller
		seconds int64
		want    string
	}{
		{ann, 0, ""}, {ann, 900, ""}, {ann, 7200, ""}, {ann, 899, "ValidationException: "}, {ann, 43201, "ValidationException: "},
		{ann, 7201, "ValidationException: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{session, 0, ""}, {session, 3600, ""},
		{session, 3601, "ValidationException: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
	} {
		req := rolesAsk(arn)
		expected := int64(3600)
		if c.seconds != 0 {
			req.DurationSeconds, expected = api.Some(c.seconds), c.seconds
		}
		if resp := h.outcome(c.caller, c.want, req); resp != nil {
			if got := resp.(*api.AssumeRoleResponse).Credentials.Expiration.V.Sub(h.now); got != time.Duration(expected)*time.Second {
				t.Errorf("%d seconds: %s", c.seconds, got)
			}
		}
	}
}

// TestRolesThatChange: what becomes of a role, becomes of its sessions at once, and what has its name later is another.
func TestRolesThatChange(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", "")
	trust := rolesTrust(`{"AWS":"`+rolesAnn+`"}`, `"sts:AssumeRole"`)
	arn := h.role(rolesAccount, "r", trust, "")
	resp := h.outcome(ann, "", rolesAsk(arn)).(*api.AssumeRoleResponse)
	session := h.signs(resp.Credentials)
	list := &api.ListRolesRequest{}
	h.outcome(session, "AccessDeniedException: ", list)
	h.must(rolesAccount, &api.PutRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some("p"), PolicyDocument: api.Some(rolesAllow(`"iam:ListRoles"`))})
	h.outcome(h.signs(resp.Credentials), "", list)
	h.must(rolesAccount, &api.DeleteRolePolicyRequest{RoleName: api.Some("r"), PolicyName: api.Some("p")})
	h.outcome(h.signs(resp.Credentials), "AccessDeniedException: ", list)

	h.must(rolesAccount, &api.UpdateAssumeRolePolicyRequest{RoleName: api.Some("r"), PolicyDocument: api.Some(rolesTrust(rolesOwner, `"sts:AssumeRole"`))})
	h.outcome(ann, "AccessDeniedException: ", rolesAsk(arn))
	h.signs(resp.Credentials) // sessions that are there stay

	h.must(rolesAccount, &api.DeleteRoleRequest{RoleName: api.Some("r")})
	gone := func() {
		t.Helper()
		if _, err := h.directory.Lookup(t.Context(), resp.Credentials.AccessKeyId.V, resp.Credentials.SessionToken.V); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("a session of a role that is gone: %v", err)
		}
	}
	gone()
	h.role(rolesAccount, "r", trust, "")
	gone()
	h.outcome(ann, "", rolesAsk(arn))

	// The same for whom the trust policy names.
	h.must(rolesAccount, &api.DeleteUserRequest{UserName: api.Some("ann")})
	h.outcome(h.user(rolesAccount, "ann", ""), "AccessDeniedException: ", rolesAsk(arn))
	h.must(rolesAccount, &api.UpdateAssumeRolePolicyRequest{RoleName: api.Some("r"), PolicyDocument: api.Some(trust)})
	again, err := h.directory.Principal(t.Context(), rolesAnn)
	if err != nil {
		t.Fatal(err)
	}
	h.outcome(again, "", rolesAsk(arn))
}

// TestMFAOfWhoAssumes: that a user's session was made with a code counts where the role is assumed. Conditions in the role's session do not
// hear of it, the audit log does.
func TestMFAOfWhoAssumes(t *testing.T) {
	h := newRolesHouse(t)
	const withMFA = `,"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`"*"`, `"sts:AssumeRole"`, withMFA), `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"Null":{"aws:MultiFactorAuthPresent":"true","aws:MultiFactorAuthAge":"true"}}}]}`)
	h.outcome(ann, "AccessDeniedException: User: ", rolesAsk(arn))
	with := *ann
	with.Session = &service.Session{Issued: h.now, MFA: h.now}
	session := h.assume(service.NewCaller(with), rolesAsk(arn))
	h.outcome(session, "", &api.ListRolesRequest{})
	h.outcome(session, "AccessDeniedException: User: ", rolesAsk(arn)) // in a chain, it is not there
	if got := lastRecord(h); !strings.Contains(got, `"mfaAuthenticated":"true"`) {
		t.Errorf("the audit log does not tell of MFA: %s", got)
	}
	with.Session = &service.Session{Issued: h.now}
	h.outcome(service.NewCaller(with), "AccessDeniedException: User: ", rolesAsk(arn))

	req := rolesAsk(arn)
	req.SerialNumber = api.Some("arn:aws:iam::" + rolesAccount + ":mfa/ann")
	const incomplete = "AccessDeniedException: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
	h.outcome(ann, incomplete, req)
	req.TokenCode = api.Some("123456")
	wrong := "AccessDeniedException: MultiFactorAuthentication failed"
	if fips140.Enforced() {
		wrong = "UnsupportedOperationException: MFA devices are not available"
	}
	h.outcome(ann, wrong, req)
	req.SerialNumber = api.Opt[string]{}
	h.outcome(ann, incomplete, req)
}

func lastRecord(h *rolesHouse) string {
	last := ""
	for line := range h.sink.Since(1) {
		if text := string(line.JSON); strings.Contains(text, `"eventSource":"sts.amazonaws.com"`) { // changes in IAM come when the outbox is emptied
			last = text
		}
	}
	return last
}

// TestConfiguredUserAssumes has a user that no record stands for.
func TestConfiguredUserAssumes(t *testing.T) {
	h := newRolesHouse(t)
	machine, err := h.directory.Lookup(t.Context(), "AKIACONFIGURED00", "")
	if err != nil {
		t.Fatal(err)
	}
	arn := h.role(rolesAccount, "r", rolesTrust(`{"AWS":"arn:aws:iam::`+rolesAccount+`:user/machine"}`, `"sts:AssumeRole"`), "")
	h.outcome(machine.Caller, "", rolesAsk(arn))
	other := h.role(rolesAccount, "other", rolesTrust(rolesOwner, `"sts:AssumeRole"`), "")
	h.outcome(machine.Caller, "AccessDeniedException: ", rolesAsk(other))
}

// TestAssumeRoleInChina has the ARNs of another partition on the outside, and one role behind both.
func TestAssumeRoleInChina(t *testing.T) {
	h := newRolesHouse(t)
	h.region = "cn-north-1"
	ann := h.user(rolesAccount, "ann", "")
	arn := h.role(rolesAccount, "r", rolesTrust(`{"AWS":"arn:aws-cn:iam::`+rolesAccount+`:user/ann"}`, `"sts:AssumeRole"`), "")
	resp := h.outcome(ann, "", rolesAsk(arn)).(*api.AssumeRoleResponse)
	if resp.AssumedRoleUser.Arn.V != "arn:aws-cn:sts::"+rolesAccount+":assumed-role/r/session" {
		t.Errorf("user %+v", resp.AssumedRoleUser)
	}
	h.outcome(ann, "ValidationException: ", rolesAsk("arn:aws:iam::"+rolesAccount+":role/r"))
}

// TestGetAccessKeyInfo tells the account of access keys of every kind.
func TestGetAccessKeyInfo(t *testing.T) {
	h := newRolesHouse(t)
	ann := h.user(rolesAccount, "ann", rolesAllow(`"sts:GetAccessKeyInfo"`))
	h.store(&record.AccessKey{ID: "AKIAOLDANDINACTIVE00", Account: rolesOther, Secret: "s"})
	for id, want := range map[string]string{
		identity.NewAccessKeyID(identity.TemporaryPrefix, rolesOther): rolesOther, "AKIACONFIGURED00": rolesAccount, "AKIAOLDANDINACTIVE00": rolesOther,
	} {
		resp := h.outcome(ann, "", &api.GetAccessKeyInfoRequest{AccessKeyId: api.Some(id)})
		if resp == nil || resp.(*api.GetAccessKeyInfoResponse).Account.V != want {
			t.Errorf("%s: %+v", id, resp)
		}
	}
	h.outcome(ann, "ValidationException: Invalid AccessKeyId", &api.GetAccessKeyInfoRequest{AccessKeyId: api.Some("AKIAIOSFODNN7EXAMPLE")})
	h.outcome(h.user(rolesAccount, "eve", ""), "AccessDeniedException: ", &api.GetAccessKeyInfoRequest{AccessKeyId: api.Some("AKIACONFIGURED00")})
}
