// Package verify reads a store and its audit log from end to end and says what is wrong: values that do not open, indexes and counters that
// do not follow from the records, keys without their material, records that are not what the log's last change of them left. It reads one
// snapshot, changes nothing, and takes the same memory however much there is. docs/verification.md has what it sees and what it cannot.
package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/store"
)

// Snapshot is a store at one moment; a *seal.Snapshot is one, and so is what Raw makes.
type Snapshot interface {
	Rev() store.Rev
	// GetSealed and ScanSealed read values as they stand in the store; without those that are the seal's own.
	GetSealed(ctx context.Context, keys ...string) ([]store.Entry, error)
	ScanSealed(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error)
	// Open opens a value.
	Open(e store.Entry) ([]byte, error)
	// FaultyReserved returns which of the seal's own entries are not as they should be.
	FaultyReserved(ctx context.Context) ([]string, error)
}

// Config is what Run works on.
type Config struct {
	Snapshot Snapshot
	// Sealed: there is no seal to open values with, so only what needs none is looked at.
	Sealed bool
	// Log is the audit log. Nil: there is none to compare with.
	Log Log
	// Certain: the changes of all lines with smaller numbers are in the snapshot. Those of later ones may be, or have come after it. 0: all
	// lines are certain, since nothing was written meanwhile.
	Certain uint64
	// Scratch is the directory for scratch files, "" for the system's own. They take about 100 bytes for each record and each line of the log.
	Scratch string
	// Room tells how many bytes more scratch files may take; where it is none, nothing is begun. Nil: as many as the disk has.
	Room func() (int64, error)
	// Most is how many findings are listed; all are counted. 0: 1,000.
	Most int
	// StoreBytes and LogBytes are about how much there is to read, for Progress.
	StoreBytes, LogBytes int64
	// Progress is told how far it is, often. Nil: nobody is.
	Progress func(Progress)
	// Rest is called after each read with the time that it took, and waits, so that a server has the disk for itself meanwhile. Nil: no
	// rest.
	Rest func(ctx context.Context, took time.Duration) error

	closely int64 // detailNames, but for tests
}

// ErrSpace: Config.Room says that scratch files may take no more.
var ErrSpace = errors.New("verify: not enough free space for scratch files")

// Phase is what Run is at.
type Phase string

// The phases, in their order. PhaseNames comes only where something is wrong.
const (
	PhaseStore   Phase = "store"
	PhaseLog     Phase = "audit log"
	PhaseCompare Phase = "comparing"
	PhaseNames   Phase = "naming"
)

// Progress is how far Run is, in bytes of about so many.
type Progress struct {
	Phase       Phase
	Done, Total int64
}

// Report is what Run has found.
type Report struct {
	Findings []Finding      `json:"findings"`           // the first ones, sorted by severity, kind and where
	Counts   map[Kind]int64 `json:"counts"`             // of all findings
	Sealed   bool           `json:"sealed"`             // without a seal: see Config
	Unopened bool           `json:"unopened,omitempty"` // the store is gone, or so damaged that nothing was looked at
	Revision store.Rev      `json:"revision"`           // of the store
	Entries  int64          `json:"entries"`            // of the store
	Records  int64          `json:"records"`
	Keys     int64          `json:"keys"`
	// Indexes tells whether indexes and counters were compared: where records cannot be read, what should stand there is not known.
	Indexes bool     `json:"indexesCompared"`
	History *History `json:"history,omitempty"` // nil: without an audit log
	// Mends are what would put indexes and counters right, as far as they were found out.
	Mends []Mend `json:"-"`
}

// History is how the store compares with the audit log.
type History struct {
	First    uint64   `json:"firstLine"`
	Last     uint64   `json:"lastLine"`
	Lines    uint64   `json:"lines"`
	Bytes    int64    `json:"bytes"`
	Segments int      `json:"segments"`
	Nodes    []string `json:"nodes"`
	Torn     bool     `json:"tornLastLine"`       // as a crash leaves it; the next start cuts it off
	Restored []string `json:"restored,omitempty"` // when the store was restored from a backup, as events say
	// Vouched are the records that are as the log's last change left them. Unvouched ones were made by changes whose lines do not list what
	// they wrote: keyturn did not do that then. Uncovered ones were made before the log begins.
	Vouched   int64 `json:"vouched"`
	Unvouched int64 `json:"unvouched"`
	Uncovered int64 `json:"uncovered"`
}

// Refused is the report of a store that is gone, or so damaged that it cannot be opened, as kind says: err says why.
func Refused(kind Kind, err error) *Report {
	r := &Report{Unopened: true, Counts: map[Kind]int64{}}
	r.Add(kind, "", err.Error())
	return r
}

// Add puts one more finding in front.
func (r *Report) Add(kind Kind, where, detail string) {
	r.Counts[kind]++
	r.Findings = append([]Finding{newFinding(kind, where, strings.ToValidUTF8(detail, "?"))}, r.Findings...)
}

// Total is how many findings there are.
func (r *Report) Total() (n int64) {
	for _, c := range r.Counts {
		n += c
	}
	return n
}

// Mend is one index entry or counter put right.
type Mend struct {
	Key     string
	Value   []byte
	Delete  bool
	Counter bool
}

const defaultMost = 1000

type verifier struct {
	Config
	report  *Report
	hash    *hasher
	indexes sketch
	// unreadable: a record could not be read, so indexes and counters of it are not known.
	unreadable bool
	// pages: pages could not be read, so what is not there is not known either.
	pages      bool
	asked      []question
	askedKeys  int
	regions    map[string][]string // account to the regions that it has keys or tombstones in
	outbox     map[[16]byte]*pending
	mentions   *sorter
	events     *sorter
	suspects   map[[16]byte][]suspect
	kept       int          // suspects
	restorer   *restoration // the last one that the log tells of
	durable    uint64       // the number of a line that the log has had on the disk, as the store says
	restoredBy [16]byte     // the event that the store says it was restored by, zero for none
	read       int64        // bytes
	phase      Phase
}

// Run verifies. An error means that it could not: what is wrong with the store is in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	if c.Most <= 0 {
		c.Most = defaultMost
	}
	if c.closely == 0 {
		c.closely = detailNames
	}
	if c.Certain == 0 {
		c.Certain = math.MaxUint64
	}
	if err := roomFor(c.Room, 1); err != nil {
		return nil, err
	}
	v := &verifier{
		Config: c, hash: newHasher(), regions: make(map[string][]string), outbox: make(map[[16]byte]*pending),
		mentions: newSorter(c.Scratch, c.Room), events: newSorter(c.Scratch, c.Room), suspects: make(map[[16]byte][]suspect),
		report: &Report{Counts: make(map[Kind]int64), Sealed: c.Sealed, Revision: c.Snapshot.Rev(), Findings: []Finding{}},
	}
	v.indexes.hash = v.hash
	defer v.mentions.close()
	defer v.events.close()
	for _, step := range []func(context.Context) error{v.readOutbox, v.readStore, v.readLog, v.compareHistory, v.details} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int {
		if d := severities[a.Severity] - severities[b.Severity]; d != 0 {
			return d
		}
		if d := strings.Compare(string(a.Kind), string(b.Kind)); d != 0 {
			return d
		}
		return strings.Compare(a.Where, b.Where)
	})
	return v.report, nil
}

var severities = map[Severity]int{Critical: 0, High: 1, Low: 2}

// maxWhere bounds what a finding repeats of what stands in store or log.
const maxWhere = 1100

func (v *verifier) find(kind Kind, where, format string, args ...any) {
	v.report.Counts[kind]++
	if len(v.report.Findings) < v.Most {
		v.report.Findings = append(v.report.Findings, newFinding(kind, strings.ToValidUTF8(where[:min(len(where), maxWhere)], "?"), fmt.Sprintf(format, args...)))
	}
}

func (v *verifier) enter(p Phase) {
	v.phase, v.read = p, 0
	v.progress(0)
}

func (v *verifier) progress(bytes int64) {
	v.read += bytes
	if v.Progress == nil {
		return
	}
	p := Progress{Phase: v.phase, Done: v.read}
	switch v.phase {
	case PhaseStore, PhaseNames:
		p.Total = max(v.StoreBytes, v.read)
	case PhaseLog:
		p.Total = max(v.LogBytes, v.read)
	}
	v.Progress(p)
}

// rest lets others have the disk, after a read that began at start.
func (v *verifier) rest(ctx context.Context, start time.Time) error {
	if v.Rest == nil {
		return ctx.Err()
	}
	return v.Rest(ctx, time.Since(start))
}

// Raw is a snapshot of an engine without a seal, for Config.Sealed.
func Raw(s store.Snapshot) Snapshot { return raw{s} }

type raw struct{ store.Snapshot }

const reservedPrefix = "sys/"

func (r raw) GetSealed(ctx context.Context, keys ...string) ([]store.Entry, error) {
	return r.Get(ctx, keys...)
}

func (r raw) ScanSealed(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if strings.HasPrefix(after, reservedPrefix) && !strings.HasPrefix(after, reservedPrefix+"\xff") {
		after = reservedPrefix + "\xff"
	}
	entries, err := r.Scan(ctx, prefix, after, limit)
	for err == nil && len(entries) > 0 {
		last := entries[len(entries)-1].Key
		kept := slices.DeleteFunc(entries, func(e store.Entry) bool { return strings.HasPrefix(e.Key, reservedPrefix) })
		if len(kept) > 0 {
			return kept, nil
		}
		entries, err = r.Scan(ctx, prefix, last, limit)
	}
	return entries, err
}

func (r raw) Open(store.Entry) ([]byte, error) { return nil, errSealed }

func (r raw) FaultyReserved(context.Context) ([]string, error) { return nil, nil }

var errSealed = fmt.Errorf("verify: there is no seal")

// Log is an audit log.
type Log interface {
	// Lines yields all lines, and what is wrong with them.
	Lines(ctx context.Context, line func(audit.Line) error, flaw func(audit.Flaw) error) (audit.Survey, error)
}

// LogDir is the log in a directory, up to line To; 0 for all.
type LogDir struct {
	Dir string
	To  uint64
}

// Lines implements Log.
func (l LogDir) Lines(ctx context.Context, line func(audit.Line) error, flaw func(audit.Flaw) error) (audit.Survey, error) {
	to := l.To
	if to == 0 {
		to = math.MaxUint64
	}
	return audit.Inspect(ctx, l.Dir, to, line, flaw)
}

// LogSink is the log behind a sink that has no directory.
type LogSink struct{ Sink audit.Sink }

// Lines implements Log.
func (l LogSink) Lines(ctx context.Context, line func(audit.Line) error, _ func(audit.Flaw) error) (s audit.Survey, err error) {
	for one, err := range l.Sink.Since(1) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = line(one)
		}
		if err != nil {
			return s, err
		}
		if s.Lines == 0 {
			s.First, s.Nodes = one.Seq, []string{one.Node}
		}
		s.Lines++
		s.Last = one.Seq
		s.Bytes += int64(len(one.JSON)) + 1
	}
	return s, nil
}
