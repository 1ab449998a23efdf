//go:build cgo && unix

package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

const maxSessions = 64

func main() {
	// keyturn decides when this ends, by closing stdin: not a signal meant for both, which would cut requests short.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	os.Exit(run())
}

func run() int {
	modulePath := flag.String("module", "", "absolute `path` of the PKCS#11 module")
	token := flag.String("token", "", "`label` or serial number of the token")
	sessions := flag.Int("sessions", 8, "most sessions to open, and requests to work on, at a time")
	flag.Parse()
	if *modulePath == "" || *token == "" || *sessions < 1 || *sessions > maxSessions || flag.NArg() > 0 {
		flag.Usage()
		return 2
	}
	harden()
	in, out, err := privateStdio()
	if err != nil {
		complain(err)
		return 1
	}
	m := &lazyModule{path: *modulePath, token: *token, sessions: *sessions}
	err = helper.Serve(in, out, *sessions, m)
	m.finish()
	if err != nil {
		complain(err)
		return 1
	}
	return 0
}

// lazyModule starts the module with the first request, so that the end of stdin is seen even while the module hangs in that.
type lazyModule struct {
	path, token string
	sessions    int

	start sync.Once
	h     helper.Handler
	end   func()
}

// Handle implements helper.Handler. If the module cannot be started, it tells so whoever asks.
func (l *lazyModule) Handle(q hsmwire.Message) hsmwire.Message {
	l.start.Do(func() {
		m, err := loadModule(l.path)
		if err != nil {
			l.h = helper.Refusal{Status: hsmwire.StatusNoModule, Text: err.Error()}
			return
		}
		l.end = m.finalize
		if err := m.choose(l.token); err != nil {
			l.h = helper.Refusal{Status: hsmwire.StatusNoToken, Text: err.Error()}
			return
		}
		l.h = helper.New(m, l.sessions)
	})
	return l.h.Handle(q)
}

// finish gives the module a second to end in good order.
func (l *lazyModule) finish() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.start.Do(func() {}) // waits while it starts
		if l.end != nil {
			l.end()
		}
	}()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func complain(err error) { fmt.Fprintln(os.Stderr, "keyturn-pkcs11:", err) }
