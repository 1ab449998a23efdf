package hsm

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// conn is the conversation with one helper process. It ends with the first thing that goes wrong, and the process with it.
type conn struct {
	p    *process
	out  chan []byte   // frames to be written; holds as many as can be under way
	done chan struct{} // closed by fail
	err  error         // why; only after done

	mu      sync.Mutex
	ended   bool
	lastID  uint64
	waiting map[uint64]*call
}

// call is a request that waits for its reply. Its caller may have left.
type call struct {
	request hsmwire.Message
	reply   chan hsmwire.Message // has room for it
	timeout *time.Timer          // ends the conn
	release func()               // the call's slot
}

func newConn(p *process, maxInFlight int) *conn {
	c := &conn{
		p:       p,
		out:     make(chan []byte, maxInFlight+1), // one for the supervisor's
		done:    make(chan struct{}),
		waiting: map[uint64]*call{},
	}
	go c.write()
	go c.read()
	go func() {
		select {
		case <-c.done:
		case <-p.exited:
			// What it said before is read first, in the time that spawn leaves for it.
			timer := time.NewTimer(2 * lastWords)
			defer timer.Stop()
			select {
			case <-c.done:
			case <-timer.C:
				c.fail(unavailable("the helper ended"))
			}
		}
	}()
	return c
}

// fail ends the conversation and kills the helper. Only the first error counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	calls := c.waiting
	c.waiting = nil
	c.mu.Unlock()

	c.err = err
	close(c.done)
	c.p.kill()
	_ = c.p.in.Close()
	for _, call := range calls {
		call.timeout.Stop()
		call.release()
	}
}

func (c *conn) write() {
	defer c.wipeQueue()
	for {
		select {
		case <-c.done:
			return
		case frame := <-c.out:
			_, err := c.p.in.Write(frame)
			clear(frame) // a PIN, or plaintext
			if err != nil {
				// Reading finds out why the helper is gone; this is the end in any case.
				select {
				case <-c.done:
				case <-c.p.exited:
				}
				c.fail(unavailable("write to the helper: %w", err))
				return
			}
		}
	}
}

// wipeQueue clears what will not be written any more. Once done is closed, nothing is added.
func (c *conn) wipeQueue() {
	for {
		select {
		case frame := <-c.out:
			clear(frame)
		default:
			return
		}
	}
}

func (c *conn) read() {
	defer c.p.out.Close()
	for {
		m, err := hsmwire.Read(c.p.out)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("the helper ended")
			}
			c.fail(unavailable("%w", err))
			return
		}
		c.mu.Lock()
		call, ok := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if !ok {
			c.fail(unavailable("the helper replied to what was not asked"))
			return
		}
		call.timeout.Stop()
		err = hsmwire.CheckReply(call.request, m)
		if err == nil {
			call.reply <- m
		}
		call.release()
		if err != nil {
			c.fail(unavailable("%w", err))
			return
		}
	}
}

// send sends a request that has passed hsmwire.CheckRequest. If it is not answered within timeout, the helper is killed. The
// slot is released when the call has ended, by send itself if it fails.
func (c *conn) send(q hsmwire.Message, timeout time.Duration, release func()) (*call, error) {
	call := &call{request: q, reply: make(chan hsmwire.Message, 1), release: release}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		release()
		return nil, unavailable("the helper ended")
	}
	c.lastID++
	call.request.ID = c.lastID
	frame, err := hsmwire.Append(nil, call.request)
	if err != nil {
		release()
		return nil, err
	}
	select {
	case c.out <- frame:
	default: // more calls than slots; it cannot be
		clear(frame)
		release()
		return nil, unavailable("too many calls")
	}
	call.timeout = time.AfterFunc(timeout, func() { c.fail(unavailable("the helper did not answer within %v", timeout)) })
	c.waiting[c.lastID] = call
	return call, nil
}

// await waits for the reply, until ctx or the conversation ends.
func (c *conn) await(ctx context.Context, call *call) (hsmwire.Message, error) {
	select {
	case m := <-call.reply:
		return m, nil
	case <-ctx.Done():
		return hsmwire.Message{}, unavailable("%w", context.Cause(ctx))
	case <-c.done:
		select {
		case m := <-call.reply:
			return m, nil
		default:
			return hsmwire.Message{}, c.err
		}
	}
}

// ask is send and await, for the calls of the supervisor, which have no slots.
func (c *conn) ask(ctx context.Context, timeout time.Duration, q hsmwire.Message) (hsmwire.Message, error) {
	call, err := c.send(q, timeout, func() {})
	if err != nil {
		return hsmwire.Message{}, err
	}
	m, err := c.await(ctx, call)
	if err == nil {
		err = replyError(m)
	}
	return m, err
}
