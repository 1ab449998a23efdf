package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0":          0,
		"0d":         0,
		"91d":        91 * day,
		"3y":         1095 * day,
		"2w":         14 * day,
		"12h":        12 * time.Hour,
		"30m":        30 * time.Minute,
		"45s":        45 * time.Second,
		"1y6w3d":     (365 + 42 + 3) * day,
		"1d12h30m5s": 36*time.Hour + 30*time.Minute + 5*time.Second,
		"12h1d":      36 * time.Hour,
		"1.5h":       90 * time.Minute,
		"500ms":      500 * time.Millisecond,
		"100y":       maxDuration,
		"36500d":     maxDuration,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"":                            "write it like",
		"91":                          "write it like",
		"d":                           "write it like",
		"1.5d":                        "write it like",
		"+1d":                         "write it like",
		"1 d":                         "write it like",
		"1d ":                         "write it like",
		"1mo":                         "write it like",
		"1..5h":                       "write it like",
		"٣d":                          "write it like",
		"-1d":                         "negative",
		"-0":                          "negative",
		"101y":                        "100 years",
		"100y1s":                      "100 years",
		"36500d1ns":                   "100 years",
		"100y100y100y100y":            "100 years",
		"876001h":                     "100 years",
		"99999999999999999999y":       "100 years",
		"18446744073709551615w":       "100 years",
		strings.Repeat("9", 1000):     "...",
		strings.Repeat("1d", 100_000): "100 years",
	} {
		if got, err := parseDuration(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseDuration(%.40q) = %v, %v, want an error with %q", s, got, err, want)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	if n, err := parseSeconds("1d1s"); n != 86401 || err != nil {
		t.Errorf("1d1s: %d, %v", n, err)
	}
	if n, err := parseSeconds("1500ms"); err == nil {
		t.Errorf("1500ms: %d, want an error", n)
	}
}

func TestParseRotationPeriod(t *testing.T) {
	for s, want := range map[string]int32{"90d": 90, "180d": 180, "26w": 182, "1y": 365, "2560d": 2560, "2160h": 90} {
		if got, err := parseRotationPeriod(s); got != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "89d", "2561d", "90d1s", "8y", "0", "180"} {
		if got, err := parseRotationPeriod(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "91d": 91 * day, "1d2h": 26 * time.Hour, "1d1s": day + time.Second, "12h0m5s": 12*time.Hour + 5*time.Second,
		"30m": 30 * time.Minute, "-2d": -2 * day,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// FuzzParseDuration: what is accepted is in range, and what formatDuration makes of it means the same.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"0", "91d", "1y6w3d", "1.5h", "-1d", "100y", "1h1d1ns", "99999999999999999999y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err != nil {
			return
		}
		if d < 0 || d > maxDuration {
			t.Fatalf("%q: %v is out of range", s, d)
		}
		if again, err := parseDuration(formatDuration(d)); again != d || err != nil {
			t.Fatalf("%q is %v, written %q, which is %v, %v", s, d, formatDuration(d), again, err)
		}
	})
}
