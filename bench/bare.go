package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/internal/wire"
)

// reply is an answer to repeat. Date is not in it: net/http writes that.
type reply struct {
	Header map[string][]string
	Body   []byte
}

// bareHandler is the yardstick: it reads the whole request and answers as many bytes as keyturn does, with the same headers. It
// is the cheapest handler that net/http has room for: one buffer of the right size, headers assigned and not made. library, if not nil, is
// called in between: the work that no server can spare itself.
func bareHandler(r reply, library func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ContentLength < 0 || req.ContentLength > 1<<20 {
			http.Error(w, "", http.StatusRequestEntityTooLarge)
			return
		}
		body := make([]byte, req.ContentLength)
		if _, err := io.ReadFull(req.Body, body); err != nil {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		if library != nil {
			if err := library(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		header := w.Header()
		for name, values := range r.Header {
			header[name] = values
		}
		w.WriteHeader(http.StatusOK)
		w.Write(r.Body) //nolint:errcheck // the client notices
	})
}

func runBare(c roleConfig) error {
	chosen, err := chooseOperations(c.Operation)
	if err != nil {
		return err
	}
	var library func() error
	if o := chosen[0]; o.library != nil {
		if library, err = o.library(); err != nil {
			return err
		}
	}
	return serve(bareHandler(c.Reply, library), c.Ready)
}

// serve serves with keyturn's own server settings until SIGTERM.
func serve(h http.Handler, ready string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := wire.NewServer(h, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if err := writeReady(ready, "http://"+l.Addr().String()); err != nil {
		return errors.Join(err, srv.Close())
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(drain)
}

// writeReady writes the ready file whole or not at all: its reader does not wait.
func writeReady(path, endpoint string) error {
	if err := os.WriteFile(path+".tmp", []byte(endpoint+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
