package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// maxDuration is the longest that the command line takes; it is also what AdvanceClock moves at most.
	maxDuration = 100 * 365 * day

	minRotationDays = 90
	maxRotationDays = 2560
)

// calendarUnit returns the length of a unit that time.ParseDuration does not know, 0 for all others. A year has 365 days, as the
// default rotation period has.
func calendarUnit(unit string) time.Duration {
	switch unit {
	case "y":
		return 365 * day
	case "w":
		return 7 * day
	case "d":
		return day
	}
	return 0
}

var (
	errDurationSyntax = errors.New("write it like 91d, 26w, 3y, 12h or 1y6w3d")
	errDurationRange  = errors.New("more than 100 years")
)

// parseDuration reads a duration: one or more numbers, each with its unit, which are y (365 days), w, d and those of
// time.ParseDuration, of which only the latter may have fractions. It is between 0 and 100 years.
func parseDuration(s string) (time.Duration, error) {
	d, err := sumDuration(s)
	if err != nil {
		if len(s) > 64 {
			s = s[:64] + "..."
		}
		return 0, fmt.Errorf("duration %q: %w", s, err)
	}
	return d, nil
}

func sumDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("it cannot be negative")
	}
	if s == "" {
		return 0, errDurationSyntax
	}
	var sum time.Duration
	for s != "" {
		n := len(s) - len(strings.TrimLeft(s, "0123456789."))
		rest := s[n:]
		u := strings.IndexAny(rest, "0123456789.")
		if u < 0 {
			u = len(rest)
		}
		term, err := durationTerm(s[:n], rest[:u])
		if err != nil {
			return 0, err
		}
		if term > maxDuration-sum {
			return 0, errDurationRange
		}
		sum += term
		s = rest[u:]
	}
	return sum, nil
}

func durationTerm(number, unit string) (time.Duration, error) {
	if number == "" || unit == "" {
		return 0, errDurationSyntax
	}
	size := calendarUnit(unit)
	if size == 0 {
		d, err := time.ParseDuration(number + unit)
		if err != nil {
			return 0, errDurationSyntax // also what exceeds 292 years, in hours
		}
		return d, nil
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if errors.Is(err, strconv.ErrRange) || n > uint64(maxDuration/size) {
		return 0, errDurationRange
	}
	if err != nil {
		return 0, errDurationSyntax
	}
	return time.Duration(n) * size, nil
}

// parseSeconds reads a duration of whole seconds.
func parseSeconds(s string) (int64, error) {
	d, err := parseDuration(s)
	if err == nil && d%time.Second != 0 {
		err = fmt.Errorf("duration %q: the clock moves by whole seconds", s)
	}
	return int64(d / time.Second), err
}

// parseRotationPeriod reads a rotation period, in days.
func parseRotationPeriod(s string) (int32, error) {
	d, err := parseDuration(s)
	if err != nil {
		return 0, err
	}
	if d%day != 0 || d < minRotationDays*day || d > maxRotationDays*day {
		return 0, fmt.Errorf("rotation period %q: it must be whole days, from %d to %d", s, minRotationDays, maxRotationDays)
	}
	return int32(d / day), nil
}

// formatDuration writes a duration with days as its largest unit: "91d", "1d2h3s", "0s". parseDuration reads it back.
func formatDuration(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	days, rest := d/day, d%day
	switch {
	case days == 0:
		return sign + trimDuration(rest)
	case rest == 0:
		return fmt.Sprintf("%s%dd", sign, days)
	}
	return fmt.Sprintf("%s%dd%s", sign, days, trimDuration(rest))
}

// trimDuration leaves out the zeros that Duration.String puts after a larger unit: "12h0m0s".
func trimDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
