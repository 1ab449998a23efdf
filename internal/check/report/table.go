package report

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/keyturn/keyturn/internal/check"
)

// acceptedGroup holds accepted failures; no check has this ID.
const acceptedGroup = "\x00accepted"

// widestName is how many columns the names of keys get at most. Longer ones are cut on a terminal; elsewhere they push aside what follows.
const widestName = 44

// terminalRows is how many findings of one check a terminal is shown; a file, and whoever asks for everything, gets all.
const terminalRows = 100

// tableWriter writes what a person reads in a terminal: findings that ask for something grouped by check, then the summary.
type tableWriter struct {
	*base
	tally
	spool
	widths map[string]int // of the names of keys, by group
}

func newTable(b *base) Writer {
	return &tableWriter{base: b, spool: spool{dir: b.TempDir}, widths: map[string]int{}}
}

// Begin and Close are named here because two embedded types have them.
func (t *tableWriter) Begin(r check.Run) error { return t.base.Begin(r) }
func (t *tableWriter) Close() error            { return t.spool.Close() }

func (t *tableWriter) Finding(f *check.Finding) error {
	t.tally.add(f, t.run.FailOn)
	group := f.Check
	switch {
	case f.Accepted != nil:
		group = acceptedGroup
	case !t.Verbose && (f.Status == check.Pass || f.Status == check.NotApplicable):
		return nil
	}
	t.widths[group] = max(t.widths[group], min(t.widest(), text.StringWidthWithoutEscSequences(t.key(&f.Resource))))
	return t.spool.add(group, f)
}

func (t *tableWriter) End(s *check.Summary) error {
	defer t.Close()
	t.head(s)
	for _, id := range ordered(t.run.Checks, t.spool.names()) {
		if id == acceptedGroup || t.spool.count(id) == 0 {
			continue
		}
		if err := t.group(id); err != nil {
			return err
		}
	}
	if err := t.accepted(); err != nil {
		return err
	}
	t.changes(s.Changes)
	t.unread(s.Errors)
	t.summary(s)
	return t.w.Flush()
}

// head says what was looked at.
func (t *tableWriter) head(s *check.Summary) {
	where := t.run.Endpoint
	if where == "" {
		where = "AWS"
	}
	parts := []string{t.run.Tool + " " + t.run.Version, where, "account " + t.run.Account, strings.Join(t.run.Regions, ", "), count(s.Keys, "key")}
	t.line("", clean(strings.Join(parts, "  ")))
}

// group writes the findings of one check.
func (t *tableWriter) group(id string) error {
	c := t.lookup(id)
	rows := 0
	err := t.spool.each(id, func(f *check.Finding) error {
		if rows == 0 {
			t.w.WriteByte('\n')
			severity := t.paint(severityColor(f.Severity), fmt.Sprintf("%-15s", strings.ToUpper(f.Severity.String())))
			t.line("", severity+t.paint(bold, clean(t.of(f).Title))+"  "+t.paint(dim, clean(id)))
		}
		if rows == terminalRows && t.Width > 0 && !t.Verbose {
			return errStop
		}
		rows++
		t.finding(f, t.widths[id])
		return nil
	})
	if more := t.spool.count(id) - rows; more > 0 {
		t.line("  ", fmt.Sprintf("… and %d more; a file, the other formats and verbose output have them all", more))
	}
	if c.Fix.Text != "" {
		t.wrap("  "+t.paint(dim, "mend   "), clean(c.Fix.Text))
	}
	return err
}

// finding writes one row: status, key, region, detail; the notes below.
func (t *tableWriter) finding(f *check.Finding, width int) {
	key := t.key(&f.Resource)
	key += strings.Repeat(" ", max(0, width-text.StringWidthWithoutEscSequences(key)))
	lead := "  " + t.paint(statusColor(f.Status), fmt.Sprintf("%-7s", short(f.Status))) + key +
		fmt.Sprintf("  %-14s  ", clean(f.Resource.Region))
	detail := clean(f.Detail)
	if f.Error != "" && !strings.Contains(detail, clean(f.Error)) {
		detail += " (" + clean(f.Error) + ")"
	}
	t.wrap(lead, detail)
	indent := strings.Repeat(" ", 9+width+2+16)
	for _, n := range f.Notes {
		t.wrap(indent, clean(n))
	}
}

// key names a resource in its column.
func (t *tableWriter) key(r *check.Resource) string {
	k := clean(label(r))
	if t.Width > 0 {
		k = cut(k, t.widest())
	}
	return k
}

// widest is how many columns names get: on a narrow terminal a third, so that room is left for the finding.
func (t *tableWriter) widest() int {
	if t.Width <= 0 {
		return widestName
	}
	return min(widestName, max(20, t.Width/3))
}

func (t *tableWriter) accepted() error {
	n := t.spool.count(acceptedGroup)
	if n == 0 {
		return nil
	}
	t.heading("Accepted by the baseline")
	return t.spool.each(acceptedGroup, func(f *check.Finding) error {
		key := fmt.Sprintf("%-*s", t.widths[acceptedGroup], t.key(&f.Resource))
		t.wrap("  "+key+"  ", clean(f.Check)+" until "+date(f.Accepted.Expires)+": "+clean(f.Accepted.Reason))
		return nil
	})
}

func (t *tableWriter) changes(changes []check.Change) {
	if len(changes) == 0 {
		return
	}
	t.heading("Changes")
	for _, c := range changes {
		what := fmt.Sprintf("%s %s", clean(c.Call), clean(c.KeyARN))
		if c.Days > 0 {
			what += fmt.Sprintf(", every %s", count(c.Days, "day"))
		}
		if !c.Done {
			t.wrap("  "+t.paint(red, "not done  "), what+": "+clean(c.Error))
			continue
		}
		t.wrap("  "+t.paint(green, "done      "), what+" (before: "+clean(c.Before)+")")
		t.line("            undo: ", command(c.Undo))
	}
}

func (t *tableWriter) unread(errors []check.RunError) {
	if len(errors) == 0 {
		return
	}
	t.heading("Could not be read")
	for _, e := range errors {
		t.wrap("  "+t.paint(red, clean(e.Code))+"  ", clean(fmt.Sprintf("%s in %s: %s", e.Call, e.Region, e.Detail)))
	}
}

// summary writes counts by check and status, prices and the verdict.
func (t *tableWriter) summary(s *check.Summary) {
	t.heading("Summary")
	out := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	out.SetStyle(style)
	statuses := check.Statuses()
	head, foot := table.Row{"check", "severity"}, table.Row{"total", ""}
	configs, right := []table.ColumnConfig{}, text.AlignRight
	for i, st := range statuses {
		head, foot = append(head, short(st)), append(foot, s.Counts[st])
		configs = append(configs, table.ColumnConfig{Number: i + 3, Align: right, AlignHeader: right, AlignFooter: right})
	}
	out.SetColumnConfigs(configs)
	out.AppendHeader(head)
	for _, c := range s.Checks {
		row := table.Row{clean(c.Check), c.Severity.String()}
		for _, st := range statuses {
			row = append(row, blank(c.Counts[st]))
		}
		out.AppendRow(row)
	}
	out.AppendFooter(foot)
	for _, l := range strings.Split(out.Render(), "\n") {
		t.line("  ", strings.TrimRight(l, " "))
	}
	t.w.WriteByte('\n')
	if s.Prices.Date != "" {
		price := fmt.Sprintf("The keys cost %s a month (prices of %s).", dollars(s.Prices.MonthlyCents), clean(s.Prices.Date))
		if s.Prices.RotationAddsCents > 0 {
			price += fmt.Sprintf(" Rotating every key that can would add up to %s a month.", dollars(s.Prices.RotationAddsCents))
		}
		t.wrap("", price)
	}
	if s.Accepted > 0 {
		t.line("", fmt.Sprintf("%s accepted by the baseline.", count(s.Accepted, "failure")))
	}
	if len(s.Expired) > 0 {
		const most = 10
		ids := clean(strings.Join(s.Expired[:min(most, len(s.Expired))], ", "))
		if len(s.Expired) > most {
			ids += ", ..."
		}
		t.wrap("", fmt.Sprintf("%s of the baseline expired: %s", count(len(s.Expired), "acceptance"), ids))
	}
	color := green
	if t.failed > 0 || s.Counts[check.Error]+len(s.Errors) > 0 {
		color = red
	}
	t.line("", t.paint(color, t.tally.verdict(s, t.run.FailOn)))
}

func (t *tableWriter) heading(s string) {
	t.w.WriteByte('\n')
	t.line("", t.paint(bold, s))
}

func (t *tableWriter) line(lead, s string) {
	t.w.WriteString(lead)
	t.w.WriteString(s)
	t.w.WriteByte('\n')
}

// wrap writes s after lead, broken at the width of the terminal and indented below its start. Where little room is left, it starts on a
// line of its own.
func (t *tableWriter) wrap(lead, s string) {
	if t.Width <= 0 {
		t.line(lead, s)
		return
	}
	indent := text.StringWidthWithoutEscSequences(lead)
	if t.Width-indent < 30 {
		if lead = strings.TrimRight(lead, " "); lead != "" {
			t.line(lead, "")
		}
		indent, lead = 8, "        "
	}
	for _, l := range strings.Split(text.WrapSoft(s, max(20, t.Width-indent)), "\n") {
		t.line(lead, strings.TrimRight(l, " "))
		lead = strings.Repeat(" ", indent)
	}
}

// The colors of the terminal, as parameters of the escape sequence SGR.
const (
	bold    = "1"
	dim     = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

func (t *tableWriter) paint(color, s string) string {
	if !t.Color || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func severityColor(s check.Severity) string {
	return map[check.Severity]string{check.Critical: magenta, check.High: red, check.Medium: yellow, check.Low: cyan}[s] + ";1"
}

func statusColor(s check.Status) string {
	return map[check.Status]string{check.Error: magenta, check.Fail: red, check.Manual: yellow, check.Pass: green, check.NotApplicable: dim}[s]
}

// label names a key for a row: its first alias and how many more it has, or else its ID.
func label(r *check.Resource) string {
	if n := len(r.Aliases); n > 1 {
		return fmt.Sprintf("%s +%d", r.Aliases[0], n-1)
	}
	return name(r)
}

// short is a status for a narrow column.
func short(s check.Status) string {
	if s == check.NotApplicable {
		return "N/A"
	}
	return string(s)
}

func blank(n int) string {
	if n == 0 {
		return "-"
	}
	return itoa(n)
}
