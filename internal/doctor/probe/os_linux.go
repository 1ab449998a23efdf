package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyturn/keyturn/internal/doctor"
)

// holder returns the process that has a lock file locked (/proc/locks, proc(5)), 0 if none has. Locking it to find out would be in the way of a
// server that starts at that moment.
func holder(path string) doctor.Fact[int] {
	info, err := os.Stat(path)
	if err != nil {
		return doctor.Unknown[int](plain(err))
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	text, err := os.ReadFile("/proc/locks")
	if err != nil || !ok {
		return doctor.Unknown[int]("/proc/locks cannot be read")
	}
	return doctor.Got(lockHolder(string(text), st.Ino))
}

// lockHolder finds the process that has flock'ed a file, by its inode: device numbers there are not always those of stat.
func lockHolder(locks string, inode uint64) int {
	for line := range strings.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF
		w := strings.Fields(line)
		if len(w) < 6 || w[1] != "FLOCK" || !strings.HasSuffix(w[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(w[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

// clockFacts asks the kernel; with no mode set that changes nothing, and takes no privilege (adjtimex(2)).
func clockFacts() doctor.ClockFacts {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return doctor.ClockFacts{Synchronized: doctor.Unknown[bool]("the kernel does not say: " + err.Error())}
	}
	return doctor.ClockFacts{
		Synchronized: doctor.Got(state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0), Error: time.Duration(t.Esterror) * time.Microsecond,
	}
}

// limitFacts are those of a process; of this one for 0.
func limitFacts(pid int) doctor.LimitFacts {
	if pid > 0 {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err == nil {
			return parseLimits(string(text), fmt.Sprintf("the running server (process %d)", pid))
		}
	}
	text, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		text = nil
	}
	return parseLimits(string(text), "this process")
}

// parseLimits reads /proc/PID/limits (proc(5)): a table with a column of soft limits.
func parseLimits(text, of string) doctor.LimitFacts {
	find := func(name string) doctor.Fact[uint64] {
		for line := range strings.Lines(text) {
			rest, ok := strings.CutPrefix(line, name+" ")
			if !ok {
				continue
			}
			w := strings.Fields(rest)
			if len(w) > 0 && w[0] == "unlimited" {
				return doctor.Got(uint64(doctor.Unlimited))
			}
			if len(w) > 0 {
				if n, err := strconv.ParseUint(w[0], 10, 64); err == nil {
					return doctor.Got(n)
				}
			}
		}
		return doctor.Unknown[uint64]("/proc does not say")
	}
	return doctor.LimitFacts{
		Of: of, OpenFiles: find("Max open files"), Core: find("Max core file size"), Locked: find("Max locked memory"), AddressSpace: find("Max address space"),
	}
}

func kernelFacts() doctor.KernelFacts {
	k := doctor.KernelFacts{
		Swap: doctor.Unknown[[]string]("/proc/swaps cannot be read"), PtraceScope: readNumber("/proc/sys/kernel/yama/ptrace_scope"),
		CorePipe: doctor.Unknown[bool]("/proc cannot be read"), SuidDumpable: readNumber("/proc/sys/fs/suid_dumpable"),
	}
	if text, err := os.ReadFile("/proc/swaps"); err == nil {
		k.Swap = doctor.Got(swaps(string(text), encrypted))
	}
	if text, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err == nil {
		k.CorePipe = doctor.Got(strings.HasPrefix(string(text), "|"))
	}
	var b [1]byte
	_, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK)
	k.Seeded = doctor.Got(!errors.Is(err, unix.EAGAIN))
	return k
}

func readNumber(path string) doctor.Fact[int] {
	text, err := os.ReadFile(path)
	if err != nil {
		return doctor.Unknown[int](path + " is not there")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return doctor.Unknown[int](path + " has no number")
	}
	return doctor.Got(n)
}

// swaps returns the devices and files in /proc/swaps that are on a disk, in the clear.
func swaps(text string, encrypted func(string) bool) []string {
	var out []string
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 2 || w[0] == "Filename" || strings.HasPrefix(w[0], "/dev/zram") || encrypted(w[0]) {
			continue
		}
		out = append(out, w[0])
	}
	return out
}

// encrypted tells whether a device is one of dm-crypt.
func encrypted(device string) bool {
	path, err := filepath.EvalSymlinks(device)
	if err != nil {
		return false
	}
	uuid, err := os.ReadFile("/sys/class/block/" + filepath.Base(path) + "/dm/uuid")
	return err == nil && strings.HasPrefix(string(uuid), "CRYPT-")
}
