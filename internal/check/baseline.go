package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v4"
)

// Baseline is a file of failures that are known and accepted: each with a reason, and a date from which on they count again.
type Baseline struct {
	Version  int             `yaml:"version"`
	Accepted []BaselineEntry `yaml:"accepted"`

	byID map[string]int // positions in Accepted
}

// BaselineEntry accepts one finding.
type BaselineEntry struct {
	ID      string `yaml:"id"`    // of the finding
	Check   string `yaml:"check"` // for the reader, and checked if there
	Key     string `yaml:"key"`   // ARN, for the reader, and checked if there
	Reason  string `yaml:"reason"`
	Expires string `yaml:"expires"` // YYYY-MM-DD: the last day on which it holds, in UTC

	until time.Time // when it has ended
}

const (
	maxBaseline     = 256 << 20 // bytes: a million entries
	baselineVersion = 1
)

// ReadBaseline reads a baseline file. Unknown members, and entries without reason or expiry, are errors.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBaseline+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxBaseline {
		return nil, fmt.Errorf("the baseline is larger than %d MiB", maxBaseline>>20)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var b Baseline
	if err := d.Decode(&b); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the baseline is empty")
		}
		return nil, err
	}
	if b.Version != baselineVersion {
		return nil, fmt.Errorf("the baseline's version is %d; this keyturn reads version %d", b.Version, baselineVersion)
	}
	b.byID = make(map[string]int, len(b.Accepted))
	for i := range b.Accepted {
		e := &b.Accepted[i]
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if _, dup := b.byID[e.ID]; dup {
			return nil, fmt.Errorf("entry %d: finding %s is there twice", i+1, e.ID)
		}
		b.byID[e.ID] = i
	}
	return &b, nil
}

func (e *BaselineEntry) check() error {
	switch {
	case e.ID == "":
		return errors.New("id is missing: the ID of a finding")
	case e.Reason == "":
		return errors.New("reason is missing: why this is accepted")
	case e.Expires == "":
		return errors.New("expires is missing: the last day on which this is accepted, as 2006-01-02")
	case e.Check != "" && ByID(e.Check) == nil:
		return fmt.Errorf("there is no check %q", e.Check)
	}
	last, err := time.Parse(time.DateOnly, e.Expires)
	if err != nil {
		return fmt.Errorf("expires %q is no date like 2006-01-02", e.Expires)
	}
	e.until = last.AddDate(0, 0, 1)
	return nil
}

// Accepts returns the baseline's word on a finding at its LastSeen, nil if there is none or it no longer holds.
func (b *Baseline) Accepts(f *Finding) *Acceptance {
	i, ok := b.byID[f.ID]
	if !ok {
		return nil
	}
	e := &b.Accepted[i]
	if !f.LastSeen.Before(e.until) || e.Check != "" && e.Check != f.Check || e.Key != "" && e.Key != f.Resource.ARN {
		return nil
	}
	return &Acceptance{Reason: e.Reason, Expires: e.until}
}

// Expired returns the IDs whose acceptance has ended.
func (b *Baseline) Expired(now time.Time) []string {
	var ids []string
	for _, e := range b.Accepted {
		if !now.Before(e.until) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// Accept adds a failure, or takes the place of its entry.
func (b *Baseline) Accept(f *Finding, reason, expires string) error {
	e := BaselineEntry{ID: f.ID, Check: f.Check, Key: f.Resource.ARN, Reason: reason, Expires: expires}
	if err := e.check(); err != nil {
		return err
	}
	b.Version = baselineVersion
	if b.byID == nil {
		b.byID = map[string]int{}
	}
	if i, ok := b.byID[e.ID]; ok {
		b.Accepted[i] = e
		return nil
	}
	b.byID[e.ID] = len(b.Accepted)
	b.Accepted = append(b.Accepted, e)
	return nil
}

// WriteTo writes the file that ReadBaseline reads.
func (b *Baseline) WriteTo(w io.Writer) (int64, error) {
	data, err := yaml.Marshal(b)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(data)
	return int64(n), err
}
