package wire

import (
	"net/http"
	"time"

	"github.com/keyturn/keyturn/internal/service"
)

// streamStall is how long who gets a stream may take to read what is in the buffers on the way.
const streamStall = time.Minute

// streamFields is how the header fields of streams begin.
const streamFields = "X-Keyturn-"

// stream sends a response as it is made, in chunks. There is no limit to how long that takes, as long as the other side reads. If it cannot
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

// streamWriter gives each write its time.
type streamWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (s *streamWriter) Write(b []byte) (int, error) {
	if err := s.rc.SetWriteDeadline(time.Now().Add(streamStall)); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}
