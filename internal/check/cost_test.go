package check

import (
	"testing"
	"time"
)

func TestPriceTable(t *testing.T) {
	p := PriceTable()
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		t.Error(err)
	}
	// The page's example: a key that rotated twice or more costs three dollars.
	if p.Key != 100 || p.Key+p.Charged*p.Rotation != 300 || p.Currency != "USD" || p.Source != ByID("cost").Fix.URL {
		t.Errorf("%+v", p)
	}
}

func TestCost(t *testing.T) {
	rotated := func(n int, on bool) func(*Facts) {
		return func(f *Facts) {
			f.Rotation.Enabled = on
			for i := range n {
				f.Materials = append(f.Materials, Material{Rotated: daysAgo(i + 1), OnDemand: i == 0})
			}
		}
	}
	cases := []struct {
		ruleCase
		monthly, adds int
	}{
		{ruleCase{"rotation on, none yet", nil, Pass, "$1.00 a month: $1.00 for the key, $0.00 for 0 charged of 0 rotations"}, 100, 0},
		{ruleCase{"one", rotated(1, true), Pass, "$2.00 a month"}, 200, 0},
		{ruleCase{"two", rotated(2, true), Pass, "$3.00 a month"}, 300, 0},
		{ruleCase{"capped at the second", rotated(9, true), Pass, "$3.00 a month: $1.00 for the key, $2.00 for 2 charged of 9 rotations"}, 300, 0},
		{ruleCase{"off", rotated(0, false), Pass, "adds $2.00 a month in the end; 2 further rotations"}, 100, 200},
		{ruleCase{"off after one", rotated(1, false), Pass, "adds $1.00 a month"}, 200, 100},
		{ruleCase{"off after many", rotated(5, false), Pass, "adds $0.00 a month"}, 300, 0},
		{ruleCase{"a pending material is no rotation", func(f *Facts) {
			f.Key.Origin = OriginExternal
			f.Materials = append(f.Materials, Material{State: materialPending})
			f.Rotation.Enabled = false
		}, Pass, "$1.00 a month"}, 100, 0},
		{ruleCase{"replica", func(f *Facts) { f.Key.Role = RoleReplica; rotated(1, false)(f) }, Pass, "$2.00 a month"}, 200, 100},
		{ruleCase{"asymmetric", func(f *Facts) { f.Key.Spec, f.Materials, f.Rotation = "RSA_2048", nil, nil }, Pass, "$1.00 a month"}, 100, 0},
		{ruleCase{"disabled", func(f *Facts) { f.Key.State = StateDisabled; rotated(1, false)(f) }, Pass, "$2.00 a month"}, 200, 0},
		{ruleCase{"pending deletion", func(f *Facts) { f.Key.State = StatePendingDeletion; rotated(2, false)(f) }, Pass, "charges nothing"}, 0, 0},
		{ruleCase{"rotations not listed", func(f *Facts) { f.Materials = nil }, Pass, "none are in the price"}, 100, 0},
	}
	c, s := ByID("cost"), DefaultSettings()
	for _, tc := range cases {
		runRule(t, "cost", []ruleCase{tc.ruleCase})
		want := Price{MonthlyCents: tc.monthly, RotationAddsCents: tc.adds, Date: PriceTable().Date}
		if v := judgeRule(c, ruleFacts(tc.set), &s); v.Price == nil || *v.Price != want {
			t.Errorf("%s: %+v, want %+v", tc.name, v.Price, want)
		}
	}
	f := ruleFacts(func(f *Facts) { f.Key.Spec, f.Materials, f.Rotation = "RSA_2048", nil, nil })
	if v := judgeRule(c, f, &s); len(v.Notes) > 0 {
		t.Errorf("a key that never rotates: %q", v.Notes)
	}
}
