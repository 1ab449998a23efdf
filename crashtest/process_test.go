package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a start may take, after any crash.
const startLimit = 10 * time.Second

// binary builds keyturn, or takes the one that KEYTURN_BINARY names.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("KEYTURN_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "keyturn")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/keyturn").CombinedOutput(); err != nil {
		t.Fatalf("building keyturn: %v\n%s", err, out)
	}
	return path
}

// process is one run of keyturn dev.
type process struct {
	cmd      *exec.Cmd
	ready    string
	started  time.Time
	endpoint string        // once ready
	exited   chan struct{} // closed when it is gone, by then err is set
	err      error
	stderr   tail
}

// launch starts keyturn on a data directory and does not wait for it.
func launch(path, dir string) (*process, error) {
	p := &process{ready: dir + ".ready", exited: make(chan struct{})}
	if err := os.Remove(p.ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	p.cmd = exec.Command(path, "dev", "--data-dir", dir, "--listen", "127.0.0.1:0", "--ready-file", p.ready)
	p.cmd.Stderr = &p.stderr
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.err = p.cmd.Wait(); close(p.exited) }()
	return p, nil
}

// await waits until the process serves.
func (p *process) await() error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		if b, err := os.ReadFile(p.ready); err == nil && bytes.HasSuffix(b, []byte("\n")) {
			p.endpoint = strings.TrimSpace(string(b))
			return nil
		}
		select {
		case <-poll.C:
		case <-p.exited:
			return fmt.Errorf("keyturn ended instead of serving: %v\n%s", p.err, &p.stderr)
		case <-limit.C:
			return fmt.Errorf("keyturn does not serve after %v\n%s", startLimit, &p.stderr)
		}
	}
}

// kill ends the process as a crash does and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() //nolint:errcheck // gone already is as good
	<-p.exited
}

// stop ends the process as an operator does.
func (p *process) stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("keyturn did not end: %w\n%s", ctx.Err(), &p.stderr)
	}
}

// tail keeps the end of what a process printed.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
