package helper

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Handler answers requests that have passed hsmwire.CheckRequest, several at a time.
type Handler interface {
	Handle(hsmwire.Message) hsmwire.Message
}

// drain is how long Serve waits for requests under way when in has ended.
const drain = 2 * time.Second

// Serve answers the requests that come from in, workers at a time, until in ends; then it returns nil. It reads on while all
// workers hang in the module, so that it always sees the end. What it reads and writes is wiped when it was dealt with. An
// error means that whoever asks does not keep to the protocol, or does not read the replies.
func Serve(in io.Reader, out io.Writer, workers int, h Handler) error {
	s := &server{out: out, h: h, jobs: make(chan hsmwire.Message, hsmwire.MaxInFlight), end: make(chan struct{})}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(s.work)
	}
	err := s.read(in)
	close(s.end)
	idle := make(chan struct{})
	go func() { wg.Wait(); close(idle) }()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	if s.mu.TryLock() { // else a write hangs
		defer s.mu.Unlock()
		err = errors.Join(err, s.err)
	}
	return err
}

type server struct {
	h    Handler
	jobs chan hsmwire.Message
	end  chan struct{} // closed when in has ended

	mu  sync.Mutex // held to write
	out io.Writer
	err error // writing failed
}

func (s *server) read(in io.Reader) error {
	for {
		m, err := hsmwire.Read(in)
		if err == nil {
			err = hsmwire.CheckRequest(m)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case s.jobs <- m:
		default:
			return ErrTooMany
		}
	}
}

func (s *server) work() {
	for {
		select {
		case <-s.end: // nobody waits for the rest
			return
		default:
		}
		select {
		case <-s.end:
			return
		case q := <-s.jobs:
			r := s.h.Handle(q)
			q.Wipe()
			s.write(r)
			r.Wipe()
		}
	}
}

func (s *server) write(m hsmwire.Message) {
	frame, err := hsmwire.Append(nil, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if err == nil {
		_, err = s.out.Write(frame)
	}
	clear(frame)
	s.err = err
}
