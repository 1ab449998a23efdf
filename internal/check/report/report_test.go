package report

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/keyturn/keyturn/internal/check"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

func writeAll(t testing.TB, format string, o Options, run check.Run, findings []*check.Finding, s *check.Summary) string {
	t.Helper()
	var b strings.Builder
	if o.Checks == nil {
		o.Checks = sampleChecks()
	}
	w, err := New(format, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Begin(run); err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if err := w.Finding(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	cases := map[string]Options{}
	for _, f := range Formats() {
		cases["report."+Extension(f)] = Options{}
	}
	cases["verbose.txt"] = Options{Verbose: true, Width: 100, Color: true}
	for file, o := range cases {
		t.Run(file, func(t *testing.T) {
			format := "table"
			for _, f := range Formats() {
				if file == "report."+Extension(f) {
					format = f
				}
			}
			got := write(t, format, o, sampleFindings())
			path := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs from what is written now; look at it, then run this test with -update:\n%s", path, difference(string(want), got))
			}
		})
	}
}

// difference shows the first line that two texts do not share.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "(end)", "(end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\nwant %q\ngot  %q", i+1, a, b)
		}
	}
	return "no line differs"
}

func TestFormats(t *testing.T) {
	seen := map[string]string{}
	for _, f := range Formats() {
		e := Extension(f)
		if other := seen[e]; e == "" || other != "" {
			t.Errorf("%s has the extension %q, as has %q", f, e, other)
		}
		seen[e] = f
	}
	if _, err := New("pdf", io.Discard, Options{}); err == nil || !strings.Contains(err.Error(), "sarif") {
		t.Errorf("an unknown format gives %v, which names none that there are", err)
	}
	if Extension("pdf") != "" {
		t.Error("an unknown format has an extension")
	}
}

// A run that found nothing, and findings of checks that no catalog has, are reports too.
func TestEmptyAndUnknown(t *testing.T) {
	unknown := sampleFindings()[0]
	unknown.Check, unknown.Title = "not-in-the-catalog", "Something else"
	for _, f := range Formats() {
		for _, findings := range [][]*check.Finding{nil, {unknown}} {
			out := writeAll(t, f, Options{}, check.Run{Tool: "keyturn", Partition: "aws"}, findings, &check.Summary{})
			if len(findings) > 0 && !strings.Contains(out, "not-in-the-catalog") {
				t.Errorf("%s does not name the check of its only finding:\n%s", f, out)
			}
		}
	}
}

func TestRealCatalog(t *testing.T) {
	f := sampleFindings()[0]
	run := sampleRun()
	run.Checks = nil
	var findings []*check.Finding
	for _, c := range check.All() {
		run.Checks = append(run.Checks, c.ID)
		one := *f
		one.Check, one.Title, one.Severity = c.ID, c.Title, c.Severity
		findings = append(findings, &one)
	}
	for _, format := range Formats() {
		out := writeAll(t, format, Options{Checks: check.All()}, run, findings, sampleSummary(findings))
		for _, c := range check.All() {
			if !strings.Contains(out, c.ID) {
				t.Errorf("%s does not have %s", format, c.ID)
			}
		}
	}
}

// What is written where a terminal may show it has no rune that a terminal obeys, but for the colors that were asked for.
func TestNothingSteersTheTerminal(t *testing.T) {
	for _, format := range []string{"table", "markdown", "html"} {
		for _, r := range write(t, format, Options{Verbose: true, Width: 80}, sampleFindings()) {
			if r != '\n' && r != '\u200b' && !unicode.IsPrint(r) {
				t.Errorf("%s writes %q", format, r)
			}
		}
	}
	colored := write(t, "table", Options{Color: true, Verbose: true}, sampleFindings())
	if !strings.Contains(colored, "\x1b[31m") {
		t.Error("there is no color where color was asked for")
	}
	if strings.Contains(colored, "\x1b[31mred") {
		t.Error("an alias colors the terminal")
	}
}

// TestWidth counts columns; the summary is as wide as its columns, and commands are not broken.
func TestWidth(t *testing.T) {
	out := write(t, "table", Options{Width: 100}, sampleFindings())
	before, _, _ := strings.Cut(out, "\nChanges\n")
	for i, l := range strings.Split(before, "\n") {
		if i > 0 && len([]rune(l)) > 100 {
			t.Errorf("line %d has %d columns: %s", i+1, len([]rune(l)), l)
		}
	}
}

func TestVerboseListsAll(t *testing.T) {
	for verbose, want := range map[bool]bool{false: false, true: true} {
		out := write(t, "table", Options{Verbose: verbose}, sampleFindings())
		if got := strings.Contains(out, "every 365 days."); got != want {
			t.Errorf("with Verbose %t, passes are listed: %t", verbose, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	fail := func(s check.Severity) *check.Finding { return &check.Finding{Severity: s, Status: check.Fail} }
	accepted := fail(check.High)
	accepted.Accepted = &check.Acceptance{}
	cases := []struct {
		name     string
		findings []*check.Finding
		summary  check.Summary
		want     string
	}{
		{"nothing", nil, check.Summary{}, "No check failed."},
		{"accepted only", []*check.Finding{accepted}, check.Summary{}, "No check failed."},
		{"one", []*check.Finding{fail(check.High)}, check.Summary{}, "1 failure."},
		{"some below", []*check.Finding{fail(check.High), fail(check.Low)}, check.Summary{}, "2 failures, 1 of them at or above medium."},
		{"unread key", nil, check.Summary{Counts: map[check.Status]int{check.Error: 1}}, "1 thing could not be read; no check failed."},
		{"unread list", nil, check.Summary{Errors: make([]check.RunError, 2)}, "2 things could not be read; no check failed."},
		{"by hand", nil, check.Summary{Counts: map[check.Status]int{check.Manual: 3}}, "No check failed; 3 findings for a person to judge."},
	}
	for _, c := range cases {
		var n tally
		for _, f := range c.findings {
			n.add(f, check.Medium)
		}
		if got := n.verdict(&c.summary, check.Medium); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// full fails as a full disk does.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestFullDiskIsAnError(t *testing.T) {
	for _, format := range Formats() {
		w, _ := New(format, &full{left: 100}, Options{Checks: sampleChecks()})
		err := w.Begin(sampleRun())
		for range 200 {
			for _, f := range sampleFindings() {
				err = errors.Join(err, w.Finding(f))
			}
		}
		if err = errors.Join(err, w.End(sampleSummary(sampleFindings())), w.Close()); err == nil {
			t.Errorf("%s was written to a full disk", format)
		}
	}
}

// A report in Markdown fits into a comment of a pull request, and counts what it leaves out.
func TestMarkdownFits(t *testing.T) {
	var findings []*check.Finding
	for range 100 {
		findings = append(findings, sampleFindings()...)
	}
	s := sampleSummary(findings)
	for range 500 {
		s.Errors, s.Changes = append(s.Errors, s.Errors[0]), append(s.Changes, s.Changes[1])
	}
	for _, f := range findings {
		f.Notes = append(f.Notes, strings.Repeat("Long. ", 50))
	}
	out := writeAll(t, "markdown", Options{}, sampleRun(), findings, s)
	if n := len([]rune(out)); n > 65536 {
		t.Errorf("the report has %d characters", n)
	}
	for _, want := range []string{"… and 3", "no room to list them", "- … and 502 more"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
}

// A terminal is not flooded, and is told so; a file has everything.
func TestTerminalIsNotFlooded(t *testing.T) {
	var findings []*check.Finding
	for range terminalRows + 23 {
		findings = append(findings, sampleFindings()[0])
	}
	for _, c := range []struct {
		o     Options
		lines int
		says  bool
	}{
		{Options{Width: 200}, terminalRows, true},
		{Options{}, terminalRows + 23, false},
		{Options{Width: 200, Verbose: true}, terminalRows + 23, false},
	} {
		out := write(t, "table", c.o, findings)
		if n := strings.Count(out, "  FAIL "); n != c.lines+1 { // and the head of the summary
			t.Errorf("%+v lists %d findings, not %d", c.o, n-1, c.lines)
		}
		if strings.Contains(out, "… and 23 more") != c.says {
			t.Errorf("%+v does not say what it leaves out, or leaves nothing out", c.o)
		}
	}
}
