package sigv4

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that a Config.Lookup returns, wrapped or bare.
var (
	// ErrUnknownAccessKey: there is no such access key, or it may not be used.
	ErrUnknownAccessKey = errors.New("sigv4: unknown access key")
	// ErrExpiredToken: the access key was a temporary one, and its session is over.
	ErrExpiredToken = errors.New("sigv4: session expired")
)

// Codes of Error, as the JSON services name them. (The query services drop "Exception" or use older names.)
const (
	CodeMissing      = "MissingAuthenticationTokenException"
	CodeIncomplete   = "IncompleteSignatureException"
	CodeUnrecognized = "UnrecognizedClientException"
	CodeInvalid      = "InvalidSignatureException"
	CodeExpired      = "ExpiredTokenException"
)

// Error is a refusal, to be answered to the client. Code is the AWS wire error name. Message holds no part of the request but
// header names, dates and the scope's date: never a credential, a token or a signature.
type Error struct {
	Code    string
	Message string
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errMissing() error { return &Error{CodeMissing, "Missing Authentication Token"} }

func errIncomplete(message string) error { return &Error{CodeIncomplete, message} }

func errInvalid(message string) error { return &Error{CodeInvalid, message} }

func errInvalidToken() error {
	return &Error{CodeUnrecognized, "The security token included in the request is invalid."}
}

func errExpiredToken() error {
	return &Error{CodeExpired, "The security token included in the request is expired"}
}

func errMismatch() error {
	return errInvalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access " +
		"Key and signing method. Consult the service documentation for details.")
}

// errNotSigned names a header of the request; names come from strangers, so only what a header name can be is repeated.
func errNotSigned(name string) error {
	if len(name) > maxNameEcho || !isToken(name) {
		name = "X-Amz-*"
	}
	return errInvalid("'" + name + "' must be a 'SignedHeader' in the AWS Authorization.")
}

func errSkewPast(stamp string, now time.Time, allowed time.Duration) error {
	return errInvalid(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s)",
		stamp, now.Add(-allowed).Format(stampLayout), now.Format(stampLayout), span(allowed)))
}

func errSkewFuture(stamp string, now time.Time, allowed time.Duration) error {
	return errInvalid(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %s)",
		stamp, now.Add(allowed).Format(stampLayout), now.Format(stampLayout), span(allowed)))
}

// span prints a duration as AWS does, "5 min.", and falls back to seconds for what is no whole number of minutes.
func span(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min.", d/time.Minute)
	}
	return fmt.Sprintf("%d sec.", d/time.Second)
}

// missing collects AWS's sentences about absent parameters, one for each name whose value is "".
func missing(sentence string, names, values []string) string {
	var b strings.Builder
	for i, name := range names {
		if values[i] == "" {
			fmt.Fprintf(&b, sentence, name)
		}
	}
	return strings.TrimSpace(b.String())
}
