package main

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory, of which a server needs little, for processor time: each request leaves a few kilobytes behind.
const gcPercent = 400

// tuneRuntime sets what the environment (GOGC) leaves open.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
