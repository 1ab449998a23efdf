package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time, user and system, that all threads of a process have used, by its CPU clock: see
// clock_getcpuclockid(3). It needs no rights over the process.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: nanoseconds by the scheduler's account
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// peakMemory is the most that a process has had in memory at once, in bytes: see proc_pid_status(5). What getrusage(2) tells of a child begins
// with its parent's.
func peakMemory(pid int) int64 { return status(pid, "VmHWM") }

// ownMemory is what a process has in memory now without the pages of the files that it maps, in bytes.
func ownMemory(pid int) int64 { return status(pid, "RssAnon") }

// status returns a size from the status of a process, 0 if it is gone.
func status(pid int, name string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
