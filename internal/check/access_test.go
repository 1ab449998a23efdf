package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// Principals of policies under test, as JSON.
const (
	toAll     = `"*"`
	toRoot    = `{"AWS": "arn:aws:iam::111122223333:root"}`
	toAlice   = `{"AWS": "arn:aws:iam::111122223333:user/alice"}`
	toAdmin   = `{"AWS": "arn:aws:iam::111122223333:role/admin"}`
	toForeign = `{"AWS": "arn:aws:iam::444455556666:role/reader"}`
	toLogs    = `{"Service": "logs.us-east-1.amazonaws.com"}`
	toGone    = `{"AWS": "` + goneMark + `AIDACKCEVSQ6C2EXAMPLE"}`
)

// goneMark makes a unique ID into an ARN that the parser takes; underPolicy takes it off again.
const goneMark = "arn:aws:iam::999999999999:user/gone/"

// stmt returns a statement. Principal, action and condition are JSON, the condition may be empty.
func stmt(effect, principal, action, condition string) string {
	if condition != "" {
		condition = `, "Condition": {` + condition + `}`
	}
	return fmt.Sprintf(`{"Effect": %q, "Principal": %s, "Action": %s, "Resource": "*"%s}`, effect, principal, action, condition)
}

func parsePolicy(statements ...string) *policy.Policy {
	doc := `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ",") + `]}`
	pol, err := policy.Parse([]byte(doc))
	if err != nil {
		panic(fmt.Sprintf("%v: %s", err, doc))
	}
	for _, s := range pol.Statements {
		if s.Principal == nil {
			continue
		}
		for i, id := range s.Principal.AWS {
			s.Principal.AWS[i] = strings.TrimPrefix(id, goneMark)
		}
	}
	return pol
}

func underPolicy(statements ...string) func(*Facts) {
	return func(f *Facts) { f.Policy = parsePolicy(statements...) }
}

func TestPolicyPublic(t *testing.T) {
	allowAll := func(condition string) func(*Facts) {
		return underPolicy(stmt("Allow", toAll, `"kms:Decrypt"`, condition))
	}
	denied := func(deny ...string) func(*Facts) {
		return underPolicy(append([]string{stmt("Allow", toAll, `["kms:Decrypt", "kms:Encrypt"]`, "")}, deny...)...)
	}
	runRule(t, "policy-public", []ruleCase{
		{"the default policy", nil, Pass, "allows everybody"},
		{"everybody", allowAll(``), Fail, "Statement 1 allows everybody to call kms:Decrypt."},
		{"everybody, as AWS", underPolicy(stmt("Allow", `{"AWS": ["arn:aws:iam::111122223333:root", "*"]}`, `"kms:*"`, "")), Fail, "every action"},
		{"any state", func(f *Facts) { allowAll(``)(f); f.Key.State = StateDisabled }, Fail, "everybody"},
		{"the statement by its Sid", underPolicy(`{"Sid": "Open door", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}`),
			Fail, `Statement "Open door"`},
		{"actions of another service", underPolicy(stmt("Allow", toAll, `"s3:*"`, "")), Pass, "allows everybody"},
		{"NotAction", underPolicy(`{"Effect": "Allow", "Principal": "*", "NotAction": "kms:Decrypt", "Resource": "*"}`), Fail, "everybody"},
		{"NotAction of all of KMS", underPolicy(`{"Effect": "Allow", "Principal": "*", "NotAction": "kms:*", "Resource": "*"}`), Pass, "allows everybody"},
		{"no Resource is no effect", underPolicy(`{"Effect": "Allow", "Principal": "*", "Action": "kms:*"}`), Pass, "allows everybody"},
		{"another key as the resource", underPolicy(`{"Effect": "Allow", "Principal": "*", "Action": "kms:*",
			"Resource": "arn:aws:kms:us-east-1:111122223333:key/other"}`), Pass, "allows everybody"},
		{"NotPrincipal, where a parser takes it", func(f *Facts) {
			underPolicy(stmt("Allow", toAlice, `"kms:*"`, ""))(f)
			s := &f.Policy.Statements[0]
			s.Principal, s.NotPrincipal = nil, s.Principal
		}, Fail, "everybody but those under NotPrincipal"},

		// Conditions that say who.
		{"kms:CallerAccount", allowAll(`"StringEquals": {"kms:CallerAccount": "111122223333"}`), Pass, "kms:CallerAccount"},
		{"the organization, in capitals", allowAll(`"StringEquals": {"AWS:PRINCIPALORGID": "o-abc"}`), Pass, "AWS:PRINCIPALORGID"},
		{"as AWS managed keys have it", allowAll(`"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com", "kms:CallerAccount": "111122223333"}`),
			Pass, "kms:CallerAccount"},
		{"a path in an organization", allowAll(`"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-abc/*"}`), Pass, "OrgPaths"},
		{"any path", allowAll(`"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "*/r-ab/*"}`), Fail, "do not confine"},
		{"roles of an account", allowAll(`"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"}`), Pass, "aws:PrincipalArn"},
		{"a role of any account", allowAll(`"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/admin"}`), Fail, "do not confine"},
		{"a bucket", allowAll(`"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket/*"}`), Pass, "aws:SourceArn"},
		{"any bucket", allowAll(`"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}`), Fail, "do not confine"},
		{"sessions of a role", allowAll(`"StringLike": {"aws:userid": "AROAEXAMPLE:*"}`), Pass, "aws:userid"},
		{"a VPC endpoint", allowAll(`"StringEquals": {"aws:SourceVpce": "vpce-1"}`), Pass, "aws:SourceVpce"},
		{"a bare star", allowAll(`"StringLike": {"aws:PrincipalAccount": "*"}`), Fail, "do not confine"},
		{"a star among values", allowAll(`"StringLike": {"aws:PrincipalAccount": ["111122223333", "4*"]}`), Fail, "do not confine"},
		{"a variable that is always equal", allowAll(`"StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"}`), Fail, "do not confine"},
		{"addresses", allowAll(`"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "2001:db8::/32", "192.0.2.1"]}`), Pass, "aws:SourceIp"},
		{"all addresses", allowAll(`"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "0.0.0.0/0"]}`), Fail, "do not confine"},
		{"half of all addresses", allowAll(`"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}`), Fail, "do not confine"},
		{"all addresses of IPv6", allowAll(`"IpAddress": {"aws:SourceIp": "::/0"}`), Fail, "do not confine"},

		// Conditions that say how, and operators that let strangers through.
		{"kms:ViaService alone", allowAll(`"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}`), Fail, "kms:ViaService"},
		{"kms:GrantIsForAWSResource alone", allowAll(`"Bool": {"kms:GrantIsForAWSResource": true}`), Fail, "do not confine"},
		{"a user's name", allowAll(`"StringEquals": {"aws:username": "alice"}`), Fail, "do not confine"},
		{"everybody but one account", allowAll(`"StringNotEquals": {"aws:PrincipalAccount": "444455556666"}`), Fail, "do not confine"},
		{"every address but one", allowAll(`"NotIpAddress": {"aws:SourceIp": "192.0.2.1"}`), Fail, "do not confine"},
		{"IfExists of a key that may be absent", allowAll(`"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-abc"}`), Fail, "do not confine"},
		{"and the key demanded", allowAll(`"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-abc"}, "Null": {"aws:principalorgid": false}`), Pass, "aws:PrincipalOrgID"},
		{"IfExists of a key that is always there", allowAll(`"StringEqualsIfExists": {"kms:CallerAccount": "111122223333"}`), Pass, "kms:CallerAccount"},
		{"ForAllValues, true of an absent key", allowAll(`"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": "o-abc/*"}`), Fail, "do not confine"},
		{"and the key demanded", allowAll(`"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": "o-abc/*"}, "Null": {"aws:PrincipalOrgPaths": "false"}`), Pass, "OrgPaths"},

		// Deny statements that take it away again.
		{"denied outside the account", denied(stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}`)), Pass, "statement 2 denies it to strangers"},
		{"denied outside the organization, but for services", denied(stmt("Deny", `{"AWS": "*"}`, `"*"`,
			`"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-abc"}, "Bool": {"aws:PrincipalIsAWSService": "false"}`)), Pass, "statement 2 denies"},
		{"denied action by action", denied(stmt("Deny", toAll, `"kms:Decrypt"`, `"StringNotEquals": {"kms:CallerAccount": "111122223333"}`),
			stmt("Deny", toAll, `"kms:Encrypt"`, `"StringNotEquals": {"kms:CallerAccount": "111122223333"}`)), Pass, "denies"},
		{"one action left", denied(stmt("Deny", toAll, `"kms:Decrypt"`, `"StringNotEquals": {"kms:CallerAccount": "111122223333"}`)), Fail, "to call kms:Encrypt"},
		{"denied to one account", denied(stmt("Deny", toForeign, `"kms:*"`, "")), Fail, "everybody"},
		{"denied to all others", denied(`{"Effect": "Deny", "NotPrincipal": ` + toRoot + `, "Action": "kms:*", "Resource": "*"}`), Pass, "denies it"},
		{"denied only without TLS", denied(stmt("Deny", toAll, `"kms:*"`, `"Bool": {"aws:SecureTransport": "false"}`)), Fail, "everybody"},
		{"denied outside the account without TLS", denied(stmt("Deny", toAll, `"kms:*"`,
			`"Bool": {"aws:SecureTransport": "false"}, "StringNotEquals": {"aws:PrincipalAccount": "111122223333"}`)), Fail, "everybody"},
		{"denied where any path differs", denied(stmt("Deny", toAll, `"kms:*"`, `"ForAnyValue:StringNotLike": {"aws:PrincipalOrgPaths": "o-abc/*"}`)), Fail, "everybody"},
		{"denied to everybody", denied(stmt("Deny", toAll, `"kms:*"`, "")), Pass, "denies it"},
	})
}

func TestPolicyNotesAreBounded(t *testing.T) {
	var statements []string
	for range 14 {
		statements = append(statements, stmt("Allow", toAll, `"kms:Decrypt"`, ""))
	}
	s := DefaultSettings()
	v := evalPolicyPublic(ruleFacts(underPolicy(statements...)), &s)
	if len(v.Notes) != maxNotes+1 || v.Notes[maxNotes] != "And 3 more." || !strings.HasPrefix(v.Notes[0], "Statement 2 ") {
		t.Errorf("%q", v.Notes)
	}
}

func TestPolicyUnknownAccount(t *testing.T) {
	runRule(t, "policy-unknown-account", []ruleCase{
		{"the own account", nil, Pass, "111122223333"},
		{"a role of another", underPolicy(stmt("Allow", toForeign, `"kms:Decrypt"`, "")), Fail, "Statement 1 allows kms:Decrypt to arn:aws:iam::444455556666:role/reader"},
		{"another account by its number", underPolicy(stmt("Allow", `{"AWS": ["111122223333", "444455556666"]}`, `"kms:*"`, "")), Fail, "to account 444455556666, of"},
		{"a session", underPolicy(stmt("Allow", `{"AWS": "arn:aws:sts::444455556666:assumed-role/r/s"}`, `"kms:*"`, "")), Fail, "444455556666"},
		{"an identity provider", underPolicy(stmt("Allow", `{"Federated": "arn:aws:iam::444455556666:saml-provider/p"}`, `"kms:*"`, "")), Fail, "444455556666"},
		{"under a condition", underPolicy(stmt("Allow", toForeign, `"kms:Decrypt"`, `"StringEquals": {"aws:PrincipalOrgID": "o-abc"}`)), Fail, "under conditions on aws:PrincipalOrgID"},
		{"a service", underPolicy(stmt("Allow", toLogs, `"kms:*"`, "")), Pass, "111122223333"},
		{"everybody is another check's", underPolicy(stmt("Allow", toAll, `"kms:*"`, "")), Pass, "111122223333"},
		{"everybody of another account", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Fail, "account 444455556666"},
		{"roles of another account", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/*"}`)), Fail, "account 444455556666"},
		{"everybody of an organization", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringEquals": {"aws:PrincipalOrgID": "o-abc"}`)), Pass, "111122223333"},
		{"somebody deleted", underPolicy(stmt("Allow", toGone, `"kms:*"`, "")), Pass, "111122223333"},
		{"a canonical user", underPolicy(stmt("Allow", `{"CanonicalUser": "`+strings.Repeat("ab", 32)+`"}`, `"kms:*"`, "")), Manual, "canonical user abab"},
		{"denied", underPolicy(stmt("Allow", toForeign, `"kms:*"`, ""), stmt("Deny", `{"AWS": "444455556666"}`, `"kms:*"`, "")), Pass, "111122223333"},
		{"denied to others than the own account", underPolicy(stmt("Allow", toForeign, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}`)), Pass, "111122223333"},
		{"a Deny that spares it", underPolicy(stmt("Allow", toForeign, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:PrincipalAccount": ["111122223333", "444455556666"]}`)), Fail, "444455556666"},
		{"denied outside an organization, which may be its own", underPolicy(stmt("Allow", toForeign, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:PrincipalOrgID": "o-abc"}`)), Fail, "444455556666"},
		{"two statements", underPolicy(stmt("Allow", toForeign, `"kms:Decrypt"`, ""), stmt("Allow", toForeign, `"kms:Encrypt"`, "")), Fail, "\nStatement 2 allows kms:Encrypt"},
	})
	s := DefaultSettings()
	s.TrustedAccounts = []string{"444455556666"}
	if v := evalPolicyUnknownAccount(ruleFacts(underPolicy(stmt("Allow", toForeign, `"kms:*"`, ""))), &s); v.Status != Pass {
		t.Errorf("trusted: %+v", v)
	}
}

func TestPolicyLockout(t *testing.T) {
	const put = `"kms:PutKeyPolicy"`
	runRule(t, "policy-lockout", []ruleCase{
		{"the default policy", nil, Pass, `Statement "Enable IAM User Permissions" allows kms:PutKeyPolicy to account 111122223333.`},
		{"the account by its number", underPolicy(stmt("Allow", `{"AWS": "111122223333"}`, `"kms:*"`, "")), Pass, "account 111122223333"},
		{"a role", underPolicy(stmt("Allow", toAdmin, `"kms:put*"`, "")), Pass, "role/admin"},
		{"everybody", underPolicy(stmt("Allow", toAll, put, "")), Pass, "account 111122223333"},
		{"everybody of the account", underPolicy(stmt("Allow", toAll, put, `"StringEquals": {"kms:CallerAccount": "111122223333"}`)), Pass, "kms:CallerAccount"},
		{"everybody of another account", underPolicy(stmt("Allow", toAll, put, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Fail, "Nobody"},
		{"nobody", underPolicy(stmt("Allow", toAlice, `"kms:Decrypt"`, "")), Fail, "Nobody of account 111122223333 may call kms:PutKeyPolicy"},
		{"another account", underPolicy(stmt("Allow", toForeign, put, "")), Fail, "Nobody"},
		{"a service", underPolicy(stmt("Allow", toLogs, put, "")), Fail, "Nobody"},
		{"only somebody deleted", underPolicy(stmt("Allow", toGone, put, "")), Fail, "AIDACKCEVSQ6C2EXAMPLE, a user or role that is gone."},
		{"somebody deleted too", underPolicy(stmt("Allow", toGone, put, ""), stmt("Allow", toRoot, put, "")), Pass, "AIDACKCEVSQ6C2EXAMPLE"},
		{"under a condition", underPolicy(stmt("Allow", toAdmin, put, `"Bool": {"aws:MultiFactorAuthPresent": "true"}`)), Pass, "under conditions on aws:MultiFactorAuthPresent"},
		{"NotAction with it", underPolicy(`{"Effect": "Allow", "Principal": ` + toRoot + `, "NotAction": "kms:Put*", "Resource": "*"}`), Fail, "Nobody"},
		{"NotAction without it", underPolicy(`{"Effect": "Allow", "Principal": ` + toRoot + `, "NotAction": "kms:Decrypt", "Resource": "*"}`), Pass, "account"},
		{"without Resource", underPolicy(`{"Effect": "Allow", "Principal": ` + toRoot + `, "Action": "kms:*"}`), Fail, "Nobody"},
		{"denied to all", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, put, "")), Fail, "but statement 2 denies it"},
		{"denied to the account", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Deny", toRoot, put, "")), Fail, "but statement 2 denies it"},
		{"denied to one of two", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Allow", toAlice, `"kms:*"`, ""), stmt("Deny", toAdmin, put, "")), Pass, "user/alice"},
		{"denied to all without MFA", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, put, `"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`)),
			Manual, "statement 2 denies it, under conditions on aws:MultiFactorAuthPresent: see"},
		{"denied to all but another account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""),
			stmt("Deny", toAll, put, `"StringNotEquals": {"aws:PrincipalAccount": "444455556666"}`)), Fail, "denies"},
		{"denied to all but a role", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Allow", toAdmin, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": `+toAdmin+`, "Action": "kms:*", "Resource": "*"}`), Manual, "role/admin"},
		{"denied to all but a role and its account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Allow", toAdmin, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/admin"]}, "Action": "kms:*", "Resource": "*"}`), Pass, "account"},
		{"denied to all but the root", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": `+toRoot+`, "Action": "kms:*", "Resource": "*"}`), Pass, "account"},
		{"denied to all but a user and its account", underPolicy(stmt("Allow", toAlice, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:user/alice"]}, "Action": "kms:*", "Resource": "*"}`), Pass, "user/alice"},
		{"denied to all but a role's sessions", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/admin"]}, "Action": "kms:*", "Resource": "*"}`), Manual, "role/admin"},
		{"denied to a role by NotPrincipal", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": `+toRoot+`, "Action": "kms:*", "Resource": "*"}`), Fail, "denies"},
		{"everything but it denied", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""),
			`{"Effect": "Deny", "Principal": "*", "NotAction": "kms:PutKeyPolicy", "Resource": "*"}`), Pass, "account"},
	})
}

func TestPolicyMFADeletion(t *testing.T) {
	const del = `"kms:ScheduleKeyDeletion"`
	imported := func(set func(*Facts)) func(*Facts) {
		return func(f *Facts) { set(f); f.Key.Origin = OriginExternal }
	}
	condition := func(c string) func(*Facts) { return underPolicy(stmt("Allow", toAdmin, del, c)) }
	deny := func(c string) func(*Facts) {
		return underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, del, c))
	}
	runRule(t, "policy-mfa-deletion", []ruleCase{
		{"the default policy", nil, Fail, "allows kms:ScheduleKeyDeletion to account 111122223333 without"},
		{"nobody", underPolicy(stmt("Allow", toAlice, `"kms:Decrypt"`, "")), Pass, "lets no user or role"},
		{"a service only", underPolicy(stmt("Allow", toLogs, `"kms:*"`, "")), Pass, "lets no user or role"},
		{"somebody deleted only", underPolicy(stmt("Allow", toGone, `"kms:*"`, "")), Pass, "lets no user or role"},
		{"NotAction", underPolicy(`{"Effect": "Allow", "Principal": ` + toAdmin + `, "NotAction": "kms:Decrypt", "Resource": "*"}`), Fail, "role/admin"},
		{"MFA in the Allow", condition(`"Bool": {"aws:MultiFactorAuthPresent": true}`), Pass, "needs multi-factor"},
		{"the age of MFA", condition(`"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}`), Pass, "needs multi-factor"},
		{"the age of MFA is there", condition(`"Null": {"aws:MultiFactorAuthAge": "false"}`), Pass, "needs multi-factor"},
		{"the presence is told, whatever it is", condition(`"Null": {"aws:MultiFactorAuthPresent": "false"}`), Fail, "without"},
		{"BoolIfExists in the Allow", condition(`"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}`), Fail, "without"},
		{"the age with IfExists", condition(`"NumericLessThanIfExists": {"aws:MultiFactorAuthAge": 3600}`), Fail, "without"},
		{"one of two Allows", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Allow", toAdmin, del, `"Bool": {"aws:MultiFactorAuthPresent": "true"}`)), Fail, "Statement 1"},
		{"a Deny with BoolIfExists", deny(`"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`), Pass, "needs multi-factor"},
		{"a Deny with Bool", deny(`"Bool": {"aws:MultiFactorAuthPresent": "false"}`), Fail, "does not reach long-term credentials"},
		{"a Deny without the age", deny(`"Null": {"aws:MultiFactorAuthAge": true}`), Pass, "needs multi-factor"},
		{"a Deny without the presence", deny(`"Null": {"aws:MultiFactorAuthPresent": true}`), Fail, "without"},
		{"a Deny of old MFA", deny(`"NumericGreaterThanIfExists": {"aws:MultiFactorAuthAge": "3600"}`), Pass, "needs multi-factor"},
		{"a Deny of old MFA only", deny(`"NumericGreaterThan": {"aws:MultiFactorAuthAge": "3600"}`), Fail, "without"},
		{"two Denies together", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, del, `"Bool": {"aws:MultiFactorAuthPresent": "false"}`),
			stmt("Deny", toAll, `"kms:*Deletion"`, `"Null": {"aws:MultiFactorAuthPresent": "true"}`)), Pass, "needs multi-factor"},
		{"a Deny that asks more", deny(`"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}, "IpAddress": {"aws:SourceIp": "192.0.2.1"}`), Fail, "without"},
		{"a Deny that spares services", deny(`"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}, "Bool": {"aws:PrincipalIsAWSService": "false"}`), Pass, "needs multi-factor"},
		{"a Deny to somebody else", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAlice, del, `"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`)), Fail, "without"},
		{"a Deny to all", deny(""), Pass, "lets no user or role"},
		{"imported material", imported(deny(`"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`)), Fail, "allows kms:DeleteImportedKeyMaterial to"},
		{"imported material guarded", imported(underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""),
			stmt("Deny", toAll, `["kms:ScheduleKeyDeletion", "kms:DeleteImportedKeyMaterial"]`, `"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`))), Pass,
			"kms:ScheduleKeyDeletion and kms:DeleteImportedKeyMaterial"},
	})
}

func TestPolicyWildcardAdmin(t *testing.T) {
	runRule(t, "policy-wildcard-admin", []ruleCase{
		{"the account", nil, Pass, "the account itself"},
		{"the account by its number", underPolicy(stmt("Allow", `{"AWS": "111122223333"}`, `"kms:*"`, "")), Pass, "the account itself"},
		{"kms:*", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, "")), Fail, "Statement 1 allows kms:*, which covers administration, to arn:aws:iam::111122223333:role/admin."},
		{"everything", underPolicy(stmt("Allow", toAdmin, `"*"`, "")), Fail, "allows *,"},
		{"kms:Put*, as the console writes it", underPolicy(stmt("Allow", toAdmin, `["kms:Create*", "kms:Put*"]`, "")), Fail, "allows kms:Put*,"},
		{"a question mark", underPolicy(stmt("Allow", toAdmin, `"KMS:schedulekeydeletio?"`, "")), Fail, "KMS:schedulekeydeletio?"},
		{"exact actions", underPolicy(stmt("Allow", toAdmin, `["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:Get*"]`, "")), Pass, "the account itself"},
		{"NotAction", underPolicy(`{"Effect": "Allow", "Principal": ` + toAdmin + `, "NotAction": "kms:Decrypt", "Resource": "*"}`), Fail, "NotAction"},
		{"NotAction with administration", underPolicy(`{"Effect": "Allow", "Principal": ` + toAdmin + `, "NotAction": ["kms:Put*", "kms:Schedule*"], "Resource": "*"}`), Pass, "the account itself"},
		{"another account", underPolicy(stmt("Allow", `{"AWS": "444455556666"}`, `"kms:*"`, "")), Fail, "account 444455556666"},
		{"a service", underPolicy(stmt("Allow", toLogs, `"kms:*"`, "")), Fail, "service logs.us-east-1.amazonaws.com"},
		{"a service that a Deny spares", underPolicy(stmt("Allow", toLogs, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"Bool": {"aws:PrincipalIsAWSService": "false"}`)), Fail, "service logs"},
		{"a user whom it does not spare", underPolicy(stmt("Allow", toAlice, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"Bool": {"aws:PrincipalIsAWSService": "false"}`)), Pass, "the account itself"},
		{"somebody deleted", underPolicy(stmt("Allow", toGone, `"kms:*"`, "")), Pass, "the account itself"},
		{"under a condition", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "111122223333"}`)), Fail, "under conditions on kms:CallerAccount"},
		{"denied again", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Deny", toAdmin, `["kms:Put*", "kms:ScheduleKeyDeletion"]`, "")), Pass, "the account itself"},
		{"half denied", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Deny", toAdmin, `"kms:Put*"`, "")), Fail, "role/admin"},
		{"many", underPolicy(stmt("Allow", `{"AWS": ["arn:aws:iam::111122223333:user/a", "arn:aws:iam::111122223333:user/b", "arn:aws:iam::111122223333:user/c",
			"arn:aws:iam::111122223333:user/d", "arn:aws:iam::111122223333:user/e", "arn:aws:iam::111122223333:user/f", "arn:aws:iam::111122223333:root"]}`,
			`"kms:*"`, "")), Fail, "user/e and 1 more."},
	})
}

// TestSessionsOfRoles: a Deny to a role reaches its sessions, whose ARNs leave out the role's path.
func TestSessionsOfRoles(t *testing.T) {
	session := awsPrincipal("arn:aws:sts::111122223333:assumed-role/admin/alice")
	for id, want := range map[string]bool{
		"arn:aws:iam::111122223333:role/admin":               true,
		"arn:aws:iam::111122223333:role/team/admin":          true,
		"arn:aws:iam::444455556666:role/admin":               false,
		"arn:aws:iam::111122223333:role/other-admin":         false,
		"arn:aws:iam::111122223333:user/admin":               false,
		"arn:aws:iam::111122223333:root":                     true,
		"arn:aws:sts::111122223333:assumed-role/admin/bob":   false,
		"arn:aws:sts::111122223333:assumed-role/admin/alice": true,
		"111122223333": true,
	} {
		denies := newDenials(ruleFacts(underPolicy(stmt("Deny", `{"AWS": "`+id+`"}`, `"kms:*"`, ""))))
		if got := denies.of(session).taken != 0; got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
}

// TestKeyActions keeps the list sorted and free of what it would count twice.
func TestKeyActions(t *testing.T) {
	if !slices.IsSorted(keyActions) || len(slices.Compact(slices.Clone(keyActions))) != len(keyActions) {
		t.Error("the list is not sorted or names an action twice")
	}
	for _, a := range slices.Concat(adminActions, enclaveActions, []string{actionEnableKeyRotation, actionDeleteMaterial}) {
		if a != actionGenerateRandom && !slices.Contains(keyActions, a) {
			t.Errorf("%s is missing", a)
		}
	}
}
