package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	placeCheck = time.Second      // the file is looked at so often at most, whoever asks
	placeWatch = 10 * time.Second // and so often if nobody does
)

// place watches whether the file of the store is still where it was opened.
type place struct {
	look func() error
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	looked time.Time
	err    error
}

func newPlace(look func() error, now func() time.Time, log *slog.Logger) *place {
	return &place{look: look, now: now, log: log}
}

// check returns what is wrong with the place of the store, as of the last second, and tells the log when that begins. Nil: nothing.
func (p *place) check() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); p.looked.IsZero() || now.Sub(p.looked).Abs() >= placeCheck {
		p.looked = now
		err := p.look()
		switch {
		case err != nil && p.err == nil:
			p.log.Error("the store's file was removed or replaced: what is answered from now on is lost when the server stops; "+
				"make a backup (keyturn backup --endpoint URL) before you stop it", "error", err)
		case err == nil && p.err != nil:
			p.log.Info("the store's file is back in its place")
		}
		p.err = err
	}
	return p.err
}

// run looks now and then, until ctx ends.
func (p *place) run(ctx context.Context) {
	tick := time.NewTicker(placeWatch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = p.check() // the log says it
		}
	}
}
