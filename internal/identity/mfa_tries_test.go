package identity

import (
	"fmt"
	"testing"
	"time"
)

var mfaStart = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// TestTriesDelays fails again and again: five times for nothing, then with delays that double up to an hour.
func TestTriesDelays(t *testing.T) {
	var tr tries
	now := mfaStart
	for range freeTries {
		if !tr.begin("a", "d", now) {
			t.Fatal("locked too early")
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		want *= time.Minute
		for _, early := range []time.Duration{0, want / 2, want - time.Nanosecond} {
			if tr.begin("a", "d", now.Add(early)) {
				t.Fatalf("delay %d: not locked after %s", i, early)
			}
		}
		if !tr.begin("a", "other", now) || !tr.begin("b", "d", now) {
			t.Fatalf("delay %d: others are locked, too", i)
		}
		tr.succeeded("a", "other", now)
		tr.succeeded("b", "d", now)
		now = now.Add(want)
		if !tr.begin("a", "d", now) {
			t.Fatalf("delay %d: still locked after %s", i, want)
		}
	}
}

// TestTriesForgetting: a success ends a row of failures, and so does a day without a try.
func TestTriesForgetting(t *testing.T) {
	for _, tc := range []struct {
		name   string
		forget func(*tries) time.Time
		again  bool
	}{
		{"a success", func(tr *tries) time.Time { tr.succeeded("a", "d", mfaStart); return mfaStart }, true},
		{"another's success", func(tr *tries) time.Time { tr.succeeded("a", "e", mfaStart); return mfaStart.Add(time.Minute) }, false},
		{"a day", func(*tries) time.Time { return mfaStart.Add(forgetAfter) }, true},
		{"less than a day", func(*tries) time.Time { return mfaStart.Add(forgetAfter - time.Nanosecond) }, false},
	} {
		var tr tries
		for range freeTries {
			tr.begin("a", "d", mfaStart)
		}
		now := tc.forget(&tr)
		if !tr.begin("a", "d", now) {
			t.Errorf("%s: locked", tc.name)
		}
		if again := tr.begin("a", "d", now); again != tc.again {
			t.Errorf("%s: after one more failure a try is possible: %t", tc.name, again)
		}
	}
}

// TestTriesDisplacing fails with many devices of one account to make the failures of one of them forgotten.
func TestTriesDisplacing(t *testing.T) {
	var tr tries
	now := mfaStart
	// With four failures it is not locked, and so could be displaced.
	for range freeTries - 1 {
		tr.begin("a", "victim", now)
	}
	looked, n := 0, 0
	for range 200 {
		// Fill the account's share with others that are locked, over and over, with new names and with some that succeed.
		for i := range triesPerAccount {
			device := fmt.Sprint("own", i)
			for tr.begin("a", device, now) {
			}
		}
		n++
		tr.begin("a", fmt.Sprint("new", n), now)
		tr.succeeded("a", fmt.Sprint("own", n%triesPerAccount), now)
		if tr.begin("a", "victim", now) {
			looked++
		}
		now = now.Add(time.Second)
	}
	// 200 seconds are enough for the fifth failure and two or three after it, at one, two and four minutes.
	if looked > 4 {
		t.Errorf("%d codes of the victim were looked at", looked)
	}
	if got := len(tr.accounts["a"].devices); got > triesPerAccount {
		t.Errorf("%d devices of the account", got)
	}
	if !tr.begin("b", "d", now) {
		t.Error("another account is locked")
	}
}

// TestTriesLockedStay: devices that are locked are not displaced, also if nothing else is there.
func TestTriesLockedStay(t *testing.T) {
	var tr tries
	for i := range triesPerAccount {
		for range freeTries {
			tr.begin("a", fmt.Sprint(i), mfaStart)
		}
	}
	if tr.begin("a", "new", mfaStart) {
		t.Error("a device is looked at that there is no room for")
	}
	for i := range triesPerAccount {
		if tr.begin("a", fmt.Sprint(i), mfaStart) {
			t.Fatalf("device %d is not locked any more", i)
		}
	}
	if !tr.begin("a", "new", mfaStart.Add(time.Minute)) {
		t.Error("no room after the locks have ended")
	}
	if tr.begin("a", "new", mfaStart.Add(time.Minute)) {
		t.Error("a device that was not known has tries for nothing")
	}
	for range freeTries {
		if !tr.begin("a", "later", mfaStart.Add(2*forgetAfter)) {
			t.Error("locked long after")
		}
	}
	if got := len(tr.accounts["a"].devices); got != 1 {
		t.Errorf("%d devices are remembered", got)
	}
}

// TestTriesAllFull fills the shares of so many accounts that nothing more is remembered, and sees that it is forgotten again.
func TestTriesAllFull(t *testing.T) {
	var tr tries
	refused := 0
	for account := range triesInAll/triesPerAccount + 1 {
		for device := range triesPerAccount {
			if !tr.begin(fmt.Sprint(account), fmt.Sprint(device), mfaStart) {
				refused++
			}
		}
	}
	if tr.n > triesInAll || tr.begin("new", "d", mfaStart) {
		t.Errorf("%d devices and accounts are remembered", tr.n)
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	if !tr.begin("0", "new", mfaStart) {
		t.Error("an account with devices that are not locked cannot displace one of its own")
	}
	now := mfaStart.Add(forgetAfter)
	if !tr.begin("new", "d", now) {
		t.Error("refused long after")
	}
	tr.succeeded("new", "d", now)
	if tr.n != 0 && len(tr.accounts) > 1 { // the one that has displaced a device remembers that
		t.Errorf("%d devices and accounts are remembered after all", tr.n)
	}
}
