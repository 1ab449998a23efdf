//go:build unix

package hsm

import (
	"os"
	"os/exec"
	"syscall"
)

// detach puts the helper into a process group of its own: Ctrl-C is meant for keyturn, which then lets calls end first.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// kill kills the helper and all of its process group. After exited, the number may be another's.
func kill(p *os.Process, exited <-chan struct{}) {
	select {
	case <-exited:
	default:
		killGroup(p)
	}
}

func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
