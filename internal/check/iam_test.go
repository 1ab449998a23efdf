package check

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A rotation role and a user, with policies as JSON statements.
func iamRole(name string, statements ...string) IAMPrincipal {
	return IAMPrincipal{ARN: "arn:aws:iam::111122223333:role/" + name, Policies: iamPolicies(statements)}
}

func iamUser(name string, statements ...string) IAMPrincipal {
	return IAMPrincipal{ARN: "arn:aws:iam::111122223333:user/" + name, Policies: iamPolicies(statements)}
}

func iamPolicies(statements []string) []IAMPolicy {
	if statements == nil {
		return nil
	}
	return []IAMPolicy{{Name: "inline", Policy: parsePolicy(statements...)}}
}

func (p IAMPrincipal) within(statements ...string) IAMPrincipal {
	p.Boundary = &iamPolicies(statements)[0]
	return p
}

// iamStmt is a statement of an IAM policy, which names no principal.
func iamStmt(effect, action, resource, condition string) string {
	if condition != "" {
		condition = `, "Condition": {` + condition + `}`
	}
	return fmt.Sprintf(`{"Effect": %q, "Action": %s, "Resource": %q%s}`, effect, action, resource, condition)
}

func TestEnableRotationAccess(t *testing.T) {
	const enable = `"kms:EnableKeyRotation"`
	allow := iamStmt("Allow", enable, "*", "")
	mfa := `"Bool": {"aws:MultiFactorAuthPresent": "true"}`
	// delegated is a key with the default policy, and what IAM has.
	delegated := func(principals ...IAMPrincipal) func(*Facts) {
		return func(f *Facts) { f.IAM = &IAMAccount{Principals: principals} }
	}
	keyPolicy := func(principals []IAMPrincipal, statements ...string) func(*Facts) {
		return func(f *Facts) { underPolicy(statements...)(f); f.IAM = &IAMAccount{Principals: principals} }
	}
	broken := IAMPolicy{Name: "strange", Err: errors.New("no grammar has it")}
	blind := IAMPrincipal{ARN: "arn:aws:iam::111122223333:role/blind", Policies: []IAMPolicy{broken}}
	half := iamRole("half", allow)
	half.Policies = append(half.Policies, broken)
	unbounded := iamRole("unbounded", allow)
	unbounded.Boundary = &broken
	foreignRole := IAMPrincipal{ARN: "arn:aws:iam::444455556666:role/reader", Policies: iamPolicies([]string{allow})}
	runRule(t, "iam-enable-rotation", []ruleCase{
		{"a role by IAM", delegated(iamRole("admin", allow)), Pass, "permitted to arn:aws:iam::111122223333:role/admin."},
		{"everything", delegated(iamUser("a", iamStmt("Allow", `"*"`, "*", ""))), Pass, "user/a"},
		{"the key's ARN", delegated(iamRole("r", iamStmt("Allow", `"KMS:enable*"`, "arn:aws:kms:*:111122223333:key/*", ""))), Pass, "role/r"},
		{"NotAction", delegated(iamRole("r", `{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}`)), Pass, "role/r"},
		{"NotResource", delegated(iamRole("r", `{"Effect": "Allow", "Action": "kms:*", "NotResource": "arn:aws:kms:us-east-1:111122223333:key/other"}`)), Pass, "role/r"},
		{"two", delegated(iamRole("r", allow), iamUser("u", allow)), Pass, "role/r and arn:aws:iam::111122223333:user/u."},
		{"many", delegated(iamUser("a", allow), iamUser("b", allow), iamUser("c", allow), iamUser("d", allow), iamUser("e", allow),
			iamUser("f", allow), iamUser("g", allow)), Pass, "user/e and others."},
		{"nobody", delegated(iamRole("r", iamStmt("Allow", `"kms:Decrypt"`, "*", ""))), Fail, "none does"},
		{"no principals", delegated(), Fail, "No user or role"},
		{"another key", delegated(iamRole("r", iamStmt("Allow", enable, "arn:aws:kms:us-east-1:111122223333:key/other", ""))), Fail, "none does"},
		{"NotResource of this key", delegated(iamRole("r", `{"Effect": "Allow", "Action": "kms:*", "NotResource": "arn:aws:kms:*:*:key/*"}`)), Fail, "none does"},
		{"denied", delegated(iamRole("r", allow, iamStmt("Deny", `"kms:*Rotation"`, "*", ""))), Fail, "none does"},
		{"another key denied", delegated(iamRole("r", allow, iamStmt("Deny", `"kms:*"`, "arn:aws:kms:us-east-1:111122223333:key/other", ""))), Pass, "role/r"},
		{"within a boundary", delegated(iamRole("r", allow).within(iamStmt("Allow", `"kms:*"`, "*", ""))), Pass, "role/r"},
		{"outside the boundary", delegated(iamRole("r", allow).within(iamStmt("Allow", `"s3:*"`, "*", ""))), Fail, "none does"},
		{"denied by the boundary", delegated(iamRole("r", allow).within(iamStmt("Allow", `"*"`, "*", ""), iamStmt("Deny", enable, "*", ""))), Fail, "none does"},
		{"the boundary under a condition", delegated(iamRole("r", allow).within(iamStmt("Allow", `"*"`, "*", mfa))), Manual, "role/r"},
		{"only with a condition", delegated(iamRole("r", iamStmt("Allow", enable, "*", mfa))), Manual, "may be permitted to arn:aws:iam::111122223333:role/r"},
		{"one with, one without a condition", delegated(iamRole("r", iamStmt("Allow", enable, "*", mfa)), iamRole("s", allow)), Pass, "role/s."},
		{"denied with a condition", delegated(iamRole("r", allow, iamStmt("Deny", enable, "*", mfa))), Manual, "role/r"},
		{"a variable in the resource", delegated(iamRole("r", iamStmt("Allow", enable, "arn:aws:kms:*:111122223333:key/${aws:PrincipalTag/key}", ""))), Manual, "role/r"},
		{"a policy that is not understood", delegated(blind), Manual, "The IAM policy strange is not understood: no grammar has it."},
		{"beside one that permits", delegated(half), Manual, "strange"},
		{"as the boundary", delegated(unbounded), Manual, "strange"},
		{"beside somebody who may", delegated(blind, iamRole("s", allow)), Pass, "role/s."},

		{"named by the key policy", keyPolicy([]IAMPrincipal{iamRole("admin")}, stmt("Allow", toAdmin, `"kms:*"`, "")), Pass, "role/admin"},
		{"named, but IAM has it no more", keyPolicy(nil, stmt("Allow", toAdmin, `"kms:*"`, "")), Fail, "No user or role"},
		{"a session named", keyPolicy([]IAMPrincipal{iamRole("team/ops")}, stmt("Allow", `{"AWS": "arn:aws:sts::111122223333:assumed-role/ops/me"}`, `"kms:*"`, "")), Pass, "team/ops"},
		{"a deleted one named", keyPolicy([]IAMPrincipal{iamRole("admin")}, stmt("Allow", toGone, `"kms:*"`, "")), Fail, "does not let"},
		{"everybody", keyPolicy([]IAMPrincipal{iamUser("u")}, stmt("Allow", toAll, `"kms:*"`, "")), Pass, "user/u"},
		{"named under a condition", keyPolicy([]IAMPrincipal{iamRole("admin")}, stmt("Allow", toAdmin, `"kms:*"`, mfa)), Manual, "role/admin"},
		{"named for something else", keyPolicy([]IAMPrincipal{iamRole("admin", allow)}, stmt("Allow", toAdmin, `"kms:Decrypt"`, "")), Fail, "does not let the account's IAM policies"},
		{"named and denied by IAM", keyPolicy([]IAMPrincipal{iamRole("admin", iamStmt("Deny", `"kms:*"`, "*", ""))}, stmt("Allow", toAdmin, `"kms:*"`, "")), Fail, "No user"},
		{"a user named, outside the boundary", keyPolicy([]IAMPrincipal{iamUser("alice").within(iamStmt("Allow", `"s3:*"`, "*", ""))},
			stmt("Allow", toAlice, `"kms:*"`, "")), Pass, "user/alice"},
		{"a role named, outside the boundary", keyPolicy([]IAMPrincipal{iamRole("admin").within(iamStmt("Allow", `"s3:*"`, "*", ""))},
			stmt("Allow", toAdmin, `"kms:*"`, "")), Fail, "No user"},
		{"not opened to IAM", keyPolicy([]IAMPrincipal{iamRole("r", allow), blind}, stmt("Allow", toRoot, `"kms:Decrypt"`, "")), Fail, "does not let"},
		{"opened under a condition", keyPolicy([]IAMPrincipal{iamRole("r", allow)}, stmt("Allow", toRoot, `"kms:*"`, mfa)), Manual, "role/r"},
		{"denied by the key policy", keyPolicy([]IAMPrincipal{iamRole("admin", allow)}, stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, enable, "")), Fail, "none does"},
		{"denied to another", keyPolicy([]IAMPrincipal{iamRole("admin", allow)}, stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAlice, enable, "")), Pass, "role/admin"},
		{"denied under a condition", keyPolicy([]IAMPrincipal{iamRole("admin", allow)}, stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, enable, mfa)), Manual, "role/admin"},

		{"a role of another account", delegated(foreignRole), Fail, "No user or role"},
		{"a role of another account, named", keyPolicy([]IAMPrincipal{foreignRole}, stmt("Allow", toForeign, `"kms:*"`, "")), Fail, "No user or role"},
		{"a role of another account among everybody", keyPolicy([]IAMPrincipal{foreignRole}, stmt("Allow", toAll, `"kms:*"`, "")), Fail, "No user or role"},
		{"opened to another account's root only", keyPolicy([]IAMPrincipal{iamRole("r", allow)}, stmt("Allow", toRoot, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Fail, "does not let"},
		{"everybody of the account", keyPolicy([]IAMPrincipal{iamUser("u")}, stmt("Allow", toAll, `"kms:*"`, ofOwn)), Pass, "user/u"},
		{"everybody of another account", keyPolicy([]IAMPrincipal{iamUser("u")}, stmt("Allow", toAll, `"kms:*"`, `"StringEquals": {"kms:CallerAccount": "444455556666"}`)), Fail, "No user"},
		{"denied to all but another role", keyPolicy([]IAMPrincipal{iamRole("r", allow)}, stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", toAll, enable, notAdmin)), Fail, "none does"},

		{"an HMAC key", func(f *Facts) { f.Key.Spec = "HMAC_256" }, NotApplicable, "HMAC"},
		{"a disabled key", func(f *Facts) { f.Key.State = StateDisabled }, NotApplicable, "state Disabled"},
		{"a replica", func(f *Facts) { f.Key.Role, f.Key.Primary = RoleReplica, "arn:primary" }, NotApplicable, "arn:primary"},
	})
}

func TestRotationEvents(t *testing.T) {
	at := func(days int) Material { return Material{ID: "m", Rotated: daysAgo(days)} }
	event := func(days int, off time.Duration) Event {
		return Event{ID: fmt.Sprintf("e%d", days), At: daysAgo(days).Add(off)}
	}
	set := func(materials []Material, events ...Event) func(*Facts) {
		return func(f *Facts) { f.Materials, f.Events = materials, events }
	}
	runRule(t, "rotation-events", []ruleCase{
		{"an event for each", set([]Material{at(10), at(80)}, event(10, 0), event(80, 0)), Pass, "(2): the last, of 2026-05-22T12:00:00Z, is event e10."},
		{"10 minutes later", set([]Material{at(10)}, event(10, 10*time.Minute)), Pass, "e10"},
		{"10 minutes before", set([]Material{at(10)}, event(10, -10*time.Minute)), Pass, "e10"},
		{"11 minutes later", set([]Material{at(10)}, event(10, 11*time.Minute)), Fail, "2026-05-22T12:00:00Z"},
		{"one missing", set([]Material{at(10), at(80)}, event(10, 0)), Fail, "rotation of 2026-03-13T12:00:00Z."},
		{"none", set([]Material{at(10)}), Fail, "no RotateKey event"},
		{"an old one is not asked for", set([]Material{at(10), at(200)}, event(10, 0)), Pass, "(1)"},
		{"90 days to the second", set([]Material{at(90)}), NotApplicable, "90 days"},
		{"no rotation", set([]Material{{ID: "m"}}), NotApplicable, "90 days"},
		{"rotation off", func(f *Facts) { f.Rotation = &Rotation{} }, NotApplicable, "is off"},
		{"just rotated", set([]Material{{ID: "m", Rotated: ruleNow.Add(-time.Minute)}}), Manual, "so recent"},
		{"just rotated again", set([]Material{{ID: "m", Rotated: ruleNow.Add(-time.Minute)}, at(30)}, event(30, 0)), Pass, "so recent"},
		{"a disabled key", func(f *Facts) { set([]Material{at(10)}, event(10, 0))(f); f.Key.State = StateDisabled }, Pass, "e10"},
		{"an imported key", func(f *Facts) { f.Key.Origin = OriginExternal }, NotApplicable, "imported"},
		{"a replica", func(f *Facts) { f.Key.Role, f.Key.Primary = RoleReplica, "arn:primary" }, NotApplicable, "arn:primary"},
	})
}

// TestPolicyChecksAreComplete: everything that a report shows is there.
func TestPolicyChecksAreComplete(t *testing.T) {
	for _, list := range [][]*Check{accessChecks, enclaveChecks, iamChecks} {
		for _, c := range list {
			for _, text := range []string{c.ID, c.Title, c.Why, c.Fix.Text, c.Fix.Console, c.Fix.CLI, c.Fix.CloudFormation, c.Fix.Terraform, c.Fix.URL} {
				if text == "" {
					t.Errorf("%s lacks a text", c.ID)
				}
			}
			if c.Severity == 0 || c.Controls == nil || c.Needs == nil || c.Eval == nil || c.Scope != CustomerKeys {
				t.Errorf("%s is incomplete", c.ID)
			}
		}
	}
}
