// Package iam has the operations of the AWS IAM API that keyturn speaks, one file for each kind of thing they manage. All of it runs in the
// pipeline of package service; package identity knows what the principals that it makes may do.
//
// It follows the AWS Identity and Access Management API Reference; quotas are those of "IAM and AWS STS quotas" in the IAM User Guide.
package iam

import (
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Config is what the operations need to know of the server they run in.
type Config struct {
	Directory *identity.Directory
	// MFA verifies codes of MFA devices.
	MFA *identity.MFA
	// RealTime is what codes of MFA devices are dated by; the service's own time may be elsewhere. Nil: time.Now.
	RealTime func() time.Time
}

// Quotas, as AWS has them by default.
const (
	usersPerAccount      = 5000
	groupsPerAccount     = 300
	policiesPerAccount   = 1500
	groupsPerUser        = 10
	keysPerUser          = 2
	tagsPerThing         = 50
	inlineBytesPerUser   = 2048 // characters of all inline policies together, white space not counted
	inlineBytesPerGroup  = 5120
	managedPerPrincipal  = 10
	versionsPerPolicy    = 5
	managedPolicyBytes   = 6144 // likewise, of one document
	defaultMaxItems      = 100
	policyDocumentSource = 128 << 10 // characters that a document may have with its white space
)

// IAM is the service. Everything is in the store.
type IAM struct {
	config Config
}

// New returns the service.
func New(c Config) *IAM {
	if c.RealTime == nil {
		c.RealTime = time.Now
	}
	return &IAM{config: c}
}

// Operations returns every operation of the IAM model, those that are not built included.
func (s *IAM) Operations() []*service.Op {
	ops := slices.Concat(
		s.userOperations(), s.accessKeyOperations(), s.groupOperations(), s.principalPolicyOperations(), s.roleOperations(), s.policyOperations(),
		s.mfaOperations(), s.oidcOperations(), s.simulateOperations(), s.accountOperations(),
		[]*service.Op{s.getAccountSummary()},
	)
	built := make(map[string]bool, len(ops))
	for _, op := range ops {
		built[op.Name] = true
	}
	for _, m := range api.IAMOperations() {
		if !built[m.Name] {
			ops = append(ops, service.Unbuilt(m))
		}
	}
	return ops
}

func partition(tx *service.Tx) string { return record.Partition(tx.Call.Region) }

func account(tx *service.Tx) string { return tx.Call.Caller.Account }

// moved returns an ARN that is stored in the partition "aws" as it is in that of the call.
func moved(tx *service.Tx, arn string) string {
	if p := partition(tx); p != "aws" {
		if rest, ok := strings.CutPrefix(arn, "arn:aws:"); ok {
			return "arn:" + p + ":" + rest
		}
	}
	return arn
}

// arnOf is the Amazon Resource Name of what may not be there: then with the path that nearly everything has.
func arnOf(tx *service.Tx, kind, path, name string) string {
	if path == "" {
		path = "/"
	}
	return identity.ARN(partition(tx), account(tx), kind, path, name)
}

func noSuch(what, name string) *api.Error {
	return api.Errorf(api.NoSuchEntity, "The %s with name %s cannot be found.", what, name)
}

func exists(what, name string) *api.Error {
	return api.Errorf(api.EntityAlreadyExists, "%s with name %s already exists.", what, name)
}

func tooMany(quota string, n int) *api.Error {
	return api.Errorf(api.LimitExceeded, "Cannot exceed quota for %s: %d", quota, n)
}

func invalid(format string, args ...any) *api.Error {
	return api.Errorf(api.ValidationException, format, args...)
}

// lookup returns the record at a store key, nil if there is none.
func lookup[T record.Record](tx *service.Tx, storeKey string) (T, error) {
	return service.Lookup[T](tx, storeKey)
}

// byName returns the user, group or role of a name, nil if there is none.
func byName[T record.Record](tx *service.Tx, kind record.PrincipalKind, name string) (T, error) {
	var none T
	n, err := lookup[*record.Name](tx, record.NameStoreKey(account(tx), kind, name))
	if err != nil || n == nil || n.Name != name { // names are made without regard to case, and found with it
		return none, err
	}
	return lookup[T](tx, record.PrincipalStoreKey(account(tx), kind, n.ID))
}

func userByName(tx *service.Tx, name string) (*record.User, error) {
	return byName[*record.User](tx, record.UserKind, name)
}

// target is the one target of an operation.
func target(tx *service.Tx, action, arn string, tags []record.Tag, missing error) []service.Target {
	return []service.Target{{Action: action, Account: account(tx), ARN: arn, Tags: tags, Missing: missing}}
}

// named is the one target of an operation on a user, group or role that the request names. Its path, which is in the ARN, is not in the
// request: a refusal that told it would tell that the principal is there.
func named(tx *service.Tx, action, kind, path, name string, tags []record.Tag, missing error) []service.Target {
	targets := target(tx, action, arnOf(tx, kind, path, name), tags, missing)
	targets[0].Called = kind + " " + name
	return targets
}

// onUser resolves the user that a request names; "" is the caller.
func onUser[Q any](action string, name func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		name, err := userOrCaller(tx, name(q))
		if err != nil {
			return nil, err
		}
		u, err := userByName(tx, name)
		if err != nil {
			return nil, err
		}
		if u == nil {
			return named(tx, action, "user", "", name, nil, noSuch("user", name)), nil
		}
		return named(tx, action, "user", u.Path, u.Name, u.Tags, nil), nil
	}
}

// userOrCaller returns the name of the user that a call is about: by default the caller's.
func userOrCaller(tx *service.Tx, name string) (string, error) {
	caller := tx.Call.Caller
	switch {
	case name != "":
		return name, nil
	case caller.Type == "IAMUser":
		return caller.UserName, nil
	}
	return "", invalid("Must specify userName when calling with non-User credentials")
}
