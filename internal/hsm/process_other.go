//go:build !unix

package hsm

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func kill(p *os.Process, _ <-chan struct{}) { _ = p.Kill() }
