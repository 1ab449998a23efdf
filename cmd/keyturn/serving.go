package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// serve serves until ctx ends, then lets running requests finish.
func (a *app) serve(ctx context.Context, l net.Listener, srv *http.Server) error {
	return a.run(ctx, listenOn(ctx, l, srv))
}

// run does what an opened keyturn does while it is served, until ctx ends or serving does; then lets running requests finish and closes.
func (a *app) run(ctx context.Context, s *serving) error {
	runCtx, stopRunner := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { a.runner.Run(runCtx) })
	background.Go(func() { a.countKeys(runCtx) })
	background.Go(func() { a.operator.Maintain(runCtx, a.pipeline) })
	if a.place != nil {
		background.Go(func() { a.place.run(runCtx) })
	}
	background.Go(func() { a.operator.MaintainStore(runCtx, a.pipeline) })
	if a.checks != nil {
		background.Go(func() { a.checks.run(runCtx) })
	}
	err := s.wait(ctx, a.log)
	stopRunner()
	background.Wait()
	return errors.Join(err, a.close())
}

// serving is a listener that is being served.
type serving struct {
	srv   *http.Server
	ended chan error // one error, once
	stop  func()     // ends the context of every request
}

// listenOn begins to serve. What becomes of ctx does not matter: wait has to be called.
func listenOn(ctx context.Context, l net.Listener, srv *http.Server) *serving {
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &serving{srv: srv, ended: make(chan error, 1), stop: stop}
	srv.BaseContext = func(net.Listener) context.Context { return serveCtx }
	go func() {
		if srv.TLSConfig != nil {
			s.ended <- srv.ServeTLS(l, "", "")
		} else {
			s.ended <- srv.Serve(l)
		}
	}()
	return s
}

// wait returns once serving has ended, or ctx has and running requests have finished.
func (s *serving) wait(ctx context.Context, log *slog.Logger) error {
	var err error
	select {
	case err = <-s.ended:
	case <-ctx.Done():
		log.Info("draining")
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		err = s.srv.Shutdown(drain)
		cancel()
		if err != nil { // somebody is not done: cancel what still runs
			err = errors.Join(err, s.srv.Close())
		}
	}
	s.stop()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// isLoopback tells whether a listen address can be reached from this machine only.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
