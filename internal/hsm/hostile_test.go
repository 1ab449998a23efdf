package hsm

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// afterWrite is a helper's stdin and stdout: it says what it has to say once it was asked.
type afterWrite struct {
	asked func()
	wait  <-chan struct{}
	out   *bytes.Reader
}

func (a *afterWrite) Write(b []byte) (int, error) { a.asked(); return len(b), nil }
func (a *afterWrite) Close() error                { a.asked(); return nil }

func (a *afterWrite) Read(b []byte) (int, error) {
	<-a.wait
	return a.out.Read(b)
}

// FuzzHostileHelper lets a helper say anything: a call returns a reply that fits it, or ErrUnavailable, and the conversation
// ends with what does not fit.
func FuzzHostileHelper(f *testing.F) {
	q := hsmwire.Message{Code: byte(hsmwire.OpRandom), Fields: [][]byte{hsmwire.PutCount(3)}}
	for _, m := range []hsmwire.Message{
		{ID: 1, Fields: [][]byte{{1, 2, 3}}},
		{ID: 1, Fields: [][]byte{{1, 2, 3, 4}}},
		{ID: 1, Code: byte(hsmwire.StatusNotLoggedIn), Fields: [][]byte{[]byte("text")}},
		{ID: 2, Fields: [][]byte{{1, 2, 3}}},
	} {
		frame, err := hsmwire.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
		f.Add(append(frame, frame...))
		f.Add(frame[:len(frame)-1])
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		wait := make(chan struct{})
		a := &afterWrite{sync.OnceFunc(func() { close(wait) }), wait, bytes.NewReader(out)}
		c := newConn(&process{in: a, out: io.NopCloser(a), kill: func() {}, exited: make(chan struct{})}, 4)
		m, err := c.ask(background, time.Minute, q)
		switch {
		case m.ID == 0 && errors.Is(err, ErrUnavailable):
		case m.ID == 1 && (err == nil) == (m.Code == 0) && (err != nil || len(m.Fields[0]) == 3):
		default:
			t.Errorf("%+v, %v", m, err)
		}
		<-c.done
		if !errors.Is(c.err, ErrUnavailable) {
			t.Errorf("ended with %v", c.err)
		}
	})
}
