package service

import (
	"context"
	"errors"
	"sync"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// outcome is what an audit record says beside who asked for what.
type outcome struct {
	targets []Target
	req     any // nil if it was not valid: nothing of it is recorded then
	err     *api.Error
	result  func(*audit.Params) // nil for none
	extra   *audit.Params       // additionalEventData; nil for none
}

// fill writes the record of a call into r, which may have been used before.
func (p *Pipeline) fill(r *audit.Record, op *Op, call *Call, out *outcome, eventID string) {
	params, result := r.RequestParameters, r.ResponseElements
	params.Reset()
	result.Reset()
	*r = audit.Record{
		IdentityJSON: call.Caller.identity, EventTime: call.Now, EventSource: op.source, EventName: op.Name,
		AWSRegion: call.Region, SourceIPAddress: call.SourceIP, UserAgent: call.UserAgent,
		RequestParameters: params, ResponseElements: result, RequestID: call.RequestID, EventID: eventID,
		ReadOnly: op.Kind == Read || op.Kind == Crypto, EventType: audit.APICall, ManagementEvent: true,
		RecipientAccountID: call.Caller.Account, Resources: r.Resources[:0],
	}
	if op.Kind == Internal {
		r.EventType = audit.ServiceEvent
	}
	if call.TLS != nil {
		r.TLS = *call.TLS
		r.TLS.ClientProvidedHostHeader = call.Host
	}
	if out.err != nil {
		r.ErrorCode, r.ErrorMessage = string(out.err.Code), out.err.Message
	}
	if out.req != nil {
		op.auditForm(out.req, &r.RequestParameters)
	}
	if out.result != nil && out.err == nil {
		out.result(&r.ResponseElements)
	}
	if out.extra != nil {
		r.AdditionalEventData = *out.extra
	}
	for i := range out.targets {
		t := &out.targets[i]
		if t.Key == nil || i > 0 && t.ARN == out.targets[i-1].ARN {
			continue
		}
		if t.Account != call.Caller.Account && out.err != nil && out.err.Code == api.AccessDeniedException {
			continue // a caller's own log must not tell what exists elsewhere either
		}
		r.Resources = append(r.Resources, audit.Resource{AccountID: t.Account, Type: KeyResource, ARN: t.ARN})
	}
}

// KeyResource is the type of a key in an audit record's resources.
const KeyResource = "AWS::KMS::Key"

var sources = map[string]string{"kms": "kms.amazonaws.com", "sts": "sts.amazonaws.com", "iam": "iam.amazonaws.com", "keyturn": "keyturn", "xks": "xks.keyturn"}

// scratch is a record with its buffer, for records that are appended at once.
type scratch struct {
	record audit.Record
	line   []byte
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// appendRecord appends the record of a call that changed nothing, and returns its event ID. The caller gets no answer that was not recorded: if the log
// cannot be written, the call fails.
func (p *Pipeline) appendRecord(op *Op, call *Call, out *outcome) (eventID string, err error) {
	if call.own {
		return "", nil
	}
	defer call.Step(StepAudit)()
	s := scratchPool.Get().(*scratch)
	defer scratchPool.Put(s)
	eventID = keys.NewKeyID().String()
	p.fill(&s.record, op, call, out, eventID)
	s.line = s.record.AppendJSON(s.line[:0])
	_, err = p.sink.Append(s.line)
	if errors.Is(err, audit.ErrRecord) { // too long: the call is recorded without what made it so
		out = &outcome{targets: out.targets, err: out.err}
		p.fill(&s.record, op, call, out, eventID)
		s.line = s.record.AppendJSON(s.line[:0])
		_, err = p.sink.Append(s.line)
	}
	if err != nil {
		p.log.Error("cannot write the audit log", "operation", op.Name, "requestID", call.RequestID, "error", err)
		return "", fault(op, err)
	}
	return eventID, nil
}

// changeRecords encodes the records that are part of a commit: the operation's, and what the plan added. It returns the event
// ID of the first, which stands in every record the commit writes, as the first lists them.
func (p *Pipeline) changeRecords(tx *Tx, op *Op, out *outcome) (string, []auditRecord) {
	records := make([]*audit.Record, 0, 1+len(tx.events))
	if op.Kind != Internal || len(tx.events) == 0 {
		r := new(audit.Record)
		p.fill(r, op, tx.Call, out, "")
		records = append(records, r)
	}
	records = append(records, tx.events...)
	records[0].Writes = tx.wrote()
	list := make([]auditRecord, len(records))
	for i, r := range records {
		r.EventID = keys.NewKeyID().String()
		list[i] = auditRecord{eventID: r.EventID, line: r.AppendJSON(nil)}
	}
	return list[0].eventID, list
}

// ServiceEvent returns the record of something the service did to a key by itself, as CloudTrail has it. The caller adds
// ServiceEventDetails.
func ServiceEvent(tx *Tx, name, account, region, keyARN string) *audit.Record {
	return &audit.Record{
		Identity: audit.Identity{AccountID: account, InvokedBy: ServiceName}, EventTime: tx.Now, EventSource: sources["kms"],
		EventName: name, AWSRegion: region, SourceIPAddress: ServiceName, UserAgent: ServiceName,
		EventType: audit.ServiceEvent, ManagementEvent: true, RecipientAccountID: account,
		Resources: []audit.Resource{{AccountID: account, Type: KeyResource, ARN: keyARN}},
	}
}

// OwnEvent returns the record of something the service did by itself that concerns no key. The caller adds ServiceEventDetails.
func OwnEvent(tx *Tx, name string, owner record.Owner) *audit.Record {
	r := ServiceEvent(tx, name, owner.Account, owner.Region, "")
	r.EventSource, r.Resources = sources["keyturn"], nil
	return r
}

// appendEvents appends what an operation of the service's own did that is in no commit.
func (p *Pipeline) appendEvents(tx *Tx, op *Op) error {
	for _, r := range tx.events {
		r.EventID = keys.NewKeyID().String()
		if _, err := p.sink.Append(r.AppendJSON(nil)); err != nil {
			p.log.Error("cannot write the audit log", "operation", op.Name, "error", err)
			return fault(op, err)
		}
	}
	return nil
}

// fault is the answer to an error that is the server's fault. It says nothing of it, but for a full disk to those who run the server: they can make
// room on it, and /readyz says the same.
func fault(op *Op, err error) *api.Error {
	if op.Service == "keyturn" && (errors.Is(err, store.ErrNoSpace) || errors.Is(err, audit.ErrNoSpace)) {
		return api.Errorf(api.KMSInternalException, "The server's disk is full.")
	}
	return api.New(api.KMSInternalException)
}

// refuse records a call that failed and returns what to answer. An error that is no *api.Error is the server's fault: its
// detail goes to the log, and the client learns of it what fault says.
func (p *Pipeline) refuse(ctx context.Context, op *Op, call *Call, out *outcome, err error) *api.Error {
	var e *api.Error
	if errors.Is(err, keys.ErrFIPS) {
		err = api.Errorf(api.UnsupportedOperationException, "The key spec or algorithm is not allowed in this server's FIPS 140-only mode.")
	}
	if errors.Is(err, store.ErrTooLarge) {
		err = api.Errorf(api.LimitExceededException, "The request changes more than this server can change at once.")
	}
	if !errors.As(err, &e) {
		e = fault(op, err)
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			p.log.Error("operation failed", "operation", op.Name, "requestID", call.RequestID, "error", err)
		}
		if errors.Is(err, store.ErrClosed) {
			p.damage.CompareAndSwap(nil, &err)
		}
	}
	if out == nil {
		out = &outcome{}
	}
	out.err = e
	if _, err := p.appendRecord(op, call, out); err != nil {
		return err.(*api.Error)
	}
	return e
}
