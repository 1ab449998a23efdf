package report

import (
	"encoding/json"
	"strings"

	"github.com/keyturn/keyturn/internal/check"
)

// A finding of the AWS Security Finding Format, 2018-10-08, as far as it is used here. Limits are those of the API reference of Security
// Hub's AwsSecurityFinding; BatchImportFindings takes 100 findings a call.
type (
	asffFinding struct {
		SchemaVersion   string
		Id              string
		ProductArn      string
		ProductName     string
		CompanyName     string
		Region          string `json:",omitempty"`
		GeneratorId     string
		AwsAccountId    string
		Types           []string
		FirstObservedAt string
		LastObservedAt  string
		CreatedAt       string
		UpdatedAt       string
		Severity        asffSeverity
		Title           string
		Description     string
		Remediation     *asffRemediation `json:",omitempty"`
		ProductFields   map[string]string
		Resources       []asffResource
		Compliance      asffCompliance
		Workflow        struct{ Status string }
		RecordState     string
		Note            *asffNote `json:",omitempty"`

		FindingProviderFields asffProvider
	}
	asffSeverity struct {
		Label    string
		Original string
	}
	asffRemediation struct{ Recommendation asffRecommendation }

	asffRecommendation struct {
		Text string
		Url  string `json:",omitempty"`
	}
	asffResource struct {
		Type      string
		Id        string
		Partition string       `json:",omitempty"`
		Region    string       `json:",omitempty"`
		Details   *asffDetails `json:",omitempty"`
	}
	asffDetails struct {
		AwsKmsKey asffKey
		Other     map[string]string `json:",omitempty"`
	}
	asffKey struct {
		AWSAccountId      string  `json:",omitempty"`
		CreationDate      float64 `json:",omitempty"`
		KeyId             string  `json:",omitempty"`
		KeyManager        string  `json:",omitempty"`
		KeyState          string  `json:",omitempty"`
		Origin            string  `json:",omitempty"`
		KeyRotationStatus *bool   `json:",omitempty"`
	}
	asffCompliance struct {
		Status              string
		RelatedRequirements []string           `json:",omitempty"`
		StatusReasons       []asffStatusReason `json:",omitempty"`
	}
	asffStatusReason struct {
		ReasonCode  string
		Description string `json:",omitempty"`
	}
	asffNote struct{ Text, UpdatedBy, UpdatedAt string }

	asffProvider struct {
		Severity asffSeverity
		Types    []string
	}
)

// Limits of the format, in characters and entries.
const (
	asffIDLimit           = 512
	asffTitleLimit        = 256
	asffDescriptionLimit  = 1024
	asffTextLimit         = 512 // of recommendations, notes and URLs
	asffNameLimit         = 64  // of severities, requirements, resource types
	asffFieldLimit        = 2048
	asffOtherLimit        = 1023
	asffRegionLimit       = 16
	asffRequirementsLimit = 32
)

// asffWriter writes a JSON array of findings, one a line.
type asffWriter struct{ *base }

func (a *asffWriter) Begin(r check.Run) error {
	a.w.WriteByte('[')
	return a.base.Begin(r)
}

func (a *asffWriter) Finding(f *check.Finding) error {
	text, err := json.Marshal(a.finding(f))
	if err != nil {
		return err
	}
	a.array()
	_, err = a.w.Write(text)
	return err
}

func (a *asffWriter) End(s *check.Summary) error {
	for _, f := range unread(a.run, s) {
		if err := a.Finding(f); err != nil {
			return err
		}
	}
	a.w.WriteString("\n]\n")
	return a.w.Flush()
}

func (a *asffWriter) finding(f *check.Finding) *asffFinding {
	c, r := a.of(f), &f.Resource
	types := []string{"Software and Configuration Checks/AWS Security Best Practices"}
	severity := asffSeverity{Label: strings.ToUpper(weight(f).String()), Original: cut(c.Severity.String(), asffNameLimit)}
	out := &asffFinding{
		SchemaVersion: "2018-10-08", Id: solid(f.ID, asffIDLimit), GeneratorId: solid(a.run.Tool+"/"+f.Check, asffIDLimit),
		ProductArn:  solid("arn:"+a.run.Partition+":securityhub:"+r.Region+":"+r.Account+":product/"+r.Account+"/default", asffFieldLimit),
		ProductName: solid(a.run.Tool, 128), CompanyName: "keyturn",
		AwsAccountId: solid(r.Account, 12), Region: cut(filled(r.Region), asffRegionLimit),
		Types: types, Severity: severity,
		FirstObservedAt: stamp(firstSeen(f)), CreatedAt: stamp(firstSeen(f)), LastObservedAt: stamp(f.LastSeen), UpdatedAt: stamp(f.LastSeen),
		Title: solid(f.Title, asffTitleLimit), Description: solid(details(f), asffDescriptionLimit),
		ProductFields: map[string]string{
			"keyturn/check": solid(f.Check, asffFieldLimit), "keyturn/status": string(f.Status), "keyturn/version": solid(a.run.Version, asffFieldLimit),
		},
		Resources: []asffResource{a.resource(r)}, RecordState: "ACTIVE",
		FindingProviderFields: asffProvider{Severity: severity, Types: types},
	}
	out.Compliance, out.Workflow.Status = asffVerdict(f), "NEW"
	for _, ctl := range requirements(c) {
		if len(out.Compliance.RelatedRequirements) < asffRequirementsLimit {
			out.Compliance.RelatedRequirements = append(out.Compliance.RelatedRequirements, solid(control(ctl), asffNameLimit))
		}
	}
	switch f.Status {
	case check.Pass:
		out.Workflow.Status = "RESOLVED"
	case check.NotApplicable: // Security Hub archives its own findings of such keys
		out.Workflow.Status, out.RecordState = "RESOLVED", "ARCHIVED"
	}
	if f.Accepted != nil {
		out.Workflow.Status = "SUPPRESSED"
		out.Note = &asffNote{Text: solid("Accepted until "+date(f.Accepted.Expires)+": "+f.Accepted.Reason, asffTextLimit),
			UpdatedBy: "keyturn-baseline", UpdatedAt: stamp(f.LastSeen)}
	}
	if c.Fix.Text != "" {
		out.Remediation = &asffRemediation{asffRecommendation{Text: solid(c.Fix.Text, asffTextLimit), Url: cut(filled(c.Fix.URL), asffTextLimit)}}
	}
	return out
}

func (a *asffWriter) resource(r *check.Resource) asffResource {
	out := asffResource{Type: solid(r.Type, asffNameLimit), Id: solid(r.ARN, asffIDLimit), Region: cut(filled(r.Region), asffRegionLimit)}
	switch a.run.Partition { // others the format does not know
	case "aws", "aws-cn", "aws-us-gov":
		out.Partition = a.run.Partition
	}
	if r.Type == accountResource {
		out.Id = solid("AWS::::Account:"+r.Account, asffIDLimit)
		return out
	}
	out.Details = &asffDetails{AwsKmsKey: asffKey{AWSAccountId: filled(r.Account), KeyId: filled(r.ID), KeyManager: filled(r.Manager),
		KeyState: filled(r.State), Origin: filled(r.Origin)}}
	if !r.Created.IsZero() {
		out.Details.AwsKmsKey.CreationDate = float64(r.Created.Unix())
	}
	if r.Rotation != nil {
		out.Details.AwsKmsKey.KeyRotationStatus = &r.Rotation.Enabled
	}
	other := map[string]string{}
	for field, value := range map[string]string{"Aliases": strings.Join(r.Aliases, " "), "KeySpec": r.Spec} {
		if value = filled(value); value != "" {
			other[field] = cut(value, asffOtherLimit)
		}
	}
	out.Details.Other = other
	return out
}

func asffVerdict(f *check.Finding) asffCompliance {
	switch f.Status {
	case check.Pass:
		return asffCompliance{Status: "PASSED"}
	case check.Fail:
		return asffCompliance{Status: "FAILED"}
	case check.NotApplicable:
		return asffCompliance{Status: "NOT_AVAILABLE", StatusReasons: []asffStatusReason{{ReasonCode: "NOT_APPLICABLE"}}}
	case check.Manual:
		return asffCompliance{Status: "WARNING", StatusReasons: []asffStatusReason{{ReasonCode: "MANUAL"}}}
	}
	return asffCompliance{Status: "WARNING", StatusReasons: []asffStatusReason{
		{ReasonCode: "ERROR", Description: cut(filled(f.Error), asffDescriptionLimit)}}}
}

// solid is cut for what must not be empty: the format asks for one line with at least one character that is no space in every text.
func solid(s string, n int) string { return cut(orElse(clean(s), "-"), n) }

// filled drops text without such a character.
func filled(s string) string {
	if s = clean(s); strings.TrimSpace(s) == "" {
		return ""
	}
	return s
}
