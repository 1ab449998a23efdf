package helper_test

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

type handlerFunc func(hsmwire.Message) hsmwire.Message

func (f handlerFunc) Handle(m hsmwire.Message) hsmwire.Message { return f(m) }

func frame(t *testing.T, id uint64, op hsmwire.Op, fields ...[]byte) []byte {
	t.Helper()
	b, err := hsmwire.Append(nil, hsmwire.Message{ID: id, Code: byte(op), Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestServe(t *testing.T) {
	in, requests := io.Pipe()
	replies, out := io.Pipe()
	served := make(chan error)
	go func() { served <- helper.Serve(in, out, 2, helper.New(&softtoken.Token{Dir: t.TempDir()}, 2)) }()
	go func() {
		_, _ = requests.Write(frame(t, 1, hsmwire.OpLogin, []byte(softtoken.PIN)))
	}()
	if m, err := hsmwire.Read(replies); err != nil || m.ID != 1 || m.Code != 0 {
		t.Fatal(m, err)
	}
	go func() {
		_, _ = requests.Write(append(frame(t, 2, hsmwire.OpGenerateKey, []byte("a")), frame(t, 3, hsmwire.OpRandom, []byte{0, 9})...))
	}()
	seen := map[uint64]bool{}
	for range 2 {
		m, err := hsmwire.Read(replies)
		if err != nil || m.Code != 0 {
			t.Fatal(m, err)
		}
		seen[m.ID] = true
	}
	if !seen[2] || !seen[3] {
		t.Errorf("replies to %v", seen)
	}
	requests.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeRefusal(t *testing.T) {
	in, requests := io.Pipe()
	replies, out := io.Pipe()
	served := make(chan error)
	go func() { served <- helper.Serve(in, out, 2, helper.Refusal{Status: hsmwire.StatusNoToken, Text: "why"}) }()
	go func() { _, _ = requests.Write(frame(t, 5, hsmwire.OpInfo, []byte{1})) }()
	m, err := hsmwire.Read(replies)
	if err != nil || m.ID != 5 || hsmwire.Status(m.Code) != hsmwire.StatusNoToken || string(m.Fields[0]) != "why" {
		t.Error(m, err)
	}
	requests.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeHostile(t *testing.T) {
	var handled atomic.Int32
	h := handlerFunc(func(q hsmwire.Message) hsmwire.Message { handled.Add(1); return hsmwire.Message{ID: q.ID} })
	for name, in := range map[string][]byte{
		"garbage":           []byte("GET / HTTP/1.1\r\n\r\n"),
		"half a frame":      frame(t, 1, hsmwire.OpLogout)[:10],
		"unknown operation": frame(t, 1, 77),
		"wrong fields":      frame(t, 1, hsmwire.OpEncrypt, []byte("a")),
		"no key ID":         frame(t, 1, hsmwire.OpDestroyKey, []byte("../a")),
	} {
		if err := helper.Serve(bytes.NewReader(in), io.Discard, 2, h); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := handled.Load(); n != 0 {
		t.Errorf("%d requests were handled", n)
	}
}

// The end of stdin is seen while the module hangs, and requests are not taken without bound.
func TestServeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		h := handlerFunc(func(q hsmwire.Message) hsmwire.Message { <-forever; return hsmwire.Message{ID: q.ID} })
		in, requests := io.Pipe()
		served := make(chan error)
		go func() { served <- helper.Serve(in, io.Discard, 1, h) }()
		if _, err := requests.Write(frame(t, 1, hsmwire.OpLogout)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		requests.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("ended after %v", waited)
		}
		many := bytes.Repeat(frame(t, 1, hsmwire.OpLogout), hsmwire.MaxInFlight+2)
		if err := helper.Serve(bytes.NewReader(many), io.Discard, 1, h); !errors.Is(err, helper.ErrTooMany) {
			t.Errorf("%d requests: %v", hsmwire.MaxInFlight+2, err)
		}
		close(forever)
	})
}

func TestServeWipes(t *testing.T) {
	in, requests := io.Pipe()
	replies, out := io.Pipe()
	kept := make(chan []byte, 1)
	h := handlerFunc(func(q hsmwire.Message) hsmwire.Message {
		kept <- q.Fields[0]
		return hsmwire.Message{ID: q.ID}
	})
	served := make(chan error)
	go func() { served <- helper.Serve(in, out, 1, h) }()
	go func() { _, _ = requests.Write(frame(t, 1, hsmwire.OpLogin, []byte("1234"))) }()
	if _, err := hsmwire.Read(replies); err != nil {
		t.Fatal(err)
	}
	requests.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if pin := <-kept; !bytes.Equal(pin, make([]byte, 4)) {
		t.Errorf("the PIN is still there: %q", pin)
	}
}
