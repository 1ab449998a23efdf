package wire

import (
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// Observer is told of every request to the API, also of those that nobody signed. Its methods are called from any goroutine, and are
// on the way of every request.
type Observer interface {
	// Begin is called before anything of a request is read. The trace follows it through the pipeline; nil: nobody does.
	Begin(r *http.Request) service.Trace
	// End is called once the request is answered. Nothing may be kept of o but what it points to.
	End(o *Observation)
}

// Observation is what there is to say of a request.
type Observation struct {
	RequestID string
	Op        *service.Op   // nil: the request names no operation of this server
	Call      *service.Call // nil: who asks was not found out
	Code      api.ErrorCode // "" for success
	Start     time.Time     // real time
	Duration  time.Duration
	Trace     service.Trace // what Begin returned
}

// observe tells the observer how the exchange went.
func (x *exchange) observe(panicked bool) {
	if x.h.Observer == nil {
		return
	}
	if panicked {
		x.seen.Code = api.KMSInternalException
	}
	x.seen.RequestID, x.seen.Duration = x.requestID, time.Since(x.seen.Start)
	x.h.Observer.End(&x.seen)
}

// step tells who follows the exchange that a step begins.
func (x *exchange) step(name string) (end func()) { return service.Step(x.seen.Trace, name) }
