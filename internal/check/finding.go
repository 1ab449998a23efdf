package check

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Finding is the verdict of one check on one resource. ID stays the same from run to run.
type Finding struct {
	ID       string   `json:"id"` // 32 hex characters, from check, account, region and resource
	Check    string   `json:"check"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Status   Status   `json:"status"`
	Detail   string   `json:"detail"`
	Notes    []string `json:"notes,omitempty"`
	Resource Resource `json:"resource"`
	// Error is the code of what could not be read; only with status ERROR.
	Error string `json:"error,omitempty"`
	Price *Price `json:"price,omitempty"`
	// Accepted is set for a failure that the baseline accepts; it does not count as one then.
	Accepted *Acceptance `json:"accepted,omitempty"`
	// FirstSeen and LastSeen are when the resource first and last had this status; LastSeen is the time of the run. FirstSeen is zero
	// where nothing is remembered from run to run.
	FirstSeen time.Time `json:"firstSeen,omitzero"`
	LastSeen  time.Time `json:"lastSeen"`
}

// Resource is the key that a finding is about.
type Resource struct {
	Type     string    `json:"type"` // KeyResource
	ARN      string    `json:"arn"`
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	Region   string    `json:"region"`
	Aliases  []string  `json:"aliases,omitempty"`
	Spec     string    `json:"keySpec,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	State    string    `json:"keyState,omitempty"`
	Manager  string    `json:"keyManager,omitempty"`
	Created  time.Time `json:"creationDate,omitzero"`
	Primary  string    `json:"primaryKeyArn,omitempty"` // of multi-Region keys
	Rotation *Turn     `json:"rotation,omitempty"`      // where it was read
}

// Turn is what a report shows of a key's rotation.
type Turn struct {
	Enabled bool        `json:"enabled"`
	Days    int         `json:"periodInDays,omitempty"`
	Next    time.Time   `json:"nextRotationDate,omitzero"`
	Dates   []time.Time `json:"rotationDates,omitempty"` // of past rotations, oldest first, the newest 50
}

// KeyResource is the Type of keys, as Security Hub names them.
const KeyResource = "AwsKmsKey"

// FindingID returns the stable ID of a check's finding on a resource.
func FindingID(check, account, region, resourceARN string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"keyturn-finding-1", check, account, region, resourceARN}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// Failed tells whether the finding counts as a failure: it failed, and nobody accepted it.
func (f *Finding) Failed() bool { return f.Status == Fail && f.Accepted == nil }

// Acceptance is a baseline's word that a failure is known.
type Acceptance struct {
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires"`
}

// Price is what AWS charges for a key each month, in US cents.
type Price struct {
	MonthlyCents int `json:"monthlyCents"`
	// RotationAddsCents is what enabling rotation adds, once it has happened as often as is charged for; 0 where it is on.
	RotationAddsCents int    `json:"rotationAddsCents"`
	Date              string `json:"priceDate"` // of the price table, YYYY-MM-DD
}

// Run is what a report says of the run as a whole before the first finding.
type Run struct {
	Tool      string    `json:"tool"` // keyturn
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Endpoint  string    `json:"endpoint"` // "" for the endpoints of AWS
	Account   string    `json:"account"`
	Partition string    `json:"partition"` // aws
	Regions   []string  `json:"regions"`
	Caller    string    `json:"caller,omitempty"` // ARN of who asked
	Checks    []string  `json:"checks"`           // IDs of the checks that ran
	FailOn    Severity  `json:"failOn"`
}

// Summary is what a report says after the last finding.
type Summary struct {
	Finished time.Time      `json:"finished"`
	Keys     int            `json:"keys"`           // listed
	Gone     int            `json:"gone,omitempty"` // of those, that were not there any more when they were to be read
	Counts   map[Status]int `json:"counts"`
	Accepted int            `json:"accepted"` // failures that the baseline accepts, also in Counts
	Checks   []CheckCount   `json:"checks"`   // in the order of All; only those that ran
	Prices   PriceSummary   `json:"price"`
	Errors   []RunError     `json:"errors"`                    // what could not be read at all: a region, a list
	Changes  []Change       `json:"changes"`                   // what --fix did and did not do
	Expired  []string       `json:"expiredBaseline,omitempty"` // IDs of acceptances that no longer hold
}

// CheckCount counts the findings of one check.
type CheckCount struct {
	Check    string         `json:"check"`
	Severity Severity       `json:"severity"`
	Counts   map[Status]int `json:"counts"`
	Accepted int            `json:"accepted"`
}

// PriceSummary adds up what AWS charges, in US cents a month.
type PriceSummary struct {
	MonthlyCents      int    `json:"monthlyCents"`
	RotationAddsCents int    `json:"rotationAddsCents"` // enabling rotation wherever it is off and possible
	Date              string `json:"priceDate"`
}

// RunError is something that could not be read and belongs to no key.
type RunError struct {
	Region string `json:"region"`
	Call   string `json:"call"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Change is one change that was planned, and what became of it.
type Change struct {
	KeyARN  string   `json:"keyArn"`
	Region  string   `json:"region"`
	Finding string   `json:"finding"` // ID
	Call    string   `json:"call"`    // EnableKeyRotation
	Days    int      `json:"rotationPeriodInDays"`
	Before  string   `json:"before"`  // the state before, in words
	Command []string `json:"command"` // the AWS CLI command that does the same, as arguments
	Undo    []string `json:"undo"`    // and the one that undoes it
	Done    bool     `json:"done"`
	Error   string   `json:"error,omitempty"` // why it was not done; "not tried" if the run ended before
}
