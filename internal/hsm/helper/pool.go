package helper

import "sync"

// pool hands out sessions, at most limit of them, fewer if the token has no more to give.
type pool struct {
	m Module

	mu    sync.Mutex
	freed sync.Cond // an idle session, or room for one
	idle  []Session
	open  int // idle and handed out
	limit int
}

func newPool(m Module, limit int) *pool {
	p := &pool{m: m, limit: limit}
	p.freed.L = &p.mu
	return p
}

// with runs f with a session. When the session turns out to be gone, or stuck in another operation, f runs once more with a
// new one; so f must be able to run twice.
func (p *pool) with(f func(Session) error) error {
	s, err := p.take()
	if err != nil {
		return err
	}
	err = f(s)
	if broken(err) {
		if s, err = p.replace(s); err != nil {
			return err
		}
		err = f(s)
	}
	if broken(err) {
		_ = p.m.CloseSession(s)
		p.forget()
		return err
	}
	p.mu.Lock()
	p.idle = append(p.idle, s)
	p.mu.Unlock()
	p.freed.Signal()
	return err
}

func broken(err error) bool {
	return isCKR(err, SessionHandleInvalid, SessionClosed, OperationActive)
}

// take returns an idle session or opens one; if there can be no more, it waits for one.
func (p *pool) take() (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if n := len(p.idle); n > 0 {
			s := p.idle[n-1]
			p.idle = p.idle[:n-1]
			return s, nil
		}
		if p.open < p.limit {
			p.open++
			p.mu.Unlock()
			s, err := p.m.OpenSession()
			p.mu.Lock()
			if err == nil {
				return s, nil
			}
			p.open--
			p.freed.Signal()
			if !isCKR(err, SessionCount) || p.open == 0 {
				return 0, err
			}
			p.limit = p.open // the token's limit is lower
			continue
		}
		p.freed.Wait()
	}
}

// replace closes a session and opens another; the other one first, because closing the last session logs the user out.
func (p *pool) replace(s Session) (Session, error) {
	fresh, err := p.m.OpenSession()
	if isCKR(err, SessionCount) {
		_ = p.m.CloseSession(s)
		if fresh, err = p.m.OpenSession(); err == nil {
			return fresh, nil
		}
	} else {
		_ = p.m.CloseSession(s)
	}
	if err != nil {
		p.forget()
	}
	return fresh, err
}

// forget makes room for another session in place of one that is closed.
func (p *pool) forget() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
	p.freed.Signal()
}
