package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// lastSegment returns the path of the last segment in dir.
func lastSegment(t rapid.TB, dir string) string {
	t.Helper()
	firsts, err := Segments(dir)
	if err != nil || len(firsts) == 0 {
		t.Fatal(firsts, err)
	}
	return filepath.Join(dir, segmentName(firsts[len(firsts)-1]))
}

// unsynced is a file system whose fsync does nothing: the process's own crash does not need it, and it is slow.
func unsynced() files {
	return files{
		open: func(name string, flag int) (file, error) {
			f, err := osFiles().open(name, flag)
			return unsyncedFile{f}, err
		},
		syncDir: func(string) error { return nil },
	}
}

type unsyncedFile struct{ file }

func (unsyncedFile) Sync() error { return nil }

// crash is a log that was written and closed, and what a crash during its last write may leave of it.
type crash struct {
	dir    string
	opts   Options
	all    [][]byte // the records in it
	before int64    // where the last write begins in the last segment
	name   string   // of the last segment
	whole  []byte   // its bytes
}

// newCrash writes the records, each list by one call: of Append if it has one record and plain is set for it.
func newCrash(t rapid.TB, dir string, opts Options, writes [][][]byte, plain []bool) *crash {
	c := &crash{dir: dir, opts: opts}
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, records := range writes {
		name, size := lastSegment(t, dir), l.size
		if plain[i] && len(records) == 1 {
			_, err = l.Append(records[0])
		} else {
			_, err = l.AppendSync(records)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.all = append(c.all, records...)
		c.name = lastSegment(t, dir)
		if c.before = size; c.name != name {
			c.before = 0
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c.whole, err = os.ReadFile(c.name); err != nil {
		t.Fatal(err)
	}
	return c
}

// check cuts the last segment, opens the log and appends: the lines before the cut are whole and in their places, and
// the numbers go on without a gap.
func (c *crash) check(t rapid.TB, cut int64) {
	left := c.whole[:cut]
	if err := os.WriteFile(c.name, left, 0o600); err != nil {
		t.Fatal(err)
	}
	first, _ := parseSegmentName(filepath.Base(c.name))
	kept := int(first) - 1 + bytes.Count(left, []byte("\n"))
	l, err := Open(c.dir, c.opts)
	if err != nil {
		t.Fatalf("cut at %d of %d: %v", cut, len(c.whole), err)
	}
	if want := cut - int64(bytes.LastIndexByte(left, '\n')+1); l.Repaired() != want {
		t.Fatalf("cut at %d: Repaired = %d, want %d", cut, l.Repaired(), want)
	}
	if seq, err := l.Append(rec(1)); err != nil || seq != uint64(kept)+1 {
		t.Fatalf("cut at %d: Append = %d, %v; %d lines are whole", cut, seq, err, kept)
	}
	want := append(c.all[:kept:kept], rec(1))
	n := 0
	for line, err := range l.Since(1) {
		if err != nil || n >= len(want) || string(line.JSON)+"\n" != string(appendLine(nil, "n", uint64(n+1), want[n])) {
			t.Fatalf("cut at %d: line %d is %s, %v", cut, n+1, line.JSON, err)
		}
		n++
	}
	if n != len(want) {
		t.Fatalf("cut at %d: %d lines, want %d", cut, n, len(want))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if last := lastSegment(t, c.dir); last != c.name { // the append began a segment
		if err := os.Remove(last); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrashAtEveryByte(t *testing.T) {
	opts := Options{NodeID: "n", ReserveBytes: -1, SegmentBytes: 150, files: unsynced()}
	writes := [][][]byte{{rec(1)}, {rec(2), rec(3)}, {rec(4)}, {rec(5), []byte(`{"v":"é"}`), []byte(`{}`)}}
	for n := range len(writes) {
		c := newCrash(t, t.TempDir(), opts, writes[:n+1], []bool{true, false, true, false})
		for cut := c.before; cut <= int64(len(c.whole)); cut++ {
			c.check(t, cut)
		}
	}
}

// The same for any writes, in segments of any size.
func TestCrash(t *testing.T) {
	base := t.TempDir()
	record := rapid.Custom(func(t *rapid.T) []byte {
		return []byte(`{"v":"` + strings.Repeat("é", rapid.IntRange(0, 40).Draw(t, "length")) + `"}`)
	})
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{NodeID: "n", ReserveBytes: -1, SegmentBytes: rapid.Int64Range(1, 400).Draw(t, "segment"), files: unsynced()}
		writes := rapid.SliceOfN(rapid.SliceOfN(record, 1, 3), 1, 6).Draw(t, "writes")
		plain := rapid.SliceOfN(rapid.Bool(), len(writes), len(writes)).Draw(t, "plain")
		c := newCrash(t, dir, opts, writes, plain)
		c.check(t, rapid.Int64Range(c.before, int64(len(c.whole))).Draw(t, "cut"))
	})
}

func line(seq uint64, record string) string { return string(appendLine(nil, "n", seq, []byte(record))) }

func TestOpenExaminesTheLastSegment(t *testing.T) {
	good := line(5, `{"a":1}`) + line(6, `{"a":2}`)
	tests := []struct {
		name, content string
		repaired      int    // bytes cut off
		damaged       string // or what the error says
	}{
		{"empty", "", 0, ""},
		{"whole", good, 0, ""},
		{"no newline", good + `{"keyturn":{"node":"n","seq":7},"a":3}`, 38, ""},
		{"half a line", good + `{"keyturn":{"no`, 15, ""},
		{"not json", good + "{\"keyturn\":{\"node\":\"n\",\"seq\":7},\"a\":\n", 37, ""},
		{"zeros", good + strings.Repeat("\x00", 100_000), 100_000, ""},
		{"zeros longer than a line", good + strings.Repeat("\x00", maxLine+10), maxLine + 10, ""},
		{"only a torn line", `{"keyturn"`, 10, ""},
		{"empty line", good + "\n", 1, ""},
		{"name twice in a record", line(5, `{"a":1,"a":2}`), 0, ""},
		{"damage in the middle", line(5, `{"a":1}`) + "{\"a\n" + line(7, `{}`), 0, "line 2 at byte 39 is not valid JSON"},
		{"zeros in the middle", line(5, `{"a":1}`) + strings.Repeat("\x00", 40) + "\n" + line(7, `{}`), 41 + len(line(7, `{}`)), ""},
		{"zeros in a line", line(5, `{"a":1}`) + "{\"keyturn\":\x00\x00\x00\n" + line(7, `{}`), 15 + len(line(7, `{}`)), ""},
		{"zeros longer than a line in the middle", good + strings.Repeat("\x00", maxLine+10) + "\n" + line(8, `{}`), maxLine + 11 + len(line(8, `{}`)), ""},
		{"zeros after damage", line(5, `{"a":1}`) + "{\"a\n" + line(7, `{}`) + "\x00\n", 0, "line 2 at byte 39 is not valid JSON"},
		{"more zeros than a crash leaves", line(5, `{"a":1}`) + strings.Repeat("\x00", maxUnsynced+1), 0, "more than a crash leaves"},
		{"long line in the middle", "{" + strings.Repeat(" ", maxLine) + "}\n" + line(6, `{}`), 0, "line 1 at byte 0 is not valid JSON"},
		{"damage before a torn line", "x\n{", 0, "line 1 at byte 0 is not valid JSON"},
		{"gap", line(5, `{}`) + line(7, `{}`), 0, "line 2 at byte 33 has sequence number 7, not 6"},
		{"twice", line(5, `{}`) + line(5, `{}`), 0, "line 2 at byte 33 has sequence number 5, not 6"},
		{"not as named", line(1, `{}`), 0, "line 1 at byte 0 has sequence number 1, not 5"},
		{"no frame", "{\"a\":1}\n", 0, "line 1 at byte 0 has no sequence number"},
		{"no node", "{\"keyturn\":{\"node\":\"\",\"seq\":5}}\n", 0, "has no sequence number"},
		{"blank in the frame", "{\"keyturn\":{\"node\":\"n\",\"seq\": 5}}\n", 0, "has no sequence number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, segmentName(5))
			// Nothing looks into older segments, or at other files.
			for other, content := range map[string]string{segmentName(1): "junk\njunk", "audit-9.jsonl": "junk", segmentName(9) + "~": "", segmentName(5): tt.content} {
				if err := os.WriteFile(filepath.Join(dir, other), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l, err := Open(dir, Options{NodeID: "n", ReserveBytes: 10})
			if tt.damaged != "" {
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.damaged) || !strings.Contains(err.Error(), segmentName(5)) {
					t.Errorf("error %v, want %q", err, tt.damaged)
				}
				if got, _ := os.ReadFile(name); string(got) != tt.content {
					t.Error("the damaged segment was changed")
				}
				if _, err := os.Stat(filepath.Join(dir, "reserve")); err == nil {
					t.Error("a reserve was made beside a damaged log")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.Repaired() != int64(tt.repaired) {
				t.Errorf("Repaired = %d, want %d", l.Repaired(), tt.repaired)
			}
			kept := tt.content[:len(tt.content)-tt.repaired]
			if got, _ := os.ReadFile(name); string(got) != kept {
				t.Errorf("segment is %.100q, want %.100q", got, kept)
			}
			if want := 5 + uint64(strings.Count(kept, "\n")); l.NextSeq() != want {
				t.Errorf("NextSeq = %d, want %d", l.NextSeq(), want)
			}
		})
	}
}

// A reader beside a server sees the whole lines, and no more.
func TestReadStopsBeforeATornLine(t *testing.T) {
	dir := t.TempDir()
	content := line(1, `{"a":1}`) + `{"keyturn":{"node":"n","seq":2}`
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, Read(dir, 1)); len(got) != 1 || got[0].Seq != 1 {
		t.Errorf("lines %v", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, segmentName(1))); string(got) != content {
		t.Error("reading changed the file")
	}
}

// FuzzOpen: whatever is in the last segment, opening either refuses and changes nothing, or keeps whole consecutive
// lines, cuts off at most one, or all from one with zero bytes on, and goes on.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(line(1, `{"a":1}`) + line(2, `{"a":2}`)))
	f.Add([]byte(line(1, `{"a":1}`) + `{"keyturn":{"node":"n","seq":2}`))
	f.Add([]byte(line(1, `{"a":1}`) + "{\n" + line(3, `{"a":2}`)))
	f.Add([]byte("\n\x00\n"))
	f.Add([]byte(line(1, `{"a":1}`) + "{\x00\n" + line(3, `{"a":2}`)))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		name := filepath.Join(dir, segmentName(1))
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{NodeID: "n", ReserveBytes: -1, files: unsynced()})
		got, rerr := os.ReadFile(name)
		if rerr != nil {
			t.Fatal(rerr)
		}
		if err != nil {
			if !errors.Is(err, ErrDamaged) || !bytes.Equal(got, content) {
				t.Fatalf("%v; changed: %t", err, !bytes.Equal(got, content))
			}
			return
		}
		defer l.Close()
		if !bytes.HasPrefix(content, got) || int64(len(content)-len(got)) != l.Repaired() {
			t.Fatal("what was kept is not what was there")
		}
		cut := content[len(got):]
		torn, _, _ := bytes.Cut(cut, []byte("\n"))
		if bytes.IndexByte(torn, 0) < 0 && bytes.Count(bytes.TrimSuffix(cut, []byte("\n")), []byte("\n")) > 0 {
			t.Fatal("more than one line was cut off")
		}
		if _, err := l.Append(rec(1)); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for line, err := range Read(dir, 1) {
			n++
			if err != nil || line.Seq != n || !jsontext.Value(line.JSON).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("line %d: %+v, %v", n, line, err)
			}
		}
		if n+1 != l.NextSeq() || int(n) != bytes.Count(got, []byte("\n"))+1 {
			t.Fatalf("%d lines, NextSeq = %d", n, l.NextSeq())
		}
	})
}
