package probe

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gofrs/flock"

	"github.com/keyturn/keyturn/internal/doctor"
)

func TestLockHolder(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 12 fd:01:77 0 EOF
2: FLOCK  ADVISORY  WRITE 34 fd:01:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 99 fd:01:78 0 EOF
3: FLOCK  ADVISORY  READ 0 fd:01:79 0 EOF
4: FLOCK
`
	for inode, want := range map[uint64]int{77: 34, 7: 0, 78: 0, 79: 0, 1: 0} {
		if got := lockHolder(locks, inode); got != want {
			t.Errorf("inode %d: %d, want %d", inode, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "lock")
	lock := flock.New(path)
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer lock.Close() //nolint:errcheck // of the test
	if got := holder(path); !got.Known || got.V != os.Getpid() {
		t.Errorf("a lock of this process: %+v", got)
	}
	if got := holder(path + ".none"); got.Known {
		t.Errorf("no file: %+v", got)
	}
}

func TestParseLimits(t *testing.T) {
	const text = `Limit                     Soft Limit           Hard Limit           Units     
Max core file size        0                    unlimited            bytes     
Max open files            1024                 524288               files     
Max locked memory         67108864             67108864             bytes     
Max address space         unlimited            unlimited            bytes     
`
	got := parseLimits(text, "x")
	if got.Of != "x" || got.Core != doctor.Got[uint64](0) || got.OpenFiles != doctor.Got[uint64](1024) || got.Locked != doctor.Got[uint64](64<<20) || got.AddressSpace != doctor.Got(uint64(doctor.Unlimited)) {
		t.Errorf("%+v", got)
	}
	if got := parseLimits("Max open files x\nMax core file size", ""); got.OpenFiles.Known || got.Core.Known {
		t.Errorf("%+v", got)
	}
	if got := limitFacts(0); !got.OpenFiles.Known || got.OpenFiles.V == 0 {
		t.Errorf("of this process: %+v", got)
	}
	if got := limitFacts(os.Getpid()); !got.OpenFiles.Known || got.Of == "this process" {
		t.Errorf("of this process, by its number: %+v", got)
	}
}

func TestSwaps(t *testing.T) {
	const text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/zram0 partition 1 0 100\n/dev/dm-1 partition 1 0 -2\n/swapfile file 1 0 -3\n"
	got := swaps(text, func(device string) bool { return device == "/dev/dm-1" })
	if !slices.Equal(got, []string{"/swapfile"}) {
		t.Errorf("%q", got)
	}
	if encrypted("/dev/null") || encrypted(t.TempDir()) {
		t.Error("what is no encrypted device is taken for one")
	}
}

func TestKernelFacts(t *testing.T) {
	if k := kernelFacts(); !k.Seeded.Known || !k.Seeded.V || !k.SuidDumpable.Known || !k.CorePipe.Known {
		t.Errorf("%+v", k)
	}
}
