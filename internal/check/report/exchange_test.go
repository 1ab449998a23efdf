package report

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/securityhub/types"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/keyturn/keyturn/internal/check"
)

func readSARIF(t testing.TB, text string) *sarif.Report {
	t.Helper()
	r, err := sarif.FromString(text, sarif.WithStrictValidation())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 1 {
		t.Fatalf("%d runs", len(r.Runs))
	}
	return r
}

func TestSARIF(t *testing.T) {
	out := write(t, "sarif", Options{}, sampleFindings())
	report := readSARIF(t, out)
	if err := report.Validate(); err != nil {
		t.Fatal(err)
	}
	run := report.Runs[0]
	kinds := map[check.Status]string{
		check.Fail: "fail", check.Pass: "pass", check.NotApplicable: "notApplicable", check.Manual: "review", check.Error: "open",
	}
	for i, f := range sampleFindings() {
		r := run.Results[i]
		if r.Kind != kinds[f.Status] {
			t.Errorf("%s is of kind %s", f.Status, r.Kind)
		}
		if (r.Level != "") != (f.Status == check.Fail) {
			t.Errorf("a result of kind %s has the level %q", r.Kind, r.Level)
		}
		if id := *run.Tool.Driver.Rules[r.RuleIndex].ID; id != f.Check || *r.RuleID != f.Check {
			t.Errorf("a result of %s has the rule %s", f.Check, id)
		}
		if r.PartialFingerprints["keyturnFinding/v1"] != f.ID || *r.Locations[0].LogicalLocations[0].FullyQualifiedName != f.Resource.ARN {
			t.Errorf("result %d is of another finding", i)
		}
		if (len(r.Suppressions) > 0) != (f.Accepted != nil) {
			t.Errorf("result %d has %d suppressions", i, len(r.Suppressions))
		}
	}
	rule := run.Tool.Driver.Rules[0]
	if *rule.Name != "KmsKeyRotation" || rule.DefaultConfiguration.Level != "warning" || rule.Help == nil ||
		!strings.Contains(*rule.Help.Markdown, "```hcl") {
		t.Errorf("the rule is %+v", rule)
	}
	if !slices.Contains(rule.Properties.Tags, "CIS AWS Foundations Benchmark 3.0.0 3.6") || !strings.Contains(out, `"security-severity":"5.5"`) {
		t.Errorf("the rule's properties are %+v", rule.Properties)
	}
	if text := *run.Results[2].Message.Text; !strings.Contains(text, `\[a\](javascript:x)`) {
		t.Errorf("an alias brings a link into %q", text)
	}
	if *run.Invocations[0].ExecutionSuccessful {
		t.Error("a run that could not read everything is called successful")
	}
}

func TestOCSF(t *testing.T) {
	var events []ocsfFinding
	strict(t, write(t, "ocsf", Options{}, sampleFindings()), &events)
	want := map[check.Status]int{check.Fail: 3, check.Pass: 1, check.NotApplicable: 99, check.Manual: 2, check.Error: 2}
	for i, f := range sampleFindings() {
		e := events[i]
		if e.ClassUID != 2003 || e.Compliance.StatusID != want[f.Status] || e.Info.UID != f.ID || e.Time != f.LastSeen.UnixMilli() {
			t.Errorf("event %d is %+v", i, e)
		}
		if (e.StatusID == 3) != (f.Accepted != nil) {
			t.Errorf("event %d has the status %s", i, e.Status)
		}
		if slices.Contains(e.Compliance.Requirements, "Prowler kms_cmk_rotation_enabled") {
			t.Error("another scanner's check is called a requirement")
		}
	}
	// The first was seen before, so that this is no new event.
	e := events[0]
	if e.TypeUID != 200302 || e.Info.FirstSeen != day(2026, 9, 1).UnixMilli() || e.SeverityID != 3 || len(e.Compliance.Standards) != 5 {
		t.Errorf("the first event is %+v", e)
	}
	if events[1].SeverityID != 1 {
		t.Errorf("a pass has the severity %s", events[1].Severity)
	}
}

func readASFF(t testing.TB, text string) []types.AwsSecurityFinding {
	t.Helper()
	var l []types.AwsSecurityFinding
	strict(t, text, &l)
	for i, f := range l {
		limit := func(field string, s *string, n int) {
			if s == nil {
				return
			}
			if c := utf8.RuneCountInString(*s); c > n || strings.TrimSpace(*s) == "" || strings.Contains(*s, "\n") {
				t.Errorf("finding %d has %d characters in %s: %q", i, c, field, *s)
			}
		}
		limit("Id", f.Id, 512)
		limit("Title", f.Title, 256)
		limit("Description", f.Description, 1024)
		limit("GeneratorId", f.GeneratorId, 512)
		limit("ProductArn", f.ProductArn, 2048)
		limit("Region", f.Region, 16)
		if f.Note != nil {
			limit("Note.Text", f.Note.Text, 512)
		}
		if f.Remediation != nil {
			limit("Recommendation.Text", f.Remediation.Recommendation.Text, 512)
		}
		for _, r := range f.Compliance.RelatedRequirements {
			limit("RelatedRequirements", &r, 64)
		}
		for _, r := range f.Resources {
			limit("Resource.Id", r.Id, 512)
			limit("Resource.Type", r.Type, 256)
			if r.Details != nil {
				for k, v := range r.Details.Other {
					limit("Other."+k, &v, 1023)
				}
			}
		}
		if !slices.Contains(f.Compliance.Status.Values(), f.Compliance.Status) || !slices.Contains(f.RecordState.Values(), f.RecordState) ||
			!slices.Contains(f.Workflow.Status.Values(), f.Workflow.Status) || !slices.Contains(f.Severity.Label.Values(), f.Severity.Label) {
			t.Errorf("finding %d has a value that the format does not know: %+v", i, f)
		}
		if _, err := time.Parse(time.RFC3339, *f.UpdatedAt); err != nil {
			t.Error(err)
		}
	}
	return l
}

func TestASFF(t *testing.T) {
	findings := sampleFindings()
	findings[0].Title, findings[0].Detail = strings.Repeat("é", 300), strings.Repeat("x ", 2000)
	findings[0].Resource.Aliases = []string{strings.Repeat("alias/a", 500)}
	findings[6].Accepted.Reason = strings.Repeat("because ", 200)
	checks := sampleChecks()
	for range 50 {
		checks[0].Controls = append(checks[0].Controls, check.Control{Framework: strings.Repeat("F", 80), ID: "1"})
	}
	l := readASFF(t, write(t, "asff", Options{Checks: checks}, findings))
	want := map[check.Status]types.ComplianceStatus{check.Pass: "PASSED", check.Fail: "FAILED", check.NotApplicable: "NOT_AVAILABLE",
		check.Manual: "WARNING", check.Error: "WARNING"}
	for i, f := range sampleFindings() {
		if l[i].Compliance.Status != want[f.Status] || *l[i].Id != f.ID {
			t.Errorf("finding %d, %s, is %s", i, f.Status, l[i].Compliance.Status)
		}
		if (l[i].Workflow.Status == "SUPPRESSED") != (f.Accepted != nil) {
			t.Errorf("finding %d has the workflow %s", i, l[i].Workflow.Status)
		}
	}
	if n := len(l[0].Compliance.RelatedRequirements); n != 32 {
		t.Errorf("%d requirements", n)
	}
	k := l[1].Resources[0].Details.AwsKmsKey
	if !*k.KeyRotationStatus || *k.KeyState != "Enabled" || *k.CreationDate != float64(day(2023, 2, 1).Unix()) {
		t.Errorf("the key is %+v", k)
	}
}
