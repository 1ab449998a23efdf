package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
)

// clockConfig is the section clock of the configuration: what the server believes its clock. Durations are written like 30d.
type clockConfig struct {
	MaxDowntime string `yaml:"max_downtime"` // how far beyond the high-water mark the clock may be at the start
	MaxStep     string `yaml:"max_step"`     // how far it may get ahead of the time that passes
	Accepted    string `yaml:"accepted"`     // a date that is right, in RFC 3339: a clock that says so at the start is believed
}

// minClockBound is the smallest bound that goes with clocks being set by NTP.
const minClockBound = 10 * time.Minute

// limits returns what the section asks for.
func (c *clockConfig) limits() (l clock.Limits, err error) {
	if c == nil {
		return l, nil
	}
	for _, d := range []struct {
		name, value string
		to          *time.Duration
	}{{"max_downtime", c.MaxDowntime, &l.Gap}, {"max_step", c.MaxStep, &l.Step}} {
		if d.value == "" {
			continue
		}
		if *d.to, err = parseDuration(d.value); err != nil {
			return l, fmt.Errorf("clock: %s: %w", d.name, err)
		}
		if *d.to < minClockBound {
			return l, fmt.Errorf("clock: %s: it must be at least %s, since clocks are set while they run", d.name, formatDuration(minClockBound))
		}
	}
	if c.Accepted != "" {
		if l.Accepted, err = parseDate(c.Accepted); err != nil {
			return l, fmt.Errorf("clock: accepted: %w", err)
		}
	}
	return l, nil
}

// parseDate reads a date, 2026-11-28 (noon, UTC) or with the time of day as RFC 3339 has it.
func parseDate(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.Add(12 * time.Hour), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, errors.New("a date is written like 2026-11-28 or 2026-11-28T14:00:00Z")
	}
	return t.UTC(), nil
}
