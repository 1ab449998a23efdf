package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/check"
)

// Aliases, descriptions, tags and error texts come from outside, and whoever may create a key chooses them. They reach a terminal or a
// page only through clean: no escape sequences, no line breaks, no marks that turn the direction of text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return utf8.RuneError
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return utf8.RuneError
	}, s)
}

// block is clean for text of several lines that the catalog wrote: line breaks stay.
func block(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(clean(l), " ")
	}
	return strings.Join(lines, "\n")
}

// cut shortens s to at most n characters, an ellipsis at its end where something is missing.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// count returns a number with a noun in the right form.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// dollars writes US cents.
func dollars(cents int) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s$%d.%02d", sign, cents/100, cents%100)
}

// date writes a day; "" for no time.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// stamp writes a time as RFC 3339 with seconds, in UTC.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// name returns how people call a resource: its first alias, or else its ID.
func name(r *check.Resource) string {
	if len(r.Aliases) > 0 {
		return r.Aliases[0]
	}
	return r.ID
}

// details returns a finding's detail and notes as one text.
func details(f *check.Finding) string {
	parts := append([]string{f.Detail}, f.Notes...)
	return strings.Join(parts, " ")
}

// firstSeen returns since when a finding has its status; the time of the run where nothing is remembered.
func firstSeen(f *check.Finding) time.Time {
	if f.FirstSeen.IsZero() {
		return f.LastSeen
	}
	return f.FirstSeen
}

// control names a requirement in full: framework, version, ID.
func control(c check.Control) string {
	return strings.Join(strings.Fields(c.Framework+" "+c.Version+" "+c.ID), " ")
}

// requirements returns a check's controls without those of other scanners: their names for the same check are no requirement.
func requirements(c *check.Check) []check.Control {
	var l []check.Control
	for _, r := range c.Controls {
		if r.Framework != check.Prowler {
			l = append(l, r)
		}
	}
	return l
}

// words is how statuses are called in sentences.
var words = map[check.Status]string{
	check.Error: "could not be read", check.Fail: "failed", check.Manual: "to judge by hand", check.Pass: "passed",
	check.NotApplicable: "not applicable",
}

// command writes arguments as a line for a POSIX shell.
func command(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(clean(a))
	}
	return strings.Join(quoted, " ")
}

// quote puts an argument into single quotes if a shell would see more in it than letters.
func quote(s string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=,@%+", r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func itoa(n int) string     { return strconv.Itoa(n) }
func ftoa(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }
