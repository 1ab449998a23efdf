package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

const (
	timelineKeys = 60  // rows of the timeline
	keyringKeys  = 600 // keys remembered to choose them from
)

// keyring remembers the rotation of a bounded number of keys. Keys with a failure take the place of keys without.
type keyring struct {
	byARN map[string]*ringKey
	good  []string // ARNs without a failure, for eviction
}

type ringKey struct {
	check.Resource
	bad bool
}

func (k *keyring) add(f *check.Finding) {
	r := &f.Resource
	if r.Rotation == nil || r.Type != check.KeyResource {
		return
	}
	if k.byARN == nil {
		k.byARN = map[string]*ringKey{}
	}
	if known := k.byARN[r.ARN]; known != nil {
		known.bad = known.bad || f.Failed()
		return
	}
	if len(k.byARN) >= keyringKeys {
		if !f.Failed() || !k.evict() {
			return
		}
	}
	k.byARN[r.ARN] = &ringKey{Resource: *r, bad: f.Failed()}
	if !f.Failed() {
		k.good = append(k.good, r.ARN)
	}
}

// evict makes room by forgetting a key that has not failed.
func (k *keyring) evict() bool {
	for len(k.good) > 0 {
		arn := k.good[len(k.good)-1]
		k.good = k.good[:len(k.good)-1]
		if !k.byARN[arn].bad {
			delete(k.byARN, arn)
			return true
		}
	}
	return false
}

// timeline is when keys rotated and when they will, laid out in percent of the width.
type timeline struct {
	Ticks []tick
	Now   string
	Lanes []lane
	Shown int
	Keys  int // of the run
}

type (
	tick struct{ X, Label string }
	lane struct {
		Key, ID, Region, State string
		Class                  string // on, off, late or hand
		From, To               string // life of the key so far
		Promised               bool   // a line from now to Next
		Dots                   []tick // past rotations
		Next                   string // "" for none
		Text                   string // all of it in words
	}
)

// timeline returns nil if no key's rotation was read.
func (k *keyring) timeline(now time.Time, keys int) *timeline {
	if len(k.byARN) == 0 {
		return nil
	}
	var chosen []*ringKey
	for _, r := range k.byARN {
		chosen = append(chosen, r)
	}
	slices.SortFunc(chosen, func(a, b *ringKey) int {
		return cmp.Or(order(b.bad, a.bad), order(a.Rotation.Enabled, b.Rotation.Enabled), last(a).Compare(last(b)), cmp.Compare(a.ARN, b.ARN))
	})
	chosen = chosen[:min(len(chosen), timelineKeys)]

	from, to := now.AddDate(-1, 0, 0), now.AddDate(0, 2, 0)
	for _, r := range chosen {
		for _, t := range append([]time.Time{r.Created}, r.Rotation.Dates...) {
			if !t.IsZero() && t.Before(from) {
				from = t
			}
		}
		if n := r.Rotation.Next; n.After(to) {
			to = n
		}
	}
	// Keys older than that begin at the edge: the last years are what is asked about.
	if oldest := now.AddDate(-6, 0, 0); from.Before(oldest) {
		from = oldest
	}
	if latest := now.AddDate(3, 0, 0); to.After(latest) {
		to = latest
	}
	scale := axis{from.AddDate(0, 0, -15), to.AddDate(0, 0, 30)}
	t := &timeline{Now: scale.at(now), Ticks: scale.ticks(), Shown: len(chosen), Keys: max(keys, len(chosen))}
	for _, r := range chosen {
		t.Lanes = append(t.Lanes, scale.lane(r, now))
	}
	return t
}

// order sorts false before true.
func order(a, b bool) int {
	if a == b {
		return 0
	}
	if b {
		return -1
	}
	return 1
}

// last is when a key's material was last new.
func last(r *ringKey) time.Time {
	if n := len(r.Rotation.Dates); n > 0 {
		return r.Rotation.Dates[n-1]
	}
	return r.Created
}

// axis maps times to percent.
type axis struct{ from, to time.Time }

func (a axis) at(t time.Time) string {
	x := float64(t.Sub(a.from)) / float64(a.to.Sub(a.from)) * 100
	return percent(min(100, max(0, x)))
}

func (a axis) holds(t time.Time) bool { return !t.Before(a.from) && !t.After(a.to) }

// ticks are the beginnings of years, or of quarters where the axis is short.
func (a axis) ticks() []tick {
	months, format := 12, "2006"
	if a.to.Sub(a.from) < 3*365*24*time.Hour {
		months, format = 3, "Jan 2006"
	}
	var ticks []tick
	for t := time.Date(a.from.UTC().Year(), 1, 1, 0, 0, 0, 0, time.UTC); !t.After(a.to); t = t.AddDate(0, months, 0) {
		if a.holds(t) {
			ticks = append(ticks, tick{a.at(t), t.Format(format)})
		}
	}
	return ticks
}

func (a axis) lane(r *ringKey, now time.Time) lane {
	l := lane{
		Key: clean(label(&r.Resource)), ID: clean(r.ID), Region: clean(r.Region), Class: "off", State: "off", From: a.at(a.from), To: a.at(now),
	}
	var said []string
	if !r.Created.IsZero() {
		l.From = a.at(r.Created)
		said = append(said, "created "+date(r.Created))
	}
	for _, t := range r.Rotation.Dates {
		if a.holds(t) {
			l.Dots = append(l.Dots, tick{a.at(t), date(t)})
		}
	}
	if n := len(r.Rotation.Dates); n > 0 {
		said = append(said, fmt.Sprintf("rotated %s, last on %s", times(n), date(r.Rotation.Dates[n-1])))
	} else {
		said = append(said, "never rotated")
	}
	if !r.Rotation.Enabled {
		off := "automatic rotation is off"
		if r.Origin != check.OriginKMS || r.Spec != check.SpecSymmetric {
			l.Class, l.State, off = "hand", "by hand", "cannot rotate automatically"
		}
		l.Text = strings.Join(append(said, off), "; ")
		return l
	}
	l.Class, l.State = "on", "on"
	if r.Rotation.Days > 0 {
		l.State = fmt.Sprintf("every %d d", r.Rotation.Days)
		said = append(said, "rotates every "+count(r.Rotation.Days, "day"))
	}
	if next := r.Rotation.Next; !next.IsZero() {
		said = append(said, "next on "+date(next))
		if next.Before(now) {
			l.Class, l.State = "late", "overdue"
		}
		if a.holds(next) {
			l.Next = a.at(next)
		}
		l.Promised = next.After(now) && l.Next != ""
	}
	l.Text = strings.Join(said, "; ")
	return l
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
