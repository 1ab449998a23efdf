package audit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogReopens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	var all [][]byte
	for n := range 6 {
		l := openLog(t, dir, Options{SegmentBytes: 120})
		if l.NextSeq() != uint64(len(all))+1 || l.Repaired() != 0 {
			t.Fatalf("NextSeq = %d, Repaired = %d", l.NextSeq(), l.Repaired())
		}
		for i := range n {
			all = append(all, rec(10*n+i))
			if _, err := l.Append(all[len(all)-1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for from := range len(all) + 1 {
		wantLines(t, lines(t, Read(dir, uint64(from+1))), uint64(from+1), all[from:]...)
	}
	firsts, err := Segments(dir)
	if err != nil || len(firsts) < 3 {
		t.Errorf("segments %v, %v; want several", firsts, err)
	}
}

func TestLogFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := openLog(t, dir, Options{NodeID: "node-1.x_Y", ReserveBytes: 100_000})
	if _, err := l.Append([]byte(`{"eventName":"Decrypt"}`)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "audit-00000000000000000001.jsonl")
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"keyturn":{"node":"node-1.x_Y","seq":1},"eventName":"Decrypt"}` + "\n"; string(got) != want {
		t.Errorf("file is %q, want %q", got, want)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, name: 0o600, filepath.Join(dir, "reserve"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, mode)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "reserve")); err != nil || info.Size() != 100_000 {
		t.Errorf("reserve: %v, %v", info, err)
	}
}

func TestOpenRefusesNodeIDs(t *testing.T) {
	for _, id := range []string{"", "a b", `a"`, "é", string(make([]byte, 65))} {
		if l, err := Open(t.TempDir(), Options{NodeID: id}); err == nil {
			t.Errorf("Open with node ID %q succeeded", id)
			_ = l.Close()
		}
	}
}

func TestReadNothing(t *testing.T) {
	wantLines(t, lines(t, Read(t.TempDir(), 1)), 1)
	for _, err := range Read(filepath.Join(t.TempDir(), "absent"), 1) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v, want one that says the directory is absent", err)
		}
	}
}

func TestReadFindsGaps(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{SegmentBytes: 100})
	for n := range 9 {
		if _, err := l.Append(rec(n)); err != nil {
			t.Fatal(err)
		}
	}
	firsts, err := Segments(dir)
	if err != nil || len(firsts) < 3 {
		t.Fatal(firsts, err)
	}
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	var last error
	for line, err := range Read(dir, 1) {
		if last = err; err == nil && line.Seq != next {
			t.Fatalf("line %d after %d", line.Seq, next-1)
		}
		next++
	}
	if !errors.Is(last, ErrDamaged) {
		t.Errorf("ended with %v, want ErrDamaged", last)
	}
	// Old segments may be moved away: reading begins with what is there.
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[0]))); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, Read(dir, 1)); got[0].Seq != firsts[2] || got[len(got)-1].Seq != 9 {
		t.Errorf("lines %d to %d", got[0].Seq, got[len(got)-1].Seq)
	}
}

// syncCounter is a file that says when it was synced.
type syncCounter struct {
	file
	synced func()
}

func (f syncCounter) Sync() error { f.synced(); return f.file.Sync() }

func TestLogSyncsWithinInterval(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		syncs := make(chan time.Duration, 100)
		fs := osFiles()
		fs.open = func(name string, flag int) (file, error) {
			f, err := osFiles().open(name, flag)
			return syncCounter{f, func() { syncs <- time.Since(start) }}, err
		}
		l, err := Open(dir, Options{NodeID: "n", ReserveBytes: -1, SyncInterval: time.Second, files: fs})
		if err != nil {
			t.Fatal(err)
		}
		want := func(at ...time.Duration) {
			t.Helper()
			synctest.Wait()
			for _, d := range at {
				select {
				case got := <-syncs:
					if got != d {
						t.Errorf("synced after %v, want %v", got, d)
					}
				default:
					t.Errorf("not synced after %v", d)
				}
			}
			if len(syncs) > 0 {
				t.Errorf("synced again after %v", <-syncs)
			}
		}
		mustAppend := func() {
			t.Helper()
			if _, err := l.Append(rec(1)); err != nil {
				t.Fatal(err)
			}
		}
		pass := func(d time.Duration) { <-time.After(d) }

		pass(5 * time.Second)
		want() // nothing to sync
		mustAppend()
		pass(500 * time.Millisecond)
		mustAppend()
		want()
		pass(600 * time.Millisecond) // 6.1 s
		want(6 * time.Second)
		pass(5 * time.Second) // 11.1 s
		want()
		if _, err := l.AppendSync([][]byte{rec(2)}); err != nil {
			t.Fatal(err)
		}
		want(11100 * time.Millisecond)
		pass(5 * time.Second)
		want() // the loop found it synced
		mustAppend()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		want(16100 * time.Millisecond)
	})
}
