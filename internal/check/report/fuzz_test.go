package report

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/check"
)

// FuzzHostileText puts text from outside everywhere where it can be, and reads every report back where there is a parser.
func FuzzHostileText(f *testing.F) {
	f.Add(hostile)
	f.Add("\xff\xfe]]>&\x0b<!--")
	f.Add("")
	f.Add("=cmd|' /C calc'!A0\r\n,\"")
	f.Add("```\n</details>{{.}}</style>")
	const unreadable = 1 // what the run could not read at all is a finding where there is nothing else
	plain := strings.Count(hostileReport(f, "html", "x"), "<")
	f.Fuzz(func(t *testing.T, s string) {
		reports := map[string]string{}
		for _, format := range Formats() {
			reports[format] = hostileReport(t, format, s)
			if !utf8.ValidString(reports[format]) {
				t.Errorf("%s is not UTF-8", format)
			}
		}
		var whole jsonReport
		strict(t, reports["json"], &whole)
		var events []ocsfFinding
		strict(t, reports["ocsf"], &events)
		if len(whole.Findings) != 7 || len(events) != 7+unreadable || len(readASFF(t, reports["asff"])) != 7+unreadable || len(readSARIF(t, reports["sarif"]).Runs[0].Results) != 7 {
			t.Error("findings are missing")
		}
		if readJUnit(t, reports["junit"]).Tests != 8 {
			t.Error("cases are missing")
		}
		rows, err := csv.NewReader(bytes.NewReader([]byte(reports["csv"]))).ReadAll()
		if err != nil || len(rows) != 8+unreadable {
			t.Errorf("%d rows: %v", len(rows), err)
		}
		for _, r := range rows {
			for _, c := range r {
				if c != "" && strings.ContainsRune("=+-@\t\r\n", rune(c[0])) {
					t.Errorf("a cell begins a formula: %q", c)
				}
			}
		}
		for _, format := range []string{"table", "markdown", "html"} {
			if i := strings.IndexFunc(reports[format], func(r rune) bool { return r != '\n' && r != '\u200b' && clean(string(r)) != string(r) }); i >= 0 {
				t.Errorf("%s has %q", format, reports[format][i:min(len(reports[format]), i+10)])
			}
		}
		// Text adds no element: the page has as many tags as with a letter in its place.
		if got := strings.Count(reports["html"], "<"); s != "" && got != plain {
			t.Errorf("the page has %d tags of %d", got, plain)
		}
	})
}

// hostileReport writes a report with s wherever text comes from outside.
func hostileReport(t testing.TB, format, s string) string {
	findings := sampleFindings()[:7]
	for _, x := range findings {
		x.Detail, x.Notes, x.Resource.Aliases, x.Resource.ID = s, []string{s}, []string{s, s}, s
		x.Resource.ARN, x.Resource.Region, x.Resource.State, x.Resource.Manager, x.Error = s, s, s, s, s
		if x.Accepted != nil {
			x.Accepted.Reason = s
		}
	}
	sum := sampleSummary(findings)
	sum.Errors = []check.RunError{{Region: s, Call: s, Code: s, Detail: s}}
	sum.Changes = []check.Change{{KeyARN: s, Region: s, Call: s, Before: s, Error: s, Command: []string{s}, Undo: []string{s}, Done: true}}
	run := sampleRun()
	run.Endpoint, run.Caller, run.Regions = s, s, []string{s}
	return writeAll(t, format, Options{Verbose: true, Width: 80}, run, findings, sum)
}
