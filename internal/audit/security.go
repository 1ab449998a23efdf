package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
)

// SecurityOptions configure a SecurityLog. Zero values mean the default.
type SecurityOptions struct {
	PerSecond float64          // lines a second over time; 100
	Burst     int              // lines at once; 500
	MaxBytes  int64            // size of each of the two files; 8 MiB
	Now       func() time.Time // time.Now

	files files // tests put faults here
}

// Failure is one request that failed before its sender was known. All of it comes from a stranger.
type Failure struct {
	Time      time.Time  // the log's own clock if zero
	RemoteIP  netip.Addr // as the connection has it
	Reason    string     // an error code, such as InvalidSignatureException; cut to 64 bytes
	UserAgent string     // cut to 256 bytes
	Operation string     // what the request asked for; cut to 128 bytes
}

// SecurityLog keeps the failures before authentication. A stranger can cause as many as they like, so it is bounded
// every way: in lines a second, the ones left out being counted, and in size, by two files, path and path.1, of which
// the older goes. It has no errors for its callers: what it cannot write counts as dropped. A nil *SecurityLog does
// nothing. It is safe for concurrent use.
type SecurityLog struct {
	path string
	opts SecurityOptions

	mu      sync.Mutex // guards what follows
	f       file       // nil once closed
	size    int64
	buf     []byte
	tokens  float64
	filled  time.Time // when tokens was right
	dropped uint64    // since the last line
}

// OpenSecurity opens the log at path, appending to what is there. The directory must exist.
func OpenSecurity(path string, opts SecurityOptions) (*SecurityLog, error) {
	opts.PerSecond = cmp.Or(opts.PerSecond, 100)
	opts.Burst = cmp.Or(opts.Burst, 500)
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 8<<20)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.files = opts.files.or(osFiles())
	l := &SecurityLog{path: path, opts: opts, tokens: float64(opts.Burst), filled: opts.Now()}
	size, err := wholeLines(path)
	if err != nil {
		return nil, fmt.Errorf("audit: security log: %w", err)
	}
	if l.f, err = opts.files.open(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE); err != nil {
		return nil, fmt.Errorf("audit: security log: %w", err)
	}
	// A crash can leave half a line; the next one must not continue it.
	if err := l.f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("audit: security log: %w", err), l.f.Close())
	}
	l.size = size
	return l, nil
}

// maxSecurityLine is more than any line takes: its texts escaped at six bytes for one, and its frame.
const maxSecurityLine = 4096

// wholeLines returns the size of the file at path up to its last newline; 0 if there is no file.
func wholeLines(path string) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(size, maxSecurityLine))
	start := size - int64(len(tail))
	if _, err := f.ReadAt(tail, start); err != nil && err != io.EOF {
		return 0, err
	}
	return start + int64(bytes.LastIndexByte(tail, '\n')) + 1, nil
}

// Report writes one line, or counts it where the rate does not allow it.
func (l *SecurityLog) Report(f Failure) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return
	}
	now := l.opts.Now()
	if !l.take(now) {
		l.dropped++
		return
	}
	l.summarize(now)
	if f.Time.IsZero() {
		f.Time = now
	}
	l.buf = f.appendJSON(l.buf[:0])
	if !l.write() {
		l.dropped++
	}
}

// take takes a token from the bucket, if there is one.
func (l *SecurityLog) take(now time.Time) bool {
	// A clock set back fills nothing, and does not make the next filling larger.
	if passed := now.Sub(l.filled); passed > 0 {
		l.tokens = min(l.tokens+passed.Seconds()*l.opts.PerSecond, float64(l.opts.Burst))
	}
	l.filled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// summarize writes how many failures are missing at this place, if any.
func (l *SecurityLog) summarize(now time.Time) {
	if l.dropped == 0 {
		return
	}
	o := object{dst: append(l.buf[:0], '{')}
	o.time("time", now)
	o.name("dropped")
	o.dst = strconv.AppendUint(o.dst, l.dropped, 10)
	l.buf = o.end()
	if l.write() {
		l.dropped = 0
	}
}

func (f *Failure) appendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.time("time", f.Time)
	if f.RemoteIP.IsValid() {
		o.str("remoteIP", f.RemoteIP.WithZone("").String()) // a zone is as long as its sender likes
	}
	o.str("reason", truncate(f.Reason, 64))
	o.str("userAgent", truncate(f.UserAgent, 256))
	o.str("operation", truncate(f.Operation, 128))
	return o.end()
}

// write writes buf as a line, in a new file if the current one is full, and reports whether it got in whole.
func (l *SecurityLog) write() bool {
	l.buf = append(l.buf, '\n')
	if l.size > 0 && l.size+int64(len(l.buf)) > l.opts.MaxBytes && !l.rotate() {
		return false
	}
	n, err := l.f.Write(l.buf)
	if err == nil && n == len(l.buf) {
		l.size += int64(n)
		return true
	}
	if l.f.Truncate(l.size) != nil {
		l.size += int64(n) // half a line stays, and counts
	}
	return false
}

// rotate makes the current file the previous one. Where that fails the current one stays, full.
func (l *SecurityLog) rotate() bool {
	if err := os.Rename(l.path, l.path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false
	}
	f, err := l.opts.files.open(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return false
	}
	_ = l.f.Close() // nothing waits in it
	l.f, l.size = f, 0
	return true
}

// Close writes the last count of what was left out and closes the file. Closing again does nothing.
func (l *SecurityLog) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	l.summarize(l.opts.Now())
	err := l.f.Close()
	l.f = nil
	if err != nil {
		return fmt.Errorf("audit: security log: %w", err)
	}
	return nil
}
