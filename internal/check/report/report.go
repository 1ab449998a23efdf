// Package report writes what a run of keyturn check found, in the formats that people and other tools read. Findings are written as they
// arrive, or wait in a temporary file where a format needs to know more first; no format holds all of them in memory.
package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/check"
)

// Writer writes one report. Begin comes first, then any number of findings in the order in which the report lists them, then End. Close
// gives back what the writer holds, wherever the report was left; it may be called more than once, and after End it has nothing to do.
// A Writer is for one goroutine at a time.
type Writer interface {
	Begin(check.Run) error
	Finding(*check.Finding) error
	End(*check.Summary) error
	Close() error
}

// Options are what a report looks like.
type Options struct {
	// Color allows escape sequences of color in the format table.
	Color bool
	// Width is how many columns the terminal has; lines of the format table are broken there. 0 breaks none.
	Width int
	// Verbose lists in the format table what passed and what does not apply, too.
	Verbose bool
	// Checks is the catalog that findings refer to; nil for check.All. A finding of a check that is not in it is reported with what the
	// finding itself says.
	Checks []*check.Check
	// TempDir is where findings wait; "" for the system's directory.
	TempDir string
}

// formats lists the formats in the order in which help texts name them. Extensions differ, so that all formats can be in one folder.
var formats = []struct {
	name, extension string
	open            func(*base) Writer
}{
	{"table", "txt", newTable},
	{"json", "json", func(b *base) Writer { return &jsonWriter{base: b} }},
	{"csv", "csv", newCSV},
	{"junit", "junit.xml", newJUnit},
	{"sarif", "sarif", func(b *base) Writer { return &sarifWriter{base: b} }},
	{"ocsf", "ocsf.json", func(b *base) Writer { return &ocsfWriter{base: b} }},
	{"asff", "asff.json", func(b *base) Writer { return &asffWriter{base: b} }},
	{"markdown", "md", newMarkdown},
	{"html", "html", newHTML},
}

// New returns a writer of one of Formats.
func New(format string, w io.Writer, o Options) (Writer, error) {
	for _, f := range formats {
		if f.name == format {
			return f.open(newBase(w, o)), nil
		}
	}
	return nil, fmt.Errorf("%q is no format of a report: there are %s", format, strings.Join(Formats(), ", "))
}

// Formats lists the names that New takes.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Extension returns how the name of a file with a report ends, without the leading dot. It is different for every format, and "" for
// what is none.
func Extension(format string) string {
	for _, f := range formats {
		if f.name == format {
			return f.extension
		}
	}
	return ""
}

// base is what all writers share. The bufio.Writer keeps its first error, so that only Flush has to be looked at.
type base struct {
	Options
	w      *bufio.Writer
	run    check.Run
	checks map[string]*check.Check
	listed int // findings written so far
}

func newBase(w io.Writer, o Options) *base {
	if o.Checks == nil {
		o.Checks = check.All()
	}
	b := &base{Options: o, w: bufio.NewWriterSize(w, 64<<10), checks: make(map[string]*check.Check, len(o.Checks))}
	for _, c := range o.Checks {
		b.checks[c.ID] = c
	}
	return b
}

// Begin keeps what the report says of the run.
func (b *base) Begin(r check.Run) error {
	b.run = r
	return nil
}

// Close has nothing to give back; writers that spool have their own.
func (b *base) Close() error { return nil }

// lookup returns a check of the catalog, or one with nothing but its ID.
func (b *base) lookup(id string) *check.Check {
	if c := b.checks[id]; c != nil {
		return c
	}
	return &check.Check{ID: id, Title: id, Severity: check.Medium}
}

// of returns the check of a finding. What the catalog does not have is taken from the finding.
func (b *base) of(f *check.Finding) *check.Check {
	if c := b.checks[f.Check]; c != nil {
		return c
	}
	return &check.Check{ID: f.Check, Title: f.Title, Severity: f.Severity}
}

// array writes what separates the elements of a JSON array that has one element a line.
func (b *base) array() {
	if b.listed > 0 {
		b.w.WriteByte(',')
	}
	b.w.WriteByte('\n')
	b.listed++
}

// tally counts what summaries do not: findings by severity and status.
type tally struct {
	bySeverity map[check.Severity]map[check.Status]int
	total      int
	failed     int // nobody accepted it
	atOrAbove  int // of failed, at or above the severity that fails the run
}

func (t *tally) add(f *check.Finding, failOn check.Severity) {
	if t.bySeverity == nil {
		t.bySeverity = map[check.Severity]map[check.Status]int{}
	}
	if t.bySeverity[f.Severity] == nil {
		t.bySeverity[f.Severity] = map[check.Status]int{}
	}
	t.bySeverity[f.Severity][f.Status]++
	t.total++
	if f.Failed() {
		t.failed++
		if f.Severity >= failOn {
			t.atOrAbove++
		}
	}
}

// verdict says in one sentence how the run ended. Errors come first: what could not be read may hide failures.
func (t *tally) verdict(s *check.Summary, failOn check.Severity) string {
	var parts []string
	if n := s.Counts[check.Error] + len(s.Errors); n > 0 {
		parts = append(parts, count(n, "thing")+" could not be read")
	}
	switch {
	case t.failed == 0:
		parts = append(parts, "no check failed")
	case failOn > check.Informational && t.atOrAbove != t.failed:
		parts = append(parts, fmt.Sprintf("%s, %d of them at or above %s", count(t.failed, "failure"), t.atOrAbove, failOn))
	default:
		parts = append(parts, count(t.failed, "failure"))
	}
	if n := s.Counts[check.Manual]; n > 0 {
		parts = append(parts, count(n, "finding")+" for a person to judge")
	}
	text := strings.Join(parts, "; ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// severities lists all severities, the worst first.
func severities() []check.Severity {
	return []check.Severity{check.Critical, check.High, check.Medium, check.Low, check.Informational}
}

// ordered returns the checks that ran in the order of the run, then any that only findings named.
func ordered(run []string, found []string) []string {
	ids := slices.Clone(run)
	for _, id := range found {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
