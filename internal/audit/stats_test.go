package audit

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestStats compares what the log tells of itself with its files, over several segments and a restart.
func TestStats(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	synctest.Test(t, func(t *testing.T) {
		last := uint64(0)
		for life := range 2 {
			l := openLog(t, dir, Options{SegmentBytes: 200})
			want(t, dir, l, last, 0)
			for n := range 7 {
				if _, err := l.Append(rec(10*life + n)); err != nil {
					t.Fatal(err)
				}
				last++
			}
			if s := l.Stats(); s.Unsynced == 0 || s.LastSeq != last {
				t.Errorf("just appended: %+v", s)
			}
			time.Sleep(2 * time.Second)
			want(t, dir, l, last, 0)
			if _, err := l.AppendSync([][]byte{rec(8), rec(9)}); err != nil {
				t.Fatal(err)
			}
			last += 2
			want(t, dir, l, last, 0)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// want compares the stats of a log with its directory.
func want(t *testing.T, dir string, l *Log, last, unsynced uint64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	expected := Stats{LastSeq: last, Unsynced: unsynced, Segments: int64(len(files))}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		expected.Bytes += info.Size()
	}
	if got := l.Stats(); got != expected {
		t.Errorf("got %+v, want %+v", got, expected)
	}
}
