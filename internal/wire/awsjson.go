package wire

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

const jsonType = "application/x-amz-json-1.1"

var jsonTypeHeader = []string{jsonType}

// serveJSON is the AWS JSON 1.1 protocol: the operation is in X-Amz-Target, request and answer are JSON objects.
func (x *exchange) serveJSON() {
	target := ""
	switch v := x.r.Header["X-Amz-Target"]; len(v) {
	case 1:
		target = v[0]
	case 0: // presigning moves it into the query
		if strings.Contains(x.r.URL.RawQuery, "X-Amz-Target=") {
			target = x.r.URL.Query().Get("X-Amz-Target")
		}
	}
	op := x.h.KMS[target]
	x.seen.Op = op
	if e := x.readBody(); e != nil {
		x.failJSON(e, target)
		return
	}
	call, e := x.authenticate("kms")
	if e != nil {
		x.failJSON(e, target)
		return
	}
	if op == nil {
		x.failJSON(api.New(api.UnknownOperationException), target)
		return
	}
	if op.Kind == service.Control {
		// It may run long, and only keyturn dev has such operations.
		http.NewResponseController(x.w).SetWriteDeadline(time.Time{}) //nolint:errcheck // then the usual limit stays
	}
	req := op.NewRequest()
	decodeErr := req.DecodeJSON(x.body)
	resp, err := x.h.Pipeline.Do(x.r.Context(), op, call, req, decodeErr)
	if err != nil {
		x.writeJSONError(err.(*api.Error))
		return
	}
	if s, ok := resp.(service.Stream); ok {
		x.stream(s)
		return
	}
	x.out = resp.AppendJSON(x.out[:0])
	x.write(http.StatusOK, jsonTypeHeader)
}

// failJSON answers a request that did not reach the pipeline.
func (x *exchange) failJSON(e *api.Error, target string) {
	x.h.reject(x.r, string(e.Code), target)
	x.writeJSONError(e)
}

func (x *exchange) writeJSONError(e *api.Error) {
	x.seen.Code = e.Code
	x.out = append(x.out[:0], `{"__type":"`...)
	x.out = append(x.out, e.Code...)
	x.out = append(x.out, '"')
	if e.Message != "" {
		x.out = append(x.out, `,"message":`...)
		x.out, _ = jsontext.AppendQuote(x.out, e.Message) // invalid UTF-8 is replaced, which is all the error says
	}
	x.out = append(x.out, '}')
	status := e.Code.Status()
	if e == errTooLarge {
		status = http.StatusRequestEntityTooLarge
		x.w.Header().Set("Connection", "close")
	}
	x.w.Header()["x-amzn-ErrorType"] = []string{string(e.Code)}
	x.write(status, jsonTypeHeader)
}
