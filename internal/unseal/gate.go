// Package unseal is a server's front door while its store is not open yet. A Gate answers health truthfully and refuses every call of the API, takes
// what people give to unseal the store, or waits for the KMS that can; and from the moment on that the store is open, it hands every request to the
// API on the same listener.
package unseal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
)

// Config is what a Gate is made of.
type Config struct {
	Log *slog.Logger
	Now func() time.Time // real time
	// Process is what this process calls itself towards a KMS, see awskms.ProcessHeader. What comes back with it is refused.
	Process string
}

// Gate is the http.Handler of a server from its first moment on. It is safe for concurrent use.
type Gate struct {
	Config
	api     atomic.Pointer[http.Handler] // nil while sealed
	waiting chan struct{}                // closed once it cannot go on by itself
	tries   *limiter
	trying  sync.Mutex // held while something given is looked at; guards the attended provider until it unseals

	mu       sync.Mutex // guards what follows
	security *audit.SecurityLog
	wait     *wait  // nil: for nobody
	reason   string // why it waits, if not for people
	waits    bool   // waiting is closed
}

// wait is what people are waited for.
type wait struct {
	provider seal.Attended
	sealed   []byte
	done     chan struct{} // closed with err set
	err      error
}

// New returns a Gate that is closed.
func New(c Config) *Gate {
	return &Gate{Config: c, waiting: make(chan struct{}), tries: newLimiter(c.Now)}
}

// Waiting is closed once the gate waits for a person, or for a KMS that did not answer.
func (g *Gate) Waiting() <-chan struct{} { return g.waiting }

// SetSecurity gives the log that tries are written to.
func (g *Gate) SetSecurity(l *audit.SecurityLog) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.security = l
}

// Open hands every request to h from now on.
func (g *Gate) Open(h http.Handler) { g.api.Store(&h) }

// Provider returns p as the server shall use it: Unseal waits until enough has been given, where it takes people, and for as long as the error is
// seal.ErrUnavailable. Once the gate is open, it is asked once and never waits.
func (g *Gate) Provider(p seal.Provider) seal.Provider {
	if a, ok := p.(seal.Attended); ok {
		return &attended{Attended: a, gate: g}
	}
	return &retrying{Provider: p, gate: g}
}

// waitsFor notes why the server does not go on by itself.
func (g *Gate) waitsFor(w *wait, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wait, g.reason = w, reason
	if !g.waits && (w != nil || reason != "") {
		g.waits = true
		close(g.waiting)
	}
}

// waited is what people are waited for now, nil if they are not.
func (g *Gate) waited() *wait {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wait
}

// Status is what the gate tells everybody.
type Status struct {
	Sealed bool   `json:"sealed"`
	Needs  string `json:"needs,omitempty"` // "share" or "passphrase"; "" if people can do nothing
	Given  int    `json:"given"`
	Needed int    `json:"needed,omitempty"`
	Of     int    `json:"of,omitempty"`  // how many shares there are
	Set    string `json:"set,omitempty"` // which shares
	Text   string `json:"text"`          // all that, for people
	Error  string `json:"error,omitempty"`
}

// status waits while something given is looked at.
func (g *Gate) status() Status {
	if g.api.Load() != nil {
		return Status{Text: "not sealed"}
	}
	g.mu.Lock()
	w, reason := g.wait, g.reason
	g.mu.Unlock()
	switch {
	case w != nil:
		g.trying.Lock()
		defer g.trying.Unlock()
		n, err := w.provider.Needs(w.sealed)
		if err != nil {
			return Status{Sealed: true, Text: "sealed"}
		}
		return statusOf(n)
	case reason != "":
		return Status{Sealed: true, Text: "sealed: " + reason}
	}
	return Status{Sealed: true, Text: "starting"}
}

func statusOf(n seal.Needs) Status {
	s := Status{Sealed: true, Needs: n.What, Given: n.Given, Needed: n.Needed, Of: n.Of, Set: n.Set, Text: "sealed: " + n.String()}
	if n.Done() {
		s.Needs, s.Text = "", "unsealed: opening the store"
	}
	return s
}

// attended waits for people.
type attended struct {
	seal.Attended
	gate *Gate
}

// Bind implements seal.Bound.
func (a *attended) Bind(deployment string) { bind(a.Attended, deployment) }

// Unseal implements seal.Provider.
func (a *attended) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	g := a.gate
	g.trying.Lock()
	n, err := a.Needs(sealed)
	g.trying.Unlock()
	if err != nil {
		return nil, err
	}
	if !n.Done() && g.api.Load() == nil {
		w := &wait{provider: a.Attended, sealed: sealed, done: make(chan struct{})}
		g.Log.Warn("the server is sealed; it serves nothing until it is unsealed: keyturn unseal", "needs", n.What, "number", n.Needed, "set", n.Set)
		g.waitsFor(w, "")
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-w.done:
			err = w.err
		}
		g.waitsFor(nil, "")
		if err != nil {
			g.trying.Lock()
			defer g.trying.Unlock()
			a.Forget()
			return nil, err
		}
		g.Log.Info("unsealed")
	}
	g.trying.Lock()
	defer g.trying.Unlock()
	return a.Attended.Unseal(ctx, sealed)
}

// retrying waits for a KMS.
type retrying struct {
	seal.Provider
	gate *Gate
}

// Bind implements seal.Bound.
func (r *retrying) Bind(deployment string) { bind(r.Provider, deployment) }

func bind(p seal.Provider, deployment string) {
	if b, ok := p.(seal.Bound); ok {
		b.Bind(deployment)
	}
}

// Seal implements seal.Provider.
func (r *retrying) Seal(ctx context.Context, root []byte) ([]byte, error) {
	return r.retry(ctx, func() ([]byte, error) { return r.Provider.Seal(ctx, root) })
}

// Unseal implements seal.Provider.
func (r *retrying) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	return r.retry(ctx, func() ([]byte, error) { return r.Provider.Unseal(ctx, sealed) })
}

// The pauses between tries of a KMS, doubled from the first to the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

func (r *retrying) retry(ctx context.Context, try func() ([]byte, error)) ([]byte, error) {
	g := r.gate
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		b, err := try()
		if g.api.Load() != nil || !errors.Is(err, seal.ErrUnavailable) || ctx.Err() != nil {
			g.waitsFor(nil, "")
			return b, err
		}
		g.Log.Warn("the server is sealed, and tries again", "error", err, "in", pause.String())
		g.waitsFor(nil, "waiting for the KMS that holds its key")
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}
