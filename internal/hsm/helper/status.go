package helper

import (
	"errors"
	"slices"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// failure is an error that has its status already.
type failure struct {
	status hsmwire.Status
	text   string
}

func (f failure) Error() string { return f.text }

var (
	errNotLoggedIn = failure{hsmwire.StatusNotLoggedIn, "no user is logged in"}
	errKeyNotFound = failure{hsmwire.StatusKeyNotFound, "no key has this ID"}
	errKeyExists   = failure{hsmwire.StatusKeyExists, "a key with this ID exists"}
)

// statuses tells what return values mean to the caller; others are StatusFailed. GENERAL_ERROR and FUNCTION_FAILED are not
// StatusDevice: modules return them for a bad ciphertext or a bad PIN too, and a fresh start must not follow from what a
// caller sends, nor a login be repeated after an answer that could mean a wrong PIN.
var statuses = map[CKR]hsmwire.Status{
	PINIncorrect:          hsmwire.StatusPIN,
	PINInvalid:            hsmwire.StatusPIN,
	PINLenRange:           hsmwire.StatusPIN,
	PINExpired:            hsmwire.StatusPIN,
	PINLocked:             hsmwire.StatusPINLocked,
	UserPINNotInitialized: hsmwire.StatusUserNotInitialized,
	UserNotLoggedIn:       hsmwire.StatusNotLoggedIn,
	TokenNotPresent:       hsmwire.StatusNoToken,
	TokenNotRecognized:    hsmwire.StatusNoToken,
	DeviceRemoved:         hsmwire.StatusNoToken,
	DeviceError:           hsmwire.StatusDevice,
	NotInitialized:        hsmwire.StatusDevice,
	SessionClosed:         hsmwire.StatusDevice,
	SessionHandleInvalid:  hsmwire.StatusDevice,
	OperationActive:       hsmwire.StatusDevice,
}

// StatusOf returns the status and the text that tell a caller of err.
func StatusOf(err error) (hsmwire.Status, string) {
	text := err.Error()
	text = text[:min(len(text), hsmwire.MaxText)]
	var f failure
	if errors.As(err, &f) {
		return f.status, text
	}
	var e *Error
	if errors.As(err, &e) {
		if status, ok := statuses[e.Code]; ok {
			return status, text
		}
	}
	return hsmwire.StatusFailed, text
}

// isCKR tells whether err is one of these return values.
func isCKR(err error, codes ...CKR) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}
