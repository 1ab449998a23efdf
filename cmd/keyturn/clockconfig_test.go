package main

import (
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
)

func TestClockConfig(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		yaml string
		want clock.Limits
		err  string
	}{
		{"max_downtime: 60d\nmax_step: 2h", clock.Limits{Gap: 60 * day, Step: 2 * time.Hour}, ""},
		{"accepted: 2026-11-28", clock.Limits{Accepted: noon}, ""},
		{"accepted: 2026-11-28T13:00:00+01:00", clock.Limits{Accepted: noon}, ""},
		{`accepted: "2026-11-28"`, clock.Limits{Accepted: noon}, ""},
		{"max_downtime: 9m", clock.Limits{}, "max_downtime: it must be at least 10m"},
		{"max_step: 0", clock.Limits{}, "max_step: it must be at least 10m"},
		{"max_step: -1d", clock.Limits{}, "cannot be negative"},
		{"accepted: yesterday", clock.Limits{}, "a date is written like"},
		{"max_gap: 1d", clock.Limits{}, "max_gap"},
	}
	for _, tt := range tests {
		var c clockConfig
		err := decodeYAML([]byte(tt.yaml), &c)
		var got clock.Limits
		if err == nil {
			got, err = c.limits()
		}
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.yaml, err, tt.err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.yaml, got, err, tt.want)
		}
	}
	if got, err := (*clockConfig)(nil).limits(); err != nil || got != (clock.Limits{}) {
		t.Errorf("without the section: %+v, %v", got, err)
	}
}
