package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// supervise keeps a helper running until Close: one at a time, a next one only when the last has ended.
func (t *Token) supervise() {
	defer close(t.ended)
	delay := time.Duration(0)
	for {
		began := time.Now()
		c, logins, err := t.start()
		if err == nil {
			err = t.watch(c, logins)
		}
		if c != nil {
			c.fail(err)
			t.reap(c, err)
		}
		if t.closing.Err() != nil {
			return
		}
		if lived := time.Since(began); c != nil && lived >= t.cfg.timing.stable {
			delay = 0
		}
		t.cfg.Log.Warn("PKCS#11 helper failed", "token", t.cfg.Token, "error", err, "retry_in", delay)
		if delay > 0 {
			t.set(nil, err)
			timer := time.NewTimer(delay)
			select {
			case <-timer.C:
			case <-t.closing.Done():
				timer.Stop()
				return
			}
		}
		t.set(nil, nil)
		delay = min(max(2*delay, t.cfg.timing.firstDelay), t.cfg.timing.maxDelay)
	}
}

// set publishes the state and wakes the calls that wait for it.
func (t *Token) set(c *conn, down error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn, t.down = c, down
	close(t.changed)
	t.changed = make(chan struct{})
}

// publish is set for a helper that has just been started. It refuses one whose login is not the present one: a Logout that saw
// no helper relies on that.
func (t *Token) publish(c *conn, logins int) bool {
	t.mu.Lock()
	current := t.logins == logins
	if current {
		t.conn, t.down = c, nil
		close(t.changed)
		t.changed = make(chan struct{})
	}
	t.mu.Unlock()
	return current
}

// reap waits until a killed helper has ended. One that is stuck in a device driver cannot even be killed; calls then fail at
// once, and no other helper is started beside it.
func (t *Token) reap(c *conn, err error) {
	timer := time.NewTimer(t.cfg.timing.unkillable)
	defer timer.Stop()
	select {
	case <-c.p.exited:
	case <-timer.C:
		t.set(nil, err)
		t.cfg.Log.Error("the PKCS#11 helper was killed, but does not end", "token", t.cfg.Token, "error", err)
		<-c.p.exited
	}
}

// start starts a helper, has it load the module, and logs in if somebody was. With an error it may return a conn, to be ended.
// logins tells which login that was.
func (t *Token) start() (c *conn, logins int, err error) {
	p, err := t.cfg.spawn(&t.cfg)
	if err != nil {
		return nil, 0, unavailable("start the helper: %w", err)
	}
	c = newConn(p, t.cfg.MaxInFlight)
	info, err := c.ask(t.closing, t.cfg.StartTimeout, hsmwire.Message{Code: byte(hsmwire.OpInfo), Fields: [][]byte{{hsmwire.Version}}})
	if err != nil {
		return c, 0, err
	}
	i := makeInfo(info.Fields)
	t.cfg.Log.Info("PKCS#11 helper started", "pid", p.pid, "token", i.Label, "manufacturer", i.Manufacturer, "model", i.Model, "serial", i.Serial)

	t.mu.Lock()
	logins = t.logins
	pin := bytes.Clone(t.pin)
	t.mu.Unlock()
	if pin == nil {
		return c, logins, nil
	}
	defer clear(pin)
	_, err = c.ask(t.closing, t.cfg.StartTimeout, hsmwire.Message{Code: byte(hsmwire.OpLogin), Fields: [][]byte{pin}})
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoToken) {
		return c, logins, err // the token has not looked at the PIN, or has taken it
	}
	// The token has: never again with the same PIN, since it counts.
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.logins == logins {
		clear(t.pin)
		t.pin, t.refused = nil, err
		t.logins++
		logins = t.logins
		t.cfg.Log.Error("the token does not accept the PIN any more; log in again", "token", t.cfg.Token, "error", err)
	}
	return c, logins, nil
}

// watch lets calls use the helper, and returns why it ended.
func (t *Token) watch(c *conn, logins int) error {
	if !t.publish(c, logins) {
		return fmt.Errorf("%w: login or logout while the helper was started", ErrUnavailable)
	}
	select {
	case <-c.done:
		return c.err
	case <-t.closing.Done():
		t.end(c)
		return unavailable("closed")
	}
}

// end lets the helper end by itself, as it does when its stdin ends, so that the module can close its sessions.
func (t *Token) end(c *conn) {
	_ = c.p.in.Close()
	timer := time.NewTimer(t.cfg.timing.grace)
	defer timer.Stop()
	select {
	case <-c.p.exited:
	case <-c.done:
	case <-timer.C:
	}
}
