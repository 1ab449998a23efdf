package check

import (
	"context"
	"strings"
	"testing"
	"time"
)

func readText(t *testing.T, text string) *Baseline {
	t.Helper()
	b, err := ReadBaseline(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An accepted failure does not count until its last day is over; then it does, and the summary names it.
func TestBaseline(t *testing.T) {
	a := newFake(2, "us-east-1")
	a.key("us-east-1", 0).Rotation = &Rotation{}
	a.key("us-east-1", 1).Rotation = &Rotation{}
	s := scanOf(a, "us-east-1")
	s.Settings.Checks = []string{"rotation-enabled"}
	list, _ := findings(t, s)
	id := list[0].ID
	s.Baseline = readText(t, "version: 1\naccepted:\n- id: "+id+"\n  check: rotation-enabled\n  key: "+list[0].Resource.ARN+"\n  reason: moves next month\n  expires: 2026-06-01\n")
	accepted, summary := findings(t, s)
	if accepted[0].Failed() || accepted[0].Accepted.Reason != "moves next month" || !accepted[1].Failed() || summary.Accepted != 1 || summary.Counts[Fail] != 2 || len(summary.Expired) != 0 {
		t.Errorf("%+v, %+v", accepted[0], summary)
	}
	later := *s
	later.Now = func(context.Context) time.Time { return time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC) }
	accepted, summary = findings(t, &later)
	if !accepted[0].Failed() || summary.Accepted != 0 || len(summary.Expired) != 1 || summary.Expired[0] != id {
		t.Errorf("a day later: %+v, %+v", accepted[0], summary)
	}
	for what, change := range map[string][2]string{"another check": {"check: rotation-enabled", "check: key-enabled"}, "another key": {list[0].Resource.ARN, list[1].Resource.ARN}} {
		var text strings.Builder
		if _, err := s.Baseline.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		if b := readText(t, strings.Replace(text.String(), change[0], change[1], 1)); b.Accepts(list[0]) != nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

func TestBaselineRefuses(t *testing.T) {
	const entry = "- {id: a, reason: r, expires: 2026-01-01}\n"
	for text, want := range map[string]string{
		"":                     "empty",
		"version: 2":           "version",
		"accepted: []":         "version",
		"version: 1\nother: 1": "other",
		"version: 1\naccepted:\n- {id: a, reason: r}":                                     "expires",
		"version: 1\naccepted:\n- {id: a, expires: 2026-01-01}":                           "reason",
		"version: 1\naccepted:\n- {reason: r, expires: 2026-01-01}":                       "id",
		"version: 1\naccepted:\n- {id: a, reason: r, expires: 2026-02-30}":                "no date",
		"version: 1\naccepted:\n- {id: a, reason: r, expires: soon}":                      "no date",
		"version: 1\naccepted:\n- {id: a, check: nope, reason: r, expires: 2026-01-01}":   "no check",
		"version: 1\naccepted:\n- {id: a, severity: low, reason: r, expires: 2026-01-01}": "severity",
		"version: 1\naccepted:\n" + entry + entry:                                         "twice",
	} {
		if b, err := ReadBaseline(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, b, err, want)
		}
	}
}

// What is written is read back, and a second acceptance takes the place of the first.
func TestBaselineAccept(t *testing.T) {
	var b Baseline
	f := &Finding{ID: "f1", Check: "rotation-enabled", Resource: Resource{ARN: "arn:k"}, LastSeen: ruleNow, Status: Fail}
	for _, reason := range []string{"first", "second: with a colon # and more"} {
		if err := b.Accept(f, reason, "2027-01-01"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Accept(&Finding{ID: "f2"}, "", "2027-01-01"); err == nil {
		t.Error("without a reason")
	}
	var text strings.Builder
	if _, err := b.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	again := readText(t, text.String())
	if got := again.Accepts(f); got == nil || got.Reason != "second: with a colon # and more" || len(again.Accepted) != 1 {
		t.Errorf("%+v from %s", got, text.String())
	}
}

func FuzzReadBaseline(f *testing.F) {
	f.Add("version: 1\naccepted:\n- {id: a, check: rotation-enabled, key: k, reason: r, expires: 2026-01-01}\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ReadBaseline(strings.NewReader(text))
		if err != nil {
			return
		}
		var again strings.Builder
		if _, err := b.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		c, err := ReadBaseline(strings.NewReader(again.String()))
		if err != nil || len(c.Accepted) != len(b.Accepted) {
			t.Fatalf("%q does not read back: %v", again.String(), err)
		}
		for i := range b.Accepted {
			if b.Accepted[i] != c.Accepted[i] {
				t.Fatalf("%+v came back as %+v", b.Accepted[i], c.Accepted[i])
			}
		}
	})
}
