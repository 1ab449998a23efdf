package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sample is what one run of the client saw.
type sample struct {
	requests int64
	elapsed  time.Duration
	cpu      time.Duration // of the server
}

// perSecond is the throughput.
func (s sample) perSecond() float64 { return float64(s.requests) / s.elapsed.Seconds() }

// micros is the time of one request on one connection, in microseconds.
func (s sample) micros() float64 {
	return float64(s.elapsed) / float64(time.Microsecond) / float64(s.requests)
}

// cpuMicros is the server's processor time for one request, in microseconds.
func (s sample) cpuMicros() float64 {
	return float64(s.cpu) / float64(time.Microsecond) / float64(s.requests)
}

// replay sends one prebuilt request over and over on n keep-alive connections for a time. Its client does as little as it can,
// since it has its share of the same processors: it writes bytes that stand ready, and of a reply it looks at status and length.
func replay(ctx context.Context, server *child, request []byte, n int, d time.Duration) (sample, error) {
	conns := make([]*conn, n)
	for i := range conns {
		c, err := dial(ctx, server.addr())
		if err != nil {
			return sample{}, err
		}
		defer c.Close()
		conns[i] = c
		if err := c.roundTrip(request); err != nil { // not measured: the connection's buffers come to be
			return sample{}, err
		}
	}
	var stop atomic.Bool
	var total atomic.Int64
	errs := make([]error, n)
	var wg sync.WaitGroup
	cpu, err := cpuTime(server.pid())
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	for i, c := range conns {
		wg.Go(func() {
			count := int64(0)
			for !stop.Load() && ctx.Err() == nil {
				if errs[i] = c.roundTrip(request); errs[i] != nil {
					return
				}
				count++
			}
			total.Add(count)
		})
	}
	wg.Wait()
	s := sample{requests: total.Load(), elapsed: time.Since(begin)}
	after, err := cpuTime(server.pid())
	s.cpu = after - cpu
	if err := errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return sample{}, err
	}
	if s.requests == 0 {
		return sample{}, errors.New("not one request was answered")
	}
	return s, nil
}

// conn is a client connection with its buffer.
type conn struct {
	net.Conn
	buf []byte
}

func dial(ctx context.Context, addr string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	// Without it a server that hangs would hang the bench.
	if err := c.SetDeadline(time.Now().Add(maxDuration + 30*time.Second)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &conn{Conn: c, buf: make([]byte, 64<<10)}, nil
}

// roundTrip sends a request and reads its reply, which must be a success that fits the buffer.
func (c *conn) roundTrip(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(c.buf[n:])
		if err != nil {
			return fmt.Errorf("reading a reply: %w", err)
		}
		n += m
		size, err := replySize(c.buf[:n])
		switch {
		case err != nil:
			return err
		case size == n:
			return nil
		case size > 0 && n > size:
			return fmt.Errorf("a reply of %d bytes has %d more behind it", size, n-size)
		case n == len(c.buf):
			return fmt.Errorf("a reply is longer than %d bytes", n)
		}
	}
}

// replySize returns the length of the reply that data begins with, 0 if its head is not complete yet. Other statuses than 200
// are errors, and so are replies without Content-Length.
func replySize(data []byte) (int, error) {
	head := bytes.Index(data, []byte("\r\n\r\n"))
	if head < 0 {
		return 0, nil
	}
	body := head + 4
	if !bytes.HasPrefix(data, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("the server refused: %s", strings.ToValidUTF8(string(data[:min(len(data), body+300)]), "?"))
	}
	const name = "\r\nContent-Length: "
	i := bytes.Index(data[:body], []byte(name))
	if i < 0 {
		return 0, errors.New("a reply has no Content-Length")
	}
	value := data[i+len(name) : body]
	length, err := strconv.Atoi(string(value[:bytes.IndexByte(value, '\r')]))
	if err != nil || length < 0 {
		return 0, errors.New("a reply has no valid Content-Length")
	}
	return body + length, nil
}
