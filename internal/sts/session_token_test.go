package sts_test

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/service"
)

// TestGetSessionToken gets sessions for everybody who can have them, and for how long they are.
func TestGetSessionToken(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	configured := map[string]*service.Caller{}
	for _, c := range b.directory.ConfiguredCallers(mfaAccount) {
		configured[c.AccessKeyID] = c
	}
	for _, tc := range []struct {
		who           string
		caller        *service.Caller
		seconds, want int64
	}{
		{"a user", ann, 0, 43200}, {"a user", ann, 900, 900}, {"a user", ann, 129600, 129600},
		{"a root user", b.root, 0, 3600}, {"a root user", b.root, 900, 900}, {"a root user", b.root, 43200, 3600},
		{"a configured user", configured[mfaMachine], 0, 43200}, {"a configured root user", configured[mfaRootKey], 7200, 3600},
	} {
		q := &api.GetSessionTokenRequest{}
		if tc.seconds != 0 {
			q.DurationSeconds = api.Some(tc.seconds)
		}
		resp := b.must(tc.caller, "sts.GetSessionToken", q).(*api.GetSessionTokenResponse)
		c := resp.Credentials
		if got := c.Expiration.V.Sub(b.realTime()); got != time.Duration(tc.want)*time.Second {
			t.Errorf("%s: the session is for %s, want %d seconds", tc.who, got, tc.want)
		}
		if !strings.HasPrefix(c.AccessKeyId.V, "ASIA") || identity.AccountOf(c.AccessKeyId.V) != mfaAccount || resp.SessionTokenSize.V != int64(len(c.SessionToken.V)) {
			t.Errorf("%s: %s, token of %d", tc.who, c.AccessKeyId.V, resp.SessionTokenSize.V)
		}
		found, err := b.directory.Lookup(t.Context(), c.AccessKeyId.V, c.SessionToken.V)
		if err != nil {
			t.Fatalf("%s: %v", tc.who, err)
		}
		got := found.Caller
		if got.ARN != tc.caller.ARN || got.PrincipalID != tc.caller.PrincipalID || got.Type != tc.caller.Type || got.UserName != tc.caller.UserName || !got.Session.MFA.IsZero() || got.Session.NoMFA {
			t.Errorf("%s: the session is of %+v", tc.who, got)
		}
		if _, err := b.as(got, "sts.GetSessionToken", &api.GetSessionTokenRequest{}); err == nil || err.Code != api.AccessDeniedException || err.Message != "Cannot call GetSessionToken with session credentials" {
			t.Errorf("%s: a session of a session: %v", tc.who, err)
		}
	}
	for _, seconds := range []int64{899, 129601} {
		if _, err := b.as(ann, "sts.GetSessionToken", &api.GetSessionTokenRequest{DurationSeconds: api.Some(seconds)}); err == nil || err.Code != api.ValidationException {
			t.Errorf("%d seconds: %v", seconds, err)
		}
	}
	stranger := service.NewCaller(service.Caller{Account: mfaAccount, ARN: "arn:aws:sts::" + mfaAccount + ":web", Type: "WebIdentityUser", Session: &service.Session{}})
	if _, err := b.as(stranger, "sts.GetSessionToken", &api.GetSessionTokenRequest{}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("the bearer of a web identity token: %v", err)
	}
}

// TestSessionEnds: a session is over when its user is gone, whatever its token says, and when its time has come.
func TestSessionEnds(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	c := b.must(ann, "sts.GetSessionToken", &api.GetSessionTokenRequest{DurationSeconds: api.Some[int64](900)}).(*api.GetSessionTokenResponse).Credentials
	lookup := func() error {
		_, err := b.directory.Lookup(t.Context(), c.AccessKeyId.V, c.SessionToken.V)
		return err
	}
	b.pass(899 * time.Second)
	if err := lookup(); err != nil {
		t.Errorf("in its time: %v", err)
	}
	b.pass(time.Second)
	if err := lookup(); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("after its time: %v", err)
	}
	b.pass(-time.Second)
	b.must(b.root, "iam.DeleteUser", &api.DeleteUserRequest{UserName: api.Some("ann")})
	if err := lookup(); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("of a user that was deleted: %v", err)
	}
}

// TestSessionTokenSize asks for tokens of a size.
func TestSessionTokenSize(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	for _, size := range []int64{0, 1, 600, 601, 602, 603, 4096} {
		resp := b.must(ann, "sts.GetSessionToken", &api.GetSessionTokenRequest{MinimumSessionTokenSize: api.Some(size)}).(*api.GetSessionTokenResponse)
		c := resp.Credentials
		if n := int64(len(c.SessionToken.V)); n < size || n > max(size+24, 600) || resp.SessionTokenSize.V != n {
			t.Errorf("at least %d asked for: %d, said to be %d", size, n, resp.SessionTokenSize.V)
		}
		if _, err := b.directory.Lookup(t.Context(), c.AccessKeyId.V, c.SessionToken.V); err != nil {
			t.Errorf("a token of %d: %v", size, err)
		}
	}
}

// TestWithoutMFA: a session without a code cannot call IAM, nor any session STS, but to assume roles and to know who it is.
func TestWithoutMFA(t *testing.T) {
	b := newMFABench(t)
	asks := func(c *service.Caller, service, name string) *api.Error {
		op := mfaOp(service, name)
		b.ops[service+"."+name] = op
		_, err := b.as(c, service+"."+name, &api.GetCallerIdentityRequest{})
		return err
	}
	ann := b.user("ann")
	plain := b.signIn(ann, &api.GetSessionTokenRequest{})
	withMFA := *plain
	s := *plain.Session
	s.MFA = b.realTime()
	withMFA.Session = &s
	roleSession := service.NewCaller(service.Caller{
		Account: mfaAccount, ARN: "arn:aws:sts::" + mfaAccount + ":assumed-role/r/s", Type: "AssumedRole", PrincipalID: "AROA:s", Session: &service.Session{NoMFA: true},
	})
	for _, tc := range []struct {
		who    string
		caller *service.Caller
		name   string
		iam    bool
		sts    bool
	}{
		{"long-term credentials", ann, "GetAccessKeyInfo", true, true},
		{"a session without a code", plain, "GetAccessKeyInfo", false, false},
		{"a session with a code", service.NewCaller(withMFA), "GetAccessKeyInfo", true, false},
		{"the session of a role", roleSession, "GetAccessKeyInfo", true, true},
		{"a session without a code", plain, "AssumeRole", false, true},
		{"a root session", b.signIn(b.root, &api.GetSessionTokenRequest{}), "AssumeRole", false, true},
	} {
		c := tc.caller
		if c.Type != "Root" {
			c = mfaAllowed(t, c)
		}
		if err := asks(c, "iam", tc.name); (err == nil) != tc.iam {
			t.Errorf("%s: iam: %v", tc.who, err)
		}
		if err := asks(c, "sts", tc.name); (err == nil) != tc.sts {
			t.Errorf("%s: sts:%s: %v", tc.who, tc.name, err)
		}
		if _, err := b.as(c, "sts.GetCallerIdentity", &api.GetCallerIdentityRequest{}); err != nil {
			t.Errorf("%s: who it is: %v", tc.who, err)
		}
	}
}

// mfaOp is an operation that needs a permission and does nothing.
func mfaOp(of, name string) *service.Op {
	return service.Def[api.GetCallerIdentityRequest, api.GetCallerIdentityResponse]{
		Name: name, Kind: service.Read, Actions: []string{of + ":" + name},
		Plan: func(*service.Tx, *api.GetCallerIdentityRequest, []service.Target) (*api.GetCallerIdentityResponse, error) {
			return &api.GetCallerIdentityResponse{}, nil
		},
	}.Op(of)
}

// What GetSessionToken answers.
const (
	mfaBadSerial = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
	mfaBadCode   = "MultiFactorAuthentication failed with invalid MFA one time pass code."
	mfaOne       = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
)

func (b *mfaBench) refuses(why string, caller *service.Caller, q *api.GetSessionTokenRequest, code api.ErrorCode, message string) {
	b.t.Helper()
	if _, err := b.as(caller, "sts.GetSessionToken", q); err == nil || err.Code != code || err.Message != message {
		b.t.Errorf("%s: %v, want %s: %s", why, err, code, message)
	}
}

// TestMFACodes gives codes of devices, right and wrong. What cannot be seen from the serial number alone has one answer.
func TestMFACodes(t *testing.T) {
	b := newMFABench(t)
	ann, eve := b.user("ann"), b.user("eve")
	phone := b.phone("ann").enable("ann")
	b.phone("eve").enable("eve")
	loose := b.phone("loose")
	c := b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
	if !c.Session.MFA.Equal(b.realTime()) {
		t.Errorf("the code was given at %s", c.Session.MFA)
	}
	b.pass(30 * time.Second)
	denied := api.AccessDeniedException
	b.refuses("no code", ann, &api.GetSessionTokenRequest{SerialNumber: api.Some(phone.serial)}, api.AccessDeniedException, mfaOne)
	b.refuses("no serial number", ann, &api.GetSessionTokenRequest{TokenCode: api.Some(phone.code(0))}, api.AccessDeniedException, mfaOne)
	for _, serial := range []string{
		"GAHT12345678", "arn:aws:iam::" + mfaAccount + ":user/ann", "arn:aws:iam::999988887777:mfa/ann", "arn:aws-cn:iam::" + mfaAccount + ":mfa/ann", "arn:aws:sts::" + mfaAccount + ":mfa/ann",
	} {
		b.refuses(serial, ann, mfaRequest(serial, phone.code(0)), denied, mfaBadSerial)
	}
	b.refuses("a root user", b.root, mfaRequest(phone.serial, phone.code(0)), denied, mfaBadSerial)
	b.refuses("a wrong code", ann, mfaRequest(phone.serial, phone.wrong()), denied, mfaBadCode)
	b.refuses("no device", ann, mfaRequest(phone.serial+"x", phone.code(0)), denied, mfaBadCode)
	b.refuses("another path", ann, mfaRequest(strings.Replace(phone.serial, "mfa/", "mfa/path/", 1), phone.code(0)), denied, mfaBadCode)
	b.refuses("another case", ann, mfaRequest(strings.Replace(phone.serial, "mfa/ann", "mfa/Ann", 1), phone.code(0)), denied, mfaBadCode)
	b.refuses("of somebody else", eve, mfaRequest(phone.serial, phone.code(0)), denied, mfaBadCode)
	b.refuses("not enabled", ann, mfaRequest(loose.serial, loose.code(0)), denied, mfaBadCode)
	for _, c := range b.directory.ConfiguredCallers(mfaAccount) {
		if c.Type == "IAMUser" {
			b.refuses("a configured user", c, mfaRequest(phone.serial, phone.code(0)), denied, mfaBadCode)
		}
	}
	last := b.must(ann, "sts.GetSessionToken", mfaRequest(phone.serial, phone.code(0))).(*api.GetSessionTokenResponse).Credentials
	b.auditHas(map[string]string{last.AccessKeyId.V: "the session", phone.serial: "the device"}, map[string]string{
		phone.seed: "the seed", `"` + phone.code(0) + `"`: "a code", `"` + phone.code(-1) + `"`: "a code of EnableMFADevice", last.SecretAccessKey.V: "the secret", last.SessionToken.V: "the token",
	})
}

// auditHas looks for what must and what must not be in the audit log, by what it is called.
func (b *mfaBench) auditHas(must, mustNot map[string]string) {
	b.t.Helper()
	if err := b.p.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	var log strings.Builder
	for line, err := range b.sink.Since(0) {
		if err != nil {
			b.t.Fatal(err)
		}
		log.Write(line.JSON)
	}
	for text, what := range must {
		if !strings.Contains(log.String(), text) {
			b.t.Errorf("%s is not in the audit log", what)
		}
	}
	for text, what := range mustNot {
		if strings.Contains(log.String(), text) {
			b.t.Errorf("%s is in the audit log", what)
		}
	}
}

// TestMFAWindow gives codes that are early and late, and codes again.
func TestMFAWindow(t *testing.T) {
	for _, tc := range []struct {
		name   string
		steps  []int // what is given, one after the other
		passes []bool
	}{
		{"now, and again", []int{0, 0}, []bool{true, false}},
		{"late", []int{-1}, []bool{true}},
		{"early", []int{1}, []bool{true}},
		{"too late", []int{-2}, []bool{false}},
		{"too early", []int{2}, []bool{false}},
		{"early, then now", []int{1, 0, -1, 1}, []bool{true, false, false, false}},
		{"late, now, early", []int{-1, 0, 1}, []bool{true, true, true}},
		{"now, then late", []int{0, -1, 1}, []bool{true, false, true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newMFABench(t)
			ann := b.user("ann")
			phone := b.phone("ann").enable("ann")
			b.pass(5 * time.Minute)
			for i, step := range tc.steps {
				if _, err := b.as(ann, "sts.GetSessionToken", mfaRequest(phone.serial, phone.code(step))); (err == nil) != tc.passes[i] {
					t.Errorf("code %d: %v", i, err)
				}
			}
		})
	}
}

// TestMFADrift uses a device whose clock is wrong.
func TestMFADrift(t *testing.T) {
	for _, ahead := range []time.Duration{-4 * time.Minute, -time.Minute, time.Minute, 3 * time.Hour, 23 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			b := newMFABench(t)
			ann := b.user("ann")
			phone := b.phone("ann")
			first := ahead
			if ahead > 5*time.Minute {
				first = 0 // then its clock is turned
			}
			phone.ahead = first
			phone.enable("ann")
			b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
			if first == ahead {
				return
			}
			phone.ahead = ahead
			b.refuses("before it is synchronized", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
			b.must(b.root, "iam.ResyncMFADevice", &api.ResyncMFADeviceRequest{
				UserName: api.Some("ann"), SerialNumber: api.Some(phone.serial), AuthenticationCode1: api.Some(phone.code(-1)), AuthenticationCode2: api.Some(phone.code(0)),
			})
			b.refuses("a code that synchronizing has used", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
			b.pass(30 * time.Second)
			b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
			phone.ahead = 0
			b.refuses("what it showed before", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
		})
	}
}

// TestMFALock guesses: after five failures also the right code is refused, for longer and longer, and with the same words.
func TestMFALock(t *testing.T) {
	b := newMFABench(t)
	ann, eve := b.user("ann"), b.user("eve")
	phone, other := b.phone("ann").enable("ann"), b.phone("other").enable("ann")
	enemy := b.phone("eve").enable("eve")
	guess := func() {
		t.Helper()
		b.refuses("a guess", ann, mfaRequest(phone.serial, phone.wrong()), api.AccessDeniedException, mfaBadCode)
	}
	for range 4 {
		guess()
	}
	b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
	b.pass(30 * time.Second)
	for range 5 {
		guess()
	}
	locked := func(after time.Duration) {
		t.Helper()
		b.pass(after - time.Second)
		b.refuses("the right code, too early", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
		b.pass(time.Second)
	}
	locked(time.Minute)
	guess()
	b.signIn(ann, mfaRequest(other.serial, other.code(0))) // another device of hers
	b.signIn(eve, mfaRequest(enemy.serial, enemy.code(0)))
	for range 10 { // what others try in vain counts for nobody
		b.refuses("eve", eve, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
	}
	locked(2 * time.Minute)
	guess()
	locked(4 * time.Minute)
	b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
	b.pass(30 * time.Second)
	for range 4 {
		guess()
	}
	b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
}

// TestMFALockResync: synchronizing tries codes as well.
func TestMFALockResync(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	phone := b.phone("ann").enable("ann")
	resync := func(code1, code2 string) *api.Error {
		_, err := b.as(b.root, "iam.ResyncMFADevice", &api.ResyncMFADeviceRequest{
			UserName: api.Some("ann"), SerialNumber: api.Some(phone.serial), AuthenticationCode1: api.Some(code1), AuthenticationCode2: api.Some(code2),
		})
		return err
	}
	b.pass(time.Hour)
	for range 5 {
		if err := resync(phone.code(1), phone.code(0)); err == nil || err.Code != api.InvalidAuthenticationCode || err.Message != "Authentication code for device is not valid." {
			t.Fatalf("in the wrong order: %v", err)
		}
	}
	if err := resync(phone.code(0), phone.code(1)); err == nil || err.Code != api.InvalidAuthenticationCode {
		t.Errorf("locked: %v", err)
	}
	b.refuses("locked", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
	b.pass(time.Minute)
	if err := resync(phone.code(0), phone.code(1)); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestMFASameCode uses a code twice at once: while one call is about to commit, another does. Exactly one wins.
func TestMFASameCode(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	phone := b.phone("ann").enable("ann")
	q := func() *api.GetSessionTokenRequest { return mfaRequest(phone.serial, phone.code(0)) }
	b.beforeCommit(func() { b.signIn(ann, q()) })
	b.refuses("the slower one", ann, q(), api.AccessDeniedException, mfaBadCode)

	b.pass(30 * time.Second)
	var wg sync.WaitGroup
	won := make(chan bool, 4)
	for range cap(won) { // fewer than would lock the device
		wg.Go(func() {
			_, err := b.as(ann, "sts.GetSessionToken", q())
			won <- err == nil
		})
	}
	wg.Wait()
	close(won)
	n := 0
	for w := range won {
		if w {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of the calls at once have won", n)
	}
}

// TestMFAConflict: a call that is planned anew counts once. The fifth try locks the device unless it is right.
func TestMFAConflict(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	phone := b.phone("ann").enable("ann")
	for range 4 {
		b.refuses("a guess", ann, mfaRequest(phone.serial, phone.wrong()), api.AccessDeniedException, mfaBadCode)
	}
	b.beforeCommit(func() {
		b.must(b.root, "iam.TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: api.Some(phone.serial), Tags: []api.IamTag{{Key: api.Some("a"), Value: api.Some("b")}}})
	})
	b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
	b.refuses("again", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
}

// TestDeletionWithMFA protects a key's deletion as AWS's guides do ("Requiring MFA to delete", "Example: denying access without MFA").
func TestDeletionWithMFA(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	phone := b.phone("ann").enable("ann")
	plain := b.signIn(ann, &api.GetSessionTokenRequest{})
	withCode := b.signIn(ann, mfaRequest(phone.serial, phone.code(0)))
	b.refuses("the code again", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
	deletes := func(c *service.Caller, condition string) *api.Error {
		statement := func(effect, principal, condition string) string {
			return fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:ScheduleKeyDeletion","Resource":"*"%s}`, effect, principal, condition)
		}
		key := b.must(b.root, "kms.CreateKey", &api.CreateKeyRequest{Policy: api.Some(`{"Version":"2012-10-17","Statement":[` +
			fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"},`, "arn:aws:iam::"+mfaAccount+":root") +
			statement("Allow", ann.ARN, "") + "," + statement("Deny", "*", `,"Condition":`+condition) + "]}")}).(*api.CreateKeyResponse)
		_, err := b.as(c, "kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: key.KeyMetadata.KeyId})
		return err
	}
	const byBool, byBoolIfExists = `{"Bool":{"aws:MultiFactorAuthPresent":"false"}}`, `{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`
	const old, oldOrNone, young = `{"NumericGreaterThan":{"aws:MultiFactorAuthAge":"300"}}`, `{"NumericGreaterThanIfExists":{"aws:MultiFactorAuthAge":"300"}}`, `{"NumericLessThan":{"aws:MultiFactorAuthAge":"300"}}`
	const none = `{"Null":{"aws:MultiFactorAuthAge":"true"}}`
	check := func(when string, c *service.Caller, want map[string]bool) {
		t.Helper()
		for condition, may := range want {
			if err := deletes(c, condition); (err == nil) != may || err != nil && err.Code != api.AccessDeniedException {
				t.Errorf("%s, denied by %s: %v", when, condition, err)
			}
		}
	}
	// With long-term credentials the keys are absent: Bool does not see them.
	check("long-term credentials", ann, map[string]bool{byBool: true, byBoolIfExists: false, old: true, oldOrNone: false, young: true, none: false})
	check("a session without a code", plain, map[string]bool{byBool: false, byBoolIfExists: false, old: true, oldOrNone: false, young: true, none: false})
	check("a session with a code", withCode, map[string]bool{byBool: true, byBoolIfExists: true, old: true, oldOrNone: true, young: false, none: true})
	b.pass(300 * time.Second)
	check("after 300 seconds", withCode, map[string]bool{byBool: true, old: true, oldOrNone: true, young: true})
	b.pass(time.Second)
	check("after 301 seconds", withCode, map[string]bool{byBool: true, byBoolIfExists: true, old: false, oldOrNone: false, young: true})
}

// TestMFAAssumeRole assumes a role with a code. A code that the policies do not get as far as to let use is not used up, but it counts as a try:
// or else it would be told from a wrong one for nothing.
func TestMFAAssumeRole(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	phone := b.phone("ann").enable("ann")
	role := func(name, principal string) api.Opt[string] {
		r := b.must(b.root, "iam.CreateRole", &api.CreateRoleRequest{RoleName: api.Some(name), AssumeRolePolicyDocument: api.Some(fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}}`, principal))})
		return r.(*api.CreateRoleResponse).Role.Arn
	}
	mine, others := role("mine", ann.ARN), role("others", b.user("bob").ARN)
	assume := func(role api.Opt[string], code string) *api.Error {
		q := &api.AssumeRoleRequest{RoleArn: role, RoleSessionName: api.Some("session")}
		if code != "" {
			q.SerialNumber, q.TokenCode = api.Some(phone.serial), api.Some(code)
		}
		_, err := b.as(ann, "sts.AssumeRole", q)
		return err
	}
	refused := func(why string, err *api.Error, message string) {
		t.Helper()
		if err == nil || err.Code != api.AccessDeniedException || !strings.HasPrefix(err.Message, message) {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("without a code", assume(mine, ""), "User: ")
	refused("a wrong code", assume(mine, phone.wrong()), mfaBadCode)
	refused("a role of somebody else", assume(others, phone.code(0)), "User: ")
	if err := assume(mine, phone.code(0)); err != nil {
		t.Errorf("with a code that was not used: %v", err)
	}
	refused("again", assume(mine, phone.code(0)), mfaBadCode)
	b.refuses("for a session", ann, mfaRequest(phone.serial, phone.code(0)), api.AccessDeniedException, mfaBadCode)
	for range 3 {
		refused("a role of somebody else", assume(others, phone.code(1)), "User: ")
	}
	refused("the sixth try in vain", assume(mine, phone.code(1)), mfaBadCode)
}

// TestMFAInFIPSMode: in FIPS 140-only mode there are no MFA devices, and sessions without a code.
func TestMFAInFIPSMode(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("FIPS 140-only mode is off")
	}
	b := newMFABench(t)
	ann := b.user("ann")
	serial := "arn:aws:iam::" + mfaAccount + ":mfa/ann"
	b.refuses("a code", ann, mfaRequest(serial, "123456"), api.UnsupportedOperationException, identity.ErrNoMFA.Message)
	if _, err := b.as(b.root, "iam.CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some("ann")}); err == nil || err.Code != api.UnsupportedOperationException {
		t.Errorf("a device: %v", err)
	}
	b.signIn(ann, &api.GetSessionTokenRequest{})
}
