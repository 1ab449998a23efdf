package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// planOf plans what a scan of the fixable checks finds.
func planOf(t *testing.T, a *fakeAccountKeys, days int, regions ...string) *Plan {
	t.Helper()
	s := scanOf(a, regions...)
	s.Checks = Fixable(All())
	p := &Plan{Days: days, Regions: regions, CLI: []string{"--profile", "audit"}}
	list, _ := findings(t, s)
	for _, f := range list {
		p.Add(f)
	}
	return p
}

func TestPlan(t *testing.T) {
	a := newFake(7, "us-east-1", "eu-west-1")
	key := func(i int) *fakeKey { return a.key("us-east-1", i) }
	key(0).Rotation = &Rotation{}
	key(1).Rotation = &Rotation{Enabled: true, Days: 1000}
	key(2).Key.Spec = "RSA_2048"
	key(2).Rotation = &Rotation{}
	key(3).Key.State, key(3).Rotation = StatePendingDeletion, &Rotation{}
	key(4).Key.Origin, key(4).Rotation = OriginExternal, &Rotation{}
	key(5).fails[GetKeyRotationStatus] = codeError("AccessDeniedException")
	primary, replica := key(6), a.key("eu-west-1", 6)
	for _, k := range []*fakeKey{primary, replica} {
		k.Key.Primary, k.Rotation = primary.Key.ARN, &Rotation{}
	}
	primary.Key.Role, replica.Key.Role = RolePrimary, RoleReplica
	p := planOf(t, a, 180, "eu-west-1", "us-east-1")
	var got []string
	for _, c := range p.Changes {
		got = append(got, strings.Join(c.Command[3:], " ")+" | "+c.Before+" | "+strings.Join(c.Undo[2:3], " ")+" "+strings.Join(c.Undo[5:], " "))
	}
	arn := func(i int) string { return key(i).Key.ARN }
	want := []string{ // the related keys once, at their primary, though the replica was seen first
		"--key-id " + arn(6) + " --rotation-period-in-days 180 --region us-east-1 --profile audit | rotation off | disable-key-rotation --region us-east-1 --profile audit",
		"--key-id " + arn(0) + " --rotation-period-in-days 180 --region us-east-1 --profile audit | rotation off | disable-key-rotation --region us-east-1 --profile audit",
		"--key-id " + arn(1) + " --rotation-period-in-days 180 --region us-east-1 --profile audit | rotation every 1000 days | enable-key-rotation --rotation-period-in-days 1000 --region us-east-1 --profile audit",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p.Apply(t.Context(), a, NewLimiter(2), nil)
	slices.Sort(a.changes)
	wanted := []string{"us-east-1 " + arn(0) + " 180", "us-east-1 " + arn(1) + " 180", "us-east-1 " + arn(6) + " 180"}
	if !slices.Equal(a.changes, wanted) {
		t.Errorf("changed %v, want %v", a.changes, wanted)
	}
	for _, c := range p.Changes {
		if !c.Done || c.Error != "" {
			t.Errorf("%+v", c)
		}
	}
	replica.Rotation = primary.Rotation
	if again := planOf(t, a, 180, "eu-west-1", "us-east-1"); len(again.Changes) > 0 {
		t.Errorf("after the fix: %+v", again.Changes)
	}
}

// A primary elsewhere is not changed behind the back of whoever named the regions, and an ARN that is none is not run.
func TestPlanElsewhere(t *testing.T) {
	a := newFake(2, "us-east-1", "eu-west-1")
	for i, k := range a.regions["eu-west-1"] {
		k.Rotation = &Rotation{}
		k.Key.Role, k.Key.Primary = RoleReplica, a.key("us-east-1", i).Key.ARN
	}
	a.key("eu-west-1", 1).Key.Primary = "file:///etc/passwd"
	p := planOf(t, a, 180, "eu-west-1")
	if len(p.Changes) != 0 || !slices.Equal(p.Elsewhere, []string{a.key("us-east-1", 0).Key.ARN}) {
		t.Errorf("%+v, elsewhere %v", p.Changes, p.Elsewhere)
	}
	for _, arn := range []string{"", "arn:aws:kms:us-east-1:" + fakeAccount + ":alias/a", "arn:aws:kms:eu-west-1:" + fakeAccount + ":key/a", "arn:aws:kms:us-east-1:1:key/a", "arn:aws:kms:us-east-1:" + fakeAccount + ":key/", "arn:aws:kms:us-east-1:" + fakeAccount + ":key/a b"} {
		if wellFormed(arn, fakeAccount, "us-east-1") {
			t.Errorf("%q is taken", arn)
		}
	}
}

// A change that fails does not stop the others, and each says what became of it.
func TestApplyPartly(t *testing.T) {
	a := newFake(20, "us-east-1")
	for i := range 20 {
		a.key("us-east-1", i).Rotation = &Rotation{}
	}
	p := planOf(t, a, 365, "us-east-1")
	throttled := 0
	a.enable = func(arn string) error {
		switch {
		case strings.HasSuffix(arn, "key-0007"):
			return codeError("AccessDeniedException")
		case strings.HasSuffix(arn, "key-0009") && throttled == 0:
			throttled++
			return codeError("ThrottlingException")
		}
		return nil
	}
	done := 0
	p.Apply(t.Context(), a, NewLimiter(3), func(n int) { done = n })
	for i, c := range p.Changes {
		if failed := i == 7; c.Done == failed || (c.Error != "") != failed {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if len(p.Changes) != 20 || done != 20 || throttled != 1 {
		t.Errorf("%d changes, %d done, %d throttled", len(p.Changes), done, throttled)
	}
}

// When it is interrupted, what was begun ends; what was done, what was not, and what nobody knows are told apart.
func TestApplyInterrupted(t *testing.T) {
	a := newFake(10, "us-east-1")
	for i := range 10 {
		a.key("us-east-1", i).Rotation = &Rotation{}
	}
	p := planOf(t, a, 365, "us-east-1")
	ctx, cancel := context.WithCancel(t.Context())
	a.enable = func(arn string) error {
		if strings.HasSuffix(arn, "key-0004") {
			cancel()
			return errors.New("canceled")
		}
		return nil
	}
	p.Apply(ctx, a, NewLimiter(1), nil)
	var got []string
	for _, c := range p.Changes {
		got = append(got, fmt.Sprint(c.Done, " ", c.Error))
	}
	for i, want := range []string{"true ", "true ", "true ", "true ", "false it may have been done all the same: canceled", "false not tried", "false not tried", "false not tried", "false not tried", "false not tried"} {
		if got[i] != want {
			t.Errorf("%d: %q, want %q", i, got[i], want)
		}
	}
}
