package unseal

import (
	"crypto/subtle"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/seal/awskms"
)

const (
	// Path takes a share or the passphrase (POST) and tells the state (GET, a Status).
	Path = "/unseal"
	// ResetPath forgets the shares that were given; the body is one of them, so that no stranger can.
	ResetPath = "/unseal/reset"
	// ContentType is what a body is sent as: the text itself, in one line. No web page can send this type without being asked, and nobody answers
	// the browser's question.
	ContentType = "application/x-keyturn-unseal"
	// CodeSealed is the error code of every call of the API meanwhile, with status 503: SDKs try again.
	CodeSealed = "ServiceUnavailableException"
	// MaxBody is the length of a body in bytes, at most.
	MaxBody = 2048
)

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v := r.Header[awskms.ProcessHeader]; len(v) > 0 && g.Process != "" && subtle.ConstantTimeCompare([]byte(v[0]), []byte(g.Process)) == 1 {
		refuseJSON(w, http.StatusBadRequest, awskms.OwnSealCode, awskms.ErrOwnSeal.Error())
		return
	}
	if r.URL.Path == Path || r.URL.Path == ResetPath {
		g.serveUnseal(w, r)
		return
	}
	if api := g.api.Load(); api != nil {
		(*api).ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/healthz":
		respond(w, http.StatusOK, "text/plain; charset=utf-8", "ok\n")
	case "/readyz":
		respond(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", "not ready: "+g.status().Text+"\n")
	default:
		refuse(w, r)
	}
}

const sealedText = "The server is sealed. Try again once it has been unsealed."

// refuse answers a call of the API with what every SDK tries again after.
func refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "5")
	if r.Method == http.MethodGet || strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") { // AWS Query
		respond(w, http.StatusServiceUnavailable, "text/xml", "<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code><Message>"+
			sealedText+"</Message></Error></ErrorResponse>\n")
		return
	}
	refuseJSON(w, http.StatusServiceUnavailable, CodeSealed, sealedText)
}

// refuseJSON answers as AWS JSON 1.1 does. Neither text needs escaping.
func refuseJSON(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("x-amzn-ErrorType", code)
	respond(w, status, "application/x-amz-json-1.1", `{"__type":"`+code+`","message":"`+message+`"}`)
}

func respond(w http.ResponseWriter, status int, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text) //nolint:errcheck // nobody is left to tell
}

func (g *Gate) serveUnseal(w http.ResponseWriter, r *http.Request) {
	// Only browsers send these, and no page has business here.
	if len(r.Header["Origin"]) > 0 || len(r.Header["Sec-Fetch-Site"]) > 0 {
		g.report(r, "UnsealFromBrowser")
		answer(w, http.StatusForbidden, Status{}, "requests of browsers are refused")
		return
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == Path:
		answer(w, http.StatusOK, g.status(), "")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		answer(w, http.StatusMethodNotAllowed, Status{}, "only GET and POST are possible")
	case len(r.Header["Content-Type"]) != 1 || r.Header["Content-Type"][0] != ContentType:
		answer(w, http.StatusUnsupportedMediaType, Status{}, "the content type must be "+ContentType)
	default:
		g.take(w, r)
	}
}

// checker is an Attended whose pieces cannot be guessed and cost but a hash to check. Check is nil for a right one; it may be called at any time.
type checker interface {
	Check(sealed, text []byte) error
}

// right tells whether a text is one of the shares that are waited for.
func (w *wait) right(text []byte) bool {
	c, ok := w.provider.(checker)
	return ok && c.Check(w.sealed, text) == nil
}

// take takes what a person gives. Only what is not right without a doubt counts against the limits, and these are asked at the last moment: bodies
// come slowly, and many at once. A right share, and whoever is on this machine, waits for what is being looked at, so that strangers hold neither up.
func (g *Gate) take(w http.ResponseWriter, r *http.Request) {
	var body [MaxBody + 1]byte
	defer clear(body[:])
	n, err := io.ReadFull(r.Body, body[:])
	switch {
	case n > MaxBody:
		w.Header().Set("Connection", "close")
		answer(w, http.StatusRequestEntityTooLarge, Status{}, "the body is too long")
		return
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		answer(w, http.StatusBadRequest, Status{}, "the body could not be read")
		return
	}
	ip, wait := remoteIP(r), g.waited()
	right := wait != nil && wait.right(body[:n])
	if right || ip.IsLoopback() {
		g.trying.Lock()
	} else if !g.trying.TryLock() { // one at a time
		later(w, time.Second)
		return
	}
	defer g.trying.Unlock()
	if !right {
		if pause := g.tries.allow(ip); pause > 0 {
			g.report(r, "UnsealThrottled")
			later(w, pause)
			return
		}
	}
	if wait == nil || wait != g.waited() || wait.over() {
		s := Status{Sealed: g.api.Load() == nil, Text: "not sealed"}
		if s.Sealed {
			s.Text = "sealed, and not waiting for people"
		}
		answer(w, http.StatusConflict, s, "the server does not wait for a share or passphrase now")
		return
	}
	if r.URL.Path == ResetPath {
		g.reset(w, r, wait, body[:n])
		return
	}
	began := g.Now()
	needs, err := wait.provider.Give(wait.sealed, body[:n])
	given := errors.Is(err, seal.ErrGiven)
	g.tries.tried(ip, err != nil && !given, g.Now().Sub(began))
	status := statusOf(needs)
	switch {
	case errors.Is(err, seal.ErrDamaged):
		wait.end(err) // the server ends with it
		answer(w, http.StatusInternalServerError, Status{Sealed: true, Text: "sealed"}, "the store cannot be opened; the server's log says why")
	case given:
		g.report(r, "UnsealGivenAlready")
		answer(w, http.StatusConflict, status, err.Error())
	case err != nil:
		g.report(r, "UnsealRefused")
		g.Log.Warn("what was given does not unseal", "from", ip.String(), "error", err)
		answer(w, http.StatusUnprocessableEntity, status, err.Error())
	default:
		g.report(r, "UnsealTaken")
		g.Log.Info("given to unseal", "what", needs.What, "from", ip.String(), "given", needs.Given, "needed", needs.Needed)
		if needs.Done() {
			wait.end(nil)
		}
		answer(w, http.StatusOK, status, "")
	}
}

// reset forgets what was given, for whoever has a share.
func (g *Gate) reset(w http.ResponseWriter, r *http.Request, wait *wait, text []byte) {
	p, ok := wait.provider.(checker)
	if !ok {
		answer(w, http.StatusConflict, Status{Sealed: true, Text: "sealed"}, "there is nothing to forget: no shares are waited for")
		return
	}
	err := p.Check(wait.sealed, text)
	g.tries.tried(remoteIP(r), err != nil, 0)
	if err != nil {
		g.report(r, "UnsealResetRefused")
	} else {
		wait.provider.Forget()
		g.report(r, "UnsealReset")
		g.Log.Warn("the shares that were given are forgotten", "from", remoteIP(r).String())
	}
	needs, needsErr := wait.provider.Needs(wait.sealed)
	switch {
	case needsErr != nil:
		answer(w, http.StatusInternalServerError, Status{Sealed: true, Text: "sealed"}, "the state cannot be told")
	case err != nil:
		answer(w, http.StatusUnprocessableEntity, statusOf(needs), err.Error())
	default:
		answer(w, http.StatusOK, statusOf(needs), "")
	}
}

// end lets the server go on. The caller holds Gate.trying.
func (w *wait) end(err error) {
	w.err = err
	close(w.done)
}

// over tells whether end was called. The caller holds Gate.trying.
func (w *wait) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func later(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	answer(w, http.StatusTooManyRequests, Status{}, "too many tries, wait a moment")
}

// answer writes a Status. One that says nothing of the state is for whoever was refused before it mattered.
func answer(w http.ResponseWriter, status int, s Status, failure string) {
	s.Error = failure
	if s.Text == "" {
		s.Sealed, s.Text = true, failure
	}
	b, err := json.Marshal(&s)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{}`)
	}
	respond(w, status, "application/json", string(b)+"\n")
}

func (g *Gate) report(r *http.Request, reason string) {
	g.mu.Lock()
	security := g.security
	g.mu.Unlock()
	security.Report(audit.Failure{RemoteIP: remoteIP(r), Reason: reason, UserAgent: r.UserAgent(), Operation: r.URL.Path})
}

func remoteIP(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	ip, _ := netip.ParseAddr(host) // the zero one for what is no address
	return ip.Unmap()
}
