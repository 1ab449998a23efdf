package unseal

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var (
	one = netip.MustParseAddr("192.0.2.1")
	two = netip.MustParseAddr("192.0.2.2")
)

func testLimiter() (*limiter, *time.Time) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return newLimiter(func() time.Time { return now }), &now
}

func TestBackOff(t *testing.T) {
	l, now := testLimiter()
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if wait := l.allow(one); wait != 0 {
			t.Fatalf("try %d: %v to wait", i, wait)
		}
		l.tried(one, true, 0)
		if wait := l.allow(one); wait != want*time.Second {
			t.Errorf("after wrong try %d: %v, want %ds", i, wait, want)
		}
		if wait := l.allow(two); wait != 0 {
			t.Errorf("after wrong try %d another address waits %v", i, wait)
		}
		*now = now.Add(want * time.Second)
	}
	l.tried(one, false, 0)
	l.tried(one, true, 0)
	if wait := l.allow(one); wait != time.Second {
		t.Errorf("after a right one: %v", wait)
	}
}

// TestRest: a wrong passphrase takes a processor a fifth of the time at most, whoever tries.
func TestRest(t *testing.T) {
	l, now := testLimiter()
	l.tried(one, true, 200*time.Millisecond)
	if wait := l.allow(two); wait != 800*time.Millisecond {
		t.Errorf("%v", wait)
	}
	*now = now.Add(800 * time.Millisecond)
	if wait := l.allow(two); wait != 0 {
		t.Errorf("rested: %v", wait)
	}
}

func TestRates(t *testing.T) {
	l, now := testLimiter()
	n := 0
	for l.allow(one) == 0 {
		n++
	}
	if n != sourceBurst {
		t.Errorf("one address has %d tries at once, want %d", n, sourceBurst)
	}
	*now = now.Add(sourceEvery)
	if l.allow(one) != 0 || l.allow(one) == 0 {
		t.Error("not one more after a while")
	}
	l, _ = testLimiter()
	n = 0
	for i := range 1000 {
		if l.allow(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) == 0 {
			n++
		}
	}
	if n != allBurst {
		t.Errorf("all together have %d tries at once, want %d", n, allBurst)
	}
	// A network of IPv6 is one source.
	l, _ = testLimiter()
	n = 0
	for i := range 1000 {
		if l.allow(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))) == 0 {
			n++
		}
	}
	if n != sourceBurst {
		t.Errorf("a network has %d tries at once, want %d", n, sourceBurst)
	}
}

func TestMemory(t *testing.T) {
	l, now := testLimiter()
	for i := range 3 * maxSources {
		l.tried(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), true, 0)
	}
	if len(l.sources) != maxSources {
		t.Errorf("%d sources are remembered", len(l.sources))
	}
	*now = now.Add(time.Hour)
	l.allow(one)
	if len(l.sources) > 1 {
		t.Errorf("%d sources are remembered after an hour", len(l.sources))
	}
}

// TestLoopback: whatever strangers do, there is a try left on the machine itself; and those on it have one budget, from whatever address.
func TestLoopback(t *testing.T) {
	l, _ := testLimiter()
	for i := range 3 * maxSources {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.allow(ip)
		l.tried(ip, true, time.Second)
	}
	l.tried(one, true, time.Second)
	if l.allow(two) == 0 {
		t.Fatal("strangers need not wait, so this proves nothing")
	}
	n := 0
	for i := range 1000 {
		ip := netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)})
		if i%3 == 0 {
			ip = netip.AddrFrom16(ip.As16())
		} else if i%3 == 1 {
			ip = netip.IPv6Loopback()
		}
		if l.allow(ip) == 0 {
			n++
		}
	}
	if n != sourceBurst {
		t.Errorf("the machine has %d tries at once, want %d", n, sourceBurst)
	}
	l, _ = testLimiter()
	l.tried(netip.IPv6Loopback(), true, time.Second)
	if wait := l.allow(netip.MustParseAddr("127.0.0.1")); wait != 4*time.Second {
		t.Errorf("after a wrong one on the machine: %v", wait)
	}
	if wait := l.allow(one); wait != 0 {
		t.Errorf("after a wrong one on the machine others wait %v", wait)
	}
}
