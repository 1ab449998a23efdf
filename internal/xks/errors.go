package xks

import (
	"errors"
	"net/http"
	"strconv"
)

// Names of Error, the specification's "Error codes".
const (
	ValidationException           = "ValidationException"
	InvalidStateException         = "InvalidStateException" // the external key, or the whole store, is disabled
	InvalidCiphertextException    = "InvalidCiphertextException"
	InvalidKeyUsageException      = "InvalidKeyUsageException"
	AuthenticationFailedException = "AuthenticationFailedException"
	AccessDeniedException         = "AccessDeniedException"
	KeyNotFoundException          = "KeyNotFoundException"
	InvalidURIPathException       = "InvalidUriPathException"
	ThrottlingException           = "ThrottlingException"
	UnsupportedOperationException = "UnsupportedOperationException" // also of values beyond the proxy's limits
	DependencyTimeoutException    = "DependencyTimeoutException"
	InternalException             = "InternalException"
)

// statusOf returns the HTTP status that goes with an error name, 0 for a name the specification does not have.
func statusOf(name string) int {
	switch name {
	case ValidationException, InvalidStateException, InvalidCiphertextException, InvalidKeyUsageException:
		return http.StatusBadRequest
	case AuthenticationFailedException:
		return http.StatusUnauthorized
	case AccessDeniedException:
		return http.StatusForbidden
	case KeyNotFoundException, InvalidURIPathException:
		return http.StatusNotFound
	case ThrottlingException:
		return http.StatusTooManyRequests
	case UnsupportedOperationException:
		return http.StatusNotImplemented
	case DependencyTimeoutException:
		return http.StatusServiceUnavailable
	case InternalException:
		return http.StatusInternalServerError
	}
	return 0
}

// Error is a proxy's refusal. A client returns it for what a proxy has answered; a Backend returns it for what shall be answered.
type Error struct {
	Name    string // one of the names above
	Message string // for people; the other side sees it, but for an InternalException's
	Status  int    // the HTTP status, as answered; a Backend leaves it 0
}

// Error returns name, status and message.
func (e *Error) Error() string {
	s := "xks: " + e.Name
	if e.Status != 0 {
		s += " (" + strconv.Itoa(e.Status) + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is makes errors.Is compare by name alone: errors.Is(err, &xks.Error{Name: xks.KeyNotFoundException}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Name == e.Name && t.Message == "" && t.Status == 0
}

// Retryable reports whether the same request may succeed a little later. These are the names that AWS counts as retryable in its
// metrics of external key stores.
func (e *Error) Retryable() bool {
	switch e.Name {
	case InternalException, DependencyTimeoutException, ThrottlingException:
		return true
	}
	return false
}

// Errors of a client besides *Error. What they wrap is for a log.
var (
	// ErrTimeout: the proxy has not answered in time.
	ErrTimeout = errors.New("xks: the proxy did not respond in time")
	// ErrUnreachable: no connection, or it broke before there was an answer.
	ErrUnreachable = errors.New("xks: the proxy cannot be reached")
	// ErrTLS: no TLS connection, mostly because of the proxy's certificate.
	ErrTLS = errors.New("xks: no TLS connection to the proxy")
	// ErrInvalidResponse: the answer is not one of the specification, or it does not fit the request.
	ErrInvalidResponse = errors.New("xks: the proxy's response is not valid")
	// ErrInvalidRequest: what is asked for exceeds the specification's limits; nothing has been sent.
	ErrInvalidRequest = errors.New("xks: the request is not valid")
)

// maxMessage is what the specification allows an errorMessage: fewer than 512 characters, printable ASCII.
const maxMessage = 511

// printableMessage returns message if the specification allows it, else "".
func printableMessage(message string) string {
	if len(message) > maxMessage || !only(message, func(c byte) bool { return c >= ' ' && c <= '~' }) {
		return ""
	}
	return message
}
