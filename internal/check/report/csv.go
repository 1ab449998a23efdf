package report

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

// column is one column of the format csv.
type column struct {
	name string
	of   func(*check.Finding) string
}

// columns of the format csv. New ones go to the end: people count them.
var columns = []column{
	{"status", func(f *check.Finding) string { return string(f.Status) }},
	{"severity", func(f *check.Finding) string { return f.Severity.String() }},
	{"check", func(f *check.Finding) string { return f.Check }},
	{"title", func(f *check.Finding) string { return f.Title }},
	{"account", func(f *check.Finding) string { return f.Resource.Account }},
	{"region", func(f *check.Finding) string { return f.Resource.Region }},
	{"resource_type", func(f *check.Finding) string { return f.Resource.Type }},
	{"resource_id", func(f *check.Finding) string { return f.Resource.ID }},
	{"resource_arn", func(f *check.Finding) string { return f.Resource.ARN }},
	{"aliases", func(f *check.Finding) string { return strings.Join(f.Resource.Aliases, " ") }},
	{"key_spec", func(f *check.Finding) string { return f.Resource.Spec }},
	{"origin", func(f *check.Finding) string { return f.Resource.Origin }},
	{"key_state", func(f *check.Finding) string { return f.Resource.State }},
	{"key_manager", func(f *check.Finding) string { return f.Resource.Manager }},
	{"created", func(f *check.Finding) string { return optional(f.Resource.Created) }},
	{"rotation_enabled", func(f *check.Finding) string {
		return turn(f, func(t *check.Turn) string { return strconv.FormatBool(t.Enabled) })
	}},
	{"rotation_period_days", func(f *check.Finding) string {
		return turn(f, func(t *check.Turn) string { return positive(t.Days) })
	}},
	{"next_rotation", func(f *check.Finding) string {
		return turn(f, func(t *check.Turn) string { return optional(t.Next) })
	}},
	{"last_rotation", func(f *check.Finding) string {
		return turn(f, func(t *check.Turn) string {
			if len(t.Dates) == 0 {
				return ""
			}
			return optional(t.Dates[len(t.Dates)-1])
		})
	}},
	{"detail", func(f *check.Finding) string { return f.Detail }},
	{"notes", func(f *check.Finding) string { return strings.Join(f.Notes, " ") }},
	{"error", func(f *check.Finding) string { return f.Error }},
	{"monthly_usd", func(f *check.Finding) string {
		if f.Price == nil {
			return ""
		}
		return fmt.Sprintf("%d.%02d", f.Price.MonthlyCents/100, f.Price.MonthlyCents%100)
	}},
	{"accepted_reason", func(f *check.Finding) string {
		if f.Accepted == nil {
			return ""
		}
		return f.Accepted.Reason
	}},
	{"accepted_until", func(f *check.Finding) string {
		if f.Accepted == nil {
			return ""
		}
		return optional(f.Accepted.Expires)
	}},
	{"first_seen", func(f *check.Finding) string { return optional(f.FirstSeen) }},
	{"last_seen", func(f *check.Finding) string { return optional(f.LastSeen) }},
	{"finding_id", func(f *check.Finding) string { return f.ID }},
}

func optional(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func turn(f *check.Finding, of func(*check.Turn) string) string {
	if f.Resource.Rotation == nil {
		return ""
	}
	return of(f.Resource.Rotation)
}

// csvWriter writes findings only: a table with a second table below it is none. The summary is in the other formats.
type csvWriter struct {
	*base
	csv *csv.Writer
	row []string
}

func newCSV(b *base) Writer {
	return &csvWriter{base: b, csv: csv.NewWriter(b.w), row: make([]string, len(columns))}
}

func (c *csvWriter) Begin(r check.Run) error {
	for i, col := range columns {
		c.row[i] = col.name
	}
	c.base.Begin(r)
	return c.csv.Write(c.row)
}

func (c *csvWriter) Finding(f *check.Finding) error {
	for i, col := range columns {
		c.row[i] = cell(col.of(f))
	}
	return c.csv.Write(c.row)
}

func (c *csvWriter) End(s *check.Summary) error {
	for _, f := range unread(c.run, s) {
		if err := c.Finding(f); err != nil {
			return err
		}
	}
	c.csv.Flush()
	if err := c.csv.Error(); err != nil {
		return err
	}
	return c.w.Flush()
}

// cell keeps a spreadsheet from taking text for a formula: an apostrophe in front makes it text. What could steer a terminal, or the
// reader's eye, is replaced.
func cell(s string) string {
	formula := s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0]))
	if s = clean(s); formula {
		return "'" + s
	}
	return s
}
