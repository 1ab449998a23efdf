//go:build !linux

package probe

import (
	"runtime"
	"time"

	"github.com/keyturn/keyturn/internal/doctor"
)

const notHere = "it is not looked at on " + runtime.GOOS

func disk(what, path string) doctor.Disk { return doctor.Disk{What: what, Path: path, Err: notHere} }

func latency(string) doctor.Fact[time.Duration] { return doctor.Unknown[time.Duration](notHere) }

func holder(string) doctor.Fact[int] { return doctor.Unknown[int](notHere) }

func clockFacts() doctor.ClockFacts {
	return doctor.ClockFacts{Synchronized: doctor.Unknown[bool](notHere)}
}

func limitFacts(int) doctor.LimitFacts {
	u := doctor.Unknown[uint64](notHere)
	return doctor.LimitFacts{Of: "this process", OpenFiles: u, Core: u, Locked: u, AddressSpace: u}
}

func kernelFacts() doctor.KernelFacts {
	return doctor.KernelFacts{
		Swap: doctor.Unknown[[]string](notHere), PtraceScope: doctor.Unknown[int](notHere), CorePipe: doctor.Unknown[bool](notHere),
		SuidDumpable: doctor.Unknown[int](notHere), Seeded: doctor.Unknown[bool](notHere),
	}
}
