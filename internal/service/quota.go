package service

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/throttle"
)

// Quota says which request quotas the calls of an operation count toward. A call counts once, however often it is planned, and also if
// it then fails, be it for what it acts on being used too often. Quotas are those of the caller's account, whoever owns the key: see "Cross-account requests" in
// https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html.
type Quota struct {
	// Class is what every call counts toward, decided before anything is read for it. Zero: nothing, or what the other two say.
	Class throttle.Class
	// Request tells the class from the request, just as early. Nil: Class does.
	Request func(req any) throttle.Class
	// Targets adds what depends on what the call acts on: decided once all targets are found and allowed. targets is nil if they were
	// not, so that how refused calls are counted says nothing of what exists. Nil: nothing depends on them.
	Targets func(tx *Tx, req any, targets []Target) throttle.Charges
}

// ownClasses are the classes of operations outside of AWS KMS, by their service. What is asked through the External Key Store Proxy API
// has none: the KMS in front of it has its quotas, and the proxy bounds what is under way.
var ownClasses = map[string]throttle.Class{"keyturn": throttle.Keyturn, "sts": throttle.STS, "iam": throttle.IAM}

// TooManyCalls is what a throttled caller of AWS KMS is told: "Throttling AWS KMS requests",
// https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html.
const TooManyCalls = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."

// throttled is the answer to a call beyond its quota.
func throttled(op *Op) error {
	if op.Service == "sts" || op.Service == "iam" {
		return api.Errorf(api.ThrottlingException, "Rate exceeded")
	}
	return api.Errorf(api.ThrottlingException, TooManyCalls)
}

// counted tells whether quotas apply to a call: not to the service's own work.
func (p *Pipeline) counted(call *Call) bool { return p.quotas != nil && !call.Caller.Service }

// scope is whose calls are counted together.
func scope(call *Call) throttle.Scope {
	return throttle.Scope{Account: call.Caller.Account, Region: call.Region}
}

// withinQuota takes what a call costs by its request alone, and tells whether it was there.
func (p *Pipeline) withinQuota(op *Op, call *Call, req any) bool {
	if !p.counted(call) {
		return true
	}
	class := op.Quota.Class
	if op.Quota.Request != nil {
		class = op.Quota.Request(req)
	}
	return class == 0 || p.quotas.Allow(scope(call), class)
}

// targetsWithinQuota does the same for what depends on the targets; nil if they were not found or not allowed.
func (p *Pipeline) targetsWithinQuota(tx *Tx, op *Op, req any, targets []Target) bool {
	if !p.counted(tx.Call) || op.Quota.Targets == nil {
		return true
	}
	charges := op.Quota.Targets(tx, req, targets)
	return p.quotas.AllowAll(charges.List())
}

// Charge is one call of a class, in the caller's account and Region.
func (tx *Tx) Charge(c throttle.Class) throttle.Charge {
	return throttle.Charge{Scope: scope(tx.Call), Class: c, N: 1}
}
