package kms_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	ann = "arn:aws:iam::" + account + ":user/ann"
	bob = "arn:aws:iam::999988887777:user/bob"
)

// person returns an IAM user with IAM policies.
func person(t *testing.T, arn string, statements ...string) *service.Caller {
	t.Helper()
	c := service.Caller{Account: strings.Split(arn, ":")[4], ARN: arn, Type: "IAMUser", PrincipalID: "AIDA" + arn[strings.LastIndex(arn, "/")+1:], UserName: arn[strings.LastIndex(arn, "/")+1:]}
	if len(statements) > 0 {
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		c.Identity = &authz.Identity{Policies: []authz.Named{{Name: "p", Compiled: policy.Compile(p)}}}
	}
	return service.NewCaller(c)
}

func keyPolicy(statements ...string) string {
	root := fmt.Sprintf(`{"Sid":"root","Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}`, account)
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(append([]string{root}, statements...), ",") + `]}`
}

const mayDecrypt = `{"Effect":"Allow","Action":["kms:Decrypt","kms:DescribeKey"],"Resource":"*"}`

// TestAuthorize asks the running service, with every kind of policy that takes part.
func TestAuthorize(t *testing.T) {
	allowed := ""
	refused := "not authorized to perform: kms:Decrypt on resource: "
	byKey, byIAM := " because no resource-based policy allows the kms:Decrypt action", " because no identity-based policy allows the kms:Decrypt action"
	foreign := "not authorized to perform: kms:Decrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	statement := func(effect, principal, condition string) string {
		if condition != "" {
			condition = `,"Condition":` + condition
		}
		return fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:Decrypt","Resource":"*"%s}`, effect, principal, condition)
	}
	tests := []struct {
		name   string
		policy string
		who    *service.Caller
		want   string // "" allows; otherwise the message has it
	}{
		{"the default policy, IAM allows", keyPolicy(), person(t, ann, mayDecrypt), allowed},
		{"the default policy, IAM is silent", keyPolicy(), person(t, ann), byIAM},
		{"the key policy names her", keyPolicy(statement("Allow", ann, "")), person(t, ann), allowed},
		{"the key policy denies her", keyPolicy(statement("Deny", ann, "")), person(t, ann, mayDecrypt), "with an explicit deny in a resource-based policy"},
		{"IAM denies her", keyPolicy(statement("Allow", ann, "")), person(t, ann, `{"Effect":"Deny","Action":"kms:*","Resource":"*"}`), "with an explicit deny in an identity-based policy"},
		{"the encryption context is as asked", keyPolicy(statement("Allow", ann, `{"StringEquals":{"kms:EncryptionContext:team":"x"}}`)), person(t, ann), allowed},
		{"it is another", keyPolicy(statement("Allow", ann, `{"StringEquals":{"kms:EncryptionContext:team":"y"}}`)), person(t, ann), byIAM},
		{"the alias is what she named the key by", keyPolicy(statement("Allow", ann, `{"StringEquals":{"kms:RequestAlias":"alias/a"}}`)), person(t, ann), byIAM},
		{"by the key's own properties", keyPolicy(statement("Allow", ann, `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","kms:CallerAccount":"`+account+`"}}`)), person(t, ann), allowed},
		{"from where", keyPolicy(statement("Allow", ann, `{"IpAddress":{"aws:SourceIp":"192.0.2.0/28"}}`)), person(t, ann), allowed},
		{"from elsewhere", keyPolicy(statement("Allow", ann, `{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}`)), person(t, ann), byIAM},
		{"without MFA, denied by Bool", keyPolicy(statement("Deny", "*", `{"Bool":{"aws:MultiFactorAuthPresent":"false"}}`)), person(t, ann, mayDecrypt), allowed}, // the key is absent
		{"without MFA, denied by BoolIfExists", keyPolicy(statement("Deny", "*", `{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`)), person(t, ann, mayDecrypt), "explicit deny"},
		{"before its time", keyPolicy(statement("Allow", ann, `{"DateLessThan":{"aws:CurrentTime":"2001-01-01T00:00:00Z"}}`)), person(t, ann), byIAM},
		{"another account, both allow", keyPolicy(statement("Allow", bob, "")), person(t, bob, mayDecrypt), allowed},
		{"another account, the account is named", keyPolicy(statement("Allow", "999988887777", "")), person(t, bob, mayDecrypt), allowed},
		{"another account, its own is silent", keyPolicy(statement("Allow", bob, "")), person(t, bob), byIAM},
		{"another account, the key's is silent", keyPolicy(), person(t, bob, mayDecrypt), foreign},
		{"its root", keyPolicy(statement("Allow", "999988887777", "")), service.RootCaller("999988887777", "AKIA"), allowed},
		{"the root user where the key policy does not open the account",
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + ann + `"},"Action":"kms:*","Resource":"*"}]}`, service.RootCaller(account, "AKIA"), byKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := testBench(t)
			id, arn := b.newKey(t, &api.CreateKeyRequest{})
			team := oneEntry("team", "x")
			blob := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("secret"), EncryptionContext: team}).CiphertextBlob
			b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(tt.policy), BypassPolicyLockoutSafetyCheck: api.Some(true)})
			resp, err := b.as(t, tt.who, "kms.Decrypt", &api.DecryptRequest{KeyId: str(arn), CiphertextBlob: blob, EncryptionContext: team})
			switch {
			case tt.want == "" && (err != nil || string(resp.(*api.DecryptResponse).Plaintext) != "secret"):
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || err.Code != api.AccessDeniedException || !strings.HasPrefix(err.Message, "User: "+tt.who.ARN+" is ") || !strings.Contains(err.Message, tt.want)):
				t.Errorf("%v, want %s", err, tt.want)
			case (tt.want == byKey || tt.want == byIAM) && !strings.Contains(err.Message, refused+arn+" "):
				t.Errorf("%v does not name the key", err)
			}
		})
	}
}

// TestAuthorizeMissing: what does not exist is told only to whom IAM allows the action; to another account it looks as what it may not use.
func TestAuthorizeMissing(t *testing.T) {
	b := testBench(t)
	id, arn := b.newKey(t, &api.CreateKeyRequest{})
	gone := strings.Replace(arn, id, "00000000-0000-4000-8000-000000000000", 1)
	if _, err := b.as(t, person(t, ann, mayDecrypt), "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(gone)}); err == nil || err.Code != api.NotFoundException {
		t.Errorf("whom IAM allows: %v", err)
	}
	if _, err := b.as(t, person(t, ann), "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(gone)}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("whom it does not: %v", err)
	}
	for _, who := range []*service.Caller{person(t, bob), person(t, bob, mayDecrypt), service.RootCaller("999988887777", "AKIA")} {
		_, there := b.as(t, who, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(arn)})
		_, absent := b.as(t, who, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(gone)})
		if there == nil || absent == nil || there.Code != api.AccessDeniedException || there.Message != absent.Message {
			t.Errorf("%s: %v where there is a key, %v where there is none", who.ARN, there, absent)
		}
	}
}

// TestAuthorizeGrants uses, passes on, retires and revokes grants, each by whom it is for.
func TestAuthorizeGrants(t *testing.T) {
	b := testBench(t)
	id, arn := b.newKey(t, &api.CreateKeyRequest{})
	team := oneEntry("team", "x")
	blob := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("secret"), EncryptionContext: team}).CiphertextBlob
	her, other := person(t, ann), person(t, "arn:aws:iam::"+account+":user/eve")
	decrypt := func(who *service.Caller, context map[string]string) *api.Error {
		_, err := b.as(t, who, "kms.Decrypt", &api.DecryptRequest{KeyId: str(arn), CiphertextBlob: blob, EncryptionContext: context})
		return err
	}
	denied := func(what string, err *api.Error) {
		t.Helper()
		if err == nil || err.Code != api.AccessDeniedException {
			t.Errorf("%s: %v", what, err)
		}
	}
	denied("before the grant", decrypt(her, team))
	grant := func(who *service.Caller, grantee string, constraint map[string]string, ops ...api.GrantOperation) (string, *api.Error) {
		req := &api.CreateGrantRequest{KeyId: str(arn), GranteePrincipal: str(grantee), RetiringPrincipal: str(ann), Operations: ops}
		if constraint != nil {
			req.Constraints = &api.GrantConstraints{EncryptionContextSubset: constraint}
		}
		resp, err := b.as(t, who, "kms.CreateGrant", req)
		if err != nil {
			return "", err
		}
		id, _ := granted(t, resp)
		return id, nil
	}
	first, err := grant(b.caller, ann, team, "Decrypt", "CreateGrant")
	if err != nil {
		t.Fatal(err)
	}
	if err := decrypt(her, team); err != nil {
		t.Errorf("with the grant: %v", err)
	}
	denied("another context", decrypt(her, nil))
	denied("somebody else", decrypt(other, team))
	// She may pass on what she has, with her constraints, and no more.
	eve := "arn:aws:iam::" + account + ":user/eve"
	_, err = grant(her, eve, nil, "Decrypt")
	denied("a grant without her constraint", err)
	_, err = grant(her, eve, team, "Decrypt", "Encrypt")
	denied("a grant of more", err)
	second, err := grant(her, eve, team, "Decrypt")
	if err != nil {
		t.Fatalf("a grant within hers: %v", err)
	}
	if err := decrypt(other, team); err != nil {
		t.Errorf("with the second grant: %v", err)
	}
	// A deny wins over grants.
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(keyPolicy(`{"Effect":"Deny","Principal":{"AWS":"` + eve + `"},"Action":"kms:Decrypt","Resource":"*"}`))})
	denied("granted and denied", decrypt(other, team))
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(keyPolicy())})
	// The retiring principal retires, nobody else.
	_, err = b.as(t, other, "kms.RetireGrant", &api.RetireGrantRequest{KeyId: str(arn), GrantId: str(second)})
	denied("retired by the grantee, who may not", err)
	if _, err := b.as(t, her, "kms.RetireGrant", &api.RetireGrantRequest{KeyId: str(arn), GrantId: str(second)}); err != nil {
		t.Errorf("retired by the retiring principal: %v", err)
	}
	denied("after it was retired", decrypt(other, team))
	_, err = b.as(t, her, "kms.RevokeGrant", &api.RevokeGrantRequest{KeyId: str(arn), GrantId: str(first)})
	denied("revoked by the grantee", err)
	b.run(t, "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(id), GrantId: str(first)})
	denied("after it was revoked", decrypt(her, team))
}

// TestAbroad: what AWS has within an account only is refused to others, whatever a key policy says, and changes nothing.
func TestAbroad(t *testing.T) {
	b := testBench(t)
	theirs := keyPolicy(`{"Effect":"Allow","Principal":{"AWS":["999988887777","` + bob + `"]},"Action":"kms:*","Resource":"*"}`)
	_, arn := b.newKey(t, &api.CreateKeyRequest{Policy: str(theirs)})
	related := b.newMultiRegion(t, api.CreateKeyRequest{Policy: str(theirs)})
	who := person(t, bob, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`)
	if _, err := b.as(t, who, "kms.Encrypt", &api.EncryptRequest{KeyId: str(arn), Plaintext: []byte("x")}); err != nil {
		t.Errorf("Encrypt: %v", err)
	}
	if _, err := b.as(t, who, "kms.CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/mine"), TargetKeyId: str(arn)}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("CreateAlias: %v", err)
	}
	for op, req := range map[string]api.Request{
		"PutKeyPolicy":           &api.PutKeyPolicyRequest{KeyId: str(arn), Policy: str(policy.Default("aws", "999988887777"))},
		"GetKeyPolicy":           &api.GetKeyPolicyRequest{KeyId: str(arn)},
		"ScheduleKeyDeletion":    &api.ScheduleKeyDeletionRequest{KeyId: str(arn)},
		"DisableKey":             &api.DisableKeyRequest{KeyId: str(arn)},
		"EnableKeyRotation":      &api.EnableKeyRotationRequest{KeyId: str(arn)},
		"RotateKeyOnDemand":      &api.RotateKeyOnDemandRequest{KeyId: str(arn)},
		"TagResource":            &api.TagResourceRequest{KeyId: str(arn), Tags: []api.Tag{newTag("a", "b")}},
		"UpdateKeyDescription":   &api.UpdateKeyDescriptionRequest{KeyId: str(arn), Description: str("mine")},
		"ListAliases":            &api.ListAliasesRequest{KeyId: str(arn)},
		"GetParametersForImport": &api.GetParametersForImportRequest{KeyId: str(arn), WrappingAlgorithm: str(api.AlgorithmSpecRsaesOaepSha256), WrappingKeySpec: str(api.WrappingKeySpecRsa2048)},
		"ReplicateKey":           &api.ReplicateKeyRequest{KeyId: str(keyARN(related)), ReplicaRegion: str(west), Policy: str(theirs)},
		"UpdatePrimaryRegion":    &api.UpdatePrimaryRegionRequest{KeyId: str(keyARN(related)), PrimaryRegion: str(west)},
	} {
		if _, err := b.as(t, who, "kms."+op, req); err == nil || err.Code != api.AccessDeniedException || !strings.Contains(err.Message, "on this resource because the resource does not exist in this Region") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestNoOracle: what one's own policies deny tells nothing of another account's keys: not the key behind an alias, not a tag, not a spec.
func TestNoOracle(t *testing.T) {
	b := testBench(t)
	id, arn := b.newKey(t, &api.CreateKeyRequest{Tags: []api.Tag{newTag("Secret", "yes")}})
	b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/payroll"), TargetKeyId: str(id)})
	alias := strings.Replace(arn, "key/"+id, "alias/payroll", 1)
	for _, deny := range []string{
		`{"Effect":"Deny","Action":"kms:*","Resource":"*"}`,
		`{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"Null":{"kms:KeySpec":"false"}}}`,
		`{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Secret":"yes"}}}`,
	} {
		who := person(t, bob, mayDecrypt, deny)
		message := ""
		for _, name := range []string{arn, alias, strings.Replace(arn, id, "00000000-0000-4000-8000-000000000000", 1), strings.Replace(alias, "payroll", "nothing", 1)} {
			_, err := b.as(t, who, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(name)})
			if err == nil || err.Code != api.AccessDeniedException || strings.Contains(err.Message, "arn:aws:kms") || message != "" && err.Message != message {
				t.Errorf("%s with %s: %v", name, deny, err)
				continue
			}
			message = err.Message
		}
	}
}

// TestRegionOfReplica: a replica is made by a CreateKey in its own Region, and a Deny of that Region holds.
func TestRegionOfReplica(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	who := person(t, ann, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`,
		`{"Effect":"Deny","Action":"kms:CreateKey","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"`+region+`"}}}`)
	if _, err := b.as(t, who, "kms.CreateKey", &api.CreateKeyRequest{}); err != nil {
		t.Errorf("here: %v", err)
	}
	if _, err := b.as(t, who, "kms.ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(west)}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("in another Region: %v", err)
	}
}

// TestAuthorizeOddly: aliases are asked of IAM alone, an AWS managed key may be made by whoever may use keys, and names of encryption
// contexts fold as ASCII does.
func TestAuthorizeOddly(t *testing.T) {
	b := testBench(t)
	closed := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["kms:PutKeyPolicy","kms:Encrypt"],"Resource":"*"},` +
		`{"Effect":"Allow","Principal":{"AWS":"` + ann + `"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:key":"v"}}}]}`
	id, arn := b.newKey(t, &api.CreateKeyRequest{Policy: str(closed)})
	if _, err := b.as(t, person(t, ann, `{"Effect":"Allow","Action":"kms:ListAliases","Resource":"*"}`), "kms.ListAliases", &api.ListAliasesRequest{KeyId: str(id)}); err != nil {
		t.Errorf("ListAliases: %v", err)
	}
	for name, allowed := range map[string]bool{"key": true, "KEY": true, "\u212aey": false} { // KELVIN SIGN
		_, err := b.as(t, person(t, ann), "kms.Encrypt", &api.EncryptRequest{KeyId: str(arn), Plaintext: []byte("x"), EncryptionContext: oneEntry(name, "v")})
		if (err == nil) != allowed {
			t.Errorf("context %q: %v", name, err)
		}
	}
	if _, err := b.as(t, person(t, ann, `{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"arn:aws:kms:*:*:key/*"}`), "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str("alias/aws/s3")}); err != nil {
		t.Errorf("an AWS managed key: %v", err)
	}
}

// TestDecryptAbroad: a ciphertext names its key by itself, also another account's; whom that account does not let use it cannot tell
// whether it is there.
func TestDecryptAbroad(t *testing.T) {
	b := testBench(t)
	shared, _ := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + bob + `"},"Action":"kms:Decrypt","Resource":"*"}`))})
	private, _ := b.newKey(t, &api.CreateKeyRequest{})
	gone, _ := b.newKey(t, &api.CreateKeyRequest{})
	blobs := map[string][]byte{}
	for _, id := range []string{shared, private, gone} {
		blobs[id] = must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte(id)}).CiphertextBlob
	}
	b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(gone), PendingWindowInDays: api.Some[int64](7)})
	b.pass(8 * 24 * time.Hour)
	if err := b.runner.RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	who, silent := person(t, bob, mayDecrypt), person(t, bob)
	resp, err := b.as(t, who, "kms.Decrypt", &api.DecryptRequest{CiphertextBlob: blobs[shared]})
	if err != nil || string(resp.(*api.DecryptResponse).Plaintext) != shared {
		t.Errorf("a key that is shared: %v", err)
	}
	const unknown = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	for name, try := range map[string]struct {
		who  *service.Caller
		blob []byte
	}{"not shared": {who, blobs[private]}, "deleted": {who, blobs[gone]}, "its own account is silent": {silent, blobs[shared]}, "silent and deleted": {silent, blobs[gone]}} {
		if _, err := b.as(t, try.who, "kms.Decrypt", &api.DecryptRequest{CiphertextBlob: try.blob}); err == nil || err.Code != api.AccessDeniedException || err.Message != unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGlobalConditions: a denial hits whom its condition describes, and nobody else.
func TestGlobalConditions(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	her, root := person(t, ann, mayDecrypt), service.RootCaller(account, "AKIA")
	now := b.p.Clock().Now()
	for _, tt := range []struct {
		who        *service.Caller
		key, value string
	}{
		{her, "kms:CallerAccount", account},
		{her, "aws:PrincipalAccount", account},
		{her, "aws:PrincipalArn", ann},
		{her, "aws:PrincipalType", "User"},
		{her, "aws:userid", "AIDAann"},
		{her, "aws:username", "ann"},
		{her, "aws:PrincipalIsAWSService", "false"},
		{her, "aws:ViaAWSService", "false"},
		{her, "aws:SourceIp", "192.0.2.1"},
		{her, "aws:SecureTransport", "false"},
		{her, "aws:CurrentTime", now.UTC().Format(time.RFC3339)},
		{her, "aws:EpochTime", strconv.FormatInt(now.Unix(), 10)},
		{her, "aws:UserAgent", "test"},
		{her, "aws:RequestedRegion", region},
		{root, "aws:PrincipalType", "Account"},
		{root, "aws:PrincipalArn", "arn:aws:iam::" + account + ":root"},
		{root, "aws:userid", account},
	} {
		for _, value := range []string{tt.value, tt.value + "0"} {
			deny := fmt.Sprintf(`{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":{"StringEquals":{%q:%q}}}`, tt.key, value)
			b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(keyPolicy(deny)), BypassPolicyLockoutSafetyCheck: api.Some(true)})
			_, err := b.as(t, tt.who, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)})
			if denied := err != nil && err.Code == api.AccessDeniedException; denied != (value == tt.value) || err != nil && !denied {
				t.Errorf("%s denied where %s is %s: %v", tt.who.ARN, tt.key, value, err)
			}
		}
	}
}
