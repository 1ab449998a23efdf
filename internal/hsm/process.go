package hsm

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// process is a running helper.
type process struct {
	pid    int
	in     io.WriteCloser // its stdin
	out    io.ReadCloser  // its stdout
	kill   func()         // ends it at once; may be called more than once
	exited <-chan struct{}
}

// lastWords is for how long what a process has left in its pipes is read after it ended. Its children may hold them open.
const lastWords = 100 * time.Millisecond

// inherited is what of the environment the helper gets.
var inherited = []string{"PATH", "HOME", "TMPDIR", "TZ"}

// spawn starts the helper.
func spawn(c *Config) (*process, error) {
	cmd := exec.Command(c.Helper, "--module", c.Module, "--token", c.Token, "--sessions", strconv.Itoa(c.Sessions))
	cmd.Env = append(make([]string, 0, len(inherited)+len(c.Env)+1), c.Env...)
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append([]string{name + "=" + value}, cmd.Env...) // those of the Config come later, and win
		}
	}
	detach(cmd)

	var pipes pipes
	stdin, in := pipes.open()
	out, stdout := pipes.open()
	log, stderr := pipes.open()
	err := pipes.err
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		err = cmd.Start()
	}
	if err != nil {
		pipes.close()
		return nil, err
	}
	for _, f := range []*os.File{stdin, stdout, stderr} {
		f.Close()
	}

	exited := make(chan struct{})
	go func() {
		wait(cmd)
		_ = out.SetReadDeadline(time.Now().Add(lastWords))
		_ = log.SetReadDeadline(time.Now().Add(lastWords))
		close(exited)
	}()
	go func() {
		defer log.Close()
		logLines(log, c.Log.With("pid", cmd.Process.Pid))
	}()
	return &process{
		pid:    cmd.Process.Pid,
		in:     in,
		out:    out,
		kill:   func() { kill(cmd.Process, exited) },
		exited: exited,
	}, nil
}

// pipes opens pipes and remembers the first error.
type pipes struct {
	files []*os.File
	err   error
}

func (p *pipes) open() (r, w *os.File) {
	if p.err != nil {
		return nil, nil
	}
	if r, w, p.err = os.Pipe(); p.err == nil {
		p.files = append(p.files, r, w)
	}
	return r, w
}

func (p *pipes) close() {
	for _, f := range p.files {
		f.Close()
	}
}

const (
	maxLine        = 1 << 10 // bytes of a line that are logged
	linesPerMinute = 100
)

// logLines logs what the helper prints, within limits, until r ends.
func logLines(r io.Reader, log *slog.Logger) {
	var minute time.Time
	lines := 0
	long := false // in the rest of a line that was too long
	for br := bufio.NewReaderSize(r, maxLine); ; {
		line, isPrefix, err := br.ReadLine()
		if err != nil {
			return
		}
		skip := long
		long = isPrefix
		if skip || len(line) == 0 {
			continue
		}
		if now := time.Now(); now.Sub(minute) >= time.Minute {
			minute, lines = now, 0
		}
		if lines++; lines <= linesPerMinute {
			log.Warn("PKCS#11 helper printed", "line", printable(line))
		} else if lines == linesPerMinute+1 {
			log.Warn("PKCS#11 helper prints too much, the rest of this minute is left out")
		}
	}
}
