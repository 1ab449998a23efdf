package wire

import (
	"errors"
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/service"
)

// streamStall is how long who gets a stream may take to read what is in the buffers on the way.
const streamStall = time.Minute

// Who gets a stream holds what it is made of, such as a state of the store. So reading is to take no longer than at streamRate, in bytes a second,
// and streamSlack more. Only the time counts that writing takes, not that of making the stream.
const (
	streamRate  = 64 << 10
	streamSlack = 10 * time.Minute
)

// streamFields is how the header fields of streams begin.
const streamFields = "X-Keyturn-"

// stream sends a response as it is made, in chunks. How long that may take depends on what it has: see streamRate. If it cannot
// be finished the connection is broken off, so that nobody takes it for whole.
func (x *exchange) stream(s service.Stream) {
	rc := http.NewResponseController(x.w)
	// The server's limit on reading requests would end the context of this one, which has been read.
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		x.h.Log.Warn("no deadlines on this connection", "requestID", x.requestID, "error", err)
	}
	mediaType, fields := s.Head()
	header := x.w.Header()
	header["Content-Type"] = []string{mediaType}
	header["Cache-Control"] = []string{"no-store"}
	for name, value := range fields {
		header.Set(streamFields+name, value)
	}
	x.w.WriteHeader(http.StatusOK)
	if err := s.Send(x.r.Context(), &streamWriter{w: x.w, rc: rc}); err != nil {
		x.h.Log.Warn("a stream was broken off", "requestID", x.requestID, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// errSlow ends a stream that is read too slowly.
var errSlow = errors.New("the client reads less than 64 KiB a second")

// streamWriter gives each write its time, and all together theirs.
type streamWriter struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	behind time.Duration // a reader at streamRate; never before it, so that having been fast is no leave to stall
}

func (s *streamWriter) Write(b []byte) (int, error) {
	start := time.Now()
	if err := s.rc.SetWriteDeadline(start.Add(streamStall)); err != nil {
		return 0, err
	}
	n, err := s.w.Write(b)
	s.behind = max(0, s.behind+time.Since(start)-time.Duration(n)*time.Second/streamRate)
	if err == nil && s.behind > streamSlack {
		err = errSlow
	}
	return n, err
}
