//go:build !linux

package hsm

import "os/exec"

// wait waits until the helper has ended. A child that outlives the helper is not found here.
func wait(cmd *exec.Cmd) { _ = cmd.Wait() }
