package wire

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

var xmlTypeHeader = []string{"text/xml"}

// QueryService is a service of the AWS Query protocol.
type QueryService struct {
	Name       string // what signatures are scoped to: sts, iam
	Namespace  string // of answers
	Operations map[string]*service.Op
}

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
	action, version := form.Get("Action"), form.Get("Version")
	x.query = x.h.Query[version]
	var op *service.Op
	scope := ""
	if x.query != nil {
		op, scope = x.query.Operations[action], x.query.Name
	}
	x.seen.Op = op
	if op != nil && op.Unsigned {
		x.serveBearer(op, form)
		return
	}
	call, e := x.authenticate(scope)
	if e != nil {
		x.failQuery(e, action)
		return
	}
	if op == nil {
		x.failQuery(&api.Error{Code: "InvalidAction", Message: "Could not find operation " + bounded(action) + " for version " + cmp.Or(bounded(version), "NO_VERSION_SPECIFIED")}, action)
		return
	}
	req := op.NewRequest().(api.QueryRequest)
	x.runQuery(op, call, req, req.DecodeQuery(form))
}

// serveBearer serves an operation whose caller is told by the request. What is not even valid has no caller, and so is no part of the
// audit log: a stranger could fill it.
func (x *exchange) serveBearer(op *service.Op, form url.Values) {
	req := op.NewRequest().(api.QueryRequest)
	err := req.DecodeQuery(form)
	if err == nil {
		err = req.Validate()
	}
	var caller *service.Caller
	region := ""
	if err == nil {
		end := x.step(service.StepAuthenticate)
		caller, region, err = x.h.Bearer(x.r.Context(), req)
		end()
	}
	call, e := x.call(caller, region, err)
	if e != nil {
		x.failQuery(e, op.Name)
		return
	}
	x.runQuery(op, call, req, nil)
}

func (x *exchange) runQuery(op *service.Op, call *service.Call, req api.Request, decodeErr error) {
	resp, err := x.h.Pipeline.Do(x.r.Context(), op, call, req, decodeErr)
	if err != nil {
		e := err.(*api.Error)
		if op.Unsigned && e.Code == api.ThrottlingException {
			x.failQuery(e, op.Name)
			return
		}
		x.writeQueryError(e)
		return
	}
	result, _ := resp.(api.QueryResponse)
	x.out = api.AppendQueryResponse(x.out[:0], x.query.Namespace, op.Name, x.requestID, result)
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
	api.ExpiredIdentityToken:                {"ExpiredTokenException", http.StatusBadRequest},
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
	"InvalidParameterValue":                 {"InvalidParameterValue", http.StatusBadRequest},
	errTooLarge.Code:                        {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge},
}

func (x *exchange) writeQueryError(e *api.Error) {
	x.seen.Code = e.Code
	status := e.Code.Status()
	if q, ok := queryCodes[e.Code]; ok {
		e, status = &api.Error{Code: q.code, Message: e.Message}, q.status
	}
	if status == http.StatusRequestEntityTooLarge {
		x.w.Header().Set("Connection", "close")
	}
	namespace := api.STSNamespace
	if x.query != nil {
		namespace = x.query.Namespace
	}
	x.out = api.AppendQueryError(x.out[:0], namespace, x.requestID, status, e)
	x.write(status, xmlTypeHeader)
}
