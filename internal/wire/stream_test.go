package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// fakeStream sends parts, then ends with an error.
type fakeStream struct {
	parts []string
	err   error
}

func (*fakeStream) AppendJSON(dst []byte) []byte { return dst }
func (*fakeStream) Discard()                     {}

func (*fakeStream) Head() (string, map[string]string) {
	return "application/octet-stream", map[string]string{"Backup-State": "state"}
}

func (s *fakeStream) Send(_ context.Context, w io.Writer) error {
	for _, p := range s.parts {
		if _, err := io.WriteString(w, p); err != nil {
			return err
		}
	}
	return s.err
}

func streamHandler(s *fakeStream) http.Handler {
	h := NewHandler(Config{Log: slog.New(slog.DiscardHandler)})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{h: h, w: w, r: r}
		defer x.release()
		x.stream(s)
	})
}

// TestStream: what is sent arrives, and what could not be finished does not look whole, over HTTP/1.1 and HTTP/2.
func TestStream(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for name, test := range map[string]struct {
			err  error
			want string
		}{"whole": {nil, "onetwo"}, "broken off": {errors.New("the store is gone"), ""}} {
			t.Run(name, func(t *testing.T) {
				srv := httptest.NewUnstartedServer(streamHandler(&fakeStream{[]string{"one", "two"}, test.err}))
				srv.EnableHTTP2 = http2
				srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
				srv.StartTLS()
				defer srv.Close()
				resp, err := srv.Client().Get(srv.URL)
				if err != nil {
					if test.err == nil {
						t.Fatal(err)
					}
					return // nothing has arrived before the end
				}
				defer resp.Body.Close() //nolint:errcheck // of a test
				if (resp.ProtoMajor == 2) != http2 {
					t.Fatalf("the protocol is %s", resp.Proto)
				}
				body, err := io.ReadAll(resp.Body)
				if (err != nil) != (test.err != nil) {
					t.Errorf("reading ends with %v", err)
				}
				if test.err == nil && (string(body) != test.want || resp.Header.Get("X-Keyturn-Backup-State") != "state") {
					t.Errorf("%q with %v", body, resp.Header)
				}
			})
		}
	}
}

// codes is an Observer that keeps how requests ended.
type codes []api.ErrorCode

func (*codes) Begin(*http.Request) service.Trace { return nil }
func (c *codes) End(o *Observation)              { *c = append(*c, o.Code) }

// TestStreamObserved: a stream that was broken off was no success for metrics, request log and traces.
func TestStreamObserved(t *testing.T) {
	for want, err := range map[api.ErrorCode]error{"": nil, api.KMSInternalException: errors.New("the store is gone")} {
		var seen codes
		h := NewHandler(Config{Log: slog.New(slog.DiscardHandler), Observer: &seen})
		func() {
			defer func() { _ = recover() }() // what net/http does
			x := &exchange{h: h, w: &deadlines{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest(http.MethodPost, "/", nil)}
			defer x.release()
			x.stream(&fakeStream{[]string{"one"}, err})
		}()
		if len(seen) != 1 || seen[0] != want {
			t.Errorf("ended with %v: observed %q, want %q", err, seen, want)
		}
	}
}

// slow is a connection whose other side reads so many bytes a second.
type slow struct {
	deadlines
	rate, from int // from is the write with which it begins to be slow
}

func (s *slow) Write(b []byte) (int, error) {
	if len(s.write) > s.from {
		time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(s.rate)) // of the bubble
	}
	return s.deadlines.Write(b)
}

// TestStreamSlow: who reads, but too slowly, is cut off before the stream is much behind its time, also after a fast beginning; who reads at the
// rate that is asked for never is.
func TestStreamSlow(t *testing.T) {
	const part = 32 << 10
	for name, test := range map[string]struct {
		rate, from int
		cut        time.Duration // after which the stream is broken off at the latest; 0: never
	}{
		"at the rate":            {streamRate, 0, 0},
		"half of it":             {streamRate / 2, 0, 2*streamSlack + time.Second},
		"64 KiB a minute":        {1100, 0, streamSlack + time.Minute},
		"slow after 1000 writes": {1100, 1000, streamSlack + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &slow{deadlines{ResponseWriter: discarding{}}, test.rate, test.from}
				s := &streamWriter{w: w, rc: http.NewResponseController(w)}
				start := time.Now()
				var err error
				for range 5000 {
					if _, err = s.Write(make([]byte, part)); err != nil {
						break
					}
				}
				took := time.Since(start)
				if test.cut == 0 && err != nil || test.cut > 0 && (!errors.Is(err, errSlow) || took > test.cut || took < streamSlack) {
					t.Errorf("ended after %v with %v", took, err)
				}
			})
		})
	}
}

// TestStreamSlowServer: the time that the stream itself takes is not the client's.
func TestStreamSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &deadlines{ResponseWriter: discarding{}}
		s := &streamWriter{w: w, rc: http.NewResponseController(w)}
		for range 10 {
			time.Sleep(streamSlack)
			if _, err := s.Write([]byte("part")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// discarding is a response that nobody keeps.
type discarding struct{}

func (discarding) Header() http.Header         { return http.Header{} }
func (discarding) Write(b []byte) (int, error) { return len(b), nil }
func (discarding) WriteHeader(int)             {}

// deadlines is a connection that notes what it is told.
type deadlines struct {
	http.ResponseWriter
	read    []time.Time
	write   []time.Time
	stalled bool
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	if d.stalled && len(d.write) > 1 {
		return 0, context.DeadlineExceeded
	}
	return d.ResponseWriter.Write(b)
}

// TestStreamDeadlines: each write has its time; a client that does not read ends the stream.
func TestStreamDeadlines(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		d := &deadlines{ResponseWriter: httptest.NewRecorder(), stalled: stalled}
		ended := func() (v any) {
			defer func() { v = recover() }()
			streamHandler(&fakeStream{parts: []string{"a", "b", "c"}}).ServeHTTP(d, httptest.NewRequest(http.MethodPost, "/", nil))
			return nil
		}()
		if len(d.read) != 1 || !d.read[0].IsZero() {
			t.Errorf("deadlines to read: %v", d.read)
		}
		if stalled {
			if ended != http.ErrAbortHandler || len(d.write) != 2 {
				t.Errorf("a stalled client: %d writes, ended with %v", len(d.write), ended)
			}
			continue
		}
		if ended != nil || len(d.write) != 3 {
			t.Fatalf("%d writes, ended with %v", len(d.write), ended)
		}
		for _, w := range d.write {
			if left := time.Until(w); left <= 0 || left > streamStall {
				t.Errorf("a write has %v", left)
			}
		}
	}
}
