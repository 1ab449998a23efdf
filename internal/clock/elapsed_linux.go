package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Elapsed is the time since the machine started, the time that it was suspended included (CLOCK_BOOTTIME, clock_gettime(2)). Nobody can set it.
func Elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(began) // without suspensions
	}
	return time.Duration(t.Nano())
}

var began = time.Now()
