package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// outputFormat is the value of --output.
type outputFormat string

const (
	tableOutput outputFormat = "table"
	jsonOutput  outputFormat = "json"
)

// addOutputFlag adds --output to fs, with table as its default.
func addOutputFlag(fs *pflag.FlagSet, f *outputFormat) {
	*f = tableOutput
	fs.VarP(f, "output", "o", "how to print: table or json")
}

// String implements pflag.Value.
func (f *outputFormat) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *outputFormat) Type() string { return "format" }

// Set implements pflag.Value.
func (f *outputFormat) Set(s string) error {
	switch v := outputFormat(s); v {
	case tableOutput, jsonOutput:
		*f = v
		return nil
	}
	return fmt.Errorf("it is table or json")
}

// writeJSON writes v as indented JSON, with a newline.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeTable writes rows in columns under their headers. Cells are made printable; an empty one becomes "-".
func writeTable(w io.Writer, header []string, rows [][]string) error {
	t := newTable(w)
	t.AppendHeader(tableRow(header))
	for _, r := range rows {
		t.AppendRow(tableRow(r))
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

// writeFields writes names and values, one pair a line. Values are made printable; an empty one becomes "-".
func writeFields(w io.Writer, fields [][2]string) error {
	t := newTable(w)
	for _, f := range fields {
		t.AppendRow(tableRow(f[:]))
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

// newTable returns a table without lines: columns two spaces apart, nothing that a script must cut off.
func newTable(w io.Writer) table.Writer {
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	if colored(w) {
		style.Color.Header = text.Colors{text.Bold}
	}
	t := table.NewWriter()
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		row[i] = printable(c)
	}
	return row
}

const maxPrintable = 8192 // runes: the longest description that a key can have

// printable replaces what could steer a terminal or forge a line, and cuts what is too long to read.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxPrintable {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// shellWord quotes s for a POSIX shell, if it has to be.
func shellWord(s string) string {
	if s != "" && madeOf(s, letters+"0123456789/._-+=:,@%") {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}

// stamp writes t as RFC 3339 in UTC, to the second; "" for the nil time.
func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the columns of the terminal that w is, 0 if it is none.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// colored tells whether w takes colours: a terminal, unless NO_COLOR (no-color.org) is set.
func colored(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}
