// Command patch makes a copy of bbolt whose file operations go through hooks, and a go.mod that uses it in place of the real
// one: go test -modfile=DIR/go.mod. bbolt opens, writes, syncs and maps its file itself, and a build overlay may not replace
// files of the module cache, so there is no other place to put a disk that fails.
//
// It checks that it knows every file operation that bbolt has. A new version that has others is refused, not half patched.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const modulePath = "go.etcd.io/bbolt"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./torture/patch DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "patch:", err)
		os.Exit(1)
	}
}

// run fills dir, which must exist, with go.mod, go.sum and the folder bbolt.
func run(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	module, err := listModule("-m", modulePath)
	if err != nil {
		return err
	}
	main, err := listModule("-m")
	if err != nil {
		return err
	}
	target := filepath.Join(dir, "bbolt")
	if err := copyPatched(module.Dir, target); err != nil {
		return fmt.Errorf("%s %s: %w", modulePath, module.Version, err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(main.Dir, name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			b = fmt.Appendf(b, "\nreplace %s => %s\n", modulePath, target)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

type module struct{ Dir, Version string }

func listModule(args ...string) (module, error) {
	var m module
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("go list: %w", err)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return m, err
	}
	if m.Dir == "" {
		return m, errors.New("the module is not in the cache: run go mod download first")
	}
	return m, nil
}

// edit is one place that is changed. It must be there once.
type edit struct{ file, old, new string }

var edits = []edit{
	{"db.go", "db.ops.writeAt = db.file.WriteAt", "db.ops.writeAt = func(b []byte, off int64) (int, error) { return Hooks.WriteAt(db.file, b, off) }"},
	{"db.go", "db.file.Truncate(int64(sz))", "Hooks.Truncate(db.file, int64(sz))"},
	{"db.go", "db.file.Sync()", "Hooks.Sync(db.file)"},
	{"bolt_linux.go", "syscall.Fdatasync(int(db.file.Fd()))", "Hooks.Sync(db.file)"},
	{"bolt_unix.go", "b, err := unix.Mmap(int(db.file.Fd()), 0, sz, syscall.PROT_READ, syscall.MAP_SHARED|db.MmapFlags)",
		"b, err := Hooks.Map(db.file, sz, syscall.PROT_READ, syscall.MAP_SHARED|db.MmapFlags)"},
	{"bolt_unix.go", "err := syscall.Flock(int(fd), flag)", "err := Hooks.Lock(db.file, int(fd), flag)"},
	{"bolt_linux.go", "import (\n\t\"syscall\"\n)\n", ""},
}

// hooks is what the copy has beside bbolt's own files.
const hooks = `package bbolt

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hooks is called for every change of a database file, for its map and for its lock.
var Hooks = struct {
	WriteAt  func(f *os.File, b []byte, off int64) (int, error)
	Truncate func(f *os.File, size int64) error
	Sync     func(f *os.File) error
	Map      func(f *os.File, size, prot, flags int) ([]byte, error)
	Lock     func(f *os.File, fd, how int) error
}{
	WriteAt:  func(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) },
	Truncate: func(f *os.File, size int64) error { return f.Truncate(size) },
	Sync:     func(f *os.File) error { return f.Sync() },
	Map: func(f *os.File, size, prot, flags int) ([]byte, error) {
		return unix.Mmap(int(f.Fd()), 0, size, prot, flags)
	},
	Lock: func(f *os.File, fd, how int) error { return syscall.Flock(fd, how) },
}
`

// platform are the files that are built on linux/amd64 and linux/arm64, beside those for every platform.
var platform = []string{"bolt_linux.go", "bolt_unix.go", "mlock_unix.go"}

// operation finds what may touch a file.
var operation = regexp.MustCompile(`\b(db\.file|file|unix|syscall|os|ops)\.[A-Za-z]\w*`)

// copyPatched copies the packages that keyturn builds and applies the edits.
func copyPatched(from, to string) error {
	files := make(map[string][]byte)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, path)
		if d.IsDir() {
			if slices.Contains([]string{"cmd", "scripts", "tests"}, name) || strings.HasPrefix(name, ".") && name != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if name != "go.mod" && (filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !built(name)) {
			return nil
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return err
	}
	if err := census(files); err != nil {
		return err
	}
	for _, e := range edits {
		if n := bytes.Count(files[e.file], []byte(e.old)); n != 1 {
			return fmt.Errorf("%s has %q %d times, not once: the patch does not fit this version", e.file, e.old, n)
		}
		files[e.file] = bytes.Replace(files[e.file], []byte(e.old), []byte(e.new), 1)
	}
	files["hooks.go"] = []byte(hooks)
	for name, b := range files {
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// built tells whether a file is part of what is built here: those of other platforms and of bbolt's own tests are not.
func built(name string) bool {
	if dir := filepath.Dir(name); strings.HasPrefix(dir, "internal") && dir != "internal/common" && dir != "internal/freelist" {
		return false
	}
	for _, prefix := range []string{"bolt_", "boltsync_", "mlock_"} {
		if strings.HasPrefix(name, prefix) {
			return slices.Contains(platform, name)
		}
	}
	return true
}

// census compares the operations that the files have with those that are known.
func census(files map[string][]byte) error {
	found := make(map[string]int)
	for name, b := range files {
		for line := range bytes.Lines(b) {
			if code, _, _ := bytes.Cut(line, []byte("//")); len(code) > 0 {
				for _, op := range operation.FindAll(code, -1) {
					found[name+" "+string(op)]++
				}
			}
		}
	}
	if maps.Equal(found, known) {
		return nil
	}
	var differ []string
	for _, op := range slices.Sorted(maps.Keys(found)) {
		if found[op] != known[op] {
			differ = append(differ, fmt.Sprintf("%s: %d times, known %d", op, found[op], known[op]))
		}
	}
	for _, op := range slices.Sorted(maps.Keys(known)) {
		if found[op] == 0 {
			differ = append(differ, op+": gone")
		}
	}
	return fmt.Errorf("its file operations are not those that the patch knows:\n\t%s", strings.Join(differ, "\n\t"))
}
