// Package doctor judges an installation of keyturn server: files, disks, clock, limits, configuration, and the server as a client sees it.
// A check is data and a pure function of facts; package probe gathers the facts. Nothing here reads or changes anything.
package doctor

import "fmt"

// Severity is what a check comes to.
type Severity uint8

const (
	OK   Severity = iota
	Skip          // it could not be judged, or is not asked
	Warn          // it works, and should be mended
	Fail          // the server does not start, or does not keep what it promises
)

// String names the severity as output has it.
func (s Severity) String() string { return [...]string{"OK", "SKIP", "WARN", "FAIL"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is what a check says: of the whole, or of one file or disk. Never a secret.
type Finding struct {
	Severity Severity `json:"severity"`
	Why      string   `json:"why"`
	Fix      string   `json:"fix,omitempty"` // what to do; "" where there is nothing
}

// Result is a finding with the check that made it.
type Result struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Finding
}

// Check is one check.
type Check struct {
	ID    string // never changes
	Title string
	// Needs is what must have been asked for: without it the check does not run.
	Needs Subject
	// Eval judges the facts. Nothing found is a programming error.
	Eval func(*Facts) []Finding
}

// Subject is a part of the facts.
type Subject uint8

const (
	Machine  Subject = iota // always there
	Config                  // a configuration was named
	Loaded                  // and could be loaded
	Endpoint                // an endpoint was named
)

// Checks returns all checks, in the order of their results.
func Checks() []Check {
	var all []Check
	for _, group := range [][]Check{configChecks, fileChecks, tlsChecks, diskChecks, storeChecks, clockChecks, limitChecks, kernelChecks, endpointChecks} {
		all = append(all, group...)
	}
	return all
}

// Run runs all checks that the facts are there for.
func Run(f *Facts) []Result {
	var out []Result
	for _, c := range Checks() {
		if !f.has(c.Needs) {
			continue
		}
		for _, finding := range c.Eval(f) {
			out = append(out, Result{ID: c.ID, Title: c.Title, Finding: finding})
		}
	}
	return out
}

func (f *Facts) has(s Subject) bool {
	switch s {
	case Config:
		return f.Config != nil
	case Loaded:
		return f.Config != nil && f.Config.Loaded
	case Endpoint:
		return f.Endpoint != nil
	}
	return true
}

// Worst returns the highest severity of some results.
func Worst(results []Result) Severity {
	worst := OK
	for _, r := range results {
		worst = max(worst, r.Severity)
	}
	return worst
}

func one(s Severity, why, fix string) []Finding { return []Finding{{s, why, fix}} }

func ok(format string, args ...any) []Finding   { return one(OK, fmt.Sprintf(format, args...), "") }
func skip(format string, args ...any) []Finding { return one(Skip, fmt.Sprintf(format, args...), "") }

// or returns findings, or that all is well.
func or(findings []Finding, format string, args ...any) []Finding {
	if len(findings) > 0 {
		return findings
	}
	return ok(format, args...)
}
