// Package check judges the keys of an account on any AWS KMS endpoint: which of them do not rotate, which are open to the wrong people,
// which nobody needs. It reads through a Source, decides by pure functions of what it read, and mends what it is asked to mend.
package check

import (
	"fmt"
	"slices"
)

// Status is the verdict of one check on one resource.
type Status string

const (
	Pass          Status = "PASS"
	Fail          Status = "FAIL"
	NotApplicable Status = "NOT_APPLICABLE" // the check asks for what this resource cannot have
	Manual        Status = "MANUAL"         // a person has to look: what was read does not decide it
	Error         Status = "ERROR"          // what decides it could not be read; never a pass
)

// Statuses lists all statuses, the worst first.
func Statuses() []Status { return []Status{Error, Fail, Manual, Pass, NotApplicable} }

// Severity is how bad a failed check is. The zero value is none.
type Severity int

const (
	Informational Severity = iota + 1
	Low
	Medium
	High
	Critical
)

var severityNames = []string{"", "informational", "low", "medium", "high", "critical"}

// String returns the severity in lower case.
func (s Severity) String() string { return severityNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*s = 0
		return nil
	}
	*s, err = ParseSeverity(string(b))
	return err
}

// ParseSeverity reads what String writes.
func ParseSeverity(s string) (Severity, error) {
	if i := slices.Index(severityNames[1:], s); i >= 0 {
		return Severity(i + 1), nil
	}
	return 0, fmt.Errorf("%q is none of informational, low, medium, high and critical", s)
}

// Check is one question asked of every resource it applies to. It is data but for its Eval.
type Check struct {
	ID       string // kebab-case; part of every finding's stable ID, so it never changes
	Title    string // the state that passes, as one sentence without a full stop
	Severity Severity
	Why      string // why it matters, for a person who has to decide
	Fix      Remediation
	Controls []Control

	Scope Scope
	// Needs lists what Eval reads beyond the key's metadata. If any of it cannot be read, the verdict is ERROR.
	Needs []Call
	// Applies tells, from the key's metadata alone, whether there is anything to judge; if not, reason says why, and nothing of
	// Needs is read for this check. Nil: to every key.
	Applies func(*Key, *Settings) (ok bool, reason string)
	// Eval judges one key.
	Eval func(*Facts, *Settings) Verdict
}

// Scope says what a check is asked of.
type Scope int

const (
	CustomerKeys Scope = iota // keys the customer manages; AWS managed keys give no finding
	AllKeys                   // AWS managed keys too
)

// Remediation says how to mend a failure, for each way keys are managed. Texts may name <key-id>, <region> and <alias>.
type Remediation struct {
	Text           string // one or two sentences
	Console        string // steps in the AWS console
	CLI            string // a command line
	CloudFormation string // YAML
	Terraform      string // HCL
	URL            string // the documentation that says so
}

// Control is a requirement of a published framework that a check answers.
type Control struct {
	Framework string // "CIS AWS Foundations Benchmark"
	Version   string // "7.0.0"; "" where there are none
	ID        string // "4.6"
}

// Frameworks, as Controls name them.
const (
	CIS         = "CIS AWS Foundations Benchmark"
	NIST80053   = "NIST SP 800-53"
	NIST80057   = "NIST SP 800-57 Part 1"
	PCIDSS      = "PCI DSS"
	HIPAA       = "HIPAA Security Rule"
	SOC2        = "SOC 2"
	ISO27001    = "ISO/IEC 27001"
	SecurityHub = "AWS Security Hub"
	Prowler     = "Prowler"
)

// Verdict is what Eval decides.
type Verdict struct {
	Status Status
	Detail string   // what was found and on what it rests, one or two sentences
	Notes  []string // further evidence, one sentence each
	Price  *Price   // only from the check of cost
}

func verdict(s Status, format string, args ...any) Verdict {
	return Verdict{Status: s, Detail: fmt.Sprintf(format, args...)}
}

func pass(format string, args ...any) Verdict   { return verdict(Pass, format, args...) }
func fail(format string, args ...any) Verdict   { return verdict(Fail, format, args...) }
func manual(format string, args ...any) Verdict { return verdict(Manual, format, args...) }
func notApplicable(format string, args ...any) Verdict {
	return verdict(NotApplicable, format, args...)
}

// and adds evidence.
func (v Verdict) and(format string, args ...any) Verdict {
	v.Notes = append(v.Notes[:len(v.Notes):len(v.Notes)], fmt.Sprintf(format, args...))
	return v
}

// All returns every check, in the order in which reports list them.
func All() []*Check {
	return slices.Concat(rotationChecks, lifecycleChecks, accessChecks, enclaveChecks, iamChecks, costChecks)
}

// ByID returns the check with an ID, nil if there is none.
func ByID(id string) *Check {
	for _, c := range All() {
		if c.ID == id {
			return c
		}
	}
	return nil
}
