package report

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/keyturn/keyturn/internal/check"
)

// A comment on a pull request has at most 65,536 characters. So many findings of one check are listed, and no more of any once the report
// has so many bytes; what is left out is counted.
const (
	markdownRows  = 50
	markdownBytes = 40_000
)

// markdownWriter writes GitHub's Markdown for a pull request or ticket.
type markdownWriter struct {
	*base
	tally
	spool
	written int // bytes
}

func newMarkdown(b *base) Writer { return &markdownWriter{base: b, spool: spool{dir: b.TempDir}} }

// Begin and Close are named here because two embedded types have them.
func (m *markdownWriter) Begin(r check.Run) error { return m.base.Begin(r) }
func (m *markdownWriter) Close() error            { return m.spool.Close() }

func (m *markdownWriter) Finding(f *check.Finding) error {
	m.tally.add(f, m.run.FailOn)
	group := f.Check
	switch {
	case f.Accepted != nil:
		group = acceptedGroup
	case f.Status == check.Pass || f.Status == check.NotApplicable:
		return nil
	}
	return m.spool.add(group, f)
}

func (m *markdownWriter) End(s *check.Summary) error {
	defer m.Close()
	where := m.run.Endpoint
	if where == "" {
		where = "AWS"
	}
	m.printf("## KMS keys: %s\n\n", escape(m.tally.verdict(s, m.run.FailOn)))
	m.printf("%s · account %s · %s · %s · %s %s · %s\n\n", escape(where), escape(m.run.Account), escape(strings.Join(m.run.Regions, ", ")),
		count(s.Keys, "key"), escape(m.run.Tool), escape(m.run.Version), s.Finished.UTC().Format("2006-01-02 15:04 UTC"))
	m.counts(s)
	for _, id := range ordered(m.run.Checks, m.spool.names()) {
		if id == acceptedGroup || m.spool.count(id) == 0 {
			continue
		}
		if err := m.group(id); err != nil {
			return err
		}
	}
	if err := m.accepted(); err != nil {
		return err
	}
	m.changes(s.Changes)
	m.unread(s.Errors)
	if s.Prices.Date != "" {
		m.printf("The keys cost %s a month (prices of %s).", escape(dollars(s.Prices.MonthlyCents)), escape(s.Prices.Date))
		if s.Prices.RotationAddsCents > 0 {
			m.printf(" Rotating every key that can would add up to %s a month.", escape(dollars(s.Prices.RotationAddsCents)))
		}
		m.printf("\n")
	}
	if len(s.Expired) > 0 {
		m.printf("\nNo longer accepted: %s\n", escape(strings.Join(s.Expired, ", ")))
	}
	return m.w.Flush()
}

// counts writes the findings by severity and status.
func (m *markdownWriter) counts(s *check.Summary) {
	m.printf("| | failed | could not be read | by hand | passed | not applicable |\n|:--|--:|--:|--:|--:|--:|\n")
	row := func(name string, of map[check.Status]int) {
		m.printf("| %s | %d | %d | %d | %d | %d |\n", name, of[check.Fail], of[check.Error], of[check.Manual], of[check.Pass], of[check.NotApplicable])
	}
	for _, sev := range severities() {
		if of := m.tally.bySeverity[sev]; of != nil {
			row(sev.String(), of)
		}
	}
	row("**all**", s.Counts)
	if s.Accepted > 0 {
		m.printf("\n%s of these %s accepted by the baseline.\n", count(s.Accepted, "failure"), isAre(s.Accepted))
	}
	m.printf("\n")
}

// group writes the findings of one check, and how to mend them.
func (m *markdownWriter) group(id string) error {
	rows := 0
	err := m.spool.each(id, func(f *check.Finding) error {
		if rows == 0 {
			m.printf("### %s: %s (%s)\n\n", title(f.Severity.String()), escape(m.of(f).Title), codeSpan(id))
			if m.full(rows) {
				return errStop
			}
			m.printf("| status | key | region | finding |\n|:--|:--|:--|:--|\n")
		}
		if m.full(rows) {
			return errStop
		}
		rows++
		m.printf("| %s | %s | %s | %s |\n", short(f.Status), resourceMarkdown(&f.Resource), escape(f.Resource.Region), escape(details(f)))
		return nil
	})
	m.more(m.spool.count(id), rows)
	c := m.lookup(id)
	if rows == 0 {
		return err
	}
	if c.Fix.Text != "" {
		m.printf("%s\n\n", escape(c.Fix.Text))
	}
	if c.Fix.CLI != "" {
		m.printf("%s\n\n", fence(c.Fix.CLI, "sh"))
	}
	return err
}

// full tells whether no further row is to be written to a table that has rows already.
func (m *markdownWriter) full(rows int) bool {
	return rows >= markdownRows || m.written > markdownBytes
}

// more ends a table, and says how many findings it leaves out.
func (m *markdownWriter) more(all, rows int) {
	switch {
	case rows == 0:
		m.printf("%s; this report has no room to list them.\n", count(all, "finding"))
	case all > rows:
		m.printf("\n… and %d more.\n", all-rows)
	}
	m.printf("\n")
}

func (m *markdownWriter) accepted() error {
	all := m.spool.count(acceptedGroup)
	if all == 0 {
		return nil
	}
	m.printf("### Accepted by the baseline\n\n")
	if m.full(0) {
		m.more(all, 0)
		return nil
	}
	m.printf("| key | region | check | until | reason |\n|:--|:--|:--|:--|:--|\n")
	rows := 0
	err := m.spool.each(acceptedGroup, func(f *check.Finding) error {
		if m.full(rows) {
			return errStop
		}
		rows++
		m.printf("| %s | %s | %s | %s | %s |\n", resourceMarkdown(&f.Resource), escape(f.Resource.Region), escape(f.Check), date(f.Accepted.Expires),
			escape(f.Accepted.Reason))
		return nil
	})
	m.more(all, rows)
	return err
}

func (m *markdownWriter) changes(changes []check.Change) {
	if len(changes) == 0 {
		return
	}
	m.printf("### Changes\n\n")
	var undo []string
	for i, c := range changes {
		if m.full(i) {
			m.printf("- … and %d more\n", len(changes)-i)
			break
		}
		if c.Done {
			m.printf("- done: %s on %s (before: %s)\n", escape(c.Call), codeSpan(c.KeyARN), escape(c.Before))
			undo = append(undo, command(c.Undo))
		} else {
			m.printf("- **not done**: %s on %s: %s\n", escape(c.Call), codeSpan(c.KeyARN), escape(c.Error))
		}
	}
	if len(undo) > 0 {
		m.printf("\nTo undo what was done:\n\n%s\n", fence(strings.Join(undo, "\n"), "sh"))
	}
	m.printf("\n")
}

func (m *markdownWriter) unread(errors []check.RunError) {
	if len(errors) == 0 {
		return
	}
	m.printf("### Could not be read\n\n")
	for i, e := range errors {
		if m.full(i) {
			m.printf("- … and %d more\n", len(errors)-i)
			break
		}
		m.printf("- %s in %s: %s: %s\n", escape(e.Call), escape(e.Region), escape(e.Code), escape(e.Detail))
	}
	m.printf("\n")
}

func (m *markdownWriter) printf(format string, args ...any) {
	n, _ := fmt.Fprintf(m.w, format, args...) // the bufio.Writer keeps the error
	m.written += n
}

func resourceMarkdown(r *check.Resource) string {
	if n := name(r); n != r.ID {
		return codeSpan(label(r)) + "<br>" + codeSpan(r.ID)
	}
	return codeSpan(r.ID)
}

// escape makes text of what could be markup: HTML, links, tables, math, mentions of people and issues. A zero-width space after @ and #
// is the only thing that keeps a forge from telling the person of that name.
func escape(s string) string {
	var b strings.Builder
	s = clean(s)
	if m := listMark.FindStringSubmatchIndex(s); m != nil { // at the start of a line it would begin a list, or underline a heading
		at := max(m[3], m[5])
		b.WriteString(s[:at] + "\\" + s[at:at+1])
		s = s[at+1:]
	}
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@' || r == '#':
			b.WriteString("\\" + string(r) + "\u200b")
		case strings.ContainsRune("\\`*_[]!|~$", r):
			b.WriteString("\\" + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return noLinks.Replace(b.String())
}

var (
	listMark = regexp.MustCompile(`^( *)[-+=]|^( *[0-9]+)[.)](?: |$)`)
	// noLinks keeps forges from making links of bare addresses.
	noLinks = strings.NewReplacer("://", ":\u200b//", "www.", "www\u200b.", "WWW.", "WWW\u200b.")
)

// codeSpan writes text between backticks, more of them than it has in a row. A bar would end the cell of a table even there.
func codeSpan(s string) string {
	s = strings.ReplaceAll(clean(s), "|", "¦")
	if s == "" {
		return ""
	}
	marks := strings.Repeat("`", longest(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.HasPrefix(s, " ") {
		s = " " + s + " "
	}
	return marks + s + marks
}

// fence writes a code block that its text cannot end.
func fence(s, language string) string {
	s = block(s)
	marks := strings.Repeat("`", max(3, longest(s, '`')+1))
	return marks + language + "\n" + s + "\n" + marks
}

// longest returns the length of the longest run of r in s.
func longest(s string, r rune) int {
	best, run := 0, 0
	for _, c := range s {
		if c == r {
			run++
		} else {
			run = 0
		}
		best = max(best, run)
	}
	return best
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
