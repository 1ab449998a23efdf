//go:build !cgo || !unix

package main

import (
	"strings"
	"testing"
)

func TestWithoutCgo(t *testing.T) {
	stdout, stderr, status := runCommand(t, nil, "--module", "/m", "--token", "t")
	if status != 1 || stdout != "" || !strings.Contains(stderr, "CGO_ENABLED=1 go build") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}
