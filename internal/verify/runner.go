package verify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/seal"
)

// ErrRunning: a verification is under way, and there is one at a time.
var ErrRunning = errors.New("verify: a verification is under way")

// State says how a run of a Runner is.
type State string

// The states.
const (
	Running  State = "RUNNING"
	Complete State = "COMPLETE"
	Failed   State = "FAILED" // it could not look at everything; Problem says why
)

// Status is how the latest run of a Runner is.
type Status struct {
	ID         string
	State      State
	Problem    string // with Failed
	Start, End time.Time
	Progress   Progress
	Report     *Report // with Complete; nobody changes it
}

// RunnerConfig is what a Runner works on.
type RunnerConfig struct {
	Store *seal.Store
	Sink  audit.Sink
	// LogDir is where Sink keeps its segments, "" if it has none.
	LogDir  string
	Scratch string                // see Config
	Room    func() (int64, error) // see Config
	// StoreBytes and LogBytes tell about how much there is to read; nil: nobody knows.
	StoreBytes, LogBytes func() int64
	Now                  func() time.Time
	Log                  *slog.Logger
	// Done is told of each run that has come to its end.
	Done func(Status)
}

// Runner verifies the store of a running server, one run at a time, in the background. It is safe for concurrent use.
type Runner struct {
	config RunnerConfig
	stop   context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup

	mu     sync.Mutex
	status *Status // guarded by mu; nil before the first run
	closed bool    // guarded by mu
}

// NewRunner returns a Runner. It must be closed before its store is.
func NewRunner(c RunnerConfig) *Runner {
	r := &Runner{config: c}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Start begins a run. ErrRunning: one is under way.
func (r *Runner) Start() (Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return Status{}, context.Canceled
	}
	if r.status != nil && r.status.State == Running {
		return *r.status, ErrRunning
	}
	r.status = &Status{ID: keys.NewKeyID().String(), State: Running, Start: r.config.Now(), Progress: Progress{Phase: PhaseStore}}
	r.wg.Go(r.run)
	return *r.status, nil
}

// Status returns that of the latest run; ok is false if there was none since the server started.
func (r *Runner) Status() (s Status, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == nil {
		return Status{}, false
	}
	return *r.status, true
}

// Close ends a run that is under way, and waits for that.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
	return nil
}

func (r *Runner) run() {
	report, err := r.verify()
	r.mu.Lock()
	s := r.status
	s.End, s.Report, s.State = r.config.Now(), report, Complete
	if err != nil {
		s.State, s.Problem = Failed, "it could not be read: the server's log says why"
		if errors.Is(err, ErrSpace) {
			s.Problem = "its scratch files would leave the server too little free space: make room in the data directory"
		}
		if r.ctx.Err() != nil {
			s.Problem = "the server was stopped"
		} else {
			r.config.Log.Error("verification failed", "error", err)
		}
	} else {
		r.config.Log.Info("verification complete", "findings", report.Total(), "records", report.Records)
	}
	done := *s
	r.mu.Unlock()
	if r.config.Done != nil && r.ctx.Err() == nil {
		r.config.Done(done)
	}
}

func (r *Runner) verify() (*Report, error) {
	c := r.config
	certain := c.Sink.NextSeq() // before the snapshot: see Config
	snapshot, err := c.Store.TakeSnapshot(r.ctx)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	config := Config{Snapshot: snapshot, Certain: certain, Scratch: c.Scratch, Room: c.Room, Log: LogSink{c.Sink}, Rest: restFor, Progress: r.progress}
	// Behind the snapshot: what it shows is in the log up to here, or on its way there in the snapshot itself.
	switch last := c.Sink.NextSeq() - 1; {
	case c.LogDir != "" && last == 0:
		config.Log = noLines{}
	case c.LogDir != "":
		config.Log = LogDir{Dir: c.LogDir, To: last}
	}
	if c.StoreBytes != nil {
		config.StoreBytes = c.StoreBytes()
	}
	if c.LogBytes != nil {
		config.LogBytes = c.LogBytes()
	}
	return Run(r.ctx, config)
}

func (r *Runner) progress(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Progress = p
}

const (
	// restShare is how long a run rests after each read, in multiples of what the read took: a quarter of the time is enough.
	restShare = 3
	maxRest   = time.Second
	// minRest is what a timer is worth.
	minRest = time.Millisecond
)

func restFor(ctx context.Context, took time.Duration) error {
	rest := min(took*restShare, maxRest)
	if rest < minRest {
		return ctx.Err()
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// noLines is a log that nothing has been written to.
type noLines struct{}

// Lines implements Log.
func (noLines) Lines(context.Context, func(audit.Line) error, func(audit.Flaw) error) (audit.Survey, error) {
	return audit.Survey{}, nil
}
