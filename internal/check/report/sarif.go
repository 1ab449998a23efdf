package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/keyturn/keyturn/internal/check"
)

// informationURI is where the tool lives, in the formats that ask for it.
const informationURI = "https://github.com/keyturn/keyturn"

// sarifWriter writes SARIF 2.1.0 with one run. The frame of the log is written here, so that results can be streamed into it; every part
// of it is a type of go-sarif. Keys are no files: a result's place is a logical location, the ARN.
type sarifWriter struct {
	*base
	rules map[string]int // check ID to the index of its rule
}

func (s *sarifWriter) Begin(r check.Run) error {
	s.base.Begin(r)
	driver := sarif.NewToolComponent()
	driver.Name, driver.InformationURI, driver.Version = &r.Tool, ptr(informationURI), &r.Version
	s.rules = map[string]int{}
	for _, id := range r.Checks {
		if _, twice := s.rules[id]; twice {
			continue
		}
		s.rules[id] = len(driver.Rules)
		driver.Rules = append(driver.Rules, rule(s.lookup(id)))
	}
	run := sarif.NewRun()
	run.Tool, run.ColumnKind = sarif.NewTool(), ptr("unicodeCodePoints")
	run.Tool.Driver = driver
	text, err := json.Marshal(run)
	if err != nil {
		return err
	}
	// What the end of the run adds is written at its end.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	delete(fields, "results")
	delete(fields, "invocations")
	if text, err = json.Marshal(fields); err != nil {
		return err
	}
	log := sarif.NewReport()
	fmt.Fprintf(s.w, `{"$schema":%q,"version":%q,"runs":[%s,"results":[`, log.Schema, log.Version, bytes.TrimSuffix(text, []byte("}")))
	return nil
}

func (s *sarifWriter) Finding(f *check.Finding) error {
	text, err := json.Marshal(s.result(f))
	if err != nil {
		return err
	}
	s.array()
	_, err = s.w.Write(text)
	return err
}

func (s *sarifWriter) End(sum *check.Summary) error {
	i := sarif.NewInvocation()
	i.StartTimeUtc, i.EndTimeUtc = ptr(stamp(s.run.Started)), ptr(stamp(sum.Finished))
	i.ExecutionSuccessful = ptr(len(sum.Errors) == 0 && sum.Counts[check.Error] == 0)
	for _, e := range sum.Errors {
		i.ToolExecutionNotifications = append(i.ToolExecutionNotifications, notification("error",
			fmt.Sprintf("%s in %s: %s: %s", e.Call, e.Region, e.Code, e.Detail)))
	}
	for _, c := range sum.Changes {
		level, text := "note", fmt.Sprintf("%s on %s was done; undo with: %s", c.Call, c.KeyARN, command(c.Undo))
		if !c.Done {
			level, text = "warning", fmt.Sprintf("%s on %s was not done: %s", c.Call, c.KeyARN, c.Error)
		}
		i.ToolExecutionNotifications = append(i.ToolExecutionNotifications, notification(level, text))
	}
	text, err := json.Marshal([]*sarif.Invocation{i})
	if err != nil {
		return err
	}
	bag := sarif.NewPropertyBag()
	bag.Add("account", s.run.Account).Add("regions", list(s.run.Regions)).Add("keys", sum.Keys).Add("counts", sum.Counts).
		Add("monthlyCents", sum.Prices.MonthlyCents)
	properties, err := json.Marshal(bag)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.w, "\n],\"invocations\":%s,\"properties\":%s}]}\n", text, properties)
	return s.w.Flush()
}

// rule describes a check.
func rule(c *check.Check) *sarif.ReportingDescriptor {
	d := sarif.NewReportingDescriptor()
	d.ID, d.Name = &c.ID, ptr(pascal(c.ID))
	d.ShortDescription = message(c.Title, "")
	d.DefaultConfiguration = sarif.NewReportingConfiguration()
	d.DefaultConfiguration.Level = sarifLevel(c.Severity)
	if c.Why != "" {
		d.FullDescription = message(c.Why, "")
	}
	if text, md := help(c); text != "" {
		d.Help = message(text, md)
	}
	if c.Fix.URL != "" {
		d.HelpURI = &c.Fix.URL
	}
	tags := []string{"security", "kms"}
	for _, r := range c.Controls {
		tags = append(tags, control(r))
	}
	d.Properties = sarif.NewPropertyBag()
	d.Properties.Add("security-severity", score(c.Severity)).Add("precision", "high").Add("problem.severity", problem(c.Severity))
	d.Properties.Tags = unique(tags)
	return d
}

// result places a finding. Only failures have a level: for every other kind SARIF knows none but "none".
func (s *sarifWriter) result(f *check.Finding) *sarif.Result {
	r := sarif.NewResult()
	r.RuleID, r.Level = &f.Check, ""
	if i, ok := s.rules[f.Check]; ok {
		r.RuleIndex = i
	}
	switch f.Status {
	case check.Fail:
		r.Kind, r.Level = "fail", sarifLevel(f.Severity)
	case check.Pass:
		r.Kind = "pass"
	case check.NotApplicable:
		r.Kind = "notApplicable"
	case check.Manual:
		r.Kind = "review"
	default:
		r.Kind = "open"
	}
	r.Message = plain(orElse(details(f), f.Title))
	r.PartialFingerprints = map[string]string{"keyturnFinding/v1": f.ID}

	place := sarif.NewLogicalLocation()
	place.FullyQualifiedName, place.Name, place.Kind = &f.Resource.ARN, ptr(name(&f.Resource)), ptr("resource")
	where := sarif.NewLocation()
	where.LogicalLocations = []*sarif.LogicalLocation{place}
	r.Locations = []*sarif.Location{where}

	if f.Accepted != nil {
		a := sarif.NewSuppression()
		a.Kind, a.Status = ptr("external"), ptr("accepted")
		a.Justification = ptr(f.Accepted.Reason + " (until " + date(f.Accepted.Expires) + ")")
		r.Suppressions = []*sarif.Suppression{a}
	}
	bag := sarif.NewPropertyBag()
	bag.Add("status", f.Status).Add("severity", f.Severity).Add("account", f.Resource.Account).Add("region", f.Resource.Region).
		Add("resourceId", f.Resource.ID).Add("firstSeen", stamp(firstSeen(f)))
	if f.Error != "" {
		bag.Add("error", f.Error)
	}
	r.Properties = bag
	return r
}

func notification(level, text string) *sarif.Notification {
	n := sarif.NewNotification()
	n.Level, n.Message = level, plain(text)
	return n
}

// plain is a message of nothing but text: between brackets viewers of SARIF see a link, and the text comes from outside.
func plain(text string) *sarif.Message {
	return sarif.NewTextMessage(strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`).Replace(clean(text)))
}

func message(text, markdown string) *sarif.MultiformatMessageString {
	m := sarif.NewMultiformatMessageString()
	m.Text = &text
	if markdown != "" {
		m.Markdown = &markdown
	}
	return m
}

// ways lists how a check's failure is mended, for those ways that the check knows.
func ways(f check.Remediation) []way {
	all := []way{
		{"Console", "", f.Console}, {"AWS CLI", "sh", f.CLI}, {"CloudFormation", "yaml", f.CloudFormation}, {"Terraform", "hcl", f.Terraform},
	}
	var known []way
	for _, w := range all {
		if w.Text != "" {
			known = append(known, w)
		}
	}
	return known
}

type way struct{ Name, Language, Text string } // Language: of a code block; "" for prose

// help says how to mend a check's failure, as plain text and as markdown.
func help(c *check.Check) (text, md string) {
	var plain, marked strings.Builder
	if c.Fix.Text != "" {
		plain.WriteString(c.Fix.Text)
		fmt.Fprintf(&marked, "**%s**\n\n%s", c.Title, c.Fix.Text)
	}
	for _, w := range ways(c.Fix) {
		fmt.Fprintf(&plain, "\n\n%s:\n%s", w.Name, strings.TrimSpace(w.Text))
		if w.Language == "" {
			fmt.Fprintf(&marked, "\n\n### %s\n\n%s", w.Name, strings.TrimSpace(w.Text))
		} else {
			fmt.Fprintf(&marked, "\n\n### %s\n\n%s", w.Name, fence(w.Text, w.Language))
		}
	}
	return strings.TrimSpace(plain.String()), strings.TrimSpace(marked.String())
}

// sarifLevel follows what code scanning shows: errors stop a merge, notes do not.
func sarifLevel(s check.Severity) string {
	switch {
	case s >= check.High:
		return "error"
	case s == check.Medium:
		return "warning"
	}
	return "note"
}

// problem is sarifLevel in the words of the property problem.severity.
func problem(s check.Severity) string {
	if l := sarifLevel(s); l != "note" {
		return l
	}
	return "recommendation"
}

// score is a CVSS-like number in the middle of the band that readers of the property security-severity give to the severity.
func score(s check.Severity) string {
	return map[check.Severity]string{check.Critical: "9.5", check.High: "8.0", check.Medium: "5.5", check.Low: "2.5", check.Informational: "0.0"}[s]
}

// pascal turns kms-key-rotation into KmsKeyRotation, as SARIF asks for names of rules.
func pascal(id string) string {
	var b strings.Builder
	for _, p := range strings.Split(id, "-") {
		if p != "" {
			b.WriteString(strings.ToUpper(p[:1]) + p[1:])
		}
	}
	return b.String()
}

func ptr[T any](v T) *T { return &v }

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}

// unique drops what a list has before.
func unique(l []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range l {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
