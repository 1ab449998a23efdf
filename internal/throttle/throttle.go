// Package throttle counts calls toward request quotas: so many calls of a class a second for each account and Region, as AWS KMS has
// them. Time comes from outside, nothing runs in the background, and what is remembered is bounded whatever names come along.
package throttle

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Scope is whose calls are counted together. Every Scope has a bucket of its own for each class.
type Scope struct {
	Account  string
	Region   string
	KeyStore string // the ID of a custom key store, for what is counted of all its users together; else ""
}

// Charge is what one call takes: N tokens of a class.
type Charge struct {
	Scope Scope
	Class Class
	N     int
}

// Charges are all that one call takes: a value, so that none of it needs memory of its own.
type Charges struct {
	list [maxCharges]Charge
	n    int
}

// maxCharges is what a call takes at most: ReEncrypt from one kind of key to another, each in a key store of its own.
const maxCharges = 4

// Add adds a charge, unless the same bucket is charged already. More than four are a programming error, and panic.
func (c *Charges) Add(charge Charge) {
	for i := range c.list[:c.n] {
		if c.list[i].Class == charge.Class && c.list[i].Scope == charge.Scope {
			return
		}
	}
	c.list[c.n] = charge
	c.n++
}

// List returns the charges.
func (c *Charges) List() []Charge { return c.list[:c.n] }

// Config is what a Limiter is made of.
type Config struct {
	// Factor multiplies every quota that Rates does not name; 0 for 1.
	Factor float64
	// Rates are calls a second in place of a quota's default, in every Region.
	Rates map[Class]float64
	// Now is the time since any fixed moment. It never goes back.
	Now func() time.Duration
}

// Bounds of a quota, in calls a second. They keep all arithmetic far from what 64 bits of nanoseconds hold.
const (
	MinRate = 0.001
	MaxRate = 1_000_000
)

// limits are one Region's quotas.
type limits [classes]limit

// limit is a quota as its bucket needs it, in nanoseconds.
type limit struct {
	interval int64 // what one token takes to come back
	window   int64 // what all tokens of a full bucket take, those of one second and at least one
}

// New returns a Limiter. The error says what in the Config is out of bounds.
func New(c Config) (*Limiter, error) {
	if c.Factor == 0 {
		c.Factor = 1
	}
	if !(c.Factor > 0) || math.IsInf(c.Factor, 0) {
		return nil, errors.New("the factor must be more than 0")
	}
	for _, class := range slices.Sorted(maps.Keys(c.Rates)) {
		if class == 0 || class >= classes {
			return nil, fmt.Errorf("there is no class %d", class)
		}
		if r := c.Rates[class]; !(r >= MinRate && r <= MaxRate) {
			return nil, fmt.Errorf("%v: %v requests a second is not between %v and %v", class, r, MinRate, MaxRate)
		}
	}
	l := &Limiter{now: c.Now, regions: make(map[string]*limits)}
	l.elsewhere = c.limits("")
	for i := range quotas {
		for region := range quotas[i].regional {
			if l.regions[region] == nil {
				l.regions[region] = c.limits(region)
			}
		}
	}
	l.init()
	return l, nil
}

// limits works out what holds in a Region.
func (c *Config) limits(region string) *limits {
	var ls limits
	for class := Class(1); class < classes; class++ {
		q := &quotas[class]
		rate := q.rate
		if r, ok := q.regional[region]; ok {
			rate = r
		}
		rate *= c.Factor
		if r, ok := c.Rates[class]; ok {
			rate = r
		}
		rate = min(max(rate, MinRate), MaxRate)
		interval := int64(float64(time.Second) / rate)
		ls[class] = limit{interval: interval, window: interval * max(int64(rate), 1)}
	}
	return &ls
}
