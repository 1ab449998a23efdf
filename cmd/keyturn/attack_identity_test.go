package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// document is a policy of one statement that allows.
func document(members string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + members + `}]}`)
}

// user makes a user of the victim's account with an inline policy, "" for none, and returns its access key.
func (f *battlefield) user(t *testing.T, name string, members string, tags ...iamtypes.Tag) aws.Credentials {
	t.Helper()
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	if _, err := admin.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name, Tags: tags}); err != nil {
		t.Fatal(err)
	}
	if members != "" {
		if _, err := admin.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("inline"), PolicyDocument: document(members)}); err != nil {
			t.Fatal(err)
		}
	}
	key, err := admin.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	f.secret(*key.AccessKey.SecretAccessKey)
	return aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
}

// role makes a role of the victim's account.
func (f *battlefield) role(t *testing.T, name, trust, members string) (arn string) {
	t.Helper()
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	r, err := admin.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: document(trust)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("inline"), PolicyDocument: document(members)}); err != nil {
		t.Fatal(err)
	}
	return *r.Role.Arn
}

// key makes a key of the victim's with a key policy, "" for the default.
func (f *battlefield) key(t *testing.T, policy string) (arn string) {
	t.Helper()
	q := &awskms.CreateKeyInput{}
	if policy != "" {
		q.Policy = &policy
	}
	k, err := f.kms(victimRoot, "setup", nil).CreateKey(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return *k.KeyMetadata.Arn
}

func (f *battlefield) temporary(c *ststypes.Credentials) aws.Credentials {
	f.secret(*c.SecretAccessKey, *c.SessionToken)
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
}

func (f *battlefield) encrypt(ctx context.Context, creds aws.Credentials, name, key string) (*awskms.EncryptOutput, error) {
	return f.kms(creds, name, nil).Encrypt(ctx, &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x")})
}

// TestAttackAccounts tries to get at what is another account's.
func TestAttackAccounts(t *testing.T) {
	f := newBattlefield(t)
	ctx, admin := t.Context(), f.kms(victimRoot, "setup", nil)
	arn := f.key(t, "")
	sealed, err := f.encrypt(ctx, victimRoot, "setup", arn)
	if err != nil {
		t.Fatal(err)
	}
	const denied = "AccessDeniedException"
	_, err = f.encrypt(ctx, strangerRoot, "foreign-key", arn)
	f.refused(t, "foreign-key", denied, true, err)
	_, err = f.kms(strangerRoot, "foreign-ciphertext", nil).Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	f.refused(t, "foreign-ciphertext", denied, true, err)
	_, err = f.kms(strangerRoot, "foreign-policy", nil).PutKeyPolicy(ctx, &awskms.PutKeyPolicyInput{KeyId: &arn, Policy: aws.String("{}")})
	f.refused(t, "foreign-policy", denied, true, err)
	missing := arn[:len(arn)-4] + "0000"
	_, err = f.encrypt(ctx, strangerRoot, "foreign-key-that-is-not-there", missing)
	f.refused(t, "foreign-key-that-is-not-there", denied, true, err)

	// Aliases: the same name in both accounts, the victim's by its ARN, and one of the stranger's that is to point at the victim's key.
	if _, err := admin.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String("alias/prod"), TargetKeyId: &arn}); err != nil {
		t.Fatal(err)
	}
	_, err = f.kms(strangerRoot, "alias-to-a-foreign-key", nil).CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String("alias/mine"), TargetKeyId: &arn})
	if code := apiCode(err); code != "ValidationException" && code != denied && code != "InvalidArnException" && code != "NotFoundException" {
		t.Errorf("an alias for another account's key: %v", err)
	} else {
		f.refused(t, "alias-to-a-foreign-key", code, true, err)
	}
	_, err = f.encrypt(ctx, strangerRoot, "foreign-alias", "arn:aws:kms:"+attackRegion+":"+victim+":alias/prod")
	f.refused(t, "foreign-alias", denied, true, err)
	_, err = f.encrypt(ctx, strangerRoot, "alias-name", "alias/prod")
	f.refused(t, "alias-name", "NotFoundException", true, err)
	own, err := f.kms(strangerRoot, "setup", nil).CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.kms(strangerRoot, "setup", nil).CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String("alias/prod"), TargetKeyId: own.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	if e, err := f.encrypt(ctx, victimRoot, "setup", "alias/prod"); err != nil || *e.KeyId != arn {
		t.Errorf("the victim's alias leads to %v, %v", e, err)
	}
	if e, err := f.encrypt(ctx, strangerRoot, "setup", "alias/prod"); err != nil || *e.KeyId != *own.KeyMetadata.Arn {
		t.Errorf("the stranger's alias leads to %v, %v", e, err)
	}

	// Identities.
	ann := f.user(t, "ann", `"Action":"kms:ListKeys","Resource":"*"`)
	policy, err := f.iam(victimRoot, "setup", nil).CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: document(`"Action":"*","Resource":"*"`)})
	if err != nil {
		t.Fatal(err)
	}
	eve := f.iam(strangerRoot, "foreign-user", nil)
	_, err = eve.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: aws.String("ann")})
	f.refused(t, "foreign-user", "NoSuchEntity", true, err)
	if _, err := f.iam(strangerRoot, "setup", nil).CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("ann")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.iam(strangerRoot, "foreign-managed-policy", nil).AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: policy.Policy.Arn})
	f.refused(t, "foreign-managed-policy", "NoSuchEntity", true, err)

	// What a user may not do for itself.
	for name, try := range map[string]func(c *awsiam.Client) error{
		"makes-itself-admin": func(c *awsiam.Client) error {
			_, err := c.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
			return err
		},
		"writes-itself-a-policy": func(c *awsiam.Client) error {
			_, err := c.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("all"), PolicyDocument: document(`"Action":"*","Resource":"*"`)})
			return err
		},
		"makes-itself-a-key": func(c *awsiam.Client) error {
			_, err := c.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{})
			return err
		},
		"changes-a-policy": func(c *awsiam.Client) error {
			_, err := c.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: policy.Policy.Arn, PolicyDocument: document(`"Action":"*","Resource":"*"`), SetAsDefault: true})
			return err
		},
		"lifts-its-boundary": func(c *awsiam.Client) error {
			_, err := c.DeleteUserPermissionsBoundary(ctx, &awsiam.DeleteUserPermissionsBoundaryInput{UserName: aws.String("ann")})
			return err
		},
	} {
		f.refused(t, name, "AccessDenied", true, try(f.iam(ann, name, nil)))
	}
	f.inspect(t)
}

// TestAttackDeputy makes somebody else's rights work for the attacker: a role without its external ID, session policies that ask for more
// than the role has, values of the attacker's that policies put into patterns.
func TestAttackDeputy(t *testing.T) {
	f := newBattlefield(t)
	ctx := t.Context()
	role := f.role(t, "deputy", `"Principal":{"AWS":"`+stranger+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"the-agreed-one"}}`,
		`"Action":"kms:Encrypt","Resource":"*"`)
	assume := func(creds aws.Credentials, name string, q awssts.AssumeRoleInput) (*awssts.AssumeRoleOutput, error) {
		q.RoleSessionName = aws.String("session")
		if q.RoleArn == nil {
			q.RoleArn = &role
		}
		return f.sts(creds, name, nil).AssumeRole(ctx, &q)
	}
	machine := f.strangersUser(t, "machine", `"Action":"sts:AssumeRole","Resource":"`+role+`"`)
	idle := f.strangersUser(t, "idle", "")
	agreed := awssts.AssumeRoleInput{ExternalId: aws.String("the-agreed-one")}
	out, err := assume(machine, "setup", agreed)
	if err != nil {
		t.Fatal(err)
	}
	session := f.temporary(out.Credentials)
	const denied = "AccessDenied"
	_, err = assume(machine, "no-external-id", awssts.AssumeRoleInput{})
	f.refused(t, "no-external-id", denied, true, err)
	_, err = assume(machine, "wrong-external-id", awssts.AssumeRoleInput{ExternalId: aws.String("another")})
	f.refused(t, "wrong-external-id", denied, true, err)
	_, err = assume(idle, "own-account-does-not-allow", agreed)
	f.refused(t, "own-account-does-not-allow", denied, true, err)
	_, err = assume(strangerRoot, "as-root", agreed)
	f.refused(t, "as-root", denied, true, err)
	_, missing := assume(machine, "role-that-is-not-there", awssts.AssumeRoleInput{RoleArn: aws.String(role + "x"), ExternalId: agreed.ExternalId})
	f.refused(t, "role-that-is-not-there", denied, true, missing)
	ann := f.user(t, "ann", `"Action":"sts:AssumeRole","Resource":"*"`)
	_, err = assume(ann, "not-trusted", agreed)
	f.refused(t, "not-trusted", denied, true, err)

	key := f.key(t, "")
	if _, err := f.encrypt(ctx, session, "setup", key); err != nil {
		t.Fatal(err)
	}
	_, err = f.kms(session, "more-than-the-role", nil).ScheduleKeyDeletion(ctx, &awskms.ScheduleKeyDeletionInput{KeyId: &key})
	f.refused(t, "more-than-the-role", "AccessDeniedException", true, err)
	wide := agreed
	wide.Policy = document(`"Action":"*","Resource":"*"`)
	out, err = assume(machine, "setup", wide)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.kms(f.temporary(out.Credentials), "session-policy-for-all", nil).ScheduleKeyDeletion(ctx, &awskms.ScheduleKeyDeletionInput{KeyId: &key})
	f.refused(t, "session-policy-for-all", "AccessDeniedException", true, err)
	narrow := agreed
	narrow.Policy = document(`"Action":"kms:Decrypt","Resource":"*"`)
	out, err = assume(machine, "setup", narrow)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.encrypt(ctx, f.temporary(out.Credentials), "session-policy-without-it", key)
	f.refused(t, "session-policy-without-it", "AccessDeniedException", true, err)

	// A tag whose value would be a wildcard, or a variable of its own, if a policy's pattern took it in, is none that IAM takes.
	for name, value := range map[string]string{"tag-as-wildcard": "*", "tag-as-variable": "${aws:username}", "tag-with-question-marks": "???"} {
		_, err = f.iam(victimRoot, name, nil).TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("ann"), Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: &value}}})
		f.refused(t, name, "ValidationError", true, err)
	}
	// Encryption contexts can hold anything; the policy's pattern is its own, and the user's name is put into it as it is.
	bob := f.user(t, "bob", `"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:user":"${aws:username}"}}`)
	for name, value := range map[string]string{"context-as-wildcard": "*", "context-as-variable": "${aws:username}", "context-of-another": "ann", "context-with-a-suffix": "bob\x00"} {
		_, err = f.kms(bob, name, nil).Encrypt(ctx, &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{"user": value}})
		f.refused(t, name, "AccessDeniedException", true, err)
	}
	if _, err = f.kms(bob, "setup", nil).Encrypt(ctx, &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{"user": "bob"}}); err != nil {
		t.Error(err)
	}
	f.inspect(t)
}

// strangersUser is user, in the stranger's account.
func (f *battlefield) strangersUser(t *testing.T, name, members string) aws.Credentials {
	t.Helper()
	ctx, admin := t.Context(), f.iam(strangerRoot, "setup", nil)
	if _, err := admin.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if members != "" {
		if _, err := admin.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("inline"), PolicyDocument: document(members)}); err != nil {
			t.Fatal(err)
		}
	}
	key, err := admin.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	f.secret(*key.AccessKey.SecretAccessKey)
	return aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
}

// TestAttackSessions uses sessions that are not, or no longer, good.
func TestAttackSessions(t *testing.T) {
	f := newBattlefield(t)
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	key := f.key(t, "")
	ann := f.user(t, "ann", `"Action":["kms:Encrypt","sts:AssumeRole"],"Resource":"*"`)
	role := f.role(t, "deploy", `"Principal":{"AWS":"`+victim+`"},"Action":"sts:AssumeRole"`, `"Action":"kms:Encrypt","Resource":"*"`)
	session := func() aws.Credentials {
		t.Helper()
		out, err := f.sts(ann, "setup", nil).GetSessionToken(ctx, &awssts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
		if err != nil {
			t.Fatal(err)
		}
		return f.temporary(out.Credentials)
	}
	assumed := func() aws.Credentials {
		t.Helper()
		out, err := f.sts(ann, "setup", nil).AssumeRole(ctx, &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("session"), DurationSeconds: aws.Int32(900)})
		if err != nil {
			t.Fatal(err)
		}
		return f.temporary(out.Credentials)
	}
	const unknown = "UnrecognizedClientException"
	good, other := session(), assumed()
	for _, creds := range []aws.Credentials{good, other} {
		if _, err := f.encrypt(ctx, creds, "setup", key); err != nil {
			t.Fatal(err)
		}
	}
	bad := good
	bad.SessionToken = other.SessionToken
	_, err := f.encrypt(ctx, bad, "anothers-token", key)
	f.refused(t, "anothers-token", unknown, false, err)
	bad.SessionToken = ""
	_, err = f.encrypt(ctx, bad, "without-its-token", key)
	f.refused(t, "without-its-token", unknown, false, err)
	bad.SessionToken = good.SessionToken[:20] + "A" + good.SessionToken[21:]
	if bad.SessionToken == good.SessionToken {
		bad.SessionToken = good.SessionToken[:20] + "B" + good.SessionToken[21:]
	}
	_, err = f.encrypt(ctx, bad, "altered-token", key)
	f.refused(t, "altered-token", unknown, false, err)
	bad = good
	bad.SecretAccessKey = other.SecretAccessKey
	_, err = f.encrypt(ctx, bad, "anothers-secret", key)
	f.refused(t, "anothers-secret", "InvalidSignatureException", false, err)
	_, err = f.iam(good, "iam-without-mfa", nil).ListUsers(ctx, &awsiam.ListUsersInput{})
	f.refused(t, "iam-without-mfa", "AccessDenied", true, err)
	_, err = f.sts(good, "session-from-a-session", nil).GetSessionToken(ctx, &awssts.GetSessionTokenInput{})
	f.refused(t, "session-from-a-session", "AccessDenied", true, err)

	// Expired: requests signed at the time that the server has by then.
	f.ahead.Store(int64(16 * time.Minute))
	for name, creds := range map[string]aws.Credentials{"expired-session": good, "expired-role": other} {
		r := f.request(t, name, `{"KeyId":"`+key+`","Plaintext":"eA=="}`)
		r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
		signAt(t, ctx, r, creds, "kms", time.Now().Add(16*time.Minute))
		f.refusedRaw(t, name, "ExpiredTokenException", r)
	}
	f.ahead.Store(0)

	// A role that is gone, and one that is made again in its name.
	other = assumed()
	if _, err := admin.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("deploy"), PolicyName: aws.String("inline")}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("deploy")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.encrypt(ctx, other, "deleted-role", key)
	f.refused(t, "deleted-role", unknown, false, err)
	f.role(t, "deploy", `"Principal":{"AWS":"`+victim+`"},"Action":"sts:AssumeRole"`, `"Action":"kms:*","Resource":"*"`)
	_, err = f.encrypt(ctx, other, "role-made-again", key)
	f.refused(t, "role-made-again", unknown, false, err)

	// A user that is gone: its key, and its session.
	good = session()
	if _, err := admin.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: &ann.AccessKeyID}); err != nil {
		t.Fatal(err)
	}
	_, err = f.encrypt(ctx, ann, "deleted-key", key)
	f.refused(t, "deleted-key", unknown, false, err)
	if _, err := admin.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("inline")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.encrypt(ctx, good, "session-without-policy", key)
	f.refused(t, "session-without-policy", "AccessDeniedException", true, err)
	if _, err := admin.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: aws.String("ann")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.encrypt(ctx, good, "deleted-users-session", key)
	f.refused(t, "deleted-users-session", unknown, false, err)
	f.user(t, "ann", `"Action":"kms:*","Resource":"*"`)
	_, err = f.encrypt(ctx, good, "user-made-again", key)
	f.refused(t, "user-made-again", unknown, false, err)
	f.inspect(t)
}

// TestAttackRevoked takes rights away while they are used: a call that begins after the revoking one has returned must be refused.
func TestAttackRevoked(t *testing.T) {
	f := newBattlefield(t)
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	kms := f.kms(victimRoot, "setup", nil)
	allowed := `"Action":"kms:Encrypt","Resource":"*"`
	for _, tc := range []struct {
		name   string
		code   string
		known  bool
		rights func(t *testing.T, user string) (aws.Credentials, string)
		revoke func(t *testing.T, user, key string, creds aws.Credentials) error
	}{
		{"revoked-grant", "AccessDeniedException", true,
			func(t *testing.T, user string) (aws.Credentials, string) {
				key := f.key(t, "")
				creds := f.user(t, user, "")
				_, err := kms.CreateGrant(ctx, &awskms.CreateGrantInput{
					KeyId: &key, GranteePrincipal: aws.String("arn:aws:iam::" + victim + ":user/" + user), Operations: []kmstypes.GrantOperation{"Encrypt"}, Name: aws.String("g"),
				})
				if err != nil {
					t.Fatal(err)
				}
				return creds, key
			},
			func(t *testing.T, _, key string, _ aws.Credentials) error {
				grants, err := kms.ListGrants(ctx, &awskms.ListGrantsInput{KeyId: &key})
				if err != nil || len(grants.Grants) != 1 {
					t.Fatalf("%v, %v", grants, err)
				}
				_, err = kms.RevokeGrant(ctx, &awskms.RevokeGrantInput{KeyId: &key, GrantId: grants.Grants[0].GrantId})
				return err
			}},
		{"changed-key-policy", "AccessDeniedException", true,
			func(t *testing.T, user string) (aws.Credentials, string) {
				creds := f.user(t, user, "")
				return creds, f.key(t, keyPolicyFor("arn:aws:iam::"+victim+":user/"+user))
			},
			func(_ *testing.T, _, key string, _ aws.Credentials) error {
				_, err := kms.PutKeyPolicy(ctx, &awskms.PutKeyPolicyInput{KeyId: &key, Policy: aws.String(keyPolicyFor("arn:aws:iam::" + victim + ":root"))})
				return err
			}},
		{"deleted-user-policy", "AccessDeniedException", true,
			func(t *testing.T, user string) (aws.Credentials, string) {
				return f.user(t, user, allowed), f.key(t, "")
			},
			func(_ *testing.T, user, _ string, _ aws.Credentials) error {
				_, err := admin.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: &user, PolicyName: aws.String("inline")})
				return err
			}},
		{"inactive-key", "UnrecognizedClientException", false,
			func(t *testing.T, user string) (aws.Credentials, string) {
				return f.user(t, user, allowed), f.key(t, "")
			},
			func(_ *testing.T, user, _ string, creds aws.Credentials) error {
				_, err := admin.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &creds.AccessKeyID, Status: iamtypes.StatusTypeInactive})
				return err
			}},
		{"disabled-kms-key", "DisabledException", true,
			func(t *testing.T, user string) (aws.Credentials, string) {
				return f.user(t, user, allowed), f.key(t, "")
			},
			func(_ *testing.T, _, key string, _ aws.Credentials) error {
				_, err := kms.DisableKey(ctx, &awskms.DisableKeyInput{KeyId: &key})
				return err
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			creds, key := tc.rights(t, "user-of-"+tc.name)
			var revoked atomic.Bool
			var wrong atomic.Pointer[string]
			var users sync.WaitGroup
			working, refused, stop := newTally(20), newTally(20), make(chan struct{})
			for range 4 {
				users.Go(func() {
					defer working.close()
					defer refused.close()
					for {
						select {
						case <-stop:
							return
						default:
						}
						late := revoked.Load()
						_, err := f.encrypt(ctx, creds, tc.name, key)
						code := apiCode(err)
						switch {
						case late && code == tc.code:
							refused.count()
						case late || err != nil && code != tc.code:
							s := fmt.Sprintf("a call after the revocation (%t): %v", late, err)
							wrong.Store(&s)
							return
						case err == nil:
							working.count()
						}
					}
				})
			}
			<-working.reached
			if err := tc.revoke(t, "user-of-"+tc.name, key, creds); err != nil {
				t.Error(err)
			}
			revoked.Store(true)
			<-refused.reached
			close(stop)
			users.Wait()
			if s := wrong.Load(); s != nil {
				t.Error(*s)
			}
			f.expect = append(f.expect, attack{tc.name, tc.code, tc.known})
		})
	}
	f.inspect(t)
}

// tally closes reached once it has counted enough, or nobody counts any more.
type tally struct {
	reached chan struct{}
	once    sync.Once
	left    atomic.Int64
}

func newTally(n int64) *tally {
	t := &tally{reached: make(chan struct{})}
	t.left.Store(n)
	return t
}

func (t *tally) count() {
	if t.left.Add(-1) <= 0 {
		t.close()
	}
}

func (t *tally) close() { t.once.Do(func() { close(t.reached) }) }

// keyPolicyFor opens a key to a principal, and its administration to the victim's account.
func keyPolicyFor(arn string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"kms:Encrypt","Resource":"*"},` +
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + victim + `:root"},"Action":["kms:Put*","kms:Describe*"],"Resource":"*"}]}`
}

// TestAttackPartitions signs for a partition in which what policies deny is called by another ARN.
func TestAttackPartitions(t *testing.T) {
	for _, names := range [][]string{{attackRegion}, {attackRegion, "cn-north-1"}} {
		f := newBattlefield(t, func(c *appConfig) { c.Regions = regionsOf(t, names) })
		ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
		role := f.role(t, "boss", `"Principal":{"AWS":"`+victim+`"},"Action":"sts:AssumeRole"`, `"Action":"*","Resource":"*"`)
		ann := f.user(t, "ann", `"Action":["iam:*","sts:*"],"Resource":"*"`)
		if _, err := admin.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("not-the-boss"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"` + role + `"}}`)}); err != nil {
			t.Fatal(err)
		}
		_, err := f.iam(ann, "at-home", nil).DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("boss"), PolicyName: aws.String("inline")})
		f.refused(t, "at-home", "AccessDenied", true, err)
		abroad := func(o *awsiam.Options) { o.Region = "cn-north-1" }
		_, err = f.iam(ann, "iam-abroad", nil).DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("boss"), PolicyName: aws.String("inline")}, abroad)
		f.refused(t, "iam-abroad", "SignatureDoesNotMatch", false, err)
		_, err = f.sts(ann, "sts-abroad", nil).AssumeRole(ctx, &awssts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws-cn:iam::" + victim + ":role/boss"), RoleSessionName: aws.String("session"),
		}, func(o *awssts.Options) { o.Region = "cn-north-1" })
		f.refused(t, "sts-abroad", "SignatureDoesNotMatch", false, err)
		f.inspect(t)
	}
}
