// Package api holds the request, response and error types of every wire API that keyturn speaks, with their codecs and
// their validation. The types are generated from the models in the repository's api folder; what they share (the JSON
// decoder and encoder, the validator with AWS's wording, the Query protocol, the error type) is written by hand.
//
// A request is decoded first (DecodeJSON or DecodeQuery: is it well formed, has every member the right type), then
// validated (Validate: required members, lengths, ranges, patterns, enum values). Decoding treats its input as hostile:
// depth and element counts are bounded, duplicate names and invalid UTF-8 are refused, and no error repeats a value.
package api

//go:generate go run ./gen

import "net/url"

// Opt is an optional scalar: V counts only if Set is true. The zero Opt is an absent member.
type Opt[T any] struct {
	V   T
	Set bool
}

// Some returns a present v.
func Some[T any](v T) Opt[T] { return Opt[T]{V: v, Set: true} }

// Request is the input structure of an operation.
type Request interface {
	// DecodeJSON replaces the receiver with the JSON object in data; empty data counts as {}. It keeps no reference
	// to data. The error is an *Error with code SerializationException, after which the receiver is unspecified.
	DecodeJSON(data []byte) error
	// Validate reports every member that breaks the model's constraints in one *Error with code ValidationException,
	// or nil.
	Validate() error
}

// Response is the output structure of an operation.
type Response interface {
	// AppendJSON appends the receiver as a JSON object to dst and returns the extended slice.
	AppendJSON(dst []byte) []byte
}

// QueryRequest is the input structure of an operation of the AWS Query protocol.
type QueryRequest interface {
	Request
	// DecodeQuery replaces the receiver with the members found in the form values. Unknown parameters are ignored.
	// The error is an *Error with code SerializationException, after which the receiver is unspecified.
	DecodeQuery(form url.Values) error
}

// QueryResponse is the output structure of an operation of the AWS Query protocol.
type QueryResponse interface {
	Response
	// AppendXML appends the receiver's members as XML elements, without an enclosing element, and returns the
	// extended slice. AppendQueryResponse puts the envelope around them.
	AppendXML(dst []byte) []byte
}

// Operation describes one operation of a wire API.
type Operation struct {
	// Service is the model's service: kms, keyturn or sts.
	Service string
	// Target is what a client sends to choose the operation: the X-Amz-Target header of AWS JSON 1.1
	// ("TrentService.Encrypt"), or the Action parameter of AWS Query ("GetCallerIdentity").
	Target string
	// Name is the operation's name, as policies and audit records know it: "Encrypt".
	Name string
	// NewInput returns an empty input structure. It is a QueryRequest in a model of the AWS Query protocol.
	NewInput func() Request
	// NewOutput returns an empty output structure, for clients and tests; nil if the operation has none. It is a
	// QueryResponse in a model of the AWS Query protocol.
	NewOutput func() Response
	// HasOutput tells whether a success has a body.
	HasOutput bool
	// Errors are the errors that the model lists for the operation.
	Errors []ErrorCode
	// CrossAccount tells whether the operation can be used on a key of another account.
	CrossAccount bool
	// Permissions are the actions the operation needs, and where AWS documents that they are granted.
	Permissions []Permission
	// Identifiers are the forms of key reference (keyId, keyArn, aliasName, aliasArn) each member accepts.
	Identifiers map[string][]string
}

// Permission is an action that an operation needs.
type Permission struct {
	// Action is the policy action: "kms:Encrypt".
	Action string
	// In is the policy that grants it, in AWS's words: "key policy", "IAM policy".
	In string
}
