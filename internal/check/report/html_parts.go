package report

import (
	"slices"

	"github.com/keyturn/keyturn/internal/check"
)

// chart draws for each severity how its findings ended. All bars have one scale, so that they can be compared.
func (h *htmlWriter) chart() (bars []bar, legend []segment) {
	widest := 1
	for _, of := range h.bySeverity {
		widest = max(widest, sum(of))
	}
	all := map[check.Status]int{}
	for _, sev := range severities() {
		of := h.bySeverity[sev]
		if of == nil {
			continue
		}
		bars = append(bars, bar{Label: sev.String(), Class: sev.String(), Total: sum(of), Segments: segments(of, widest)})
		for st, n := range of {
			all[st] += n
		}
	}
	return bars, segments(all, 1)
}

// segments lays the counts of statuses beside each other, the worst first.
func segments(of map[check.Status]int, whole int) []segment {
	var out []segment
	at := 0.0
	for _, st := range []check.Status{check.Fail, check.Error, check.Manual, check.Pass, check.NotApplicable} {
		if n := of[st]; n > 0 {
			w := float64(n) / float64(max(1, whole)) * 100
			out = append(out, segment{Class: statusClass(st), Label: words[st], Short: briefly[st], X: percent(at), W: percent(w), N: n})
			at += w
		}
	}
	return out
}

// briefly is words for where little room is.
var briefly = map[check.Status]string{
	check.Error: "unread", check.Fail: "failed", check.Manual: "by hand", check.Pass: "passed", check.NotApplicable: "n/a",
}

func sum(of map[check.Status]int) (n int) {
	for _, c := range of {
		n += c
	}
	return n
}

func percent(x float64) string { return ftoa(x) + "%" }

func statusClass(s check.Status) string {
	return map[check.Status]string{
		check.Error: "error", check.Fail: "fail", check.Manual: "manual", check.Pass: "pass", check.NotApplicable: "na",
	}[s]
}

// section says of one check why it matters, how to mend what fails it and what it answers.
func (h *htmlWriter) section(n check.CheckCount) section {
	c := h.lookup(n.Check)
	s := section{
		ID: clean(n.Check), Title: clean(c.Title), Severity: n.Severity.String(), Why: clean(c.Why), Text: clean(c.Fix.Text), URL: c.Fix.URL,
		Total: sum(n.Counts), Segments: segments(n.Counts, sum(n.Counts)),
	}
	for _, w := range ways(c.Fix) {
		w.Text = block(w.Text)
		s.Ways = append(s.Ways, w)
	}
	for _, r := range c.Controls {
		i := slices.IndexFunc(s.Controls, func(f framework) bool { return f.Name == r.Framework })
		if i < 0 {
			i = len(s.Controls)
			s.Controls = append(s.Controls, framework{Name: r.Framework})
		}
		s.Controls[i].Items = append(s.Controls[i].Items, r)
	}
	return s
}
