package disktest

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/disk"
)

// after counts what power cuts leave of what a test did, over many seeds.
func after(t *testing.T, do func(d *Disk), look func(root string) string) map[string]int {
	t.Helper()
	left := make(map[string]int)
	for seed := range uint64(200) {
		d := New(t.TempDir(), rand.New(rand.NewPCG(seed, 0)))
		do(d)
		root := t.TempDir()
		next, err := d.PowerCut(root)
		if err != nil {
			t.Fatal(err)
		}
		if next.Ended() != Nothing || d.Ended() != Power {
			t.Fatal("the wrong disk has ended")
		}
		left[look(root)]++
	}
	return left
}

func create(t *testing.T, d *Disk, name string, flag int) disk.File {
	t.Helper()
	f, err := d.OpenFile(filepath.Join(d.Root(), name), os.O_CREATE|os.O_WRONLY|flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := d.File(f)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func write(t *testing.T, f disk.File, p ...byte) {
	t.Helper()
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// contentOf returns what is in a file, shortened: one letter for each sector, '-' for zeros, '?' for anything mixed; "none" without
// the file.
func contentOf(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	out := ""
	for len(b) > 0 {
		s := b[:min(sectorSize, len(b))]
		b = b[len(s):]
		switch {
		case bytes.Count(s, s[:1]) < len(s):
			out += "?"
		case s[0] == 0:
			out += "-"
		default:
			out += string(s[:1])
		}
	}
	return out
}

func sectors(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n*sectorSize) }

func TestSyncedSurvives(t *testing.T) {
	left := after(t, func(d *Disk) {
		f := create(t, d, "f", 0)
		write(t, f, sectors('a', 3)...)
		must(t, f.Sync(), d.SyncDir(d.Root()))
	}, func(root string) string { return contentOf(root, "f") })
	if left["aaa"] != 200 {
		t.Errorf("left %v", left)
	}
}

// Without the directory's sync the name may be gone, without the file's the content: each for itself.
func TestUnsyncedMayGo(t *testing.T) {
	left := after(t, func(d *Disk) {
		f := create(t, d, "f", 0)
		write(t, f, sectors('a', 1)...)
		must(t, f.Sync())
	}, func(root string) string { return contentOf(root, "f") })
	if len(left) != 2 || left["none"] < 20 || left["a"] < 20 {
		t.Errorf("without the directory's sync: %v", left)
	}
	left = after(t, func(d *Disk) {
		f := create(t, d, "f", 0)
		must(t, d.SyncDir(d.Root()))
		write(t, f, sectors('a', 1)...)
	}, func(root string) string { return contentOf(root, "f") })
	if left["none"] != 0 || left[""] < 20 || left["a"] < 20 || left["-"] == 0 {
		t.Errorf("without the file's sync: %v", left)
	}
}

// Sectors are torn apart and reordered, each in a state that it had; what was synced is the least.
func TestTornAndReordered(t *testing.T) {
	left := after(t, func(d *Disk) {
		f := create(t, d, "f", 0)
		write(t, f, sectors('a', 2)...)
		must(t, f.Sync(), d.SyncDir(d.Root()))
		_, err1 := f.WriteAt(sectors('b', 2), 0)
		_, err2 := f.WriteAt(sectors('c', 1), sectorSize)
		must(t, err1, err2)
	}, func(root string) string { return contentOf(root, "f") })
	for _, want := range []string{"aa", "bb", "bc", "ac", "ab", "ba"} {
		if left[want] == 0 {
			t.Errorf("%s is never left", want)
		}
		delete(left, want)
	}
	if len(left) > 0 {
		t.Errorf("left too: %v", left)
	}
}

// A sync that fails may make the kernel forget: read it is all the same, durable only when it is written once more.
func TestForgottenBySync(t *testing.T) {
	for _, again := range []bool{false, true} {
		left := after(t, func(d *Disk) {
			f := create(t, d, "f", 0)
			must(t, d.SyncDir(d.Root()))
			write(t, f, sectors('a', 1)...)
			d.Decide(func(op Op) (f Fault) {
				if op.Kind == Sync {
					f.Err, f.Drop = syscall.EIO, true
				}
				return f
			})
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			d.Decide(nil)
			if got := contentOf(d.Root(), "f"); got != "a" {
				t.Fatalf("%q is read", got)
			}
			if again {
				_, err := f.WriteAt(sectors('a', 1), 0)
				must(t, err)
			}
			must(t, f.Sync())
		}, func(root string) string { return contentOf(root, "f") })
		if again && left["a"] != 200 || !again && left["-"]+left[""] < 50 {
			t.Errorf("written again: %t: %v", again, left)
		}
	}
}

// A rename is there or not; of a file that is linked and renamed one name stays at least.
func TestNames(t *testing.T) {
	left := after(t, func(d *Disk) {
		f := create(t, d, "old", 0)
		write(t, f, sectors('a', 1)...)
		must(t, f.Sync(), d.SyncDir(d.Root()))
		must(t, d.Rename(filepath.Join(d.Root(), "old"), filepath.Join(d.Root(), "new")))
	}, func(root string) string { return contentOf(root, "old") + " " + contentOf(root, "new") })
	if len(left) != 2 || left["a none"] == 0 || left["none a"] == 0 {
		t.Errorf("after a rename: %v", left)
	}
	left = after(t, func(d *Disk) {
		must(t, d.Mkdir(filepath.Join(d.Root(), "dir"), 0o700))
		f := create(t, d, "dir/f", 0)
		must(t, f.Sync(), d.SyncDir(filepath.Join(d.Root(), "dir")))
	}, func(root string) string { return contentOf(root, "dir/f") })
	if left["none"] == 0 || left[""] == 0 {
		t.Errorf("of a file in a directory without a durable name: %v", left)
	}
}

func TestRoom(t *testing.T) {
	d := New(t.TempDir(), rand.New(rand.NewPCG(1, 1)))
	f := create(t, d, "f", os.O_APPEND)
	d.SetRoom(2 * pageSize)
	if n, err := f.Write(make([]byte, 3*pageSize)); n != 2*pageSize || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %d, %v", n, err)
	}
	if n, err := f.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("x"), 10); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	must(t, f.Truncate(pageSize))
	if n, err := f.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("Write = %d, %v after a truncate", n, err)
	}
	must(t, d.Remove(filepath.Join(d.Root(), "f")))
	g, err := d.OpenFile(filepath.Join(d.Root(), "g"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer g.Close()
	if err := d.Allocate(g, 0, 3*pageSize); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Allocate: %v", err)
	}
	must(t, d.Allocate(g, 0, 2*pageSize))
	if info, err := g.Stat(); err != nil || info.Size() != 2*pageSize {
		t.Error(info.Size(), err)
	}
}

// After the end of process or machine nothing works on the old disk. The next process finds everything, synced or not.
func TestRestart(t *testing.T) {
	d := New(t.TempDir(), rand.New(rand.NewPCG(1, 1)))
	f := create(t, d, "f", 0)
	write(t, f, sectors('a', 1)...)
	d.Decide(func(op Op) (f Fault) {
		if op.Kind == Sync {
			f.End = Process
		}
		return f
	})
	if err := f.Sync(); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, ErrEnded) || d.Ended() != Process {
		t.Error(err)
	}
	d.Forget()
	next := d.Restart()
	if got := contentOf(next.Root(), "f"); got != "a" {
		t.Errorf("the next process finds %q", got)
	}
	g := create(t, next, "f", 0)
	must(t, g.Sync(), next.SyncDir(next.Root()))
	root := t.TempDir()
	if _, err := next.PowerCut(root); err != nil || contentOf(root, "f") != "a" {
		t.Errorf("after a sync by the next process %q is left (%v)", contentOf(root, "f"), err)
	}
}

// A directory that is renamed takes along what is in it, and is in one of both places whatever was synced.
func TestRenamedDirectory(t *testing.T) {
	look := func(root string) string {
		return contentOf(root, filepath.Join("a", "f")) + " " + contentOf(root, filepath.Join("w", "b", "f"))
	}
	rename := func(d *Disk) {
		must(t, d.Mkdir(filepath.Join(d.Root(), "a"), 0o700), d.Mkdir(filepath.Join(d.Root(), "w"), 0o700), d.SyncDir(d.Root()))
		f := create(t, d, filepath.Join("a", "f"), 0)
		write(t, f, sectors('f', 1)...)
		must(t, f.Sync(), d.SyncDir(filepath.Join(d.Root(), "a")))
		must(t, d.Rename(filepath.Join(d.Root(), "a"), filepath.Join(d.Root(), "w", "b")))
		if got := look(d.Root()); got != "none f" {
			t.Fatalf("renamed to %q", got)
		}
	}
	left := after(t, rename, look)
	if left["f none"] < 20 || left["none f"] < 20 || len(left) != 2 {
		t.Errorf("without a sync: %v", left)
	}
	left = after(t, func(d *Disk) {
		rename(d)
		must(t, d.SyncDir(filepath.Join(d.Root(), "w")))
	}, look)
	if left["none f"] != 200 {
		t.Errorf("synced: %v", left)
	}
	left = after(t, func(d *Disk) {
		rename(d)
		f := create(t, d, filepath.Join("w", "b", "f"), os.O_TRUNC)
		write(t, f, sectors('g', 1)...)
		must(t, f.Sync())
	}, look)
	if left["g none"] < 20 || left["none g"] < 20 || len(left) != 2 {
		t.Errorf("written in its new place: %v", left)
	}
}
