package identity

import (
	"sync"
	"time"
)

// How often codes may be tried. Three codes of a million are right at a time: with at most 24 tries a day, guessing takes decades.
const (
	freeTries   = 5 // failures in a row without a delay
	firstDelay  = time.Minute
	maxDelay    = time.Hour
	forgetAfter = 24 * time.Hour // without a try: much longer than maxDelay, so that waiting gains nothing
)

// Bounds of what is remembered. An account has a share of its own, so that nobody displaces what is known of another account's devices.
const (
	triesPerAccount = 256
	triesInAll      = 64 << 10
)

// tries remembers how often devices were tried in vain. A device with five failures in a row is locked for a minute, then for two after the
// next, up to an hour, and every code is refused meanwhile without being looked at.
//
// What is remembered is bounded. Where there is no room, the device of the same account with the fewest failures is forgotten, but never one
// that is locked, and from then on every device of the account that is not known counts as having failed as often as that one. So no failure
// is ever worth less for others being tried as well. If all are locked, or the share of everybody is used up by others, a device that is not
// known is refused as if it were locked.
type tries struct {
	mu       sync.Mutex
	accounts map[string]*accountTries // guarded by mu
	n        int                      // guarded by mu; devices and accounts
	swept    time.Time                // guarded by mu; when all of them were looked through
}

// accountTries are those of an account's devices.
type accountTries struct {
	devices   map[string]failing
	displaced failing // of those that had to be forgotten, the one with the most failures
}

// failing is a device with failures.
type failing struct {
	failures int
	last     time.Time // of the tries that were looked at
	until    time.Time // locked so long
}

func (f failing) stale(now time.Time) bool { return now.Sub(f.last) >= forgetAfter }

// begin counts a try as failed and tells whether it may be made at all.
func (t *tries) begin(account, device string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[account]
	if a == nil {
		a = &accountTries{devices: make(map[string]failing)}
	}
	f, known := a.devices[device]
	if !known && !t.room(a, now) {
		return false
	}
	if now.Before(f.until) {
		return false
	}
	if known && f.stale(now) {
		f.failures = 0
	}
	if !known && !a.displaced.stale(now) {
		f.failures = a.displaced.failures
	}
	f.failures++
	f.last = now
	if f.failures >= freeTries {
		f.until = now.Add(delay(f.failures - freeTries))
	}
	t.keep(account, a, device, f)
	return true
}

// delay is how long a device is locked after n failures more than are free.
func delay(n int) time.Duration {
	d := firstDelay
	for ; n > 0 && d < maxDelay; n-- {
		d *= 2
	}
	return min(d, maxDelay)
}

func (t *tries) keep(account string, a *accountTries, device string, f failing) {
	if t.accounts == nil {
		t.accounts = make(map[string]*accountTries)
	}
	if t.accounts[account] == nil {
		t.accounts[account] = a
		t.n++
	}
	if _, known := a.devices[device]; !known {
		t.n++
	}
	a.devices[device] = f
}

// succeeded forgets a device's failures.
func (t *tries) succeeded(account, device string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.accounts[account]; a != nil {
		t.forget(a, device)
		t.drop(account, a, now)
	}
}

func (t *tries) forget(a *accountTries, device string) {
	if _, known := a.devices[device]; known {
		delete(a.devices, device)
		t.n--
	}
}

// drop forgets an account that there is nothing to know of.
func (t *tries) drop(account string, a *accountTries, now time.Time) {
	if len(a.devices) == 0 && a.displaced.stale(now) {
		delete(t.accounts, account)
		t.n--
	}
}

// room tells whether one more device of an account can be remembered, and makes room if need be.
func (t *tries) room(a *accountTries, now time.Time) bool {
	if t.n >= triesInAll && now.Sub(t.swept) >= firstDelay {
		t.swept = now
		for account, other := range t.accounts {
			t.sweep(other, now)
			t.drop(account, other, now)
		}
	}
	if len(a.devices) >= triesPerAccount {
		t.sweep(a, now)
	}
	if len(a.devices) >= triesPerAccount || t.n >= triesInAll {
		t.displace(a, now)
	}
	return len(a.devices) < triesPerAccount && t.n < triesInAll
}

// sweep forgets an account's devices that nobody has tried for long.
func (t *tries) sweep(a *accountTries, now time.Time) {
	for device, f := range a.devices {
		if f.stale(now) {
			t.forget(a, device)
		}
	}
}

// displace forgets the device of an account with the fewest failures, if one is not locked.
func (t *tries) displace(a *accountTries, now time.Time) {
	weakest, least := "", failing{}
	for device, f := range a.devices {
		if !now.Before(f.until) && (weakest == "" || f.failures < least.failures) {
			weakest, least = device, f
		}
	}
	if weakest == "" {
		return
	}
	if !a.displaced.stale(now) {
		least.failures = max(least.failures, a.displaced.failures)
	}
	least.last = now
	a.displaced = least
	t.forget(a, weakest)
}
