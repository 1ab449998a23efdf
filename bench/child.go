package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// child is a server in a process of its own, so that its processor time can be told from the client's.
type child struct {
	cmd      *exec.Cmd
	endpoint string
	startup  time.Duration // from exec to the ready file
	stderr   bytes.Buffer  // whole only after exited
	exited   chan struct{}
	err      error // set before exited is closed
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
	// pollReady is how often the ready file is looked for, and so the resolution of startup.
	pollReady = 200 * time.Microsecond
)

func (c *child) pid() int     { return c.cmd.Process.Pid }
func (c *child) addr() string { return strings.TrimPrefix(c.endpoint, "http://") }

// startKeyturn starts keyturn dev with signatures on, on a data directory.
func startKeyturn(ctx context.Context, o options, dataDir string) (*child, error) {
	ready := filepath.Join(dataDir, "ready")
	return start(exec.CommandContext(ctx, o.keyturn, "dev", "--strict", "--listen", "127.0.0.1:0", "--data-dir", dataDir, "--ready-file", ready), ready)
}

// Roles of this program as its own child, chosen by an environment variable; a second one has a roleConfig.
const (
	roleEnv       = "KEYTURN_BENCH_ROLE"
	roleConfigEnv = "KEYTURN_BENCH_CONFIG"
	roleBare      = "bare"
	roleServer    = "server"
	roleAuthorize = "authorize"
)

// roleConfig is what a child in a role is told.
type roleConfig struct {
	Ready     string
	Operation string // bare: whose call to the library to make
	Reply     reply  // bare: what to answer
	DataDir   string // server
	Profile   string // server: where to write a CPU profile; authorize: its decisions
}

// startRole starts this program in a role.
func startRole(ctx context.Context, role string, c roleConfig) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, roleConfigEnv+"="+string(text))
	return start(cmd, c.Ready)
}

// runRole is the child's side of startRole. It serves until SIGTERM.
func runRole(role string) error {
	var c roleConfig
	if err := json.Unmarshal([]byte(os.Getenv(roleConfigEnv)), &c); err != nil {
		return err
	}
	switch role {
	case roleBare:
		return runBare(c)
	case roleServer:
		return runServer(c)
	case roleAuthorize:
		return runAuthorize(c)
	}
	return fmt.Errorf("no role %q", role)
}

// start starts a server and waits for the ready file that it writes its endpoint to.
func start(cmd *exec.Cmd, ready string) (*child, error) {
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c := &child{cmd: cmd, exited: make(chan struct{})}
	cmd.Stderr = &c.stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	go func() {
		c.err = cmd.Wait()
		close(c.exited)
	}()
	tick := time.NewTicker(pollReady)
	defer tick.Stop()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-tick.C:
			text, err := os.ReadFile(ready)
			if err != nil {
				continue
			}
			c.startup, c.endpoint = time.Since(begin), strings.TrimSpace(string(text))
			return c, nil
		case <-c.exited:
			return nil, fmt.Errorf("the server ended: %w\n%s", c.err, c.stderr.Bytes())
		case <-timeout.C:
			return nil, errors.Join(errors.New("the server did not get ready"), c.stop())
		}
	}
}

// stop ends the server and waits for it.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-c.exited:
	case <-timeout.C:
		return errors.Join(errors.New("the server did not stop"), c.cmd.Process.Kill())
	}
	if c.err != nil {
		return fmt.Errorf("the server ended: %w\n%s", c.err, c.stderr.Bytes())
	}
	return nil
}
