package api

import "fmt"

// ErrorCode is an error's name on the wire. A constant exists for every error of every model, named as the error.
type ErrorCode string

// Errors that any operation can answer; no model lists them. All are the client's fault.
const (
	AccessDeniedException               ErrorCode = "AccessDeniedException"
	ExpiredIdentityToken                ErrorCode = "ExpiredIdentityToken" // AssumeRoleWithWebIdentity's ExpiredTokenException: the wire calls it so
	ExpiredTokenException               ErrorCode = "ExpiredTokenException"
	IncompleteSignatureException        ErrorCode = "IncompleteSignatureException"
	InvalidSignatureException           ErrorCode = "InvalidSignatureException"
	MissingAuthenticationTokenException ErrorCode = "MissingAuthenticationTokenException"
	SerializationException              ErrorCode = "SerializationException"
	ThrottlingException                 ErrorCode = "ThrottlingException"
	UnknownOperationException           ErrorCode = "UnknownOperationException"
	UnrecognizedClientException         ErrorCode = "UnrecognizedClientException"
	ValidationException                 ErrorCode = "ValidationException"
)

// Status returns the HTTP status of the error: 400 for the client's faults, 500 for the server's and for unknown codes.
func (c ErrorCode) Status() int {
	switch c {
	case AccessDeniedException, ExpiredIdentityToken, ExpiredTokenException, IncompleteSignatureException, InvalidSignatureException,
		MissingAuthenticationTokenException, SerializationException, ThrottlingException, UnknownOperationException,
		UnrecognizedClientException, ValidationException:
		return 400
	}
	return modelStatus(c)
}

// Error is an error as the wire carries it. Message goes to the client: it must not hold a secret.
type Error struct {
	Code    ErrorCode
	Message string // may be empty: AWS sends several errors without one
}

// Error returns "Code: Message", or the code alone if there is no message.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// New returns an error without a message.
func New(code ErrorCode) *Error { return &Error{Code: code} }

// Errorf returns an error with a formatted message.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
