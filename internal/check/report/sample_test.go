package report

import (
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

const hostile = "alias/\x1b[31mred\x1b[0m</script><img src=x onerror=alert(1)>|`x`\u202egnp\x00\u0085\n=1+1 @team #1 [a](javascript:x)"

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 9, 30, 0, 0, time.UTC) }

// sampleChecks is a catalog of the tests' own, so that golden files do not change with every sentence of the real one.
func sampleChecks() []*check.Check {
	return []*check.Check{
		{
			ID: "kms-key-rotation", Title: "Customer managed keys rotate automatically", Severity: check.Medium,
			Why: "The longer one key's material is in use, the more data falls with it, and the harder it is to replace.",
			Fix: check.Remediation{
				Text:           "Enable automatic rotation. Data keeps its key ID, and old ciphertexts stay readable.",
				Console:        "KMS, Customer managed keys, the key, tab Key rotation, Edit, Enable.",
				CLI:            "aws kms enable-key-rotation --key-id <key-id> --region <region>",
				CloudFormation: "Key:\n  Type: AWS::KMS::Key\n  Properties:\n    EnableKeyRotation: true\n",
				Terraform:      "resource \"aws_kms_key\" \"this\" {\n  enable_key_rotation = true\n}\n",
				URL:            "https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html",
			},
			Controls: []check.Control{
				{Framework: check.CIS, Version: "1.4.0", ID: "3.8"}, {Framework: check.CIS, Version: "3.0.0", ID: "3.6"},
				{Framework: check.NIST80053, Version: "Rev. 5", ID: "SC-12"}, {Framework: check.NIST80053, Version: "Rev. 5", ID: "SC-28"},
				{Framework: check.PCIDSS, Version: "4.0.1", ID: "3.7.4"}, {Framework: check.SecurityHub, ID: "KMS.4"},
				{Framework: check.Prowler, ID: "kms_cmk_rotation_enabled"},
			},
		},
		{
			ID: "kms-key-policy-public", Title: "Key policies name who may use the key", Severity: check.Critical,
			Why: "A key that everybody may use protects nothing.",
			Fix: check.Remediation{
				Text: "Replace the principal * by the accounts and roles that need the key, or add a condition that limits it.",
				CLI:  "aws kms put-key-policy --key-id <key-id> --policy file://policy.json",
			},
			Controls: []check.Control{{Framework: check.SOC2, ID: "CC6.1"}},
		},
		{
			ID: "kms-key-pending-deletion", Title: "No key waits for its deletion", Severity: check.High,
			Why: "What a deleted key encrypted is gone.", Fix: check.Remediation{Text: "Cancel the deletion if anything still needs the key."},
		},
		{ID: "kms-key-owner", Title: "Keys have an owner", Severity: check.Low, Why: "Nobody mends a key that nobody owns."},
		{ID: "kms-account-deletion-mfa", Title: "Deleting keys asks for a second factor", Severity: check.Informational},
	}
}

const sampleAccount = "111122223333"

func sampleRun() check.Run {
	return check.Run{
		Tool: "keyturn", Version: "1.2.3", Started: day(2026, 11, 20), Account: sampleAccount, Partition: "aws",
		Regions: []string{"eu-central-1", "us-east-1"}, Caller: "arn:aws:sts::111122223333:assumed-role/auditor/ada",
		Checks: []string{"kms-key-rotation", "kms-key-policy-public", "kms-key-pending-deletion", "kms-key-owner", "kms-account-deletion-mfa"},
		FailOn: check.Medium,
	}
}

// key makes a resource; n makes its ID.
func sampleKey(n, region string, turn *check.Turn, aliases ...string) check.Resource {
	id := "1234abcd-12ab-34cd-56ef-" + (n + "000000000000")[:12]
	return check.Resource{
		Type: check.KeyResource, ARN: "arn:aws:kms:" + region + ":" + sampleAccount + ":key/" + id, ID: id, Account: sampleAccount, Region: region,
		Aliases: aliases, Spec: check.SpecSymmetric, Origin: check.OriginKMS, State: check.StateEnabled, Manager: check.ManagerCustomer,
		Created: day(2023, 2, 1), Rotation: turn,
	}
}

func sampleFindings() []*check.Finding {
	catalog := map[string]*check.Check{}
	for _, c := range sampleChecks() {
		catalog[c.ID] = c
	}
	off := &check.Turn{}
	yearly := &check.Turn{Enabled: true, Days: 365, Next: day(2027, 1, 31), Dates: []time.Time{day(2024, 2, 1), day(2025, 1, 31), day(2026, 1, 31)}}
	late := &check.Turn{Enabled: true, Days: 180, Next: day(2026, 10, 2), Dates: []time.Time{day(2026, 4, 5)}}
	payroll := sampleKey("a", "eu-central-1", off, "alias/payroll", "alias/payroll-old")
	orders := sampleKey("b", "eu-central-1", yearly, "alias/orders")
	evil := sampleKey("c", "us-east-1", off, hostile)
	signing := sampleKey("d", "us-east-1", nil, "alias/signing")
	signing.Spec = "RSA_2048"
	imported := sampleKey("e", "us-east-1", off, "alias/imported")
	imported.Origin = check.OriginExternal
	locked := sampleKey("f", "us-east-1", nil)
	legacy := sampleKey("1", "eu-central-1", late, "alias/legacy")
	doomed := sampleKey("2", "eu-central-1", nil, "alias/doomed")
	doomed.State = check.StatePendingDeletion
	account := sampleKey("3", "us-east-1", nil)

	var all []*check.Finding
	add := func(id string, r check.Resource, s check.Status, detail string, edits ...func(*check.Finding)) {
		f := &check.Finding{
			ID: check.FindingID(id, r.Account, r.Region, r.ARN), Check: id, Title: catalog[id].Title, Severity: catalog[id].Severity, Status: s,
			Detail: detail, Resource: r, LastSeen: day(2026, 11, 20),
		}
		for _, e := range edits {
			e(f)
		}
		all = append(all, f)
	}
	notes := func(n ...string) func(*check.Finding) { return func(f *check.Finding) { f.Notes = n } }
	since := func(t time.Time) func(*check.Finding) { return func(f *check.Finding) { f.FirstSeen = t } }
	accepted := func(reason string) func(*check.Finding) {
		return func(f *check.Finding) { f.Accepted = &check.Acceptance{Reason: reason, Expires: day(2027, 3, 31)} }
	}
	unread := func(code string) func(*check.Finding) { return func(f *check.Finding) { f.Error = code } }

	add("kms-key-rotation", payroll, check.Fail, "Automatic rotation is off.", since(day(2026, 9, 1)), notes("The material is 1,388 days old."),
		func(f *check.Finding) {
			f.Price = &check.Price{MonthlyCents: 100, RotationAddsCents: 200, Date: "2026-11-01"}
		})
	add("kms-key-rotation", orders, check.Pass, "Automatic rotation is on, every 365 days.", since(day(2026, 9, 1)))
	add("kms-key-rotation", evil, check.Fail, "Automatic rotation is off for "+hostile, notes("The description says: "+hostile))
	add("kms-key-rotation", signing, check.NotApplicable, "RSA_2048 keys cannot rotate automatically.")
	add("kms-key-rotation", imported, check.Manual, "Imported material is rotated by hand; nothing says when it was.",
		notes("alias/imported was not repointed."))
	add("kms-key-rotation", locked, check.Error, "GetKeyRotationStatus was not allowed.", unread("AccessDeniedException"))
	add("kms-key-rotation", legacy, check.Fail, "The rotation promised for 2026-10-02 has not happened.",
		accepted("Retired with the old shop; see "+hostile))
	add("kms-key-policy-public", payroll, check.Pass, "Every statement names its principals.")
	add("kms-key-policy-public", orders, check.Fail, "Statement \"open\" allows kms:Decrypt to everybody.", since(day(2026, 11, 20)))
	add("kms-key-policy-public", locked, check.Error, "GetKeyPolicy was not allowed.", unread("AccessDeniedException"))
	add("kms-key-pending-deletion", doomed, check.Fail, "The key will be deleted on 2026-12-01.")
	add("kms-key-pending-deletion", orders, check.Pass, "The key is enabled.")
	add("kms-key-owner", payroll, check.Fail, "No tag names an owner.")
	add("kms-key-owner", imported, check.Pass, "The tag team names payments.")
	add("kms-account-deletion-mfa", account, check.Manual, "Policies of the organization were not read.")
	return all
}

func sampleSummary(findings []*check.Finding) *check.Summary {
	s := &check.Summary{
		Finished: day(2026, 11, 20).Add(3200 * time.Millisecond), Keys: 9, Counts: map[check.Status]int{},
		Prices: check.PriceSummary{MonthlyCents: 1250, RotationAddsCents: 400, Date: "2026-11-01"},
		Errors: []check.RunError{{Region: "us-east-1", Call: "ListAliases", Code: "ThrottlingException", Detail: "Rate exceeded " + hostile}},
		Changes: []check.Change{
			{
				KeyARN: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-400000000000", Region: "eu-central-1", Call: "EnableKeyRotation",
				Days: 365, Before: "rotation off", Done: true,
				Command: []string{"aws", "kms", "enable-key-rotation", "--key-id", "1234abcd-12ab-34cd-56ef-400000000000"},
				Undo:    []string{"aws", "kms", "disable-key-rotation", "--key-id", "1234abcd-12ab-34cd-56ef-400000000000"},
			},
			{
				KeyARN: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-c00000000000", Region: "us-east-1", Call: "EnableKeyRotation",
				Days: 365, Before: "rotation off", Error: "AccessDeniedException: " + hostile,
				Command: []string{"aws", "kms", "enable-key-rotation", "--key-id", "it's " + hostile}, Undo: []string{"aws", "kms", "disable-key-rotation"},
			},
		},
		Expired: []string{"00112233445566778899aabbccddeeff"},
	}
	index := map[string]int{}
	for _, c := range sampleChecks() {
		index[c.ID] = len(s.Checks)
		s.Checks = append(s.Checks, check.CheckCount{Check: c.ID, Severity: c.Severity, Counts: map[check.Status]int{}})
	}
	for _, f := range findings {
		s.Counts[f.Status]++
		if i, ok := index[f.Check]; ok {
			s.Checks[i].Counts[f.Status]++
		}
		if f.Accepted != nil {
			s.Accepted++
		}
	}
	return s
}

// write runs a report through one format.
func write(t testing.TB, format string, o Options, findings []*check.Finding) string {
	t.Helper()
	return writeAll(t, format, o, sampleRun(), findings, sampleSummary(findings))
}
