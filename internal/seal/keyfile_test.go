package seal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/disk/disktest"
)

// poor is a file system that can do less.
type poor struct {
	disk.FS
	links bool
}

func (p poor) RenameNew(string, string) error { return errors.ErrUnsupported }

func (p poor) Link(old, name string) error {
	if p.links {
		return p.FS.Link(old, name)
	}
	return &os.LinkError{Op: "link", Old: old, New: name, Err: syscall.EPERM}
}

// keyDisks are the kinds of file systems that a key file is made on.
var keyDisks = map[string]func(*disktest.Disk) disk.FS{
	"rename": func(d *disktest.Disk) disk.FS { return d },
	"link":   func(d *disktest.Disk) disk.FS { return poor{d, true} },
	"write":  func(d *disktest.Disk) disk.FS { return poor{d, false} },
}

// TestCreateKeyFileFails lets each operation in the making of a key file fail, or be the last one. A key file that is there holds a whole key; where the
// file system can rename without replacing, it has no second name at any moment, and elsewhere none once it is made. What was made survives a power cut.
func TestCreateKeyFileFails(t *testing.T) {
	for kind, on := range keyDisks {
		for n := 1; ; n++ {
			ended := false
			for _, fault := range []disktest.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, Done: true}, {End: disktest.Process}} {
				root := t.TempDir()
				d := disktest.New(root, rand.New(rand.NewPCG(1, uint64(n))))
				hit := false
				d.Decide(func(op disktest.Op) disktest.Fault {
					if op.N != n {
						return disktest.Fault{}
					}
					hit = true
					return fault
				})
				path := filepath.Join(root, "seal.key")
				err := createKeyFile(on(d), path)
				if hit && err == nil && kind != "rename" && fault.End == disktest.Nothing {
					hit = true // another way was found
				} else if (err == nil) == hit {
					t.Fatalf("%s, operation %d, %+v: %v", kind, n, fault, err)
				}
				ended = ended || !hit
				left, globErr := filepath.Glob(filepath.Join(root, KeyFileTemp))
				if globErr != nil || len(left) > 0 && err == nil {
					t.Errorf("%s, operation %d: %v is left", kind, n, left)
				}
				_, there := os.Lstat(path)
				if there != nil {
					if err == nil {
						t.Errorf("%s, operation %d: there is no key file, and no error", kind, n)
					}
					continue
				}
				if _, opens := OpenKeyFile(path); opens != nil && kind != "write" {
					t.Errorf("%s, operation %d, %+v: %v", kind, n, fault, opens)
				}
				if len(left) > 0 && kind == "rename" {
					t.Errorf("operation %d, %+v: the key has a second name, %v", n, fault, left)
				}
				if err != nil {
					continue
				}
				after, cut := d.PowerCut(t.TempDir())
				if cut != nil {
					t.Fatal(cut)
				}
				if _, opens := OpenKeyFile(filepath.Join(after.Root(), "seal.key")); opens != nil {
					t.Errorf("%s, operation %d: after a power cut: %v", kind, n, opens)
				}
			}
			if ended {
				break
			}
		}
	}
}

// TestCreateKeyFileOverNone: each way leaves a file alone that is there.
func TestCreateKeyFileOverNone(t *testing.T) {
	for kind, on := range keyDisks {
		root := t.TempDir()
		d := on(disktest.New(root, rand.New(rand.NewPCG(1, 1))))
		path := filepath.Join(root, "seal.key")
		if err := createKeyFile(d, path); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := createKeyFile(d, path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v, want fs.ErrExist", kind, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file is another one, %v", kind, err)
		}
		if list, err := os.ReadDir(root); err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", kind, list, err)
		}
	}
	root := t.TempDir() // and the machine's
	for _, want := range []error{nil, fs.ErrExist} {
		if err := CreateKeyFile(filepath.Join(root, "seal.key")); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// TestSealSettles: a key file whose maker died before its name was on the disk is there after a power cut as soon as something is sealed with it; or nothing
// is sealed.
func TestSealSettles(t *testing.T) {
	root := t.TempDir()
	d := disktest.New(root, rand.New(rand.NewPCG(1, 1)))
	d.Decide(func(op disktest.Op) disktest.Fault {
		if op.Kind == disktest.SyncDir {
			return disktest.Fault{End: disktest.Process}
		}
		return disktest.Fault{}
	})
	path := filepath.Join(root, "seal.key")
	if err := createKeyFile(d, path); !errors.Is(err, disktest.ErrEnded) {
		t.Fatal(err)
	}
	next := d.Restart()
	k, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k.fs = next
	for _, kind := range []disktest.Kind{disktest.Sync, disktest.SyncDir} {
		for what, seals := range map[error]bool{syscall.EIO: false, syscall.EINVAL: true, syscall.ENOTSUP: true} {
			next.Decide(func(op disktest.Op) disktest.Fault {
				if op.Kind == kind {
					return disktest.Fault{Err: what}
				}
				return disktest.Fault{}
			})
			if sealed, err := k.Seal(t.Context(), testKey(9)); (err == nil) != seals || (sealed != nil) != seals {
				t.Errorf("%s says %v: %v", kind, what, err)
			}
		}
	}
	next.Decide(nil)
	if _, err := k.Seal(t.Context(), testKey(9)); err != nil {
		t.Fatal(err)
	}
	after, err := next.PowerCut(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenKeyFile(filepath.Join(after.Root(), "seal.key")); err != nil || string(again.key) != string(k.key) {
		t.Errorf("after a power cut: %v", err)
	}
	// Who keeps the file elsewhere while the server runs has it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	k.fs = disk.OS
	if _, err := k.Seal(t.Context(), testKey(9)); err != nil {
		t.Errorf("the file was taken away: %v", err)
	}
}
