package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Findings come in the order of regions, keys and checks whatever is read first, and are counted.
func TestScanOrder(t *testing.T) {
	a := newFake(10, "eu-central-1", "us-east-1")
	a.key("us-east-1", 4).Rotation = &Rotation{}
	s := scanOf(a, "eu-central-1", "us-east-1")
	list, summary := findings(t, s)
	checks, err := s.Settings.Selected()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, region := range s.Regions {
		for _, k := range a.regions[region] {
			for _, c := range checks {
				want = append(want, region+" "+k.Key.ID+" "+c.ID)
			}
		}
	}
	var got []string
	seen := map[string]bool{}
	for _, f := range list {
		got = append(got, f.Resource.Region+" "+f.Resource.ID+" "+f.Check)
		if seen[f.ID] {
			t.Errorf("ID %s is there twice", f.ID)
		}
		seen[f.ID] = true
		if f.Check == "rotation-enabled" {
			bad := f.Resource.Region == "us-east-1" && f.Resource.ID == "key-0004"
			if (f.Status == Fail) != bad || (f.Status == Pass) == bad {
				t.Errorf("%s in %s: %s", f.Resource.ID, f.Resource.Region, f.Status)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d findings in another order, %d wanted", len(got), len(want))
	}
	total := 0
	for _, n := range summary.Counts {
		total += n
	}
	i := slices.IndexFunc(summary.Checks, func(c CheckCount) bool { return c.Check == "rotation-enabled" })
	if summary.Keys != 20 || total != len(list) || summary.Checks[i].Counts[Pass] != 19 || summary.Checks[i].Counts[Fail] != 1 || summary.Unread() || summary.Worst() < Medium {
		t.Errorf("%+v", summary)
	}
	again, _ := findings(t, scanOf(a, "eu-central-1", "us-east-1"))
	for i := range list {
		if again[i].ID != list[i].ID {
			t.Fatalf("another run gives %s another ID", got[i])
		}
	}
}

// What cannot be read is an error and never a pass; a key that is gone is nothing.
func TestScanUnreadable(t *testing.T) {
	a := newFake(4, "us-east-1")
	a.key("us-east-1", 0).fails[GetKeyRotationStatus] = codeError("AccessDeniedException")
	a.key("us-east-1", 1).fails[DescribeKey] = errors.New("connection reset")
	a.key("us-east-1", 2).fails[DescribeKey] = codeError("NotFoundException")
	a.key("us-east-1", 3).PolicyText = "{"
	list, summary := findings(t, scanOf(a, "us-east-1"))
	status := func(id, check string) string {
		for _, f := range list {
			if f.Resource.ID == id && f.Check == check {
				return string(f.Status) + " " + f.Error
			}
		}
		return ""
	}
	for _, want := range [][3]string{
		{"key-0000", "rotation-enabled", "ERROR AccessDeniedException"},
		{"key-0000", "rotation-period", "ERROR AccessDeniedException"},
		{"key-0000", "key-enabled", "PASS "},
		{"key-0001", "rotation-enabled", "ERROR Unreadable"},
		{"key-0001", "key-enabled", "ERROR Unreadable"},
		{"key-0002", "rotation-enabled", ""},
		{"key-0003", "rotation-enabled", "PASS "},
		{"key-0003", "policy-public", "ERROR Unreadable"},
	} {
		if got := status(want[0], want[1]); got != want[2] {
			t.Errorf("%s %s: %q, want %q", want[0], want[1], got, want[2])
		}
	}
	for _, f := range list {
		if f.Resource.ID == "key-0001" && (f.Status != Error || f.Resource.Account != fakeAccount || !strings.Contains(f.Detail, "connection reset")) {
			t.Errorf("%s of a key that nobody could read: %+v", f.Check, f)
		}
	}
	if !summary.Unread() {
		t.Error("the summary does not tell that something was not read")
	}
}

// A region that cannot be listed, or only in part, is an error of the run; what was listed is checked.
func TestScanRegionUnreadable(t *testing.T) {
	a := newFake(5, "eu-central-1", "us-east-1")
	a.listErr["eu-central-1"] = codeError("AccessDeniedException")
	a.inErr["ap-south-1"] = errors.New("no such region")
	list, summary := findings(t, scanOf(a, "eu-central-1", "ap-south-1", "us-east-1"))
	if len(summary.Errors) != 2 || summary.Errors[0].Region != "eu-central-1" || summary.Errors[0].Code != "AccessDeniedException" || summary.Errors[1].Region != "ap-south-1" {
		t.Errorf("%+v", summary.Errors)
	}
	if summary.Keys != 8 || len(list) == 0 || !summary.Unread() {
		t.Errorf("%d keys, %d findings", summary.Keys, len(list))
	}
}

// Only what the checks need is read.
func TestScanReadsOnlyWhatItNeeds(t *testing.T) {
	a := newFake(3, "us-east-1")
	a.key("us-east-1", 0).Key.State = StateDisabled
	a.key("us-east-1", 1).Key.Manager = ManagerAWS
	calls := map[Call]int{}
	a.before = func(c Call) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		calls[c]++
		return nil
	}
	s := scanOf(a, "us-east-1")
	s.Settings.Checks = []string{"rotation-enabled"}
	list, _ := findings(t, s)
	if len(list) != 3 || list[0].Status != NotApplicable || list[1].Status != NotApplicable || list[2].Status != Pass {
		t.Errorf("%d findings", len(list))
	}
	if want := map[Call]int{"ListKeys": 1, DescribeKey: 3, GetKeyRotationStatus: 1}; fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
}

// A throttled scan ends with every verdict; a service that throttles for ever makes errors, not passes.
func TestScanThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFake(50, "us-east-1")
		n := 0
		a.before = func(Call) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if n++; n%3 == 0 {
				return codeError("ThrottlingException")
			}
			return nil
		}
		list, summary := findings(t, scanOf(a, "us-east-1"))
		if summary.Keys != 50 || len(list) == 0 || summary.Counts[Error] > 0 || summary.Unread() {
			t.Errorf("%+v", summary)
		}
		a.before = func(c Call) error {
			if c == GetKeyRotationStatus {
				return codeError("ThrottlingException")
			}
			return nil
		}
		s := scanOf(a, "us-east-1")
		s.Settings.Checks = []string{"rotation-enabled"}
		if _, summary = findings(t, s); summary.Counts[Error] != 50 {
			t.Errorf("%+v", summary.Counts)
		}
	})
}

// A scan ends with its context, and with an error of whoever takes the findings, at once and without anything left running.
func TestScanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFake(200, "us-east-1")
		a.before = func(Call) error { time.Sleep(time.Millisecond); return nil }
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		summary, err := scanOf(a, "us-east-1").Run(ctx, func(f *Finding) error {
			if f.Status == Error {
				t.Errorf("a finding that says only that the scan was ended: %s", f.Detail)
			}
			if n++; n == 100 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || summary == nil || summary.Keys == 0 || summary.Keys > 20 {
			t.Errorf("%v, %+v", err, summary)
		}
		full := errors.New("disk full")
		if _, err := scanOf(a, "us-east-1").Run(t.Context(), func(*Finding) error { return full }); !errors.Is(err, full) {
			t.Error(err)
		}
	})
}

// A list that goes in circles ends.
func TestScanCircle(t *testing.T) {
	a := newFake(2, "us-east-1")
	s := scanOf(a, "us-east-1")
	s.Source = circle{a.source()}
	_, summary := findings(t, s)
	if len(summary.Errors) != 1 || !strings.Contains(summary.Errors[0].Detail, "circles") {
		t.Errorf("%+v", summary.Errors)
	}
}

type circle struct{ Source }

func (c circle) In(region string) (Source, error) {
	src, err := c.Source.In(region)
	return circle{src}, err
}

func (c circle) Keys(ctx context.Context, _ string) (KeyPage, error) {
	page, err := c.Source.Keys(ctx, "")
	page.Next = "1"
	return page, err
}

// A check that panics costs its own verdict on that key and nothing else.
func TestScanPanic(t *testing.T) {
	a := newFake(2, "us-east-1")
	s := scanOf(a, "us-east-1")
	s.Checks = []*Check{
		{ID: "rotation-enabled", Severity: Low, Eval: func(f *Facts, _ *Settings) Verdict {
			if f.Key.ID == "key-0001" {
				panic("a key it cannot cope with")
			}
			return pass("fine")
		}},
		ByID("key-enabled"),
	}
	list, _ := findings(t, s)
	if len(list) != 4 || list[0].Status != Pass || list[2].Status != Error || list[2].Error != "Unreadable" || list[3].Status != Pass {
		t.Errorf("%+v", list)
	}
}

// A key that was listed and is gone is counted.
func TestScanGone(t *testing.T) {
	a := newFake(3, "us-east-1")
	a.key("us-east-1", 1).fails[DescribeKey] = codeError("NotFoundException")
	if list, summary := findings(t, scanOf(a, "us-east-1")); summary.Gone != 1 || summary.Keys != 3 || len(list)%2 != 0 {
		t.Errorf("%+v", summary)
	}
}

// Replicas are read in their regions; one that is not there, or not readable, is told.
func TestScanReplicas(t *testing.T) {
	a := newFake(1, "us-east-1", "eu-west-1")
	primary := a.key("us-east-1", 0)
	primary.Key.Role, primary.Key.Primary = RolePrimary, primary.Key.ARN
	replica := a.key("eu-west-1", 0)
	replica.Key.Role, replica.Key.Primary = RoleReplica, primary.Key.ARN
	primary.Key.Replicas = []string{replica.Key.ARN}
	one := func() *Finding {
		s := scanOf(a, "us-east-1")
		s.Settings.Checks = []string{"replicas-agree"}
		list, _ := findings(t, s)
		return list[0]
	}
	if f := one(); f.Status != Pass || f.Resource.Primary != primary.Key.ARN {
		t.Errorf("the same: %+v", f)
	}
	replica.Key.State = StateDisabled
	if f := one(); f.Status != Fail {
		t.Errorf("a disabled replica: %+v", f)
	}
	replica.fails[GetKeyPolicy] = codeError("AccessDeniedException")
	if f := one(); f.Status != Error {
		t.Errorf("an unreadable replica: %+v", f)
	}
	primary.Key.Replicas = []string{"arn:aws:kms:eu-west-1:" + fakeAccount + ":key/gone"}
	primary.Key.ID = "gone"
	if f := one(); f.Status != Fail {
		t.Errorf("a replica that is gone: %+v", f)
	}
}

func TestSelected(t *testing.T) {
	s := DefaultSettings()
	list, err := s.Selected()
	if err != nil || slices.ContainsFunc(list, func(c *Check) bool { return c.ID == "iam-enable-rotation" || c.ID == "rotation-events" }) {
		t.Errorf("by default: %v", err)
	}
	s.WithIAM = true
	if all, err := s.Selected(); err != nil || len(all) != len(All()) {
		t.Errorf("with IAM: %d of %d, %v", len(all), len(All()), err)
	}
	s = Settings{Checks: []string{"rotation-events"}}
	if _, err := s.Selected(); err == nil {
		t.Error("a check of CloudTrail without leave to read it")
	}
	s = Settings{Checks: []string{"no-such-check"}}
	if _, err := s.Selected(); err == nil {
		t.Error("an unknown check")
	}
}
