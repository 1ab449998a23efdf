package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

// Conditions and exceptions under test, as JSON. The key's account is 111122223333, a stranger's 444455556666.
const (
	ofOwn       = `"StringEquals": {"kms:CallerAccount": "111122223333"}`
	notAdmin    = `"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/admin"}`
	withoutMFA  = `"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}`
	bothActions = `["kms:ScheduleKeyDeletion", "kms:PutKeyPolicy"]`
)

// butFor is a Deny to all but some, given as JSON.
func butFor(principals, action, condition string) string {
	return strings.Replace(stmt("Deny", principals, action, condition), `"Principal"`, `"NotPrincipal"`, 1)
}

// valueless takes the values of all conditions of a statement away, counted from 0: a policy in force may have such.
func valueless(set func(*Facts), at int) func(*Facts) {
	return func(f *Facts) {
		set(f)
		for i := range f.Policy.Statements[at].Conditions {
			f.Policy.Statements[at].Conditions[i].Values = []string{}
		}
	}
}

// TestExemptionsFromDeny: a Deny that leaves somebody out does not take from them what an Allow gives everybody.
func TestExemptionsFromDeny(t *testing.T) {
	decrypt := func(deny ...string) func(*Facts) {
		return underPolicy(append([]string{stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Allow", toAll, `"kms:Decrypt"`, "")}, deny...)...)
	}
	accounts := func(key, list string) string {
		return stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"`+key+`": [`+list+`]}`)
	}
	both := accounts("aws:PrincipalAccount", `"111122223333", "444455556666"`)
	role := stmt("Deny", toAll, `"kms:*"`, `"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::111122223333:*", "arn:aws:iam::444455556666:role/reader"]}`)
	listed := butFor(`{"AWS": ["arn:aws:iam::111122223333:root", "arn:aws:iam::444455556666:role/reader"]}`, `"kms:*"`, "")
	runRule(t, "policy-public", []ruleCase{
		{"accounts", decrypt(both), Pass, "statement 3 denies it to strangers"},
		{"a role", decrypt(role), Pass, "denies it to strangers"},
		{"NotPrincipal", decrypt(listed), Pass, "denies it to strangers"},
	})
	runRule(t, "policy-unknown-account", []ruleCase{
		{"accounts", decrypt(both), Fail, "Statement 2 allows kms:Decrypt to everybody of account 444455556666, of an account that"},
		{"kms:CallerAccount", decrypt(accounts("kms:CallerAccount", `"444455556666"`)), Fail, "account 444455556666"},
		{"a role", decrypt(role), Fail, "arn:aws:iam::444455556666:role/reader"},
		{"roles", decrypt(stmt("Deny", toAll, `"kms:*"`, `"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/*"}`)), Fail, "account 444455556666"},
		{"NotPrincipal", decrypt(listed), Fail, "arn:aws:iam::444455556666:role/reader"},
		{"for resources", decrypt(accounts("aws:SourceAccount", `"111122223333", "444455556666"`)), Fail, "services for account 444455556666"},
		{"the own account", decrypt(accounts("aws:PrincipalAccount", `"111122223333"`)), Pass, "111122223333"},
		{"another Deny of the account", decrypt(both, stmt("Deny", `{"AWS": "444455556666"}`, `"kms:Decrypt"`, "")), Pass, "111122223333"},
		{"another Deny by its number", decrypt(both, stmt("Deny", toAll, `"kms:Decrypt"`, `"StringEquals": {"aws:PrincipalAccount": "444455556666"}`)), Pass, "111122223333"},
		{"another Deny of the role", decrypt(role, stmt("Deny", toForeign, `"kms:Decrypt"`, "")), Pass, "111122223333"},
		{"an Allow of the own account", underPolicy(stmt("Allow", toAll, `"kms:Decrypt"`, ofOwn), both), Pass, "111122223333"},
		{"an Allow of an organization", underPolicy(stmt("Allow", toAll, `"kms:Decrypt"`, `"StringEquals": {"aws:PrincipalOrgID": "o-abc"}`), both), Fail, "account 444455556666"},
		{"of what strangers may as well", decrypt(stmt("Deny", toAll, `"kms:Encrypt"`, `"StringNotEquals": {"aws:PrincipalAccount": "444455556666"}`)), Pass, "111122223333"},
		{"what a Deny left of it", underPolicy(stmt("Allow", toForeign, `["kms:Decrypt", "kms:Encrypt"]`, ""), stmt("Deny", toForeign, `"kms:Encrypt"`, "")), Fail, "allows kms:Decrypt to"},
	})

	everything := func(condition string, deny ...string) func(*Facts) {
		return underPolicy(append([]string{stmt("Allow", toAll, `"kms:*"`, condition)}, deny...)...)
	}
	for _, id := range []string{"policy-mfa-deletion", "policy-wildcard-admin"} {
		runRule(t, id, []ruleCase{
			{"everybody of the account", everything(ofOwn), Fail, "everybody of account 111122223333"},
			{"all but a role", everything(ofOwn, stmt("Deny", toAll, bothActions, notAdmin)), Fail, "arn:aws:iam::111122223333:role/admin"},
			{"all but a role, of everybody", everything("", stmt("Deny", toAll, bothActions, notAdmin)), Fail, "arn:aws:iam::111122223333:role/admin"},
			{"all but a role, without MFA", everything(ofOwn, stmt("Deny", toAll, bothActions, notAdmin+","+withoutMFA)), Fail, "arn:aws:iam::111122223333:role/admin"},
			{"NotPrincipal", everything(ofOwn, butFor(toAdmin, bothActions, "")), Fail, "arn:aws:iam::111122223333:role/admin"},
			{"NotPrincipal, without MFA", everything(ofOwn, butFor(toAdmin, bothActions, withoutMFA)), Fail, "arn:aws:iam::111122223333:role/admin"},
			{"denied to strangers", everything("", accounts("aws:PrincipalAccount", `"111122223333"`)), Fail, "everybody of account 111122223333"},
			{"a session of the role", underPolicy(stmt("Allow", `{"AWS": "arn:aws:sts::111122223333:assumed-role/admin/me"}`, `"kms:*"`, ""),
				stmt("Deny", toAll, bothActions, notAdmin)), Fail, "assumed-role/admin/me"},
			{"a role whose sessions are left out", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""),
				butFor(`{"AWS": "arn:aws:sts::111122223333:assumed-role/admin/me"}`, bothActions, "")), Fail, "role/admin"},
			{"denied to another role", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Deny", toAll, bothActions,
				`"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/other"}`)), Fail, "role/admin"},
			{"denied to the role by its ARN", underPolicy(stmt("Allow", toAdmin, `"kms:*"`, ""), stmt("Deny", toAll, bothActions,
				`"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/adm*"}`)), Pass, ""},
			{"a user whom the exemption leaves", underPolicy(stmt("Allow", toAlice, `"kms:*"`, ""), stmt("Deny", toAll, bothActions, notAdmin)), Pass, ""},
			{"denied to all", everything(ofOwn, stmt("Deny", toAll, bothActions, "")), Pass, ""},
		})
	}
	runRule(t, "policy-mfa-deletion", []ruleCase{
		{"MFA of all of the account", everything(ofOwn, stmt("Deny", toAll, bothActions, withoutMFA)), Pass, "needs multi-factor"},
	})
	runRule(t, "policy-lockout", []ruleCase{
		{"the root of another account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Fail, "Nobody"},
		{"roles of another account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, `"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/*"}`)), Fail, "Nobody"},
		{"the user ID of another account", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringEquals": {"aws:userid": "444455556666"}`)), Fail, "Nobody"},
		{"services only", underPolicy(stmt("Allow", toRoot, `"kms:*"`, `"StringEquals": {"aws:SourceAccount": "111122223333"}`)), Fail, "Nobody"},
		{"one of two conditions", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "111122223333", "aws:PrincipalAccount": "444455556666"}`)), Fail, "Nobody"},
		{"all but a role of it", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, bothActions, notAdmin)), Manual, "but statement 2 denies it, under conditions on aws:PrincipalArn"},
		{"all but those under NotPrincipal", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), butFor(toAdmin, bothActions, "")), Manual, "statement 2 denies it to all but those under NotPrincipal:"},
		{"an address", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, bothActions, `"NotIpAddress": {"aws:SourceIp": "192.0.2.1"}`)), Manual, "aws:SourceIp"},
		{"all other accounts", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), accounts("aws:PrincipalAccount", `"111122223333"`)), Pass, "account 111122223333"},
		{"another account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Pass, "account 111122223333"},
		{"the account", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, `"kms:*"`, ofOwn)), Fail, "but statement 2 denies it"},
		{"a user", underPolicy(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAlice, `"kms:*"`, "")), Pass, "account 111122223333"},
	})
}

// TestUnknownAccountByConditions: conditions name accounts in more ways than one, and each value counts.
func TestUnknownAccountByConditions(t *testing.T) {
	allow := func(principal, condition string) func(*Facts) {
		return underPolicy(stmt("Allow", principal, `"kms:Decrypt"`, condition))
	}
	const sns = `{"Service": "sns.amazonaws.com"}`
	runRule(t, "policy-unknown-account", []ruleCase{
		{"a service for it", allow(sns, `"StringEquals": {"aws:SourceAccount": "444455556666"}`), Fail, "services for account 444455556666"},
		{"a service for one of two", allow(sns, `"StringEquals": {"aws:SourceAccount": ["111122223333", "444455556666"]}`), Fail, "services for account 444455556666"},
		{"a service for its resource", allow(sns, `"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:444455556666:*"}`), Fail, "services for account 444455556666"},
		{"a service for it, if the key is there", allow(sns, `"StringEqualsIfExists": {"aws:SourceAccount": "444455556666"}`), Fail, "444455556666"},
		{"a bucket first", allow(sns, `"ArnLike": {"aws:SourceArn": ["arn:aws:s3:::bucket", "arn:aws:sns:us-east-1:444455556666:topic"]}`), Fail, "444455556666"},
		{"a service for the own account", allow(sns, `"StringEquals": {"aws:SourceAccount": "111122223333"}`), Pass, "111122223333"},
		{"a service for its bucket in the own account", allow(sns, `"StringEquals": {"aws:SourceAccount": "111122223333"}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}`), Pass, "111122223333"},
		{"a service that a Deny stops", underPolicy(stmt("Allow", sns, `"kms:Decrypt"`, `"StringEquals": {"aws:SourceAccount": "444455556666"}`),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:SourceAccount": "111122223333"}`)), Pass, "111122223333"},
		{"everybody for it", allow(toAll, `"StringEquals": {"aws:SourceAccount": "444455556666"}`), Fail, "444455556666"},
		{"everybody for its resource", allow(toAll, `"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:444455556666:topic"}`), Fail, "444455556666"},
		{"its root by the user ID", allow(toAll, `"StringEquals": {"aws:userid": "444455556666"}`), Fail, "account 444455556666"},
		{"its federated user", allow(toAll, `"StringEquals": {"aws:userid": "444455556666:bob"}`), Fail, "account 444455556666"},
		{"a user ID of nobody known first", allow(toAll, `"StringLike": {"aws:userid": ["AROAEXAMPLE:*", "444455556666:*"]}`), Fail, "account 444455556666"},
		{"the second value", allow(toAll, `"StringEquals": {"kms:CallerAccount": ["111122223333", "444455556666"]}`), Fail, "account 444455556666"},
		{"kept out by another condition", allow(toAll, `"StringEquals": {"kms:CallerAccount": ["111122223333", "444455556666"], "aws:PrincipalAccount": "111122223333"}`), Pass, "111122223333"},
		{"by name, kept out by a condition", allow(toForeign, ofOwn), Pass, "111122223333"},
	})
}

// TestConditionsWithoutValues: what a service has accepted may have empty lists. A condition on one is met by nobody, and no check fails.
func TestConditionsWithoutValues(t *testing.T) {
	for _, operator := range []string{"StringEquals", "StringLike", "ArnLike", "ForAllValues:StringEquals", "StringEqualsIfExists", "StringNotEquals", "ArnNotLike"} {
		for _, key := range []string{"aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgID", "aws:userid", "aws:SourceArn", attestationPrefix + "PCR0"} {
			condition := fmt.Sprintf(`%q: {%q: "arn:aws:iam::444455556666:role/x"}`, operator, key)
			for _, effect := range []string{"Allow", "Deny"} {
				f := ruleFacts(valueless(underPolicy(stmt(effect, toAll, `"kms:*"`, condition)), 0))
				f.IAM = &IAMAccount{Principals: []IAMPrincipal{iamRole("r")}}
				s := DefaultSettings()
				for _, c := range slices.Concat(accessChecks, enclaveChecks, iamChecks) {
					_ = c.Eval(f, &s)
				}
			}
		}
	}
	empty := func(effect, condition string) func(*Facts) {
		return valueless(underPolicy(stmt(effect, toAll, `"kms:*"`, condition), stmt("Allow", toRoot, `"kms:*"`, "")), 0)
	}
	runRule(t, "policy-public", []ruleCase{
		{"an Allow of nobody", empty("Allow", ofOwn), Pass, "allows everybody"},
		{"an Allow that lets absent keys through", empty("Allow", `"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o"}`), Fail, "everybody"},
	})
	runRule(t, "policy-lockout", []ruleCase{
		{"an Allow of nobody", valueless(underPolicy(stmt("Allow", toRoot, `"kms:*"`, ofOwn)), 0), Fail, "Nobody"},
		{"a Deny of nobody", empty("Deny", ofOwn), Pass, "account 111122223333"},
		{"a Deny of all but nobody", empty("Deny", `"StringNotEquals": {"aws:PrincipalAccount": "1"}`), Manual, "statement 1 denies it"},
	})
}

// TestPublicProviders: a public identity provider stands for whoever has an application there.
func TestPublicProviders(t *testing.T) {
	allow := func(provider, condition string) func(*Facts) {
		return underPolicy(stmt("Allow", `{"Federated": "`+provider+`"}`, `"kms:Decrypt"`, condition))
	}
	const cognito = "cognito-identity.amazonaws.com"
	anyProvider := func(f *Facts) {
		allow(cognito, "")(f)
		f.Policy.Statements[0].Principal = &policy.Principals{Federated: []string{"*"}}
	}
	runRule(t, "policy-public", []ruleCase{
		{"Cognito", allow(cognito, ""), Fail, "allows cognito-identity.amazonaws.com to call kms:Decrypt."},
		{"Google", allow("accounts.google.com", ""), Fail, "accounts.google.com"},
		{"any", anyProvider, Fail, "kms:Decrypt"},
		{"those who did not sign in", allow(cognito, `"ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "unauthenticated"}`), Fail, "do not confine"},
		{"one identity pool", allow(cognito, `"StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:1234"}`), Pass, "cognito-identity.amazonaws.com:aud"},
		{"any identity pool", allow(cognito, `"StringLike": {"cognito-identity.amazonaws.com:aud": "us-east-1:*"}`), Fail, "do not confine"},
		{"one pool, if the key is there", allow(cognito, `"StringEqualsIfExists": {"cognito-identity.amazonaws.com:aud": "us-east-1:1234"}`), Fail, "do not confine"},
		{"the audience of another provider", allow(cognito, `"StringEquals": {"accounts.google.com:aud": "1234"}`), Fail, "do not confine"},
		{"one account", allow(cognito, ofOwn), Pass, "kms:CallerAccount"},
		{"denied to strangers", underPolicy(stmt("Allow", `{"Federated": "`+cognito+`"}`, `"kms:Decrypt"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}`)), Pass, "denies it"},
		{"denied to the provider", underPolicy(stmt("Allow", `{"Federated": "`+cognito+`"}`, `"kms:Decrypt"`, ""),
			stmt("Deny", `{"Federated": "`+cognito+`"}`, `"kms:*"`, "")), Pass, "statement 2 denies it"},
		{"denied to one of two", underPolicy(stmt("Allow", `{"Federated": ["`+cognito+`", "www.amazon.com"]}`, `"kms:Decrypt"`, ""),
			stmt("Deny", `{"Federated": "`+cognito+`"}`, `"kms:*"`, "")), Fail, "allows www.amazon.com to call"},
		{"a provider of the account", allow("arn:aws:iam::111122223333:oidc-provider/example.com", ""), Pass, "allows everybody"},
	})
	runRule(t, "policy-public", []ruleCase{
		{"a star before the account, as text", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringLike": {"aws:PrincipalArn": "arn:aws:*:*:111122223333:*"}`)), Fail, "do not confine"},
		{"a star before the account, part by part", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"ArnLike": {"aws:PrincipalArn": "arn:aws:*:*:111122223333:*"}`)), Pass, "aws:PrincipalArn"},
		{"a star after the account, as text", underPolicy(stmt("Allow", toAll, `"kms:*"`, `"StringLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:*"}`)), Pass, "aws:PrincipalArn"},
		{"a Deny that spares such paths", underPolicy(stmt("Allow", toAll, `"kms:*"`, ""),
			stmt("Deny", toAll, `"kms:*"`, `"StringNotLike": {"aws:PrincipalArn": "arn:aws:*:*:111122223333:*"}`)), Fail, "everybody"},
	})
}
