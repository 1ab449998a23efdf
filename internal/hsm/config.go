// Package hsm talks to a PKCS#11 token through a helper process, keyturn-pkcs11, which it starts, watches, kills when it hangs
// and starts again. Vendor modules are C libraries that can crash, hang or corrupt memory; this way they do it elsewhere.
//
// A Token never keeps a caller waiting beyond Config.Timeout, whatever module and helper do, and trusts neither of them with
// more than the keys: what the helper replies is checked in size, count and shape.
package hsm

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Config says which token, and how to reach it. Helper, Module and Token are required.
type Config struct {
	Helper string // path of keyturn-pkcs11
	Module string // absolute path of the vendor's PKCS#11 library
	Token  string // label or serial number of the token

	// Env is the helper's environment, "NAME=value", beside PATH, HOME, TMPDIR and TZ, which it gets from this process; it gets
	// nothing else, since keyturn's environment may hold secrets. Many modules find their configuration by a variable.
	Env []string

	Sessions     int           // most sessions with the token, and so calls it works on at a time; 8, at most 64
	Timeout      time.Duration // longest duration of a call; 5 s
	StartTimeout time.Duration // longest duration of starting helper and module, login included; 30 s
	MaxInFlight  int           // most calls at a time, others fail at once; 256, at most 1024
	Log          *slog.Logger  // starts and ends of the helper, and what it prints; discarded if nil

	timing timing
	spawn  func(*Config) (*process, error) // tests put fakes here
}

// timing is fixed but for tests.
type timing struct {
	firstDelay time.Duration // before a helper that failed is started again; doubles
	maxDelay   time.Duration // up to here
	stable     time.Duration // a helper that lived so long is started again at once
	grace      time.Duration // for a helper to end by itself on Close
	unkillable time.Duration // for a helper to end when killed, before calls are told
}

// MaxPlaintext and MaxAAD are the most bytes that Encrypt takes, MaxRandom that Random gives.
const (
	MaxPlaintext = hsmwire.MaxPlaintext
	MaxAAD       = hsmwire.MaxAAD
	MaxRandom    = hsmwire.MaxRandom
)

func (c *Config) setDefaults() {
	c.Sessions = min(cmp.Or(max(c.Sessions, 0), 8), 64)
	c.Timeout = cmp.Or(max(c.Timeout, 0), 5*time.Second)
	c.StartTimeout = cmp.Or(max(c.StartTimeout, 0), 30*time.Second)
	c.MaxInFlight = min(cmp.Or(max(c.MaxInFlight, 0), 256), hsmwire.MaxInFlight)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.timing.firstDelay = cmp.Or(c.timing.firstDelay, 100*time.Millisecond)
	c.timing.maxDelay = cmp.Or(c.timing.maxDelay, 30*time.Second)
	c.timing.stable = cmp.Or(c.timing.stable, time.Minute)
	c.timing.grace = cmp.Or(c.timing.grace, 4*time.Second)
	c.timing.unkillable = cmp.Or(c.timing.unkillable, time.Second)
	if c.spawn == nil {
		c.spawn = spawn
	}
}
