// Package audit writes and reads the record of what the service did: records in the format of AWS CloudTrail, an
// append-only log of them, and a bounded log of what failed before anybody was authenticated.
package audit

import "time"

// EventVersion is the version of the CloudTrail record format that records have.
const EventVersion = "1.11"

// EventType says who caused an event.
type EventType string

// The event types.
const (
	APICall      EventType = "AwsApiCall"      // a request
	ServiceEvent EventType = "AwsServiceEvent" // the service itself, such as a scheduled rotation
)

// Longest texts of the caller's that a record repeats, in bytes, as CloudTrail cuts them.
const (
	maxUserAgent    = 1024
	maxErrorMessage = 1024
)

// Record is one event, in the words of "CloudTrail record contents for management, data, and network activity events".
// Empty members are left out but for those CloudTrail always prints. Text may be any bytes: it is written as valid UTF-8.
type Record struct {
	Identity            Identity
	IdentityJSON        []byte // an encoded Identity, used in its place if not empty
	EventTime           time.Time
	EventSource         string // kms.amazonaws.com
	EventName           string
	AWSRegion           string
	SourceIPAddress     string
	UserAgent           string // cut to 1 KiB
	ErrorCode           string
	ErrorMessage        string // cut to 1 KiB
	RequestParameters   Params
	ResponseElements    Params
	AdditionalEventData Params
	RequestID           string
	EventID             string
	ReadOnly            bool
	Resources           []Resource
	EventType           EventType
	ManagementEvent     bool
	RecipientAccountID  string
	ServiceEventDetails Params
	TLS                 TLSDetails
	Writes              []Write // what the change left in the store; no member of CloudTrail's
}

// Write is a record that a change wrote or removed, so that the store can be compared with the log. It says which, and nothing of what is in it.
type Write struct {
	Record  string // its store key
	Version uint64 // as of the change; of a removed record the last one, 0 where it was removed unread
	Removed bool
}

// Resource is one resource that an event used or changed.
type Resource struct {
	AccountID string
	Type      string // AWS::KMS::Key
	ARN       string
}

// TLSDetails describes the connection of a request.
type TLSDetails struct {
	Version                  string // TLSv1.3
	CipherSuite              string
	ClientProvidedHostHeader string
}

// AppendJSON appends the record as one JSON object without white space and returns the extended buffer. It allocates
// only to grow the buffer.
func (r *Record) AppendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.str("eventVersion", EventVersion)
	o.name("userIdentity")
	if len(r.IdentityJSON) > 0 {
		o.dst = append(o.dst, r.IdentityJSON...)
	} else {
		o.dst = r.Identity.AppendJSON(o.dst)
	}
	o.time("eventTime", r.EventTime)
	o.str("eventSource", r.EventSource)
	o.str("eventName", r.EventName)
	o.str("awsRegion", r.AWSRegion)
	o.str("sourceIPAddress", r.SourceIPAddress)
	o.str("userAgent", truncate(r.UserAgent, maxUserAgent))
	o.str("errorCode", r.ErrorCode)
	o.str("errorMessage", truncate(r.ErrorMessage, maxErrorMessage))
	o.params("requestParameters", &r.RequestParameters)
	o.params("responseElements", &r.ResponseElements)
	if !r.AdditionalEventData.IsZero() {
		o.params("additionalEventData", &r.AdditionalEventData)
	}
	o.str("requestID", r.RequestID)
	o.str("eventID", r.EventID)
	o.bool("readOnly", r.ReadOnly)
	if len(r.Resources) > 0 {
		o.name("resources")
		o.dst = appendResources(o.dst, r.Resources)
	}
	o.str("eventType", string(r.EventType))
	o.bool("managementEvent", r.ManagementEvent)
	o.str("recipientAccountId", r.RecipientAccountID)
	if !r.ServiceEventDetails.IsZero() {
		o.params("serviceEventDetails", &r.ServiceEventDetails)
	}
	o.str("eventCategory", "Management")
	if r.TLS != (TLSDetails{}) {
		o.name("tlsDetails")
		t := object{dst: append(o.dst, '{')}
		t.str("tlsVersion", r.TLS.Version)
		t.str("cipherSuite", r.TLS.CipherSuite)
		t.str("clientProvidedHostHeader", r.TLS.ClientProvidedHostHeader)
		o.dst = t.end()
	}
	if len(r.Writes) > 0 {
		o.name(writesMember)
		o.dst = appendWrites(o.dst, r.Writes)
	}
	return o.end()
}

func appendResources(dst []byte, list []Resource) []byte {
	dst = append(dst, '[')
	for i, res := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		o := object{dst: append(dst, '{')}
		o.str("accountId", res.AccountID)
		o.str("type", res.Type)
		o.str("ARN", res.ARN)
		dst = o.end()
	}
	return append(dst, ']')
}
