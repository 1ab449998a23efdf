package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

// htmlRows is how many findings the page lists: more than that no browser sorts at once, and nobody reads.
const htmlRows = 5000

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// htmlWriter writes one page that loads nothing: its style and script stand in it, and its Content-Security-Policy allows these two by
// their hashes and nothing else.
type htmlWriter struct {
	*base
	tally
	spool
	keys keyring
}

func newHTML(b *base) Writer { return &htmlWriter{base: b, spool: spool{dir: b.TempDir}} }

// Begin and Close are named here because two embedded types have them.
func (h *htmlWriter) Begin(r check.Run) error { return h.base.Begin(r) }
func (h *htmlWriter) Close() error            { return h.spool.Close() }

func (h *htmlWriter) Finding(f *check.Finding) error {
	h.tally.add(f, h.run.FailOn)
	h.keys.add(f)
	group := rowGroup(f.Severity, rowStatus(f))
	if h.spool.count(group) >= htmlRows {
		return nil
	}
	return h.spool.add(group, f)
}

const rowAccepted check.Status = "ACCEPTED"

// rowStatus is how the table takes a finding: what is accepted is no failure.
func rowStatus(f *check.Finding) check.Status {
	if f.Accepted != nil {
		return rowAccepted
	}
	return f.Status
}

func rowGroup(s check.Severity, status check.Status) string { return string(status) + "/" + s.String() }

// rowGroups lists the groups as the table has them: what asks for something by severity, then what is accepted, does not apply, passed.
func rowGroups() (groups []string) {
	for _, statuses := range [][]check.Status{{check.Fail, check.Error, check.Manual}, {rowAccepted}, {check.NotApplicable}, {check.Pass}} {
		for _, sev := range severities() {
			for _, st := range statuses {
				groups = append(groups, rowGroup(sev, st))
			}
		}
	}
	return groups
}

// The page as its template sees it.
type (
	htmlPage struct {
		Policy    string
		Style     template.CSS
		Script    template.JS
		Run       check.Run
		Summary   *check.Summary
		Where     string
		Regions   string
		Verdict   string
		Bad       bool
		Tiles     []tile
		Bars      []bar
		Legend    []segment
		Rows      []htmlRow
		Total     int
		Omitted   int
		Checks    []section
		Filters   filters
		Timeline  *timeline
		Monthly   string
		Adds      string
		Changes   []htmlChange
		Duration  string
		Accepted  string
		Collected string
	}
	tile    struct{ Label, Value, Class string }
	segment struct {
		Class, Label, Short string
		X, W                string // percent
		N                   int
	}
	bar struct {
		Label, Class string
		Total        int
		Segments     []segment
	}
	htmlRow struct {
		Status, StatusClass   string
		Severity              string
		Rank                  int
		Check, Title          string
		Key, ID, ARN          string
		Account, Region       string
		Detail, Error         string
		Notes                 []string
		Since, Reason, Expiry string
		StatusRank            int
		Finding               string
	}
	section struct {
		ID, Title, Severity, Why, Text, URL string
		Ways                                []way
		Controls                            []framework
		Segments                            []segment
		Total                               int
	}
	framework struct {
		Name  string
		Items []check.Control
	}
	filters    struct{ Severities, Regions []string }
	htmlChange struct {
		check.Change
		Do, UndoLine string
	}
)

func (h *htmlWriter) End(s *check.Summary) error {
	defer h.Close()
	p := &htmlPage{
		Style: template.CSS(pageCSS), Script: template.JS(pageJS), Run: cleanRun(h.run), Summary: cleanSummary(s), Total: h.total,
		Policy: "default-src 'none'; style-src " + hash(pageCSS) + "; script-src " + hash(pageJS) +
			"; img-src data:; base-uri 'none'; form-action 'none'",
		Where: orElse(clean(h.run.Endpoint), "AWS"), Regions: clean(strings.Join(h.run.Regions, ", ")),
		Verdict: h.tally.verdict(s, h.run.FailOn), Bad: h.failed > 0 || s.Counts[check.Error]+len(s.Errors) > 0,
		Duration:  max(0, s.Finished.Sub(h.run.Started)).Round(100 * time.Millisecond).String(),
		Collected: s.Finished.UTC().Format("2 January 2006, 15:04 UTC"),
		Timeline:  h.keys.timeline(s.Finished, s.Keys),
	}
	if s.Prices.Date != "" {
		p.Monthly = dollars(s.Prices.MonthlyCents)
		if s.Prices.RotationAddsCents > 0 {
			p.Adds = dollars(s.Prices.RotationAddsCents)
		}
	}
	if s.Accepted > 0 {
		p.Accepted = count(s.Accepted, "failure")
	}
	p.Tiles = h.tiles(s)
	p.Bars, p.Legend = h.chart()
	if err := h.rows(p); err != nil {
		return err
	}
	for _, c := range s.Checks {
		p.Checks = append(p.Checks, h.section(c))
	}
	for _, c := range s.Changes {
		c.Call, c.KeyARN, c.Region, c.Before, c.Error = clean(c.Call), clean(c.KeyARN), clean(c.Region), clean(c.Before), clean(c.Error)
		p.Changes = append(p.Changes, htmlChange{Change: c, Do: command(c.Command), UndoLine: command(c.Undo)})
	}
	if err := pageTemplate.Execute(h.w, p); err != nil {
		return err
	}
	return h.w.Flush()
}

// cleanRun and cleanSummary clean what the template takes from them. It escapes, but an escaped mark still turns the text around it.
func cleanRun(r check.Run) check.Run {
	r.Tool, r.Version, r.Account, r.Caller = clean(r.Tool), clean(r.Version), clean(r.Account), clean(r.Caller)
	return r
}

func cleanSummary(s *check.Summary) *check.Summary {
	out := *s
	out.Errors, out.Expired = nil, nil
	out.Prices.Date = clean(s.Prices.Date)
	for _, e := range s.Errors {
		out.Errors = append(out.Errors, check.RunError{Region: clean(e.Region), Call: clean(e.Call), Code: clean(e.Code), Detail: clean(e.Detail)})
	}
	for _, id := range s.Expired {
		out.Expired = append(out.Expired, clean(id))
	}
	return &out
}

// hash is a source of a Content-Security-Policy that allows exactly this text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (h *htmlWriter) tiles(s *check.Summary) []tile {
	t := []tile{
		{"failed", itoa(h.failed), "fail"},
		{"could not be read", itoa(s.Counts[check.Error] + len(s.Errors)), "error"},
		{"to judge by hand", itoa(s.Counts[check.Manual]), "manual"},
		{"passed", itoa(s.Counts[check.Pass]), "pass"},
		{"not applicable", itoa(s.Counts[check.NotApplicable]), "na"},
	}
	if s.Accepted > 0 {
		t = append(t, tile{"accepted", itoa(s.Accepted), "accepted"})
	}
	t = append(t, tile{"keys", itoa(s.Keys), "plain"})
	if s.Prices.Date != "" {
		t = append(t, tile{"a month", dollars(s.Prices.MonthlyCents), "plain"})
	}
	return t
}

// rows reads the findings of the table back, the worst first, and what its filters offer.
func (h *htmlWriter) rows(p *htmlPage) error {
	seen := map[string]bool{}
	note := func(list *[]string, kind, v string) {
		if !seen[kind+v] {
			seen[kind+v] = true
			*list = append(*list, v)
		}
	}
	for _, group := range rowGroups() {
		err := h.spool.each(group, func(f *check.Finding) error {
			if len(p.Rows) == htmlRows {
				return errStop
			}
			r := h.row(f)
			p.Rows = append(p.Rows, r)
			note(&p.Filters.Severities, "severity", r.Severity)
			note(&p.Filters.Regions, "region", r.Region)
			return nil
		})
		if err != nil {
			return err
		}
	}
	p.Omitted = p.Total - len(p.Rows)
	return nil
}

func (h *htmlWriter) row(f *check.Finding) htmlRow {
	r := htmlRow{
		Status: short(f.Status), StatusClass: statusClass(f.Status), Severity: f.Severity.String(), Rank: int(f.Severity),
		Check: clean(f.Check), Title: clean(f.Title), Key: clean(label(&f.Resource)), ID: clean(f.Resource.ID), ARN: clean(f.Resource.ARN),
		Account: clean(f.Resource.Account), Region: clean(f.Resource.Region), Detail: clean(f.Detail), Error: clean(f.Error),
		Since: date(f.FirstSeen), Finding: clean(f.ID),
		StatusRank: map[check.Status]int{check.Fail: 5, check.Error: 4, check.Manual: 3, check.NotApplicable: 2, check.Pass: 1}[f.Status],
	}
	for _, n := range f.Notes {
		r.Notes = append(r.Notes, clean(n))
	}
	if f.Accepted != nil {
		r.Status, r.StatusClass = "ACCEPTED", "accepted"
		r.Reason, r.Expiry = clean(f.Accepted.Reason), date(f.Accepted.Expires)
	}
	return r
}
