package main

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The patch fits the bbolt that is in go.mod.
func TestPatchFits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the patch is for Linux")
	}
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		b, err := os.ReadFile(filepath.Join(dir, "bbolt", e.file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), e.old) || !strings.Contains(string(b), e.new) {
			t.Errorf("%s still has %q", e.file, e.old)
		}
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.Contains(string(mod), "replace go.etcd.io/bbolt => "+filepath.Join(dir, "bbolt")) {
		t.Errorf("go.mod does not use the copy (%v)", err)
	}
}

// A bbolt with other file operations, or where an edit does not fit, is refused.
func TestPatchRefuses(t *testing.T) {
	files := map[string][]byte{"db.go": []byte("x := db.file.Sync() // db.file.Close\n")}
	saved := known
	defer func() { known = saved }()
	known = map[string]int{"db.go db.file.Sync": 1}
	if err := census(files); err != nil {
		t.Errorf("what is known: %v", err)
	}
	for name, change := range map[string]string{
		"db.go db.file.Chmod: 1 times, known 0": "y := db.file.Sync()\ndb.file.Chmod(0)\n",
		"db.go db.file.Sync: 2 times, known 1":  "db.file.Sync()\ndb.file.Sync()\n",
		"db.go db.file.Sync: gone":              "nothing\n",
	} {
		err := census(map[string][]byte{"db.go": []byte(change)})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	// An edit whose place looks otherwise.
	from := t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "db.go"), []byte("package bbolt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known = maps.Clone(map[string]int{})
	if err := copyPatched(from, t.TempDir()); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("an edit that does not fit: %v", err)
	}
}
