package authz

import (
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// What the AWS KMS developer guide says of policies, as facts: for each policy that it describes, requests with the answer that its text
// gives. Pages are named by the last part of their address, https://docs.aws.amazon.com/kms/latest/developerguide/PAGE.html.

const (
	admin      = "arn:aws:iam::111122223333:user/KeyAdmin"
	workerRole = "arn:aws:iam::111122223333:role/Worker"
	outsider   = "arn:aws:iam::444455556666:role/Partner"
)

var (
	adminUser   = &policy.Who{Kind: policy.User, ARN: admin, Account: own}
	worker      = &policy.Who{Kind: policy.RoleSession, ARN: "arn:aws:sts::111122223333:assumed-role/Worker/w1", Role: workerRole, Account: own}
	partner     = &policy.Who{Kind: policy.RoleSession, ARN: "arn:aws:sts::444455556666:assumed-role/Partner/p", Role: outsider, Account: other}
	partnerRoot = &policy.Who{Kind: policy.Root, ARN: "arn:aws:iam::444455556666:root", Account: other}
	stranger    = &policy.Who{}
	cloudTrail  = &policy.Who{Kind: policy.Service, Service: "cloudtrail.amazonaws.com"}
)

// values are condition values by the lower-case names of keys; several are separated by spaces.
type values map[string]string

func (v values) of(key string) ([]string, bool) {
	s, present := v[key]
	return strings.Fields(s), present
}

// fact is a request and its answer.
type fact struct {
	who    *policy.Who
	action string // without its prefix
	values values
	iam    string // statements of the principal's identity policy, "" for none
	want   bool
}

func (f *fact) check(t *testing.T, keyPolicy string) {
	t.Helper()
	q := &Question{Who: f.who, Action: "kms:" + f.action, Resource: key, ResourceAccount: own, Value: f.values.of, OnResource: compiled(t, keyPolicy)}
	if f.iam != "" {
		q.Identity = &Identity{Policies: []Named{{"p", compiled(t, f.iam)}}}
	}
	d, err := Decide(q)
	if err != nil {
		t.Fatal(err)
	}
	if d.Allowed != f.want {
		t.Errorf("%s %s %v with %q: %v; %+v", f.who.ARN, f.action, f.values, f.iam, d.Allowed, d.Statements)
	}
}

const (
	openAccount = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`
	administer  = `{"Effect":"Allow","Principal":{"AWS":"` + admin + `"},"Action":["kms:Create*","kms:Describe*","kms:Enable*","kms:List*","kms:Put*",
		"kms:Update*","kms:Revoke*","kms:Disable*","kms:Get*","kms:Delete*","kms:TagResource","kms:UntagResource","kms:ScheduleKeyDeletion",
		"kms:CancelKeyDeletion","kms:RotateKeyOnDemand"],"Resource":"*"}`
	useKey = `"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"],"Resource":"*"`
	grants = `"Action":["kms:CreateGrant","kms:ListGrants","kms:RevokeGrant"],"Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"}}`

	allowUse      = `{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`
	allowUseOfKey = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + key + `"}`
	allowOtherKey = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:111122223333:key/other"}`
	allowAnything = `{"Effect":"Allow","Action":"*","Resource":"*"}`
)

func to(principal, rest string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},` + rest + `}`
}

func TestKeyPolicyExamples(t *testing.T) {
	for _, tt := range []struct {
		page, policy string
		facts        []fact
	}{
		// The account is the root of trust, and lets IAM policies decide; alone, the statement allows nobody but root.
		{"key-policy-default, enabling IAM policies", openAccount, []fact{
			{root, "PutKeyPolicy", nil, "", true},
			{user, "Decrypt", nil, "", false},
			{user, "Decrypt", nil, allowUseOfKey, true},
			{user, "Decrypt", nil, allowOtherKey, false},
			{worker, "Encrypt", nil, allowUse, true},
			{alien, "Decrypt", nil, allowAnything, false},
			{partnerRoot, "Decrypt", nil, "", false},
			{cloudTrail, "Decrypt", nil, "", false},
		}},
		// Without it IAM policies have no effect, and even root has no access.
		{"key-policy-default, without it", administer, []fact{
			{root, "Decrypt", nil, "", false},
			{user, "Decrypt", nil, allowAnything, false},
			{adminUser, "DescribeKey", nil, "", true},
		}},
		// Administrators manage the key and its policy; they do not use it in cryptographic operations.
		{"key-policy-default, key administrators", openAccount + "," + administer, []fact{
			{adminUser, "PutKeyPolicy", nil, "", true},
			{adminUser, "ScheduleKeyDeletion", nil, "", true},
			{adminUser, "RotateKeyOnDemand", nil, "", true},
			{adminUser, "CreateGrant", nil, "", true},
			{adminUser, "Encrypt", nil, "", false},
			{adminUser, "Decrypt", nil, allowUse, true}, // by the account's statement
			{user, "PutKeyPolicy", nil, "", false},
		}},
		{"key-policy-default, key users", openAccount + "," + to(workerRole, useKey), []fact{
			{worker, "Encrypt", nil, "", true},
			{worker, "GenerateDataKeyWithoutPlaintext", nil, "", true},
			{worker, "ReEncryptTo", nil, "", true},
			{worker, "PutKeyPolicy", nil, "", false},
			{worker, "ScheduleKeyDeletion", nil, "", false},
			{role, "Encrypt", nil, "", false},
		}},
		// Key users let AWS services that are integrated with AWS KMS use the key, and nobody else.
		{"key-policy-default, services", to(workerRole, grants), []fact{
			{worker, "CreateGrant", values{"kms:grantisforawsresource": "true"}, "", true},
			{worker, "CreateGrant", values{"kms:grantisforawsresource": "false"}, "", false},
			{worker, "CreateGrant", nil, "", false},
			{worker, "RetireGrant", values{"kms:grantisforawsresource": "true"}, "", false},
		}},
		// Everybody, in every account, narrowed to those of one account who come by one service: the policies of AWS managed keys.
		{"conditions-kms, kms:CallerAccount and kms:ViaService", `{"Effect":"Allow","Principal":{"AWS":"*"},` + useKey +
			`,"Condition":{"StringEquals":{"kms:CallerAccount":"111122223333","kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`, []fact{
			{user, "Decrypt", values{"kms:calleraccount": own, "kms:viaservice": "s3.us-east-1.amazonaws.com"}, "", true},
			{user, "Decrypt", values{"kms:calleraccount": own}, "", false},
			{user, "Decrypt", values{"kms:calleraccount": own, "kms:viaservice": "ec2.us-east-1.amazonaws.com"}, "", false},
			{alien, "Decrypt", values{"kms:calleraccount": other, "kms:viaservice": "s3.us-east-1.amazonaws.com"}, allowAnything, false},
			{stranger, "Decrypt", values{"kms:viaservice": "s3.us-east-1.amazonaws.com"}, "", false},
		}},
		// A service principal, guarded against being a confused deputy.
		{"key-policy-services", `{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*","Resource":"*",
			"Condition":{"StringEquals":{"aws:SourceArn":"arn:aws:cloudtrail:us-east-1:111122223333:trail/t"},
			"StringLike":{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}}`, []fact{
			{cloudTrail, "GenerateDataKey", values{"aws:sourcearn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/t",
				"kms:encryptioncontext:aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/t"}, "", true},
			{cloudTrail, "GenerateDataKey", values{"aws:sourcearn": "arn:aws:cloudtrail:us-east-1:444455556666:trail/t",
				"kms:encryptioncontext:aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/t"}, "", false},
			{cloudTrail, "GenerateDataKey", nil, "", false},
			{logs, "GenerateDataKey", values{"aws:sourcearn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/t",
				"kms:encryptioncontext:aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/t"}, "", false},
		}},
	} {
		t.Run(tt.page, func(t *testing.T) {
			for _, f := range tt.facts {
				f.check(t, tt.policy)
			}
		})
	}
}

// TestCrossAccountExamples has page key-policy-modifying-external-accounts: the key policy says who may have access, the IAM policies of
// the other account who has; neither is enough.
func TestCrossAccountExamples(t *testing.T) {
	for _, tt := range []struct {
		name, policy string
		facts        []fact
	}{
		{"the account", to("arn:aws:iam::444455556666:root", useKey), []fact{
			{partner, "Decrypt", nil, allowUseOfKey, true},
			{alien, "Decrypt", nil, allowUseOfKey, true},
			{partner, "Decrypt", nil, "", false},
			{partner, "Decrypt", nil, allowOtherKey, false},
			{partner, "ScheduleKeyDeletion", nil, allowAnything, false},
			{partnerRoot, "Decrypt", nil, "", true},
			{user, "Decrypt", nil, allowAnything, false}, // the key's own account is not in it
		}},
		{"a role", to(outsider, useKey), []fact{
			{partner, "Decrypt", nil, allowUseOfKey, true},
			{partner, "Decrypt", nil, "", false},
			{alien, "Decrypt", nil, allowUseOfKey, false},
			{partnerRoot, "Decrypt", nil, "", false},
		}},
		{"a role that is denied at home", to(outsider, useKey), []fact{
			{partner, "Decrypt", nil, allowUseOfKey + `,{"Effect":"Deny","Action":"kms:*","Resource":"arn:aws:kms:*:111122223333:key/*"}`, false},
		}},
		{"everybody of an organization", `{"Effect":"Allow","Principal":"*",` + useKey + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}`, []fact{
			{partner, "Decrypt", values{"aws:principalorgid": "o-1"}, allowUse, true},
			{partner, "Decrypt", values{"aws:principalorgid": "o-1"}, "", false},
			{partner, "Decrypt", values{"aws:principalorgid": "o-2"}, allowUse, false},
			{partner, "Decrypt", nil, allowUse, false},
			{user, "Decrypt", values{"aws:principalorgid": "o-1"}, "", true},
		}},
		{"its services too", to("444455556666", grants), []fact{
			{partner, "CreateGrant", values{"kms:grantisforawsresource": "true"}, `{"Effect":"Allow","Action":"kms:CreateGrant","Resource":"*"}`, true},
			{partner, "CreateGrant", values{"kms:grantisforawsresource": "false"}, `{"Effect":"Allow","Action":"kms:CreateGrant","Resource":"*"}`, false},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, f := range tt.facts {
				f.check(t, tt.policy)
			}
		})
	}
}
