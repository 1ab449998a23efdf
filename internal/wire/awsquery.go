package wire

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/keyturn/keyturn/internal/api"
)

var xmlTypeHeader = []string{"text/xml"}

// serveQuery is the AWS Query protocol: operation and parameters are form values, the answer is XML.
func (x *exchange) serveQuery(post bool) {
	raw := x.r.URL.RawQuery
	if post {
		if e := x.readBody(); e != nil {
			x.failQuery(e, "")
			return
		}
		raw = string(x.body)
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		x.failQuery(api.Errorf(api.SerializationException, "The query string is malformed."), "")
		return
	}
	action := form.Get("Action")
	call, e := x.authenticate("sts")
	if e != nil {
		x.failQuery(e, action)
		return
	}
	op := x.h.STS[action]
	if op == nil || form.Get("Version") != api.STSVersion {
		x.failQuery(&api.Error{Code: "InvalidAction", Message: "Could not find operation " + bounded(action) + " for version " + cmp.Or(bounded(form.Get("Version")), "NO_VERSION_SPECIFIED")}, action)
		return
	}
	req := op.NewRequest().(api.QueryRequest)
	decodeErr := req.DecodeQuery(form)
	resp, err := x.h.Pipeline.Do(x.r.Context(), op, call, req, decodeErr)
	if err != nil {
		x.writeQueryError(err.(*api.Error))
		return
	}
	result, _ := resp.(api.QueryResponse)
	x.out = api.AppendQueryResponse(x.out[:0], api.STSNamespace, op.Name, x.requestID, result)
	x.write(http.StatusOK, xmlTypeHeader)
}

func bounded(s string) string {
	if len(s) > maxTarget {
		return s[:maxTarget] + "..."
	}
	return s
}

func (x *exchange) failQuery(e *api.Error, action string) {
	x.h.reject(x.r, string(e.Code), action)
	x.writeQueryError(e)
}

// queryCodes are the names and statuses that Query services have for what all services answer.
var queryCodes = map[api.ErrorCode]struct {
	code   api.ErrorCode
	status int
}{
	api.AccessDeniedException:               {"AccessDenied", http.StatusForbidden},
	api.ExpiredTokenException:               {"ExpiredToken", http.StatusForbidden},
	api.IncompleteSignatureException:        {"IncompleteSignature", http.StatusBadRequest},
	api.InvalidSignatureException:           {"SignatureDoesNotMatch", http.StatusForbidden},
	api.MissingAuthenticationTokenException: {"MissingAuthenticationToken", http.StatusForbidden},
	api.SerializationException:              {"MalformedQueryString", http.StatusBadRequest},
	api.ThrottlingException:                 {"Throttling", http.StatusBadRequest},
	api.UnrecognizedClientException:         {"InvalidClientTokenId", http.StatusForbidden},
	api.ValidationException:                 {"ValidationError", http.StatusBadRequest},
	api.KMSInternalException:                {"InternalFailure", http.StatusInternalServerError},
	"InvalidAction":                         {"InvalidAction", http.StatusBadRequest},
	errTooLarge.Code:                        {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge},
}

func (x *exchange) writeQueryError(e *api.Error) {
	status := e.Code.Status()
	if q, ok := queryCodes[e.Code]; ok {
		e, status = &api.Error{Code: q.code, Message: e.Message}, q.status
	}
	if status == http.StatusRequestEntityTooLarge {
		x.w.Header().Set("Connection", "close")
	}
	x.out = api.AppendQueryError(x.out[:0], api.STSNamespace, x.requestID, status, e)
	x.write(status, xmlTypeHeader)
}
