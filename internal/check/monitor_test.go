package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeRun is what the runs of these tests are about.
var fakeRun = Run{Account: fakeAccount, Regions: []string{"us-east-1"}, Checks: []string{"rotation-enabled"}}

// observed runs a tracker once over findings given as "id status".
func observed(t *Tracker, now time.Time, complete bool, given ...string) []string {
	t.Begin(now)
	for _, g := range given {
		id, status, _ := strings.Cut(g, " ")
		f := &Finding{ID: id, Check: "rotation-enabled", Severity: Medium, Status: Status(status), LastSeen: now, Resource: Resource{Account: fakeAccount, Region: "us-east-1"}}
		if status == "ACCEPTED" {
			f.Status, f.Accepted = Fail, &Acceptance{}
		}
		t.Observe(f)
	}
	var changes []string
	var scope *Run
	if complete {
		scope = &fakeRun
	}
	for _, c := range t.End(scope) {
		changes = append(changes, c.Change+" "+c.Finding.ID+" "+string(c.Finding.Status))
	}
	return changes
}

func TestTracker(t *testing.T) {
	tr := NewTracker()
	at := func(n int) time.Time { return ruleNow.Add(time.Duration(n) * time.Hour) }
	for i, step := range []struct {
		complete bool
		given    []string
		want     []string
	}{
		{true, []string{"a FAIL", "b PASS", "c ERROR", "d NOT_APPLICABLE", "e ACCEPTED", "g MANUAL"}, []string{"NEW a FAIL", "NEW c ERROR", "NEW g MANUAL"}},
		{true, []string{"a FAIL", "b PASS", "c ERROR", "g MANUAL"}, nil},
		{true, []string{"a FAIL", "b FAIL", "c FAIL", "g MANUAL"}, []string{"CHANGED c FAIL", "NEW b FAIL"}},
		{false, []string{"a PASS", "b FAIL"}, []string{"RESOLVED a FAIL"}},  // c and g were not seen, and nobody knows
		{true, []string{"b FAIL", "g MANUAL"}, []string{"RESOLVED c FAIL"}}, // now somebody does
		{true, []string{"a FAIL", "b ACCEPTED"}, []string{"NEW a FAIL", "RESOLVED b FAIL", "RESOLVED g MANUAL"}},
	} {
		if got := observed(tr, at(i), step.complete, step.given...); fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("run %d: %v, want %v", i, got, step.want)
		}
		if i == 2 {
			open, _ := tr.Open()
			for _, f := range open {
				since := map[string]time.Time{"a": at(0), "b": at(2), "c": at(2), "g": at(0)}[f.ID]
				if !f.FirstSeen.Equal(since) || !f.LastSeen.Equal(at(2)) {
					t.Errorf("%s: first seen %v, last %v", f.ID, f.FirstSeen, f.LastSeen)
				}
			}
			if len(open) != 4 || open[len(open)-1].Status != Manual {
				t.Errorf("%+v", open)
			}
		}
	}
	resolved := tr.Resolved()
	if len(resolved) != 4 || resolved[3].ID != "a" || !resolved[3].Resolved.Equal(at(3)) || !resolved[0].Resolved.Equal(at(5)) {
		t.Errorf("%+v", resolved)
	}
}

// What another run would have seen is not resolved by this one.
func TestTrackerScope(t *testing.T) {
	for name, other := range map[string]Run{
		"region":  {Account: fakeAccount, Regions: []string{"eu-west-1"}, Checks: fakeRun.Checks},
		"check":   {Account: fakeAccount, Regions: fakeRun.Regions, Checks: []string{"key-enabled"}},
		"account": {Account: "444455556666", Regions: fakeRun.Regions, Checks: fakeRun.Checks},
	} {
		tr := NewTracker()
		observed(tr, ruleNow, true, "a FAIL")
		tr.Begin(ruleNow)
		if changes := tr.End(&other); len(changes) > 0 {
			t.Errorf("another %s: %+v", name, changes)
		}
	}
}

// What a tracker keeps is bounded, and it says so.
func TestTrackerBounded(t *testing.T) {
	tr := NewTracker()
	given := make([]string, maxOpen+5)
	for i := range given {
		given[i] = fmt.Sprintf("f%d FAIL", i)
	}
	observed(tr, ruleNow, true, given...)
	if open, full := tr.Open(); len(open) != maxOpen || !full {
		t.Errorf("%d open, full %v", len(open), full)
	}
	observed(tr, ruleNow, true)
	if open, full := tr.Open(); len(open) != 0 || full || len(tr.Resolved()) != maxResolved {
		t.Errorf("%d open, full %v, %d resolved", len(open), full, len(tr.Resolved()))
	}
}

// monitorOf returns a monitor of an account, which notes what each run changed.
func monitorOf(t *testing.T, a *fakeAccountKeys, saved []byte, notes *[]string) *Monitor {
	t.Helper()
	m := MonitorConfig{
		Now: func(context.Context) time.Time { return ruleNow },
		Scan: func(ctx context.Context, emit func(*Finding) error) (Run, *Summary, error) {
			s := scanOf(a, "us-east-1")
			s.Settings.Checks = []string{"rotation-enabled"}
			summary, err := s.Run(ctx, emit)
			return fakeRun, summary, err
		},
		After: func(_ context.Context, r Report, changes []Transition, _ time.Duration, err error) {
			note := fmt.Sprintf("%d open", len(r.Open))
			for _, c := range changes {
				note += " " + c.Change
			}
			if err != nil {
				note += " " + err.Error()
			}
			*notes = append(*notes, note)
		},
	}
	var r *bytes.Reader
	if saved != nil {
		r = bytes.NewReader(saved)
		n, err := NewMonitor(m, r)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, err := NewMonitor(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A monitor that is started again goes on where the last one ended.
func TestMonitorRestart(t *testing.T) {
	a := newFake(3, "us-east-1")
	a.key("us-east-1", 1).Rotation = &Rotation{}
	var notes []string
	m := monitorOf(t, a, nil, &notes)
	if m.Report() != nil || m.Save(&bytes.Buffer{}) != nil {
		t.Error("a report before the first run")
	}
	m.RunOnce(t.Context())
	var saved bytes.Buffer
	if err := m.Save(&saved); err != nil {
		t.Fatal(err)
	}
	m = monitorOf(t, a, saved.Bytes(), &notes)
	if r := m.Report(); r == nil || len(r.Open) != 1 || r.Summary.Keys != 3 {
		t.Fatalf("%+v", r)
	}
	before := m.Report().Open[0]
	m.RunOnce(t.Context())
	a.key("us-east-1", 1).Rotation = &Rotation{Enabled: true, Days: 365, Next: daysAgo(-100)}
	m.RunOnce(t.Context())
	if want := []string{"1 open NEW", "1 open", "0 open RESOLVED"}; fmt.Sprint(notes) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", notes, want)
	}
	if !before.FirstSeen.Equal(ruleNow) || len(m.Report().Resolved) != 1 {
		t.Errorf("%+v", m.Report())
	}
}

// Nothing is resolved by a run that could not read everything.
func TestMonitorIncomplete(t *testing.T) {
	a := newFake(4, "us-east-1")
	a.key("us-east-1", 3).Rotation = &Rotation{}
	var notes []string
	m := monitorOf(t, a, nil, &notes)
	m.RunOnce(t.Context())
	a.listErr["us-east-1"] = errors.New("gone away") // after three keys
	m.RunOnce(t.Context())
	delete(a.listErr, "us-east-1")
	a.regions["us-east-1"] = a.regions["us-east-1"][:3]
	m.RunOnce(t.Context())
	if want := []string{"1 open NEW", "1 open", "0 open RESOLVED"}; fmt.Sprint(notes) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", notes, want)
	}
}

func TestMonitorRefuses(t *testing.T) {
	for _, saved := range []string{"", "{", `{"version":2,"summary":{}}`, `{"version":1}`} {
		if m, err := NewMonitor(MonitorConfig{}, strings.NewReader(saved)); err == nil {
			t.Errorf("%q: %+v", saved, m)
		}
	}
}

// Runs begin an interval apart; one that takes longer is followed at once by the next.
func TestMonitorLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var begun []time.Duration
		m, err := NewMonitor(MonitorConfig{
			Now: func(context.Context) time.Time { return time.Now() },
			Scan: func(ctx context.Context, _ func(*Finding) error) (Run, *Summary, error) {
				begun = append(begun, time.Since(start))
				if len(begun) == 2 {
					time.Sleep(25 * time.Minute)
				}
				return Run{}, newSummary(), nil
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() { m.Loop(ctx, 5*time.Minute, 15*time.Minute); close(ended) }()
		time.Sleep(65 * time.Minute)
		cancel()
		<-ended
		if want := "[5m0s 20m0s 45m0s 1h0m0s]"; fmt.Sprint(begun) != want {
			t.Errorf("runs at %v, want %s", begun, want)
		}
	})
}
