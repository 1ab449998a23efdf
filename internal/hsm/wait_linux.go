package hsm

import (
	"os/exec"

	"golang.org/x/sys/unix"
)

// wait waits until the helper has ended, and ends what it has left in its process group. That is killed before the helper is
// reaped, since only until then the group's number is sure to be its own.
func wait(cmd *exec.Cmd) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			killGroup(cmd.Process)
		}
		if err != unix.EINTR {
			break
		}
	}
	_ = cmd.Wait()
}
