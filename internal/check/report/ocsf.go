package report

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

// ocsfVersion is the version of the OCSF schema that ocsfWriter writes.
const ocsfVersion = "1.5.0"

// A Compliance Finding (class 2003) of the Open Cybersecurity Schema Framework with the profiles cloud and datetime, as far as it is used
// here. Times are milliseconds since 1970.
type (
	ocsfFinding struct {
		ActivityID   int            `json:"activity_id"`
		ActivityName string         `json:"activity_name"`
		CategoryUID  int            `json:"category_uid"`
		CategoryName string         `json:"category_name"`
		ClassUID     int            `json:"class_uid"`
		ClassName    string         `json:"class_name"`
		TypeUID      int            `json:"type_uid"`
		TypeName     string         `json:"type_name"`
		Time         int64          `json:"time"`
		TimeDT       string         `json:"time_dt"`
		SeverityID   int            `json:"severity_id"`
		Severity     string         `json:"severity"`
		StatusID     int            `json:"status_id"`
		Status       string         `json:"status"`
		StatusCode   string         `json:"status_code"`
		StatusDetail string         `json:"status_detail,omitempty"`
		Message      string         `json:"message"`
		Comment      string         `json:"comment,omitempty"`
		Metadata     ocsfMetadata   `json:"metadata"`
		Cloud        ocsfCloud      `json:"cloud"`
		Info         ocsfInfo       `json:"finding_info"`
		Compliance   ocsfCompliance `json:"compliance"`
		Resources    []ocsfResource `json:"resources"`
		Remediation  *ocsfFix       `json:"remediation,omitempty"`
		Unmapped     map[string]any `json:"unmapped,omitempty"`
	}
	ocsfMetadata struct {
		Version   string      `json:"version"`
		Product   ocsfProduct `json:"product"`
		Profiles  []string    `json:"profiles"`
		EventCode string      `json:"event_code"`
		UID       string      `json:"uid"`
		TenantUID string      `json:"tenant_uid,omitempty"`
	}
	ocsfProduct struct {
		Name       string `json:"name"`
		VendorName string `json:"vendor_name"`
		Version    string `json:"version"`
		URL        string `json:"url_string"`
	}
	ocsfCloud struct {
		Provider string      `json:"provider"`
		Region   string      `json:"region,omitempty"`
		Account  ocsfAccount `json:"account"`
	}
	ocsfAccount struct {
		UID    string `json:"uid"`
		Name   string `json:"name"`
		TypeID int    `json:"type_id"`
		Type   string `json:"type"`
	}
	ocsfInfo struct {
		UID       string       `json:"uid"`
		Title     string       `json:"title"`
		Desc      string       `json:"desc,omitempty"`
		Types     []string     `json:"types"`
		Created   int64        `json:"created_time"`
		FirstSeen int64        `json:"first_seen_time"`
		LastSeen  int64        `json:"last_seen_time"`
		Analytic  ocsfAnalytic `json:"analytic"`
	}
	ocsfAnalytic struct {
		UID    string `json:"uid"`
		Name   string `json:"name"`
		TypeID int    `json:"type_id"`
		Type   string `json:"type"`
	}
	ocsfCompliance struct {
		Standards    []string `json:"standards"`
		Requirements []string `json:"requirements"`
		Control      string   `json:"control"`
		Desc         string   `json:"desc,omitempty"`
		StatusID     int      `json:"status_id"`
		Status       string   `json:"status"`
	}
	ocsfResource struct {
		UID       string         `json:"uid"`
		Name      string         `json:"name"`
		Type      string         `json:"type"`
		Region    string         `json:"region,omitempty"`
		Partition string         `json:"cloud_partition,omitempty"`
		Labels    []string       `json:"labels,omitempty"`
		Data      check.Resource `json:"data"`
	}
	ocsfFix struct {
		Desc       string   `json:"desc"`
		References []string `json:"references,omitempty"`
	}
)

// ocsfWriter writes a JSON array of events, one a line.
type ocsfWriter struct{ *base }

func (o *ocsfWriter) Begin(r check.Run) error {
	o.w.WriteByte('[')
	return o.base.Begin(r)
}

func (o *ocsfWriter) Finding(f *check.Finding) error {
	text, err := json.Marshal(o.event(f))
	if err != nil {
		return err
	}
	o.array()
	_, err = o.w.Write(text)
	return err
}

func (o *ocsfWriter) End(s *check.Summary) error {
	for _, f := range unread(o.run, s) {
		if err := o.Finding(f); err != nil {
			return err
		}
	}
	o.w.WriteString("\n]\n")
	return o.w.Flush()
}

func (o *ocsfWriter) event(f *check.Finding) *ocsfFinding {
	c, severity := o.of(f), weight(f)
	e := &ocsfFinding{
		ActivityID: 1, ActivityName: "Create", CategoryUID: 2, CategoryName: "Findings", ClassUID: 2003, ClassName: "Compliance Finding",
		Time: millis(f.LastSeen), TimeDT: stamp(f.LastSeen),
		SeverityID: int(severity), Severity: title(severity.String()),
		StatusID: 1, Status: "New", StatusCode: string(f.Status), StatusDetail: f.Detail, Message: details(f),
		Metadata: ocsfMetadata{Version: ocsfVersion, Profiles: []string{"cloud", "datetime"}, EventCode: f.Check, UID: f.ID,
			TenantUID: f.Resource.Account,
			Product:   ocsfProduct{Name: o.run.Tool, VendorName: "keyturn", Version: o.run.Version, URL: informationURI}},
		Cloud: ocsfCloud{Provider: "AWS", Region: f.Resource.Region,
			Account: ocsfAccount{UID: f.Resource.Account, Name: f.Resource.Account, TypeID: 10, Type: "AWS Account"}},
		Info: ocsfInfo{UID: f.ID, Title: f.Title, Desc: orElse(c.Why, f.Detail), Types: []string{"Software and Configuration Checks"},
			Created: millis(firstSeen(f)), FirstSeen: millis(firstSeen(f)), LastSeen: millis(f.LastSeen),
			Analytic: ocsfAnalytic{UID: f.Check, Name: c.Title, TypeID: 1, Type: "Rule"}},
		Compliance: ocsfCompliance{Standards: []string{}, Requirements: []string{}, Control: f.Check, Desc: c.Title},
		Resources: []ocsfResource{{UID: f.Resource.ARN, Name: name(&f.Resource), Type: f.Resource.Type, Region: f.Resource.Region,
			Partition: o.run.Partition, Labels: f.Resource.Aliases, Data: f.Resource}},
	}
	if f.FirstSeen.Before(f.LastSeen) && !f.FirstSeen.IsZero() {
		e.ActivityID, e.ActivityName = 2, "Update"
	}
	e.TypeUID, e.TypeName = e.ClassUID*100+e.ActivityID, e.ClassName+": "+e.ActivityName
	e.Compliance.StatusID, e.Compliance.Status = ocsfStatus(f.Status)
	for _, r := range requirements(c) {
		e.Compliance.Standards = append(e.Compliance.Standards, strings.TrimSpace(r.Framework+" "+r.Version))
		e.Compliance.Requirements = append(e.Compliance.Requirements, control(r))
	}
	e.Compliance.Standards = list(unique(e.Compliance.Standards))
	if c.Fix.Text != "" {
		e.Remediation = &ocsfFix{Desc: c.Fix.Text}
		if c.Fix.URL != "" {
			e.Remediation.References = []string{c.Fix.URL}
		}
	}
	if f.Accepted != nil {
		e.StatusID, e.Status, e.Comment = 3, "Suppressed", f.Accepted.Reason
	}
	e.Unmapped = unmapped(f, c)
	return e
}

// unmapped is what OCSF has no place for.
func unmapped(f *check.Finding, c *check.Check) map[string]any {
	m := map[string]any{"check_severity": c.Severity}
	if f.Accepted != nil {
		m["accepted_until"] = stamp(f.Accepted.Expires)
	}
	if f.Price != nil {
		m["price"] = f.Price
	}
	if f.Error != "" {
		m["error"] = f.Error
	}
	return m
}

// ocsfStatus: Warning is OCSF's word for "did not yield a result due to missing information".
func ocsfStatus(s check.Status) (int, string) {
	switch s {
	case check.Pass:
		return 1, "Pass"
	case check.Fail:
		return 3, "Fail"
	case check.NotApplicable:
		return 99, "Not Applicable"
	}
	return 2, "Warning"
}

// weight is the severity that other systems are told: nobody has to act on what passed or does not apply, as Security Hub has it too.
func weight(f *check.Finding) check.Severity {
	if f.Status == check.Pass || f.Status == check.NotApplicable {
		return check.Informational
	}
	return f.Severity
}

// millis clamps times before 1970, the zero time among them.
func millis(t time.Time) int64 { return max(0, t.UnixMilli()) }

// title puts a word's first letter in upper case.
func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
