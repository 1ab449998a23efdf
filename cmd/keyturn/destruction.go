package main

import (
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/operator"
)

// destructionConfig is the section destruction of the configuration: how long copies of destroyed secrets may be left.
type destructionConfig struct {
	ScrubWithin         string `yaml:"scrub_within"`
	RotateKeyringWithin string `yaml:"rotate_keyring_within"`
}

// resolve reads the durations; zero where there is none.
func (c *destructionConfig) resolve() (d operator.Destruction, err error) {
	for _, f := range []struct {
		name, value string
		to          *time.Duration
		least, most time.Duration
	}{
		{"scrub_within", c.ScrubWithin, &d.ScrubWithin, operator.MinScrubWithin, operator.MaxScrubWithin},
		{"rotate_keyring_within", c.RotateKeyringWithin, &d.RotateKeyringWithin, operator.MinRotateKeyringWithin, operator.DefaultRotateKeyringWithin},
	} {
		if f.value == "" {
			continue
		}
		if *f.to, err = parseDuration(f.value); err == nil && (*f.to < f.least || *f.to > f.most) {
			err = fmt.Errorf("%s is not between %s and %s", f.value, inDays(f.least), inDays(f.most))
		}
		if err != nil {
			return operator.Destruction{}, fmt.Errorf("destruction: %s: %w", f.name, err)
		}
	}
	return d, nil
}

// inDays writes a whole number of days or hours as parseDuration reads it.
func inDays(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}
