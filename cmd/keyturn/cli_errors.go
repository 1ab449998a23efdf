package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/unseal"
)

// usageError is a command line that cannot be understood: the exit status is 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef returns a formatted usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hintError is an error together with what its reader can do about it.
type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }
func (e hintError) Unwrap() error { return e.err }

// withHint adds to err what to do about it, one line without a full stop. A nil err stays nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hintError{err, hint}
}

// oneArg returns an argument check for a command that takes one argument, which what names.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("%s wants %s", cmd.CommandPath(), what)
		case len(args) > 1:
			return usagef("%s wants one argument, %s, but was given %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// noSuchCommand is the argument check of a command that only groups others.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return withHint(usagef("unknown command %q for %q", args[0], cmd.CommandPath()), "did you mean: "+cmd.CommandPath()+" "+similar[0])
	}
	return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
}

// remoteError is an error that the service answered. Its text is safe to print.
type remoteError struct {
	operation string // may be empty
	code      string
	message   string // may be empty
	err       error
}

func (e *remoteError) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{e.operation, e.code, e.message} {
		if s != "" {
			parts = append(parts, printable(s))
		}
	}
	return strings.Join(parts, ": ")
}

func (e *remoteError) Unwrap() error { return e.err }

// errorCode returns the code of an error that the service answered, "" for every other error.
func errorCode(err error) string {
	var answer smithy.APIError
	var remote *remoteError
	switch {
	case errors.As(err, &remote):
		return remote.code
	case errors.As(err, &answer):
		return answer.ErrorCode()
	}
	return ""
}

// afterError is an error that came after something was done, which the reader has to know.
type afterError struct {
	done string
	err  error
}

func (e *afterError) Error() string { return e.done + ": " + e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// explain words an error of a call to endpoint ("" for the one of AWS) for people, and adds a hint where there is one to give.
func explain(err error, endpoint string) error {
	if err == nil || errors.As(err, new(hintError)) || errors.As(err, new(usageError)) {
		return err
	}
	var after *afterError
	if errors.As(err, &after) {
		return &afterError{after.done, explain(after.err, endpoint)}
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	var answer smithy.APIError
	if errors.As(err, &answer) {
		e := &remoteError{code: answer.ErrorCode(), message: answer.ErrorMessage(), err: err}
		var op *smithy.OperationError
		if errors.As(err, &op) {
			e.operation = op.OperationName
		}
		err = e
	}
	if code := errorCode(err); code != "" {
		if strings.Contains(err.Error(), regionMessage) {
			return withHint(err, "--region or AWS_REGION must be one of the server's regions, which are in its configuration")
		}
		if hint := codeHint(api.ErrorCode(code)); hint != "" {
			return withHint(err, hint)
		}
		return err
	}
	where := endpoint
	if where == "" {
		where = "the endpoint"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		err = fmt.Errorf("cannot reach %s: %w", where, syscall.ECONNREFUSED)
		if endpoint != "" && !isDevEndpoint(endpoint) {
			return withHint(err, "is the address right, and keyturn running there?")
		}
		return withHint(err, "is keyturn running? start it with: keyturn dev")
	case errors.Is(err, errWantsTLS):
		return withHint(fmt.Errorf("%s: %w", where, errWantsTLS), "the endpoint begins with https://")
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return withHint(&plainError{err}, "what listens there speaks no TLS: is the port right, or is it an http:// endpoint?")
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return withHint(&plainError{err}, "name the file with its certificate authority with --ca-file, or in AWS_CA_BUNDLE")
	}
	return &plainError{err}
}

// regionMessage is what AWS and keyturn say of a signature for a region that they do not serve.
const regionMessage = "Credential should be scoped to a valid region"

// isDevEndpoint tells whether a URL is where keyturn dev listens unless told otherwise.
func isDevEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && u.Scheme == "http" && u.Port() == devPort && loopbackEndpoint(endpoint)
}

// plainError keeps what others put into an error from acting on a terminal.
type plainError struct{ err error }

func (e *plainError) Error() string { return printable(e.err.Error()) }
func (e *plainError) Unwrap() error { return e.err }

// codeHint says what to do about an error that the service answered.
func codeHint(code api.ErrorCode) string {
	switch code {
	case api.NotFoundException:
		return "keys and aliases belong to one account and region: keyturn keys list shows those of yours"
	case api.UnrecognizedClientException, api.InvalidSignatureException, api.MissingAuthenticationTokenException:
		return "the service does not know these credentials: choose others with --profile or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	case api.ExpiredTokenException:
		return "the session is over: log in again"
	case api.AccessDeniedException:
		return "the credentials are good, but no policy allows this: ask for the permission that the message names"
	case api.UnknownOperationException:
		return "the endpoint does not offer this operation: is it the one you meant?"
	case unseal.CodeSealed:
		return "the server may be sealed, ask with: keyturn unseal --status"
	case api.ThrottlingException:
		return "the service asks to wait: try again in a moment"
	}
	return ""
}
