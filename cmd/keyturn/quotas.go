package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keyturn/keyturn/internal/throttle"
)

// quotasConfig is the section quotas of the configuration: how often each account may call in each region. Without it the quotas are
// AWS's.
type quotasConfig struct {
	Off               bool               `yaml:"off"`
	Factor            *float64           `yaml:"factor"`              // of every quota that is not named below
	RequestsPerSecond map[string]float64 `yaml:"requests_per_second"` // by the quota's name
}

// limiter returns what counts calls, nil if nothing does.
func (c *quotasConfig) limiter() (*throttle.Limiter, error) {
	start := time.Now()
	// Real time, by the clock that does not jump: quotas are about load, not about what the service's time makes due.
	t := throttle.Config{Now: func() time.Duration { return time.Since(start) }}
	if c == nil {
		return throttle.New(t)
	}
	if c.Off {
		if c.Factor != nil || len(c.RequestsPerSecond) > 0 {
			return nil, errors.New("quotas: off goes with nothing else")
		}
		return nil, nil
	}
	if c.Factor != nil {
		if !(*c.Factor > 0) { // 0 would be the default of throttle.Config, and NaN is nothing
			return nil, errors.New("quotas: factor must be more than 0; off: true turns quotas off")
		}
		t.Factor = *c.Factor
	}
	t.Rates = make(map[throttle.Class]float64, len(c.RequestsPerSecond))
	for _, name := range slices.Sorted(maps.Keys(c.RequestsPerSecond)) {
		class, ok := throttle.ClassByName(name)
		if !ok {
			return nil, fmt.Errorf("quotas: requests_per_second: there is no quota %q; docs/server.md says which there are", name)
		}
		t.Rates[class] = c.RequestsPerSecond[name]
	}
	l, err := throttle.New(t)
	if err != nil {
		return nil, fmt.Errorf("quotas: %w", err)
	}
	return l, nil
}
