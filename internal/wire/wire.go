// Package wire speaks HTTP: it bounds what comes in, finds out who asks for which operation in which protocol (AWS JSON 1.1 or
// AWS Query), hands the request to the pipeline and writes the answer as AWS does.
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sigv4"
)

// Limits on what comes in. They are above everything the API's own limits let a valid request have.
const (
	maxBody     = 1 << 20
	freeBody    = 64 << 10  // bytes of a body that every request may have
	maxBuffered = 256 << 20 // bytes beyond that, of all bodies that are being read at once
	maxHeader   = 32 << 10
	maxTarget   = 128
)

// Config is what a Handler is made of.
type Config struct {
	Pipeline *service.Pipeline
	// KMS holds the operations of AWS JSON services by what the wire calls them: "TrentService.Encrypt".
	KMS map[string]*service.Op
	// Query holds the services of the AWS Query protocol by the Version that their requests name.
	Query map[string]*QueryService
	// Authenticate finds out who signed a request; service is what its scope must name. An *api.Error refuses.
	Authenticate func(in *sigv4.Input, r *http.Request, service string) (*service.Caller, string, error)
	// Bearer finds out who asks by what an unsigned request brings, and in which region. An *api.Error refuses.
	Bearer func(ctx context.Context, req api.Request) (*service.Caller, string, error)
	// Guard refuses requests before anything of them is read, with an HTTP status; nil guards nothing.
	Guard    func(r *http.Request) (status int, reason string)
	Security *audit.SecurityLog
	// Ready returns what keeps the server from being ready.
	Ready func() error
	// Observer is told of every request; nil: nobody is.
	Observer Observer
	// Metrics answers /metrics; nil: there are none here.
	Metrics http.Handler
	Log     *slog.Logger
}

// Handler is the whole HTTP surface.
type Handler struct {
	Config
	buffered atomic.Int64
	unready  atomic.Bool // what /readyz said last
}

// NewHandler returns a Handler.
func NewHandler(c Config) *Handler { return &Handler{Config: c} }

// NewServer returns an HTTP server for h with limits on sizes and times.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 64},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// exchange is one request with its answer. It is pooled.
type exchange struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request
	requestID string
	body      []byte
	out       []byte
	query     *QueryService // of the request, nil if there is none
	input     sigv4.Input
	seen      Observation
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxPooled is the largest buffer kept for the next request.
const maxPooled = 64 << 10

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Guard != nil {
		if status, reason := h.Guard(r); status != 0 {
			h.reject(r, reason, "")
			http.Error(w, reason, status)
			return
		}
	}
	if r.URL.Path != "/" && h.reserved(w, r) {
		return
	}
	x := exchanges.Get().(*exchange)
	x.h, x.w, x.r = h, w, r
	x.requestID = keys.NewKeyID().String()
	if h.Observer != nil {
		x.seen.Start, x.seen.Trace = time.Now(), h.Observer.Begin(r)
	}
	w.Header()["x-amzn-RequestId"] = []string{x.requestID}
	defer x.release()
	x.serve()
}

// release gives the exchange back, its buffers emptied. A panic on the way here is logged, and ends the connection.
func (x *exchange) release() {
	v := recover()
	x.observe(v != nil) // also what is broken off on purpose: the client has no answer
	if v == http.ErrAbortHandler {
		panic(v) // on purpose
	}
	if v != nil {
		x.h.Log.Error("panic while serving", "requestID", x.requestID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
	clear(x.body) // both may hold plaintexts
	clear(x.out)
	body, out := x.body[:0], x.out[:0]
	*x = exchange{}
	if cap(body) <= maxPooled {
		x.body = body
	}
	if cap(out) <= maxPooled {
		x.out = out
	}
	exchanges.Put(x)
}

// reserved answers the paths that are not AWS's. Reserved for later are /console/ and /kms/xks/.
func (h *Handler) reserved(w http.ResponseWriter, r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/healthz":
		respondText(w, http.StatusOK, "ok\n")
	case path == "/readyz":
		err := h.Ready()
		if ready := err == nil; h.unready.Swap(!ready) == ready {
			h.Log.Warn("readiness changed", "ready", ready, "error", err)
		}
		if err != nil {
			respondText(w, http.StatusServiceUnavailable, readiness(err))
		} else {
			respondText(w, http.StatusOK, "ok\n")
		}
	case path == "/metrics" && h.Metrics != nil:
		h.Metrics.ServeHTTP(w, r)
	case path == "/metrics", path == "/console", strings.HasPrefix(path, "/console/"), strings.HasPrefix(path, "/kms/xks/"):
		respondText(w, http.StatusNotFound, "not found\n")
	default:
		return false
	}
	return true
}

func respondText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text) //nolint:errcheck // nobody is left to tell
}

// serve finds the protocol by method and content type, as AWS does.
func (x *exchange) serve() {
	r := x.r
	contentType := ""
	if v := r.Header["Content-Type"]; len(v) == 1 {
		contentType = v[0]
	}
	switch {
	case r.Method == http.MethodPost && contentType == jsonType:
		x.serveJSON()
	case r.Method == http.MethodPost && isForm(contentType):
		x.serveQuery(true)
	case r.Method == http.MethodGet && strings.Contains(r.URL.RawQuery, "Action="):
		x.serveQuery(false)
	default:
		x.seen.Code = api.UnknownOperationException
		x.h.reject(r, "UnknownOperationException", r.Header.Get("X-Amz-Target"))
		x.w.Header().Set("Content-Type", "application/xml")
		x.w.WriteHeader(http.StatusNotFound)
		io.WriteString(x.w, "<UnknownOperationException/>\n") //nolint:errcheck // nobody is left to tell
	}
}

func isForm(contentType string) bool {
	base, params, _ := strings.Cut(contentType, ";")
	return base == "application/x-www-form-urlencoded" && (params == "" || strings.EqualFold(strings.TrimSpace(params), "charset=utf-8"))
}

var errBody = api.Errorf(api.SerializationException, "The request body could not be read.")

var errTooLarge = &api.Error{Code: "RequestEntityTooLargeException", Message: "The request is larger than 1 MiB."}

// readBody reads the body into x.body. What nearly every request needs is read as it comes; more is counted against maxBuffered,
// and only as it arrives, so that announcing a large body costs others nothing.
func (x *exchange) readBody() *api.Error {
	if x.r.ContentLength > maxBody {
		return errTooLarge
	}
	if n := x.r.ContentLength; n >= 0 && n <= freeBody {
		if int64(cap(x.body)) < n {
			x.body = make([]byte, n)
		}
		x.body = x.body[:n]
		if _, err := io.ReadFull(x.r.Body, x.body); err != nil {
			return errBody
		}
		return nil
	}
	reserved := int64(0)
	defer func() { x.h.buffered.Add(-reserved) }()
	x.body = x.body[:0]
	for {
		if len(x.body) == cap(x.body) {
			grow := max(int64(cap(x.body)), freeBody/2)
			if int64(cap(x.body)) >= freeBody {
				reserved += grow
				if x.h.buffered.Add(grow) > maxBuffered {
					return api.Errorf(api.ThrottlingException, "Rate exceeded")
				}
			}
			grown := make([]byte, len(x.body), int64(cap(x.body))+grow)
			copy(grown, x.body)
			clear(x.body)
			x.body = grown
		}
		n, err := x.r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		switch {
		case len(x.body) > maxBody:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errBody
		}
	}
}

// authenticate returns the call of a verified request.
func (x *exchange) authenticate(scope string) (*service.Call, *api.Error) {
	r := x.r
	x.input = sigv4.Input{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: x.body}
	end := x.step(service.StepAuthenticate)
	caller, region, err := x.h.Authenticate(&x.input, r, scope)
	end()
	return x.call(caller, region, err)
}

// call is the call of who was found to ask; err is what kept them from being found.
func (x *exchange) call(caller *service.Caller, region string, err error) (*service.Call, *api.Error) {
	r := x.r
	if err != nil {
		var e *api.Error
		if !errors.As(err, &e) {
			x.h.Log.Error("authentication failed", "requestID", x.requestID, "error", err)
			e = api.New(api.KMSInternalException)
		}
		return nil, e
	}
	x.seen.Call = &service.Call{
		Caller: caller, Region: region, RequestID: x.requestID, SourceIP: remoteIP(r), UserAgent: r.UserAgent(), Host: r.Host, TLS: tlsDetails(r),
		Trace: x.seen.Trace,
	}
	return x.seen.Call, nil
}

func remoteIP(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return strings.Trim(r.RemoteAddr[:i], "[]")
	}
	return r.RemoteAddr
}

// reject reports a request that failed before its sender was known.
func (h *Handler) reject(r *http.Request, reason, operation string) {
	ip, _ := netip.ParseAddr(remoteIP(r))
	if len(operation) > maxTarget {
		operation = operation[:maxTarget]
	}
	h.Security.Report(audit.Failure{RemoteIP: ip, Reason: reason, UserAgent: r.UserAgent(), Operation: operation})
}

// write sends x.out.
func (x *exchange) write(status int, contentType []string) {
	header := x.w.Header()
	if len(x.out) > 0 {
		header["Content-Type"] = contentType
	}
	header["Content-Length"] = []string{strconv.Itoa(len(x.out))}
	x.w.WriteHeader(status)
	x.w.Write(x.out) //nolint:errcheck // nobody is left to tell
}
