package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
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

// TestStreamDeadlines: the time of the whole is not bounded, that of each write is; a client that does not read ends the stream.
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
