package doctor

import (
	"fmt"
	"strings"
)

const (
	minFiles  = 1024
	goodFiles = 8192
	minMapped = 4 << 30 // bytes of address space beside the store: Go reserves much more than it uses
	minLocked = 8 << 20
)

var limitChecks = []Check{
	{ID: "limit-files", Title: "Enough files may be open", Needs: Config, Eval: limit(func(l *LimitFacts) *Fact[uint64] { return &l.OpenFiles }, func(f *Facts, n uint64) []Finding {
		const fix = "LimitNOFILE=65536 in the unit, or ulimit -n: each connection is an open file"
		switch {
		case n < minFiles:
			return one(Fail, fmt.Sprintf("%s: %d", f.Limits.Of, n), fix)
		case n < goodFiles:
			return one(Warn, fmt.Sprintf("%s: %d", f.Limits.Of, n), fix)
		}
		return ok("%s: %s", f.Limits.Of, number(n))
	})},
	{ID: "limit-core", Title: "Key material cannot get into core dumps", Needs: Config, Eval: checkCore},
	{ID: "limit-memlock", Title: "Modules of tokens can lock memory", Needs: Loaded, Eval: func(f *Facts) []Finding {
		if !f.Config.Tokens {
			return skip("no module is configured; keyturn itself locks no memory")
		}
		return limit(func(l *LimitFacts) *Fact[uint64] { return &l.Locked }, func(f *Facts, n uint64) []Finding {
			if n < minLocked {
				return one(Warn, fmt.Sprintf("%s: %s", f.Limits.Of, bytes(n)), "LimitMEMLOCK=64M in the unit, or ulimit -l")
			}
			return ok("%s: %s", f.Limits.Of, number(n))
		})(f)
	}},
	{ID: "limit-address-space", Title: "The store can be mapped into memory", Needs: Config, Eval: limit(func(l *LimitFacts) *Fact[uint64] { return &l.AddressSpace }, func(f *Facts, n uint64) []Finding {
		need := uint64(minMapped)
		if f.Config != nil {
			need += 2 * uint64(f.Config.Store.Size)
		}
		if n < need {
			return one(Fail, fmt.Sprintf("%s: %s", f.Limits.Of, bytes(n)), "take the limit away (LimitAS=, ulimit -v); bound memory with MemoryMax= or GOMEMLIMIT instead")
		}
		return ok("%s: %s", f.Limits.Of, number(n))
	})},
}

// limit makes a check of one resource limit.
func limit(of func(*LimitFacts) *Fact[uint64], eval func(*Facts, uint64) []Finding) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		fact := of(&f.Limits)
		if !fact.Known {
			return skip("%s", fact.Why)
		}
		return eval(f, fact.V)
	}
}

func number(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

// checkCore judges whether the system could write the server's memory somewhere. The server takes itself out of core dumps when it starts; where
// they go to a program, the kernel's own setting counts as well.
func checkCore(f *Facts) []Finding {
	k := &f.Kernel
	if k.SuidDumpable.Known && k.SuidDumpable.V == 1 {
		return one(Warn, "fs.suid_dumpable is 1: also processes that take themselves out of core dumps are dumped", "sysctl fs.suid_dumpable=0")
	}
	if k.CorePipe.Known && k.CorePipe.V && k.SuidDumpable.Known && k.SuidDumpable.V == 2 {
		return one(Warn, "core dumps go to a program, also those of processes that take themselves out (fs.suid_dumpable is 2)", "sysctl fs.suid_dumpable=0, or LimitCORE=0 in the unit with a handler that obeys it")
	}
	if f.Limits.Core.Known && f.Limits.Core.V == 0 {
		return ok("%s: none are written", f.Limits.Of)
	}
	return ok("the server switches them off when it starts")
}

var kernelChecks = []Check{
	{ID: "swap", Title: "Memory is not swapped to disks", Needs: Config, Eval: func(f *Facts) []Finding {
		switch s := f.Kernel.Swap; {
		case !s.Known:
			return skip("%s", s.Why)
		case len(s.V) > 0:
			return one(Warn, "key material may be written to "+strings.Join(s.V, ", "), "swapoff -a, MemorySwapMax=0 in the unit, or encrypt swap")
		}
		return ok("no swap on a disk is in use")
	}},
	{ID: "ptrace", Title: "Processes of the same user cannot read the server's memory", Needs: Config, Eval: func(f *Facts) []Finding {
		switch p := f.Kernel.PtraceScope; {
		case !p.Known:
			return skip("%s", p.Why)
		case p.V == 0:
			return one(Warn, "kernel.yama.ptrace_scope is 0: only what the server does itself keeps debuggers out", "sysctl kernel.yama.ptrace_scope=1, and a user that only keyturn runs as")
		}
		return ok("kernel.yama.ptrace_scope is %d", f.Kernel.PtraceScope.V)
	}},
	{ID: "random", Title: "The random number generator is ready", Needs: Config, Eval: func(f *Facts) []Finding {
		switch s := f.Kernel.Seeded; {
		case !s.Known:
			return skip("%s", s.Why)
		case !s.V:
			return one(Fail, "it has no entropy yet: the server would wait", "give the machine a source of entropy, such as virtio-rng")
		}
		return ok("it is seeded")
	}},
	{ID: "fips", Title: "FIPS 140-3 mode", Needs: Config, Eval: func(f *Facts) []Finding {
		if f.FIPS {
			return ok("on in this process; the server goes by its own GODEBUG")
		}
		return skip("off in this process; where it is demanded: GODEBUG=fips140=only for the server")
	}},
}
