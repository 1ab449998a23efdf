package report

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/check"
)

// strict decodes exactly one JSON value, without names that out does not have.
func strict(t testing.TB, text string, out any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("something follows: %v", err)
	}
}

type jsonReport struct {
	Version  int             `json:"version"`
	Run      check.Run       `json:"run"`
	Findings []check.Finding `json:"findings"`
	Summary  check.Summary   `json:"summary"`
}

func TestJSON(t *testing.T) {
	var r jsonReport
	out := write(t, "json", Options{}, sampleFindings())
	strict(t, out, &r)
	if r.Version != 1 || r.Run.Account != sampleAccount || r.Summary.Keys != 9 {
		t.Errorf("version %d, account %s, %d keys", r.Version, r.Run.Account, r.Summary.Keys)
	}
	want := sampleFindings()
	if len(r.Findings) != len(want) {
		t.Fatalf("%d findings of %d", len(r.Findings), len(want))
	}
	for i := range want {
		if r.Findings[i].ID != want[i].ID || r.Findings[i].Detail != want[i].Detail {
			t.Errorf("finding %d is %+v", i, r.Findings[i])
		}
	}
	if lines := strings.Count(out, "\n"); lines != len(want)+2 {
		t.Errorf("%d findings are on %d lines", len(want), lines)
	}
	empty := writeAll(t, "json", Options{}, check.Run{}, nil, &check.Summary{})
	for _, field := range []string{`"regions":[]`, `"findings":[`, `"errors":[]`, `"changes":[]`} {
		if !strings.Contains(empty, field) {
			t.Errorf("an empty report has no %s: %s", field, empty)
		}
	}
}

func TestCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(write(t, "csv", Options{}, sampleFindings()))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	unreadable := len(sampleSummary(nil).Errors)
	if len(rows) != len(sampleFindings())+1+unreadable {
		t.Fatalf("%d rows", len(rows))
	}
	status := map[string]int{}
	for _, r := range rows[1:] {
		status[r[0]]++
	}
	if status["FAIL"] != 6 || status["PASS"] != 4 || status["ERROR"] != 2+unreadable || status["MANUAL"] != 2 || status["NOT_APPLICABLE"] != 1 {
		t.Errorf("statuses are %v", status)
	}
}

func TestCellsAreNoFormulas(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\tx": "' x", "\rx": "' x", "\nx": "' x", "\x1b[31m": "\uFFFD[31m",
		"a=1": "a=1", "": "", "'=1": "'=1", "a\x00b": "a\uFFFDb", "\xff": "\uFFFD",
	} {
		if got := cell(in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
	}
}

type suites struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Suites   []struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	} `xml:"testsuite"`
}

// readJUnit parses a report and compares every count in it with what it has.
func readJUnit(t testing.TB, text string) suites {
	t.Helper()
	var s suites
	if err := xml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var all, failures, errors int
	for _, suite := range s.Suites {
		var f, e, k int
		for _, c := range suite.Cases {
			switch {
			case c.Failure != nil:
				f++
			case c.Error != nil:
				e++
			case c.Skipped != nil:
				k++
			}
		}
		if suite.Tests != len(suite.Cases) || suite.Failures != f || suite.Errors != e || suite.Skipped != k {
			t.Errorf("%s counts %d, %d, %d, %d and has %d, %d, %d, %d", suite.Name, suite.Tests, suite.Failures, suite.Errors, suite.Skipped,
				len(suite.Cases), f, e, k)
		}
		all, failures, errors = all+len(suite.Cases), failures+f, errors+e
	}
	if s.Tests != all || s.Failures != failures || s.Errors != errors {
		t.Errorf("the whole counts %d, %d, %d and has %d, %d, %d", s.Tests, s.Failures, s.Errors, all, failures, errors)
	}
	return s
}

func TestJUnit(t *testing.T) {
	s := readJUnit(t, write(t, "junit", Options{}, sampleFindings()))
	// The accepted failure is skipped, and what could not be listed is an error of its own.
	if s.Tests != 16 || s.Failures != 5 || s.Errors != 3 {
		t.Errorf("%d tests, %d failures, %d errors", s.Tests, s.Failures, s.Errors)
	}
	if n := len(s.Suites); n != 6 || s.Suites[0].Name != "kms-key-rotation" || s.Suites[5].Name != "reading" {
		t.Errorf("%d suites", n)
	}
}
