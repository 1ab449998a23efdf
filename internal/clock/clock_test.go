package clock_test

import (
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.FixedZone("", 3600))

func TestStamp(t *testing.T) {
	got := clock.Stamp(start)
	if want := time.Date(2026, 3, 4, 4, 6, 7, 891e6, time.UTC); got != want {
		t.Errorf("Stamp = %v, want %v", got, want)
	}
	if now := clock.Stamp(time.Now()); now != now.Round(0) {
		t.Error("a stamp keeps a monotonic reading")
	}
	if now := (clock.System{}).Now(); now != clock.Stamp(now) {
		t.Errorf("System tells %v, which is no stamp", now)
	}
}

func TestShifted(t *testing.T) {
	real := start
	c := clock.NewShifted(func() time.Time { return real }, time.Hour)
	steps := []struct {
		name string
		do   func()
		want time.Duration // ahead of start
	}{
		{"as made", func() {}, time.Hour},
		{"real time goes on", func() { real = real.Add(time.Minute) }, time.Hour + time.Minute},
		{"forward", func() { c.SetOffset(2 * time.Hour) }, 2*time.Hour + time.Minute},
		{"never back", func() { c.SetOffset(time.Minute) }, 2*time.Hour + time.Minute},
		{"to a time", func() { c.SetOffset(c.OffsetAt(start.Add(5 * time.Hour))) }, 5 * time.Hour},
		{"not to one that is past", func() { c.SetOffset(c.OffsetAt(start)) }, 5 * time.Hour},
	}
	for _, step := range steps {
		step.do()
		if got, want := c.Now(), clock.Stamp(start.Add(step.want)); got != want {
			t.Errorf("%s: %v, want %v", step.name, got, want)
		}
	}
}

func TestShiftedConcurrently(t *testing.T) {
	c := clock.NewShifted(func() time.Time { return start }, 0)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			last := time.Duration(0)
			for i := range 1000 {
				c.SetOffset(time.Duration(i*4+w) * time.Second)
				if now := c.Offset(); now < last {
					t.Errorf("the clock went back from %v to %v", last, now)
				} else {
					last = now
				}
			}
		})
	}
	wg.Wait()
	if got, want := c.Offset(), 3999*time.Second; got != want {
		t.Errorf("ended at %v, want the largest offset, %v", got, want)
	}
}
