package xks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/sigv4"
)

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		// The specification asks for this status and has no error name that fits.
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(r, "method not allowed")
		write(w, http.StatusMethodNotAllowed, nil)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), h.Prefix)
	op, keyID, routed := route(rest)
	if !ok || !routed || strings.Contains(rest, "%") {
		h.refuse(r, InvalidURIPathException)
		writeError(w, &Error{Name: InvalidURIPathException})
		return
	}
	start := h.Now()
	raw, refusal := h.readBody(w, r)
	defer clear(raw)
	if refusal != nil {
		h.refuse(r, "the body cannot be read")
		writeError(w, refusal)
		return
	}
	principal, err := h.authenticate(r, raw, start)
	if err != nil {
		writeError(w, h.answerable(r.Context(), op, err))
		return
	}
	x := &exchange{h: h, principal: principal, op: op, keyID: keyID}
	defer x.body.clear()
	x.respond(w, r, raw, start)
}

// respond performs an authenticated request, answers it and logs what came of it.
func (x *exchange) respond(w http.ResponseWriter, r *http.Request, raw []byte, start time.Time) {
	doc, err := x.safely(r, raw)
	var out []byte
	if err == nil {
		out, err = encode(doc)
		if d, ok := doc.(*decryptReply); ok {
			clear(d.Plaintext)
		}
	}
	defer clear(out)
	if err != nil {
		e := x.h.answerable(r.Context(), x.op, err)
		x.log(r.Context(), e.Name, start)
		writeError(w, e)
		return
	}
	x.log(r.Context(), "", start)
	write(w, http.StatusOK, out)
}

// safely performs the request. A panic of the backend is an internal error of this request, not the end of the connection.
func (x *exchange) safely(r *http.Request, raw []byte) (doc any, err error) {
	defer func() {
		if v := recover(); v != nil {
			x.h.Log.ErrorContext(r.Context(), "panic in an external key store's backend", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			doc, err = nil, errors.New("xks: the backend panicked")
		}
	}()
	if err := checkForm(r); err != nil {
		return nil, err
	}
	return x.perform(r.Context(), raw)
}

// checkForm checks what of the request is neither path nor body.
func checkForm(r *http.Request) error {
	if r.URL.RawQuery != "" {
		return invalid("The request has a query string.")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return invalid("The Content-Type is not application/json.")
	}
	return nil
}

// readBody reads a body of at most maxRequest bytes.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	if r.ContentLength > maxRequest {
		return nil, invalid("The request is too large.")
	}
	// A writer that has no deadlines has its server's. net/http takes this one back when the body is complete.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.bodyTime))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		clear(raw)
		return nil, invalid("The request is too large, or has not arrived in time.")
	}
	return raw, nil
}

// authenticate returns who has signed the request. Why a signature is not good is told to Refused, not to the sender.
func (h *handler) authenticate(r *http.Request, raw []byte, now time.Time) (Principal, error) {
	id, err := h.verifier.Verify(r.Context(), &sigv4.Input{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: raw,
	}, now, Service)
	var refusal *sigv4.Error
	switch {
	case errors.As(err, &refusal):
		h.refuse(r, refusal.Code)
		return Principal{}, &Error{Name: AuthenticationFailedException, Message: "The request's signature is missing or not valid."}
	case err != nil:
		return Principal{}, err
	case id.Presigned: // the specification has the Authorization header only
		h.refuse(r, "presigned")
		return Principal{}, &Error{Name: AuthenticationFailedException, Message: "The request is not signed in its Authorization header."}
	}
	return Principal{AccessKeyID: id.AccessKeyID, Region: id.Region, Subject: id.Subject}, nil
}

func (h *handler) refuse(r *http.Request, reason string) {
	if h.Refused != nil {
		h.Refused(r, reason)
	}
}

// answerable returns the error to answer err with. What is not of the specification goes to the log.
func (h *handler) answerable(ctx context.Context, op operation, err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Name != InternalException && statusOf(e.Name) != 0 {
		return e
	}
	h.Log.ErrorContext(ctx, "external key store request failed", "operation", op.String(), "error", err)
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Name: DependencyTimeoutException}
	}
	return &Error{Name: InternalException}
}

// log writes the line that the specification asks for: metadata, outcome and time, nothing of plaintext or ciphertext.
func (x *exchange) log(ctx context.Context, errorName string, start time.Time) {
	if !x.h.Log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	var m RequestMetadata
	if x.body.RequestMetadata != nil && x.body.RequestMetadata.check(opHealth) == nil { // no longer than allowed
		m = *x.body.RequestMetadata
	}
	keyID := x.keyID
	if !ValidKeyID(keyID) {
		keyID = ""
	}
	x.h.Log.LogAttrs(ctx, slog.LevelInfo, "external key store request",
		slog.String("operation", x.op.String()), slog.String("externalKeyId", keyID),
		slog.String("accessKeyId", x.principal.AccessKeyID), slog.String("region", x.principal.Region),
		slog.String("error", errorName), slog.Duration("duration", x.h.Now().Sub(start)),
		slog.Group("requestMetadata",
			slog.String("awsPrincipalArn", m.AWSPrincipalARN), slog.String("awsSourceVpc", m.AWSSourceVPC),
			slog.String("awsSourceVpce", m.AWSSourceVPCE), slog.String("kmsKeyArn", m.KMSKeyARN),
			slog.String("kmsOperation", m.KMSOperation), slog.String("kmsRequestId", m.KMSRequestID),
			slog.String("kmsViaService", m.KMSViaService)))
}

// writeError answers with e, whose status follows from its name.
func writeError(w http.ResponseWriter, e *Error) {
	out, err := encode(&errorReply{Name: e.Name, Message: printableMessage(e.Message)})
	if err != nil {
		out = nil // cannot be: both are ASCII
	}
	write(w, statusOf(e.Name), out)
}

func write(w http.ResponseWriter, status int, out []byte) {
	header := w.Header()
	if len(out) > 0 {
		header.Set("Content-Type", "application/json")
	}
	header.Set("Content-Length", strconv.Itoa(len(out)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(out) // nobody is left to tell
}
